//! What translated code reads and writes beside the registers, as fields of the [`Vcpu`].

use super::registers::Host;
use crate::decode::Key;
use crate::mmu::layout;
use crate::op::Slot;
use crate::state::{Segment, Vcpu, Vector};
use std::mem::offset_of;

/// Set when translated code is entered, and where noted after each handler that it calls.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Context {
    /// Ticks of the budget that no block has taken yet.
    pub(super) left: u64,
    /// The status flags: OF in bit 0, and in the upper byte what LAHF gives.
    pub(super) flags: u64,
    /// Address of the bank of the TLB in use; anew after each handler.
    pub(super) bank: usize,
    /// Address of guest memory.
    pub(super) arena: usize,
    /// Address of the fetch translations in use.
    pub(super) fetch: usize,
    /// The mode in the place that keys have it in.
    pub(super) mode: u64,
    /// Address of the table of translated blocks.
    pub(super) blocks: usize,
    /// For the length of one instruction.
    pub(super) scratch: u64,
}

/// A place in memory as an offset from the host's RBP.
pub(super) type Field = i32;

const fn field(offset: usize) -> Field {
    assert!(offset <= Field::MAX as usize);
    offset as Field
}

const fn own(offset: usize) -> Field {
    field(offset_of!(Vcpu, jit) + offset)
}

pub(super) const LEFT: Field = own(offset_of!(Context, left));
pub(super) const FLAGS: Field = own(offset_of!(Context, flags));
/// SF, ZF, AF, PF and CF as LAHF gives them.
pub(super) const FLAGS_HIGH: Field = FLAGS + 1;
pub(super) const BANK: Field = own(offset_of!(Context, bank));
pub(super) const ARENA: Field = own(offset_of!(Context, arena));
pub(super) const FETCH: Field = own(offset_of!(Context, fetch));
pub(super) const MODE: Field = own(offset_of!(Context, mode));
pub(super) const BLOCKS: Field = own(offset_of!(Context, blocks));
pub(super) const SCRATCH: Field = own(offset_of!(Context, scratch));
/// Tag bits of the address space in use.
pub(super) const GENERATION: Field = field(offset_of!(Vcpu, tlb) + layout::GENERATION);
/// The instruction pointer between blocks.
pub(super) const NEXT_IP: Field = field(offset_of!(Vcpu, ip));
/// The instruction pointer at the start of the page: what offsets of translated instructions hang on.
pub(super) const PAGE_IP: Field = gpr(Slot::Ip.number());

/// A guest's register.
pub(super) const fn gpr(number: usize) -> Field {
    field(offset_of!(Vcpu, gpr) + 8 * number)
}

/// A vector register.
pub(super) const fn field_of_vector(number: usize) -> Field {
    field(offset_of!(Vcpu, vec) + number * size_of::<Vector>())
}

/// The base of a segment.
pub(super) const fn segment_base(segment: usize) -> Field {
    field(offset_of!(Vcpu, seg) + segment * size_of::<Segment>() + offset_of!(Segment, base))
}

/// The register that fields are offsets from.
pub(super) const BASE: Host = Host::RBP;

impl Vcpu {
    /// Makes anew what handlers may have changed under translated code.
    #[inline(always)]
    pub(super) fn refresh_context(&mut self) {
        self.jit.bank = self.tlb.bank_address(self.bank);
    }

    /// Makes all of the context for code that is about to be entered.
    pub(super) fn enter_context(&mut self, arena: usize, blocks: usize) {
        self.jit.left = self.tick_end - self.tick;
        self.jit.flags = self.flags.packed();
        self.jit.arena = arena;
        self.jit.blocks = blocks;
        self.jit.fetch = self.tlb.fetch_address(self.cpl == 3);
        self.jit.mode = Key::new(self.mode.0, 0).bits();
        self.refresh_context();
    }
}
