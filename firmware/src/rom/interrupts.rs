//! Exceptions end the command in progress; the serial port's interrupt wakes the idle prompt.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, CodeLabel, al, byte_ptr, dl, dword_ptr, dx, eax, ebp, ebx, ecx, esp};

use super::program::Program;
use super::{ram, serial};

/// Gates in the IDT: 32 exceptions, 16 interrupts of the two 8259s.
pub(super) const GATES: usize = 48;
const EXCEPTIONS: usize = 32;
/// Where the master's and the slave's interrupts begin.
const MASTER_VECTOR: u32 = 0x20;
const SLAVE_VECTOR: u32 = 0x28;
/// The local APIC's spurious interrupt, which shares the gate of IRQ 15 (always masked).
pub(super) const SPURIOUS: u32 = 0x2f;
/// Exceptions that push an error code (Intel SDM volume 3, table 6-1).
const WITH_ERROR_CODE: [usize; 10] = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];

/// The 8259s' ports and initialisation words.
const MASTER: u32 = 0x20;
const SLAVE: u32 = 0xa0;
const ICW1_INIT_ICW4: u32 = 0x11;
const ICW3_MASTER: u32 = 1 << 2;
const ICW3_SLAVE: u32 = 2;
const ICW4_8086: u32 = 1;
const END_OF_INTERRUPT: u32 = 0x20;

/// Programs the 8259s: only the serial port may interrupt.
pub(super) fn start(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let words = [
        (MASTER, ICW1_INIT_ICW4),
        (SLAVE, ICW1_INIT_ICW4),
        (MASTER + 1, MASTER_VECTOR),
        (SLAVE + 1, SLAVE_VECTOR),
        (MASTER + 1, ICW3_MASTER),
        (SLAVE + 1, ICW3_SLAVE),
        (MASTER + 1, ICW4_8086),
        (SLAVE + 1, ICW4_8086),
        (MASTER + 1, !(1 << serial::IRQ) & 0xff),
        (SLAVE + 1, 0xff),
    ];
    for (port, value) in words {
        a.mov(al, value)?;
        a.out(port, al)?;
    }
    Ok(())
}

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    let stubs = exception_stubs(p)?;
    for (vector, stub) in stubs.into_iter().enumerate() {
        p.gate(p.idt + vector as u32 * 8, stub);
    }
    exception(p)?;
    serial_interrupt(p)?;
    p.asm.set_label(&mut p.at.stray_interrupt)?;
    p.asm.iretd()
}

/// One stub a vector, which makes all stacks alike: vector, error code, EIP, CS, EFLAGS.
fn exception_stubs(p: &mut Program) -> Result<Vec<CodeLabel>, IcedError> {
    let mut stubs = Vec::new();
    for vector in 0..EXCEPTIONS {
        let mut stub = p.asm.create_label();
        p.asm.set_label(&mut stub)?;
        if !WITH_ERROR_CODE.contains(&vector) {
            p.asm.push(0_u32)?;
        }
        p.asm.push(vector as u32)?;
        p.asm.jmp(p.at.exception)?;
        stubs.push(stub);
    }
    Ok(stubs)
}

/// Says what happened and goes back to the prompt.
fn exception(p: &mut Program) -> Result<(), IcedError> {
    p.asm.set_label(&mut p.at.exception)?;
    p.asm.mov(ebp, esp)?;
    p.asm.cld()?;
    p.print("\nException ")?;
    p.asm.mov(eax, dword_ptr(ebp))?;
    p.print_hex(2)?;
    p.print(", error ")?;
    p.asm.mov(eax, dword_ptr(ebp + 4))?;
    p.print_hex(8)?;
    p.print(", at ")?;
    p.asm.mov(eax, dword_ptr(ebp + 12))?;
    p.print_hex(4)?;
    p.print_char(b':')?;
    p.asm.mov(eax, dword_ptr(ebp + 8))?;
    p.print_hex(8)?;
    p.asm.call(p.at.newline)?;
    p.asm.jmp(p.at.prompt)
}

/// Moves all that has been received into the ring; what finds it full is lost.
fn serial_interrupt(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let (mut next, mut done) = (a.create_label(), a.create_label());
    a.set_label(&mut p.at.serial_interrupt)?;
    a.pushad()?;
    a.set_label(&mut next)?;
    a.mov(dx, serial::LINE_STATUS)?;
    a.in_(al, dx)?;
    a.test(al, serial::DATA_READY)?;
    a.jz(done)?;
    a.mov(dx, serial::DATA)?;
    a.in_(al, dx)?;
    a.mov(ecx, dword_ptr(ram::RING_HEAD))?;
    a.lea(ebx, dword_ptr(ecx + 1))?;
    a.and(ebx, 0xff_u32)?;
    a.cmp(ebx, dword_ptr(ram::RING_TAIL))?;
    a.je(next)?;
    a.mov(byte_ptr(ecx + ram::RING as i32), al)?;
    a.mov(dword_ptr(ram::RING_HEAD), ebx)?;
    a.jmp(next)?;
    a.set_label(&mut done)?;
    a.mov(dl, END_OF_INTERRUPT)?;
    a.mov(al, dl)?;
    a.out(MASTER, al)?;
    a.popad()?;
    a.iretd()
}

/// Fills in the gates: ring 0, 32-bit interrupt gates.
pub(super) fn fill_idt(p: &mut Program) {
    const PRESENT_GATE: [u8; 8] = [0, 0, 0x08, 0, 0, 0x8e, 0, 0];
    for vector in 0..GATES as u32 {
        let gate = p.idt + vector * 8;
        p.patch(gate, &PRESENT_GATE);
        if vector == MASTER_VECTOR + serial::IRQ {
            p.gate(gate, p.at.serial_interrupt);
        } else if vector >= EXCEPTIONS as u32 {
            p.gate(gate, p.at.stray_interrupt);
        }
    }
}
