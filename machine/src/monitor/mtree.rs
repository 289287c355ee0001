//! `info mtree`: the address spaces, as placed and as they answer, laid out as QEMU does. drgn reads the latter.

use super::expression::Arguments;
use super::{Answer, Desk};
use crate::run::Control;
use lockstep_fabric::memory::{AddressMap, Backing, Region, Span, Target};
use lockstep_fabric::{Bus, Space};
use std::fmt::Write;

/// An address space under QEMU's names, if it has such a space.
struct Named {
    space: Space,
    name: &'static str,
    /// The region that all others lie in.
    root: &'static str,
    /// The last address in it.
    last: u64,
}

const SPACES: [Named; 3] = [
    Named { space: Space::Memory, name: "memory", root: "system", last: u64::MAX },
    Named { space: Space::Io, name: "I/O", root: "io", last: 0xffff },
    Named { space: Space::Private, name: "CPU-private", root: "private", last: u64::MAX },
];

/// Where firmware ends.
const FOUR_GIB: u64 = 1 << 32;
/// What lies from here to 1 MiB are the windows that the host bridge opens and closes.
const VIDEO: u64 = 0xa_0000;
const EXPANSION: u64 = 0xc_0000;
const ONE_MIB: u64 = 0x10_0000;

/// Memory that regions show parts of.
struct Block {
    name: &'static str,
    /// Where it is in the arena.
    at: u64,
    len: u64,
}

/// The memory of this machine that has a name of its own.
struct Blocks(Vec<Block>);

impl Blocks {
    /// RAM begins with what lies at address 0; the firmware is what ends at 4 GiB.
    fn of(map: &AddressMap, ram: u64) -> Self {
        let below = map.regions().iter().find_map(|region| match (region.base, region.backing) {
            (Some(0), Backing::Ram(at)) => Some(Block { name: "pc.ram", at, len: ram }),
            _ => None,
        });
        let firmware = map.regions().iter().find_map(|region| match (region.base, region.backing) {
            (Some(base), Backing::Rom(at)) if base.checked_add(region.len) == Some(FOUR_GIB) => {
                Some(Block { name: "pc.bios", at, len: region.len })
            }
            _ => None,
        });
        Self(below.into_iter().chain(firmware).collect())
    }

    /// The block that a place in the arena is in, and how far.
    fn find(&self, arena: u64) -> Option<(&Block, u64)> {
        self.0.iter().find_map(|block| {
            let at = arena.checked_sub(block.at).filter(|at| *at < block.len)?;
            Some((block, at))
        })
    }

    /// The block that a region shows a part of, and from where on.
    fn of_region(&self, region: &Region) -> Option<(&Block, u64)> {
        match region.backing {
            Backing::Ram(arena) | Backing::Rom(arena) => self.find(arena),
            Backing::Device(..) => None,
        }
    }
}

/// `info mtree [-f] [-D]`.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let flags = arguments.flags("fD")?;
    arguments.finish()?;
    let machine = &control.board.machine;
    let blocks = Blocks::of(machine.bus.space(Space::Memory), control.config.memory.size);
    let mut text = String::new();
    if flags.contains('f') {
        let processors: Vec<_> = machine.cpus.iter().map(|cpu| cpu.index).collect();
        for named in &SPACES {
            let _ = show_flat(&mut text, &machine.bus, &blocks, named, &processors);
        }
        return Ok(text);
    }
    for named in &SPACES {
        let _ = show_regions(&mut text, &machine.bus, &blocks, named, flags.contains('D'));
    }
    for block in &blocks.0 {
        let (name, last) = (block.name, block.len - 1);
        let _ = writeln!(text, "memory-region: {name}\n  {:016x}-{last:016x} (prio 0, ram): {name}\n", 0);
    }
    Ok(text)
}

fn show_regions(text: &mut String, bus: &Bus, blocks: &Blocks, named: &Named, disabled: bool) -> std::fmt::Result {
    let Named { space, name, root, last } = named;
    writeln!(text, "address-space: {name}\n  {:016x}-{last:016x} (prio 0, i/o): {root}", 0)?;
    let regions = bus.space(*space).regions().iter();
    let mut placed: Vec<&Region> =
        regions.filter(|region| disabled || answers(region) && region.base.is_some()).collect();
    placed.sort_by_key(|region| (region.base.is_none(), region.base, -region.priority));
    for region in placed {
        // One that the guest has not placed is shown from 0 on, and disabled.
        let base = region.base.unwrap_or_default();
        let end = base.saturating_add(region.len.saturating_sub(1));
        let kind = match region.backing {
            Backing::Ram(_) => "ram",
            Backing::Rom(_) => "rom",
            Backing::Device(..) => "i/o",
        };
        let claims = match (region.base, region.reads, region.writes) {
            (None, ..) | (_, false, false) => " [disabled]",
            (_, true, true) => "",
            (_, true, false) => " [reads only]",
            (_, false, true) => " [writes only]",
        };
        let what = described(bus, blocks, region);
        writeln!(text, "    {base:016x}-{end:016x} (prio {}, {kind}): {what}{claims}", region.priority)?;
    }
    writeln!(text)
}

fn answers(region: &Region) -> bool {
    region.reads || region.writes
}

/// A region's name; what shows a part of a block is an alias of it.
fn described(bus: &Bus, blocks: &Blocks, region: &Region) -> String {
    match blocks.of_region(region) {
        Some((block, 0)) if region.len == block.len && matches!(region.backing, Backing::Rom(_)) => {
            block.name.to_owned()
        }
        Some((block, at)) => {
            let (name, last) = (alias(region), at.saturating_add(region.len.saturating_sub(1)));
            format!("alias {name} @{} {at:016x}-{last:016x}", block.name)
        }
        None => region_name(bus, region),
    }
}

/// What QEMU calls a part of RAM or of the firmware by where it is seen.
fn alias(region: &Region) -> &'static str {
    match (region.backing, region.base.unwrap_or_default()) {
        (Backing::Rom(_), _) => "isa-bios",
        (_, FOUR_GIB..) => "ram-above-4g",
        (_, VIDEO..EXPANSION) => "smram-region",
        (_, EXPANSION..ONE_MIB) => "pam-ram",
        _ => "ram-below-4g",
    }
}

/// As QEMU lays it out, which drgn reads: a view for reads, and where it differs one for writes.
fn show_flat(text: &mut String, bus: &Bus, blocks: &Blocks, named: &Named, processors: &[u8]) -> std::fmt::Result {
    let map = bus.space(named.space);
    let of_processors = if named.space == Space::Memory { processors } else { &[] };
    show_view(text, bus, blocks, named, ("", of_processors), map.read_view())?;
    if map.read_view() != map.write_view() {
        show_view(text, bus, blocks, named, ("-writes", &[]), map.write_view())?;
    }
    Ok(())
}

fn show_view(
    text: &mut String,
    bus: &Bus,
    blocks: &Blocks,
    named: &Named,
    (suffix, processors): (&str, &[u8]),
    view: &[Span],
) -> std::fmt::Result {
    let Named { space, name, root, .. } = named;
    let number = text.matches("FlatView #").count();
    writeln!(text, "FlatView #{number}\n AS \"{name}{suffix}\", root: {root}")?;
    for processor in processors {
        writeln!(text, " AS \"cpu-memory-{processor}\", root: {root}")?;
    }
    writeln!(text, " Root memory region: {root}")?;
    let map = bus.space(*space);
    for span in view {
        let kind = match span.target {
            Target::Ram(_) => "ram",
            Target::Rom(_) => "rom",
            Target::Device(..) => "i/o",
        };
        let (start, last) = (span.start, span.last);
        let priority = region_of(map, span).map_or(0, |(region, _)| region.priority);
        let answers = match span_name(bus, blocks, map, span) {
            (name, 0) => name,
            (name, at) => format!("{name} @{at:016x}"),
        };
        writeln!(text, "  {start:016x}-{last:016x} (prio {priority}, {kind}): {answers}")?;
    }
    writeln!(text)
}

/// What answers in a span of a view, and how far into it the span begins.
fn span_name(bus: &Bus, blocks: &Blocks, map: &AddressMap, span: &Span) -> (String, u64) {
    let block = match span.target {
        Target::Ram(arena) | Target::Rom(arena) => blocks.find(arena),
        Target::Device(..) => None,
    };
    match (block, region_of(map, span)) {
        (Some((block, at)), _) => (block.name.to_owned(), at),
        (None, Some((region, at))) => (region_name(bus, region), at),
        (None, None) => ("(none)".to_owned(), 0),
    }
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
pub(super) fn name_at(control: &Control, address: u64) -> String {
    let bus = &control.board.machine.bus;
    let map = bus.space(Space::Memory);
    let blocks = Blocks::of(map, control.config.memory.size);
    let span = map.read_view().iter().find(|span| (span.start..=span.last).contains(&address));
    span.map_or_else(String::new, |span| span_name(bus, &blocks, map, span).0)
}
