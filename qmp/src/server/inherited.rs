//! File descriptors that this process was started with.

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::io;
use std::os::fd::OwnedFd;

/// A duplicate of the open file descriptor `number`, for `fd=N` on the command line.
///
/// To call a number one's own would need a promise that nothing else in the process does. The kernel, asked as another
/// process would ask it, makes a new descriptor that needs none.
///
/// # Errors
/// No such descriptor is open.
pub fn inherited(number: u32) -> io::Result<OwnedFd> {
    let number = i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn it_is_the_same_socket() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let mut again = UnixStream::from(inherited(there.as_raw_fd().unsigned_abs()).unwrap());
        here.write_all(b"x").unwrap();
        again.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn one_that_is_not_open_is_an_error() {
        assert!(inherited(999_999).is_err());
        assert!(inherited(u32::MAX).is_err());
    }
}
