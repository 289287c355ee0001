//! PCI configuration by mechanism 1, and the list of devices.

use iced_x86::IcedError;
use iced_x86::code_asm::{ax, dword_ptr, dx, eax, ebx, edi, edx, esi};

use super::program::Program;
use super::ram;

const ADDRESS: u32 = 0xcf8;
const DATA: u32 = 0xcfc;
/// The address register's enable bit, and what one function, one slot and one bus too many look like in it.
pub(super) const ENABLE: u32 = 1 << 31;
const NEXT_FUNCTION: u32 = 1 << 8;
const ALL_FUNCTIONS: u32 = 7 << 8;
const BEYOND_LAST_BUS: u32 = 1 << 24;
/// Registers.
const CLASS: u32 = 0x08;
const HEADER: u32 = 0x0c;
const BUSES: u32 = 0x18;
/// The header type in its register: its kind, and whether there are more functions.
const HEADER_KIND: u32 = 0x7f << 16;
const HEADER_BRIDGE: u32 = 0x01 << 16;
const HEADER_MULTI: u32 = 0x80 << 16;

/// Names of the classes that one meets on a PC.
const CLASSES: &[(u16, &str)] = &[
    (0x0000, "Unclassified device"),
    (0x0100, "SCSI controller"),
    (0x0101, "IDE controller"),
    (0x0106, "SATA controller"),
    (0x0108, "NVMe controller"),
    (0x0200, "Ethernet controller"),
    (0x0300, "VGA controller"),
    (0x0380, "Display controller"),
    (0x0401, "Audio device"),
    (0x0403, "Audio device"),
    (0x0500, "RAM"),
    (0x0580, "Memory controller"),
    (0x0600, "Host bridge"),
    (0x0601, "ISA bridge"),
    (0x0604, "PCI bridge"),
    (0x0680, "Bridge"),
    (0x0700, "Serial controller"),
    (0x0780, "Communication controller"),
    (0x0880, "System peripheral"),
    (0x0c03, "USB controller"),
    (0x0c05, "SMBus controller"),
    (0x00ff, "Device"),
];

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    access(p)?;
    show(p)
}

fn access(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    a.set_label(&mut p.at.pci_read)?;
    a.push(edx)?;
    a.mov(dx, ADDRESS)?;
    a.out(dx, eax)?;
    a.mov(dx, DATA)?;
    a.in_(eax, dx)?;
    a.pop(edx)?;
    a.ret()?;
    a.set_label(&mut p.at.pci_write)?;
    a.push(edx)?;
    a.push(eax)?;
    a.push(edx)?;
    a.mov(dx, ADDRESS)?;
    a.out(dx, eax)?;
    a.mov(dx, DATA)?;
    a.pop(eax)?;
    a.out(dx, eax)?;
    a.pop(eax)?;
    a.pop(edx)?;
    a.ret()
}

/// EAX = the register of the function at EBX.
fn read(p: &mut Program, register: u32) -> Result<(), IcedError> {
    p.asm.lea(eax, dword_ptr(ebx + register as i32))?;
    p.asm.call(p.at.pci_read)
}

/// Walks all functions of all buses that are known; a bridge on the way makes the buses behind it known.
fn show(p: &mut Program) -> Result<(), IcedError> {
    let [mut next, mut absent, mut advance, mut no_bridge, mut done] = std::array::from_fn(|_| p.asm.create_label());
    p.asm.set_label(&mut p.at.show_pci)?;
    p.asm.pushad()?;
    p.print("PCI:\n")?;
    p.asm.mov(ebx, ENABLE)?;
    p.asm.set_label(&mut next)?;
    read(p, 0)?;
    p.asm.cmp(ax, 0xffff_u32)?;
    p.asm.je(absent)?;
    print_function(p)?;

    read(p, HEADER)?;
    p.asm.mov(edi, eax)?;
    p.asm.and(eax, HEADER_KIND)?;
    p.asm.cmp(eax, HEADER_BRIDGE)?;
    p.asm.jne(no_bridge)?;
    read(p, BUSES)?;
    p.asm.shr(eax, 16_u32)?;
    p.asm.and(eax, 0xff_u32)?;
    p.asm.cmp(eax, dword_ptr(ram::LAST_BUS))?;
    p.asm.jbe(no_bridge)?;
    p.asm.mov(dword_ptr(ram::LAST_BUS), eax)?;
    p.asm.set_label(&mut no_bridge)?;
    p.asm.test(edi, HEADER_MULTI)?;
    p.asm.jnz(advance)?;
    p.asm.set_label(&mut absent)?;
    p.asm.test(ebx, ALL_FUNCTIONS)?;
    p.asm.jnz(advance)?;
    // A slot without a function 0, or with nothing else, is passed by.
    p.asm.or(ebx, ALL_FUNCTIONS)?;
    p.asm.set_label(&mut advance)?;
    p.asm.add(ebx, NEXT_FUNCTION)?;
    p.asm.test(ebx, BEYOND_LAST_BUS)?;
    p.asm.jnz(done)?;
    p.asm.mov(eax, ebx)?;
    p.asm.shr(eax, 16_u32)?;
    p.asm.and(eax, 0xff_u32)?;
    p.asm.cmp(eax, dword_ptr(ram::LAST_BUS))?;
    p.asm.jbe(next)?;
    p.asm.set_label(&mut done)?;
    p.asm.popad()?;
    p.asm.clc()?;
    p.asm.ret()
}

/// "  00:01.1  8086:7010  0101  IDE controller".
fn print_function(p: &mut Program) -> Result<(), IcedError> {
    let mut table = Vec::new();
    for (class, name) in CLASSES {
        table.extend_from_slice(&u32::from(*class).to_le_bytes());
        table.extend_from_slice(&p.data.text(name).to_le_bytes());
    }
    let table_at = p.data.put(&table);
    let last = table_at + table.len() as u32 - 8;
    let (mut look, mut found) = (p.asm.create_label(), p.asm.create_label());

    p.asm.mov(edi, eax)?;
    p.print("  ")?;
    p.asm.mov(eax, ebx)?;
    p.asm.shr(eax, 16_u32)?;
    p.print_hex(2)?;
    p.print(":")?;
    p.asm.mov(eax, ebx)?;
    p.asm.shr(eax, 11_u32)?;
    p.asm.and(eax, 0x1f_u32)?;
    p.print_hex(2)?;
    p.print(".")?;
    p.asm.mov(eax, ebx)?;
    p.asm.shr(eax, 8_u32)?;
    p.asm.and(eax, 7_u32)?;
    p.print_hex(1)?;
    p.print("  ")?;
    p.asm.mov(eax, edi)?;
    p.print_hex(4)?;
    p.print(":")?;
    p.asm.shr(eax, 16_u32)?;
    p.print_hex(4)?;
    p.print("  ")?;
    read(p, CLASS)?;
    p.asm.shr(eax, 16_u32)?;
    p.print_hex(4)?;
    p.print("  ")?;
    p.asm.mov(edi, table_at)?;
    p.asm.set_label(&mut look)?;
    p.asm.cmp(eax, dword_ptr(edi))?;
    p.asm.je(found)?;
    p.asm.add(edi, 8_u32)?;
    p.asm.cmp(edi, last)?;
    p.asm.jb(look)?;
    p.asm.set_label(&mut found)?;
    p.asm.mov(esi, dword_ptr(edi + 4))?;
    p.asm.call(p.at.puts)?;
    p.asm.call(p.at.newline)
}
