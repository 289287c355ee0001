//! The flattened layout, which can be sent through a pipe: pieces of the file, each with its offset, in any order
//! (makedumpfile.h: `struct makedumpfile_header` and `struct makedumpfile_data_header`). Its numbers are big-endian.

/// What the stream begins with, padded with zeroes to 16 bytes.
pub(crate) const SIGNATURE: &[u8; 12] = b"makedumpfile";
/// The only type that there is.
pub(crate) const TYPE: i64 = 1;
/// The only version that there is.
pub(crate) const VERSION: i64 = 1;
/// Length of the stream's header.
pub(crate) const HEADER_LEN: usize = 4096;
/// Length of a segment's header.
pub(crate) const SEGMENT_LEN: usize = 16;
/// Offset and length of the segment that ends the stream.
pub(crate) const END: i64 = -1;

/// The stream's header.
pub(super) fn header() -> Vec<u8> {
    let mut header = vec![0; HEADER_LEN];
    header[..SIGNATURE.len()].copy_from_slice(SIGNATURE);
    header[16..24].copy_from_slice(&TYPE.to_be_bytes());
    header[24..32].copy_from_slice(&VERSION.to_be_bytes());
    header
}

/// The header of a segment.
pub(super) fn segment(offset: u64, len: u64) -> [u8; SEGMENT_LEN] {
    pair(offset as i64, len as i64)
}

/// What ends the stream.
pub(super) fn end() -> [u8; SEGMENT_LEN] {
    pair(END, END)
}

fn pair(offset: i64, len: i64) -> [u8; SEGMENT_LEN] {
    let mut bytes = [0; SEGMENT_LEN];
    bytes[..8].copy_from_slice(&offset.to_be_bytes());
    bytes[8..].copy_from_slice(&len.to_be_bytes());
    bytes
}
