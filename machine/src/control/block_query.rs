//! What is known of drives, of the images in them, and of what they were asked.

use super::block::in_use;
use super::throttle::limited;
use crate::block::image::{self, Facts};
use crate::block::{Count, IoStatus, Statistics};
use crate::commandline::{Access, Cache, DetectZeroes, ImageConfig, ImageFormat, Media, NodeConfig};
use crate::object_model::{DISK_BEHIND, Tree, What};
use crate::run::{Control, DriveState};
use lockstep_devices::catalog::Creatable;
use lockstep_devices::virtio::BlkConfig;
use lockstep_fabric::Tick;
use lockstep_qmp::Error;
use lockstep_qmp::commands::block::{BlockDeviceIoStatus, BlockInfo, QueryBlock};
use lockstep_qmp::commands::block_statistics::{
    BlockDeviceStats, BlockJobInfo, BlockStats, JobInfo, QueryBlockJobs, QueryBlockstats, QueryJobs,
};
use lockstep_qmp::commands::nodes::{
    BlockDeviceInfo, BlockdevCacheInfo, BlockdevDetectZeroesOptions, ImageInfo, ImageInfoSpecific, ImageInfoSpecificOf,
    ImageInfoSpecificQCow2, ImageInfoSpecificQCow2Wrapper, Qcow2CompressionType, QueryNamedBlockNodes,
};
use lockstep_qmp::registry::{Answer, Registry};
use std::os::unix::fs::MetadataExt;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_block).on(query_named_block_nodes).on(query_blockstats).on(query_block_jobs).on(query_jobs);
}

/// `stat` counts in these, whatever the file system's blocks are.
const STAT_BLOCK: u64 = 512;

/// The name of the drive that either its own name or its device names.
pub(super) fn drive_by(control: &mut Control, device: Option<&str>, id: Option<&str>) -> Answer<String> {
    match (device, id) {
        (Some(device), None) => {
            let there = control.board.machine.drives().iter().any(|(.., info)| info.id == device);
            if there { Ok(device.to_owned()) } else { Err(Error::device_not_found(device)) }
        }
        (None, Some(id)) => drive_of_device(control, id),
        _ => Err(Error::new("Need exactly one of 'device' and 'id'")),
    }
}

/// The name of the drive of a device, which is named by its id or its path.
pub(super) fn drive_of_device(control: &mut Control, id: &str) -> Answer<String> {
    let tree = Tree::of(control);
    let path = if id.starts_with('/') { id.to_owned() } else { format!("/machine/peripheral/{id}") };
    let device = path.strip_suffix(DISK_BEHIND).and_then(|path| path.strip_suffix('/')).unwrap_or(&path);
    let at = tree.resolve(device).map_err(|_| Error::device_not_found(id))?;
    let What::Device(placed) = &tree.node(at).what else { return Err(Error::device_not_found(id)) };
    let named = placed.typed.iter().rev().find(|(name, _)| name == "drive").map(|(_, drive)| drive.as_str());
    let drives = control.board.machine.drives();
    let found = named.or(placed.id.as_deref()).filter(|name| drives.iter().any(|(.., info)| info.id == *name));
    found.map(str::to_owned).ok_or_else(|| Error::new("Device does not have a block device backend"))
}

/// The device of a drive: its id, or its path if it has none. What has the drive in a virtio disk is a part of it.
pub(crate) fn device_of_drive(control: &mut Control, drive: &str) -> Option<String> {
    let tree = Tree::of(control);
    let named = |(name, value): &(String, String)| name == "drive" && value == drive;
    let by_drive = tree.devices_placed().find(|(_, placed)| placed.typed.iter().any(named));
    let by_name = || tree.devices_placed().find(|(_, placed)| placed.id.as_deref() == Some(drive));
    let (at, placed) = by_drive.or_else(by_name)?;
    if tree.node(at).ty == BlkConfig::NAME {
        return Some(format!("{}/{DISK_BEHIND}", tree.path(at)));
    }
    Some(placed.id.clone().unwrap_or_else(|| tree.path(at)))
}

/// A drive has a name of its own unless it was made for a node or for a device alone.
fn own_name(control: &Control, drive: &str) -> String {
    if control.config.drives.iter().any(|config| config.id == drive) { drive.to_owned() } else { String::new() }
}

/// The node in a drive. Those that got no name have one that no user can have given.
pub(super) fn node_name(control: &Control, drive: &str) -> String {
    let of_user = control.nodes_in_drives.get(drive).cloned();
    let node = || control.config.nodes.iter().find(|node| node.name == drive).map(|node| node.name.clone());
    of_user.or_else(node).unwrap_or_else(|| format!("#{drive}"))
}

/// How the image in a drive was to be opened.
fn config_of<'a>(control: &'a Control, drive: &str) -> Option<&'a ImageConfig> {
    let name = node_name(control, drive);
    let node = control.config.nodes.iter().find(|node| node.name == name).map(|node| &node.image);
    node.or_else(|| control.config.drives.iter().find(|config| config.id == drive)?.image.as_ref())
}

pub(crate) fn query_block(control: &mut Control, _: QueryBlock) -> Answer<Vec<BlockInfo>> {
    let drives = control.drives();
    Ok(drives.into_iter().map(|drive| block(control, &drive)).collect())
}

fn block(control: &mut Control, drive: &DriveState) -> BlockInfo {
    BlockInfo {
        device: own_name(control, &drive.info.id),
        qdev: device_of_drive(control, &drive.info.id),
        ty: "unknown".into(),
        removable: drive.removable,
        locked: drive.tray.is_some_and(|tray| tray.locked),
        inserted: inserted(control, drive),
        tray_open: drive.tray.map(|tray| tray.open),
        io_status: io_status(control, drive),
    }
}

/// A floppy drive's errors are its own to tell.
fn io_status(control: &Control, drive: &DriveState) -> Option<BlockDeviceIoStatus> {
    if drive.removable && drive.tray.is_none() && drive.info.media == Media::Disk {
        return None;
    }
    control.board.machine.drive(drive.device, drive.slot)?.io_status().map(|status| match status {
        IoStatus::Ok => BlockDeviceIoStatus::Ok,
        IoStatus::Failed => BlockDeviceIoStatus::Failed,
        IoStatus::NoSpace => BlockDeviceIoStatus::Nospace,
    })
}

/// The medium of a drive.
fn inserted(control: &Control, drive: &DriveState) -> Option<BlockDeviceInfo> {
    let id = &drive.info.id;
    let facts = control.board.machine.drive(drive.device, drive.slot)?.facts()?;
    let info = node_info(node_name(control, id), facts, config_of(control, id), drive.info.read_only, true);
    Some(match control.drive_throttle(id) {
        Some((group, limits)) => limited(info, group, &limits),
        None => info,
    })
}

fn node_info(
    name: String,
    facts: &Facts,
    config: Option<&ImageConfig>,
    read_only: bool,
    with_backing: bool,
) -> BlockDeviceInfo {
    let cache = config.map_or(Cache::Writeback, |config| config.cache);
    let detect_zeroes = match config.map_or(DetectZeroes::Off, |config| config.detect_zeroes) {
        DetectZeroes::Off => BlockdevDetectZeroesOptions::Off,
        DetectZeroes::On => BlockdevDetectZeroesOptions::On,
        DetectZeroes::Unmap => BlockdevDetectZeroesOptions::Unmap,
    };
    let depth = std::iter::successors(facts.backing.as_deref(), |facts| facts.backing.as_deref()).count();
    BlockDeviceInfo {
        file: facts.path.display().to_string(),
        node_name: Some(name),
        ro: read_only,
        drv: format_name(facts.format).into(),
        backing_file: facts.backing.as_ref().map(|backing| backing.path.display().to_string()),
        backing_file_depth: depth as i64,
        encrypted: false,
        encryption_key_missing: Some(false),
        detect_zeroes,
        bps: 0,
        bps_rd: 0,
        bps_wr: 0,
        iops: 0,
        iops_rd: 0,
        iops_wr: 0,
        image: image_info(facts, with_backing),
        bps_max: None,
        bps_rd_max: None,
        bps_wr_max: None,
        iops_max: None,
        iops_rd_max: None,
        iops_wr_max: None,
        bps_max_length: None,
        bps_rd_max_length: None,
        bps_wr_max_length: None,
        iops_max_length: None,
        iops_rd_max_length: None,
        iops_wr_max_length: None,
        iops_size: None,
        group: None,
        cache: BlockdevCacheInfo {
            writeback: cache != Cache::Writethrough,
            direct: false,
            no_flush: cache == Cache::Unsafe,
        },
        write_threshold: 0,
    }
}

fn format_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Raw => "raw",
        ImageFormat::Qcow2 => "qcow2",
    }
}

fn image_info(facts: &Facts, with_backing: bool) -> ImageInfo {
    let header = facts.qcow2;
    let specific = header.map(|header| {
        let later = |value: bool| (header.version >= 3).then_some(value);
        ImageInfoSpecific {
            kind: ImageInfoSpecificOf::Qcow2(ImageInfoSpecificQCow2Wrapper {
                data: ImageInfoSpecificQCow2 {
                    compat: if header.version >= 3 { "1.1" } else { "0.10" }.into(),
                    data_file: facts.data_file.clone(),
                    data_file_raw: facts.data_file.as_ref().map(|_| header.raw_data_file),
                    extended_l2: later(false),
                    lazy_refcounts: later(header.lazy_refcounts),
                    corrupt: later(false),
                    refcount_bits: header.refcount_bits.into(),
                    compression_type: Qcow2CompressionType::Zlib,
                },
            }),
        }
    });
    let occupied = std::fs::metadata(&facts.path).ok().map(|metadata| (metadata.blocks() * STAT_BLOCK) as i64);
    ImageInfo {
        filename: facts.path.display().to_string(),
        format: format_name(facts.format).into(),
        dirty_flag: header.map(|_| false),
        actual_size: occupied,
        virtual_size: facts.len as i64,
        cluster_size: header.map(|header| header.cluster as i64),
        encrypted: None,
        compressed: None,
        backing_filename: facts.backing_name.clone(),
        full_backing_filename: facts.backing.as_ref().map(|backing| backing.path.display().to_string()),
        backing_filename_format: facts.backing_format.clone(),
        snapshots: None,
        backing_image: facts
            .backing
            .as_ref()
            .filter(|_| with_backing)
            .map(|backing| Box::new(image_info(backing, with_backing))),
        format_specific: specific,
    }
}

/// The nodes in drives, and those that nothing uses.
pub(crate) fn query_named_block_nodes(
    control: &mut Control,
    command: QueryNamedBlockNodes,
) -> Answer<Vec<BlockDeviceInfo>> {
    let with_backing = command.flat != Some(true);
    let drives = control.drives();
    let of_drive = |drive: &DriveState| {
        let id = &drive.info.id;
        let facts = control.board.machine.drive(drive.device, drive.slot)?.facts()?;
        Some(node_info(node_name(control, id), facts, config_of(control, id), drive.info.read_only, with_backing))
    };
    let in_drives = drives.iter().filter_map(of_drive);
    let spare = control.config.nodes.iter().filter(|node| !in_use(control, &node.name)).filter_map(|node| {
        let facts = look(node)?;
        let read_only = node.image.access == Access::ReadOnly;
        Some(node_info(node.name.clone(), &facts, Some(&node.image), read_only, with_backing))
    });
    Ok(in_drives.chain(spare).collect())
}

/// What a node that nothing uses would show.
fn look(node: &NodeConfig) -> Option<Facts> {
    let config = ImageConfig { access: Access::ReadOnly, lock: false, ..node.image.clone() };
    image::open(&config).ok().map(|opened| opened.facts)
}

pub(crate) fn query_blockstats(control: &mut Control, command: QueryBlockstats) -> Answer<Vec<BlockStats>> {
    let of_nodes = command.query_nodes == Some(true);
    let drives = control.drives();
    let shift = control.config.icount.shift;
    let now = control.board.machine.now();
    let mut all = Vec::new();
    for drive in drives {
        let id = &drive.info.id;
        let Some(found) = control.board.machine.drive(drive.device, drive.slot) else { continue };
        if of_nodes && found.facts().is_none() {
            continue;
        }
        let stats = stats(found.statistics(), now, shift);
        let node_name = found.facts().map(|_| node_name(control, id));
        let (device, qdev) = match of_nodes {
            true => (None, None),
            false => (Some(own_name(control, id)), device_of_drive(control, id)),
        };
        all.push(BlockStats { device, qdev, node_name, stats, parent: None, backing: None });
    }
    Ok(all)
}

fn stats(statistics: &Statistics, now: Tick, shift: u8) -> BlockDeviceStats {
    let nanos = |ticks: Tick| ticks.checked_shl(shift.into()).unwrap_or(Tick::MAX) as i64;
    let Statistics { reads, writes, flushes, unmaps, highest_write, last } = *statistics;
    let [rd, wr, flush, unmap] =
        [reads, writes, flushes, unmaps].map(|Count { done, bytes, ticks, failed, invalid }| {
            (done as i64, bytes as i64, nanos(ticks), failed as i64, invalid as i64)
        });
    BlockDeviceStats {
        rd_bytes: rd.1,
        wr_bytes: wr.1,
        unmap_bytes: unmap.1,
        rd_operations: rd.0,
        wr_operations: wr.0,
        flush_operations: flush.0,
        unmap_operations: unmap.0,
        rd_total_time_ns: rd.2,
        wr_total_time_ns: wr.2,
        flush_total_time_ns: flush.2,
        unmap_total_time_ns: unmap.2,
        wr_highest_offset: highest_write as i64,
        // Each request goes to the host by itself.
        rd_merged: 0,
        wr_merged: 0,
        unmap_merged: 0,
        idle_time_ns: last.map(|last| nanos(now.saturating_sub(last))),
        failed_rd_operations: rd.3,
        failed_wr_operations: wr.3,
        failed_flush_operations: flush.3,
        failed_unmap_operations: unmap.3,
        invalid_rd_operations: rd.4,
        invalid_wr_operations: wr.4,
        invalid_flush_operations: flush.4,
        invalid_unmap_operations: unmap.4,
        account_invalid: true,
        account_failed: true,
        timed_stats: Vec::new(),
    }
}

fn query_block_jobs(_: &mut Control, _: QueryBlockJobs) -> Answer<Vec<BlockJobInfo>> {
    Ok(Vec::new())
}

fn query_jobs(_: &mut Control, _: QueryJobs) -> Answer<Vec<JobInfo>> {
    Ok(Vec::new())
}
