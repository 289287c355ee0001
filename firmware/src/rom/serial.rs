//! COM1, a 16550: the console. Sending polls, receiving is by interrupt so that waiting costs nothing.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, byte_ptr, dword_ptr, dx, eax, ecx, edx, esi};

use super::program::Program;
use super::ram;

/// The port's registers.
pub(super) const DATA: u32 = 0x3f8;
const INTERRUPT_ENABLE: u32 = DATA + 1;
const FIFO_CONTROL: u32 = DATA + 2;
const LINE_CONTROL: u32 = DATA + 3;
const MODEM_CONTROL: u32 = DATA + 4;
pub(super) const LINE_STATUS: u32 = DATA + 5;
/// The port's interrupt.
pub(super) const IRQ: u32 = 4;

/// Line status: a byte has been received; the next can be sent.
pub(super) const DATA_READY: u32 = 1 << 0;
const HOLDING_EMPTY: u32 = 1 << 5;

/// Sets up 115200 baud, 8N1, FIFOs, and the receive interrupt.
pub(super) fn start(a: &mut CodeAssembler) -> Result<(), IcedError> {
    const DIVISOR_LATCH: u32 = 0x80;
    const EIGHT_BITS: u32 = 0x03;
    const DIVISOR: u32 = 1;
    const ENABLE_AND_CLEAR: u32 = 0x07;
    const DTR_RTS_OUT2: u32 = 0x0b;
    const RECEIVED: u32 = 1 << 0;
    let writes = [
        (INTERRUPT_ENABLE, 0),
        (LINE_CONTROL, DIVISOR_LATCH),
        (DATA, DIVISOR),
        (DATA + 1, 0),
        (LINE_CONTROL, EIGHT_BITS),
        (FIFO_CONTROL, ENABLE_AND_CLEAR),
        (MODEM_CONTROL, DTR_RTS_OUT2),
        (INTERRUPT_ENABLE, RECEIVED),
    ];
    for (port, value) in writes {
        a.mov(dx, port)?;
        a.mov(al, value)?;
        a.out(dx, al)?;
    }
    Ok(())
}

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    putc(p)?;
    puts(p)?;
    getc(p)?;
    pending(p)
}

fn putc(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let mut busy = a.create_label();
    a.set_label(&mut p.at.putc)?;
    a.push(edx)?;
    a.push(eax)?;
    a.mov(dx, LINE_STATUS)?;
    a.set_label(&mut busy)?;
    a.in_(al, dx)?;
    a.test(al, HOLDING_EMPTY)?;
    a.jz(busy)?;
    a.pop(eax)?;
    a.mov(dx, DATA)?;
    a.out(dx, al)?;
    a.pop(edx)?;
    a.ret()
}

fn puts(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let (mut next, mut done) = (a.create_label(), a.create_label());
    a.set_label(&mut p.at.puts)?;
    a.push(esi)?;
    a.push(eax)?;
    a.set_label(&mut next)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.jz(done)?;
    a.call(p.at.putc)?;
    a.jmp(next)?;
    a.set_label(&mut done)?;
    a.pop(eax)?;
    a.pop(esi)?;
    a.ret()
}

/// STI takes effect behind HLT, so that a byte that arrives in between still wakes it.
fn getc(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let (mut look, mut got) = (a.create_label(), a.create_label());
    a.set_label(&mut p.at.getc)?;
    a.push(ecx)?;
    a.set_label(&mut look)?;
    a.cli()?;
    a.call(p.at.pending)?;
    a.jnz(got)?;
    a.sti()?;
    a.hlt()?;
    a.jmp(look)?;
    a.set_label(&mut got)?;
    a.sti()?;
    a.mov(ecx, dword_ptr(ram::RING_TAIL))?;
    a.movzx(eax, byte_ptr(ecx + ram::RING as i32))?;
    a.inc(ecx)?;
    a.and(ecx, 0xff_u32)?;
    a.mov(dword_ptr(ram::RING_TAIL), ecx)?;
    a.pop(ecx)?;
    a.ret()
}

fn pending(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    a.set_label(&mut p.at.pending)?;
    a.push(eax)?;
    a.mov(eax, dword_ptr(ram::RING_HEAD))?;
    a.cmp(eax, dword_ptr(ram::RING_TAIL))?;
    a.pop(eax)?;
    a.ret()
}
