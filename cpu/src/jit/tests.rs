//! Translated code against the interpreter: random programs end in the same state, however they are cut.

use crate::engine::{Engine, Why};
use crate::fixture::*;
use crate::state::{Activity, Pending, Rflags};
use crate::table::Unit;
use iced_x86::code_asm::CodeAssembler;
use iced_x86::{Code, Instruction, MemoryOperand, OpKind, Register};

/// Where memory operands lie.
const DATA_AT: u64 = 0x1_0000;
const DATA_BYTES: usize = 0x1000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn value(&mut self) -> u64 {
        const EDGES: [u64; 8] = [0, 1, 0x7f, 0x80, 0x7fff_ffff, 0x8000_0000, i64::MAX as u64, u64::MAX];
        if self.below(2) == 0 { EDGES[self.below(8)] } else { self.next() >> self.below(64) }
    }
}

/// Bases of memory operands, which programs leave alone: one that translated code keeps in a register, one that it does not.
const BASES: [Register; 2] = [Register::RBX, Register::R9];

fn register(random: &mut Random, bytes: usize) -> Register {
    loop {
        let number = random.below(16) as u32;
        let whole = Register::RAX + number;
        if BASES.contains(&whole) || whole == Register::RSP {
            continue;
        }
        return match bytes {
            1 if number < 4 => Register::AL + number,
            1 => Register::SPL + (number - 4),
            2 => Register::AX + number,
            4 => Register::EAX + number,
            _ => whole,
        };
    }
}

fn memory(random: &mut Random) -> MemoryOperand {
    let displacement = random.below(DATA_BYTES / 2) as i64;
    match random.below(4) {
        0 => MemoryOperand::new(
            Register::None,
            Register::None,
            1,
            DATA_AT as i64 + displacement,
            8,
            false,
            Register::None,
        ),
        1 => MemoryOperand::with_base_displ(Register::RBX, displacement),
        2 => MemoryOperand::with_base_displ(Register::R9, displacement),
        // Both point to the data; half of one is added: far outside of it, but mapped.
        _ => MemoryOperand::new(Register::RBX, Register::R9, 2, displacement, 8, false, Register::None),
    }
}

/// An instruction of this code with random operands, if its operands are of the kinds that are tried here.
fn instruction(code: Code, random: &mut Random) -> Option<Instruction> {
    use iced_x86::OpCodeOperandKind as Kind;
    let info = code.op_code();
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    for i in 0..info.op_count() {
        let kind = info.op_kind(i);
        match kind {
            Kind::r8_or_mem | Kind::r16_or_mem | Kind::r32_or_mem | Kind::r64_or_mem | Kind::mem => {
                let bytes = match kind {
                    Kind::r8_or_mem => 1,
                    Kind::r16_or_mem => 2,
                    Kind::r32_or_mem => 4,
                    _ => 8,
                };
                if kind == Kind::mem || random.below(2) == 0 {
                    let at = memory(random);
                    instruction.set_op_kind(i, OpKind::Memory);
                    instruction.set_memory_base(at.base);
                    instruction.set_memory_index(at.index);
                    instruction.set_memory_index_scale(at.scale);
                    instruction.set_memory_displacement64(at.displacement as u64);
                    instruction.set_memory_displ_size(at.displ_size);
                } else {
                    instruction.set_op_kind(i, OpKind::Register);
                    instruction.set_op_register(i, register(random, bytes));
                }
            }
            Kind::r8_reg | Kind::r8_opcode => {
                instruction.set_op_kind(i, OpKind::Register);
                instruction.set_op_register(i, register(random, 1));
            }
            Kind::r16_reg | Kind::r16_rm | Kind::r16_opcode => {
                instruction.set_op_kind(i, OpKind::Register);
                instruction.set_op_register(i, register(random, 2));
            }
            Kind::r32_reg | Kind::r32_rm | Kind::r32_opcode => {
                instruction.set_op_kind(i, OpKind::Register);
                instruction.set_op_register(i, register(random, 4));
            }
            Kind::r64_reg | Kind::r64_rm | Kind::r64_opcode => {
                instruction.set_op_kind(i, OpKind::Register);
                instruction.set_op_register(i, register(random, 8));
            }
            Kind::xmm_reg | Kind::xmm_rm => {
                instruction.set_op_kind(i, OpKind::Register);
                instruction.set_op_register(i, Register::XMM0 + random.below(16) as u32);
            }
            Kind::xmm_or_mem => {
                if random.below(2) == 0 {
                    let at = memory(random);
                    let aligned = if random.below(4) == 0 { 0 } else { 15 };
                    instruction.set_op_kind(i, OpKind::Memory);
                    instruction.set_memory_base(at.base);
                    instruction.set_memory_index(at.index);
                    instruction.set_memory_index_scale(at.scale);
                    instruction.set_memory_displacement64(at.displacement as u64 & !aligned);
                    instruction.set_memory_displ_size(at.displ_size);
                } else {
                    instruction.set_op_kind(i, OpKind::Register);
                    instruction.set_op_register(i, Register::XMM0 + random.below(16) as u32);
                }
            }
            Kind::al | Kind::ax | Kind::eax | Kind::rax | Kind::cl => {
                let fixed = match kind {
                    Kind::al => Register::AL,
                    Kind::ax => Register::AX,
                    Kind::eax => Register::EAX,
                    Kind::rax => Register::RAX,
                    _ => Register::CL,
                };
                instruction.set_op_kind(i, OpKind::Register);
                instruction.set_op_register(i, fixed);
            }
            Kind::imm8 => {
                instruction.set_op_kind(i, OpKind::Immediate8);
                let counts = [0, 1, 7, 8, 31, 32, 63];
                let value = if random.below(2) == 0 { counts[random.below(7)] } else { random.next() as u8 };
                instruction.set_immediate8(value);
            }
            Kind::imm8_const_1 => {
                instruction.set_op_kind(i, OpKind::Immediate8);
                instruction.set_immediate8(1);
            }
            Kind::imm8sex16 | Kind::imm8sex32 | Kind::imm8sex64 => {
                instruction.set_op_kind(
                    i,
                    match kind {
                        Kind::imm8sex16 => OpKind::Immediate8to16,
                        Kind::imm8sex32 => OpKind::Immediate8to32,
                        _ => OpKind::Immediate8to64,
                    },
                );
                instruction.set_immediate_i64(i, (random.next() as i8).into());
            }
            Kind::imm16 => {
                instruction.set_op_kind(i, OpKind::Immediate16);
                instruction.set_immediate16(random.value() as u16);
            }
            Kind::imm32 => {
                instruction.set_op_kind(i, OpKind::Immediate32);
                instruction.set_immediate32(random.value() as u32);
            }
            Kind::imm32sex64 => {
                instruction.set_op_kind(i, OpKind::Immediate32to64);
                instruction.set_immediate_i64(i, (random.value() as i32).into());
            }
            Kind::imm64 => {
                instruction.set_op_kind(i, OpKind::Immediate64);
                instruction.set_immediate64(random.value());
            }
            _ => return None,
        }
    }
    Some(instruction)
}

/// Codes of 64-bit code that the programs are made of: the general-purpose ones that do not end a block.
fn codes() -> Vec<Code> {
    use iced_x86::{CpuidFeature, FlowControl, Mnemonic as M};
    let model = crate::CpuModel::max();
    let usual = |code: &Code| {
        let info = code.op_code();
        let features = code.cpuid_features();
        let general = features.iter().all(|f| {
            matches!(
                f,
                CpuidFeature::INTEL8086
                    | CpuidFeature::INTEL186
                    | CpuidFeature::INTEL386
                    | CpuidFeature::INTEL486
                    | CpuidFeature::X64
                    | CpuidFeature::CMOV
                    | CpuidFeature::POPCNT
                    | CpuidFeature::BMI1
                    | CpuidFeature::LZCNT
                    | CpuidFeature::SSE
                    | CpuidFeature::SSE2
                    | CpuidFeature::SSE3
                    | CpuidFeature::SSSE3
                    | CpuidFeature::SSE4_1
            )
        });
        general
            && info.mode64()
            && code.flow_control() == FlowControl::Next
            && !code.is_privileged()
            && model.announces(*code)
            // What moves the stack pointer is tried by programs of its own.
            && !matches!(code.mnemonic(), M::Enter | M::Leave | M::Popf | M::Popfq | M::Pop | M::Xlatb | M::Cpuid)
    };
    let rows =
        crate::table::TABLE.rows().iter().filter(|row| !row.ends && matches!(row.unit, Unit::Integer | Unit::Sse));
    rows.map(|row| row.code).filter(|code| usual(code) && instruction(*code, &mut Random(0)).is_some()).collect()
}

/// A program: random instructions with conditional jumps over some of them, and HLT.
fn program(random: &mut Random, codes: &[Code], length: usize) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(64).unwrap();
    let mut label = None;
    for i in 0..length {
        if label.is_none() && random.below(4) == 0 {
            let ahead = assembler.create_label();
            let jumps: [fn(&mut CodeAssembler, iced_x86::code_asm::CodeLabel); 16] = [
                |a, l| a.jo(l).unwrap(),
                |a, l| a.jno(l).unwrap(),
                |a, l| a.jb(l).unwrap(),
                |a, l| a.jae(l).unwrap(),
                |a, l| a.je(l).unwrap(),
                |a, l| a.jne(l).unwrap(),
                |a, l| a.jbe(l).unwrap(),
                |a, l| a.ja(l).unwrap(),
                |a, l| a.js(l).unwrap(),
                |a, l| a.jns(l).unwrap(),
                |a, l| a.jp(l).unwrap(),
                |a, l| a.jnp(l).unwrap(),
                |a, l| a.jl(l).unwrap(),
                |a, l| a.jge(l).unwrap(),
                |a, l| a.jle(l).unwrap(),
                |a, l| a.jg(l).unwrap(),
            ];
            jumps[random.below(16)](&mut assembler, ahead);
            label = Some((i + 1 + random.below(3), ahead));
        }
        if let Some((until, mut ahead)) = label
            && i >= until
        {
            assembler.set_label(&mut ahead).unwrap();
            label = None;
        }
        let made = loop {
            let code = codes[random.below(codes.len())];
            if let Some(made) = instruction(code, random) {
                break made;
            }
        };
        if assembler.add_instruction(made).is_err() {
            continue;
        }
    }
    if let Some((_, mut ahead)) = label {
        assembler.set_label(&mut ahead).unwrap();
    }
    assembler.hlt().unwrap();
    assembler.assemble(CODE).unwrap_or_default()
}

/// All that a program can change.
#[derive(Debug, PartialEq, Eq)]
struct End {
    registers: [u64; 16],
    flags: Rflags,
    ip: u64,
    ticks: u64,
    halted: bool,
    data: Vec<u8>,
    stack: Vec<u8>,
    vectors: Vec<[u64; 4]>,
}

fn start(machine: &mut Machine, seed: u64) {
    let random = &mut Random(seed);
    for i in 0..16 {
        machine.cpu.gpr[i] = random.value();
    }
    for vector in &mut machine.cpu.vec[..16] {
        vector.0 = [random.value(), random.value(), 7, 9];
    }
    machine.cpu.gpr[3] = DATA_AT;
    machine.cpu.gpr[9] = DATA_AT;
    machine.cpu.gpr[4] = STACK;
    machine.cpu.flags.put_status(Rflags::from_bits_retain(random.next()) & Rflags::STATUS);
    let data: Vec<u8> = (0..DATA_BYTES).map(|_| random.next() as u8).collect();
    machine.write(DATA_AT, &data);
    machine.write(STACK - 0x100, &[0; 0x100]);
    machine.cpu.activity = Activity::Running;
    machine.cpu.pending = Pending::empty();
    machine.cpu.ip = CODE;
    let cs = CODE64;
    machine.use_segments(cs, DATA, 0);
}

fn end(machine: &mut Machine, slice: u64) -> End {
    let begun = machine.bus.clock.now();
    for _ in 0..10_000 {
        if machine.step(slice).why == Why::Stopped {
            break;
        }
    }
    let mut data = vec![0; DATA_BYTES];
    machine.bus.memory.read_bytes(DATA_AT, &mut data);
    let mut stack = vec![0; 0x100];
    machine.bus.memory.read_bytes(STACK - 0x100, &mut stack);
    End {
        registers: machine.cpu.gpr[..16].try_into().unwrap(),
        flags: machine.cpu.flags.get(),
        ip: machine.cpu.ip,
        ticks: machine.bus.clock.now() - begun,
        halted: machine.cpu.activity == Activity::Halted,
        data,
        stack,
        vectors: machine.cpu.vec[..16].iter().map(|v| v.0).collect(),
    }
}

fn listing(bytes: &[u8]) -> String {
    use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
    let mut formatter = IntelFormatter::new();
    let mut text = String::new();
    for instruction in &mut Decoder::with_ip(64, bytes, CODE, DecoderOptions::NONE) {
        text.push_str(&format!("{:#x} ", instruction.ip()));
        formatter.format(&instruction, &mut text);
        text.push('\n');
    }
    text
}

fn compare(bytes: &[u8], seed: u64, slice: u64) {
    let mut interpreted = Machine::new(Mode::Long);
    interpreted.engine = Engine::interpreter();
    let mut translated = Machine::new(Mode::Long);
    translated.engine = Engine::translating_after(1);
    for machine in [&mut interpreted, &mut translated] {
        machine.write(CODE, bytes);
    }
    for round in 0..4 {
        for machine in [&mut interpreted, &mut translated] {
            start(machine, seed + round);
        }
        let (expected, found) = (end(&mut interpreted, slice), end(&mut translated, slice));
        if expected != found {
            let mut differences = String::new();
            for i in 0..16 {
                if expected.registers[i] != found.registers[i] {
                    let (e, f) = (expected.registers[i], found.registers[i]);
                    differences.push_str(&format!("register {i}: {e:#x}, translated {f:#x}\n"));
                }
            }
            let (e, f) = (&expected, &found);
            panic!(
                "seed {seed} round {round} slice {slice}\n{}{differences}flags {:?} {:?}\nip {:#x} {:#x} ticks {} {} halted {} {} \
                 data {} stack {}\n{:x?}\n{:x?}",
                listing(bytes),
                e.flags,
                f.flags,
                e.ip,
                f.ip,
                e.ticks,
                f.ticks,
                e.halted,
                f.halted,
                e.data == f.data,
                e.stack == f.stack,
                e.vectors,
                f.vectors
            );
        }
    }
}

#[test]
fn every_instruction_ends_in_the_interpreter_s_state() {
    let codes = codes();
    assert!(codes.len() > 300, "{} codes", codes.len());
    for (i, code) in codes.iter().enumerate() {
        let random = &mut Random(i as u64);
        for _ in 0..4 {
            let bytes = program(random, std::slice::from_ref(code), 2);
            compare(&bytes, random.next() >> 1, 1000);
        }
    }
}

#[test]
fn programs_end_in_the_interpreter_s_state_however_they_are_cut() {
    let codes = codes();
    for seed in 0..200 {
        let random = &mut Random(seed);
        let length = 1 + random.below(20);
        let bytes = program(random, &codes, length);
        for slice in [1000, 1, 3] {
            compare(&bytes, random.next() >> 1, slice);
        }
    }
}
