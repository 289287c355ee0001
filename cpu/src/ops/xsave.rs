//! FXSAVE, FXRSTOR, XSAVE, XRSTOR, XSAVEOPT, LDMXCSR, STMXCSR.
//!
//! Sources: SDM volume 1, 10.5 (the FXSAVE image) and chapter 13 (XSAVE).

use crate::fault::Fault;
use crate::float::F80;
use crate::mmu::Access;
use crate::op::{Op, Slot};
use crate::state::{Cr0, Cr4, Fpu, Vcpu};
use crate::table::{Row, Unit};
use bitflags::bitflags;
use iced_x86::Code;
use lockstep_fabric::Bus;

bitflags! {
    /// State components, as XCR0, XSTATE_BV and EDX:EAX number them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Components: u64 {
        const X87 = 1 << 0;
        const SSE = 1 << 1;
    }
}

/// MXCSR bits that exist.
pub(crate) const MXCSR_MASK: u32 = 0xffff;

/// Offsets in the image.
const FIP: usize = 8;
const FDP: usize = 16;
const MXCSR: usize = 24;
const ST: usize = 32;
const XMM: usize = 160;
/// Bytes of the image that instructions write: the registers of 64-bit mode, or of the others.
const IMAGE_64: usize = XMM + 16 * 16;
const IMAGE_32: usize = XMM + 8 * 16;
/// The XSAVE header: XSTATE_BV, XCOMP_BV, and reserved zeros.
const HEADER: usize = 512;
const HEADER_CHECKED: usize = 24;

/// How an instruction lays out the image.
#[derive(Clone, Copy)]
struct Form {
    /// REX.W: 64-bit pointers without selectors.
    wide_pointers: bool,
    /// Sixteen XMM registers rather than eight.
    registers: usize,
}

impl Form {
    fn new(cpu: &Vcpu, wide_pointers: bool) -> Self {
        Self { wide_pointers, registers: if cpu.code64() { 16 } else { 8 } }
    }

    fn image_size(self) -> usize {
        if self.registers == 16 { IMAGE_64 } else { IMAGE_32 }
    }
}

fn word<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut word = [0; N];
    if let Some(source) = bytes.get(at..at + N) {
        word.copy_from_slice(source);
    }
    word
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, word: [u8; N]) {
    if let Some(target) = bytes.get_mut(at..at + N) {
        target.copy_from_slice(&word);
    }
}

fn save_x87(fpu: &Fpu, form: Form, image: &mut [u8]) {
    put(image, 0, fpu.control.to_le_bytes());
    put(image, 2, fpu.status_word().to_le_bytes());
    put(image, 4, [fpu.valid, 0]);
    put(image, 6, fpu.opcode.to_le_bytes());
    if form.wide_pointers {
        put(image, FIP, fpu.instruction.to_le_bytes());
        put(image, FDP, fpu.operand.to_le_bytes());
    } else {
        put(image, FIP, (fpu.instruction as u32).to_le_bytes());
        put(image, FIP + 4, u32::from(fpu.instruction_segment).to_le_bytes());
        put(image, FDP, (fpu.operand as u32).to_le_bytes());
        put(image, FDP + 4, u32::from(fpu.operand_segment).to_le_bytes());
    }
    for i in 0..8u8 {
        let at = ST + 16 * usize::from(i);
        put(image, at, fpu.st(i).to_le_bytes());
        put(image, at + 10, [0; 6]);
    }
}

fn load_x87(fpu: &mut Fpu, form: Form, image: &[u8]) {
    fpu.set_control_word(u16::from_le_bytes(word(image, 0)));
    fpu.set_status_word(u16::from_le_bytes(word(image, 2)));
    fpu.opcode = u16::from_le_bytes(word(image, 6)) & 0x7ff;
    if form.wide_pointers {
        fpu.instruction = u64::from_le_bytes(word(image, FIP));
        fpu.operand = u64::from_le_bytes(word(image, FDP));
        fpu.instruction_segment = 0;
        fpu.operand_segment = 0;
    } else {
        fpu.instruction = u32::from_le_bytes(word(image, FIP)).into();
        fpu.instruction_segment = u16::from_le_bytes(word(image, FIP + 4));
        fpu.operand = u32::from_le_bytes(word(image, FDP)).into();
        fpu.operand_segment = u16::from_le_bytes(word(image, FDP + 4));
    }
    for i in 0..8u8 {
        fpu.put(i, F80::from_le_bytes(word(image, ST + 16 * usize::from(i))));
    }
    fpu.valid = word::<1>(image, 4)[0];
}

fn save_mxcsr(cpu: &Vcpu, image: &mut [u8]) {
    put(image, MXCSR, cpu.mxcsr.to_le_bytes());
    put(image, MXCSR + 4, MXCSR_MASK.to_le_bytes());
}

fn save_xmm(cpu: &Vcpu, form: Form, image: &mut [u8]) {
    for (i, register) in cpu.vec.iter().take(form.registers).enumerate() {
        put(image, XMM + 16 * i, register.xmm().to_le_bytes());
    }
}

fn load_xmm(cpu: &mut Vcpu, form: Form, image: &[u8]) {
    for (i, register) in cpu.vec.iter_mut().take(form.registers).enumerate() {
        register.set_xmm(u128::from_le_bytes(word(image, XMM + 16 * i)));
    }
}

/// The image's MXCSR, if it has no reserved bit set.
fn checked_mxcsr(image: &[u8]) -> Result<u32, Fault> {
    let mxcsr = u32::from_le_bytes(word(image, MXCSR));
    if mxcsr & !MXCSR_MASK != 0 { Err(Fault::GP0) } else { Ok(mxcsr) }
}

/// Linear address of an image that must be aligned.
fn aligned(cpu: &mut Vcpu, op: &Op, len: usize, alignment: u64, access: Access) -> Result<u64, Fault> {
    let linear = cpu.linear(op, len as u64, access)?;
    if linear & (alignment - 1) != 0 { Err(Fault::GP0) } else { Ok(linear) }
}

fn fxsave<const WIDE: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let form = Form::new(cpu, WIDE);
    let linear = aligned(cpu, op, 512, 16, Access::Write)?;
    let mut image = [0; IMAGE_64];
    save_x87(&cpu.fpu, form, &mut image);
    save_mxcsr(cpu, &mut image);
    save_xmm(cpu, form, &mut image);
    // What it leaves untouched must be writable too.
    cpu.probe_write(bus, cpu.wrapped(linear.wrapping_add(511)), 1)?;
    cpu.store_block::<u64>(bus, linear, &image[..form.image_size()])
}

fn fxrstor<const WIDE: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let form = Form::new(cpu, WIDE);
    let linear = aligned(cpu, op, 512, 16, Access::Read)?;
    let mut image = [0; IMAGE_64];
    cpu.load_block::<u64>(bus, linear, &mut image[..form.image_size()])?;
    // What it ignores must be readable too.
    cpu.load::<u8>(bus, cpu.wrapped(linear.wrapping_add(511)))?;
    cpu.mxcsr = checked_mxcsr(&image)?;
    load_x87(&mut cpu.fpu, form, &image);
    load_xmm(cpu, form, &image);
    Ok(())
}

/// XSAVE and its kin need CR4.OSXSAVE, and TS clear; EM does not concern them.
fn xsave_usable(cpu: &Vcpu) -> Result<(), Fault> {
    if !cpu.cr4.contains(Cr4::OSXSAVE) {
        return Err(Fault::UD);
    }
    if cpu.cr0.contains(Cr0::TS) {
        return Err(Fault::NM);
    }
    Ok(())
}

/// The requested-feature bitmap.
fn requested(cpu: &Vcpu) -> Components {
    let (low, high) = (cpu.gpr[Slot::RAX.number()] as u32, cpu.gpr[Slot::RDX.number()] as u32);
    Components::from_bits_truncate(cpu.xcr0 & (u64::from(high) << 32 | u64::from(low)))
}

/// Components that differ from their initial state.
fn in_use(cpu: &Vcpu, form: Form) -> Components {
    let mut used = Components::empty();
    used.set(Components::X87, cpu.fpu != Fpu::default());
    used.set(Components::SSE, cpu.vec.iter().take(form.registers).any(|v| v.xmm() != 0));
    used
}

fn xsave<const WIDE: bool, const OPTIMIZED: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    xsave_usable(cpu)?;
    let form = Form::new(cpu, WIDE);
    let linear = aligned(cpu, op, HEADER + 64, 64, Access::Write)?;
    cpu.probe_write(bus, linear, HEADER as u64 + 64)?;
    let header = cpu.wrapped(linear.wrapping_add(HEADER as u64));
    let old: u64 = cpu.load(bus, header)?;
    let (requested, used) = (requested(cpu), in_use(cpu, form));
    let written = if OPTIMIZED { requested & used } else { requested };
    let mut image = [0; IMAGE_64];
    if written.contains(Components::X87) {
        save_x87(&cpu.fpu, form, &mut image);
        cpu.store_block::<u64>(bus, linear, &image[..MXCSR])?;
        let registers = cpu.wrapped(linear.wrapping_add(ST as u64));
        cpu.store_block::<u64>(bus, registers, &image[ST..XMM])?;
    }
    if requested.contains(Components::SSE) {
        save_mxcsr(cpu, &mut image);
        let mxcsr = cpu.wrapped(linear.wrapping_add(MXCSR as u64));
        cpu.store_block::<u64>(bus, mxcsr, &image[MXCSR..ST])?;
    }
    if written.contains(Components::SSE) {
        save_xmm(cpu, form, &mut image);
        let registers = cpu.wrapped(linear.wrapping_add(XMM as u64));
        cpu.store_block::<u64>(bus, registers, &image[XMM..form.image_size()])?;
    }
    cpu.store(bus, header, old & !requested.bits() | (used & requested).bits())
}

fn xrstor<const WIDE: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    xsave_usable(cpu)?;
    let form = Form::new(cpu, WIDE);
    let linear = aligned(cpu, op, HEADER + 64, 64, Access::Read)?;
    let mut area = [0; HEADER + HEADER_CHECKED];
    cpu.load_block::<u64>(bus, linear, &mut area)?;
    let present = u64::from_le_bytes(word(&area, HEADER));
    // The compacted form is not announced, so that XCOMP_BV must be zero like the bytes after it.
    if present & !cpu.xcr0 != 0 || area[HEADER + 8..].iter().any(|byte| *byte != 0) {
        return Err(Fault::GP0);
    }
    let present = Components::from_bits_truncate(present);
    let requested = requested(cpu);
    // MXCSR comes from memory whether or not the component is present.
    let mxcsr = if requested.contains(Components::SSE) { checked_mxcsr(&area)? } else { cpu.mxcsr };
    cpu.mxcsr = mxcsr;
    if requested.contains(Components::X87) {
        if present.contains(Components::X87) {
            load_x87(&mut cpu.fpu, form, &area);
        } else {
            cpu.fpu = Fpu::default();
        }
    }
    if requested.contains(Components::SSE) {
        if present.contains(Components::SSE) {
            load_xmm(cpu, form, &area);
        } else {
            load_xmm(cpu, form, &[]);
        }
    }
    Ok(())
}

fn ldmxcsr(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value: u32 = cpu.load_operand(bus, op)?;
    if value & !MXCSR_MASK != 0 {
        return Err(Fault::GP0);
    }
    cpu.mxcsr = value;
    Ok(())
}

fn stmxcsr(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.store_operand(bus, op, cpu.mxcsr)
}

/// The family's rows. The images differ between hosts (pointers, components), so that only MXCSR is tried there.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::single(Code::Fxsave_m512byte, fxsave::<false>).unit(Unit::X87).system(),
        Row::single(Code::Fxsave64_m512byte, fxsave::<true>).unit(Unit::X87).system(),
        Row::single(Code::Fxrstor_m512byte, fxrstor::<false>).unit(Unit::X87).system(),
        Row::single(Code::Fxrstor64_m512byte, fxrstor::<true>).unit(Unit::X87).system(),
        Row::single(Code::Xsave_mem, xsave::<false, false>).system(),
        Row::single(Code::Xsave64_mem, xsave::<true, false>).system(),
        Row::single(Code::Xsaveopt_mem, xsave::<false, true>).system(),
        Row::single(Code::Xsaveopt64_mem, xsave::<true, true>).system(),
        Row::single(Code::Xrstor_mem, xrstor::<false>).system(),
        Row::single(Code::Xrstor64_mem, xrstor::<true>).system(),
        Row::single(Code::Ldmxcsr_m32, ldmxcsr).unit(Unit::Sse),
        Row::single(Code::Stmxcsr_m32, stmxcsr).unit(Unit::Sse),
    ]
}
