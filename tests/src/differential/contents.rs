//! What registers and memory operands hold before an instruction: by the operand's type.

use super::random::Random;
use super::state::Registers;
use iced_x86::{MemorySize, Mnemonic};

const EXCEPTION_MASKS: u32 = 0x1f80;

/// An MXCSR: any rounding, DAZ and FTZ now and then; `masked` or with any mask.
pub fn mxcsr(random: &mut Random, masked: bool) -> u32 {
    let masks = if masked { EXCEPTION_MASKS } else { random.word() as u32 & EXCEPTION_MASKS };
    let zeroes = if random.once_in(4) { random.word() as u32 & 0x8040 } else { 0 };
    let status = if random.once_in(4) { random.word() as u32 & 0x3f } else { 0 };
    masks | zeroes | status | (random.below(4) as u32) << 13
}

/// A control word and a status word that goes with it: seldom an exception waits.
fn control_and_status(random: &mut Random) -> (u16, u16) {
    let masks = if random.once_in(3) { random.word() as u16 & 0x3f } else { 0x3f };
    let control = 0x0040 | masks | (random.one_of(&[0, 2, 3, 3, 3]) << 8) | (random.below(4) as u16) << 10;
    let raised = random.word() as u16 & 0x3f;
    let raised = if random.once_in(32) { raised } else { raised & masks };
    let waits = if raised & !masks & 0x3f != 0 { 0x8080 } else { 0 };
    let sticky = if raised & 1 != 0 { random.word() as u16 & 0x40 } else { 0 };
    let status = raised | sticky | waits | random.word() as u16 & 0x4700 | (random.below(8) as u16) << 11;
    (control, status)
}

/// A random x87: mostly with full stacks.
pub fn x87(random: &mut Random, registers: &mut Registers) {
    (registers.control, registers.status) = control_and_status(random);
    registers.valid = match random.below(5) {
        0 => random.word() as u8,
        1 => 0,
        2 | 3 => 0xff,
        _ => (random.word() | random.word()) as u8,
    };
    registers.st = core::array::from_fn(|_| random.extended());
}

/// Bytes for a memory operand.
pub fn operand(random: &mut Random, mnemonic: Mnemonic, size: MemorySize) -> Vec<u8> {
    let extended = |r: &mut Random| r.extended().to_le_bytes()[..10].to_vec();
    match size {
        MemorySize::UInt32 if mnemonic == Mnemonic::Ldmxcsr && !random.once_in(6) => {
            let masked = random.once_in(2);
            mxcsr(random, masked).to_le_bytes().to_vec()
        }
        MemorySize::Float32 => random.single().to_le_bytes().to_vec(),
        MemorySize::Float64 => random.double().to_le_bytes().to_vec(),
        MemorySize::Float80 => extended(random),
        MemorySize::Bcd => bcd(random),
        MemorySize::FpuEnv14 => environment(random, 2),
        MemorySize::FpuEnv28 => environment(random, 4),
        MemorySize::FpuState94 | MemorySize::FpuState108 => {
            let mut bytes = environment(random, if size == MemorySize::FpuState94 { 2 } else { 4 });
            for _ in 0..8 {
                bytes.extend(extended(random));
            }
            bytes
        }
        MemorySize::Fxsave_512Byte | MemorySize::Fxsave64_512Byte => fx_image(random),
        _ if size.size() > 8 => random.vector().to_le_bytes().to_vec(),
        // Integer operands of floating-point instructions are integers too.
        _ if random.once_in(8) => random.double().to_le_bytes()[..size.size().min(8)].to_vec(),
        _ => random.integer().to_le_bytes()[..size.size().min(8)].to_vec(),
    }
}

fn bcd(random: &mut Random) -> Vec<u8> {
    let valid = !random.once_in(8);
    let mut bytes: Vec<u8> = (0..9)
        .map(|_| if valid { (random.below(10) << 4 | random.below(10)) as u8 } else { random.word() as u8 })
        .collect();
    bytes.push(if random.once_in(8) { random.word() as u8 } else { random.one_of(&[0, 0x80]) });
    bytes
}

/// FLDENV's operand with fields of `width` bytes.
fn environment(random: &mut Random, width: usize) -> Vec<u8> {
    let (control, status) = control_and_status(random);
    let control = control | if random.once_in(4) { random.word() as u16 & 0xe080 } else { 0 };
    let tags = random.word() as u16;
    let mut bytes = Vec::with_capacity(7 * width);
    for field in [control, status, tags] {
        bytes.extend(field.to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(width), 0xff);
    }
    bytes.resize(7 * width, 0);
    bytes
}

fn fx_image(random: &mut Random) -> Vec<u8> {
    let mut registers = Registers::default();
    x87(random, &mut registers);
    registers.mxcsr = mxcsr(random, false);
    registers.xmm = core::array::from_fn(|_| random.vector());
    let mut image = registers.fx_image();
    if random.once_in(8) {
        image[24..28].copy_from_slice(&(random.integer() as u32).to_le_bytes());
    }
    image.to_vec()
}
