//! `info mtree`: the address spaces, as placed and as they answer.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::run::Control;
use lockstep_fabric::memory::{AddressMap, Backing, Region, Span, Target};
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

/// As QEMU lays it out, which drgn reads: a view for reads, and where it differs one for writes.
fn show_flat(text: &mut String, bus: &Bus, name: &str, space: Space) -> std::fmt::Result {
    let map = bus.space(space);
    show_view(text, bus, map, name, map.read_view())?;
    if map.read_view() != map.write_view() {
        show_view(text, bus, map, &format!("{name}-writes"), map.write_view())?;
    }
    Ok(())
}

fn show_view(text: &mut String, bus: &Bus, map: &AddressMap, name: &str, view: &[Span]) -> std::fmt::Result {
    let number = text.matches("FlatView #").count();
    writeln!(text, "FlatView #{number}\n AS \"{name}\", root: {name}\n Root memory region: {name}")?;
    for span in view {
        let kind = match span.target {
            Target::Ram(_) => "ram",
            Target::Rom(_) => "rom",
            Target::Device(..) => "i/o",
        };
        let (start, last) = (span.start, span.last);
        let (priority, answers) = match region_of(map, span) {
            Some((region, 0)) => (region.priority, region_name(bus, region)),
            Some((region, at)) => (region.priority, format!("{} @{at:016x}", region_name(bus, region))),
            None => (0, "(none)".to_owned()),
        };
        writeln!(text, "  {start:016x}-{last:016x} (prio {priority}, {kind}): {answers}")?;
    }
    writeln!(text)
}

/// The region that answers in a span of a view, and how far into it the span begins.
fn region_of<'a>(map: &'a AddressMap, span: &Span) -> Option<(&'a Region, u64)> {
    map.regions().iter().find_map(|region| {
        let at = span.start.checked_sub(region.base?).filter(|at| *at < region.len)?;
        let answers = match (region.backing, span.target) {
            (Backing::Ram(from), Target::Ram(to)) | (Backing::Rom(from), Target::Rom(to)) => from + at == to,
            (Backing::Device(device, index), Target::Device(other, number, _)) => (device, index) == (other, number),
            _ => false,
        };
        answers.then_some((region, at))
    })
}

fn region_name(bus: &Bus, region: &Region) -> String {
    format!("{}.{}", bus.name(region.owner), region.index)
}

/// What is called so that answers reads at a physical address.
pub(super) fn name_at(bus: &Bus, address: u64) -> String {
    let map = bus.space(Space::Memory);
    let span = map.read_view().iter().find(|span| (span.start..=span.last).contains(&address));
    span.and_then(|span| region_of(map, span)).map_or_else(String::new, |(region, _)| region_name(bus, region))
}
