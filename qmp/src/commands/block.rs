//! Drives, their media and their images.

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
}
