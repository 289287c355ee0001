//! Jumps, calls, returns and the stack.

use super::assembler::{Condition, Opcode, at};
use super::context;
use super::operands::{OPERAND, Reach};
use super::registers::{GUEST_RBP, GUEST_RSP, Host};
use super::translate::Translation;
use iced_x86::OpKind;

/// Bytes of a stack slot in 64-bit code.
const SLOT: i32 = 8;

impl Translation<'_> {
    pub(super) fn jcc(&mut self) {
        self.keep_all_flags();
        // iced counts from one: zero is no condition.
        let condition = self.single().instruction.condition_code() as u8 - 1;
        let taken = self.taken(self.single().op.imm);
        if self.held.in_host() {
            self.asm.branch(Condition(condition), taken);
            return;
        }
        match Self::condition_in_memory(condition) {
            Some((place, mask, if_set)) => {
                self.asm.test_byte(place, mask);
                self.asm.branch(if if_set { Condition::NOT_ZERO } else { Condition::ZERO }, taken);
            }
            None => {
                self.need_host_flags(super::liveness::ALL);
                self.asm.branch(Condition(condition), taken);
            }
        }
    }

    pub(super) fn jump(&mut self) {
        self.keep_all_flags();
        self.leave_to(self.single().op.imm);
    }

    /// RAX becomes the target of the indirect jump or call in hand, canonical for 48 bits; else its handler is called.
    fn load_target(&mut self, slow: super::assembler::Label) {
        self.lose_host_flags();
        if self.single().instruction.op0_kind() == OpKind::Register {
            let from = self.read_register(self.single().op.dst.number(), Host::RAX);
            self.asm.copy(Host::RAX, from);
        } else {
            self.find_operand(SLOT as usize, Reach::Read, slow);
            self.asm.memory(Opcode::Load, Host::RAX, OPERAND);
        }
        self.check_canonical(Host::RAX, slow);
    }

    pub(super) fn jump_indirect(&mut self) {
        let slow = self.slow();
        self.load_target(slow);
        self.leave_to_rax();
        self.last_slow(slow);
    }

    /// Pushes the address of the next instruction.
    fn push_return(&mut self, slow: super::assembler::Label) {
        self.asm.lea(true, Host::R8, Some(GUEST_RSP), None, -SLOT);
        self.translate_address(SLOT as usize, Reach::Write, slow);
        self.load_ip(Host::RAX, self.single().op.next.into());
        self.asm.memory(Opcode::Store, Host::RAX, OPERAND);
        self.asm.lea(true, GUEST_RSP, Some(GUEST_RSP), None, -SLOT);
    }

    pub(super) fn call(&mut self) {
        let slow = self.slow();
        self.lose_host_flags();
        self.push_return(slow);
        self.leave_to(self.single().op.imm);
        self.last_slow(slow);
    }

    pub(super) fn call_indirect(&mut self) {
        let slow = self.slow();
        self.load_target(slow);
        self.asm.memory(Opcode::Store, Host::RAX, at(context::SCRATCH));
        self.push_return(slow);
        self.asm.memory(Opcode::Load, Host::RAX, at(context::SCRATCH));
        self.leave_to_rax();
        self.last_slow(slow);
    }

    pub(super) fn ret(&mut self) {
        let slow = self.slow();
        self.lose_host_flags();
        self.asm.copy(Host::R8, GUEST_RSP);
        self.translate_address(SLOT as usize, Reach::Read, slow);
        self.asm.memory(Opcode::Load, Host::RAX, OPERAND);
        self.check_canonical(Host::RAX, slow);
        // What is released beside the address is 16 bits wide.
        self.asm.lea(true, GUEST_RSP, Some(GUEST_RSP), None, SLOT + self.single().op.imm as i32);
        self.leave_to_rax();
        self.last_slow(slow);
    }

    pub(super) fn push(&mut self) {
        let slow = self.slow();
        self.lose_host_flags();
        self.asm.lea(true, Host::R8, Some(GUEST_RSP), None, -SLOT);
        self.translate_address(SLOT as usize, Reach::Write, slow);
        let from = self.read_register(self.single().op.dst.number(), Host::R9);
        self.asm.memory(Opcode::Store, from, OPERAND);
        self.asm.lea(true, GUEST_RSP, Some(GUEST_RSP), None, -SLOT);
        self.after_slow(slow);
    }

    pub(super) fn push_immediate(&mut self) {
        let slow = self.slow();
        self.lose_host_flags();
        self.asm.lea(true, Host::R8, Some(GUEST_RSP), None, -SLOT);
        self.translate_address(SLOT as usize, Reach::Write, slow);
        self.store_constant(self.single().op.imm as i64 as i32);
        self.asm.lea(true, GUEST_RSP, Some(GUEST_RSP), None, -SLOT);
        self.after_slow(slow);
    }

    pub(super) fn pop(&mut self) {
        let slow = self.slow();
        self.lose_host_flags();
        self.asm.copy(Host::R8, GUEST_RSP);
        self.translate_address(SLOT as usize, Reach::Read, slow);
        self.asm.memory(Opcode::Load, Host::RAX, OPERAND);
        // Before the register is written: POP RSP keeps what was popped.
        self.asm.lea(true, GUEST_RSP, Some(GUEST_RSP), None, SLOT);
        self.write_register(self.single().op.dst.number(), Host::RAX);
        self.after_slow(slow);
    }

    pub(super) fn leave(&mut self) {
        let slow = self.slow();
        self.lose_host_flags();
        self.asm.copy(Host::R8, GUEST_RBP);
        self.translate_address(SLOT as usize, Reach::Read, slow);
        self.asm.memory(Opcode::Load, Host::RAX, OPERAND);
        self.asm.lea(true, GUEST_RSP, Some(GUEST_RBP), None, SLOT);
        self.asm.copy(GUEST_RBP, Host::RAX);
        self.after_slow(slow);
    }
}
