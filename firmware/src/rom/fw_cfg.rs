//! The firmware configuration device: numbered items and named files, read byte by byte.

use iced_x86::IcedError;
use iced_x86::code_asm::{ax, dword_ptr, dx, eax, ecx, edi, edx};

use super::program::Program;
use super::ram;

const SELECTOR: u32 = 0x510;
const DATA: u32 = 0x511;
/// Items.
const SIGNATURE: u32 = 0x00;
pub(super) const CPU_COUNT: u32 = 0x05;
const DIRECTORY: u32 = 0x19;
const SIGNATURE_TEXT: [u8; 4] = *b"QEMU";
/// A directory entry: length and item number, both big-endian, then the name.
const ENTRY_SIZE: u32 = 64;
const ENTRY_ITEM: u32 = 4;
const ENTRY_NAME: u32 = 8;

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    select(p)?;
    read(p)?;
    present(p)?;
    open(p)
}

fn select(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    a.set_label(&mut p.at.fw_cfg_select)?;
    a.push(edx)?;
    a.mov(dx, SELECTOR)?;
    a.out(dx, ax)?;
    a.pop(edx)?;
    a.ret()
}

fn read(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    a.set_label(&mut p.at.fw_cfg_read)?;
    a.pushad()?;
    a.mov(dx, DATA)?;
    a.rep().insb()?;
    a.popad()?;
    a.ret()
}

fn present(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let mut found = a.create_label();
    a.set_label(&mut p.at.fw_cfg_present)?;
    a.pushad()?;
    a.mov(eax, SIGNATURE)?;
    a.call(p.at.fw_cfg_select)?;
    a.mov(edi, ram::SCRATCH)?;
    a.mov(ecx, 4_u32)?;
    a.call(p.at.fw_cfg_read)?;
    a.cmp(dword_ptr(ram::SCRATCH), u32::from_le_bytes(SIGNATURE_TEXT))?;
    a.clc()?;
    a.je(found)?;
    a.stc()?;
    a.set_label(&mut found)?;
    a.popad()?;
    a.ret()
}

/// Without a device the directory reads as all ones; its length is therefore asked for only where there is one.
fn open(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let [mut next, mut absent, mut out] = std::array::from_fn(|_| a.create_label());
    a.set_label(&mut p.at.fw_cfg_open)?;
    a.push(ecx)?;
    a.push(edx)?;
    a.push(edi)?;
    a.call(p.at.fw_cfg_present)?;
    a.jc(absent)?;
    a.mov(eax, DIRECTORY)?;
    a.call(p.at.fw_cfg_select)?;
    a.mov(edi, ram::SCRATCH)?;
    a.mov(ecx, 4_u32)?;
    a.call(p.at.fw_cfg_read)?;
    a.mov(edx, dword_ptr(ram::SCRATCH))?;
    a.bswap(edx)?;
    a.set_label(&mut next)?;
    a.test(edx, edx)?;
    a.jz(absent)?;
    a.dec(edx)?;
    a.mov(edi, ram::SCRATCH)?;
    a.mov(ecx, ENTRY_SIZE)?;
    a.call(p.at.fw_cfg_read)?;
    a.mov(edi, ram::SCRATCH + ENTRY_NAME)?;
    a.call(p.at.same_text)?;
    a.jne(next)?;
    a.mov(eax, dword_ptr(ram::SCRATCH + ENTRY_ITEM))?;
    a.bswap(eax)?;
    a.shr(eax, 16_u32)?;
    a.call(p.at.fw_cfg_select)?;
    a.mov(eax, dword_ptr(ram::SCRATCH))?;
    a.bswap(eax)?;
    a.clc()?;
    a.jmp(out)?;
    a.set_label(&mut absent)?;
    a.stc()?;
    a.set_label(&mut out)?;
    a.pop(edi)?;
    a.pop(edx)?;
    a.pop(ecx)?;
    a.ret()
}
