//! The prompt: reading a line, and finding its command.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeLabel, al, byte_ptr, dword_ptr, ebx, ecx, edi, esi, esp};

use super::commands::{Field, ROW_SIZE, SIZED};
use super::program::Program;
use super::ram;

/// Keys.
const CTRL_C: u32 = 0x03;
const BACKSPACE: u32 = 0x08;
const LINE_FEED: u32 = 0x0a;
const CARRIAGE_RETURN: u32 = 0x0d;
const CTRL_U: u32 = 0x15;
const DELETE: u32 = 0x7f;
const FIRST_PRINTABLE: u32 = 0x20;

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    let (mut read_line, mut dispatch) = (p.asm.create_label(), p.asm.create_label());
    p.asm.set_label(&mut p.at.prompt)?;
    p.asm.mov(esp, ram::STACK)?;
    p.asm.sti()?;
    p.print("> ")?;
    p.asm.call(read_line)?;
    p.asm.call(dispatch)?;
    p.asm.jmp(p.at.prompt)?;
    emit_read_line(p, &mut read_line)?;
    emit_dispatch(p, &mut dispatch)
}

/// Reads into LINE: ECX counts what is there.
fn emit_read_line(p: &mut Program, entry: &mut CodeLabel) -> Result<(), IcedError> {
    let [mut next, mut erase, mut erase_all, mut erased_all, mut cancel, mut done] =
        std::array::from_fn(|_| p.asm.create_label());
    p.asm.set_label(entry)?;
    p.asm.xor(ecx, ecx)?;
    p.asm.set_label(&mut next)?;
    p.asm.call(p.at.getc)?;
    let keys = [
        (CARRIAGE_RETURN, done),
        (LINE_FEED, done),
        (BACKSPACE, erase),
        (DELETE, erase),
        (CTRL_U, erase_all),
        (CTRL_C, cancel),
    ];
    for (key, target) in keys {
        p.asm.cmp(al, key)?;
        p.asm.je(target)?;
    }
    let a = &mut p.asm;
    a.cmp(al, FIRST_PRINTABLE)?;
    a.jb(next)?;
    a.cmp(al, DELETE)?;
    a.jae(next)?;
    a.cmp(ecx, ram::LINE_MAX)?;
    a.jae(next)?;
    a.mov(byte_ptr(ecx + ram::LINE as i32), al)?;
    a.inc(ecx)?;
    a.call(p.at.putc)?;
    a.jmp(next)?;

    a.set_label(&mut erase)?;
    a.test(ecx, ecx)?;
    a.jz(next)?;
    a.dec(ecx)?;
    p.print("\u{8} \u{8}")?;
    p.asm.jmp(next)?;

    p.asm.set_label(&mut erase_all)?;
    p.asm.test(ecx, ecx)?;
    p.asm.jz(erased_all)?;
    p.print("\u{8} \u{8}")?;
    p.asm.dec(ecx)?;
    p.asm.jmp(erase_all)?;
    p.asm.set_label(&mut erased_all)?;
    p.asm.jmp(next)?;

    p.asm.set_label(&mut cancel)?;
    p.asm.xor(ecx, ecx)?;
    p.print("^C")?;
    p.asm.set_label(&mut done)?;
    p.asm.mov(byte_ptr(ecx + ram::LINE as i32), 0_u32)?;
    p.asm.call(p.at.newline)?;
    p.asm.ret()
}

/// Finds the row of the command table whose name begins the line, with a unit letter where the command takes one.
fn emit_dispatch(p: &mut Program, entry: &mut CodeLabel) -> Result<(), IcedError> {
    const UNITS: [(u8, u32); 3] = [(b'b', 1), (b'w', 2), (b'd', 4)];
    let field = |field: Field| dword_ptr(ebx + field as i32);
    let table = p.commands;
    let [mut row, mut letter, mut name_end, mut unit_end, mut other, mut unknown, mut run, mut good, mut empty] =
        std::array::from_fn(|_| p.asm.create_label());

    let a = &mut p.asm;
    a.set_label(entry)?;
    a.mov(esi, ram::LINE)?;
    a.call(p.at.skip_spaces)?;
    a.cmp(byte_ptr(esi), 0_u32)?;
    a.je(empty)?;
    a.mov(ecx, esi)?;
    a.mov(ebx, table)?;
    a.set_label(&mut row)?;
    a.mov(edi, field(Field::Name))?;
    a.test(edi, edi)?;
    a.jz(unknown)?;
    a.mov(esi, ecx)?;
    a.set_label(&mut letter)?;
    a.mov(al, byte_ptr(edi))?;
    a.test(al, al)?;
    a.jz(name_end)?;
    a.cmp(al, byte_ptr(esi))?;
    a.jne(other)?;
    a.inc(esi)?;
    a.inc(edi)?;
    a.jmp(letter)?;

    a.set_label(&mut name_end)?;
    a.mov(dword_ptr(ram::UNIT), 1_u32)?;
    a.mov(al, byte_ptr(esi))?;
    a.test(al, al)?;
    a.jz(run)?;
    a.cmp(al, FIRST_PRINTABLE)?;
    a.je(run)?;
    a.cmp(field(Field::Flags), SIZED)?;
    a.jne(other)?;
    for (unit, bytes) in UNITS {
        a.mov(dword_ptr(ram::UNIT), bytes)?;
        a.cmp(al, u32::from(unit))?;
        a.je(unit_end)?;
    }
    a.set_label(&mut other)?;
    a.add(ebx, ROW_SIZE as u32)?;
    a.jmp(row)?;

    a.set_label(&mut unit_end)?;
    a.inc(esi)?;
    a.mov(al, byte_ptr(esi))?;
    a.test(al, al)?;
    a.jz(run)?;
    a.cmp(al, FIRST_PRINTABLE)?;
    a.jne(other)?;
    a.set_label(&mut run)?;
    a.push(ebx)?;
    a.call(field(Field::Handler))?;
    a.pop(ebx)?;
    a.jnc(good)?;
    p.print("usage: ")?;
    p.asm.mov(esi, field(Field::Usage))?;
    p.asm.call(p.at.puts)?;
    p.asm.call(p.at.newline)?;
    p.asm.set_label(&mut good)?;
    p.asm.ret()?;

    p.asm.set_label(&mut unknown)?;
    p.print("No such command. Type help for the list.\n")?;
    p.asm.set_label(&mut empty)?;
    p.asm.ret()
}
