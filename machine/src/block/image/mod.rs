//! Images: what the host has where the guest has a disk.

mod facts;
pub mod identity;
mod lock;
mod open;
mod overlay;
mod probe;
mod qcow2;
mod raw;
mod window;

pub use facts::{Facts, Header};
pub use open::{ImageError, Opened, open};
pub use overlay::{Contents, Overlay};

use super::page_cache::Cached;
use std::io;

#[cfg(test)]
mod tests;

/// A disk's content. Offsets are in bytes; what lies beyond [`Image::len`] was refused before it comes here.
///
/// Discarding is no operation of its own: what is discarded must read the same on every host ever after, so it is
/// [`Image::write_zeroes`] with `unmap`, or nothing.
pub trait Image: Send {
    /// Its length in bytes, a multiple of 512.
    fn len(&self) -> u64;
    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Fills `into` from `offset` on.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes all of `from`.
    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()>;
    /// Makes a range read as zeroes; with `unmap` its space is given back where the host can.
    fn write_zeroes(&mut self, offset: u64, len: u64, unmap: bool) -> io::Result<()>;
    /// Makes it longer, by what reads as zeroes, or shorter.
    fn resize(&mut self, _bytes: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "Image format driver does not support resize"))
    }
    /// Puts everything written on stable storage.
    fn flush(&mut self) -> io::Result<()>;
    /// The file, if its bytes are the disk's, so that what the host has of it in its page cache can be read past this.
    fn cached(&self) -> Option<Cached> {
        None
    }
    /// The overlay, if writes go to one: it can be saved with the machine.
    fn overlay(&mut self) -> Option<&mut Overlay> {
        None
    }
}
