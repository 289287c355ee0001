//! Little-endian fields of files and of the structures handed to kernels.

use super::error::LoadError;

/// `length` bytes of `bytes` from `offset`, or an error that names `what`.
pub(super) fn slice<'a>(bytes: &'a [u8], offset: u64, length: u64, what: &'static str) -> Result<&'a [u8], LoadError> {
    let range = || {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        bytes.get(start..end)
    };
    range().ok_or(LoadError::Truncated { what, offset, needed: length, size: bytes.len() as u64 })
}

/// A field of `N` bytes, if it is there.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// The byte at `offset`, 0 behind the end.
pub(super) fn u8_at(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or(0)
}

/// The 16-bit field at `offset`, 0 behind the end.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    field(bytes, offset).map_or(0, u16::from_le_bytes)
}

/// The 32-bit field at `offset`, 0 behind the end.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    field(bytes, offset).map_or(0, u32::from_le_bytes)
}

/// The 64-bit field at `offset`, 0 behind the end.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    field(bytes, offset).map_or(0, u64::from_le_bytes)
}

/// Writes `value` at `offset`. Used on structures of our own making only; a field outside is dropped.
pub(super) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    if let Some(place) = offset.checked_add(value.len()).and_then(|end| bytes.get_mut(offset..end)) {
        place.copy_from_slice(value);
    }
}

/// A text as a C string.
pub(super) fn c_string(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// An address that a 32-bit field can hold; the arena hands out nothing above 4 GiB to 32-bit protocols.
pub(super) fn low32(address: u64) -> [u8; 4] {
    (address as u32).to_le_bytes()
}
