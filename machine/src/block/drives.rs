//! All drives and nodes of a command line, opened.

use super::drive::{Drive, DriveInfo, Policy};
use super::image::{self, ImageError, identity};
use crate::commandline::{Config, DriveConfig, DriveInterface, ImageConfig, Media, NodeConfig, RecordReplay};
use crate::record::BootedFile;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

/// Why a drive cannot be had. Its `Display` names the option.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Its image cannot be opened.
    #[error("{origin}: {why}")]
    Image {
        /// The option.
        origin: String,
        /// Why not.
        why: ImageError,
    },
    /// The host refuses a thread or a read.
    #[error("{origin}: {why}")]
    Host {
        /// The option.
        origin: String,
        /// The host's word.
        why: io::Error,
    },
    /// An image is not what a log says that it was.
    #[error("{}: the image is not as recorded", .0.display())]
    Changed(PathBuf),
    /// A device asks for a drive that there is not, or that another one has.
    #[error("drive '{0}' is not there, or another device has it already")]
    Missing(String),
}

/// The drives, until devices take them.
pub struct Drives {
    drives: Vec<(DriveConfig, Option<Drive>)>,
    nodes: Vec<NodeConfig>,
    /// Drives that are open and that no device has.
    left: Vec<Drive>,
    /// Those nodes among them that no device has ever had.
    unused: BTreeSet<String>,
    /// The run is recorded or replayed.
    repeatable: bool,
    files: Vec<BootedFile>,
}

impl Drives {
    /// Opens what `-drive` and its relatives name. Nodes of `-blockdev` are opened when a device takes them.
    pub fn open(config: &Config) -> Result<Self, DriveError> {
        let repeatable = config.icount.record_replay != RecordReplay::Off;
        let mut drives = Self {
            drives: Vec::new(),
            nodes: config.nodes.clone(),
            left: Vec::new(),
            unused: BTreeSet::new(),
            repeatable,
            files: Vec::new(),
        };
        for config in &config.drives {
            let policy = Policy { read: config.read_errors, write: config.write_errors };
            let drive = match &config.image {
                Some(image) => drives.fill(&config.origin, DriveInfo::of(config), policy, image)?,
                None => Drive::empty(DriveInfo::of(config)),
            };
            let drive = drive.throttled(config.throttle.as_ref().map(|throttle| throttle.group.clone()));
            drives.drives.push((config.clone(), Some(drive)));
        }
        Ok(drives)
    }

    fn fill(
        &mut self,
        origin: &str,
        info: DriveInfo,
        policy: Policy,
        config: &ImageConfig,
    ) -> Result<Drive, DriveError> {
        let opened = image::open(config).map_err(|why| DriveError::Image { origin: origin.into(), why })?;
        let host = |why| DriveError::Host { origin: origin.into(), why };
        if let Some(warning) = opened.warning {
            eprintln!("lockstep: warning: {warning}");
        }
        if self.repeatable {
            for path in &opened.files {
                self.files.push(BootedFile {
                    option: "image".into(),
                    path: path.display().to_string(),
                    hash: format!("{:032x}", identity::of(path).map_err(host)?),
                });
            }
        }
        let info = DriveInfo { read_only: info.read_only || opened.read_only, ..info };
        let drive = Drive::with(info, policy, opened.image, config).map_err(host)?.described(opened.facts);
        Ok(if self.repeatable { drive.strict() } else { drive })
    }

    /// Takes the drive at a place of an interface.
    pub fn at(&mut self, interface: DriveInterface, bus: u8, unit: u8) -> Option<Drive> {
        let place = |d: &DriveConfig| (d.interface, d.bus, d.unit) == (interface, bus, unit);
        self.drives.iter_mut().find(|(config, _)| place(config)).and_then(|(_, drive)| drive.take())
    }

    /// The places of an interface at which there are drives that nobody took yet, in order: bus and unit.
    pub fn places(&self, interface: DriveInterface) -> Vec<(u8, u8)> {
        let free = self.drives.iter().filter(|(config, drive)| config.interface == interface && drive.is_some());
        let mut places: Vec<_> = free.map(|(config, _)| (config.bus, config.unit)).collect();
        places.sort_unstable();
        places
    }

    /// Takes what a device's `drive=` names: a drive of `-drive if=none`, or a node of `-blockdev`.
    pub fn take(&mut self, reference: &str) -> Result<Drive, DriveError> {
        if let Some(at) = self.left.iter().position(|drive| drive.info().id == reference) {
            return Ok(self.left.remove(at));
        }
        let drive = self
            .drives
            .iter_mut()
            .find(|(config, _)| config.id == reference && config.interface == DriveInterface::None);
        if let Some(drive) = drive.and_then(|(_, drive)| drive.take()) {
            return Ok(drive);
        }
        let at = self.nodes.iter().position(|node| node.name == reference);
        let node = at.map(|at| self.nodes.remove(at)).ok_or_else(|| DriveError::Missing(reference.into()))?;
        let info = DriveInfo {
            id: node.name.clone(),
            len: 0,
            read_only: false,
            media: Media::Disk,
            serial: None,
            present: false,
        };
        let drive = self.fill(&node.origin, info, Policy::default(), &node.image)?;
        self.unused.insert(node.name);
        Ok(drive)
    }

    /// A drive that was only looked at.
    pub fn put_back(&mut self, drive: Drive) {
        self.left.push(drive);
    }

    /// A drive whose device is gone, for another one.
    pub fn take_back(&mut self, drive: Drive) {
        self.unused.remove(&drive.info().id);
        self.left.push(drive);
    }

    /// Whether there is a drive or a node of this name that a device can have.
    pub fn has(&self, name: &str) -> bool {
        let free = |(config, drive): &(DriveConfig, Option<Drive>)| config.id == name && drive.is_some();
        self.left.iter().any(|drive| drive.info().id == name)
            || self.drives.iter().any(free)
            || self.nodes.iter().any(|node| node.name == name)
    }

    /// Whether this is an open node that no device has had yet.
    pub fn is_unused(&self, name: &str) -> bool {
        self.unused.contains(name)
    }

    /// One more node for devices.
    pub fn define(&mut self, node: NodeConfig) {
        self.nodes.push(node);
    }

    /// Closes a node, and takes it that there is none of this name any more.
    pub fn forget(&mut self, name: &str) {
        self.nodes.retain(|node| node.name != name);
        self.left.retain(|drive| drive.info().id != name);
        self.unused.remove(name);
    }

    /// A drive with a medium that was to hang on an interface and that no device took.
    pub fn unclaimed(&self) -> Option<&DriveConfig> {
        let lost = |(config, drive): &&(DriveConfig, Option<Drive>)| {
            config.interface != DriveInterface::None && config.image.is_some() && drive.is_some()
        };
        self.drives.iter().find(lost).map(|(config, _)| config)
    }

    /// The image files, identified by their content, for the log; none unless the run is recorded or replayed.
    pub fn files(&self) -> &[BootedFile] {
        &self.files
    }
}
