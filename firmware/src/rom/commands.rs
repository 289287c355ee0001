//! The monitor's commands. A handler finds its arguments at ESI and returns with CF set when they make no sense; it need not preserve
//! registers.

use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeLabel, al, ax, byte_ptr, dword_ptr, dx, eax, ebx, ecx, edi, edx, esi, fword_ptr, word_ptr,
};

use crate::acpi::pm;
use crate::platform::BOARD_SETUP;

use super::pci;
use super::program::{Program, Routines};
use super::ram;

/// One row of the command table in ROM.
pub(super) const ROW_SIZE: usize = 20;
/// All rows and the zeroes that end them.
pub(super) const TABLE_SIZE: usize = (COMMANDS.len() + 1) * ROW_SIZE;
/// A command that takes a unit letter.
pub(super) const SIZED: u32 = 1;

/// Where a row's fields are.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Name = 0,
    Flags = 4,
    Handler = 8,
    Usage = 12,
    Help = 16,
}

/// A command.
struct Command {
    name: &'static str,
    flags: u32,
    handler: fn(&Routines) -> CodeLabel,
    usage: &'static str,
    help: &'static str,
}

const COMMANDS: [Command; 10] = [
    Command { name: "help", flags: 0, handler: |at| at.help, usage: "help", help: "this list" },
    Command { name: "mem", flags: 0, handler: |at| at.show_memory, usage: "mem", help: "the memory map" },
    Command { name: "cpu", flags: 0, handler: |at| at.show_cpu, usage: "cpu", help: "the processor and its features" },
    Command { name: "pci", flags: 0, handler: |at| at.show_pci, usage: "pci", help: "the devices on the PCI bus" },
    Command {
        name: "peek",
        flags: SIZED,
        handler: |at| at.peek,
        usage: "peek[b|w|d] ADDR [COUNT]",
        help: "show memory; any key stops it",
    },
    Command {
        name: "poke",
        flags: SIZED,
        handler: |at| at.poke,
        usage: "poke[b|w|d] ADDR VALUE",
        help: "change memory",
    },
    Command { name: "in", flags: SIZED, handler: |at| at.port_in, usage: "in[b|w|d] PORT", help: "read a port" },
    Command {
        name: "out",
        flags: SIZED,
        handler: |at| at.port_out,
        usage: "out[b|w|d] PORT VALUE",
        help: "write to a port",
    },
    Command { name: "reset", flags: 0, handler: |at| at.reset, usage: "reset", help: "start the machine anew" },
    Command { name: "off", flags: 0, handler: |at| at.off, usage: "off", help: "turn the machine off" },
];

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    help(p)?;
    peek(p)?;
    poke(p)?;
    port_in(p)?;
    port_out(p)?;
    reset(p)?;
    off(p)
}

/// Fills in the table, when all handlers have been emitted.
pub(super) fn fill_table(p: &mut Program) {
    for (row, command) in (p.commands..).step_by(ROW_SIZE).zip(&COMMANDS) {
        let texts = [
            (Field::Name, p.data.text(command.name)),
            (Field::Flags, command.flags),
            (Field::Usage, p.data.text(command.usage)),
            (Field::Help, p.data.text(command.help)),
        ];
        for (field, value) in texts {
            p.patch(row + field as u32, &value.to_le_bytes());
        }
        p.point(row + Field::Handler as u32, (command.handler)(&p.at));
    }
}

/// Usages in a column, what they do beside them.
fn help(p: &mut Program) -> Result<(), IcedError> {
    const COLUMN: u32 = 27;
    let table = p.commands;
    let [mut row, mut length, mut pad, mut padded, mut done] = std::array::from_fn(|_| p.asm.create_label());
    p.asm.set_label(&mut p.at.help)?;
    p.asm.mov(ebx, table)?;
    p.asm.set_label(&mut row)?;
    p.asm.cmp(dword_ptr(ebx), 0_u32)?;
    p.asm.je(done)?;
    p.print("  ")?;
    let a = &mut p.asm;
    a.mov(esi, dword_ptr(ebx + Field::Usage as i32))?;
    a.call(p.at.puts)?;
    a.mov(ecx, COLUMN)?;
    a.set_label(&mut length)?;
    a.cmp(byte_ptr(esi), 0_u32)?;
    a.je(pad)?;
    a.inc(esi)?;
    a.dec(ecx)?;
    a.jmp(length)?;
    a.set_label(&mut pad)?;
    a.test(ecx, ecx)?;
    a.jle(padded)?;
    p.print_char(b' ')?;
    let a = &mut p.asm;
    a.dec(ecx)?;
    a.jmp(pad)?;
    a.set_label(&mut padded)?;
    a.mov(esi, dword_ptr(ebx + Field::Help as i32))?;
    a.call(p.at.puts)?;
    a.call(p.at.newline)?;
    a.add(ebx, ROW_SIZE as u32)?;
    a.jmp(row)?;
    a.set_label(&mut done)?;
    p.print("All numbers are hexadecimal; b, w and d move 1, 2 and 4 bytes.\n")?;
    p.asm.clc()?;
    p.asm.ret()
}

/// Jumps to one of three targets by the command's unit: bytes fall through.
fn by_unit(p: &mut Program, words: CodeLabel, dwords: CodeLabel) -> Result<(), IcedError> {
    p.asm.cmp(dword_ptr(ram::UNIT), 2_u32)?;
    p.asm.je(words)?;
    p.asm.ja(dwords)
}

/// Sends EAX with as many digits as the unit has.
fn print_unit(p: &mut Program) -> Result<(), IcedError> {
    p.asm.push(ecx)?;
    p.asm.mov(ecx, dword_ptr(ram::UNIT))?;
    p.asm.add(ecx, ecx)?;
    p.asm.call(p.at.hex)?;
    p.asm.pop(ecx)
}

/// EBX is the address, ECX what is left to show. Sixteen bytes make a line.
fn peek(p: &mut Program) -> Result<(), IcedError> {
    let [mut line, mut unit, mut words, mut dwords, mut show, mut all, mut end, mut fail] =
        std::array::from_fn(|_| p.asm.create_label());
    let a = &mut p.asm;
    a.set_label(&mut p.at.peek)?;
    a.call(p.at.parse)?;
    a.jc(fail)?;
    a.mov(ebx, eax)?;
    a.mov(ecx, 1_u32)?;
    a.call(p.at.skip_spaces)?;
    a.cmp(byte_ptr(esi), 0_u32)?;
    a.je(all)?;
    a.call(p.at.parse)?;
    a.jc(fail)?;
    a.mov(ecx, eax)?;
    a.set_label(&mut all)?;
    a.test(ecx, ecx)?;
    a.jz(end)?;

    a.set_label(&mut line)?;
    a.mov(edi, 16_u32)?;
    a.mov(eax, ebx)?;
    p.print_hex(8)?;
    p.print_char(b':')?;
    p.asm.set_label(&mut unit)?;
    p.print_char(b' ')?;
    by_unit(p, words, dwords)?;
    let a = &mut p.asm;
    a.movzx(eax, byte_ptr(ebx))?;
    a.jmp(show)?;
    a.set_label(&mut words)?;
    a.movzx(eax, word_ptr(ebx))?;
    a.jmp(show)?;
    a.set_label(&mut dwords)?;
    a.mov(eax, dword_ptr(ebx))?;
    a.set_label(&mut show)?;
    print_unit(p)?;
    let a = &mut p.asm;
    a.add(ebx, dword_ptr(ram::UNIT))?;
    a.sub(edi, dword_ptr(ram::UNIT))?;
    a.dec(ecx)?;
    let mut last = a.create_label();
    a.jz(last)?;
    a.test(edi, edi)?;
    a.jnz(unit)?;
    a.call(p.at.newline)?;
    a.call(p.at.pending)?;
    a.jz(line)?;
    a.call(p.at.getc)?;
    a.jmp(end)?;
    a.set_label(&mut last)?;
    a.call(p.at.newline)?;
    a.set_label(&mut end)?;
    a.clc()?;
    a.set_label(&mut fail)?;
    a.ret()
}

/// Two arguments: the first in EBX, the second in EAX; goes to `fail` with CF set without them.
fn two_arguments(p: &mut Program, fail: CodeLabel) -> Result<(), IcedError> {
    let a = &mut p.asm;
    a.call(p.at.parse)?;
    a.jc(fail)?;
    a.mov(ebx, eax)?;
    a.call(p.at.parse)?;
    a.jc(fail)
}

fn poke(p: &mut Program) -> Result<(), IcedError> {
    let [mut words, mut dwords, mut end, mut fail] = std::array::from_fn(|_| p.asm.create_label());
    p.asm.set_label(&mut p.at.poke)?;
    two_arguments(p, fail)?;
    by_unit(p, words, dwords)?;
    let a = &mut p.asm;
    a.mov(byte_ptr(ebx), al)?;
    a.jmp(end)?;
    a.set_label(&mut words)?;
    a.mov(word_ptr(ebx), ax)?;
    a.jmp(end)?;
    a.set_label(&mut dwords)?;
    a.mov(dword_ptr(ebx), eax)?;
    a.set_label(&mut end)?;
    a.clc()?;
    a.set_label(&mut fail)?;
    a.ret()
}

fn port_in(p: &mut Program) -> Result<(), IcedError> {
    let [mut words, mut dwords, mut end, mut fail] = std::array::from_fn(|_| p.asm.create_label());
    let a = &mut p.asm;
    a.set_label(&mut p.at.port_in)?;
    a.call(p.at.parse)?;
    a.jc(fail)?;
    a.mov(edx, eax)?;
    by_unit(p, words, dwords)?;
    let a = &mut p.asm;
    a.in_(al, dx)?;
    a.jmp(end)?;
    a.set_label(&mut words)?;
    a.in_(ax, dx)?;
    a.jmp(end)?;
    a.set_label(&mut dwords)?;
    a.in_(eax, dx)?;
    a.set_label(&mut end)?;
    print_unit(p)?;
    let a = &mut p.asm;
    a.call(p.at.newline)?;
    a.clc()?;
    a.set_label(&mut fail)?;
    a.ret()
}

fn port_out(p: &mut Program) -> Result<(), IcedError> {
    let [mut words, mut dwords, mut end, mut fail] = std::array::from_fn(|_| p.asm.create_label());
    p.asm.set_label(&mut p.at.port_out)?;
    two_arguments(p, fail)?;
    p.asm.mov(edx, ebx)?;
    by_unit(p, words, dwords)?;
    let a = &mut p.asm;
    a.out(dx, al)?;
    a.jmp(end)?;
    a.set_label(&mut words)?;
    a.out(dx, ax)?;
    a.jmp(end)?;
    a.set_label(&mut dwords)?;
    a.out(dx, eax)?;
    a.set_label(&mut end)?;
    a.clc()?;
    a.set_label(&mut fail)?;
    a.ret()
}

/// The reset control register, then port 92h, then a triple fault: one of them is there.
fn reset(p: &mut Program) -> Result<(), IcedError> {
    const HARD: u32 = 0x02;
    const HARD_NOW: u32 = 0x06;
    const PORT_92: u32 = 0x92;
    const FAST_RESET: u32 = 0x01;
    let no_idt = p.data.put(&[0; 6]);
    let a = &mut p.asm;
    a.set_label(&mut p.at.reset)?;
    a.cli()?;
    a.mov(dx, u32::from(pm::RESET_PORT))?;
    for value in [HARD, HARD_NOW] {
        a.mov(al, value)?;
        a.out(dx, al)?;
    }
    a.mov(al, FAST_RESET)?;
    a.out(PORT_92, al)?;
    a.lidt(fword_ptr(no_idt))?;
    a.int3()
}

/// Opens the PIIX4's power management registers, and goes to sleep state S5.
fn off(p: &mut Program) -> Result<(), IcedError> {
    /// Function 3 of slot 1.
    const FUNCTION: u32 = pci::ENABLE | 1 << 11 | 3 << 8;
    const PIIX4_PM: u32 = 0x7113_8086;
    /// PM1_CNT: sleep now, in the state that S5 has in PIIX4.
    const SLP_EN: u32 = 1 << 13;
    const SLP_TYP_S5: u32 = 0;
    let mut absent = p.asm.create_label();
    let a = &mut p.asm;
    a.set_label(&mut p.at.off)?;
    a.mov(eax, FUNCTION)?;
    a.call(p.at.pci_read)?;
    a.cmp(eax, PIIX4_PM)?;
    a.jne(absent)?;
    for write in BOARD_SETUP {
        let address = u32::from(write.device) << 11 | u32::from(write.function) << 8 | u32::from(write.register);
        a.mov(eax, pci::ENABLE | address)?;
        a.mov(edx, write.value)?;
        a.call(p.at.pci_write)?;
    }
    a.mov(dx, u32::from(pm::CONTROL))?;
    a.mov(ax, SLP_EN | SLP_TYP_S5)?;
    a.out(dx, ax)?;
    // A machine may take its time to fall asleep; one that does not is told so by the next key.
    a.hlt()?;
    a.set_label(&mut absent)?;
    p.print("This machine does not turn itself off.\n")?;
    p.asm.clc()?;
    p.asm.ret()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_hides_behind_another_with_a_unit_letter() {
        let spellings = |command: &Command| {
            let units: &[&str] = if command.flags & SIZED != 0 { &["", "b", "w", "d"] } else { &[""] };
            units.iter().map(|unit| format!("{}{unit}", command.name)).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = COMMANDS.iter().flat_map(spellings).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
