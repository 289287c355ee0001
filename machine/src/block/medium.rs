//! What is put into a drive while the machine exists: an image that is opened then, in words that a log can hold.

use super::drive::{Drive, DriveInfo};
use super::drives::DriveError;
use super::image::{self, Facts, identity};
use super::worker::Worker;
use crate::commandline::ImageConfig;
use lockstep_fabric::Medium;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// An image to be put into a drive, as a log tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insertion {
    /// The image.
    pub image: ImageConfig,
    /// The hash of what it held then, if the run is to be repeated.
    pub hash: Option<String>,
}

/// An opened image on its way into a drive.
pub struct Loaded {
    pub(super) len: u64,
    pub(super) read_only: bool,
    pub(super) worker: Worker,
    pub(super) facts: Facts,
    /// The group of throttled drives that the image is in.
    pub(super) filter: Option<String>,
}

impl Loaded {
    /// What the drive's device is told of it.
    pub fn medium(&self) -> Medium {
        Medium { bytes: self.len, read_only: self.read_only }
    }
}

impl Insertion {
    /// Opens an image for a drive; with `repeatable` its content is hashed, for the log.
    pub fn open(image: &ImageConfig, drive: &DriveInfo, repeatable: bool) -> Result<(Self, Loaded), DriveError> {
        let origin = || format!("drive {}", drive.id);
        let host = |why| DriveError::Host { origin: origin(), why };
        let opened = image::open(image).map_err(|why| DriveError::Image { origin: origin(), why })?;
        let hash = if repeatable { Some(hash(&opened.files).map_err(host)?) } else { None };
        let loaded = Drive::load(drive, image, opened).map_err(host)?;
        Ok((Self { image: image.clone(), hash }, loaded))
    }

    /// Opens what a log tells of; an error if it is not what it was then.
    pub fn again(&self, drive: &DriveInfo) -> Result<Loaded, DriveError> {
        let (now, loaded) = Self::open(&self.image, drive, self.hash.is_some())?;
        if now.hash == self.hash { Ok(loaded) } else { Err(DriveError::Changed(self.image.path.clone())) }
    }
}

/// The hashes of all files of an image.
fn hash(files: &[PathBuf]) -> io::Result<String> {
    let hashes = files.iter().map(|path| Ok(format!("{:032x}", identity::of(path)?)));
    Ok(hashes.collect::<io::Result<Vec<_>>>()?.join(" "))
}
