//! A flattened stream seen as the file that was flattened.

use super::ReadError;
use super::source::{Source, exactly};
use crate::kdump::{END, HEADER_LEN, SEGMENT_LEN, TYPE, VERSION};
use std::io;

/// Segments of a file that is not made to wear readers out.
const MOST_SEGMENTS: usize = 1 << 22;

#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Where it belongs.
    offset: u64,
    len: u64,
    /// Where it is.
    at: u64,
}

/// The file behind a stream.
pub(super) struct Flattened {
    stream: Box<dyn Source>,
    /// By offset; none reaches into the next.
    segments: Vec<Segment>,
    complete: bool,
}

impl Flattened {
    pub(super) fn of(stream: Box<dyn Source>) -> Result<Self, ReadError> {
        let header = exactly(stream.as_ref(), 0, HEADER_LEN)?;
        let header = header.ok_or(ReadError::Malformed("the flattened header is cut off"))?;
        if number(&header, 16) != TYPE || number(&header, 24) != VERSION {
            return Err(ReadError::Malformed("the flattened header is of an unknown type or version"));
        }
        let mut at = HEADER_LEN as u64;
        let mut segments = Vec::new();
        let end = stream.end()?;
        let complete = loop {
            let mut head = [0; SEGMENT_LEN];
            if stream.read_at(at, &mut head)? < head.len() {
                break false;
            }
            let (offset, len) = (number(&head, 0), number(&head, 8));
            if offset == END && len == END {
                break true;
            }
            at += SEGMENT_LEN as u64;
            let (Ok(offset), Ok(len)) = (u64::try_from(offset), u64::try_from(len)) else {
                return Err(ReadError::Malformed("a segment's offset or length is negative"));
            };
            if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
                return Err(ReadError::Malformed("a segment reaches beyond the largest file"));
            }
            if segments.len() == MOST_SEGMENTS {
                return Err(ReadError::Malformed("there are too many segments"));
            }
            let there = len.min(end.saturating_sub(at));
            if there > 0 {
                segments.push(Segment { offset, len: there, at });
            }
            if there < len {
                break false;
            }
            at += len;
        };
        segments.sort_by_key(|segment| segment.offset);
        if segments.windows(2).any(|pair| pair[0].offset + pair[0].len > pair[1].offset) {
            return Err(ReadError::Malformed("segments overlap"));
        }
        Ok(Self { stream, segments, complete })
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn complete(&self) -> bool {
        self.complete
    }
}

impl Source for Flattened {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let end = self.end()?;
        let len = end.saturating_sub(offset).min(into.len() as u64) as usize;
        let into = &mut into[..len];
        // What no segment fills is a hole.
        into.fill(0);
        let first = self.segments.partition_point(|segment| segment.offset + segment.len <= offset);
        for segment in &self.segments[first..] {
            let from = segment.offset.max(offset);
            let to = (segment.offset + segment.len).min(offset + len as u64);
            if from >= to {
                break;
            }
            let part = &mut into[(from - offset) as usize..(to - offset) as usize];
            self.stream.read_at(segment.at + (from - segment.offset), part)?;
        }
        Ok(len)
    }

    fn end(&self) -> io::Result<u64> {
        Ok(self.segments.last().map_or(0, |segment| segment.offset + segment.len))
    }
}

/// The big-endian number at `at`; zero beyond the end.
fn number(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Bytes;

    fn stream(parts: &[(i64, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[..12].copy_from_slice(b"makedumpfile");
        bytes[23] = 1;
        bytes[31] = 1;
        for (offset, part) in parts {
            bytes.extend(offset.to_be_bytes());
            bytes.extend((part.len() as i64).to_be_bytes());
            bytes.extend(*part);
        }
        bytes
    }

    fn open(parts: &[(i64, &[u8])], end: bool) -> Result<Flattened, ReadError> {
        let mut bytes = stream(parts);
        if end {
            bytes.extend([0xff; 16]);
        }
        Flattened::of(Box::new(Bytes(bytes)))
    }

    #[test]
    fn segments_come_in_any_order_and_leave_holes_of_zeroes() {
        let file = open(&[(8, b"world"), (0, b"hello")], true).unwrap();
        assert!(file.complete());
        let mut all = [9; 20];
        assert_eq!(file.read_at(0, &mut all).unwrap(), 13);
        assert_eq!(&all[..13], b"hello\0\0\0world");
        let mut some = [9; 4];
        assert_eq!(file.read_at(6, &mut some).unwrap(), 4);
        assert_eq!(&some, b"\0\0wo");
        assert_eq!(file.read_at(13, &mut some).unwrap(), 0);
    }

    #[test]
    fn a_stream_that_ends_early_is_told() {
        assert!(!open(&[(0, b"hello")], false).unwrap().complete());
        let mut cut = stream(&[(0, b"hello")]);
        cut.pop();
        let file = Flattened::of(Box::new(Bytes(cut))).unwrap();
        assert_eq!((file.complete(), file.end().unwrap()), (false, 4));
    }

    #[test]
    fn segments_that_contradict_are_refused() {
        assert!(open(&[(0, b"hello"), (4, b"world")], true).is_err());
        assert!(open(&[(-2, b"hello")], true).is_err());
        assert!(open(&[(i64::MAX - 1, b"hello")], true).is_err());
    }
}
