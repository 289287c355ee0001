//! Migration: what clients ask at start, of a machine that does not move.

use crate::schema::declare::declare;

declare! {
    family "Migration";

    /// How far a migration is.
    enum MigrationStatus {
        None = "none",
        Setup = "setup",
        Cancelling = "cancelling",
        Cancelled = "cancelled",
        Active = "active",
        PostcopyActive = "postcopy-active",
        PostcopyPaused = "postcopy-paused",
        PostcopyRecover = "postcopy-recover",
        Completed = "completed",
        Failed = "failed",
        Colo = "colo",
        PreSwitchover = "pre-switchover",
        Device = "device",
        WaitUnplug = "wait-unplug",
    }

    /// A migration. All is absent if there was none.
    struct MigrationInfo {
        /// How far it is.
        status: Option<MigrationStatus>,
        /// For how long it has run, in milliseconds.
        total_time: Option<i64>,
        /// For how long the machine stood still, in milliseconds.
        downtime: Option<i64>,
        /// For how long it was prepared, in milliseconds.
        setup_time: Option<i64>,
        /// Why it has failed.
        error_desc: Option<String>,
        /// Why there can be none.
        blocked_reasons: Option<Vec<String>>,
    }

    /// Tells how far a migration is.
    command observes "query-migrate" QueryMigrate {} -> MigrationInfo;

    /// What migrations may be able to do.
    enum MigrationCapability {
        Xbzrle = "xbzrle",
        RdmaPinAll = "rdma-pin-all",
        AutoConverge = "auto-converge",
        ZeroBlocks = "zero-blocks",
        Compress = "compress",
        Events = "events",
        PostcopyRam = "postcopy-ram",
        XColo = "x-colo",
        ReleaseRam = "release-ram",
        Block = "block",
        ReturnPath = "return-path",
        PauseBeforeSwitchover = "pause-before-switchover",
        Multifd = "multifd",
        DirtyBitmaps = "dirty-bitmaps",
        PostcopyBlocktime = "postcopy-blocktime",
        LateBlockActivate = "late-block-activate",
        XIgnoreShared = "x-ignore-shared",
        ValidateUuid = "validate-uuid",
        BackgroundSnapshot = "background-snapshot",
        ZeroCopySend = "zero-copy-send",
        PostcopyPreempt = "postcopy-preempt",
    }

    /// Whether a capability is used.
    struct MigrationCapabilityStatus {
        /// Which.
        capability: MigrationCapability,
        /// It is.
        state: bool,
    }

    /// Lists what migrations may be able to do.
    command observes "query-migrate-capabilities" QueryMigrateCapabilities {} -> Vec<MigrationCapabilityStatus>;

    /// Says what migrations are to do.
    command observes "migrate-set-capabilities" MigrateSetCapabilities {
        /// What.
        capabilities: Vec<MigrationCapabilityStatus>,
    };

    /// How migrations are done.
    struct MigrationParameters {
        /// Milliseconds before the first announcement on the network.
        announce_initial: Option<u64>,
        /// Milliseconds between announcements at most.
        announce_max: Option<u64>,
        /// How many announcements.
        announce_rounds: Option<u64>,
        /// By how many milliseconds the pause between announcements grows.
        announce_step: Option<u64>,
        /// Bytes a second at most.
        max_bandwidth: Option<u64>,
        /// For how many milliseconds the machine may stand still.
        downtime_limit: Option<u64>,
        /// How many channels.
        multifd_channels: Option<u8>,
    }

    /// Tells how migrations are done.
    command observes "query-migrate-parameters" QueryMigrateParameters {} -> MigrationParameters;

    /// Moves the machine elsewhere.
    command observes "migrate" Migrate {
        /// Where.
        uri: String,
        /// With its disks.
        blk: Option<bool>,
        /// With what has changed on its disks.
        inc: Option<bool>,
        /// Always so; for the monitor of old.
        detach: Option<bool>,
        /// After a break.
        resume: Option<bool>,
    };

    /// Gives a migration up; if there is none, nothing happens.
    command observes "migrate_cancel" MigrateCancel {};

    /// A migration has come further.
    event "MIGRATION" MigrationChanged {
        /// How far.
        status: MigrationStatus,
    };
}
