//! The compact form that runs: one decoded instruction lowered to a handler and its operands.

use crate::fault::Fault;
use crate::state::Vcpu;
use bitflags::bitflags;
use lockstep_fabric::Bus;

/// Runs one lowered instruction. On `Err` nothing that the guest can see has changed.
pub type Handler = fn(&mut Vcpu, &mut Bus, &Op) -> Result<(), Fault>;

macro_rules! slots {
    ($($name:ident),*) => {
        /// Index of a register file's entry. An enum of exactly 32, so that indexing an array of 32 needs no check.
        #[allow(missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Slot { $($name),* }
        impl Slot {
            const ALL: [Slot; 32] = [$(Slot::$name),*];
        }
    };
}
slots!(
    R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15, Zero, Ip, R18, R19, R20, R21, R22, R23, R24,
    R25, R26, R27, R28, R29, R30, R31
);

impl Slot {
    /// RAX.
    pub const RAX: Self = Self::R0;
    /// RCX.
    pub const RCX: Self = Self::R1;
    /// RDX.
    pub const RDX: Self = Self::R2;
    /// RBX.
    pub const RBX: Self = Self::R3;
    /// RSP.
    pub const RSP: Self = Self::R4;
    /// RBP.
    pub const RBP: Self = Self::R5;
    /// RSI.
    pub const RSI: Self = Self::R6;
    /// RDI.
    pub const RDI: Self = Self::R7;

    /// The slot of this number, modulo 32.
    #[inline]
    pub fn of(number: usize) -> Self {
        Self::ALL[number & 31]
    }

    /// The slot's number.
    #[inline(always)]
    pub const fn number(self) -> usize {
        self as usize
    }
}

bitflags! {
    /// What else a handler must know of its instruction.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Traits: u16 {
        /// The memory operand's offset is its linear address: 64-bit mode, 64-bit address size, no FS or GS.
        const FLAT = 1 << 0;
        /// The first register operand is AH, CH, DH or BH.
        const HIGH_DST = 1 << 1;
        /// The second register operand is AH, CH, DH or BH.
        const HIGH_SRC = 1 << 2;
        /// LOCK.
        const LOCK = 1 << 3;
        /// F3 prefix on a string instruction.
        const REP = 1 << 4;
        /// F2 prefix on a string instruction.
        const REPNE = 1 << 5;
        /// 32-bit address size.
        const ADDRESS32 = 1 << 6;
        /// 16-bit address size.
        const ADDRESS16 = 1 << 7;
        /// The code segment is 64-bit.
        const CODE64 = 1 << 8;
        /// The stack pointer is 32 bits wide (SS.B); neither this nor CODE64: 16 bits.
        const STACK32 = 1 << 9;
        /// The first operand is memory (meaningful where a row's register and memory form share a handler).
        const MEMORY = 1 << 10;
        /// The code segment is 16-bit.
        const CODE16 = 1 << 11;
    }
}

/// One lowered instruction.
///
/// Registers: `dst`, `src`, `third` are the instruction's register operands in the order in which iced lists its operands
/// (memory and immediates left out). Fixed registers (AL, CL, DX...) count as operands where iced lists them.
#[derive(Clone, Debug)]
pub struct Op {
    /// What it does.
    pub run: Handler,
    /// The immediate, sign- or zero-extended as the instruction uses it. Near branch: the target relative to the block's
    /// first byte. Far pointer: offset, with the selector in `disp`. ENTER: size | level << 16. Otherwise with two immediates:
    /// first | second << 8.
    pub imm: u64,
    /// Displacement of the memory operand (RIP-relative: from the block's first byte, with base `Slot::Ip`).
    pub disp: u64,
    /// Bytes from the block's first byte to the next instruction.
    pub next: u16,
    /// What else there is to know.
    pub traits: Traits,
    /// First register operand.
    pub dst: Slot,
    /// Second register operand.
    pub src: Slot,
    /// Third register operand.
    pub third: Slot,
    /// Base register of the memory operand, or `Slot::Zero`.
    pub base: Slot,
    /// Index register of the memory operand, or `Slot::Zero`.
    pub index: Slot,
    /// Log2 of the index's scale.
    pub scale: u8,
    /// Segment of the memory operand, overrides applied.
    pub seg: u8,
    /// Length in bytes.
    pub len: u8,
    /// Instructions that it stands for, each a tick: two in a fused pair.
    pub ticks: u8,
}

impl Op {
    /// Whether the instruction has this trait.
    #[inline(always)]
    pub fn is(&self, what: Traits) -> bool {
        self.traits.intersects(what)
    }

    /// Bit position of an 8-bit first register operand: 8 for AH, CH, DH, BH.
    #[inline(always)]
    pub fn dst_shift(&self) -> u32 {
        if self.is(Traits::HIGH_DST) { 8 } else { 0 }
    }

    /// Bit position of an 8-bit second register operand.
    #[inline(always)]
    pub fn src_shift(&self) -> u32 {
        if self.is(Traits::HIGH_SRC) { 8 } else { 0 }
    }
}
