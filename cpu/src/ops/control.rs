//! Near control transfers: JMP, Jcc, CALL, RET, LOOP, JCXZ.

use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::{Op, Slot};
use crate::state::{Vcpu, seg};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

impl Vcpu {
    /// The instruction pointer after this instruction.
    #[inline(always)]
    pub(crate) fn next_ip(&self, op: &Op) -> u64 {
        self.gpr[Slot::Ip.number()].wrapping_add(op.next.into())
    }

    /// Checks an offset in the code segment, `T` wide, as the target of a branch.
    #[inline(always)]
    fn checked_target<T: Int>(&self, target: u64) -> Result<u64, Fault> {
        let target = T::truncate(target).zero_extend();
        if T::BITS == 64 {
            // Canonical for 48 bits is canonical for 57.
            let near = (target as i64 >> 47).wrapping_add(1) as u64 <= 1;
            if !near && !self.canonical(target) {
                return Err(Fault::GP0);
            }
        } else if target > u64::from(self.seg[seg::CS].limit) && !self.code64() {
            return Err(Fault::GP0);
        }
        Ok(target)
    }

    /// Goes to an offset in the code segment, `T` wide. Faults if it is outside of it.
    #[inline(always)]
    pub(crate) fn jump<T: Int>(&mut self, target: u64) -> Result<(), Fault> {
        self.ip = self.checked_target::<T>(target)?;
        Ok(())
    }

    /// The target of a near relative branch.
    #[inline(always)]
    pub(crate) fn branch_target(&self, op: &Op) -> u64 {
        self.gpr[Slot::Ip.number()].wrapping_add(op.imm)
    }

    /// The target of a near relative branch, checked against the segment's limit. In 64-bit code it is the fetch that faults.
    #[inline(always)]
    fn relative_target<T: Int>(&self, op: &Op) -> Result<u64, Fault> {
        if T::BITS == 64 { Ok(self.branch_target(op)) } else { self.checked_target::<T>(self.branch_target(op)) }
    }
}

fn jmp<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.ip = cpu.relative_target::<T>(op)?;
    Ok(())
}

fn jcc<T: Int, const CC: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    if cpu.flags.condition::<CC>() {
        cpu.ip = cpu.relative_target::<T>(op)?;
        return Err(Fault::TAKEN);
    }
    Ok(())
}

fn jmp_reg<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.jump::<T>(cpu.gpr[op.dst.number()])
}

fn jmp_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let target: T = cpu.load_operand(bus, op)?;
    cpu.jump::<T>(target.zero_extend())
}

/// Pushes the return address, then goes to a target that was checked.
#[inline(always)]
fn call_to<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, target: u64) -> Result<(), Fault> {
    let back = cpu.next_ip(op);
    if T::BITS == 64 {
        cpu.push64(bus, back)?;
    } else {
        cpu.push(bus, T::truncate(back))?;
    }
    cpu.ip = target;
    Ok(())
}

fn call<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let target = cpu.relative_target::<T>(op)?;
    call_to::<T>(cpu, bus, op, target)
}

fn call_reg<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let target = cpu.checked_target::<T>(cpu.gpr[op.dst.number()])?;
    call_to::<T>(cpu, bus, op, target)
}

fn call_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let target: T = cpu.load_operand(bus, op)?;
    let target = cpu.checked_target::<T>(target.zero_extend())?;
    call_to::<T>(cpu, bus, op, target)
}

/// RET, releasing `op.imm` bytes more (zero where the instruction has no immediate).
fn ret<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    if T::BITS == 64 {
        let target = cpu.peek64(bus)?;
        cpu.ip = cpu.checked_target::<T>(target)?;
        let rsp = &mut cpu.gpr[Slot::RSP.number()];
        *rsp = rsp.wrapping_add(8).wrapping_add(op.imm);
        return Ok(());
    }
    let target: T = cpu.peek(bus, 0)?;
    cpu.ip = cpu.checked_target::<T>(target.zero_extend())?;
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(T::BYTES).wrapping_add(op.imm));
    Ok(())
}

/// LOOP counts down in `C` and ignores ZF.
const ALWAYS: u8 = 0;
/// LOOPE.
const IF_ZERO: u8 = 1;
/// LOOPNE.
const IF_NOT_ZERO: u8 = 2;

fn loop_while<T: Int, C: Int, const WHEN: u8>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let count = C::truncate(cpu.gpr[Slot::RCX.number()].wrapping_sub(1));
    let zero = cpu.flags.zf();
    let wanted = WHEN == ALWAYS || zero == (WHEN == IF_ZERO);
    if wanted && count.zero_extend() != 0 {
        cpu.ip = cpu.relative_target::<T>(op)?;
    }
    cpu.write_gpr(Slot::RCX, 0, count);
    Ok(())
}

fn jcxz<T: Int, C: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    if cpu.read_gpr::<C>(Slot::RCX, 0).zero_extend() == 0 {
        cpu.ip = cpu.relative_target::<T>(op)?;
    }
    Ok(())
}

macro_rules! jcc_rows {
    ($($cc:literal $rel8_16:ident $rel8_32:ident $rel8_64:ident $rel16:ident $rel32_32:ident $rel32_64:ident;)*) => {
        [$(
            Row::single(Code::$rel8_16, jcc::<u16, $cc>),
            Row::single(Code::$rel8_32, jcc::<u32, $cc>),
            Row::single(Code::$rel8_64, jcc::<u64, $cc>),
            Row::single(Code::$rel16, jcc::<u16, $cc>),
            Row::single(Code::$rel32_32, jcc::<u32, $cc>),
            Row::single(Code::$rel32_64, jcc::<u64, $cc>),
        )*]
    };
}

macro_rules! loop_rows {
    ($rows:ident, $when:ident; $($code:ident: $t:ty, $c:ty;)*) => {
        $rows.extend([$(Row::single(Code::$code, loop_while::<$t, $c, $when>).ends()),*]);
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
        Row::new(Code::Jmp_rm16, jmp_reg::<u16>, jmp_mem::<u16>).ends(),
        Row::new(Code::Jmp_rm32, jmp_reg::<u32>, jmp_mem::<u32>).ends(),
        Row::new(Code::Jmp_rm64, jmp_reg::<u64>, jmp_mem::<u64>).ends(),
        Row::single(Code::Call_rel16, call::<u16>).ends(),
        Row::single(Code::Call_rel32_32, call::<u32>).ends(),
        Row::single(Code::Call_rel32_64, call::<u64>).ends(),
        Row::new(Code::Call_rm16, call_reg::<u16>, call_mem::<u16>).ends(),
        Row::new(Code::Call_rm32, call_reg::<u32>, call_mem::<u32>).ends(),
        Row::new(Code::Call_rm64, call_reg::<u64>, call_mem::<u64>).ends(),
        Row::single(Code::Retnw, ret::<u16>).ends(),
        Row::single(Code::Retnd, ret::<u32>).ends(),
        Row::single(Code::Retnq, ret::<u64>).ends(),
        Row::single(Code::Retnw_imm16, ret::<u16>).ends(),
        Row::single(Code::Retnd_imm16, ret::<u32>).ends(),
        Row::single(Code::Retnq_imm16, ret::<u64>).ends(),
        Row::single(Code::Jcxz_rel8_16, jcxz::<u16, u16>).ends(),
        Row::single(Code::Jcxz_rel8_32, jcxz::<u32, u16>).ends(),
        Row::single(Code::Jecxz_rel8_16, jcxz::<u16, u32>).ends(),
        Row::single(Code::Jecxz_rel8_32, jcxz::<u32, u32>).ends(),
        Row::single(Code::Jecxz_rel8_64, jcxz::<u64, u32>).ends(),
        Row::single(Code::Jrcxz_rel8_16, jcxz::<u16, u64>).ends(),
        Row::single(Code::Jrcxz_rel8_64, jcxz::<u64, u64>).ends(),
    ];
    rows.extend(jcc_rows!(
        0 Jo_rel8_16 Jo_rel8_32 Jo_rel8_64 Jo_rel16 Jo_rel32_32 Jo_rel32_64;
        1 Jno_rel8_16 Jno_rel8_32 Jno_rel8_64 Jno_rel16 Jno_rel32_32 Jno_rel32_64;
        2 Jb_rel8_16 Jb_rel8_32 Jb_rel8_64 Jb_rel16 Jb_rel32_32 Jb_rel32_64;
        3 Jae_rel8_16 Jae_rel8_32 Jae_rel8_64 Jae_rel16 Jae_rel32_32 Jae_rel32_64;
        4 Je_rel8_16 Je_rel8_32 Je_rel8_64 Je_rel16 Je_rel32_32 Je_rel32_64;
        5 Jne_rel8_16 Jne_rel8_32 Jne_rel8_64 Jne_rel16 Jne_rel32_32 Jne_rel32_64;
        6 Jbe_rel8_16 Jbe_rel8_32 Jbe_rel8_64 Jbe_rel16 Jbe_rel32_32 Jbe_rel32_64;
        7 Ja_rel8_16 Ja_rel8_32 Ja_rel8_64 Ja_rel16 Ja_rel32_32 Ja_rel32_64;
        8 Js_rel8_16 Js_rel8_32 Js_rel8_64 Js_rel16 Js_rel32_32 Js_rel32_64;
        9 Jns_rel8_16 Jns_rel8_32 Jns_rel8_64 Jns_rel16 Jns_rel32_32 Jns_rel32_64;
        10 Jp_rel8_16 Jp_rel8_32 Jp_rel8_64 Jp_rel16 Jp_rel32_32 Jp_rel32_64;
        11 Jnp_rel8_16 Jnp_rel8_32 Jnp_rel8_64 Jnp_rel16 Jnp_rel32_32 Jnp_rel32_64;
        12 Jl_rel8_16 Jl_rel8_32 Jl_rel8_64 Jl_rel16 Jl_rel32_32 Jl_rel32_64;
        13 Jge_rel8_16 Jge_rel8_32 Jge_rel8_64 Jge_rel16 Jge_rel32_32 Jge_rel32_64;
        14 Jle_rel8_16 Jle_rel8_32 Jle_rel8_64 Jle_rel16 Jle_rel32_32 Jle_rel32_64;
        15 Jg_rel8_16 Jg_rel8_32 Jg_rel8_64 Jg_rel16 Jg_rel32_32 Jg_rel32_64;
    ));
    loop_rows!(rows, ALWAYS; Loop_rel8_16_CX: u16, u16; Loop_rel8_32_CX: u32, u16; Loop_rel8_16_ECX: u16, u32;
        Loop_rel8_32_ECX: u32, u32; Loop_rel8_64_ECX: u64, u32; Loop_rel8_16_RCX: u16, u64; Loop_rel8_64_RCX: u64, u64;);
    loop_rows!(rows, IF_ZERO; Loope_rel8_16_CX: u16, u16; Loope_rel8_32_CX: u32, u16; Loope_rel8_16_ECX: u16, u32;
        Loope_rel8_32_ECX: u32, u32; Loope_rel8_64_ECX: u64, u32; Loope_rel8_16_RCX: u16, u64; Loope_rel8_64_RCX: u64, u64;);
    loop_rows!(rows, IF_NOT_ZERO; Loopne_rel8_16_CX: u16, u16; Loopne_rel8_32_CX: u32, u16; Loopne_rel8_16_ECX: u16, u32;
        Loopne_rel8_32_ECX: u32, u32; Loopne_rel8_64_ECX: u64, u32; Loopne_rel8_16_RCX: u16, u64; Loopne_rel8_64_RCX: u64, u64;);
    rows
}
