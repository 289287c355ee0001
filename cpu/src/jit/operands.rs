//! Registers and memory operands of the guest's instructions.

use super::assembler::{At, Condition, Label, Opcode, ShiftBy, WithImmediate, at};
use super::context::{self, gpr, segment_base};
use super::registers::{Host, place};
use super::translate::Translation;
use crate::mmu::layout;
use crate::op::{Op, Slot, Traits};
use crate::state::seg;

/// Whether a store follows, or the operand is only loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Read,
    Write,
}

/// Whether the address of a memory operand can be computed in translated code.
pub(super) fn addressable(op: &Op) -> bool {
    !op.is(Traits::ADDRESS32 | Traits::ADDRESS16) && i32::try_from(op.disp as i64).is_ok()
}

impl Translation<'_> {
    /// The host's register with a guest's register in it: its own, or `spare` loaded with it.
    pub(super) fn read_register(&mut self, guest: usize, spare: Host) -> Host {
        place(guest).unwrap_or_else(|| {
            self.asm.memory(Opcode::Load, spare, at(gpr(guest)));
            spare
        })
    }

    /// Stores what is in `from` where a guest's register is kept.
    pub(super) fn write_register(&mut self, guest: usize, from: Host) {
        match place(guest) {
            Some(host) => self.asm.copy(host, from),
            None => self.asm.memory(Opcode::Store, from, at(gpr(guest))),
        }
    }

    fn address_part(&mut self, slot: Slot, spare: Host) -> Option<Host> {
        (slot != Slot::Zero).then(|| self.read_register(slot.number(), spare))
    }

    /// The offset that the instruction's memory operand has in its segment. Needs R8 and R9; leaves the flags.
    pub(super) fn effective_address(&mut self, to: Host, wide: bool) {
        let op = &self.single().op;
        let base = self.address_part(op.base, Host::R8);
        let index = self.address_part(op.index, Host::R9).map(|index| (index, op.scale));
        self.asm.lea(wide, to, base, index, op.disp as i64 as i32);
    }

    /// R8 becomes the host's address of the instruction's memory operand of `bytes`; if the TLB does not have it at once, goes
    /// to `slow`. Needs RAX and R9, and the host's flags.
    pub(super) fn find_operand(&mut self, bytes: usize, reach: Reach, slow: Label) {
        self.find_operand_checked(bytes, reach, slow, |_, _| {});
    }

    /// As [`Translation::find_operand`]; `check` may refuse the linear address in R8.
    pub(super) fn find_operand_checked(
        &mut self,
        bytes: usize,
        reach: Reach,
        slow: Label,
        check: impl FnOnce(&mut Self, Label),
    ) {
        self.lose_host_flags();
        self.effective_address(Host::R8, true);
        let segment = usize::from(self.single().op.seg);
        if segment == seg::FS || segment == seg::GS {
            self.asm.memory(Opcode::Add, Host::R8, at(segment_base(segment)));
        }
        check(self, slow);
        self.translate_address(bytes, reach, slow);
    }

    /// R8, a linear address, becomes the host's address of the `bytes` there; if the TLB does not have it at once, goes to
    /// `slow`. Needs RAX and R9; the host's flags are free.
    pub(super) fn translate_address(&mut self, bytes: usize, reach: Reach, slow: Label) {
        let tag = match reach {
            Reach::Read => layout::READ,
            Reach::Write => layout::WRITE,
        };
        let asm = &mut self.asm;
        asm.copy(Host::R9, Host::R8);
        asm.shift(ShiftBy::Shr, Host::R9, layout::ENTRY_SHIFT as u8);
        asm.immediate32(WithImmediate::And, Host::R9, layout::ENTRY_MASK as i32);
        asm.memory(Opcode::Add, Host::R9, at(context::BANK));
        match bytes {
            1 => asm.copy(Host::RAX, Host::R8),
            _ => asm.lea(true, Host::RAX, Some(Host::R8), None, bytes as i32 - 1),
        }
        asm.immediate(WithImmediate::And, Host::RAX, -0x1000);
        asm.memory(Opcode::Or, Host::RAX, at(context::GENERATION));
        asm.memory(Opcode::Cmp, Host::RAX, At(Host::R9, tag));
        asm.branch(Condition::NOT_ZERO, slow);
        asm.memory(Opcode::Add, Host::R8, At(Host::R9, layout::ADDEND));
        asm.memory(Opcode::Add, Host::R8, at(context::ARENA));
    }

    /// Goes to `slow` if the address in `register` is not canonical for 48 bits. Needs R9; the host's flags are free.
    pub(super) fn check_canonical(&mut self, register: Host, slow: Label) {
        self.asm.copy(Host::R9, register);
        self.asm.shift(ShiftBy::Sar, Host::R9, 47);
        self.asm.immediate(WithImmediate::Add, Host::R9, 1);
        self.asm.immediate(WithImmediate::Cmp, Host::R9, 1);
        self.asm.branch(Condition::ABOVE, slow);
    }
}

/// The memory operand, once its address is found.
pub(super) const OPERAND: At = At(Host::R8, 0);
