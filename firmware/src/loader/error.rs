//! Why a kernel cannot be started.

use thiserror::Error;

/// Why a kernel cannot be started. Each message says what is wrong and where; the caller adds which file it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No known magic number.
    #[error("not a bzImage, a Multiboot image or an ELF file")]
    NotAKernel,
    /// The file ends inside something that it announces.
    #[error("truncated: {what} at offset {offset:#x} needs {needed} bytes, the file has {size}")]
    Truncated {
        /// The structure.
        what: &'static str,
        /// Where it begins in the file.
        offset: u64,
        /// How long it is.
        needed: u64,
        /// The file's length.
        size: u64,
    },
    /// An ELF file for some other processor.
    #[error("an ELF file for machine {machine}, not for i386 (3) or x86-64 (62)")]
    WrongMachine {
        /// `e_machine`.
        machine: u16,
    },
    /// An ELF file whose header contradicts itself.
    #[error("bad ELF file: {reason}")]
    BadElf {
        /// What is wrong.
        reason: &'static str,
    },
    /// An ELF file that says nowhere how to enter it.
    #[error("an ELF file without a PVH entry note (XEN_ELFNOTE_PHYS32_ENTRY) and without a Multiboot header")]
    NoEntryNote,
    /// A Linux kernel from before what is supported.
    #[error("Linux boot protocol {major}.{minor:02} is too old, 2.02 or newer is needed")]
    OldProtocol {
        /// Major version.
        major: u8,
        /// Minor version.
        minor: u8,
    },
    /// A zImage, which loads below 1 MiB.
    #[error("a zImage (loadflags lacks LOADED_HIGH), only a bzImage can be loaded")]
    NotLoadedHigh,
    /// A field whose value makes no sense.
    #[error("bad header: {field} is {value:#x}")]
    BadField {
        /// The field by its name in the protocol.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A Multiboot kernel that insists on something that is not there.
    #[error("the Multiboot header demands features that are not supported: flags {flags:#x}")]
    UnsupportedFlags {
        /// The flags that are not supported.
        flags: u32,
    },
    /// The kernel wants an address at which there is no (free) RAM.
    #[error("{what} does not fit: {start:#x}-{end:#x} is not free RAM")]
    DoesNotFit {
        /// What was to be placed.
        what: &'static str,
        /// First address.
        start: u64,
        /// First address behind it.
        end: u64,
    },
    /// No hole in RAM is large enough.
    #[error("no room for {what}: {size} bytes are needed in free RAM from {from:#x} to {to:#x}")]
    NoRoom {
        /// What was to be placed.
        what: &'static str,
        /// How long it is.
        size: u64,
        /// Where the search began.
        from: u64,
        /// Where it ended.
        to: u64,
    },
    /// The command line is longer than the kernel accepts.
    #[error("the command line has {length} bytes, the kernel accepts {limit}")]
    CommandLineTooLong {
        /// Its length.
        length: u64,
        /// The kernel's limit.
        limit: u64,
    },
    /// More initrds than a Linux kernel takes.
    #[error("a bzImage takes one initrd, {count} were given")]
    TooManyModules {
        /// How many there are.
        count: usize,
    },
}
