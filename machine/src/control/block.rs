//! Media of drives, and nodes, which can lie in them.

use super::block_query::{drive_by, drive_of_device, node_name};
use super::disabled;
use crate::block::image;
use crate::commandline::{self, Access, Config, ImageFormat, NodeConfig};
use crate::run::{Control, MediumError, NewMedium};
use lockstep_qmp::Error;
use lockstep_qmp::commands::block::{
    BlockResize, BlockdevChangeMedium, BlockdevChangeReadOnlyMode, BlockdevCloseTray, BlockdevInsertMedium,
    BlockdevOpenTray, BlockdevRemoveMedium, Change, Eject,
};
use lockstep_qmp::commands::nodes::{BlockdevDel, BlockdevOptions};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(change).on(eject).on(open_tray).on(close_tray).on(remove_medium).on(insert_medium).on(change_medium);
    registry.on(blockdev_add).on(blockdev_del).on(block_resize);
}

fn refused(why: MediumError) -> Error {
    match &why {
        MediumError::NoDrive(id) => Error::device_not_found(id),
        _ => Error::new(why.to_string()),
    }
}

/// There is no VNC server whose settings could be changed.
const VNC: &str = "vnc";

fn change(control: &mut Control, command: Change) -> Answer<()> {
    if command.device == VNC {
        return Err(disabled(VNC));
    }
    let drive = drive_by(control, Some(&command.device), None)?;
    let medium = NewMedium { path: command.target.into(), format: format(command.arg.as_deref())?, access: None };
    control.change_medium(&drive, Some(medium), false).map_err(refused)
}

fn block_resize(control: &mut Control, command: BlockResize) -> Answer<()> {
    let drives = control.drives();
    let found = match (command.device.as_deref(), command.node_name.as_deref()) {
        (Some(device), None) => drives.iter().find(|drive| drive.info.id == device),
        (None, Some(node)) => drives.iter().find(|drive| node_name(control, &drive.info.id) == node),
        _ => None,
    };
    let (device, node) = (command.device.unwrap_or_default(), command.node_name.unwrap_or_default());
    let missing = || Error::new(format!("Cannot find device='{device}' nor node-name='{node}'"));
    let drive = found.ok_or_else(missing)?.info.id.clone();
    let bytes = u64::try_from(command.size).map_err(|_| Error::new("Parameter 'size' expects a >0 size"))?;
    control.resize(&drive, bytes).map_err(refused)
}

fn format(name: Option<&str>) -> Answer<Option<ImageFormat>> {
    match name {
        None => Ok(None),
        Some("raw") => Ok(Some(ImageFormat::Raw)),
        Some("qcow2") => Ok(Some(ImageFormat::Qcow2)),
        Some(other) => Err(Error::new(format!("Unknown driver '{other}'"))),
    }
}

/// Drives without a tray just lose their medium.
fn eject(control: &mut Control, command: Eject) -> Answer<()> {
    let drive = drive_by(control, command.device.as_deref(), command.id.as_deref())?;
    match control.open_tray(&drive, command.force == Some(true)) {
        Ok(()) | Err(MediumError::NoTray(_)) => control.remove_medium(&drive).map_err(refused),
        Err(why) => Err(refused(why)),
    }
}

fn open_tray(control: &mut Control, command: BlockdevOpenTray) -> Answer<()> {
    let drive = drive_by(control, command.device.as_deref(), command.id.as_deref())?;
    control.open_tray(&drive, command.force == Some(true)).map_err(refused)
}

fn close_tray(control: &mut Control, command: BlockdevCloseTray) -> Answer<()> {
    let drive = drive_by(control, command.device.as_deref(), command.id.as_deref())?;
    control.close_tray(&drive).map_err(refused)
}

fn remove_medium(control: &mut Control, command: BlockdevRemoveMedium) -> Answer<()> {
    let drive = drive_of_device(control, &command.id)?;
    control.remove_medium(&drive).map_err(refused)
}

fn insert_medium(control: &mut Control, command: BlockdevInsertMedium) -> Answer<()> {
    let drive = drive_of_device(control, &command.id)?;
    let name = &command.node_name;
    let node = control.config.nodes.iter().find(|node| node.name == *name).cloned();
    let node = node.ok_or_else(|| Error::new(format!("Node '{name}' not found")))?;
    if in_use(control, name) {
        return Err(Error::new(format!("Node '{name}' is already in use")));
    }
    control.insert_medium(&drive, &node).map_err(refused)
}

fn change_medium(control: &mut Control, command: BlockdevChangeMedium) -> Answer<()> {
    let drive = drive_by(control, command.device.as_deref(), command.id.as_deref())?;
    let access = match command.read_only_mode {
        None | Some(BlockdevChangeReadOnlyMode::Retain) => None,
        Some(BlockdevChangeReadOnlyMode::ReadOnly) => Some(Access::ReadOnly),
        Some(BlockdevChangeReadOnlyMode::ReadWrite) => Some(Access::ReadWrite),
    };
    let medium = NewMedium { path: command.filename.into(), format: format(command.format.as_deref())?, access };
    control.change_medium(&drive, Some(medium), command.force == Some(true)).map_err(refused)
}

/// A drive has the node.
pub(super) fn in_use(control: &Control, node: &str) -> bool {
    control.nodes_in_drives.values().any(|other| other == node)
        || control.board.machine.drives().iter().any(|(.., info)| info.id == node)
}

/// The image is opened to see that it can be; whoever uses the node opens it again.
fn blockdev_add(control: &mut Control, command: BlockdevOptions) -> Answer<()> {
    if command.node_name.is_none() {
        return Err(Error::new("'node-name' must be specified for the root node"));
    }
    let json = serde_json::to_value(&command).map_err(|why| Error::new(why.to_string()))?;
    let Config { nodes, drives, .. } = &control.config;
    let node = commandline::node_from_json(nodes, drives, &json).map_err(|why| Error::new(why.to_string()))?;
    add_node(control, node)
}

/// Adds a node that is described already.
pub(crate) fn add_node(control: &mut Control, node: NodeConfig) -> Answer<()> {
    if let Some(group) = &node.image.throttle_group {
        let exists = control.objects.find(group).is_some_and(|object| object.throttle_limits().is_some());
        if !exists && !control.throttles(group) {
            return Err(Error::new(format!("Throttle group '{group}' does not exist")));
        }
    }
    image::open(&node.image).map_err(|why| Error::new(format!("Could not open: {why}")))?;
    control.config.nodes.push(node);
    Ok(())
}

pub(crate) fn blockdev_del(control: &mut Control, command: BlockdevDel) -> Answer<()> {
    let name = command.node_name;
    let nodes = &control.config.nodes;
    let at = nodes.iter().position(|node| node.name == name);
    let at = at.ok_or_else(|| Error::new(format!("Failed to find node with node-name='{name}'")))?;
    // What another node is made of is known by its file.
    let above = nodes[at].is_file
        && nodes[at].image.null.is_none()
        && nodes.iter().any(|node| node.name != name && node.image.path == nodes[at].image.path);
    if above || in_use(control, &name) {
        return Err(Error::new(format!("Node {name} is in use")));
    }
    control.config.nodes.remove(at);
    control.board.machine.forget_drive(&name);
    Ok(())
}
