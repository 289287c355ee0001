//! Near control transfers: JMP, Jcc, CALL, RET, LOOP, JCXZ.

use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::{Op, Slot};
use crate::state::Vcpu;
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

impl Vcpu {
    /// The instruction pointer after this instruction.
    #[inline(always)]
    pub(crate) fn next_ip(&self, op: &Op) -> u64 {
        self.gpr[Slot::Ip.number()].wrapping_add(op.next.into())
    }

    /// Goes to an offset in the code segment, `T` wide. Faults if it is outside of it.
    #[inline(always)]
    pub(crate) fn jump<T: Int>(&mut self, target: u64) -> Result<(), Fault> {
        let target = T::truncate(target).zero_extend();
        if T::BITS == 64 {
            if !self.canonical(target) {
                return Err(Fault::GP0);
            }
        } else if target > u64::from(self.seg[crate::state::seg::CS].limit) && !self.code64() {
            return Err(Fault::GP0);
        }
        self.ip = target;
        Ok(())
    }

    /// The target of a near relative branch.
    #[inline(always)]
    pub(crate) fn branch_target(&self, op: &Op) -> u64 {
        self.gpr[Slot::Ip.number()].wrapping_add(op.imm)
    }
}

fn jmp<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.jump::<T>(cpu.branch_target(op))
}

fn jcc<T: Int, const CC: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    if cpu.flags.condition::<CC>() { cpu.jump::<T>(cpu.branch_target(op)) } else { Ok(()) }
}

macro_rules! jcc_rows {
    ($($cc:literal $rel8_16:ident $rel8_32:ident $rel8_64:ident $rel16:ident $rel32_32:ident $rel32_64:ident;)*) => {
        [$(
            Row::single(Code::$rel8_16, jcc::<u16, $cc>).ends(),
            Row::single(Code::$rel8_32, jcc::<u32, $cc>).ends(),
            Row::single(Code::$rel8_64, jcc::<u64, $cc>).ends(),
            Row::single(Code::$rel16, jcc::<u16, $cc>).ends(),
            Row::single(Code::$rel32_32, jcc::<u32, $cc>).ends(),
            Row::single(Code::$rel32_64, jcc::<u64, $cc>).ends(),
        )*]
    };
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::single(Code::Jmp_rel8_16, jmp::<u16>).ends(),
        Row::single(Code::Jmp_rel8_32, jmp::<u32>).ends(),
        Row::single(Code::Jmp_rel8_64, jmp::<u64>).ends(),
        Row::single(Code::Jmp_rel16, jmp::<u16>).ends(),
        Row::single(Code::Jmp_rel32_32, jmp::<u32>).ends(),
        Row::single(Code::Jmp_rel32_64, jmp::<u64>).ends(),
    ];
    rows.extend(jcc_rows!(
        4 Je_rel8_16 Je_rel8_32 Je_rel8_64 Je_rel16 Je_rel32_32 Je_rel32_64;
        5 Jne_rel8_16 Jne_rel8_32 Jne_rel8_64 Jne_rel16 Jne_rel32_32 Jne_rel32_64;
    ));
    rows
}
