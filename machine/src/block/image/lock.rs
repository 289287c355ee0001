//! Locks that keep two writers from one image.
//!
//! The protocol is QEMU's (block/file-posix.c), so that `qemu-img` and other emulators are kept out too: whoever uses a
//! file holds shared locks on one byte for each thing that it does (from [`DOES`]) and on one for each thing that it does
//! not suffer others to do (from [`FORBIDS`]). Before it goes on it tests whether anyone holds what would conflict.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::io;

/// First byte of what a user does.
const DOES: libc::off_t = 100;
/// First byte of what a user does not suffer.
const FORBIDS: libc::off_t = 200;
/// Reading data that stays consistent.
const READ: libc::off_t = 0;
/// Writing.
const WRITE: libc::off_t = 1;
/// Changing the file's length.
const RESIZE: libc::off_t = 3;

/// Locks `file` as a disk's image for as long as it is open. `Ok(false)`: someone else uses it in a way that conflicts.
pub(super) fn take(file: &File, write: bool) -> io::Result<bool> {
    let does: &[libc::off_t] = if write { &[READ, WRITE, RESIZE] } else { &[READ] };
    let forbids = [WRITE, RESIZE];
    for byte in does.iter().map(|bit| DOES + bit).chain(forbids.iter().map(|bit| FORBIDS + bit)) {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&range(libc::F_RDLCK, byte))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            // A file system without locks protects nobody, and refuses nobody.
            Err(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    let conflicts = does.iter().map(|bit| FORBIDS + bit).chain(forbids.iter().map(|bit| DOES + bit));
    for byte in conflicts {
        let mut lock = range(libc::F_WRLCK, byte);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        if libc::c_int::from(lock.l_type) != libc::F_UNLCK {
            return Ok(false);
        }
    }
    Ok(true)
}

fn range(kind: libc::c_int, byte: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}
