//! Which format an image has, by its first bytes.

/// How many bytes a guess needs.
pub(super) const HEAD_BYTES: usize = 80;

/// What an image looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Nothing known, so the bytes are the disk's.
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
    /// A format that QEMU would recognize and that cannot be opened here.
    Foreign(&'static str),
}

/// Formats, where their magic lies, and what it is.
const MAGICS: [(Format, usize, &[u8]); 10] = [
    (Format::Qcow2, 0, b"QFI\xfb\x00\x00\x00\x02"),
    (Format::Qcow2, 0, b"QFI\xfb\x00\x00\x00\x03"),
    (Format::Foreign("qcow"), 0, b"QFI\xfb\x00\x00\x00\x01"),
    (Format::Foreign("qcow"), 0, b"QFI\xfb"),
    (Format::Foreign("qed"), 0, b"QED\0"),
    (Format::Foreign("vmdk"), 0, b"KDMV"),
    (Format::Foreign("vmdk"), 0, b"COWD"),
    (Format::Foreign("vhdx"), 0, b"vhdxfile"),
    (Format::Foreign("vdi"), 0x40, b"\x7f\x10\xda\xbe"),
    (Format::Foreign("luks"), 0, b"LUKS\xba\xbe"),
];

/// Guesses from the first [`HEAD_BYTES`] of an image.
pub(super) fn format(head: &[u8]) -> Format {
    let fits = |(_, at, magic): &&(Format, usize, &[u8])| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    MAGICS.iter().find(fits).map_or(Format::Raw, |(format, ..)| *format)
}
