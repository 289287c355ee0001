//! `-pidfile`: a file that holds the process's number while it runs, locked so that two processes cannot both own it.

use crate::chardev::host_words;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file, which is removed when this is dropped.
#[derive(Debug)]
pub struct PidFile {
    /// Absolute, since a process in the background changes its folder.
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl PidFile {
    /// Writes the file. The error is the whole line for the user.
    pub fn create(path: &Path) -> Result<Self, String> {
        let failed =
            |what: &'static str| move |why: io::Error| format!("cannot create PID file: {what}: {}", host_words(&why));
        loop {
            let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
            let mut file = file.map_err(|why| {
                format!("cannot create PID file: Could not create '{}': {}", path.display(), host_words(&why))
            })?;
            lock(&file).map_err(failed("Cannot lock pid file"))?;
            let ours = file.metadata().map_err(failed("Cannot stat file"))?;
            // Its last owner may have removed it before it let go of the lock.
            if !is_at(&ours, path) {
                continue;
            }
            file.set_len(0).map_err(failed("Failed to truncate pid file"))?;
            writeln!(file, "{}", std::process::id()).map_err(failed("Failed to write pid file"))?;
            let path = std::path::absolute(path).map_err(failed("Cannot find pid file"))?;
            return Ok(PidFile { path, file });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.file.metadata().is_ok_and(|ours| is_at(&ours, &self.path)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_at(ours: &Metadata, path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
}

/// Locks a file against every other one who opens it.
fn lock(file: &File) -> io::Result<()> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&whole))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_leaves_the_file_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        let first = PidFile::create(&path).expect("created");
        let number = format!("{}\n", std::process::id());
        assert_eq!(fs::read_to_string(&path).expect("there"), number);
        let refused = PidFile::create(&path).expect_err("it is owned");
        assert_eq!(refused, "cannot create PID file: Cannot lock pid file: Resource temporarily unavailable");
        assert_eq!(fs::read_to_string(&path).expect("still there"), number);
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_a_killed_process_left_is_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        fs::write(&path, "123456789\n").expect("written");
        let owned = PidFile::create(&path).expect("nobody locks it");
        assert_eq!(fs::read_to_string(&path).expect("there"), format!("{}\n", std::process::id()));
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "another's").expect("written");
        drop(owned);
        assert!(path.exists(), "another's file is left alone");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let refused = PidFile::create(Path::new("/nonexistent/pid")).expect_err("no folder");
        assert_eq!(refused, "cannot create PID file: Could not create '/nonexistent/pid': No such file or directory");
    }
}
