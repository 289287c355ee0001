//! A disk of the host that is soon full.

use std::path::Path;
use std::process::Command;

/// Runs a program (its name and arguments are to be added) with a file system of its own, of this size, mounted at `folder`. `setup`
/// is what the shell does there first. The mount ends with the process; where users may have namespaces it needs no root.
#[must_use]
pub fn with_small_disk(folder: &Path, size: &str, setup: &str) -> Command {
    let at = folder.display();
    let script = format!("mount -t tmpfs -o size={size} tmpfs {at} && {setup} && exec \"$@\"");
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-c", &script, "sh"]);
    command
}
