//! The memory map: from fw_cfg where there is one, otherwise from what CMOS says about sizes.

use iced_x86::IcedError;
use iced_x86::code_asm::{al, dword_ptr, eax, ebx, ecx, edi, edx, esi};

use crate::memory_map::RangeKind;

use super::program::Program;
use super::ram;

/// A memory map entry in SCRATCH: base, length, kind.
const START: u32 = ram::SCRATCH;
const LENGTH: u32 = ram::SCRATCH + 8;
const KIND: u32 = ram::SCRATCH + 16;
const ENTRY_SIZE: u32 = 20;

/// CMOS: its ports, and where sizes lie: KiB from 1 MiB, 64 KiB blocks from 16 MiB, 64 KiB blocks from 4 GiB.
const CMOS_INDEX: u32 = 0x70;
const CMOS_DATA: u32 = 0x71;
const FROM_1M: [u32; 2] = [0x30, 0x31];
const FROM_16M: [u32; 2] = [0x34, 0x35];
const FROM_4G: [u32; 3] = [0x5b, 0x5c, 0x5d];
const ONE_MIB: u32 = 0x10_0000;
const FIFTEEN_MIB: u32 = 0xf0_0000;
const CONVENTIONAL: u32 = 0xa_0000;

/// Names of the kinds, from 1.
const KINDS: [&str; 5] = ["RAM", "reserved", "ACPI", "ACPI NVS", "unusable"];

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    cmos(p)?;
    print_range(p)?;
    show(p)
}

fn cmos(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    a.set_label(&mut p.at.cmos)?;
    a.out(CMOS_INDEX, al)?;
    a.xor(eax, eax)?;
    a.in_(al, CMOS_DATA)?;
    a.ret()
}

/// "  0000000000000000-000000000009ffff  RAM".
fn print_range(p: &mut Program) -> Result<(), IcedError> {
    let names: Vec<u8> = KINDS.iter().flat_map(|name| p.data.text(name).to_le_bytes()).collect();
    let names = p.data.put(&names);
    let unknown = p.data.text("unknown");
    let (mut named, mut send) = (p.asm.create_label(), p.asm.create_label());
    p.asm.set_label(&mut p.at.print_range)?;
    p.asm.pushad()?;
    p.print("  ")?;
    p.asm.mov(eax, dword_ptr(START + 4))?;
    p.print_hex(8)?;
    p.asm.mov(eax, dword_ptr(START))?;
    p.print_hex(8)?;
    p.print_char(b'-')?;
    p.asm.mov(ebx, dword_ptr(START))?;
    p.asm.mov(edx, dword_ptr(START + 4))?;
    p.asm.add(ebx, dword_ptr(LENGTH))?;
    p.asm.adc(edx, dword_ptr(LENGTH + 4))?;
    p.asm.sub(ebx, 1_u32)?;
    p.asm.sbb(edx, 0_u32)?;
    p.asm.mov(eax, edx)?;
    p.print_hex(8)?;
    p.asm.mov(eax, ebx)?;
    p.print_hex(8)?;
    p.print("  ")?;
    let a = &mut p.asm;
    a.mov(eax, dword_ptr(KIND))?;
    a.dec(eax)?;
    a.cmp(eax, KINDS.len() as u32)?;
    a.jb(named)?;
    a.mov(esi, unknown)?;
    a.jmp(send)?;
    a.set_label(&mut named)?;
    a.mov(esi, dword_ptr(eax * 4 + names as i32))?;
    a.set_label(&mut send)?;
    a.call(p.at.puts)?;
    a.call(p.at.newline)?;
    a.popad()?;
    a.ret()
}

fn show(p: &mut Program) -> Result<(), IcedError> {
    let name = p.data.text("etc/e820");
    let [mut next, mut done, mut no_map] = std::array::from_fn(|_| p.asm.create_label());
    p.asm.set_label(&mut p.at.show_memory)?;
    p.asm.pushad()?;
    p.print("Memory:\n")?;
    let a = &mut p.asm;
    a.mov(esi, name)?;
    a.call(p.at.fw_cfg_open)?;
    a.jc(no_map)?;
    a.mov(ebx, eax)?;
    a.mov(edi, ram::SCRATCH)?;
    a.mov(ecx, ENTRY_SIZE)?;
    a.set_label(&mut next)?;
    a.sub(ebx, ecx)?;
    a.jb(done)?;
    a.call(p.at.fw_cfg_read)?;
    a.call(p.at.print_range)?;
    a.jmp(next)?;
    a.set_label(&mut no_map)?;
    show_cmos(p)?;
    p.asm.set_label(&mut done)?;
    p.asm.popad()?;
    p.asm.clc()?;
    p.asm.ret()
}

/// EBX = the little-endian number in these CMOS bytes.
fn cmos_number(p: &mut Program, bytes: &[u32]) -> Result<(), IcedError> {
    p.asm.xor(ebx, ebx)?;
    for byte in bytes.iter().rev() {
        p.asm.shl(ebx, 8_u32)?;
        p.asm.mov(al, *byte)?;
        p.asm.call(p.at.cmos)?;
        p.asm.or(ebx, eax)?;
    }
    Ok(())
}

fn show_cmos(p: &mut Program) -> Result<(), IcedError> {
    let (mut small, mut above, mut none) = (p.asm.create_label(), p.asm.create_label(), p.asm.create_label());
    for (field, value) in
        [(START, 0), (START + 4, 0), (LENGTH, CONVENTIONAL), (LENGTH + 4, 0), (KIND, RangeKind::Ram as u32)]
    {
        p.asm.mov(dword_ptr(field), value)?;
    }
    p.asm.call(p.at.print_range)?;

    p.asm.mov(dword_ptr(START), ONE_MIB)?;
    cmos_number(p, &FROM_16M)?;
    p.asm.test(ebx, ebx)?;
    p.asm.jz(small)?;
    p.asm.shl(ebx, 16_u32)?;
    p.asm.add(ebx, FIFTEEN_MIB)?;
    p.asm.jmp(above)?;
    p.asm.set_label(&mut small)?;
    cmos_number(p, &FROM_1M)?;
    p.asm.shl(ebx, 10_u32)?;
    p.asm.set_label(&mut above)?;
    p.asm.mov(dword_ptr(LENGTH), ebx)?;
    p.asm.call(p.at.print_range)?;

    cmos_number(p, &FROM_4G)?;
    p.asm.test(ebx, ebx)?;
    p.asm.jz(none)?;
    p.asm.mov(dword_ptr(START), 0_u32)?;
    p.asm.mov(dword_ptr(START + 4), 1_u32)?;
    p.asm.mov(eax, ebx)?;
    p.asm.shl(eax, 16_u32)?;
    p.asm.mov(dword_ptr(LENGTH), eax)?;
    p.asm.shr(ebx, 16_u32)?;
    p.asm.mov(dword_ptr(LENGTH + 4), ebx)?;
    p.asm.call(p.at.print_range)?;
    p.asm.set_label(&mut none)?;
    p.asm.nop()
}
