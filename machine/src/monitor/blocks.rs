//! `info block` and `info blockstats`: drives, the images in them, and what they were asked.

use super::expression::Arguments;
use super::{Answer, Desk};
use crate::control::{query_block, query_blockstats, query_named_block_nodes};
use crate::run::Control;
use lockstep_qmp::commands::block::{BlockInfo, QueryBlock};
use lockstep_qmp::commands::block_statistics::{BlockStats, QueryBlockstats};
use lockstep_qmp::commands::nodes::{
    BlockDeviceInfo, BlockdevDetectZeroesOptions, ImageInfo, ImageInfoSpecificOf, QueryNamedBlockNodes,
};
use std::fmt::Write;

/// Units of bytes, each 1024 times the one before.
const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// `info block [-n] [-v] [DEVICE]`: the drives, or with `-n` the nodes; a name that no drive has is looked for among the
/// nodes.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let flags = arguments.flags("nv")?;
    let wanted = arguments.text()?;
    arguments.finish()?;
    let (of_nodes, with_images) = (flags.contains('n'), flags.contains('v'));
    let asked = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    if !of_nodes {
        let drives = query_block(control, QueryBlock {})?;
        let drives = drives.iter().filter(|drive| asked(&drive.device));
        let shown: Vec<_> = drives.map(|info| drive(info, with_images)).collect();
        if wanted.is_none() || !shown.is_empty() {
            return Ok(shown.join("\n"));
        }
    }
    let nodes = query_named_block_nodes(control, QueryNamedBlockNodes { flat: None })?;
    let nodes = nodes.iter().filter(|node| node.node_name.as_deref().is_some_and(asked));
    Ok(nodes.map(|node| self::node(node, with_images)).collect::<Vec<_>>().join("\n"))
}

fn drive(info: &BlockInfo, with_images: bool) -> String {
    let node = info.inserted.as_ref().and_then(|inserted| inserted.node_name.as_deref());
    let mut text = match (info.device.as_str(), node) {
        ("", node) => node.or(info.qdev.as_deref()).unwrap_or("<anonymous>").to_owned(),
        (device, Some(node)) => format!("{device} ({node})"),
        (device, None) => device.to_owned(),
    };
    text.push_str(&headline(info.inserted.as_ref()));
    if let Some(qdev) = &info.qdev {
        let _ = writeln!(text, "    Attached to:      {qdev}");
    }
    if info.removable {
        let locked = if info.locked { "" } else { "not " };
        let tray = if info.tray_open == Some(true) { "open" } else { "closed" };
        let _ = writeln!(text, "    Removable device: {locked}locked, tray {tray}");
    }
    if let Some(inserted) = &info.inserted {
        medium(&mut text, inserted, with_images);
    }
    text
}

fn node(info: &BlockDeviceInfo, with_images: bool) -> String {
    let mut text = info.node_name.clone().unwrap_or_default();
    text.push_str(&headline(Some(info)));
    medium(&mut text, info, with_images);
    text
}

/// What stands after a name.
fn headline(inserted: Option<&BlockDeviceInfo>) -> String {
    match inserted {
        Some(BlockDeviceInfo { file, drv, ro, .. }) => {
            format!(": {file} ({drv}{})\n", if *ro { ", read-only" } else { "" })
        }
        None => ": [not inserted]\n".to_owned(),
    }
}

fn medium(text: &mut String, info: &BlockDeviceInfo, with_images: bool) {
    let mode = if info.cache.writeback { "writeback" } else { "writethrough" };
    let direct = if info.cache.direct { ", direct" } else { "" };
    let no_flush = if info.cache.no_flush { ", ignore flushes" } else { "" };
    let _ = writeln!(text, "    Cache mode:       {mode}{direct}{no_flush}");
    if let Some(file) = &info.backing_file {
        let _ = writeln!(text, "    Backing file:     {file} (chain depth: {})", info.backing_file_depth);
    }
    if info.detect_zeroes != BlockdevDetectZeroesOptions::Off {
        let _ = writeln!(text, "    Detect zeroes:    {}", info.detect_zeroes.name());
    }
    limits(text, info);
    if with_images {
        text.push_str("\nImages:\n");
        let chain = std::iter::successors(Some(&info.image), |image| image.backing_image.as_deref());
        chain.for_each(|shown| image(text, shown));
    }
}

/// Limits, if there are any.
fn limits(text: &mut String, info: &BlockDeviceInfo) {
    let BlockDeviceInfo { bps, bps_rd, bps_wr, iops, iops_rd, iops_wr, .. } = *info;
    if [bps, bps_rd, bps_wr, iops, iops_rd, iops_wr].iter().all(|limit| *limit == 0) {
        return;
    }
    let told = [
        ("bps", Some(bps)),
        ("bps_rd", Some(bps_rd)),
        ("bps_wr", Some(bps_wr)),
        ("bps_max", info.bps_max),
        ("bps_rd_max", info.bps_rd_max),
        ("bps_wr_max", info.bps_wr_max),
        ("iops", Some(iops)),
        ("iops_rd", Some(iops_rd)),
        ("iops_wr", Some(iops_wr)),
        ("iops_max", info.iops_max),
        ("iops_rd_max", info.iops_rd_max),
        ("iops_wr_max", info.iops_wr_max),
        ("iops_size", info.iops_size),
    ];
    let told: String = told.iter().map(|(name, value)| format!("{name}={} ", value.unwrap_or_default())).collect();
    let _ = writeln!(text, "    I/O throttling:   {told}group={}", info.group.as_deref().unwrap_or_default());
}

fn image(text: &mut String, info: &ImageInfo) {
    let ImageInfo { filename, format, virtual_size, .. } = info;
    let size = in_units(virtual_size.unsigned_abs());
    let _ = writeln!(text, "image: {filename}\nfile format: {format}\nvirtual size: {size} ({virtual_size} bytes)");
    let occupied = info.actual_size.map_or_else(|| "unavailable".to_owned(), |size| in_units(size.unsigned_abs()));
    let _ = writeln!(text, "disk size: {occupied}");
    if let Some(size) = info.cluster_size {
        let _ = writeln!(text, "cluster_size: {size}");
    }
    if info.dirty_flag == Some(true) {
        text.push_str("cleanly shut down: no\n");
    }
    if let Some(name) = &info.backing_filename {
        let path = info.full_backing_filename.as_ref().filter(|path| *path != name);
        let path = path.map_or_else(String::new, |path| format!(" (actual path: {path})"));
        let _ = writeln!(text, "backing file: {name}{path}");
        if let Some(format) = &info.backing_filename_format {
            let _ = writeln!(text, "backing file format: {format}");
        }
    }
    let Some(specific) = &info.format_specific else { return };
    let ImageInfoSpecificOf::Qcow2(qcow2) = &specific.kind;
    let qcow2 = &qcow2.data;
    let _ = writeln!(text, "Format specific information:\n    compat: {}", qcow2.compat);
    let _ = writeln!(text, "    compression type: {}", qcow2.compression_type.name());
    let told = |name: &str, value: Option<bool>| value.map(|on| format!("    {name}: {on}\n")).unwrap_or_default();
    text.push_str(&told("lazy refcounts", qcow2.lazy_refcounts));
    let _ = writeln!(text, "    refcount bits: {}", qcow2.refcount_bits);
    if let Some(file) = &qcow2.data_file {
        let _ = writeln!(text, "    data file: {file}");
    }
    text.push_str(&told("data file raw", qcow2.data_file_raw));
    text.push_str(&told("corrupt", qcow2.corrupt));
    text.push_str(&told("extended l2", qcow2.extended_l2));
}

/// Bytes as people say them, with three digits.
fn in_units(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let told = format!("{value:.digits$}");
    let told = if digits > 0 { told.trim_end_matches('0').trim_end_matches('.') } else { &told };
    format!("{told} {}B", UNITS[unit])
}

/// `info blockstats`: a line for each drive.
pub(super) fn statistics(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for BlockStats { device, stats, .. } in query_blockstats(control, QueryBlockstats { query_nodes: None })? {
        let Some(device) = device else { continue };
        let _ = writeln!(
            text,
            "{device}: rd_bytes={} wr_bytes={} rd_operations={} wr_operations={} flush_operations={} \
             wr_total_time_ns={} rd_total_time_ns={} flush_total_time_ns={} rd_merged={} wr_merged={} idle_time_ns={}",
            stats.rd_bytes,
            stats.wr_bytes,
            stats.rd_operations,
            stats.wr_operations,
            stats.flush_operations,
            stats.wr_total_time_ns,
            stats.rd_total_time_ns,
            stats.flush_total_time_ns,
            stats.rd_merged,
            stats.wr_merged,
            stats.idle_time_ns.unwrap_or_default(),
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_with_three_digits() {
        for (bytes, told) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (196 << 10, "196 KiB"),
            (1536, "1.5 KiB"),
            (4 << 20, "4 MiB"),
            (10 << 30, "10 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(in_units(bytes), told);
        }
    }
}
