//! Where a dump goes: a file that gets its name only when it is complete, or a descriptor that someone handed over.

use crate::{DumpError, Progress};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::pwritev;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// What is written at once to a pipe or socket that said it has room: it surely has so much (`PIPE_BUF`).
const SURE: usize = 4096;
/// Pieces that are written by one call, of which the host takes 1024.
const MOST_AT_ONCE: usize = 512;
/// How often a pipe's reader is waited for before cancelling is thought of.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Where a dump goes. Dropped before the dump is complete, a named file is as it was before.
#[derive(Debug)]
pub struct Target {
    file: File,
    kind: Kind,
    /// The temporary name, and the one that the file gets at the end.
    names: Option<(TempPath, PathBuf)>,
    written: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Made here: it starts empty, and what is left out reads as zeroes.
    Fresh,
    /// Can be written in any order.
    Seekable,
    /// A pipe or socket, whose reader may be slow.
    Stream,
    /// Goes forward only, and never keeps one waiting.
    Forward,
}

impl Target {
    /// A file of this name, made in the same folder under another one. A name that belongs to a device or a pipe is opened
    /// as it is; a pipe must have a reader by then.
    pub fn create(path: &Path) -> Result<Self, DumpError> {
        let creating = DumpError::opening(path);
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            // Not to wait for a pipe's reader, who may never come: without one it is ENXIO.
            let flags = OFlags::NONBLOCK.bits() as i32;
            let file = OpenOptions::new().write(true).custom_flags(flags).open(&path).map_err(&creating)?;
            return Self::open(file);
        }
        let name = path.file_name().ok_or_else(|| creating(io::ErrorKind::InvalidInput.into()))?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let made = tempfile::Builder::new().prefix(&prefix).suffix(".partial").tempfile_in(folder).map_err(creating)?;
        let (file, temporary) = made.into_parts();
        Ok(Self { file, kind: Kind::Fresh, names: Some((temporary, path)), written: 0 })
    }

    /// A descriptor that was handed over. Formats that only go forward start where it stands.
    pub fn descriptor(fd: OwnedFd) -> Result<Self, DumpError> {
        Self::open(fd.into())
    }

    fn open(mut file: File) -> Result<Self, DumpError> {
        let kind = file.metadata().map_err(DumpError::io("cannot look at the dump's descriptor"))?.file_type();
        let kind = if kind.is_fifo() || kind.is_socket() {
            Kind::Stream
        } else if kind.is_file() && file.stream_position().is_ok() {
            Kind::Seekable
        } else {
            Kind::Forward
        };
        Ok(Self { file, kind, names: None, written: 0 })
    }

    /// Whether [`Target::write_at`] works.
    pub(crate) fn seekable(&self) -> bool {
        matches!(self.kind, Kind::Fresh | Kind::Seekable)
    }

    /// Bytes put out so far, holes among them.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Writes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8], progress: &Progress) -> Result<(), DumpError> {
        progress.check()?;
        if self.kind == Kind::Stream {
            self.stream(bytes, progress)?;
        } else {
            self.file.write_all(bytes).map_err(DumpError::io(WRITING))?;
        }
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Appends zeroes, which take no room where the file system can leave them out.
    pub(crate) fn append_zeroes(&mut self, mut len: u64, progress: &Progress) -> Result<(), DumpError> {
        static ZEROES: [u8; 1 << 16] = [0; 1 << 16];
        if self.kind == Kind::Fresh {
            let by = i64::try_from(len).map_err(|_| DumpError::io(WRITING)(io::ErrorKind::FileTooLarge.into()))?;
            self.file.seek(SeekFrom::Current(by)).map_err(DumpError::io(WRITING))?;
            self.written += len;
            return progress.check();
        }
        while len > 0 {
            let piece = len.min(ZEROES.len() as u64);
            self.append(&ZEROES[..piece as usize], progress)?;
            len -= piece;
        }
        Ok(())
    }

    /// Writes pieces at the end, one after the other.
    pub(crate) fn append_all(&mut self, pieces: &[impl AsRef<[u8]>], progress: &Progress) -> Result<(), DumpError> {
        if self.kind == Kind::Stream {
            return pieces.iter().try_for_each(|piece| self.append(piece.as_ref(), progress));
        }
        for some in pieces.chunks(MOST_AT_ONCE) {
            progress.check()?;
            self.written += all_of(some, |_, slices| self.file.write_vectored(slices))?;
        }
        Ok(())
    }

    /// Writes pieces, one after the other, at a place that is counted from the file's beginning.
    pub(crate) fn write_at(
        &mut self,
        mut offset: u64,
        pieces: &[impl AsRef<[u8]>],
        progress: &Progress,
    ) -> Result<(), DumpError> {
        for some in pieces.chunks(MOST_AT_ONCE) {
            progress.check()?;
            let write = |done, slices: &[IoSlice<'_>]| Ok(pwritev(&self.file, slices, offset + done)?);
            offset += all_of(some, write)?;
        }
        self.written = self.written.max(offset);
        Ok(())
    }

    /// The dump is complete: the file gets its name.
    pub(crate) fn commit(self) -> Result<(), DumpError> {
        if self.kind == Kind::Fresh {
            self.file.set_len(self.written).map_err(DumpError::io(WRITING))?;
        }
        if let Some((temporary, path)) = self.names {
            temporary.persist(path).map_err(|e| DumpError::Io { what: "cannot name the dump", why: e.error })?;
        }
        Ok(())
    }

    /// Writes to what may have no room for a long time, and gives up when cancelled.
    fn stream(&mut self, bytes: &[u8], progress: &Progress) -> Result<(), DumpError> {
        let mut left = bytes;
        while !left.is_empty() {
            let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
            match poll(&mut fds, Some(&PATIENCE)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {
                    progress.check()?;
                    continue;
                }
                Ok(_) => {}
                Err(why) => return Err(DumpError::io(WRITING)(why.into())),
            }
            match self.file.write(&left[..left.len().min(SURE)]) {
                Ok(0) => return Err(DumpError::io(WRITING)(io::ErrorKind::WriteZero.into())),
                Ok(wrote) => left = &left[wrote..],
                Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(why) => return Err(DumpError::io(WRITING)(why)),
            }
        }
        Ok(())
    }
}

const WRITING: &str = "cannot write the dump";

/// Writes all of some pieces by a call that writes as much as it pleases, told how much it has written so far; how much that
/// was in the end.
fn all_of(
    pieces: &[impl AsRef<[u8]>],
    mut write: impl FnMut(u64, &[IoSlice<'_>]) -> io::Result<usize>,
) -> Result<u64, DumpError> {
    let mut slices: Vec<_> =
        pieces.iter().map(AsRef::as_ref).filter(|piece| !piece.is_empty()).map(IoSlice::new).collect();
    let (mut left, mut done) = (&mut slices[..], 0);
    while !left.is_empty() {
        match write(done, left) {
            Ok(0) => return Err(DumpError::io(WRITING)(io::ErrorKind::WriteZero.into())),
            Ok(wrote) => {
                done += wrote as u64;
                IoSlice::advance_slices(&mut left, wrote);
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(DumpError::io(WRITING)(why)),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        std::fs::write(&path, "an older one").unwrap();
        let progress = Progress::default();
        let mut given_up = Target::create(&path).unwrap();
        given_up.append(b"half", &progress).unwrap();
        drop(given_up);
        assert_eq!(std::fs::read(&path).unwrap(), b"an older one");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing is left behind");

        let mut target = Target::create(&path).unwrap();
        target.append(b"new", &progress).unwrap();
        target.append_zeroes(3, &progress).unwrap();
        target.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new\0\0\0");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("dump"), folder.path().join("link"));
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut target = Target::create(&link).unwrap();
        target.append(b"new", &Progress::default()).unwrap();
        target.commit().unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let refused = Target::create(Path::new("/nonexistent/dump")).unwrap_err();
        assert_eq!(refused.to_string(), "Could not open '/nonexistent/dump': No such file or directory");
        assert!(matches!(Target::create(Path::new("/")), Err(DumpError::Open { .. })));
    }

    #[test]
    fn a_pipe_without_a_reader_is_an_error_and_nobody_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let error = Target::create(&path).unwrap_err();
        assert!(matches!(&error, DumpError::Open { why, .. } if why.raw_os_error() == Some(6)), "{error}");

        let mut reader =
            OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&path).unwrap();
        let mut target = Target::create(&path).unwrap();
        let sent: Vec<u8> = (0..1 << 20).map(|n: u32| (n >> 4) as u8).collect();
        let received = std::thread::scope(|scope| {
            let writer = scope.spawn(|| target.append(&sent, &Progress::default()).map(|()| drop(target)));
            let mut received = Vec::new();
            let begun = std::time::Instant::now();
            while received.len() < sent.len() && begun.elapsed().as_secs() < 60 {
                let mut some = [0; 10_000];
                let len = reader.read(&mut some).unwrap_or(0);
                received.extend_from_slice(&some[..len]);
            }
            writer.join().unwrap().unwrap();
            received
        });
        assert!(received == sent, "a full pipe is waited for");
    }

    #[test]
    fn a_reader_that_goes_away_is_an_error_and_one_that_sleeps_can_be_left() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut target = Target::descriptor(ours.into()).unwrap();
        assert!(!target.seekable());
        let progress = Progress::default();
        target.append(b"hello", &progress).unwrap();
        let mut read = [0; 5];
        theirs.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello");

        let cancelled = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(50));
                progress.cancel();
            });
            target.append(&vec![1; 8 << 20], &progress)
        });
        assert!(matches!(cancelled, Err(DumpError::Cancelled)));
        drop(theirs);
        assert!(matches!(target.append(b"more", &Progress::default()), Err(DumpError::Io { .. })));
    }
}
