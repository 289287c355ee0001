//! Statistics, and what else the human monitors of others show.

use super::disabled;
use crate::monitor;
use crate::object_model::Tree;
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::stats::{
    HumanReadableText, QueryStatsSchemas, StatsFilter, StatsResult, StatsSchema, VirtioInfo, XQueryIrq, XQueryJit,
    XQueryNuma, XQueryOpcount, XQueryProfile, XQueryRamblock, XQueryRoms, XQueryUsb, XQueryVirtio,
};
use lockstep_qmp::registry::{Answer, Registry};
use std::fmt::Write;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_stats).on(query_stats_schemas).on(x_query_virtio).on(x_query_roms).on(x_query_ramblock);
    registry.on(x_query_numa).on(x_query_irq).on(x_query_jit).on(x_query_opcount).on(x_query_profile).on(x_query_usb);
}

/// The only provider that clients know of is KVM.
fn query_stats(_: &mut Control, _: StatsFilter) -> Answer<Vec<StatsResult>> {
    Ok(Vec::new())
}

fn query_stats_schemas(_: &mut Control, _: QueryStatsSchemas) -> Answer<Vec<StatsSchema>> {
    Ok(Vec::new())
}

pub(crate) fn x_query_virtio(control: &mut Control, _: XQueryVirtio) -> Answer<Vec<VirtioInfo>> {
    let tree = Tree::of(control);
    let kind = |at: usize| tree.node(at).ty.strip_suffix("-pci").filter(|kind| kind.starts_with("virtio-"));
    let devices = tree.devices_placed().filter_map(|(at, _)| Some((at, kind(at)?)));
    Ok(devices.map(|(at, kind)| VirtioInfo { path: tree.path(at), name: kind.to_owned() }).collect())
}

/// The images that the machine was started from.
fn x_query_roms(control: &mut Control, _: XQueryRoms) -> Answer<HumanReadableText> {
    let mut text = String::new();
    for file in &control.board.files {
        let _ = writeln!(text, "{} name=\"{}\" hash={}", file.option, file.path, file.hash);
    }
    Ok(HumanReadableText { human_readable_text: text })
}

pub(crate) fn x_query_ramblock(control: &mut Control, _: XQueryRamblock) -> Answer<HumanReadableText> {
    let size = control.config.memory.size;
    let human_readable_text = format!(
        "{:>24} {:>8}  {:>18} {:>18} {:>18}\n{:>24} {:>8}  {:#018x} {size:#018x} {size:#018x}\n",
        "Block Name", "PSize", "Offset", "Used", "Total", "pc.ram", "4 KiB", 0,
    );
    Ok(HumanReadableText { human_readable_text })
}

/// What the human monitor shows.
fn as_shown(control: &mut Control, line: &str) -> Answer<HumanReadableText> {
    let says = monitor::carry_out(line, control, &mut monitor::Desk::default());
    Ok(HumanReadableText { human_readable_text: format!("{}\n", says.trim_end_matches('\n')) })
}

fn x_query_numa(control: &mut Control, _: XQueryNuma) -> Answer<HumanReadableText> {
    as_shown(control, "info numa")
}

/// A machine without a board has none to count.
fn x_query_irq(control: &mut Control, _: XQueryIrq) -> Answer<HumanReadableText> {
    as_shown(control, "info irq")
}

fn x_query_jit(control: &mut Control, _: XQueryJit) -> Answer<HumanReadableText> {
    as_shown(control, "info jit")
}

fn x_query_opcount(_: &mut Control, _: XQueryOpcount) -> Answer<HumanReadableText> {
    Err(Error::new("Opcodes are not counted"))
}

fn x_query_profile(_: &mut Control, _: XQueryProfile) -> Answer<HumanReadableText> {
    Err(disabled("profiler"))
}

fn x_query_usb(_: &mut Control, _: XQueryUsb) -> Answer<HumanReadableText> {
    Err(Error::new("USB support not enabled"))
}
