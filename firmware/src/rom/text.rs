//! Numbers and texts.

use iced_x86::IcedError;
use iced_x86::code_asm::{al, bl, byte_ptr, cl, dl, dword_ptr, eax, ebx, ecx, edi, edx, esi, word_ptr};

use super::program::Program;

pub(super) fn emit(p: &mut Program) -> Result<(), IcedError> {
    hex(p)?;
    decimal(p)?;
    p.asm.set_label(&mut p.at.newline)?;
    p.print("\n")?;
    p.asm.ret()?;
    skip_spaces(p)?;
    parse(p)?;
    same_text(p)
}

fn hex(p: &mut Program) -> Result<(), IcedError> {
    let digits = p.data.put(b"0123456789abcdef");
    let a = &mut p.asm;
    let mut next = a.create_label();
    a.set_label(&mut p.at.hex)?;
    a.pushad()?;
    a.mov(ebx, eax)?;
    a.mov(edi, ecx)?;
    a.set_label(&mut next)?;
    a.dec(edi)?;
    a.lea(ecx, dword_ptr(edi * 4))?;
    a.mov(eax, ebx)?;
    a.shr(eax, cl)?;
    a.and(eax, 0xf_u32)?;
    a.mov(al, byte_ptr(eax + digits as i32))?;
    a.call(p.at.putc)?;
    a.test(edi, edi)?;
    a.jnz(next)?;
    a.popad()?;
    a.ret()
}

/// Digits come out last first; the stack turns them around.
fn decimal(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let (mut divide, mut send) = (a.create_label(), a.create_label());
    a.set_label(&mut p.at.decimal)?;
    a.pushad()?;
    a.mov(ebx, 10_u32)?;
    a.xor(ecx, ecx)?;
    a.set_label(&mut divide)?;
    a.xor(edx, edx)?;
    a.div(ebx)?;
    a.push(edx)?;
    a.inc(ecx)?;
    a.test(eax, eax)?;
    a.jnz(divide)?;
    a.set_label(&mut send)?;
    a.pop(eax)?;
    a.add(al, u32::from(b'0'))?;
    a.call(p.at.putc)?;
    a.dec(ecx)?;
    a.jnz(send)?;
    a.popad()?;
    a.ret()
}

fn skip_spaces(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let mut done = a.create_label();
    a.set_label(&mut p.at.skip_spaces)?;
    a.cmp(byte_ptr(esi), u32::from(b' '))?;
    a.jne(done)?;
    a.inc(esi)?;
    a.jmp(p.at.skip_spaces)?;
    a.set_label(&mut done)?;
    a.ret()
}

/// Accepts up to eight digits with or without 0x, up to a space or the end.
fn parse(p: &mut Program) -> Result<(), IcedError> {
    const DIGITS_MAX: u32 = 8;
    const LOWER_CASE: u32 = 0x20;
    let zero_x = u32::from(u16::from_le_bytes(*b"0x"));
    let a = &mut p.asm;
    let [mut next, mut digit, mut end, mut good, mut bad, mut out] = std::array::from_fn(|_| a.create_label());
    a.set_label(&mut p.at.parse)?;
    a.push(ecx)?;
    a.push(edx)?;
    a.call(p.at.skip_spaces)?;
    a.xor(eax, eax)?;
    a.xor(ecx, ecx)?;
    a.cmp(word_ptr(esi), zero_x)?;
    a.jne(next)?;
    a.add(esi, 2_u32)?;
    a.set_label(&mut next)?;
    a.movzx(edx, byte_ptr(esi))?;
    a.sub(edx, u32::from(b'0'))?;
    a.cmp(edx, 10_u32)?;
    a.jb(digit)?;
    a.add(edx, u32::from(b'0'))?;
    a.or(edx, LOWER_CASE)?;
    a.sub(edx, u32::from(b'a'))?;
    a.cmp(edx, 6_u32)?;
    a.jae(end)?;
    a.add(edx, 10_u32)?;
    a.set_label(&mut digit)?;
    a.inc(esi)?;
    a.inc(ecx)?;
    a.shl(eax, 4_u32)?;
    a.or(eax, edx)?;
    a.jmp(next)?;
    a.set_label(&mut end)?;
    a.dec(ecx)?;
    a.cmp(ecx, DIGITS_MAX)?;
    a.jae(bad)?;
    a.mov(dl, byte_ptr(esi))?;
    a.test(dl, dl)?;
    a.jz(good)?;
    a.cmp(dl, u32::from(b' '))?;
    a.jne(bad)?;
    a.set_label(&mut good)?;
    a.clc()?;
    a.jmp(out)?;
    a.set_label(&mut bad)?;
    a.stc()?;
    a.set_label(&mut out)?;
    a.pop(edx)?;
    a.pop(ecx)?;
    a.ret()
}

fn same_text(p: &mut Program) -> Result<(), IcedError> {
    let a = &mut p.asm;
    let (mut next, mut done) = (a.create_label(), a.create_label());
    a.set_label(&mut p.at.same_text)?;
    a.push(esi)?;
    a.push(edi)?;
    a.push(ebx)?;
    a.set_label(&mut next)?;
    a.mov(bl, byte_ptr(esi))?;
    a.cmp(bl, byte_ptr(edi))?;
    a.jne(done)?;
    a.inc(esi)?;
    a.inc(edi)?;
    a.test(bl, bl)?;
    a.jnz(next)?;
    a.set_label(&mut done)?;
    a.pop(ebx)?;
    a.pop(edi)?;
    a.pop(esi)?;
    a.ret()
}
