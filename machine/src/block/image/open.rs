//! From a configuration to an open image: files, locks, formats, backing chains.

use super::probe::{self, Format, HEAD_BYTES};
use super::qcow2::{self, Qcow2};
use super::raw::{Raw, read_to_end_of_file};
use super::window::{Null, Window};
use super::{Facts, Image, Overlay, lock};
use crate::commandline::{Access, Backing, ImageConfig, ImageFormat, Part};
use crate::host_file;
use imago::file::File as Storage;
use imago::qcow2::Qcow2 as ImagoQcow2;
use imago::raw::Raw as ImagoRaw;
use imago::{FormatAccess, StorageOpenOptions};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The longest chain of backing images; a longer one leads in a circle.
const LONGEST_CHAIN: usize = 100;

/// Why an image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The host cannot open or read the file.
    #[error("{}: {}", path.display(), plain(why))]
    Host {
        /// The file.
        path: PathBuf,
        /// The host's word.
        why: io::Error,
    },
    /// Another process has locked it.
    #[error("{}: the image is in use by another process, or twice here", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The image's metadata makes no sense, or asks for what there is not.
    #[error("{}: cannot be used as a qcow2 image: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A format that cannot be opened here.
    #[error("{}: images of format {format} are not built in this version of Lockstep", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: String,
    },
    /// What lies behind it cannot be opened.
    #[error("{}: its {part}: {why}", path.display())]
    Behind {
        /// The image.
        path: PathBuf,
        /// `backing file` or `data file`.
        part: &'static str,
        /// Why not.
        why: Box<ImageError>,
    },
}

/// The host's word without the number that Rust adds.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// An image, ready for use.
pub struct Opened {
    /// The image, with its overlay if writes are to go to one.
    pub image: Box<dyn Image>,
    /// It cannot be written.
    pub read_only: bool,
    /// The files that it consists of, the one named first.
    pub files: Vec<PathBuf>,
    /// Something that the user should know.
    pub warning: Option<String>,
    /// What it says of itself.
    pub facts: Facts,
}

/// Opens an image as it is configured.
pub fn open(config: &ImageConfig) -> Result<Opened, ImageError> {
    if let Some(len) = config.null {
        return Ok(nothing(config, len));
    }
    let mut files = Vec::new();
    let source = Source::open(config, !config.is_kept(), &mut files)?;
    let read_only = !source.write && !config.snapshot;
    let warning = (source.guessed && source.format == ImageFormat::Raw && source.write).then(|| {
        format!(
            "{}: no format was given and raw was guessed; writes that would make its first bytes look like another \
             format are refused (say format=raw)",
            config.path.display()
        )
    });
    let (base, facts): (Box<dyn Image>, Facts) = match source.format {
        ImageFormat::Raw => {
            let raw = Raw::new(source.file, source.guessed && source.write)
                .map_err(|why| ImageError::Host { path: config.path.clone(), why })?;
            let raw = part(config, Box::new(raw))?;
            let facts = Facts::raw(config.path.clone(), raw.len());
            (raw, facts)
        }
        ImageFormat::Qcow2 => {
            let (access, facts) = source.qcow2(config, &mut files)?;
            (Box::new(Qcow2::new(access, facts.backing.is_some())), facts)
        }
    };
    let image = overlaid(config, base);
    Ok(Opened { image, read_only: read_only || config.access == Access::ReadOnly, files, warning, facts })
}

/// The image, under an overlay if writes are to go to one.
fn overlaid(config: &ImageConfig, base: Box<dyn Image>) -> Box<dyn Image> {
    if config.snapshot && config.access != Access::ReadOnly { Box::new(Overlay::new(base)) } else { base }
}

/// The part of a raw image that is wanted.
fn part(config: &ImageConfig, raw: Box<dyn Image>) -> Result<Box<dyn Image>, ImageError> {
    let Some(Part { offset, size }) = config.part else { return Ok(raw) };
    let refused = |why| ImageError::Host { path: config.path.clone(), why: io::Error::other(why) };
    Ok(Box::new(Window::new(raw, offset, size).map_err(refused)?))
}

/// A disk without a file.
fn nothing(config: &ImageConfig, len: u64) -> Opened {
    Opened {
        image: overlaid(config, Box::new(Null::new(len))),
        read_only: config.access == Access::ReadOnly,
        files: Vec::new(),
        warning: None,
        facts: Facts::raw(config.path.clone(), len),
    }
}

/// A file whose format is known.
struct Source {
    file: File,
    format: ImageFormat,
    guessed: bool,
    write: bool,
}

impl Source {
    fn open(config: &ImageConfig, write: bool, files: &mut Vec<PathBuf>) -> Result<Self, ImageError> {
        let path = &config.path;
        let (file, write) = open_file(path, write, config.access == Access::Auto, config.lock)?;
        files.push(path.clone());
        let host = |why| ImageError::Host { path: path.clone(), why };
        let format = match config.format {
            Some(format) => format,
            None => {
                let mut head = [0; HEAD_BYTES];
                read_to_end_of_file(&file, 0, &mut head).map_err(host)?;
                match probe::format(&head) {
                    Format::Raw => ImageFormat::Raw,
                    Format::Qcow2 => ImageFormat::Qcow2,
                    Format::Foreign(format) => {
                        return Err(ImageError::Foreign { path: path.clone(), format: format.into() });
                    }
                }
            }
        };
        Ok(Self { file, format, guessed: config.format.is_none(), write })
    }

    /// The image and all that lies behind it.
    fn qcow2(self, config: &ImageConfig, files: &mut Vec<PathBuf>) -> Result<(qcow2::Access, Facts), ImageError> {
        let path = &config.path;
        let malformed = |why: String| ImageError::Malformed { path: path.clone(), why };
        let host = |why| ImageError::Host { path: path.clone(), why };
        let len = (&self.file).seek(SeekFrom::End(0)).map_err(host)?;
        let header = qcow2::read_header(&self.file, len).map_err(host)?.map_err(malformed)?;
        let write = self.write;
        let storage = storage(self.file, path, write).map_err(host)?;
        let mut image = ImagoQcow2::<Storage>::open_image(storage, write).map_err(|error| malformed(plain(&error)))?;
        if image.requires_external_data_file() {
            let name =
                image.implicit_external_data_file().ok_or_else(|| malformed("its data file has no name".into()))?;
            let name = beside(path, name);
            let behind =
                |why: ImageError| ImageError::Behind { path: path.clone(), part: "data file", why: Box::new(why) };
            let (file, _) = open_file(&name, write, false, config.lock).map_err(behind)?;
            files.push(name.clone());
            let data = storage_or(file, &name, write).map_err(behind)?;
            image.set_data_file(Some(data));
        } else {
            image.set_data_file(None);
        }
        let named = image.implicit_backing_file().map(|name| {
            let format = image.implicit_backing_format().map(String::as_str);
            (beside(path, name.strip_prefix("file:").unwrap_or(name)), format.map(str::to_owned))
        });
        let backing = match (&config.backing, named) {
            (Backing::Nothing, _) | (Backing::AsHeader, None) => None,
            (Backing::Image(backing), _) => Some((**backing).clone()),
            (Backing::AsHeader, Some((name, format))) => {
                let format = match format.as_deref() {
                    None => None,
                    Some("raw" | "file" | "host_device") => Some(ImageFormat::Raw),
                    Some("qcow2") => Some(ImageFormat::Qcow2),
                    Some(other) => {
                        return Err(ImageError::Behind {
                            path: path.clone(),
                            part: "backing file",
                            why: Box::new(ImageError::Foreign { path: name, format: other.into() }),
                        });
                    }
                };
                Some(ImageConfig { format, access: Access::ReadOnly, lock: config.lock, ..ImageConfig::at(name) })
            }
        };
        let backing = backing.map(|backing| behind(&backing, files)).transpose().map_err(|why| ImageError::Behind {
            path: path.clone(),
            part: "backing file",
            why: Box::new(why),
        })?;
        let (backing, backing_facts) = backing.unzip();
        let mut facts = Facts {
            format: ImageFormat::Qcow2,
            qcow2: Some(header),
            backing_name: image.implicit_backing_file().cloned(),
            backing_format: image.implicit_backing_format().cloned(),
            data_file: image.implicit_external_data_file().cloned(),
            backing: backing_facts.map(Box::new),
            ..Facts::raw(path.clone(), 0)
        };
        image.set_backing(backing);
        let access = FormatAccess::new(image);
        facts.len = access.size();
        Ok((access, facts))
    }
}

/// A backing image, only read.
fn behind(config: &ImageConfig, files: &mut Vec<PathBuf>) -> Result<(qcow2::Access, Facts), ImageError> {
    if files.len() >= LONGEST_CHAIN {
        let why = "the chain of backing files has no end".into();
        return Err(ImageError::Malformed { path: config.path.clone(), why });
    }
    let source = Source::open(config, false, files)?;
    match source.format {
        ImageFormat::Qcow2 => source.qcow2(config, files),
        ImageFormat::Raw => {
            let data = storage_or(source.file, &config.path, false)?;
            let raw = ImagoRaw::open_image(data, false);
            let raw = raw.map_err(|why| ImageError::Host { path: config.path.clone(), why })?;
            let access = FormatAccess::new(raw);
            let facts = Facts::raw(config.path.clone(), access.size());
            Ok((access, facts))
        }
    }
}

fn storage(file: File, path: &Path, write: bool) -> io::Result<Storage> {
    Storage::from_open_file(file, StorageOpenOptions::new().filename(path).write(write))
}

fn storage_or(file: File, path: &Path, write: bool) -> Result<Storage, ImageError> {
    storage(file, path, write).map_err(|why| ImageError::Host { path: path.into(), why })
}

/// A path that an image names is relative to the image.
fn beside(image: &Path, name: &str) -> PathBuf {
    image.parent().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

/// Opens and locks a file. The flag says whether it can be written.
fn open_file(path: &Path, write: bool, fall_back: bool, locked: bool) -> Result<(File, bool), ImageError> {
    let host = |why| ImageError::Host { path: path.into(), why };
    let denied =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    let (file, write) = match host_file::open(path, access) {
        Err(error) if write && fall_back && denied(&error) => {
            (host_file::open(path, OFlags::RDONLY).map_err(host)?, false)
        }
        opened => (opened.map_err(host)?, write),
    };
    let kind = file.metadata().map_err(host)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(host(io::Error::other("it is neither a file nor a block device")));
    }
    if locked && !lock::take(&file, write).map_err(host)? {
        return Err(ImageError::InUse { path: path.into() });
    }
    Ok((file, write))
}
