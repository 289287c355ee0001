//! `info mtree`: the address spaces, as placed and as they answer.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::run::Control;
use lockstep_fabric::memory::{Backing, Region, Span, Target};
use lockstep_fabric::{Bus, Space};
use std::fmt::Write;

const SPACES: [(&str, Space); 3] = [("memory", Space::Memory), ("I/O", Space::Io), ("CPU-private", Space::Private)];

pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let flat = match arguments.word() {
        None => false,
        Some("-f") => true,
        Some(other) => return Err(CommandError::Unexpected(other.to_owned())),
    };
    arguments.finish()?;
    let bus = &control.board.machine.bus;
    let mut text = String::new();
    for (name, space) in SPACES {
        let _ = if flat { show_flat(&mut text, bus, name, space) } else { show_regions(&mut text, bus, name, space) };
    }
    Ok(text)
}

fn show_regions(text: &mut String, bus: &Bus, name: &str, space: Space) -> std::fmt::Result {
    writeln!(text, "address-space: {name}")?;
    let mut placed: Vec<&Region> = bus.space(space).regions().iter().collect();
    placed.sort_by_key(|region| (region.base.is_none(), region.base, -region.priority));
    for region in placed {
        let place = match region.base {
            Some(base) => format!("{base:016x}-{:016x}", base.saturating_add(region.len.saturating_sub(1))),
            None => format!("{:>33}", format!("unmapped, {:#x} bytes", region.len)),
        };
        let kind = match region.backing {
            Backing::Ram(_) => "ram",
            Backing::Rom(_) => "rom",
            Backing::Device(..) => "i/o",
        };
        let claims = match (region.reads, region.writes) {
            (true, true) => "",
            (true, false) => " [reads only]",
            (false, true) => " [writes only]",
            (false, false) => " [disabled]",
        };
        let owner = bus.name(region.owner);
        writeln!(text, "  {place} (prio {}, {kind}): {owner}.{}{claims}", region.priority, region.index)?;
    }
    Ok(())
}

fn show_flat(text: &mut String, bus: &Bus, name: &str, space: Space) -> std::fmt::Result {
    let map = bus.space(space);
    if map.read_view() == map.write_view() {
        writeln!(text, "FlatView {name}")?;
        return show_view(text, bus, map.read_view());
    }
    writeln!(text, "FlatView {name}, reads")?;
    show_view(text, bus, map.read_view())?;
    writeln!(text, "FlatView {name}, writes")?;
    show_view(text, bus, map.write_view())
}

fn show_view(text: &mut String, bus: &Bus, view: &[Span]) -> std::fmt::Result {
    for span in view {
        let answers = match span.target {
            Target::Ram(at) => format!("(ram): @{at:016x}"),
            Target::Rom(at) => format!("(rom): @{at:016x}"),
            Target::Device(device, region, 0) => format!("(i/o): {}.{region}", bus.name(device)),
            Target::Device(device, region, at) => format!("(i/o): {}.{region} @{at:x}", bus.name(device)),
        };
        writeln!(text, "  {:016x}-{:016x} {answers}", span.start, span.last)?;
    }
    Ok(())
}
