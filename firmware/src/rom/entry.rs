//! From the reset vector to flat 32-bit protected mode.

use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeAssembler, al, ax, cr0, ds, dword_ptr, eax, ebx, ecx, edx, es, esp, fs, fword_ptr, gs, ss,
};

use super::program::Program;
use super::{BASE, CODE, DATA, ENTRY, START, interrupts, ram, serial};

const CODE_SELECTOR: u16 = 0x08;
pub(super) const DATA_SELECTOR: u16 = 0x10;
/// Flat segments, marked as accessed already: the table is in ROM.
const DESCRIPTORS: [u64; 3] = [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
/// The descriptors, the GDT's pseudo-descriptor and the IDT's, padded.
pub(super) const GDT_SIZE: usize = 3 * 8 + 16;
pub(super) const GDTR: usize = 3 * 8;
const IDTR: usize = GDTR + 6;

/// Port 92h: fast A20, and fast reset.
const PORT_92: u32 = 0x92;
const A20_ON: u32 = 1 << 1;
const FAST_RESET: u32 = 1 << 0;

/// CR0: protection on; caches on (both bits are set by reset).
const CR0_PE: u32 = 1 << 0;
const CR0_NO_CACHE: u32 = 1 << 30 | 1 << 29;

/// The GDT and the two pseudo-descriptors, which come first in the data.
pub(super) fn gdt() -> Vec<u8> {
    let base = BASE + DATA as u32;
    let mut table: Vec<u8> = DESCRIPTORS.into_iter().flat_map(u64::to_le_bytes).collect();
    table.extend_from_slice(&(GDTR as u16 - 1).to_le_bytes());
    table.extend_from_slice(&base.to_le_bytes());
    table.extend_from_slice(&(interrupts::GATES as u16 * 8 - 1).to_le_bytes());
    table.extend_from_slice(&(base + GDT_SIZE as u32).to_le_bytes());
    table.resize(GDT_SIZE, 0);
    table
}

/// `jmp far F000h:START`, the ROM's date, and the model byte of an AT.
pub(super) fn reset_vector() -> Vec<u8> {
    const MODEL_AT: u8 = 0xfc;
    let [low, high] = (START as u16).to_le_bytes();
    let mut bytes = vec![0xea, low, high, 0x00, 0xf0];
    bytes.extend_from_slice(b"01/01/26");
    bytes.extend_from_slice(&[0, MODEL_AT, 0]);
    bytes
}

/// Real mode: open A20, load the GDT, switch.
pub(super) fn real_mode() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    a.cli()?;
    a.cld()?;
    a.in_(al, PORT_92)?;
    a.or(al, A20_ON)?;
    a.and(al, !FAST_RESET & 0xff)?;
    a.out(PORT_92, al)?;
    a.lgdt(fword_ptr((DATA + GDTR) as u32).cs())?;
    a.mov(eax, cr0)?;
    a.and(eax, !CR0_NO_CACHE)?;
    a.or(eax, CR0_PE)?;
    a.mov(cr0, eax)?;
    // A far jump with a 32-bit offset, which a 16-bit assembler does not choose by itself.
    let mut jump = vec![0x66, 0xea];
    jump.extend_from_slice(&(BASE + CODE as u32).to_le_bytes());
    jump.extend_from_slice(&CODE_SELECTOR.to_le_bytes());
    a.db(&jump)?;
    a.assemble(ENTRY as u64)
}

/// The start of the 32-bit code: segments, stack, interrupts, banner, prompt.
pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    a.mov(ax, u32::from(DATA_SELECTOR))?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(fs, ax)?;
    a.mov(gs, ax)?;
    a.mov(ss, ax)?;
    a.mov(esp, ram::STACK)?;
    a.lidt(fword_ptr(BASE + (DATA + IDTR) as u32))?;
    for variable in [ram::RING_HEAD, ram::RING_TAIL, ram::LAST_BUS] {
        a.mov(dword_ptr(variable), 0_u32)?;
    }
    serial::start(a)?;
    local_apic(a)?;
    interrupts::start(a)?;
    a.sti()?;
    p.print(concat!("\nLockstep firmware ", env!("CARGO_PKG_VERSION"), "\n\n"))?;
    p.asm.call(p.at.show_memory)?;
    p.asm.call(p.at.show_cpu)?;
    p.asm.call(p.at.show_pci)?;
    p.print("\nThere is nothing to boot. Type help for what can be done here.\n")?;
    p.asm.jmp(p.at.prompt)
}

/// The local APIC's registers, and what makes them pass interrupts through.
pub(super) const CPUID_APIC: u32 = 1 << 9;
pub(super) const SPURIOUS_VECTOR: u32 = 0xfee0_00f0;
pub(super) const LVT_LINT0: u32 = 0xfee0_0350;
pub(super) const LVT_LINT1: u32 = 0xfee0_0360;
pub(super) const SOFTWARE_ENABLE: u32 = 1 << 8;
pub(super) const EXT_INT: u32 = 0b111 << 8;
pub(super) const NMI: u32 = 0b100 << 8;

/// Lets the 8259's interrupts through the local APIC ("virtual wire": Intel SDM volume 3, 11.5.1 and MP 1.4, 3.6.2.2).
fn local_apic(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut none = a.create_label();
    a.mov(eax, 1_u32)?;
    a.cpuid()?;
    a.test(edx, CPUID_APIC)?;
    a.jz(none)?;
    a.mov(dword_ptr(SPURIOUS_VECTOR), SOFTWARE_ENABLE | interrupts::SPURIOUS)?;
    a.mov(dword_ptr(LVT_LINT0), EXT_INT)?;
    a.mov(dword_ptr(LVT_LINT1), NMI)?;
    a.set_label(&mut none)?;
    // The label wants an instruction, and CPUID's results are of no further use.
    a.xor(ebx, ebx)?;
    a.xor(ecx, ecx)
}
