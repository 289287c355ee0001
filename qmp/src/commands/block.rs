//! Drives and their media.

use super::nodes::BlockDeviceInfo;
use crate::schema::declare::declare;

declare! {
    family "Block devices";

    /// Changes a medium or a VNC server's settings, as the first argument says. `blockdev-change-medium` is clearer.
    command steers "change" Change {
        /// A drive's name, or `vnc`.
        device: String,
        /// For a drive, the file of the new medium.
        target: String,
        /// For a drive, the file's format.
        arg: Option<String>,
    };

    /// Takes a medium out of its drive, after opening the tray if it is closed.
    command steers "eject" Eject {
        /// The drive's name.
        device: Option<String>,
        /// The device's name or path.
        id: Option<String>,
        /// Even if the guest has locked the tray.
        force: Option<bool>,
    };

    /// Opens a drive's tray. A locked one stays closed, and the guest is asked to give the medium up.
    command steers "blockdev-open-tray" BlockdevOpenTray {
        /// The drive's name.
        device: Option<String>,
        /// The device's name or path.
        id: Option<String>,
        /// Even if the guest has locked the tray.
        force: Option<bool>,
    };

    /// Closes a drive's tray.
    command steers "blockdev-close-tray" BlockdevCloseTray {
        /// The drive's name.
        device: Option<String>,
        /// The device's name or path.
        id: Option<String>,
    };

    /// Takes the medium out of an open tray.
    command steers "blockdev-remove-medium" BlockdevRemoveMedium {
        /// The device's name or path.
        id: String,
    };

    /// Puts a medium into an empty open tray.
    command steers "blockdev-insert-medium" BlockdevInsertMedium {
        /// The device's name or path.
        id: String,
        /// The node that is the medium.
        node_name: String,
    };

    /// Whether a new medium can be written.
    enum BlockdevChangeReadOnlyMode {
        /// As the old one could.
        Retain = "retain",
        /// No.
        ReadOnly = "read-only",
        /// Yes.
        ReadWrite = "read-write",
    }

    /// Changes a drive's medium: opens the tray, takes the old one out, puts the new one in, closes the tray.
    command steers "blockdev-change-medium" BlockdevChangeMedium {
        /// The drive's name.
        device: Option<String>,
        /// The device's name or path.
        id: Option<String>,
        /// The new medium's file.
        filename: String,
        /// The file's format; found out if absent.
        format: Option<String>,
        /// Even if the guest has locked the tray.
        force: Option<bool>,
        /// Whether it can be written; default `retain`.
        read_only_mode: Option<BlockdevChangeReadOnlyMode>,
    };

    /// How a drive's last requests went.
    enum BlockDeviceIoStatus {
        /// Well.
        Ok = "ok",
        /// There was an error.
        Failed = "failed",
        /// There was no room.
        Nospace = "nospace",
    }

    /// A drive.
    struct BlockInfo {
        /// Its name; empty if it has none.
        device: String,
        /// The device's name or path.
        qdev: Option<String>,
        /// `unknown`, as ever.
        ty as "type": String,
        /// Its medium can be taken out.
        removable: bool,
        /// The guest keeps the tray closed.
        locked: bool,
        /// The medium, if there is one.
        inserted: Option<BlockDeviceInfo>,
        /// The tray is open.
        tray_open as "tray_open": Option<bool>,
        /// How the last requests went.
        io_status: Option<BlockDeviceIoStatus>,
    }

    /// Lists the drives.
    command observes "query-block" QueryBlock {} -> Vec<BlockInfo>;

    /// Changes the size of an image.
    command steers "block_resize" BlockResize {
        /// The drive's name.
        device: Option<String>,
        /// The node's name.
        node_name: Option<String>,
        /// How many bytes the guest is to see.
        size: i64,
    };

    /// Limits a drive's speed. 0 means no limit.
    command steers "block_set_io_throttle" BlockSetIoThrottle {
        /// The drive's name.
        device: Option<String>,
        /// The device's name or path.
        id: Option<String>,
        /// Bytes a second.
        bps: i64,
        /// Of reading.
        bps_rd as "bps_rd": i64,
        /// Of writing.
        bps_wr as "bps_wr": i64,
        /// Requests a second.
        iops: i64,
        /// Of reading.
        iops_rd as "iops_rd": i64,
        /// Of writing.
        iops_wr as "iops_wr": i64,
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
        /// How long such a burst may be, in seconds.
        bps_max_length as "bps_max_length": Option<i64>,
        /// Of reading.
        bps_rd_max_length as "bps_rd_max_length": Option<i64>,
        /// Of writing.
        bps_wr_max_length as "bps_wr_max_length": Option<i64>,
        /// How long such a burst may be, in seconds.
        iops_max_length as "iops_max_length": Option<i64>,
        /// Of reading.
        iops_rd_max_length as "iops_rd_max_length": Option<i64>,
        /// Of writing.
        iops_wr_max_length as "iops_wr_max_length": Option<i64>,
        /// A request of more bytes counts as several.
        iops_size as "iops_size": Option<i64>,
        /// The group of drives that share the limits.
        group: Option<String>,
    };

    /// Reading or writing.
    enum IoOperationType {
        Read = "read",
        Write = "write",
    }

    /// What is done about an error.
    enum BlockErrorAction {
        /// Nothing.
        Ignore = "ignore",
        /// The guest is told.
        Report = "report",
        /// The machine is stopped, and tries again when it goes on.
        Stop = "stop",
    }

    /// A drive could not read or write.
    event "BLOCK_IO_ERROR" BlockIoError {
        /// The drive's name; empty if it has none.
        device: String,
        /// The node's name.
        node_name: Option<String>,
        /// Which of the two.
        operation: IoOperationType,
        /// What is done about it.
        action: BlockErrorAction,
        /// There was no room.
        nospace: Option<bool>,
        /// Why, in English.
        reason: String,
    };

    /// An image is damaged.
    event "BLOCK_IMAGE_CORRUPTED" BlockImageCorrupted {
        /// The drive's name; empty if it has none.
        device: String,
        /// The node's name.
        node_name: Option<String>,
        /// What is wrong, in English.
        msg: String,
        /// Where.
        offset: Option<i64>,
        /// How many bytes.
        size: Option<i64>,
        /// It cannot be used any more.
        fatal: bool,
    };

    /// A tray was opened or closed.
    event "DEVICE_TRAY_MOVED" DeviceTrayMoved {
        /// The drive's name; empty if it has none.
        device: String,
        /// The device's name or path.
        id: String,
        /// It is open now.
        tray_open: bool,
    };
}
