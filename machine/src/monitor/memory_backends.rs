//! `info memdev`, `info memory-devices`, `info memory_size_summary` and `info ramblock`: what the guest's memory is made of.

use super::expression::Arguments;
use super::{Answer, Desk};
use crate::control;
use crate::run::Control;
use lockstep_qmp::commands::memory::{
    MemoryDeviceInfo, MemoryDeviceInfoOf, QueryMemdev, QueryMemoryDevices, QueryMemorySizeSummary,
};
use lockstep_qmp::commands::stats::XQueryRamblock;
use std::fmt::Write;

/// `info memdev`.
pub(super) fn backends(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for backend in control::query_memdev(control, QueryMemdev {})? {
        let nodes: Vec<_> = backend.host_nodes.iter().map(u16::to_string).collect();
        let _ = writeln!(text, "memory backend: {}", backend.id.as_deref().unwrap_or_default());
        let _ = writeln!(text, "  size:  {}", backend.size);
        for (name, on) in [
            ("merge", backend.merge),
            ("dump", backend.dump),
            ("prealloc", backend.prealloc),
            ("share", backend.share.unwrap_or_default()),
            ("reserve", backend.reserve.unwrap_or_default()),
        ] {
            let _ = writeln!(text, "  {name}: {on}");
        }
        let _ = writeln!(text, "  policy: {}\n  host nodes: {}", backend.policy.name(), nodes.join(","));
    }
    text.push('\n');
    Ok(text)
}

/// `info memory-devices`: the memory modules.
pub(super) fn devices(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for MemoryDeviceInfo { kind } in control::query_memory_devices(control, QueryMemoryDevices {})? {
        let MemoryDeviceInfoOf::Dimm(module) = kind;
        let module = module.data;
        let _ = writeln!(text, "Memory device [dimm]: \"{}\"", module.id.unwrap_or_default());
        let _ = writeln!(text, "  addr: {:#x}\n  slot: {}\n  node: {}", module.addr, module.slot, module.node);
        let _ = writeln!(text, "  size: {}\n  memdev: {}", module.size, module.memdev);
        let _ = writeln!(text, "  hotplugged: {}\n  hotpluggable: {}", module.hotplugged, module.hotpluggable);
    }
    Ok(text)
}

/// `info memory_size_summary`.
pub(super) fn sizes(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let sizes = control::query_memory_size_summary(control, QueryMemorySizeSummary {})?;
    let plugged = sizes.plugged_memory.unwrap_or_default();
    Ok(format!("base memory: {}\nplugged memory: {plugged}", sizes.base_memory))
}

/// `info ramblock`.
pub(super) fn blocks(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok(control::x_query_ramblock(control, XQueryRamblock {})?.human_readable_text)
}
