//! Images in use: nodes, which drives and other nodes read and write.

use crate::schema::Null;
use crate::schema::declare::declare;

declare! {
    family "Block nodes";

    /// How blocks of zeros are written.
    enum BlockdevDetectZeroesOptions {
        /// Like others.
        Off = "off",
        /// As zeros, which may take less room.
        On = "on",
        /// As blocks that are not used.
        Unmap = "unmap",
    }

    /// How the host caches an image.
    struct BlockdevCacheInfo {
        /// A write is complete before it is on the disk.
        writeback: bool,
        /// The host's cache is passed by.
        direct: bool,
        /// The guest's flushes are ignored.
        no_flush: bool,
    }

    /// A snapshot in an image.
    struct SnapshotInfo {
        /// Its number.
        id: String,
        /// Its name.
        name: String,
        /// How many bytes of the machine's state are in it.
        vm_state_size: i64,
        /// When it was made: seconds since 1970.
        date_sec: i64,
        /// And nanoseconds.
        date_nsec: i64,
        /// The guest's time then: seconds.
        vm_clock_sec: i64,
        /// And nanoseconds.
        vm_clock_nsec: i64,
        /// The tick.
        icount: Option<i64>,
    }

    /// How a qcow2 image compresses.
    enum Qcow2CompressionType {
        Zlib = "zlib",
        Zstd = "zstd",
    }

    /// What is particular about a qcow2 image.
    struct ImageInfoSpecificQCow2 {
        /// The version of the format: `0.10` for 2, `1.1` for 3.
        compat: String,
        /// The file that holds the data.
        data_file: Option<String>,
        /// That file is a raw image of its own.
        data_file_raw: Option<bool>,
        /// Clusters have 32 parts each.
        extended_l2: Option<bool>,
        /// Reference counts are written late.
        lazy_refcounts: Option<bool>,
        /// It is marked as damaged.
        corrupt: Option<bool>,
        /// How many bits a reference count has.
        refcount_bits: i64,
        /// How it compresses.
        compression_type: Qcow2CompressionType,
    }

    /// The members stand in an object of their own.
    struct ImageInfoSpecificQCow2Wrapper {
        /// What is particular.
        data: ImageInfoSpecificQCow2,
    }

    /// Formats with something particular.
    enum ImageInfoSpecificKind {
        Qcow2 = "qcow2",
    }

    /// What is particular about an image of its format.
    union ImageInfoSpecific {}
    /// The format.
    by kind = "type": ImageInfoSpecificKind as ImageInfoSpecificOf {
        Qcow2 = "qcow2": ImageInfoSpecificQCow2Wrapper,
    }

    /// An image.
    struct ImageInfo {
        /// Its file.
        filename: String,
        /// Its format.
        format: String,
        /// It was not closed properly.
        dirty_flag: Option<bool>,
        /// How many bytes it occupies.
        actual_size: Option<i64>,
        /// How many bytes the guest sees.
        virtual_size: i64,
        /// How many bytes a cluster has.
        cluster_size: Option<i64>,
        /// It is encrypted.
        encrypted: Option<bool>,
        /// It is compressed.
        compressed: Option<bool>,
        /// The image behind it, as its file says.
        backing_filename: Option<String>,
        /// The image behind it, from here.
        full_backing_filename: Option<String>,
        /// That image's format.
        backing_filename_format: Option<String>,
        /// Its snapshots.
        snapshots: Option<Vec<SnapshotInfo>>,
        /// The image behind it.
        backing_image: Option<Box<ImageInfo>>,
        /// What is particular of its format.
        format_specific: Option<ImageInfoSpecific>,
    }

    /// A node: an image in use.
    struct BlockDeviceInfo {
        /// Its file.
        file: String,
        /// Its name.
        node_name: Option<String>,
        /// It cannot be written.
        ro: bool,
        /// Its format.
        drv: String,
        /// The image behind it.
        backing_file as "backing_file": Option<String>,
        /// How many images are behind each other.
        backing_file_depth as "backing_file_depth": i64,
        /// It is encrypted.
        encrypted: bool,
        /// A password is wanting; never so here.
        encryption_key_missing as "encryption_key_missing": Option<bool>,
        /// How zeros are written.
        detect_zeroes as "detect_zeroes": BlockdevDetectZeroesOptions,
        /// Bytes a second, at most; 0 means no limit.
        bps: i64,
        /// Of reading.
        bps_rd as "bps_rd": i64,
        /// Of writing.
        bps_wr as "bps_wr": i64,
        /// Requests a second, at most; 0 means no limit.
        iops: i64,
        /// Of reading.
        iops_rd as "iops_rd": i64,
        /// Of writing.
        iops_wr as "iops_wr": i64,
        /// The image.
        image: ImageInfo,
        /// Bytes a second in a burst.
        bps_max as "bps_max": Option<i64>,
        /// Of reading.
        bps_rd_max as "bps_rd_max": Option<i64>,
        /// Of writing.
        bps_wr_max as "bps_wr_max": Option<i64>,
        /// Requests a second in a burst.
        iops_max as "iops_max": Option<i64>,
        /// Of reading.
        iops_rd_max as "iops_rd_max": Option<i64>,
        /// Of writing.
        iops_wr_max as "iops_wr_max": Option<i64>,
        /// How long a burst of bytes may be, in seconds.
        bps_max_length as "bps_max_length": Option<i64>,
        /// Of reading.
        bps_rd_max_length as "bps_rd_max_length": Option<i64>,
        /// Of writing.
        bps_wr_max_length as "bps_wr_max_length": Option<i64>,
        /// How long a burst of requests may be, in seconds.
        iops_max_length as "iops_max_length": Option<i64>,
        /// Of reading.
        iops_rd_max_length as "iops_rd_max_length": Option<i64>,
        /// Of writing.
        iops_wr_max_length as "iops_wr_max_length": Option<i64>,
        /// A request of more bytes counts as several.
        iops_size as "iops_size": Option<i64>,
        /// The group of drives that share limits.
        group: Option<String>,
        /// How it is cached.
        cache: BlockdevCacheInfo,
        /// At which offset a write is an event; 0 means none.
        write_threshold as "write_threshold": i64,
    }

    /// Lists the nodes.
    command observes "query-named-block-nodes" QueryNamedBlockNodes {
        /// Without the images behind them.
        flat: Option<bool>,
    } -> Vec<BlockDeviceInfo>;

    /// What an image is read with.
    enum BlockdevDriver {
        /// A file of the host's.
        File = "file",
        /// A disk of the host's.
        HostDevice = "host_device",
        /// The image is what the guest sees.
        Raw = "raw",
        /// The format qcow2.
        Qcow2 = "qcow2",
        /// Zeros to read, nowhere to write.
        NullCo = "null-co",
        /// Another node, no faster than a group may be.
        Throttle = "throttle",
    }

    /// How a node is cached.
    struct BlockdevCacheOptions {
        /// The host's cache is passed by.
        direct: Option<bool>,
        /// The guest's flushes are ignored.
        no_flush: Option<bool>,
    }

    /// What becomes of blocks that the guest gives up.
    enum BlockdevDiscardOptions {
        /// They stay.
        Ignore = "ignore",
        /// They are given up.
        Unmap = "unmap",
    }

    /// How the host does input and output.
    enum BlockdevAioOptions {
        Threads = "threads",
        Native = "native",
        IoUring = "io_uring",
    }

    /// Whether files are locked.
    enum OnOffAuto {
        /// Where that can be.
        Auto = "auto",
        /// Yes.
        On = "on",
        /// No.
        Off = "off",
    }

    /// A file or disk of the host's.
    struct BlockdevOptionsFile {
        /// Its path.
        filename: String,
        /// Whether it is locked against others.
        locking: Option<OnOffAuto>,
        /// How the host does input and output.
        aio: Option<BlockdevAioOptions>,
        /// How many requests go to the host at once.
        aio_max_batch: Option<i64>,
        /// The host's cache is emptied when the image goes elsewhere.
        drop_cache: Option<bool>,
    }

    /// An image in the raw format.
    struct BlockdevOptionsRaw {
        /// Where it is.
        file: BlockdevRef,
        /// Where in it the guest's disk begins.
        offset: Option<i64>,
        /// How many bytes the guest's disk has.
        size: Option<i64>,
    }

    /// An image in the format qcow2.
    struct BlockdevOptionsQcow2 {
        /// Where it is.
        file: BlockdevRef,
        /// The image behind it; none if null, what the image says if absent.
        #[serde(default, deserialize_with = "crate::schema::present")]
        backing: Option<BlockdevRefOrNull>,
        /// Reference counts are written late.
        lazy_refcounts: Option<bool>,
        /// What the guest gives up is given up in the file.
        pass_discard_request: Option<bool>,
        /// So is what a snapshot gives up.
        pass_discard_snapshot: Option<bool>,
        /// And all else.
        pass_discard_other: Option<bool>,
        /// How many bytes of tables are kept in memory.
        cache_size: Option<i64>,
        /// Of which for the map of clusters.
        l2_cache_size: Option<i64>,
        /// In pieces of so many bytes.
        l2_cache_entry_size: Option<i64>,
        /// And for reference counts.
        refcount_cache_size: Option<i64>,
        /// After how many seconds what is not used is dropped.
        cache_clean_interval: Option<i64>,
    }

    /// Nothing.
    struct BlockdevOptionsNull {
        /// How many bytes the guest sees.
        size: Option<i64>,
        /// How long a request takes, in nanoseconds.
        latency_ns: Option<u64>,
        /// Reads give zeros.
        read_zeroes: Option<bool>,
    }

    /// A node that is held back.
    struct BlockdevOptionsThrottle {
        /// The object of type `throttle-group` that has the limits.
        throttle_group: String,
        /// What is held back.
        file: BlockdevRef,
    }

    /// A node.
    union BlockdevOptions {
        /// Its name.
        node_name: Option<String>,
        /// What becomes of blocks that the guest gives up; default `ignore`.
        discard: Option<BlockdevDiscardOptions>,
        /// How it is cached.
        cache: Option<BlockdevCacheOptions>,
        /// It cannot be written.
        read_only: Option<bool>,
        /// It cannot be written if its file cannot.
        auto_read_only: Option<bool>,
        /// Others may use it too.
        force_share: Option<bool>,
        /// How zeros are written; default `off`.
        detect_zeroes: Option<BlockdevDetectZeroesOptions>,
    }
    /// What it is read with.
    by driver = "driver": BlockdevDriver as BlockdevOptionsOf {
        File = "file": BlockdevOptionsFile,
        HostDevice = "host_device": BlockdevOptionsFile,
        Raw = "raw": BlockdevOptionsRaw,
        Qcow2 = "qcow2": BlockdevOptionsQcow2,
        NullCo = "null-co": BlockdevOptionsNull,
        Throttle = "throttle": BlockdevOptionsThrottle,
    }

    /// A node, by its name or as it is to be.
    alternate BlockdevRef {
        /// A new node.
        Definition: Box<BlockdevOptions>,
        /// A node's name.
        Reference: String,
    }

    /// A node, or none.
    alternate BlockdevRefOrNull {
        /// A new node.
        Definition: Box<BlockdevOptions>,
        /// A node's name.
        Reference: String,
        /// None.
        Null: Null,
    }

    /// Makes a node, as `-blockdev` does.
    command steers "blockdev-add" as BlockdevOptions;

    /// Removes a node that nothing uses.
    command steers "blockdev-del" BlockdevDel {
        /// Its name.
        node_name: String,
    };
}
