//! `struct new_utsname` (include/uapi/linux/utsname.h): six names of 65 bytes.

use crate::Architecture;

/// Length of a name with its terminating zero.
const NAME_LEN: usize = 65;
/// Length of all six.
pub(super) const UTSNAME_LEN: usize = 6 * NAME_LEN;
/// What Linux calls itself.
const SYSNAME: &[u8] = b"Linux";
/// Numbers of the names.
pub(super) const RELEASE: usize = 2;
const MACHINE: usize = 4;
/// What readers take for a kernel on x86 beside `i386` to `i686`.
const LONG_MACHINE: &str = "x86_64";

/// One of the names.
pub(super) fn field(utsname: &[u8], number: usize) -> String {
    let bytes = utsname.get(number * NAME_LEN..(number + 1) * NAME_LEN).unwrap_or_default();
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// The utsname that `bytes` begin with, if it is one of Linux on x86.
pub(super) fn at(bytes: &[u8]) -> Option<Box<[u8; UTSNAME_LEN]>> {
    let found: &[u8; UTSNAME_LEN] = bytes.get(..UTSNAME_LEN)?.try_into().ok()?;
    let names = found.chunks_exact(NAME_LEN);
    let sound = |name: &[u8]| {
        let mut after = name.iter().skip_while(|byte| (b' '..=b'~').contains(byte));
        // Terminated, that is, and nothing after that.
        after.next() == Some(&0) && after.all(|byte| *byte == 0)
    };
    let rest_is_zero = found[SYSNAME.len()..NAME_LEN].iter().all(|byte| *byte == 0);
    let machine = field(found, MACHINE);
    let x86 = machine == LONG_MACHINE
        || machine.strip_prefix('i').and_then(|rest| rest.strip_suffix("86")).is_some_and(|digit| digit.len() == 1);
    let linux = found.starts_with(SYSNAME) && rest_is_zero && !field(found, RELEASE).is_empty();
    (linux && x86 && names.into_iter().all(sound)).then(|| Box::new(*found))
}

/// What stands for a utsname that was not found.
pub(super) fn default(architecture: Architecture, release: Option<&str>) -> [u8; UTSNAME_LEN] {
    let machine = if architecture.long_mode() { LONG_MACHINE } else { "i686" };
    // Readers that find release, version or machine empty take nothing from it, the architecture not either.
    let names = ["Linux", "(none)", release.unwrap_or("unknown"), "unknown", machine, "(none)"];
    let mut utsname = [0; UTSNAME_LEN];
    for (room, name) in utsname.chunks_exact_mut(NAME_LEN).zip(names) {
        let len = name.len().min(NAME_LEN - 1);
        room[..len].copy_from_slice(&name.as_bytes()[..len]);
    }
    utsname
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_is_found_again() {
        let made = default(Architecture::X86_64, Some("6.1.0-56-amd64"));
        assert_eq!(*at(&made).unwrap(), made);
        assert_eq!(field(&made, RELEASE), "6.1.0-56-amd64");
        assert!(at(&default(Architecture::I386, None)).is_some());
        let long = default(Architecture::X86_64, Some(&"x".repeat(200)));
        assert_eq!(field(&long, RELEASE).len(), 64);
    }

    #[test]
    fn other_systems_and_torn_names_are_refused() {
        let good = default(Architecture::X86_64, None);
        for (at_byte, value) in [(0, b'l'), (6, b'x'), (64, 1), (65 * 4, b'y'), (65 * 4 + 20, 1), (65 * 2, 0), (70, 9)]
        {
            let mut bad = good;
            bad[at_byte] = value;
            assert!(at(&bad).is_none(), "{at_byte}");
        }
        assert!(at(&good[..good.len() - 1]).is_none());
    }
}
