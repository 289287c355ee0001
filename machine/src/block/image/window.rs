//! Disks that are not the whole of a file: a part of one, or nothing at all.

use super::Image;
use std::io::{self, ErrorKind};

/// A part of another image, as driver `raw` makes it with `offset` and `size`.
pub struct Window {
    image: Box<dyn Image>,
    start: u64,
    len: u64,
    /// `size` was given: it keeps its length.
    fixed: bool,
}

impl Window {
    /// The part of `image` from `start` on, all of it without a `size`.
    pub fn new(image: Box<dyn Image>, start: u64, size: Option<u64>) -> Result<Self, String> {
        let whole = image.len();
        let Some(rest) = whole.checked_sub(start) else {
            return Err(format!("Offset ({start}) cannot be greater than size of the containing file ({whole})"));
        };
        match size {
            Some(size) if size > rest => Err(format!(
                "The sum of offset ({start}) and size ({size}) has to be smaller or equal to the actual size of the \
                 containing file ({whole})"
            )),
            _ => Ok(Self { image, start, len: size.unwrap_or(rest), fixed: size.is_some() }),
        }
    }
}

impl Image for Window {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.image.read(self.start + offset, into)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.image.write(self.start + offset, from)
    }

    fn write_zeroes(&mut self, offset: u64, len: u64, unmap: bool) -> io::Result<()> {
        self.image.write_zeroes(self.start + offset, len, unmap)
    }

    fn resize(&mut self, bytes: u64) -> io::Result<()> {
        if self.fixed {
            return Err(io::Error::new(ErrorKind::Unsupported, "Cannot resize fixed-size raw disks"));
        }
        let end = self.start.checked_add(bytes).ok_or(ErrorKind::FileTooLarge)?;
        self.image.resize(end)?;
        self.len = self.image.len() - self.start;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.image.flush()
    }
}

/// A disk that reads as zeroes and forgets what is written, as driver `null-co` makes it.
pub struct Null {
    len: u64,
}

impl Null {
    /// So many bytes of nothing.
    pub fn new(len: u64) -> Self {
        Self { len }
    }
}

impl Image for Null {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&mut self, _: u64, into: &mut [u8]) -> io::Result<()> {
        into.fill(0);
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn write_zeroes(&mut self, _: u64, _: u64, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use crate::commandline::{ImageConfig, ImageFormat, Part};
    use std::path::Path;

    fn part(path: &Path, offset: u64, size: Option<u64>) -> ImageConfig {
        let part = Some(Part { offset, size });
        ImageConfig { format: Some(ImageFormat::Raw), part, ..ImageConfig::at(path) }
    }

    #[test]
    fn a_part_begins_at_its_offset_and_ends_with_its_size() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        let bytes: Vec<u8> = (0..8).flat_map(|sector| [sector; 512]).collect();
        std::fs::write(&path, &bytes).expect("written");
        let mut middle = open(&part(&path, 1024, Some(1024))).expect("opened").image;
        assert_eq!(middle.len(), 1024);
        let mut sector = [0; 512];
        middle.read(512, &mut sector).expect("read");
        assert_eq!(sector, [3; 512]);
        middle.write(0, &[9; 512]).expect("written");
        assert!(middle.resize(512).is_err());
        drop(middle);
        assert_eq!(std::fs::read(&path).expect("read")[1024..1536], [9; 512]);
        let mut rest = open(&part(&path, 512, None)).expect("opened").image;
        assert_eq!(rest.len(), 7 * 512);
        rest.resize(8 * 512).expect("longer");
        assert_eq!((rest.len(), std::fs::metadata(&path).expect("there").len()), (8 * 512, 9 * 512));
        drop(rest);
        for (offset, size) in [(5120, None), (4096, Some(1024)), (u64::MAX, Some(512))] {
            assert!(open(&part(&path, offset, size)).is_err(), "{offset} {size:?}");
        }
    }

    #[test]
    fn a_null_disk_reads_as_zeroes_whatever_was_written() {
        let config = ImageConfig { null: Some(1 << 30), ..ImageConfig::at("null-co://") };
        let mut disk = open(&config).expect("opened").image;
        assert_eq!(disk.len(), 1 << 30);
        disk.write(512, &[1; 512]).expect("forgotten");
        let mut sector = [5; 512];
        disk.read(512, &mut sector).expect("read");
        assert_eq!(sector, [0; 512]);
    }
}
