//! What CPUID says.

use iced_x86::IcedError;
use iced_x86::code_asm::{AsmRegister32, byte_ptr, dword_ptr, eax, ebx, ecx, edi, edx, esi, word_ptr};

use super::fw_cfg;
use super::program::Program;
use super::ram;

/// A feature word: leaf, subleaf, and the register it is in.
#[derive(Clone, Copy)]
struct Leaf(u32, u32, AsmRegister32);

/// The feature words, in the order in which they are kept.
const LEAVES: [Leaf; 6] = [
    Leaf(1, 0, edx),
    Leaf(1, 0, ecx),
    Leaf(7, 0, ebx),
    Leaf(7, 0, ecx),
    Leaf(0x8000_0001, 0, edx),
    Leaf(0x8000_0001, 0, ecx),
];

/// Feature names: index into [`LEAVES`], bit, name as in Linux's /proc/cpuinfo.
const FEATURES: &[(u8, u8, &str)] = &[
    (0, 0, "fpu"),
    (0, 3, "pse"),
    (0, 4, "tsc"),
    (0, 5, "msr"),
    (0, 6, "pae"),
    (0, 8, "cx8"),
    (0, 9, "apic"),
    (0, 11, "sep"),
    (0, 12, "mtrr"),
    (0, 13, "pge"),
    (0, 15, "cmov"),
    (0, 16, "pat"),
    (0, 17, "pse36"),
    (0, 19, "clflush"),
    (0, 23, "mmx"),
    (0, 24, "fxsr"),
    (0, 25, "sse"),
    (0, 26, "sse2"),
    (0, 28, "ht"),
    (1, 0, "sse3"),
    (1, 1, "pclmulqdq"),
    (1, 9, "ssse3"),
    (1, 12, "fma"),
    (1, 13, "cx16"),
    (1, 17, "pcid"),
    (1, 19, "sse4_1"),
    (1, 20, "sse4_2"),
    (1, 21, "x2apic"),
    (1, 22, "movbe"),
    (1, 23, "popcnt"),
    (1, 24, "tsc_deadline"),
    (1, 25, "aes"),
    (1, 26, "xsave"),
    (1, 28, "avx"),
    (1, 29, "f16c"),
    (1, 30, "rdrand"),
    (1, 31, "hypervisor"),
    (2, 0, "fsgsbase"),
    (2, 3, "bmi1"),
    (2, 5, "avx2"),
    (2, 7, "smep"),
    (2, 8, "bmi2"),
    (2, 9, "erms"),
    (2, 10, "invpcid"),
    (2, 18, "rdseed"),
    (2, 19, "adx"),
    (2, 20, "smap"),
    (2, 29, "sha"),
    (3, 2, "umip"),
    (3, 16, "la57"),
    (4, 11, "syscall"),
    (4, 20, "nx"),
    (4, 26, "pdpe1gb"),
    (4, 27, "rdtscp"),
    (4, 29, "lm"),
    (5, 0, "lahf_lm"),
    (5, 5, "abm"),
    (5, 6, "sse4a"),
];

/// A row of the feature table in ROM: the feature word's address, the bit's mask, the name's address.
const ROW_SIZE: u32 = 12;
const NAMES_PER_LINE: u32 = 12;
const BRAND_LEAF: u32 = 0x8000_0002;
const LAST_BRAND_LEAF: u32 = 0x8000_0004;

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    p.asm.set_label(&mut p.at.show_cpu)?;
    p.asm.pushad()?;
    p.print("CPU:\n  ")?;
    brand(p)?;
    signature(p)?;
    count(p)?;
    features(p)?;
    p.asm.popad()?;
    p.asm.clc()?;
    p.asm.ret()
}

/// The brand string, if the processor has one.
fn brand(p: &mut Program) -> Result<(), IcedError> {
    let mut none = p.asm.create_label();
    let a = &mut p.asm;
    a.mov(eax, 0x8000_0000_u32)?;
    a.cpuid()?;
    a.cmp(eax, LAST_BRAND_LEAF)?;
    a.jb(none)?;
    a.mov(edi, ram::SCRATCH)?;
    for leaf in BRAND_LEAF..=LAST_BRAND_LEAF {
        p.asm.mov(eax, leaf)?;
        p.asm.cpuid()?;
        store_registers(p, [eax, ebx, ecx, edx])?;
    }
    send_scratch(p)?;
    p.print("\n  ")?;
    p.asm.set_label(&mut none)?;
    p.asm.nop()
}

/// Writes registers to EDI and moves it behind them.
fn store_registers<const N: usize>(p: &mut Program, registers: [AsmRegister32; N]) -> Result<(), IcedError> {
    for register in registers {
        p.asm.mov(dword_ptr(edi), register)?;
        p.asm.add(edi, 4_u32)?;
    }
    Ok(())
}

/// Ends the text in SCRATCH at EDI and sends it without leading spaces.
fn send_scratch(p: &mut Program) -> Result<(), IcedError> {
    p.asm.mov(byte_ptr(edi), 0_u32)?;
    p.asm.mov(esi, ram::SCRATCH)?;
    p.asm.call(p.at.skip_spaces)?;
    p.asm.call(p.at.puts)
}

/// "GenuineIntel, family 6, model 15, stepping 1".
fn signature(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    a.xor(eax, eax)?;
    a.cpuid()?;
    a.mov(edi, ram::SCRATCH)?;
    store_registers(p, [ebx, edx, ecx])?;
    send_scratch(p)?;
    let [mut no_family, mut extended, mut plain] = std::array::from_fn(|_| p.asm.create_label());
    p.print(", family ")?;
    let a = &mut p.asm;
    a.mov(eax, 1_u32)?;
    a.cpuid()?;
    a.mov(ebx, eax)?;
    // Family: bits 11:8, and 27:20 on top when those are all ones.
    a.shr(eax, 8_u32)?;
    a.and(eax, 0xf_u32)?;
    a.mov(ecx, eax)?;
    a.cmp(ecx, 0xf_u32)?;
    a.jne(no_family)?;
    a.mov(edx, ebx)?;
    a.shr(edx, 20_u32)?;
    a.and(edx, 0xff_u32)?;
    a.add(eax, edx)?;
    a.set_label(&mut no_family)?;
    a.call(p.at.decimal)?;
    p.print(", model ")?;
    // Model: bits 7:4, and 19:16 above them in families 6 and 15.
    let a = &mut p.asm;
    a.mov(eax, ebx)?;
    a.shr(eax, 4_u32)?;
    a.and(eax, 0xf_u32)?;
    a.cmp(ecx, 6_u32)?;
    a.je(extended)?;
    a.cmp(ecx, 0xf_u32)?;
    a.jne(plain)?;
    a.set_label(&mut extended)?;
    a.mov(edx, ebx)?;
    a.shr(edx, 12_u32)?;
    a.and(edx, 0xf0_u32)?;
    a.or(eax, edx)?;
    a.set_label(&mut plain)?;
    a.call(p.at.decimal)?;
    p.print(", stepping ")?;
    p.asm.mov(eax, ebx)?;
    p.asm.and(eax, 0xf_u32)?;
    p.asm.call(p.at.decimal)
}

/// How many processors there are, where fw_cfg says so.
fn count(p: &mut Program) -> Result<(), IcedError> {
    let mut unknown = p.asm.create_label();
    let a = &mut p.asm;
    a.call(p.at.fw_cfg_present)?;
    a.jc(unknown)?;
    p.print(", processors: ")?;
    let a = &mut p.asm;
    a.mov(eax, fw_cfg::CPU_COUNT)?;
    a.call(p.at.fw_cfg_select)?;
    a.mov(edi, ram::SCRATCH)?;
    a.mov(ecx, 2_u32)?;
    a.call(p.at.fw_cfg_read)?;
    a.movzx(eax, word_ptr(ram::SCRATCH))?;
    a.call(p.at.decimal)?;
    a.set_label(&mut unknown)?;
    a.nop()
}

/// The names of all features that are there.
fn features(p: &mut Program) -> Result<(), IcedError> {
    let mut table = Vec::new();
    for (leaf, bit, name) in FEATURES {
        let name = p.data.text(name);
        for field in [ram::FEATURES + u32::from(*leaf) * 4, 1 << bit, name] {
            table.extend_from_slice(&field.to_le_bytes());
        }
    }
    let start = p.data.put(&table);
    let end = start + table.len() as u32;

    for (index, Leaf(leaf, subleaf, register)) in (0..).zip(LEAVES) {
        let place = ram::FEATURES + index * 4;
        let mut missing = p.asm.create_label();
        let a = &mut p.asm;
        a.mov(dword_ptr(place), 0_u32)?;
        a.mov(eax, leaf & 0x8000_0000)?;
        a.cpuid()?;
        a.cmp(eax, leaf)?;
        a.jb(missing)?;
        a.mov(eax, leaf)?;
        a.mov(ecx, subleaf)?;
        a.cpuid()?;
        a.mov(dword_ptr(place), register)?;
        a.set_label(&mut missing)?;
        a.nop()?;
    }

    let [mut next, mut send, mut skip] = std::array::from_fn(|_| p.asm.create_label());
    p.asm.mov(ebx, start)?;
    p.asm.xor(ecx, ecx)?;
    p.asm.set_label(&mut next)?;
    p.asm.mov(eax, dword_ptr(ebx))?;
    p.asm.mov(eax, dword_ptr(eax))?;
    p.asm.test(dword_ptr(ebx + 4), eax)?;
    p.asm.jz(skip)?;
    p.asm.dec(ecx)?;
    p.asm.jns(send)?;
    p.print("\n ")?;
    p.asm.mov(ecx, NAMES_PER_LINE - 1)?;
    p.asm.set_label(&mut send)?;
    p.print_char(b' ')?;
    p.asm.mov(esi, dword_ptr(ebx + 8))?;
    p.asm.call(p.at.puts)?;
    p.asm.set_label(&mut skip)?;
    p.asm.add(ebx, ROW_SIZE)?;
    p.asm.cmp(ebx, end)?;
    p.asm.jb(next)?;
    p.asm.call(p.at.newline)
}
