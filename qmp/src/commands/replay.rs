//! Recording and replaying.

use crate::schema::declare::declare;

declare! {
    family "Record and replay";

    /// Whether a recording is made or replayed.
    enum ReplayMode {
        /// Neither.
        None = "none",
        /// It is made.
        Record = "record",
        /// It is replayed.
        Play = "play",
    }

    /// The state of recording or replaying.
    struct ReplayInfo {
        /// Which of the two.
        mode: ReplayMode,
        /// The recording's file.
        filename: Option<String>,
        /// How many ticks have passed.
        icount: i64,
    }

    /// Tells the state of recording or replaying.
    command observes "query-replay" QueryReplay {} -> ReplayInfo;

    /// Stops a replay at a tick.
    command observes "replay-break" ReplayBreak {
        /// The tick.
        icount: i64,
    };

    /// Forgets where a replay was to stop.
    command observes "replay-delete-break" ReplayDeleteBreak {};

    /// Brings a replay to a tick, by way of the nearest snapshot before it, and stops there.
    command observes "replay-seek" ReplaySeek {
        /// The tick.
        icount: i64,
    };
}
