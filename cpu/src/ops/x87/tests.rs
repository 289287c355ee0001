//! x87 instructions one by one on a whole vCPU: pointers, errors, environments, and the XSAVE family.

use crate::cpuid::CpuModel;
use crate::decode::lower_block;
use crate::float::F80;
use crate::op::Slot;
use crate::state::{Cr0, Cr4, Efer, Pending, Rights, seg};
use crate::{Fault, Vcpu};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Bus, Clock, DeviceId, Memory};

/// Where the operand of the tests' instructions lies: `[esi]`, `[rsi]`, `[si]`.
const OPERAND: u64 = 0x4000;
/// Where the instruction lies.
const CODE: u64 = 0x1230;

const FLD_M80: &[u8] = &[0xdb, 0x2e];
const FSTP_M80: &[u8] = &[0xdb, 0x3e];
const FLD1: &[u8] = &[0xd9, 0xe8];
const FLDZ: &[u8] = &[0xd9, 0xee];
const FLDPI: &[u8] = &[0xd9, 0xeb];
const FADDP: &[u8] = &[0xde, 0xc1];
const FDIVP: &[u8] = &[0xde, 0xf9];
const FWAIT: &[u8] = &[0x9b];
const FNSTENV: &[u8] = &[0xd9, 0x36];
const FLDENV: &[u8] = &[0xd9, 0x26];
const FNSAVE: &[u8] = &[0xdd, 0x36];
const FRSTOR: &[u8] = &[0xdd, 0x26];
const FNCLEX: &[u8] = &[0xdb, 0xe2];
const FXSAVE64: &[u8] = &[0x48, 0x0f, 0xae, 0x06];
const FXRSTOR64: &[u8] = &[0x48, 0x0f, 0xae, 0x0e];
const XSAVE64: &[u8] = &[0x48, 0x0f, 0xae, 0x26];
const XSAVEOPT64: &[u8] = &[0x48, 0x0f, 0xae, 0x36];
const XRSTOR64: &[u8] = &[0x48, 0x0f, 0xae, 0x2e];
const LDMXCSR: &[u8] = &[0x0f, 0xae, 0x16];
const STMXCSR: &[u8] = &[0x0f, 0xae, 0x1e];

#[derive(Clone, Copy)]
enum Mode {
    Real,
    Bits64,
}

struct Machine {
    cpu: Vcpu,
    bus: Bus,
}

impl Machine {
    fn new(mode: Mode) -> Self {
        const LEN: u64 = 0x10_0000;
        let mut memory = Memory::new(LEN).expect("memory");
        let at = memory.allocate(LEN).expect("room");
        memory.add_region(Region {
            owner: DeviceId(0),
            index: 0,
            base: Some(0),
            len: LEN,
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(at),
        });
        let mut cpu = Vcpu::new(0, CpuModel::max(), 1);
        cpu.fpu = Default::default();
        cpu.cr0 |= Cr0::NE;
        cpu.cr4 |= Cr4::OSFXSR | Cr4::OSXSAVE;
        cpu.xcr0 = 3;
        if matches!(mode, Mode::Bits64) {
            cpu.cr0 |= Cr0::PE;
            cpu.efer |= Efer::LMA | Efer::LME;
            cpu.seg[seg::CS].rights.0 |= Rights::LONG;
        }
        cpu.gpr[Slot::RSI.number()] = OPERAND;
        cpu.gpr[Slot::RAX.number()] = 3;
        cpu.gpr[Slot::RDX.number()] = 0;
        cpu.refresh();
        cpu.pending = Pending::empty();
        Self { cpu, bus: Bus::new(memory, Clock::new(0)) }
    }

    fn step(&mut self, instruction: &[u8]) -> Result<(), Fault> {
        // In 16-bit code [si] is encoded as [rsi] is in 64-bit code, but for the ModRM byte's low bits.
        let mut bytes = instruction.to_vec();
        let real = !self.cpu.code64();
        if let Some(modrm) = bytes.last_mut()
            && real
            && *modrm < 0xc0
            && instruction.len() > 1
        {
            *modrm = *modrm & !7 | 4;
        }
        let lowered = lower_block(&bytes, self.cpu.mode, &self.cpu.model, 1);
        let op = lowered.ops.first().expect("a whole instruction");
        self.cpu.gpr[Slot::Ip.number()] = CODE;
        (op.run)(&mut self.cpu, &mut self.bus, op)
    }

    fn steps(&mut self, instructions: &[&[u8]]) {
        for instruction in instructions {
            assert_eq!(self.step(instruction), Ok(()), "{instruction:x?}");
        }
    }

    fn bytes<const N: usize>(&self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.bus.memory.read_bytes(OPERAND + offset, &mut bytes);
        bytes
    }

    fn word(&self, offset: u64) -> u16 {
        u16::from_le_bytes(self.bytes(offset))
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.bus.memory.write_bytes(OPERAND + offset, bytes);
    }
}

#[test]
fn ten_byte_loads_and_stores_carry_every_bit() {
    let mut m = Machine::new(Mode::Bits64);
    let pattern = [1, 2, 3, 4, 5, 6, 7, 0x48, 0xab, 0x7f];
    m.write(0, &pattern);
    m.steps(&[FLD_M80]);
    m.write(0, &[0; 10]);
    m.steps(&[FSTP_M80]);
    assert_eq!(m.bytes(0), pattern);
    assert_eq!(m.cpu.fpu.valid, 0);
}

#[test]
fn instructions_leave_their_address_opcode_and_operand() {
    let mut m = Machine::new(Mode::Bits64);
    m.steps(&[FLD1, FLD_M80]);
    assert_eq!((m.cpu.fpu.instruction, m.cpu.fpu.operand, m.cpu.fpu.opcode), (CODE, OPERAND, 0x32e));
    m.steps(&[FADDP]);
    assert_eq!((m.cpu.fpu.operand, m.cpu.fpu.opcode), (OPERAND, 0x6c1), "no operand, the last one stays");
    m.steps(&[FNSTENV]);
    assert_eq!(m.cpu.fpu.opcode, 0x6c1, "control instructions leave no trace");
}

#[test]
fn an_unmasked_error_waits_for_the_next_waiting_instruction() {
    let mut m = Machine::new(Mode::Bits64);
    m.cpu.fpu.control = 0x37b;
    m.steps(&[FLD1, FLDZ, FDIVP]);
    assert_eq!(m.cpu.fpu.valid.count_ones(), 2, "no result and no pop");
    assert_eq!(m.step(FWAIT), Err(Fault::MF));
    assert_eq!(m.step(FLD1), Err(Fault::MF));
    m.steps(&[FNCLEX, FWAIT]);
}

#[test]
fn without_ne_the_board_hears_of_an_error_before_the_instruction_runs() {
    let mut m = Machine::new(Mode::Real);
    m.cpu.cr0 -= Cr0::NE;
    m.cpu.fpu.control = 0x37b;
    m.steps(&[FLD1, FLDZ, FDIVP]);
    assert!(!m.cpu.fpu.ferr);
    assert_eq!(m.step(FWAIT), Err(Fault::SUSPEND));
    assert!(m.cpu.fpu.ferr && m.cpu.pending.contains(Pending::ACCESS));
    assert!(m.cpu.fpu.take_error() && !m.cpu.fpu.take_error(), "told once");
    m.steps(&[FWAIT, FNCLEX]);
    assert!(!m.cpu.fpu.ferr);
    m.steps(&[FDIVP]);
    assert_eq!(m.step(FWAIT), Err(Fault::SUSPEND));
    assert!(m.cpu.fpu.take_error(), "the next error");
}

#[test]
fn ignne_lets_the_guest_go_on() {
    let mut m = Machine::new(Mode::Real);
    m.cpu.cr0 -= Cr0::NE;
    m.cpu.fpu.control = 0x37b;
    m.steps(&[FLD1, FLDZ, FDIVP]);
    m.cpu.fpu.ignne = true;
    m.steps(&[FWAIT]);
    assert!(!m.cpu.fpu.ferr);
}

#[test]
fn wait_heeds_ts_only_with_mp() {
    let mut m = Machine::new(Mode::Bits64);
    m.cpu.cr0 |= Cr0::TS;
    m.cpu.refresh();
    m.steps(&[FWAIT]);
    assert_eq!(m.step(FLD1), Err(Fault::NM));
    m.cpu.cr0 |= Cr0::MP;
    assert_eq!(m.step(FWAIT), Err(Fault::NM));
}

#[test]
fn the_16_bit_real_mode_environment_holds_linear_addresses() {
    let mut m = Machine::new(Mode::Real);
    m.cpu.seg[seg::CS].selector = 0x2000;
    m.cpu.seg[seg::DS].selector = 0;
    m.steps(&[FLDZ, FLD1, FLD_M80, FNSTENV]);
    let words: Vec<u16> = (0..7).map(|i| m.word(2 * i)).collect();
    // Registers 5 and 6 and 7: zero (the operand), valid, zero.
    assert_eq!(words[..3], [0x037f, 5 << 11, 0x47ff]);
    // 2000h:1230h is 21230h; the opcode's eleven bits are 32ch, the operand is at 04000h.
    assert_eq!(words[3..], [0x1230, 0x232c, 0x4000, 0]);
}

#[test]
fn saving_initializes_and_restoring_brings_back() {
    for mode in [Mode::Real, Mode::Bits64] {
        let mut m = Machine::new(mode);
        m.steps(&[FLD1, FLDPI, FLDZ]);
        let before = m.cpu.fpu;
        m.steps(&[FNSAVE]);
        assert_eq!((m.cpu.fpu.control, m.cpu.fpu.status_word(), m.cpu.fpu.valid), (0x37f, 0, 0));
        m.steps(&[FRSTOR]);
        assert_eq!(
            (0..8).map(|i| m.cpu.fpu.st(i)).collect::<Vec<_>>(),
            (0..8).map(|i| before.st(i)).collect::<Vec<_>>()
        );
        assert_eq!((m.cpu.fpu.valid, m.cpu.fpu.top), (before.valid, before.top));
        m.steps(&[FNSTENV]);
        assert_eq!(m.cpu.fpu.control & 0x3f, 0x3f);
        m.steps(&[FLDENV]);
        assert_eq!(m.cpu.fpu.valid, before.valid);
    }
}

#[test]
fn fxsave_and_fxrstor_are_inverse() {
    let mut m = Machine::new(Mode::Bits64);
    m.steps(&[FLD1, FLDPI]);
    m.cpu.vec[15].set_xmm(0x1234_5678_9abc_def0_0fed_cba9_8765_4321);
    m.cpu.mxcsr = 0x9fc0;
    let (fpu, vec) = (m.cpu.fpu, m.cpu.vec);
    m.steps(&[FXSAVE64]);
    assert_eq!(m.word(4), 0xc0, "the abridged tags");
    assert_eq!(u32::from_le_bytes(m.bytes(28)), 0xffff, "MXCSR_MASK");
    m.cpu.fpu = Default::default();
    m.cpu.vec = Default::default();
    m.cpu.mxcsr = 0x1f80;
    m.steps(&[FXRSTOR64]);
    assert_eq!((m.cpu.fpu.valid, m.cpu.fpu.st(0), m.cpu.fpu.st(1)), (fpu.valid, fpu.st(0), F80::ONE));
    assert_eq!((m.cpu.vec, m.cpu.mxcsr), (vec, 0x9fc0));
}

#[test]
fn images_must_be_aligned_and_free_of_reserved_bits() {
    let mut m = Machine::new(Mode::Bits64);
    m.cpu.gpr[Slot::RSI.number()] = OPERAND + 8;
    assert_eq!(m.step(FXSAVE64), Err(Fault::GP0));
    m.cpu.gpr[Slot::RSI.number()] = OPERAND + 16;
    assert_eq!(m.step(XSAVE64), Err(Fault::GP0));
    m.cpu.gpr[Slot::RSI.number()] = OPERAND;
    m.write(24, &0x1_0000u32.to_le_bytes());
    assert_eq!(m.step(FXRSTOR64), Err(Fault::GP0));
    m.write(24, &0x1f80u32.to_le_bytes());
    m.write(520, &[1]);
    assert_eq!(m.step(XRSTOR64), Err(Fault::GP0), "XCOMP_BV");
    m.write(520, &[0]);
    m.write(512, &[4]);
    assert_eq!(m.step(XRSTOR64), Err(Fault::GP0), "a component that XCR0 does not have");
}

#[test]
fn xsave_says_what_is_in_use_and_xrstor_initializes_the_rest() {
    let mut m = Machine::new(Mode::Bits64);
    m.cpu.vec[3].set_xmm(7);
    m.steps(&[XSAVE64]);
    assert_eq!(m.bytes::<8>(512), [2, 0, 0, 0, 0, 0, 0, 0]);
    m.steps(&[FLD1]);
    m.cpu.vec[3].set_xmm(9);
    m.steps(&[XRSTOR64]);
    assert_eq!((m.cpu.fpu.valid, m.cpu.vec[3].xmm()), (0, 7));
}

#[test]
fn xsaveopt_leaves_out_what_is_in_its_initial_state() {
    let mut m = Machine::new(Mode::Bits64);
    m.write(0, &[0xaa; 512]);
    m.steps(&[FLD1, XSAVEOPT64]);
    assert_eq!(m.bytes::<8>(512)[0], 1);
    assert_eq!(m.word(0), 0x37f);
    assert_eq!(m.bytes::<2>(160), [0xaa, 0xaa]);
    assert_eq!(u32::from_le_bytes(m.bytes(24)), 0x1f80);
}

#[test]
fn xsave_needs_the_operating_systems_consent() {
    let mut m = Machine::new(Mode::Bits64);
    m.cpu.cr4 -= Cr4::OSXSAVE;
    assert_eq!(m.step(XSAVE64), Err(Fault::UD));
    m.cpu.cr4 |= Cr4::OSXSAVE;
    m.cpu.cr0 |= Cr0::TS;
    m.cpu.refresh();
    assert_eq!(m.step(XRSTOR64), Err(Fault::NM));
}

#[test]
fn mxcsr_refuses_reserved_bits() {
    let mut m = Machine::new(Mode::Bits64);
    m.write(0, &0x9fffu32.to_le_bytes());
    m.steps(&[LDMXCSR]);
    m.write(0, &0x1_9fffu32.to_le_bytes());
    assert_eq!(m.step(LDMXCSR), Err(Fault::GP0));
    m.steps(&[STMXCSR]);
    assert_eq!(u32::from_le_bytes(m.bytes(0)), 0x9fff);
}
