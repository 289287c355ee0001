//! DAA, DAS, AAA, AAS, AAM, AAD, SALC.
//!
//! Undefined flags: OF is clear, and so are CF and AF after AAM and AAD; AAA and AAS set ZF, SF and PF by AL.

use crate::fault::Fault;
use crate::op::{Op, Slot};
use crate::state::{Rflags, Vcpu};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

fn al(cpu: &Vcpu) -> u8 {
    cpu.read_gpr(Slot::RAX, 0)
}

/// Writes AL and sets ZF, SF and PF by it, CF and AF as given.
fn adjusted(cpu: &mut Vcpu, al: u8, carry: bool, adjust: bool) {
    cpu.write_gpr(Slot::RAX, 0, al);
    cpu.flags.after_logic::<8>(al.into());
    cpu.flags.set_carry_overflow(carry, false);
    cpu.flags.set_adjust(adjust);
}

/// DAA and DAS: a digit's excess of six is added or taken off.
fn decimal<const ADD: bool>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let before = al(cpu);
    let step = |value: u8, by: u8| if ADD { value.overflowing_add(by) } else { value.overflowing_sub(by) };
    let (mut value, mut carry) = (before, false);
    let adjust = before & 15 > 9 || cpu.flags.af();
    let old_carry = cpu.flags.cf();
    if adjust {
        let (sum, over) = step(value, 6);
        value = sum;
        carry = old_carry || over;
    }
    if before > 0x99 || old_carry {
        value = step(value, 0x60).0;
        carry = true;
    }
    adjusted(cpu, value, carry, adjust);
    Ok(())
}

/// AAA and AAS: AL becomes one digit, AH takes the carry.
fn ascii<const ADD: bool>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let adjust = al(cpu) & 15 > 9 || cpu.flags.af();
    let mut ax: u16 = cpu.read_gpr(Slot::RAX, 0);
    if adjust {
        ax = if ADD { ax.wrapping_add(0x106) } else { ax.wrapping_sub(0x106) };
    }
    cpu.write_gpr(Slot::RAX, 0, ax);
    adjusted(cpu, ax as u8 & 15, adjust, adjust);
    Ok(())
}

fn aam(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let base = op.imm as u8;
    let value = al(cpu);
    let high = value.checked_div(base).ok_or(Fault::DE)?;
    cpu.write_gpr(Slot::RAX, 8, high);
    adjusted(cpu, value % base, false, false);
    Ok(())
}

fn aad(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let high: u8 = cpu.read_gpr(Slot::RAX, 8);
    let value = al(cpu).wrapping_add(high.wrapping_mul(op.imm as u8));
    cpu.write_gpr(Slot::RAX, 8, 0u8);
    adjusted(cpu, value, false, false);
    Ok(())
}

fn salc(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let value: u8 = if cpu.flags.cf() { 0xff } else { 0 };
    cpu.write_gpr(Slot::RAX, 0, value);
    Ok(())
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    const OF: Rflags = Rflags::OF;
    const OF_SF_ZF_PF: Rflags = OF.union(Rflags::SF).union(Rflags::ZF).union(Rflags::PF);
    const OF_AF_CF: Rflags = OF.union(Rflags::AF).union(Rflags::CF);
    vec![
        Row::single(Code::Daa, decimal::<true>).undefined(OF),
        Row::single(Code::Das, decimal::<false>).undefined(OF),
        Row::single(Code::Aaa, ascii::<true>).undefined(OF_SF_ZF_PF),
        Row::single(Code::Aas, ascii::<false>).undefined(OF_SF_ZF_PF),
        Row::single(Code::Aam_imm8, aam).undefined(OF_AF_CF),
        Row::single(Code::Aad_imm8, aad).undefined(OF_AF_CF),
        Row::single(Code::Salc, salc),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpuid::CpuModel;

    #[test]
    fn packed_decimal_sums_and_differences_come_out_decimal() {
        let mut cpu = Vcpu::new(0, CpuModel::max(), 0);
        let packed = |n: u64| ((n / 10) << 4) | (n % 10);
        for a in 0..100 {
            for b in 0..100 {
                let sum = packed(a) + packed(b);
                cpu.flags.after_add::<8>(packed(a), packed(b), sum & 0xff);
                cpu.write_gpr(Slot::RAX, 0, sum as u8);
                run(&mut cpu, decimal::<true>);
                assert_eq!((u64::from(al(&cpu)), cpu.flags.cf()), (packed((a + b) % 100), a + b > 99));
                let difference = packed(a).wrapping_sub(packed(b)) & 0xff;
                cpu.flags.after_sub::<8>(packed(a), packed(b), difference);
                cpu.write_gpr(Slot::RAX, 0, difference as u8);
                run(&mut cpu, decimal::<false>);
                assert_eq!((u64::from(al(&cpu)), cpu.flags.cf()), (packed((a + 100 - b) % 100), a < b));
            }
        }
    }

    fn run(cpu: &mut Vcpu, handler: crate::op::Handler) {
        let memory = lockstep_fabric::Memory::new(0x1000).unwrap();
        let mut bus = Bus::new(memory, lockstep_fabric::Clock::new(0));
        let mode = crate::state::CodeMode::default();
        let op = crate::decode::lower_block(&[0x27], mode, &CpuModel::max(), 1).ops.remove(0);
        handler(cpu, &mut bus, &op).unwrap();
    }
}
