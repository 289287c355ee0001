//! `-blockdev`: images by node, in QEMU's `key=value` form or as JSON.

use super::draft::{Draft, Flow, Handled};
use super::drives;
use super::error::Reason;
use super::storage_config::{Access, Backing, Cache, DriveConfig, ImageConfig, ImageFormat, NodeConfig, Part};
use super::suboptions::Suboptions;
use serde_json::Value;

/// Longest name of a node.
const LONGEST_NAME: usize = 31;

/// What a disk's size is counted in.
const SECTOR: u64 = 512;

/// Bytes of a disk without a file unless something else is said.
const USUAL_NULL: u64 = 1 << 30;

pub(super) fn blockdev(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let options = Suboptions::parse_or_json(argument, None)?;
    let node = define(&draft.config.nodes, &draft.config.drives, options, &draft.current)?;
    draft.config.nodes.push(node);
    Ok(Flow::Next)
}

/// A node that a QMP client describes, beside those that are there.
pub(crate) fn from_json(nodes: &[NodeConfig], drives: &[DriveConfig], json: &Value) -> Result<NodeConfig, Reason> {
    define(nodes, drives, Suboptions::of_json(json), "blockdev-add")
}

/// Reads a node with a name of its own.
fn define(
    nodes: &[NodeConfig],
    drives: &[DriveConfig],
    mut options: Suboptions,
    origin: &str,
) -> Result<NodeConfig, Reason> {
    let name = options.required("node-name")?;
    let well_formed = name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if !well_formed {
        return Err(Reason::bad("node-name", &name, "use up to 31 letters, digits, '-', '.' and '_', a letter first"));
    }
    if find(nodes, &name).is_some() || drives.iter().any(|drive| drive.id == name) {
        return Err(Reason::refused(format!("there is already a node or drive '{name}'")));
    }
    let (is_file, image) = node(nodes, options)?;
    Ok(NodeConfig { name, origin: origin.to_owned(), is_file, image })
}

fn find<'a>(nodes: &'a [NodeConfig], name: &str) -> Option<&'a NodeConfig> {
    nodes.iter().find(|node| node.name == name)
}

/// Reads a node; the flag says whether it is a file without a format.
fn node(nodes: &[NodeConfig], mut options: Suboptions) -> Result<(bool, ImageConfig), Reason> {
    let driver = options.required("driver")?;
    let (is_file, mut image) = match driver.as_str() {
        "file" | "host_device" => {
            // The name is taken as it is: what looks like a protocol here is part of it.
            let image = ImageConfig::at(options.required("filename")?);
            // How the host reads and writes is its own affair.
            options.number("aio-max-batch")?;
            options.switch("drop-cache")?;
            (true, ImageConfig { format: Some(ImageFormat::Raw), ..image })
        }
        "null-co" => (true, null(&mut options)?),
        "raw" => {
            let file = file(nodes, &mut options)?;
            let part = part(&mut options)?;
            (false, ImageConfig { format: Some(ImageFormat::Raw), part, ..file })
        }
        "qcow2" => {
            let file = file(nodes, &mut options)?;
            if file.null.is_some() {
                return Err(Reason::refused("Image is not in qcow2 format"));
            }
            (false, ImageConfig { format: Some(ImageFormat::Qcow2), ..file })
        }
        "throttle" => {
            let group = options.required("throttle-group")?;
            let (is_file, image) = below(nodes, &mut options, "file")?.ok_or(Reason::MissingProperty("file"))?;
            if image.throttle_group.is_some() {
                return Err(Reason::not_built("a throttled node over another one"));
            }
            (is_file, ImageConfig { throttle_group: Some(group), ..image })
        }
        other => return Err(Reason::not_built(format!("driver '{other}'"))),
    };
    if driver == "qcow2" {
        image.backing = backing(nodes, &mut options)?;
        for harmless in [
            "lazy-refcounts",
            "l2-cache-size",
            "refcount-cache-size",
            "cache-size",
            "l2-cache-entry-size",
            "cache-clean-interval",
            "pass-discard-request",
            "pass-discard-snapshot",
            "pass-discard-other",
            "overlap-check",
        ] {
            options.text(harmless);
        }
    }
    let read_only = options.switch("read-only")?;
    let auto = options.switch("auto-read-only")?.unwrap_or(false);
    match (read_only, auto) {
        (Some(true), _) => image.access = Access::ReadOnly,
        (_, true) => image.access = Access::Auto,
        // What the node below allows.
        (Some(false) | None, false) => {}
    }
    let lock = image.lock;
    image.cache = match drives::cache(&mut options)? {
        Cache::Writeback => image.cache,
        other => other,
    };
    drives::access_details(&mut options, &mut image)?;
    image.lock &= lock;
    if options.switch("force-share")? == Some(true) {
        if image.access != Access::ReadOnly {
            return Err(Reason::refused("force-share=on can only be used with read-only images"));
        }
        image.lock = false;
    }
    options.finish()?;
    Ok((is_file, image))
}

/// A disk without a file.
fn null(options: &mut Suboptions) -> Result<ImageConfig, Reason> {
    let size = options.size("size", 1)?.unwrap_or(USUAL_NULL);
    if options.number("latency-ns")?.is_some_and(|latency| latency > 0) {
        return Err(Reason::not_built("latency-ns"));
    }
    // Memory that is not written would show what the host has there.
    options.switch("read-zeroes")?;
    let null = Some(size.next_multiple_of(SECTOR));
    Ok(ImageConfig { format: Some(ImageFormat::Raw), null, lock: false, ..ImageConfig::at("null-co://") })
}

/// `offset=` and `size=` of driver `raw`.
fn part(options: &mut Suboptions) -> Result<Option<Part>, Reason> {
    let (offset, size) = (options.size("offset", 1)?, options.size("size", 1)?);
    if size.is_some_and(|size| size % SECTOR != 0) {
        return Err(Reason::refused("Specified size is not multiple of 512"));
    }
    let wanted = offset.is_some() || size.is_some();
    Ok(wanted.then_some(Part { offset: offset.unwrap_or(0), size }))
}

/// The `file` below a format: another node's name, or a node defined here.
fn file(nodes: &[NodeConfig], options: &mut Suboptions) -> Result<ImageConfig, Reason> {
    below(nodes, options, "file")?.ok_or(Reason::MissingProperty("file")).and_then(|(is_file, image)| {
        if is_file { Ok(image) } else { Err(Reason::not_built("a format inside another format")) }
    })
}

fn backing(nodes: &[NodeConfig], options: &mut Suboptions) -> Result<Backing, Reason> {
    let mut name = options.clone();
    if name.text("backing").as_deref() == Some("") {
        options.text("backing");
        return Ok(Backing::Nothing);
    }
    Ok(match below(nodes, options, "backing")? {
        Some((_, image)) => Backing::Image(Box::new(ImageConfig { access: Access::ReadOnly, ..image })),
        None => Backing::AsHeader,
    })
}

/// A node below another one: by name, or by a definition under `key.`.
fn below(nodes: &[NodeConfig], options: &mut Suboptions, key: &str) -> Result<Option<(bool, ImageConfig)>, Reason> {
    let inner = options.group(key);
    match (options.text(key), inner.is_empty()) {
        (Some(name), true) => {
            let node = find(nodes, &name);
            let node =
                node.ok_or_else(|| Reason::refused(format!("there is no node '{name}' (define it before this one)")))?;
            Ok(Some((node.is_file, node.image.clone())))
        }
        (None, false) => node(nodes, inner).map(Some),
        (None, true) => Ok(None),
        (Some(_), false) => Err(Reason::refused(format!("'{key}' is both a name and a definition"))),
    }
}
