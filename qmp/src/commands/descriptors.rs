//! File descriptors that clients pass in, over Unix sockets, with SCM_RIGHTS.

use crate::schema::declare::declare;

declare! {
    family "File descriptors";

    /// Keeps the file descriptor that came with this command under a name, for this monitor's later commands.
    command observes descriptor "getfd" Getfd {
        /// The name. A descriptor that has it is closed.
        fdname: String,
    };

    /// Closes a file descriptor that `getfd` keeps.
    command observes "closefd" Closefd {
        /// Its name.
        fdname: String,
    };

    /// Hands a connection that a client has accepted to a character device or a display.
    command observes "add_client" AddClient {
        /// `vnc`, `spice`, or the name of a character device.
        protocol: String,
        /// The connection, as `getfd` named it.
        fdname: String,
        /// The client need not say who it is; for VNC and SPICE.
        skipauth: Option<bool>,
        /// The connection is to be encrypted; for SPICE.
        tls: Option<bool>,
    };

    /// Where a file descriptor was put.
    struct AddfdInfo {
        /// The set.
        fdset_id: i64,
        /// The number of the descriptor in this process.
        fd: i64,
    }

    /// Puts the file descriptor that came with this command into a set, which files can be opened from by the name
    /// `/dev/fdset/ID`. Sets belong to all monitors.
    command observes descriptor "add-fd" AddFd {
        /// The set; a new one if absent.
        fdset_id: Option<i64>,
        /// Anything that helps a client to remember what it is.
        opaque: Option<String>,
    } -> AddfdInfo;

    /// Takes file descriptors out of a set and closes them as soon as nothing uses them.
    command observes "remove-fd" RemoveFd {
        /// The set.
        fdset_id: i64,
        /// The descriptor; all of the set's if absent.
        fd: Option<i64>,
    };

    /// A file descriptor in a set.
    struct FdsetFdInfo {
        /// Its number in this process.
        fd: i64,
        /// What `add-fd` said of it.
        opaque: Option<String>,
    }

    /// A set of file descriptors.
    struct FdsetInfo {
        /// The set's number.
        fdset_id: i64,
        /// What is in it.
        fds: Vec<FdsetFdInfo>,
    }

    /// Lists all sets of file descriptors.
    command observes "query-fdsets" QueryFdsets {} -> Vec<FdsetInfo>;
}
