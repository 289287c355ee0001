//! `info qom-tree` and `info qtree`: the objects, by what they are part of and by the bus that they are on.

use super::expression::Arguments;
use super::{Answer, Desk};
use crate::object_model::{Tree, What};
use crate::run::Control;
use lockstep_qmp::Error;
use std::fmt::Write;

/// `info qom-tree [PATH]`.
pub(super) fn objects(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let path = arguments.text()?.unwrap_or_else(|| "/machine".to_owned());
    arguments.finish()?;
    let tree = Tree::of(control);
    let root = tree.resolve(&path).map_err(|_| Error::device_not_found(&path))?;
    let mut text = String::new();
    object(&mut text, &tree, root, 0);
    Ok(text)
}

fn object(text: &mut String, tree: &Tree, at: usize, depth: usize) {
    let node = tree.node(at);
    let _ = writeln!(text, "{:indent$}/{} ({})", "", node.name, node.ty, indent = 2 * depth);
    for (child, _) in tree.children(at) {
        object(text, tree, child, depth + 1);
    }
}

/// `info qtree`.
pub(super) fn buses(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let tree = Tree::of(control);
    let mut text = String::new();
    // A bus that is part of a device on another bus comes below that device.
    let within = |at: usize| {
        tree.nodes().any(|(device, node)| node.bus.is_some() && tree.children(device).any(|(b, _)| b == at))
    };
    let outermost = tree.nodes().filter(|(at, node)| matches!(node.what, What::Bus) && !within(*at)).map(|(at, _)| at);
    for at in outermost {
        bus(&mut text, &tree, at, 0);
    }
    Ok(text)
}

fn bus(text: &mut String, tree: &Tree, at: usize, depth: usize) {
    let indent = 2 * depth;
    let node = tree.node(at);
    // QEMU's name for what is on no other bus.
    let name = if node.ty == "System" { "main-system-bus" } else { node.name.as_str() };
    let _ = writeln!(text, "{:indent$}bus: {name}\n{:indent$}  type {}", "", "", node.ty);
    for (device, on_bus) in tree.nodes().filter(|(_, node)| node.bus == Some(at)) {
        let id = if let What::Device(placed) = &on_bus.what { placed.id.as_deref() } else { None };
        let _ = writeln!(text, "{:indent$}  dev: {}, id \"{}\"", "", on_bus.ty, id.unwrap_or_default());
        if let What::Device(placed) = &on_bus.what {
            for (name, value) in &placed.typed {
                let _ = writeln!(text, "{:indent$}    {name} = {value}", "");
            }
            if let Some(devfn) = placed.devfn {
                let _ = writeln!(text, "{:indent$}    addr = {:02x}.{:x}", "", devfn >> 3, devfn & 7);
            }
        }
        for (inner, _) in tree.children(device).filter(|(_, node)| matches!(node.what, What::Bus)) {
            bus(text, tree, inner, depth + 2);
        }
    }
}
