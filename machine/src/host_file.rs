//! Files of the host, opened by name. A name `/dev/fdset/N` stands for the descriptors of set N, which were handed over by
//! `-add-fd` or QMP's `add-fd`: to open it is to duplicate the one with the access that is asked for.
//!
//! The sets belong to the process, as descriptors do.

use lockstep_qmp::server::inherited;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the names of sets begin with.
const SETS_FOLDER: &str = "/dev/fdset/";

/// Access for one who creates a file or empties the one that is there.
pub const CREATE: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::TRUNC);

/// Flags that a duplicate is given, whatever its origin has.
const CHANGEABLE: OFlags = OFlags::APPEND.union(OFlags::NONBLOCK);

static SETS: Mutex<DescriptorSets> = Mutex::new(DescriptorSets { sets: BTreeMap::new() });

/// The sets of this process.
pub fn sets() -> MutexGuard<'static, DescriptorSets> {
    SETS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a file, or a descriptor of a set. Without a descriptor of just this access it is `EACCES`, without the set
/// `ENOENT`.
pub fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    match set_of(path) {
        Some(id) => sets().open(id?, flags),
        None => {
            let mode = Mode::from_raw_mode(0o666);
            let opened = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags | OFlags::CLOEXEC, mode));
            Ok(opened?.into())
        }
    }
}

/// Whether a name stands for a set.
pub fn is_in_set(path: &Path) -> bool {
    set_of(path).is_some()
}

/// The set that a name stands for, if it looks like one.
fn set_of(path: &Path) -> Option<io::Result<i64>> {
    let number = path.to_str()?.strip_prefix(SETS_FOLDER)?;
    let id = number.parse().ok().filter(|id| *id >= 0);
    Some(id.ok_or_else(|| Errno::INVAL.into()))
}

/// Sets of descriptors by number.
#[derive(Debug, Default)]
pub struct DescriptorSets {
    sets: BTreeMap<i64, Vec<Member>>,
}

/// A descriptor of a set.
#[derive(Debug)]
pub struct Member {
    descriptor: OwnedFd,
    /// What the one who handed it over noted of it.
    pub opaque: Option<String>,
}

impl Member {
    /// The descriptor's number.
    pub fn number(&self) -> i64 {
        self.descriptor.as_raw_fd().into()
    }
}

impl DescriptorSets {
    /// Adds a descriptor to a set, which need not be there yet; `None` is the first number that no set has. The set and
    /// the descriptor's number.
    pub fn add(&mut self, set: Option<i64>, descriptor: OwnedFd, opaque: Option<String>) -> (i64, i64) {
        let id = set.or_else(|| (0..).find(|id| !self.sets.contains_key(id))).unwrap_or_default();
        let member = Member { descriptor, opaque };
        let number = member.number();
        self.sets.entry(id).or_default().push(member);
        (id, number)
    }

    /// Closes a descriptor of a set, or all of it; what was opened from it stays open. False if there is no such thing.
    pub fn remove(&mut self, id: i64, number: Option<i64>) -> bool {
        let Some(members) = self.sets.get_mut(&id) else { return false };
        let before = members.len();
        members.retain(|member| number.is_some_and(|number| member.number() != number));
        let removed = members.len() < before;
        self.sets.retain(|_, members| !members.is_empty());
        removed
    }

    /// Every set, by number.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &[Member])> {
        self.sets.iter().map(|(id, members)| (*id, members.as_slice()))
    }

    /// Duplicates the descriptor of a set that was opened for the access in `flags`; the latest one, if there are several.
    fn open(&self, id: i64, flags: OFlags) -> io::Result<File> {
        let members = self.sets.get(&id).ok_or(Errno::NOENT)?;
        for member in members.iter().rev() {
            let its = rustix::fs::fcntl_getfl(&member.descriptor)?;
            if its & OFlags::RWMODE == flags & OFlags::RWMODE {
                let file = File::from(rustix::io::fcntl_dupfd_cloexec(&member.descriptor, 0)?);
                rustix::fs::fcntl_setfl(&file, its.difference(CHANGEABLE) | flags.intersection(CHANGEABLE))?;
                if flags.contains(OFlags::TRUNC) {
                    empty(&file)?;
                }
                return Ok(file);
            }
        }
        Err(Errno::ACCESS.into())
    }
}

/// Empties a file. What is no file, as a pipe, is never full.
fn empty(file: &File) -> io::Result<()> {
    if file.metadata()?.is_file() { file.set_len(0) } else { Ok(()) }
}

/// Takes a descriptor that the process was started with, for `-add-fd`. One that is closed when another program is started
/// cannot have come so: it is one of our own.
pub fn take_inherited(number: u32) -> io::Result<OwnedFd> {
    let status = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let flags = status.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or_default();
    if OFlags::from_bits_retain(flags).contains(OFlags::CLOEXEC) {
        return Err(Errno::BADF.into());
    }
    let taken = inherited(number)?;
    // The one that was inherited would keep a pipe open after the set is gone.
    let _ = nix::unistd::close(number.cast_signed());
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn errno(result: io::Result<File>) -> Option<i32> {
        result.err().and_then(|error| error.raw_os_error())
    }

    #[test]
    fn a_set_gives_the_descriptor_with_the_access_that_is_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        std::fs::write(&path, "old").expect("written");
        let mut sets = DescriptorSets::default();
        sets.add(Some(3), open(&path, OFlags::RDONLY).expect("opened").into(), None);
        assert_eq!(errno(sets.open(3, OFlags::WRONLY)), Some(libc::EACCES));
        assert_eq!(errno(sets.open(3, OFlags::RDWR)), Some(libc::EACCES));
        assert_eq!(errno(sets.open(4, OFlags::RDONLY)), Some(libc::ENOENT));

        sets.add(Some(3), open(&path, OFlags::WRONLY).expect("opened").into(), None);
        let mut appended = sets.open(3, OFlags::WRONLY | OFlags::APPEND).expect("it fits");
        appended.write_all(b"er").expect("written");
        let mut text = String::new();
        sets.open(3, OFlags::RDONLY).expect("it fits").read_to_string(&mut text).expect("read");
        assert_eq!(text, "older");
        sets.open(3, CREATE).expect("it fits").write_all(b"new").expect("written");
        assert_eq!(std::fs::read(&path).expect("read").len(), 8, "the duplicates share where they stand");
    }

    #[test]
    fn what_was_opened_outlives_the_set() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let mut sets = DescriptorSets::default();
        let (set, number) = sets.add(None, writer.into(), Some("log".into()));
        assert_eq!(set, 0);
        let mut file = sets.open(set, CREATE).expect("a pipe is written too");
        assert!(!sets.remove(set, Some(number + 1)));
        assert!(sets.remove(set, Some(number)));
        assert_eq!(sets.iter().count(), 0);
        file.write_all(b"x").expect("written");
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("until the last descriptor is closed");
        assert_eq!(text, "x");
    }

    #[test]
    fn names_of_sets_are_numbers() {
        assert_eq!(errno(open(Path::new("/dev/fdset/x"), OFlags::RDONLY)), Some(libc::EINVAL));
        assert_eq!(errno(open(Path::new("/dev/fdset/-1"), OFlags::RDONLY)), Some(libc::EINVAL));
        assert_eq!(errno(open(Path::new("/dev/fdset/987654321"), OFlags::RDONLY)), Some(libc::ENOENT));
        assert!(!is_in_set(Path::new("/dev/null")));
    }

    #[test]
    fn only_what_was_inherited_is_taken() {
        let own = File::open("/dev/null").expect("opened");
        assert!(take_inherited(own.as_raw_fd().cast_unsigned()).is_err());
        assert!(take_inherited(999_999).is_err());
    }
}
