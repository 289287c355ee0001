//! Packed operations on MMX registers.

use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::Op;
use crate::ops::sse::integer::*;
use crate::ops::sse::operand::Lanewise;
use crate::ops::sse::shift::*;
use crate::ops::sse::shuffle::*;
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

type Done = Result<(), Fault>;

/// `op mm, mm`
fn mm_mm<O: Lanewise>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let result = O::apply(cpu.mm(op.dst), cpu.mm(op.src), op.imm as u8);
    cpu.set_mm(op.dst, result);
    Ok(())
}

/// `op mm, m64`; the unpacks of low halves read `m32`.
fn mm_mem<O: Lanewise, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let b: T = cpu.load_operand(bus, op)?;
    let result = O::apply(cpu.mm(op.dst), [b.zero_extend()], op.imm as u8);
    cpu.set_mm(op.dst, result);
    Ok(())
}

/// A shift by the immediate.
fn shift_imm<S: Shift>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Done {
    cpu.wait_for_x87()?;
    let result = S::shift(cpu.mm(op.dst), op.imm & 0xff);
    cpu.set_mm(op.dst, result);
    Ok(())
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    macro_rules! mm_rows {
        ($($op:ty => $code:ident),* $(,)?) => {
            rows.extend([$(Row::new(Code::$code, mm_mm::<$op>, mm_mem::<$op, u64>)),*])
        };
    }
    mm_rows!(
        Paddb => Paddb_mm_mmm64, Paddw => Paddw_mm_mmm64, Paddd => Paddd_mm_mmm64, Paddq => Paddq_mm_mmm64,
        Psubb => Psubb_mm_mmm64, Psubw => Psubw_mm_mmm64, Psubd => Psubd_mm_mmm64, Psubq => Psubq_mm_mmm64,
        Paddsb => Paddsb_mm_mmm64, Paddsw => Paddsw_mm_mmm64, Paddusb => Paddusb_mm_mmm64, Paddusw => Paddusw_mm_mmm64,
        Psubsb => Psubsb_mm_mmm64, Psubsw => Psubsw_mm_mmm64, Psubusb => Psubusb_mm_mmm64, Psubusw => Psubusw_mm_mmm64,
        Pcmpeqb => Pcmpeqb_mm_mmm64, Pcmpeqw => Pcmpeqw_mm_mmm64, Pcmpeqd => Pcmpeqd_mm_mmm64,
        Pcmpgtb => Pcmpgtb_mm_mmm64, Pcmpgtw => Pcmpgtw_mm_mmm64, Pcmpgtd => Pcmpgtd_mm_mmm64,
        Pminub => Pminub_mm_mmm64, Pmaxub => Pmaxub_mm_mmm64, Pminsw => Pminsw_mm_mmm64, Pmaxsw => Pmaxsw_mm_mmm64,
        Pavgb => Pavgb_mm_mmm64, Pavgw => Pavgw_mm_mmm64, Psadbw => Psadbw_mm_mmm64,
        Pmullw => Pmullw_mm_mmm64, Pmulhw => Pmulhw_mm_mmm64, Pmulhuw => Pmulhuw_mm_mmm64,
        Pmuludq => Pmuludq_mm_mmm64, Pmaddwd => Pmaddwd_mm_mmm64,
        Pand => Pand_mm_mmm64, Pandn => Pandn_mm_mmm64, Por => Por_mm_mmm64, Pxor => Pxor_mm_mmm64,
        Packsswb => Packsswb_mm_mmm64, Packuswb => Packuswb_mm_mmm64, Packssdw => Packssdw_mm_mmm64,
        Punpckhbw => Punpckhbw_mm_mmm64, Punpckhwd => Punpckhwd_mm_mmm64, Punpckhdq => Punpckhdq_mm_mmm64,
        Psllw => Psllw_mm_mmm64, Pslld => Pslld_mm_mmm64, Psllq => Psllq_mm_mmm64,
        Psrlw => Psrlw_mm_mmm64, Psrld => Psrld_mm_mmm64, Psrlq => Psrlq_mm_mmm64,
        Psraw => Psraw_mm_mmm64, Psrad => Psrad_mm_mmm64,
        Pshufw => Pshufw_mm_mmm64_imm8,
        Pshufb => Pshufb_mm_mmm64, Palignr => Palignr_mm_mmm64_imm8,
        Phaddw => Phaddw_mm_mmm64, Phaddd => Phaddd_mm_mmm64, Phaddsw => Phaddsw_mm_mmm64,
        Phsubw => Phsubw_mm_mmm64, Phsubd => Phsubd_mm_mmm64, Phsubsw => Phsubsw_mm_mmm64,
        Pmaddubsw => Pmaddubsw_mm_mmm64, Pmulhrsw => Pmulhrsw_mm_mmm64,
        Psignb => Psignb_mm_mmm64, Psignw => Psignw_mm_mmm64, Psignd => Psignd_mm_mmm64,
        Pabsb => Pabsb_mm_mmm64, Pabsw => Pabsw_mm_mmm64, Pabsd => Pabsd_mm_mmm64,
    );
    rows.extend([
        Row::new(Code::Punpcklbw_mm_mmm32, mm_mm::<Punpcklbw>, mm_mem::<Punpcklbw, u32>),
        Row::new(Code::Punpcklwd_mm_mmm32, mm_mm::<Punpcklwd>, mm_mem::<Punpcklwd, u32>),
        Row::new(Code::Punpckldq_mm_mmm32, mm_mm::<Punpckldq>, mm_mem::<Punpckldq, u32>),
        Row::single(Code::Psllw_mm_imm8, shift_imm::<Psllw>),
        Row::single(Code::Pslld_mm_imm8, shift_imm::<Pslld>),
        Row::single(Code::Psllq_mm_imm8, shift_imm::<Psllq>),
        Row::single(Code::Psrlw_mm_imm8, shift_imm::<Psrlw>),
        Row::single(Code::Psrld_mm_imm8, shift_imm::<Psrld>),
        Row::single(Code::Psrlq_mm_imm8, shift_imm::<Psrlq>),
        Row::single(Code::Psraw_mm_imm8, shift_imm::<Psraw>),
        Row::single(Code::Psrad_mm_imm8, shift_imm::<Psrad>),
    ]);
    rows.into_iter().map(|row| row.unit(Unit::Mmx)).collect()
}
