//! `-drive` and the options that stand for one: `-hda` to `-hdd`, `-cdrom`, `-fda`, `-fdb`; `-snapshot`.

use super::config::{Config, RecordReplay};
use super::draft::{Draft, Flow, Handled};
use super::error::{OptionError, Reason};
use super::storage_config::{
    Access, Backing, Cache, DetectZeroes, DriveConfig, DriveInterface, ErrorPolicy, ImageConfig, ImageFormat, Media,
};
use super::suboptions::Suboptions;
use super::throttling::throttling;
use lockstep_devices::properties::Kind;
use std::path::PathBuf;

/// Drives on one IDE channel.
const IDE_UNITS: u8 = 2;
/// IDE channels.
const IDE_BUSES: u8 = 2;
/// Floppy drives that a controller has.
const FLOPPIES: u8 = 2;
/// The index of the CD drive.
const CDROM_INDEX: &str = "2";

/// Interfaces that QEMU has and the machine pc has not.
const OTHER_INTERFACES: [&str; 5] = ["scsi", "sd", "mtd", "pflash", "xen"];

/// The type of the objects that are groups of throttled drives.
pub(crate) const THROTTLE_GROUP: &str = "throttle-group";

/// Suboptions that QEMU takes and Lockstep has nothing for.
const UNBUILT: [&str; 5] = ["addr", "secs", "heads", "cyls", "stats-intervals"];

pub(super) fn drive(draft: &mut Draft<'_>, argument: &str) -> Handled {
    add(draft, Suboptions::parse(argument, None))
}

pub(super) fn hda(draft: &mut Draft<'_>, file: &str) -> Handled {
    at_place(draft, file, &[("index", "0"), ("media", "disk")])
}

pub(super) fn hdb(draft: &mut Draft<'_>, file: &str) -> Handled {
    at_place(draft, file, &[("index", "1"), ("media", "disk")])
}

pub(super) fn hdc(draft: &mut Draft<'_>, file: &str) -> Handled {
    at_place(draft, file, &[("index", "2"), ("media", "disk")])
}

pub(super) fn hdd(draft: &mut Draft<'_>, file: &str) -> Handled {
    at_place(draft, file, &[("index", "3"), ("media", "disk")])
}

pub(super) fn cdrom(draft: &mut Draft<'_>, file: &str) -> Handled {
    at_place(draft, file, &[("index", CDROM_INDEX), ("media", "cdrom")])
}

pub(super) fn fda(draft: &mut Draft<'_>, file: &str) -> Handled {
    at_place(draft, file, &[("index", "0"), ("if", "floppy")])
}

pub(super) fn fdb(draft: &mut Draft<'_>, file: &str) -> Handled {
    at_place(draft, file, &[("index", "1"), ("if", "floppy")])
}

pub(super) fn snapshot(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.snapshot = true;
    Ok(Flow::Next)
}

/// As `-drive file=FILE` with these; a comma in the name is a comma.
fn at_place(draft: &mut Draft<'_>, file: &str, place: &[(&str, &str)]) -> Handled {
    let named = [("file", file)];
    let pairs = place.iter().chain(&named).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    add(draft, Suboptions::of(pairs))
}

fn add(draft: &mut Draft<'_>, mut options: Suboptions) -> Handled {
    let interface = interface(options.text("if").as_deref())?;
    let (bus, unit) = place(draft, interface, &mut options)?;
    let media = match options.text("media").as_deref() {
        None | Some("disk") => Media::Disk,
        Some("cdrom") => Media::Cdrom,
        Some(other) => return Err(Reason::bad("media", other, "use disk or cdrom")),
    };
    let id = options.text("id").unwrap_or_else(|| name(interface, media, bus, unit));
    let serial = options.text("serial");
    let (write, read) = (options.text("werror"), options.text("rerror"));
    if interface == DriveInterface::Floppy && (write.is_some() || read.is_some()) {
        return Err(Reason::refused("a floppy drive has no werror or rerror"));
    }
    let write_errors = policy("werror", write.as_deref(), ErrorPolicy::StopOnNoSpace)?;
    let read_errors = policy("rerror", read.as_deref(), ErrorPolicy::Report)?;
    let throttle = throttling(&mut options, &id)?;
    let file = file(&mut options)?;
    let image = image(&mut options, media, file)?;
    options.finish()?;
    let drives = &draft.config.drives;
    if drives.iter().any(|drive| drive.id == id) || draft.config.nodes.iter().any(|node| node.name == id) {
        return Err(Reason::refused(format!("there is already a drive '{id}'")));
    }
    draft.config.drives.push(DriveConfig {
        id,
        origin: draft.current.clone(),
        interface,
        bus,
        unit,
        media,
        image,
        serial,
        write_errors,
        read_errors,
        throttle,
    });
    Ok(Flow::Next)
}

/// A drive that is added while the machine runs, for a device that is yet to come.
#[derive(Debug)]
pub(crate) struct SpareDrive {
    /// Its name, if it was given one.
    pub(crate) id: Option<String>,
    /// What it hangs on: nothing, if it can be added at all.
    pub(crate) interface: DriveInterface,
    /// What is in it.
    pub(crate) image: Option<ImageConfig>,
}

/// The drive that a text like `-drive`'s describes.
pub(crate) fn spare_drive(text: &str) -> Result<SpareDrive, Reason> {
    let mut options = Suboptions::parse(text, None);
    let interface = interface(options.text("if").as_deref())?;
    let id = options.text("id");
    let file = file(&mut options)?;
    let image = image(&mut options, Media::Disk, file)?;
    options.finish()?;
    Ok(SpareDrive { id, interface, image })
}

fn interface(name: Option<&str>) -> Result<DriveInterface, Reason> {
    match name {
        None | Some("ide") => Ok(DriveInterface::Ide),
        Some("floppy") => Ok(DriveInterface::Floppy),
        Some("virtio") => Ok(DriveInterface::Virtio),
        Some("none") => Ok(DriveInterface::None),
        Some(other) if OTHER_INTERFACES.contains(&other) => Err(Reason::not_built(format!("if={other}"))),
        Some(other) => Err(Reason::bad("if", other, "use ide, virtio, floppy or none")),
    }
}

/// Bus and unit, by `index=`, by `bus=` and `unit=`, or the first free place.
fn place(draft: &Draft<'_>, interface: DriveInterface, options: &mut Suboptions) -> Result<(u8, u8), Reason> {
    let (buses, units) = match interface {
        DriveInterface::Ide => (IDE_BUSES, IDE_UNITS),
        DriveInterface::Floppy => (1, FLOPPIES),
        DriveInterface::Virtio | DriveInterface::None => (1, u8::MAX),
    };
    let taken = |at: (u8, u8)| draft.config.drives.iter().any(|d| d.interface == interface && (d.bus, d.unit) == at);
    let (index, bus, unit) = (options.number("index")?, options.number("bus")?, options.number("unit")?);
    let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
    let at = match (index, bus, unit) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            return Err(Reason::refused("index cannot be used with bus and unit"));
        }
        (Some(index), None, None) => (small(index) / units, small(index) % units),
        (None, bus, Some(unit)) => (small(bus.unwrap_or(0)), small(unit)),
        (None, bus, None) => {
            let from = small(bus.unwrap_or(0));
            let mut places = (from..buses).flat_map(|bus| (0..units).map(move |unit| (bus, unit)));
            places.find(|at| !taken(*at)).unwrap_or((buses, 0))
        }
    };
    if at.0 >= buses || at.1 >= units {
        return Err(Reason::refused(format!(
            "the machine pc has no such place for a drive (bus {}, unit {})",
            at.0, at.1
        )));
    }
    if taken(at) {
        return Err(Reason::refused(format!("there is already a drive at bus {}, unit {}", at.0, at.1)));
    }
    Ok(at)
}

/// The name that QEMU makes up.
fn name(interface: DriveInterface, media: Media, bus: u8, unit: u8) -> String {
    match (interface, media) {
        (DriveInterface::Ide, Media::Disk) => format!("ide{bus}-hd{unit}"),
        (DriveInterface::Ide, Media::Cdrom) => format!("ide{bus}-cd{unit}"),
        (DriveInterface::Floppy, _) => format!("floppy{unit}"),
        (DriveInterface::Virtio, _) => format!("virtio{unit}"),
        (DriveInterface::None, _) => format!("none{unit}"),
    }
}

fn policy(key: &str, value: Option<&str>, usual: ErrorPolicy) -> Result<ErrorPolicy, Reason> {
    match value {
        None | Some("auto") => Ok(usual),
        Some("enospc") if key == "rerror" => Err(Reason::bad(key, "enospc", "use report, ignore or stop")),
        Some(name) => name.parse().map_err(|wanted| Reason::bad(key, name, wanted)),
    }
}

/// What `file=` or `file.filename=` names.
fn file(options: &mut Suboptions) -> Result<Option<PathBuf>, Reason> {
    let mut inner = options.group("file");
    let direct = options.text("file").filter(|file| !file.is_empty());
    if let Some(other) = inner.text("driver").filter(|driver| !matches!(driver.as_str(), "file" | "host_device")) {
        return Err(Reason::not_built(format!("file.driver={other}")));
    }
    let nested = inner.text("filename");
    // Given back for `image` to find.
    if let Some(lock) = inner.text("locking") {
        *options = Suboptions::of(options.rest().into_iter().chain([("locking".to_owned(), lock)]));
    }
    inner.finish()?;
    match (direct, nested) {
        (Some(_), Some(_)) => Err(Reason::refused("file and file.filename cannot both be given")),
        (Some(file), None) | (None, Some(file)) => path(&file).map(Some),
        (None, None) => Ok(None),
    }
}

/// A file's name as QEMU reads it: `file:` before it means nothing, another protocol means what there is not.
pub(super) fn path(name: &str) -> Result<PathBuf, Reason> {
    let name = name.strip_prefix("file:").unwrap_or(name);
    match name.split_once(':') {
        Some((protocol, _)) if !protocol.is_empty() && !protocol.contains('/') => {
            Err(Reason::not_built(format!("'{name}' names a file as ./{name}; protocol '{protocol}'")))
        }
        _ => Ok(PathBuf::from(name)),
    }
}

pub(super) fn format(key: &str, name: &str) -> Result<ImageFormat, Reason> {
    match name {
        "raw" => Ok(ImageFormat::Raw),
        "qcow2" => Ok(ImageFormat::Qcow2),
        "vmdk" | "vdi" | "vhdx" | "vpc" | "qcow" | "qed" | "luks" | "parallels" | "bochs" | "cloop" | "dmg" => {
            Err(Reason::not_built(format!("{key}={name}")))
        }
        other => Err(Reason::bad(key, other, "use raw or qcow2")),
    }
}

/// How the image is accessed; `None` if there is none.
fn image(options: &mut Suboptions, media: Media, file: Option<PathBuf>) -> Result<Option<ImageConfig>, Reason> {
    let mut image = ImageConfig::at(file.clone().unwrap_or_default());
    for key in ["format", "driver"] {
        image.format = match options.text(key) {
            Some(name) => Some(format(key, &name)?),
            None => image.format,
        };
    }
    image.snapshot = options.switch("snapshot")?.unwrap_or(false);
    let read_only = [options.switch("readonly")?, options.switch("read-only")?].into_iter().flatten().next_back();
    let auto = options.switch("auto-read-only")?.unwrap_or(false);
    image.access = match (read_only, media) {
        (Some(false), Media::Cdrom) => return Err(Reason::refused("a CD cannot be written")),
        (Some(true), _) | (None, Media::Cdrom) => Access::ReadOnly,
        (_, Media::Disk) if auto => Access::Auto,
        (_, Media::Disk) => Access::ReadWrite,
    };
    image.cache = cache(options)?;
    access_details(options, &mut image)?;
    let mut backing = options.group("backing");
    if let Some(name) = backing.text("file.filename").or(backing.text("filename")) {
        let mut behind = ImageConfig { access: Access::ReadOnly, ..ImageConfig::at(path(&name)?) };
        behind.format = backing.text("driver").map(|name| format("backing.driver", &name)).transpose()?;
        image.backing = Backing::Image(Box::new(behind));
    }
    backing.finish()?;
    if let Some(unbuilt) = UNBUILT.iter().find(|key| options.text(key).is_some()) {
        return Err(Reason::not_built(*unbuilt));
    }
    Ok(file.map(|_| image))
}

/// `cache=` and its parts: when writes are stable. Whether the host's page cache is used changes no promise.
pub(super) fn cache(options: &mut Suboptions) -> Result<Cache, Reason> {
    let mut cache = match options.text("cache").as_deref() {
        None | Some("writeback" | "none" | "off") => Cache::Writeback,
        Some("writethrough" | "directsync") => Cache::Writethrough,
        Some("unsafe") => Cache::Unsafe,
        Some(other) => {
            return Err(Reason::bad("cache", other, "use writeback, none, writethrough, directsync or unsafe"));
        }
    };
    let mut parts = options.group("cache");
    parts.switch("direct")?;
    match parts.switch("writeback")? {
        Some(false) => cache = Cache::Writethrough,
        Some(true) if cache == Cache::Writethrough => cache = Cache::Writeback,
        Some(true) | None => {}
    }
    if parts.switch("no-flush")? == Some(true) {
        cache = Cache::Unsafe;
    }
    parts.finish()?;
    Ok(cache)
}

/// What `-drive` and `-blockdev` spell alike.
pub(super) fn access_details(options: &mut Suboptions, image: &mut ImageConfig) -> Result<(), Reason> {
    image.unmap = match options.text("discard").as_deref() {
        None | Some("ignore" | "off") => false,
        Some("unmap" | "on") => true,
        Some(other) => return Err(Reason::bad("discard", other, "use unmap or ignore")),
    };
    image.detect_zeroes = match options.text("detect-zeroes").as_deref() {
        None | Some("off") => DetectZeroes::Off,
        Some("on") => DetectZeroes::On,
        Some("unmap") if image.unmap => DetectZeroes::Unmap,
        Some("unmap") => return Err(Reason::refused("detect-zeroes=unmap needs discard=unmap")),
        Some(other) => return Err(Reason::bad("detect-zeroes", other, "use off, on or unmap")),
    };
    // How the host does its I/O is its own affair.
    match options.text("aio").as_deref() {
        None | Some("threads" | "native" | "io_uring") => {}
        Some(other) => return Err(Reason::bad("aio", other, "use threads, native or io_uring")),
    }
    match options.text("locking").as_deref() {
        None => {}
        Some("on" | "auto") => image.lock = true,
        Some("off") => image.lock = false,
        Some(other) => return Err(Reason::bad("locking", other, "use on, off or auto")),
    }
    if options.switch("copy-on-read")? == Some(true) {
        return Err(Reason::not_built("copy-on-read"));
    }
    Ok(())
}

impl Draft<'_> {
    /// The empty drives that every pc has, `-snapshot`, and what can only be checked now.
    pub(super) fn finish_drives(&mut self) -> Result<(), OptionError> {
        if !self.no_defaults {
            self.default_drives()?;
        }
        let nodes = self.config.nodes.iter_mut().filter(|node| !node.is_file);
        let images = self.config.drives.iter_mut().filter_map(|drive| drive.image.as_mut());
        if self.snapshot {
            images.chain(nodes.map(|node| &mut node.image)).for_each(|image| image.snapshot = true);
        }
        self.check_repeatable()?;
        self.check_throttle_groups()?;
        self.check_drive_references()
    }

    /// The groups that nodes are in must be there.
    fn check_throttle_groups(&self) -> Result<(), OptionError> {
        let Config { nodes, objects, drives, .. } = &self.config;
        for node in nodes {
            let Some(group) = &node.image.throttle_group else { continue };
            let object = objects.iter().any(|object| object.ty == THROTTLE_GROUP && object.id == *group);
            if !object && !drives.iter().any(|drive| drive.throttle.as_ref().is_some_and(|t| t.group == *group)) {
                return Err(OptionError::refused(&node.origin, format!("Throttle group '{group}' does not exist")));
            }
        }
        Ok(())
    }

    /// An empty CD drive and an empty floppy drive, unless a `-device` puts any such drive there.
    fn default_drives(&mut self) -> Result<(), OptionError> {
        let empty = [
            (DriveInterface::Ide, 1, 0, [("index", CDROM_INDEX), ("media", "cdrom")], &["ide-cd", "ide-hd"][..]),
            (DriveInterface::Floppy, 0, 0, [("index", "0"), ("if", "floppy")], &["floppy"]),
        ];
        for (interface, bus, unit, place, drivers) in empty {
            if self.config.devices.iter().any(|device| drivers.contains(&device.driver.as_str())) {
                continue;
            }
            let drives = &self.config.drives;
            if drives.iter().any(|d| (d.interface, d.bus, d.unit) == (interface, bus, unit)) {
                continue;
            }
            "default drive".clone_into(&mut self.current);
            at_place(self, "", &place).map_err(|reason| self.blame(reason))?;
        }
        Ok(())
    }

    /// A replay starts from what the recording started from, so neither may write to it.
    fn check_repeatable(&self) -> Result<(), OptionError> {
        if self.config.icount.record_replay == RecordReplay::Off {
            return Ok(());
        }
        let drives = self.config.drives.iter().filter_map(|drive| Some((&drive.origin, drive.image.as_ref()?)));
        let nodes = self.config.nodes.iter().filter(|node| !node.is_file).map(|node| (&node.origin, &node.image));
        match drives.chain(nodes).find(|(_, image)| !image.is_kept()) {
            Some((origin, _)) => Err(OptionError::refused(
                origin,
                "rr=record and rr=replay need snapshot=on (or -snapshot) or read-only=on, so that a replay starts from what \
                 its recording started from",
            )),
            None => Ok(()),
        }
    }

    /// What devices' `drive=` names must be there, and be theirs alone.
    fn check_drive_references(&self) -> Result<(), OptionError> {
        let mut used: Vec<&str> = Vec::new();
        for device in &self.config.devices {
            let Some(driver) = self.vocabulary.driver(&device.driver) else { continue };
            for property in driver.properties().iter().filter(|property| property.kind == Kind::Drive) {
                let Some(name) = device.property(property.name) else { continue };
                let blame = |why: String| Err(OptionError::refused(&device.origin, why));
                let drive = self.config.drives.iter().find(|drive| drive.id == name);
                let node = self.config.nodes.iter().any(|node| node.name == name);
                match drive {
                    Some(drive) if drive.interface != DriveInterface::None => {
                        return blame(format!(
                            "Drive '{name}' is already in use because it has been automatically connected to another \
                             device (did you need 'if=none' in the drive options?)"
                        ));
                    }
                    None if !node => {
                        return blame(format!(
                            "Property '{}.{}' can't find value '{name}'",
                            device.driver, property.name
                        ));
                    }
                    _ if used.contains(&name) => {
                        return blame(format!("Drive '{name}' is already in use by another device"));
                    }
                    _ => used.push(name),
                }
            }
        }
        Ok(())
    }
}
