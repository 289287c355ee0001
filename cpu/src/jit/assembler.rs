//! Writes machine code: the few forms that surround the guest's instructions by hand, the guest's own through iced.

use super::context::{BASE, Field};
use super::registers::Host;
use iced_x86::{Encoder, Instruction};

/// A place in code that jumps go to, bound once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// A condition by its encoding (SDM volume 2, appendix B.1.4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition(pub(super) u8);

impl Condition {
    pub(super) const BELOW: Self = Self(2);
    pub(super) const ZERO: Self = Self(4);
    pub(super) const NOT_ZERO: Self = Self(5);
    pub(super) const ABOVE: Self = Self(7);
}

/// Opcodes of instructions between a register and a register or memory (SDM volume 2).
#[derive(Clone, Copy, Debug)]
pub(super) enum Opcode {
    /// To the register.
    Add = 0x03,
    Or = 0x0b,
    Cmp = 0x3b,
    Xor = 0x33,
    /// To the register or memory.
    Store = 0x89,
    Load = 0x8b,
    Lea = 0x8d,
}

/// Operations with an immediate, by the opcode's extension in ModRM.
#[derive(Clone, Copy, Debug)]
pub(super) enum WithImmediate {
    Add = 0,
    And = 4,
    Sub = 5,
    Cmp = 7,
}

/// Shifts by an immediate, by the opcode's extension in ModRM.
#[derive(Clone, Copy, Debug)]
pub(super) enum ShiftBy {
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// Memory at a register plus a displacement.
#[derive(Clone, Copy, Debug)]
pub(super) struct At(pub(super) Host, pub(super) i32);

/// A field of the vCPU.
pub(super) fn at(field: Field) -> At {
    At(BASE, field)
}

/// Code in the making, to lie at a known address.
pub(super) struct Assembler {
    base: u64,
    code: Vec<u8>,
    encoder: Encoder,
    /// Offsets of what is bound.
    labels: Vec<Option<usize>>,
    /// Where in the code a label's distance belongs.
    fixups: Vec<(usize, Label)>,
    /// The first instruction that iced could not encode, or a label that was never bound.
    failed: bool,
}

impl Assembler {
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            code: Vec::new(),
            encoder: Encoder::new(64),
            labels: Vec::new(),
            fixups: Vec::new(),
            failed: false,
        }
    }

    /// The address of what comes next.
    pub(super) fn here(&self) -> u64 {
        self.base + self.code.len() as u64
    }

    /// A label that is not bound yet.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Has a label stand for what comes next.
    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// The code, all distances filled in; `None` if it cannot be.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        for (place, label) in self.fixups {
            let distance = self.labels[label.0]? as i64 - (place as i64 + 4);
            self.code[place..place + 4].copy_from_slice(&i32::try_from(distance).ok()?.to_le_bytes());
        }
        (!self.failed).then_some(self.code)
    }

    fn byte(&mut self, byte: u8) {
        self.code.push(byte);
    }

    fn dword(&mut self, value: i32) {
        self.code.extend(value.to_le_bytes());
    }

    fn prefix(&mut self, wide: bool, reg: Host, index: Host, base: Host) {
        let rex = 0x40 | u8::from(wide) << 3 | (reg.0 >> 3) << 2 | (index.0 >> 3) << 1 | base.0 >> 3;
        if rex != 0x40 {
            self.byte(rex);
        }
    }

    fn modrm_registers(&mut self, reg: u8, rm: Host) {
        self.byte(0xc0 | (reg & 7) << 3 | rm.0 & 7);
    }

    fn modrm_memory(&mut self, reg: u8, At(base, displacement): At) {
        let short = i8::try_from(displacement);
        self.byte(if short.is_ok() { 0x40 } else { 0x80 } | (reg & 7) << 3 | base.0 & 7);
        if base.0 & 7 == Host::RSP.0 {
            self.byte(0x24);
        }
        match short {
            Ok(short) => self.byte(short as u8),
            Err(_) => self.dword(displacement),
        }
    }

    /// `op reg, rm` (the other way round for a store), 64 bits wide.
    pub(super) fn registers(&mut self, opcode: Opcode, reg: Host, rm: Host) {
        self.prefix(true, reg, Host::RAX, rm);
        self.byte(opcode as u8);
        self.modrm_registers(reg.0, rm);
    }

    /// `op reg, rm` (the other way round for a store), 32 bits wide.
    pub(super) fn registers32(&mut self, opcode: Opcode, reg: Host, rm: Host) {
        self.prefix(false, reg, Host::RAX, rm);
        self.byte(opcode as u8);
        self.modrm_registers(reg.0, rm);
    }

    /// `op reg, [memory]` (the other way round for a store), 64 bits wide.
    pub(super) fn memory(&mut self, opcode: Opcode, reg: Host, memory: At) {
        self.prefix(true, reg, Host::RAX, memory.0);
        self.byte(opcode as u8);
        self.modrm_memory(reg.0, memory);
    }

    /// `op reg, [memory]` (the other way round for a store), 32 bits wide.
    pub(super) fn memory32(&mut self, opcode: Opcode, reg: Host, memory: At) {
        self.prefix(false, reg, Host::RAX, memory.0);
        self.byte(opcode as u8);
        self.modrm_memory(reg.0, memory);
    }

    /// `mov to, from`.
    pub(super) fn copy(&mut self, to: Host, from: Host) {
        if to != from {
            self.registers(Opcode::Load, to, from);
        }
    }

    /// `lea to, [base + index << scale + displacement]`, the result 32 or 64 bits wide.
    pub(super) fn lea(
        &mut self,
        wide: bool,
        to: Host,
        base: Option<Host>,
        index: Option<(Host, u8)>,
        displacement: i32,
    ) {
        let (index_register, scale) = index.unwrap_or((Host::RSP, 0));
        self.prefix(wide, to, index_register, base.unwrap_or(Host::RAX));
        self.byte(Opcode::Lea as u8);
        let short = i8::try_from(displacement).ok().filter(|_| base.is_some());
        let form = match (base, short) {
            (None, _) => 0x00,
            (Some(_), Some(_)) => 0x40,
            (Some(_), None) => 0x80,
        };
        self.byte(form | (to.0 & 7) << 3 | 4);
        self.byte(scale << 6 | (index_register.0 & 7) << 3 | base.map_or(5, |base| base.0 & 7));
        match short {
            Some(short) => self.byte(short as u8),
            None => self.dword(displacement),
        }
    }

    /// `op register, immediate`, sign-extended to 64 bits.
    pub(super) fn immediate(&mut self, what: WithImmediate, register: Host, value: i32) {
        self.prefix(true, Host::RAX, Host::RAX, register);
        self.immediate_of(what, value, |this, what| this.modrm_registers(what, register));
    }

    /// `op register, immediate`, 32 bits wide.
    pub(super) fn immediate32(&mut self, what: WithImmediate, register: Host, value: i32) {
        self.prefix(false, Host::RAX, Host::RAX, register);
        self.immediate_of(what, value, |this, what| this.modrm_registers(what, register));
    }

    /// `op qword [memory], immediate`.
    pub(super) fn memory_immediate(&mut self, what: WithImmediate, memory: At, value: i32) {
        self.prefix(true, Host::RAX, Host::RAX, memory.0);
        self.immediate_of(what, value, |this, what| this.modrm_memory(what, memory));
    }

    fn immediate_of(&mut self, what: WithImmediate, value: i32, operand: impl FnOnce(&mut Self, u8)) {
        let short = i8::try_from(value);
        self.byte(if short.is_ok() { 0x83 } else { 0x81 });
        operand(self, what as u8);
        match short {
            Ok(short) => self.byte(short as u8),
            Err(_) => self.dword(value),
        }
    }

    /// A 64-bit shift by an immediate.
    pub(super) fn shift(&mut self, what: ShiftBy, register: Host, count: u8) {
        self.prefix(true, Host::RAX, Host::RAX, register);
        self.byte(0xc1);
        self.modrm_registers(what as u8, register);
        self.byte(count);
    }

    /// `mov register, value`.
    pub(super) fn constant(&mut self, register: Host, value: u64) {
        self.prefix(true, Host::RAX, Host::RAX, register);
        self.byte(0xb8 | register.0 & 7);
        self.code.extend(value.to_le_bytes());
    }

    /// `test byte [memory], mask`.
    pub(super) fn test_byte(&mut self, memory: At, mask: u8) {
        self.prefix(false, Host::RAX, Host::RAX, memory.0);
        self.byte(0xf6);
        self.modrm_memory(0, memory);
        self.byte(mask);
    }

    /// Bytes that need no operand, as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.code.extend(bytes);
    }

    /// `PUSH register`.
    pub(super) fn push(&mut self, register: Host) {
        self.prefix(false, Host::RAX, Host::RAX, register);
        self.byte(0x50 | register.0 & 7);
    }

    /// `POP register`.
    pub(super) fn pop(&mut self, register: Host) {
        self.prefix(false, Host::RAX, Host::RAX, register);
        self.byte(0x58 | register.0 & 7);
    }

    /// `JMP register`.
    pub(super) fn jump_to(&mut self, register: Host) {
        self.prefix(false, Host::RAX, Host::RAX, register);
        self.byte(0xff);
        self.modrm_registers(4, register);
    }

    /// `JMP qword [memory]`.
    pub(super) fn jump_through(&mut self, memory: At) {
        self.prefix(false, Host::RAX, Host::RAX, memory.0);
        self.byte(0xff);
        self.modrm_memory(4, memory);
    }

    /// `CALL register`.
    pub(super) fn call_to(&mut self, register: Host) {
        self.prefix(false, Host::RAX, Host::RAX, register);
        self.byte(0xff);
        self.modrm_registers(2, register);
    }

    /// `JMP label`.
    pub(super) fn jump(&mut self, label: Label) {
        self.byte(0xe9);
        self.fixups.push((self.code.len(), label));
        self.dword(0);
    }

    /// `JMP label`, to be led elsewhere later: the address of the distance.
    pub(super) fn patchable_jump(&mut self, label: Label) -> u64 {
        self.jump(label);
        self.here() - 4
    }

    /// `Jcc label`.
    pub(super) fn branch(&mut self, condition: Condition, label: Label) {
        self.raw(&[0x0f, 0x80 | condition.0 & 15]);
        self.fixups.push((self.code.len(), label));
        self.dword(0);
    }

    /// `JMP` to an address near by.
    pub(super) fn jump_near(&mut self, target: u64) {
        self.byte(0xe9);
        self.distance(target);
    }

    /// `CALL` to an address near by.
    pub(super) fn call_near(&mut self, target: u64) {
        self.byte(0xe8);
        self.distance(target);
    }

    fn distance(&mut self, target: u64) {
        let distance = target.wrapping_sub(self.here() + 4) as i64;
        match i32::try_from(distance) {
            Ok(distance) => self.dword(distance),
            Err(_) => self.failed = true,
        }
    }

    /// Any instruction.
    pub(super) fn instruction(&mut self, instruction: &Instruction) {
        let code = std::mem::take(&mut self.code);
        self.encoder.set_buffer(code);
        let encoded = self.encoder.encode(instruction, self.base);
        self.code = self.encoder.take_buffer();
        self.failed |= encoded.is_err();
    }
}
