//! What a dump is read from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Something that can be read anywhere, by several threads.
pub trait Source: Send + Sync {
    /// Reads as much as there is from `offset` on, up to all of `into`.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// The offset after the last byte.
    fn end(&self) -> io::Result<u64>;
}

impl Source for File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            let Some(at) = offset.checked_add(done as u64) else { break };
            match FileExt::read_at(self, &mut into[done..], at) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                // Beyond what the host's offsets can say.
                Err(why) if why.kind() == io::ErrorKind::InvalidInput => break,
                Err(why) => return Err(why),
            }
        }
        Ok(done)
    }

    fn end(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Bytes in memory.
#[derive(Clone, Debug)]
pub struct Bytes(pub Vec<u8>);

impl Source for Bytes {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let len = from.len().min(into.len());
        into[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    fn end(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// Reads exactly as much as asked for, or nothing.
pub(super) fn exactly(source: &dyn Source, offset: u64, len: usize) -> io::Result<Option<Vec<u8>>> {
    // A length that a file claims must not take memory before there are so many bytes.
    if source.end()?.checked_sub(offset).is_none_or(|left| left < len as u64) {
        return Ok(None);
    }
    let mut bytes = vec![0; len];
    let read = source.read_at(offset, &mut bytes)?;
    Ok((read == len).then_some(bytes))
}
