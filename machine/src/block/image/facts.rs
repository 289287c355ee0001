//! What an opened image says of itself, and what lies behind it.

use crate::commandline::ImageFormat;
use std::path::PathBuf;

/// An image as it was found when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The file.
    pub path: PathBuf,
    /// Its format, as configured or as found out.
    pub format: ImageFormat,
    /// How many bytes the guest sees.
    pub len: u64,
    /// Its header, if it has one.
    pub qcow2: Option<Header>,
    /// The name of the image behind it, as its file has it.
    pub backing_name: Option<String>,
    /// And that one's format.
    pub backing_format: Option<String>,
    /// The name of the file that holds the data, if that is another one.
    pub data_file: Option<String>,
    /// The image that is behind it.
    pub backing: Option<Box<Facts>>,
}

/// A qcow2 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of a cluster.
    pub cluster: u64,
    /// Bits of a reference count.
    pub refcount_bits: u32,
    /// Reference counts may be written late.
    pub lazy_refcounts: bool,
    /// The data file is a raw image of its own.
    pub raw_data_file: bool,
}

impl Facts {
    /// A file that is all that there is to say.
    pub(super) fn raw(path: PathBuf, len: u64) -> Self {
        Self {
            path,
            format: ImageFormat::Raw,
            len,
            qcow2: None,
            backing_name: None,
            backing_format: None,
            data_file: None,
            backing: None,
        }
    }
}
