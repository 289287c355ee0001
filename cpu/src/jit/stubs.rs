//! The ways into translated code, out of it, to handlers and back, and from one block to another: written once.

use super::assembler::{Assembler, At, Condition, Opcode, ShiftBy, WithImmediate, at};
use super::code_buffer::CodeBuffer;
use super::context::{self, BASE, gpr};
use super::registers::{Host, pinned};
use super::table::{BLOCKS_MASK, KEY_SHIFT};
use crate::mmu::layout;

/// Where the stubs lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stubs {
    /// `extern "sysv64" fn(vcpu, bus, code) -> u64`: runs code until it leaves; what [`Stubs::leave`] is given in RAX.
    pub(super) enter: u64,
    /// Leaves translated code with RAX as the answer.
    pub(super) leave: u64,
    /// Called with the address of a site in RAX: runs its handler. Does not come back if the handler says that something
    /// is pending or faulted.
    pub(super) call: u64,
    /// Goes to the instruction whose address is in RAX, by translated code if there is some, else leaves.
    pub(super) go: u64,
    /// As `go`, to where the handler of an instruction that ends its block has set the instruction pointer.
    pub(super) go_on: u64,
}

/// Registers that `extern "sysv64"` functions preserve.
const PRESERVED: [Host; 6] = [Host::RBX, Host::RBP, Host::R12, Host::R13, Host::R14, Host::R15];
/// What lies between the preserved registers and where RSP is in translated code: the bus, and a word that aligns.
const FRAME: i32 = 24;
const BUS: i32 = 8;
/// RSP is a multiple of sixteen in translated code; a call from there leaves it eight below one.
const CALL_ALIGNMENT: i32 = 8;

fn load_guest(code: &mut Assembler) {
    for (guest, host) in pinned() {
        code.memory(Opcode::Load, host, at(gpr(guest)));
    }
}

fn store_guest(code: &mut Assembler) {
    for (guest, host) in pinned() {
        code.memory(Opcode::Store, host, at(gpr(guest)));
    }
}

impl Stubs {
    /// Writes the stubs, which call `handler` for a site: `extern "sysv64" fn(vcpu, bus, site) -> u64`, zero to go on.
    pub(super) fn write(buffer: &mut CodeBuffer, handler: u64) -> Option<Self> {
        let code = &mut Assembler::new(buffer.next());

        let enter = code.here();
        for register in PRESERVED {
            code.push(register);
        }
        code.immediate(WithImmediate::Sub, Host::RSP, FRAME);
        code.memory(Opcode::Store, Host::RSI, At(Host::RSP, BUS));
        code.copy(BASE, Host::RDI);
        code.copy(Host::RAX, Host::RDX);
        load_guest(code);
        code.jump_to(Host::RAX);

        let leave = code.here();
        store_guest(code);
        code.immediate(WithImmediate::Add, Host::RSP, FRAME);
        for register in PRESERVED.into_iter().rev() {
            code.pop(register);
        }
        code.raw(&[0xc3]);

        let call = code.here();
        store_guest(code);
        code.copy(Host::RDI, BASE);
        code.memory(Opcode::Load, Host::RSI, At(Host::RSP, BUS + 8));
        code.copy(Host::RDX, Host::RAX);
        code.immediate(WithImmediate::Sub, Host::RSP, CALL_ALIGNMENT);
        code.constant(Host::RAX, handler);
        code.call_to(Host::RAX);
        code.immediate(WithImmediate::Add, Host::RSP, CALL_ALIGNMENT);
        load_guest(code);
        // TEST RAX, RAX
        code.raw(&[0x48, 0x85, 0xc0]);
        let away = code.label();
        code.branch(Condition::NOT_ZERO, away);
        code.raw(&[0xc3]);
        code.bind(away);
        code.immediate(WithImmediate::Add, Host::RSP, 8);
        code.jump_near(leave);

        let go_on = code.here();
        code.memory(Opcode::Load, Host::RAX, at(context::NEXT_IP));
        let go = code.here();
        Self::write_go(code, leave);

        let code = std::mem::replace(code, Assembler::new(0)).finish()?;
        buffer.append(&code)?;
        Some(Self { enter, leave, call, go, go_on })
    }

    /// RAX: the instruction's address. Its page is looked up in the fetch translations, as the interpreter does, and what
    /// lies there in the table of blocks.
    fn write_go(code: &mut Assembler, leave: u64) {
        let miss = code.label();
        code.copy(Host::R8, Host::RAX);
        code.shift(ShiftBy::Shr, Host::R8, 12);
        code.immediate32(WithImmediate::And, Host::R8, layout::FETCH_SLOTS as i32 - 1);
        // Three words each.
        code.lea(true, Host::R8, Some(Host::R8), Some((Host::R8, 1)), 0);
        code.shift(ShiftBy::Shl, Host::R8, 3);
        code.memory(Opcode::Add, Host::R8, at(context::FETCH));
        code.copy(Host::R9, Host::RAX);
        code.immediate(WithImmediate::And, Host::R9, -0x1000);
        code.memory(Opcode::Or, Host::R9, at(context::GENERATION));
        code.memory(Opcode::Cmp, Host::R9, At(Host::R8, layout::FETCH_TAG));
        code.branch(Condition::NOT_ZERO, miss);
        code.memory(Opcode::Load, Host::R9, At(Host::R8, layout::FETCH_OFFSET));
        code.registers32(Opcode::Load, Host::R8, Host::RAX);
        code.immediate32(WithImmediate::And, Host::R8, 0xfff);
        code.registers(Opcode::Add, Host::R9, Host::R8);
        code.memory(Opcode::Or, Host::R9, at(context::MODE));
        code.copy(Host::R8, Host::R9);
        code.shift(ShiftBy::Shr, Host::R8, KEY_SHIFT as u8);
        code.registers(Opcode::Xor, Host::R8, Host::R9);
        code.immediate32(WithImmediate::And, Host::R8, BLOCKS_MASK as i32);
        code.shift(ShiftBy::Shl, Host::R8, 4);
        code.memory(Opcode::Add, Host::R8, at(context::BLOCKS));
        code.memory(Opcode::Cmp, Host::R9, At(Host::R8, 0));
        code.branch(Condition::NOT_ZERO, miss);
        code.copy(Host::R9, Host::RAX);
        code.immediate(WithImmediate::And, Host::R9, -0x1000);
        code.memory(Opcode::Store, Host::R9, at(context::PAGE_IP));
        code.jump_through(At(Host::R8, 8));
        code.bind(miss);
        code.memory(Opcode::Store, Host::RAX, at(context::NEXT_IP));
        code.registers32(Opcode::Xor, Host::RAX, Host::RAX);
        code.jump_near(leave);
    }
}
