//! Whole instructions: what is implemented, alignment, exceptions, the x87 unit under MMX.

use crate::cpuid::CpuModel;
use crate::decode::lower_block;
use crate::op::Slot;
use crate::state::{Cr0, Cr4, Efer, MXCSR_RESET, Pending, Rflags, Rights, seg};
use crate::table::TABLE;
use crate::{Fault, Vcpu};
use iced_x86::{Code, CpuidFeature, EncodingKind};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Bus, Clock, DeviceId, Memory};

/// Where RSI points.
const OPERAND: u64 = 0x4000;

const ADDPS_MEM: &[u8] = &[0x0f, 0x58, 0x06];
const MOVUPS_LOAD: &[u8] = &[0x0f, 0x10, 0x06];
const MOVAPS_STORE: &[u8] = &[0x0f, 0x29, 0x06];
const MOVSD_LOAD: &[u8] = &[0xf2, 0x0f, 0x10, 0x06];
const PCMPISTRI_MEM: &[u8] = &[0x66, 0x0f, 0x3a, 0x63, 0x06, 0x0c];
const DIVSD: &[u8] = &[0xf2, 0x0f, 0x5e, 0xc1];
const ADDSD: &[u8] = &[0xf2, 0x0f, 0x58, 0xc1];
const ADDPD: &[u8] = &[0x66, 0x0f, 0x58, 0xc1];
const DIVPD: &[u8] = &[0x66, 0x0f, 0x5e, 0xc1];
const MAXSD: &[u8] = &[0xf2, 0x0f, 0x5f, 0xc1];
const CVTSD2SI: &[u8] = &[0xf2, 0x0f, 0x2d, 0xc1];
const CVTTSD2SI: &[u8] = &[0xf2, 0x0f, 0x2c, 0xc1];
const CVTTSD2SI_64: &[u8] = &[0xf2, 0x48, 0x0f, 0x2c, 0xc1];
const ROUNDSD_QUIET: &[u8] = &[0x66, 0x0f, 0x3a, 0x0b, 0xc1, 0x08];
const ROUNDSD_UP: &[u8] = &[0x66, 0x0f, 0x3a, 0x0b, 0xc1, 0x02];
const ROUNDSD_BY_MXCSR: &[u8] = &[0x66, 0x0f, 0x3a, 0x0b, 0xc1, 0x04];
const UCOMISD: &[u8] = &[0x66, 0x0f, 0x2e, 0xc1];
const COMISD: &[u8] = &[0x66, 0x0f, 0x2f, 0xc1];
const PADDB_MM: &[u8] = &[0x0f, 0xfc, 0xc1];
const MOVD_FROM_MM: &[u8] = &[0x0f, 0x7e, 0xc8];
const EMMS: &[u8] = &[0x0f, 0x77];
const CVTPI2PS_MEM: &[u8] = &[0x0f, 0x2a, 0x06];
const MASKMOVDQU_ADDRESS32: &[u8] = &[0x67, 0x66, 0x0f, 0xf7, 0xc1];

const IE: u32 = 1;
const ZE: u32 = 1 << 2;
const PE: u32 = 1 << 5;
const NAN: u64 = 0x7ff8_0000_0000_0000;
const SIGNALLING: u64 = 0x7ff0_0000_0000_0001;

struct Machine {
    cpu: Vcpu,
    bus: Bus,
}

impl Machine {
    fn new() -> Self {
        const LEN: u64 = 0x1_0000;
        let mut memory = Memory::new(LEN).expect("memory");
        let at = memory.allocate(LEN).expect("room");
        let backing = Backing::Ram(at);
        let owner = DeviceId(0);
        memory.add_region(Region {
            owner,
            index: 0,
            base: Some(0),
            len: LEN,
            priority: 0,
            reads: true,
            writes: true,
            backing,
        });
        let mut cpu = Vcpu::new(0, CpuModel::max(), 1);
        cpu.cr0 |= Cr0::NE | Cr0::PE;
        cpu.cr4 |= Cr4::OSFXSR | Cr4::OSXMMEXCPT;
        cpu.efer |= Efer::LMA | Efer::LME;
        cpu.seg[seg::CS].rights.0 |= Rights::LONG;
        cpu.gpr[Slot::RSI.number()] = OPERAND;
        cpu.refresh();
        cpu.pending = Pending::empty();
        Self { cpu, bus: Bus::new(memory, Clock::new(0)) }
    }

    /// With doubles in the low lanes of XMM0 and XMM1.
    fn with(a: f64, b: f64) -> Self {
        let mut m = Self::new();
        m.cpu.vec[0].0 = [a.to_bits(), 0, 0, 0];
        m.cpu.vec[1].0 = [b.to_bits(), 0, 0, 0];
        m
    }

    fn step(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let lowered = lower_block(bytes, self.cpu.mode, &self.cpu.model, 1);
        let op = lowered.ops.first().expect("a whole instruction");
        (op.run)(&mut self.cpu, &mut self.bus, op)
    }

    fn low(&self) -> f64 {
        f64::from_bits(self.cpu.vec[0].0[0])
    }
}

#[test]
fn every_legacy_instruction_up_to_sse42_is_implemented() {
    let wanted = |feature: &CpuidFeature| {
        matches!(
            feature,
            CpuidFeature::MMX
                | CpuidFeature::SSE
                | CpuidFeature::SSE2
                | CpuidFeature::SSE3
                | CpuidFeature::SSSE3
                | CpuidFeature::SSE4_1
                | CpuidFeature::SSE4_2
        )
    };
    // Integer instructions that came with SSE live with their families.
    let elsewhere = ["Prefetch", "Sfence", "Lfence", "Mfence", "Ldmxcsr", "Stmxcsr", "Crc32", "Fisttp"];
    let missing: Vec<_> = Code::values()
        .filter(|code| code.op_code().encoding() == EncodingKind::Legacy)
        .filter(|code| code.cpuid_features().iter().any(wanted))
        .filter(|code| TABLE.row(*code).is_none())
        .filter(|code| !elsewhere.iter().any(|name| format!("{code:?}").starts_with(name)))
        .collect();
    assert!(missing.is_empty(), "no rows: {missing:?}");
}

#[test]
fn a_misaligned_operand_is_a_protection_fault_but_for_the_unaligned_moves_and_strings() {
    let mut m = Machine::new();
    m.cpu.gpr[Slot::RSI.number()] = OPERAND + 8;
    assert_eq!(m.step(ADDPS_MEM), Err(Fault::GP0));
    assert_eq!(m.step(MOVAPS_STORE), Err(Fault::GP0));
    assert_eq!(m.step(MOVUPS_LOAD), Ok(()));
    assert_eq!(m.step(PCMPISTRI_MEM), Ok(()));
}

#[test]
fn scalar_loads_clear_the_rest_of_128_bits_and_leave_what_is_above() {
    let mut m = Machine::new();
    m.cpu.vec[0].0 = [1, 2, 3, 4];
    m.bus.memory.write_bytes(OPERAND, &7u64.to_le_bytes());
    assert_eq!(m.step(MOVSD_LOAD), Ok(()));
    assert_eq!(m.cpu.vec[0].0, [7, 0, 3, 4]);
}

#[test]
fn an_unmasked_exception_leaves_the_destination_and_records_the_flag() {
    let mut m = Machine::with(1.0, 0.0);
    m.cpu.mxcsr = MXCSR_RESET & !(ZE << 7);
    assert_eq!(m.step(DIVSD), Err(Fault::XM));
    assert_eq!((m.low(), m.cpu.mxcsr & 0x3f), (1.0, ZE));
    m.cpu.cr4.remove(Cr4::OSXMMEXCPT);
    assert_eq!(m.step(DIVSD), Err(Fault::UD));
}

#[test]
fn an_unmasked_exception_before_computing_hides_what_rounding_would_raise_in_other_lanes() {
    let mut m = Machine::with(1.0, 0.0);
    m.cpu.vec[0].0[1] = 1f64.to_bits();
    m.cpu.vec[1].0[1] = 3f64.to_bits();
    m.cpu.mxcsr = MXCSR_RESET & !(ZE << 7);
    assert_eq!(m.step(DIVPD), Err(Fault::XM));
    assert_eq!(m.cpu.mxcsr & 0x3f, ZE);
    m.cpu.mxcsr = MXCSR_RESET;
    assert_eq!(m.step(DIVPD), Ok(()));
    assert_eq!(m.cpu.mxcsr & 0x3f, ZE | PE);
}

#[test]
fn the_first_inexact_result_is_recorded_and_later_ones_are_the_same() {
    let mut m = Machine::with(0.1, 0.2);
    assert_eq!(m.step(ADDSD), Ok(()));
    assert_eq!(m.cpu.mxcsr & 0x3f, PE);
    let first = m.low();
    m.cpu.vec[0].0[0] = 0.1f64.to_bits();
    assert_eq!(m.step(ADDPD), Ok(()));
    assert_eq!(m.low(), first);
}

#[test]
fn the_result_is_tiny_or_infinite_with_its_flags_even_when_inexactness_is_on_record() {
    let mut m = Machine::with(f64::MAX, f64::MAX);
    m.cpu.mxcsr |= PE;
    assert_eq!(m.step(ADDSD), Ok(()));
    assert_eq!((m.low(), m.cpu.mxcsr & 0x3f), (f64::INFINITY, 1 << 3 | PE));
    let mut m = Machine::with(f64::MIN_POSITIVE, 3.0);
    m.cpu.mxcsr |= PE;
    assert_eq!(m.step(DIVSD), Ok(()));
    assert_eq!(m.cpu.mxcsr & 0x3f, 1 << 4 | PE);
}

#[test]
fn integers_that_do_not_fit_become_the_indefinite_value() {
    for (x, instruction, result) in [
        (2_147_483_648.0, CVTTSD2SI, 0x8000_0000),
        (-2_147_483_648.9, CVTTSD2SI, 0x8000_0000u64),
        (2_147_483_647.5, CVTSD2SI, 0x8000_0000),
        (f64::NAN, CVTTSD2SI, 0x8000_0000),
        (f64::NAN, CVTTSD2SI_64, 1 << 63),
        (1e19, CVTTSD2SI_64, 1 << 63),
    ] {
        let mut m = Machine::with(0.0, x);
        assert_eq!(m.step(instruction), Ok(()));
        assert_eq!(m.cpu.gpr[0], result, "{x}");
        let fits = x == -2_147_483_648.9;
        assert_eq!(m.cpu.mxcsr & 0x3f, if fits { PE } else { IE }, "{x}");
    }
    let mut m = Machine::with(0.0, 2.5);
    assert_eq!(m.step(CVTSD2SI), Ok(()));
    assert_eq!((m.cpu.gpr[0], m.cpu.mxcsr & 0x3f), (2, PE));
}

#[test]
fn rounding_takes_its_mode_from_the_immediate_or_mxcsr_and_can_be_quiet() {
    let mut m = Machine::with(0.0, 2.5);
    assert_eq!(m.step(ROUNDSD_QUIET), Ok(()));
    assert_eq!((m.low(), m.cpu.mxcsr & 0x3f), (2.0, 0));
    assert_eq!(m.step(ROUNDSD_UP), Ok(()));
    assert_eq!((m.low(), m.cpu.mxcsr & 0x3f), (3.0, PE));
    let mut m = Machine::with(0.0, -0.5);
    m.cpu.mxcsr |= 2 << 13;
    assert_eq!(m.step(ROUNDSD_BY_MXCSR), Ok(()));
    assert_eq!(m.cpu.vec[0].0[0], (-0.0f64).to_bits());
}

#[test]
fn comparisons_set_three_flags_and_clear_three() {
    for (a, b, flags) in [
        (1.0, 2.0, Rflags::CF),
        (2.0, 2.0, Rflags::ZF),
        (3.0, 2.0, Rflags::empty()),
        (f64::from_bits(NAN), 2.0, Rflags::ZF | Rflags::PF | Rflags::CF),
    ] {
        let mut m = Machine::with(a, b);
        m.cpu.flags.put_status(Rflags::OF | Rflags::SF | Rflags::AF);
        assert_eq!(m.step(UCOMISD), Ok(()));
        assert_eq!(m.cpu.flags.get() & Rflags::STATUS, flags, "{a} {b}");
        assert_eq!(m.cpu.mxcsr & IE, 0);
    }
    let mut m = Machine::with(f64::from_bits(NAN), 2.0);
    assert_eq!(m.step(COMISD), Ok(()));
    assert_eq!(m.cpu.mxcsr & IE, IE);
}

#[test]
fn maximum_gives_the_second_operand_for_nans_and_zeros() {
    let mut m = Machine::with(f64::from_bits(NAN), 2.0);
    assert_eq!(m.step(MAXSD), Ok(()));
    assert_eq!(m.low(), 2.0);
    let mut m = Machine::with(2.0, 0.0);
    m.cpu.vec[1].0[0] = SIGNALLING;
    assert_eq!(m.step(MAXSD), Ok(()));
    assert_eq!(m.cpu.vec[0].0[0], SIGNALLING);
    let mut m = Machine::with(0.0, -0.0);
    assert_eq!(m.step(MAXSD), Ok(()));
    assert_eq!(m.cpu.vec[0].0[0], (-0.0f64).to_bits());
}

#[test]
fn mmx_takes_over_the_x87_registers_and_emms_gives_them_back() {
    let mut m = Machine::new();
    m.cpu.fpu.top = 5;
    m.cpu.fpu.valid = 1;
    m.cpu.fpu.significand[..2].copy_from_slice(&[0xff, 1]);
    assert_eq!(m.step(MOVD_FROM_MM), Ok(()));
    assert_eq!((m.cpu.fpu.top, m.cpu.fpu.valid, m.cpu.fpu.sign_exponent[1]), (0, 0xff, 0));
    assert_eq!(m.step(PADDB_MM), Ok(()));
    assert_eq!((m.cpu.fpu.significand[0], m.cpu.fpu.sign_exponent[0]), (0, 0xffff));
    assert_eq!(m.step(EMMS), Ok(()));
    assert_eq!((m.cpu.fpu.top, m.cpu.fpu.valid), (0, 0));
}

#[test]
fn a_pending_x87_exception_comes_before_mmx_but_not_before_conversions_from_memory() {
    let mut m = Machine::new();
    m.cpu.fpu.status = 1 << 7;
    m.cpu.fpu.top = 5;
    assert_eq!(m.step(PADDB_MM), Err(Fault::MF));
    assert_eq!(m.step(EMMS), Err(Fault::MF));
    assert_eq!(m.step(CVTPI2PS_MEM), Ok(()));
    assert_eq!(m.cpu.fpu.top, 5);
}

#[test]
fn masked_stores_write_only_the_chosen_bytes_at_the_address_size() {
    let mut m = Machine::new();
    m.cpu.gpr[Slot::RDI.number()] = 0xffff_ffff_0000_0000 | OPERAND;
    m.cpu.vec[0].0 = [0x0807_0605_0403_0201, 0x100f_0e0d_0c0b_0a09, 0, 0];
    m.cpu.vec[1].0 = [0x80, 0x8000_0000_0000_0000, 0, 0];
    assert_eq!(m.step(MASKMOVDQU_ADDRESS32), Ok(()));
    let mut bytes = [0; 16];
    m.bus.memory.read_bytes(OPERAND, &mut bytes);
    assert_eq!((bytes[0], bytes[15]), (1, 16));
    assert_eq!(bytes[1..15], [0; 14]);
}
