//! SSE4.1's odd ones: MPSADBW, PHMINPOSUW, PTEST.

use super::lanes::{Xmm, build, get};
use super::operand::{Lanewise, vectorwise, xmm_m128, xmm_rows, xmm_xmm};
use crate::fault::Fault;
use crate::op::Op;
use crate::state::{Rflags, Vcpu};
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

vectorwise! {
    /// Eight sums of four absolute differences: bytes of `a` from 4 * imm[2] on, sliding, against four of `b` at 4 * imm[1:0].
    Mpsadbw: |N, a, b, imm| build::<u16, N>(|i| {
        let (start, block) = (usize::from(imm & 4), usize::from(imm & 3) * 4);
        (0..4).map(|j| u16::from(get::<u8, N>(a, start + i + j).abs_diff(get::<u8, N>(b, block + j)))).sum()
    });
    /// The least word, and in the next lane the lowest position where it stands.
    Phminposuw: |N, a, b, imm| {
        let least = (0..8u64).map(|i| u64::from(get::<u16, N>(b, i as usize)) | i << 16).min_by_key(|found| found & 0xffff);
        build::<u64, N>(|i| if i == 0 { least.unwrap_or(0) } else { 0 })
    };
}

fn test(cpu: &mut Vcpu, a: Xmm, b: Xmm) {
    let zero = a[0] & b[0] | a[1] & b[1];
    let carry = !a[0] & b[0] | !a[1] & b[1];
    let flag = |on: bool, flag: Rflags| if on { flag } else { Rflags::empty() };
    cpu.flags.put_status(flag(zero == 0, Rflags::ZF) | flag(carry == 0, Rflags::CF));
}

fn ptest_reg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    test(cpu, cpu.xmm(op.dst), cpu.xmm(op.src));
    Ok(())
}

fn ptest_mem(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let b = cpu.load_xmm(bus, op)?;
    test(cpu, cpu.xmm(op.dst), b);
    Ok(())
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![Row::new(Code::Ptest_xmm_xmmm128, ptest_reg, ptest_mem).unit(Unit::Sse)];
    xmm_rows!(rows: Mpsadbw => Mpsadbw_xmm_xmmm128_imm8, Phminposuw => Phminposuw_xmm_xmmm128);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phminposuw_finds_the_first_of_equals() {
        let v = [0x0005_0003_0007_0009, 0x0003_0004_0008_0003];
        assert_eq!(Phminposuw::apply([0; 2], v, 0), [0x0002_0003, 0]);
    }

    #[test]
    fn mpsadbw_slides_over_the_first_operand() {
        let a = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        assert_eq!(Mpsadbw::apply(a, [0; 2], 0), [0x0012_000e_000a_0006, 0x0022_001e_001a_0016]);
        assert_eq!(Mpsadbw::apply(a, a, 5)[0], 0x000c_0008_0004_0000);
    }
}
