//! The machine as dumps see it.

use lockstep_cpu::Vcpu;
use lockstep_cpu::state::{Rflags, Segment, TableRegister};
use lockstep_dump::{PhysicalMemory, Processors, Range, Registers, SegmentRegister};
use lockstep_fabric::Memory;
use lockstep_fabric::memory::{Backing, PAGE_SIZE, Region, Target};
use std::borrow::Cow;

/// Physical memory that stands still: RAM, ROM and video memory where the guest reads them now.
#[derive(Clone, Debug)]
pub struct StoppedMemory<'a> {
    arena: &'a [u8],
    /// Addresses with their arena offsets, in ascending order.
    spans: Vec<(Range, u64)>,
    ram_end: Option<u64>,
    /// For each page of the arena, whether it was ever written.
    touched: &'a [bool],
}

impl<'a> StoppedMemory<'a> {
    /// The memory of a machine between two runs.
    pub fn of(memory: &'a Memory) -> Self {
        let arena = memory.arena();
        Self {
            arena: arena.bytes(0, arena.len()).unwrap_or_default(),
            spans: spans(memory),
            ram_end: ram_end(memory),
            touched: memory.touched(),
        }
    }

    /// Addresses with their arena offsets, in ascending order.
    pub(super) fn into_spans(self) -> Vec<(Range, u64)> {
        self.spans
    }
}

/// Where RAM ends: that which is at address 0, and whatever else is its owner's.
fn ram_end(memory: &Memory) -> Option<u64> {
    let ram = |region: &&Region| matches!(region.backing, Backing::Ram(_));
    let regions = memory.map().regions();
    let owner = regions.iter().filter(ram).find(|region| region.base == Some(0))?.owner;
    let own = regions.iter().filter(ram).filter(|region| region.owner == owner);
    let modules = regions.iter().filter(|region| matches!(region.backing, Backing::Ram(at) if memory.is_module(at)));
    own.chain(modules).filter_map(|region| Some(region.base?.saturating_add(region.len))).max()
}

/// What of the address space arena bytes answer, with their offsets.
fn spans(memory: &Memory) -> Vec<(Range, u64)> {
    let view = memory.map().read_view().iter();
    let spans = view.filter_map(|span| match span.target {
        Target::Ram(at) | Target::Rom(at) => {
            let len = (span.last - span.start).saturating_add(1);
            Some((Range { start: span.start, len }, at))
        }
        Target::Device(..) => None,
    });
    spans.collect()
}

/// The span that an address lies in.
pub(super) fn find(spans: &[(Range, u64)], address: u64) -> Option<(Range, u64)> {
    let at = spans.partition_point(|(range, _)| range.end() <= address);
    spans.get(at).copied().filter(|(range, _)| range.holds(address))
}

impl PhysicalMemory for StoppedMemory<'_> {
    fn ranges(&self) -> Vec<Range> {
        self.spans.iter().map(|(range, _)| *range).collect()
    }

    fn ram_end(&self) -> Option<u64> {
        self.ram_end
    }

    fn untouched(&self, address: u64, len: u64) -> bool {
        let Some((range, offset)) = find(&self.spans, address) else { return false };
        if len > range.end() - address {
            return false;
        }
        let first = offset + (address - range.start);
        let pages = (first / PAGE_SIZE) as usize..(first + len).div_ceil(PAGE_SIZE) as usize;
        self.touched.get(pages).is_some_and(|pages| pages.iter().all(|touched| !touched))
    }

    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]> {
        let mut copy = Vec::new();
        while copy.len() < len {
            let at = address.wrapping_add(copy.len() as u64);
            let Some((range, offset)) = find(&self.spans, at) else { break };
            let offset = (offset + (at - range.start)) as usize;
            let wanted = (len - copy.len()).min((range.end() - at) as usize);
            let Some(bytes) = self.arena.get(offset..offset + wanted) else { break };
            if wanted == len {
                return Cow::Borrowed(bytes);
            }
            // Neighbours in the address space need not be neighbours in the arena.
            copy.extend_from_slice(bytes);
        }
        copy.into()
    }
}

/// The vCPUs' registers.
#[derive(Clone, Debug)]
pub struct Cpus(Vec<Registers>);

impl Cpus {
    /// The registers as they are.
    pub fn of(cpus: &[Vcpu]) -> Self {
        Self(cpus.iter().map(registers).collect())
    }
}

impl Processors for Cpus {
    fn registers(&self) -> Vec<Registers> {
        self.0.clone()
    }
}

fn registers(cpu: &Vcpu) -> Registers {
    Registers {
        general: std::array::from_fn(|number| cpu.gpr[number]),
        rip: cpu.ip,
        rflags: cpu.flags.get().union(Rflags::FIXED).bits(),
        segments: std::array::from_fn(|number| segment(&cpu.seg[number])),
        ldt: segment(&cpu.ldtr),
        tr: segment(&cpu.tr),
        gdt: table(&cpu.gdtr),
        idt: table(&cpu.idtr),
        cr: [cpu.cr0.bits(), 0, cpu.cr2, cpu.cr3, cpu.cr4.bits()],
        efer: cpu.efer.bits(),
        kernel_gs_base: cpu.msrs.kernel_gs_base,
    }
}

fn segment(segment: &Segment) -> SegmentRegister {
    // Access rights begin at bit 8 of the descriptor's second doubleword.
    let flags = u32::from(segment.rights.0) << 8 & 0x00f0_ff00;
    SegmentRegister { selector: segment.selector, limit: segment.limit, flags, base: segment.base }
}

fn table(table: &TableRegister) -> lockstep_dump::TableRegister {
    lockstep_dump::TableRegister { limit: table.limit.into(), base: table.base }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_guest::BareGuest;

    #[test]
    fn memory_is_where_the_guest_reads_it_whatever_lies_behind() {
        let guest = BareGuest::new("dump-view");
        let board = guest.board(&guest.config("-m 16M"));
        let machine = &board.machine;
        let memory = StoppedMemory::of(&machine.bus.memory);
        let ranges = memory.ranges();
        assert!(ranges.iter().any(|range| range.holds(0x10_0000)), "RAM: {ranges:x?}");
        assert!(ranges.iter().any(|range| range.holds(0xffff_fff0)), "the reset vector: {ranges:x?}");
        assert!(!ranges.iter().any(|range| range.holds(0xfee0_0000)), "registers are no memory: {ranges:x?}");
        for (start, len) in [(0, 0xa_0000), (0xf_0000, 0x1_0000), (0xf_8000, 0x9000), (0xffff_0000, 0x1_0000)] {
            let mut expected = vec![0; len];
            machine.bus.memory.read_bytes(start, &mut expected);
            assert!(memory.read(start, len)[..] == expected, "{start:#x}");
        }
        let zero = |page: &u64| memory.read(page * PAGE_SIZE, PAGE_SIZE as usize).iter().all(|byte| *byte == 0);
        let untouched: Vec<u64> = (0..0x1000).filter(|page| memory.untouched(page * PAGE_SIZE, PAGE_SIZE)).collect();
        assert!(untouched.len() > 0x800 && untouched.iter().all(zero));
        assert!(!memory.untouched(0xffff_f000, PAGE_SIZE) && !memory.untouched(0xff_f000, 2 * PAGE_SIZE));
        assert_eq!(memory.ram_end(), Some(16 << 20), "the ROM below 4 GiB is no RAM");
        assert_eq!(memory.read(0xfee0_0000, 8).len(), 0);
        assert_eq!(Cpus::of(&machine.cpus).registers()[0].rip, 0xfff0);
        assert_eq!(Cpus::of(&machine.cpus).registers()[0].segments[1].base, 0xffff_0000);
    }
}
