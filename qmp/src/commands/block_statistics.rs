//! What drives have done, and jobs on them.

use super::block::BlockDeviceIoStatus;
use crate::schema::declare::declare;

declare! {
    family "Block statistics and jobs";

    /// What a drive has done.
    struct BlockDeviceStats {
        /// Bytes read.
        rd_bytes as "rd_bytes": i64,
        /// Bytes written.
        wr_bytes as "wr_bytes": i64,
        /// Bytes given up.
        unmap_bytes as "unmap_bytes": i64,
        /// Reads.
        rd_operations as "rd_operations": i64,
        /// Writes.
        wr_operations as "wr_operations": i64,
        /// Flushes.
        flush_operations as "flush_operations": i64,
        /// Requests that give blocks up.
        unmap_operations as "unmap_operations": i64,
        /// How long reads took, in nanoseconds.
        rd_total_time_ns as "rd_total_time_ns": i64,
        /// How long writes took.
        wr_total_time_ns as "wr_total_time_ns": i64,
        /// How long flushes took.
        flush_total_time_ns as "flush_total_time_ns": i64,
        /// How long giving blocks up took.
        unmap_total_time_ns as "unmap_total_time_ns": i64,
        /// The highest offset that was written.
        wr_highest_offset as "wr_highest_offset": i64,
        /// Reads that went with another.
        rd_merged as "rd_merged": i64,
        /// Writes that went with another.
        wr_merged as "wr_merged": i64,
        /// Requests that give blocks up and went with another.
        unmap_merged as "unmap_merged": i64,
        /// For how long there was nothing to do, in nanoseconds.
        idle_time_ns as "idle_time_ns": Option<i64>,
        /// Reads that failed.
        failed_rd_operations as "failed_rd_operations": i64,
        /// Writes that failed.
        failed_wr_operations as "failed_wr_operations": i64,
        /// Flushes that failed.
        failed_flush_operations as "failed_flush_operations": i64,
        /// Requests to give blocks up that failed.
        failed_unmap_operations as "failed_unmap_operations": i64,
        /// Reads that made no sense.
        invalid_rd_operations as "invalid_rd_operations": i64,
        /// Writes that made no sense.
        invalid_wr_operations as "invalid_wr_operations": i64,
        /// Flushes that made no sense.
        invalid_flush_operations as "invalid_flush_operations": i64,
        /// Requests to give blocks up that made no sense.
        invalid_unmap_operations as "invalid_unmap_operations": i64,
        /// Requests that made no sense count for `idle_time_ns`.
        account_invalid as "account_invalid": bool,
        /// Requests that failed count for the times.
        account_failed as "account_failed": bool,
        /// Statistics of intervals; always empty here.
        timed_stats as "timed_stats": Vec<BlockDeviceTimedStats>,
    }

    /// What a drive has done in an interval.
    struct BlockDeviceTimedStats {
        /// How long the interval is, in seconds.
        interval_length as "interval_length": i64,
        /// The shortest time that reads took, in nanoseconds.
        min_rd_latency_ns as "min_rd_latency_ns": i64,
        /// The longest time that reads took, in nanoseconds.
        max_rd_latency_ns as "max_rd_latency_ns": i64,
        /// The average time that reads took, in nanoseconds.
        avg_rd_latency_ns as "avg_rd_latency_ns": i64,
        /// The shortest time that writes took, in nanoseconds.
        min_wr_latency_ns as "min_wr_latency_ns": i64,
        /// The longest time that writes took, in nanoseconds.
        max_wr_latency_ns as "max_wr_latency_ns": i64,
        /// The average time that writes took, in nanoseconds.
        avg_wr_latency_ns as "avg_wr_latency_ns": i64,
        /// The shortest time that flushes took, in nanoseconds.
        min_flush_latency_ns as "min_flush_latency_ns": i64,
        /// The longest time that flushes took, in nanoseconds.
        max_flush_latency_ns as "max_flush_latency_ns": i64,
        /// The average time that flushes took, in nanoseconds.
        avg_flush_latency_ns as "avg_flush_latency_ns": i64,
        /// How many reads waited on average.
        avg_rd_queue_depth as "avg_rd_queue_depth": f64,
        /// How many writes waited on average.
        avg_wr_queue_depth as "avg_wr_queue_depth": f64,
    }

    /// What a drive or node has done.
    struct BlockStats {
        /// The drive's name.
        device: Option<String>,
        /// The device's name or path.
        qdev: Option<String>,
        /// The node's name.
        node_name: Option<String>,
        /// What it has done.
        stats: BlockDeviceStats,
        /// The node that its format is read from.
        parent: Option<Box<BlockStats>>,
        /// The node behind it.
        backing: Option<Box<BlockStats>>,
    }

    /// Tells what drives have done.
    command observes "query-blockstats" QueryBlockstats {
        /// Nodes instead of drives.
        query_nodes: Option<bool>,
    } -> Vec<BlockStats>;

    /// How far a job is.
    enum JobStatus {
        Undefined = "undefined",
        Created = "created",
        Running = "running",
        Paused = "paused",
        Ready = "ready",
        Standby = "standby",
        Waiting = "waiting",
        Pending = "pending",
        Aborting = "aborting",
        Concluded = "concluded",
        Null = "null",
    }

    /// A job on images.
    struct BlockJobInfo {
        /// What it does.
        ty as "type": String,
        /// Its name.
        device: String,
        /// How much there is to do.
        len: i64,
        /// How much is done.
        offset: i64,
        /// It is at it.
        busy: bool,
        /// It rests.
        paused: bool,
        /// How fast it may go.
        speed: i64,
        /// How its last requests went.
        io_status: BlockDeviceIoStatus,
        /// It can be completed.
        ready: bool,
        /// How far it is.
        status: JobStatus,
        /// It ends by itself.
        auto_finalize: bool,
        /// It is forgotten by itself.
        auto_dismiss: bool,
        /// Why it has failed.
        error: Option<String>,
    }

    /// Lists jobs on images; there are none here.
    command observes "query-block-jobs" QueryBlockJobs {} -> Vec<BlockJobInfo>;

    /// What a job does.
    enum JobType {
        Commit = "commit",
        Stream = "stream",
        Mirror = "mirror",
        Backup = "backup",
        Create = "create",
        Amend = "amend",
        SnapshotLoad = "snapshot-load",
        SnapshotSave = "snapshot-save",
        SnapshotDelete = "snapshot-delete",
    }

    /// A job.
    struct JobInfo {
        /// Its name.
        id: String,
        /// What it does.
        ty as "type": JobType,
        /// How far it is.
        status: JobStatus,
        /// How much is done.
        current_progress: i64,
        /// How much there is to do.
        total_progress: i64,
        /// Why it has failed.
        error: Option<String>,
    }

    /// Lists jobs.
    command observes "query-jobs" QueryJobs {} -> Vec<JobInfo>;
}
