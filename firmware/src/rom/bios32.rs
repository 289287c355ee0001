//! The BIOS32 service directory and the PCI BIOS for callers in flat 32-bit protected mode. They have stacks that the services of
//! [`crate::bios`] cannot find by their addresses, so registers go through the mailbox port.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, al, bl, dword_ptr, dx, eax, ebx, ecx, edi, edx, esi, esp};

use super::{BASE, BIOS32_ENTRY, SIZE};
use crate::bios::MAILBOX_PORT;

/// Assembles both: the directory is at the start.
pub(super) fn assemble() -> Result<Vec<u8>, IcedError> {
    const PCI_SERVICE: u32 = u32::from_le_bytes(*b"$PCI");
    const UNKNOWN_SERVICE: u32 = 0x80;
    const UNKNOWN_FUNCTION: u32 = 0x81;
    /// Where the PCI BIOS is, behind the directory.
    const PCI_OFFSET: usize = BIOS32_ENTRY + 0x40;
    let mut a = CodeAssembler::new(32)?;
    let [mut unknown, mut bad] = std::array::from_fn(|_| a.create_label());
    a.test(bl, bl)?;
    a.jnz(bad)?;
    a.cmp(eax, PCI_SERVICE)?;
    a.jne(unknown)?;
    a.xor(al, al)?;
    a.mov(ebx, BASE)?;
    a.mov(ecx, SIZE as u32)?;
    a.mov(edx, PCI_OFFSET as u32)?;
    a.retf()?;
    a.set_label(&mut unknown)?;
    a.mov(al, UNKNOWN_SERVICE)?;
    a.retf()?;
    a.set_label(&mut bad)?;
    a.mov(al, UNKNOWN_FUNCTION)?;
    a.retf()?;
    let mut code = a.assemble(BIOS32_ENTRY as u64)?;
    code.resize(PCI_OFFSET - BIOS32_ENTRY, 0xcc);
    code.extend(pci()?.assemble(PCI_OFFSET as u64)?);
    Ok(code)
}

/// Out: EAX, EBX, ECX, EDX, ESI, EDI. In: the same, and the flags, of which the caller gets CF.
fn pci() -> Result<CodeAssembler, IcedError> {
    const OUTGOING_EDX: i32 = 0;
    let mut a = CodeAssembler::new(32)?;
    a.push(edx)?;
    a.mov(dx, u32::from(MAILBOX_PORT))?;
    a.out(dx, eax)?;
    for register in [ebx, ecx] {
        a.mov(eax, register)?;
        a.out(dx, eax)?;
    }
    a.mov(eax, dword_ptr(esp + OUTGOING_EDX))?;
    a.out(dx, eax)?;
    for register in [esi, edi] {
        a.mov(eax, register)?;
        a.out(dx, eax)?;
    }
    a.in_(eax, dx)?;
    a.push(eax)?;
    for register in [ebx, ecx] {
        a.in_(eax, dx)?;
        a.mov(register, eax)?;
    }
    a.in_(eax, dx)?;
    a.mov(dword_ptr(esp + 4), eax)?;
    for register in [esi, edi] {
        a.in_(eax, dx)?;
        a.mov(register, eax)?;
    }
    // The flags' bit 0 is CF.
    a.in_(eax, dx)?;
    a.shr(eax, 1_u32)?;
    a.pop(eax)?;
    a.pop(edx)?;
    a.retf()?;
    Ok(a)
}
