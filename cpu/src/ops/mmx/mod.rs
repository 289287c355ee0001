//! MMX, and SSE's instructions on MMX registers. Operations are those of [`super::sse`], 64 bits wide.
//!
//! Every one but EMMS waits for a pending x87 exception first, then puts the x87 unit into MMX state: TOP zero, all tags
//! valid; a write also sets the register's sign and exponent to ones (SDM volume 3, section 12.2).

mod convert;
mod moves;
mod packed;

use super::sse::lanes::Mm;
use super::x87::deliver_pending;
use crate::fault::Fault;
use crate::op::{Op, Slot};
use crate::state::Vcpu;
use crate::table::{Row, Unit};
use iced_x86::Code;
use lockstep_fabric::Bus;

/// What a write leaves where the x87 unit keeps sign and exponent.
const ALL_ONES: u16 = 0xffff;

impl Vcpu {
    /// Delivers an x87 exception that is pending.
    #[inline(always)]
    fn wait_for_x87(&mut self) -> Result<(), Fault> {
        if self.fpu.error_pending() { deliver_pending(self) } else { Ok(()) }
    }

    /// Into MMX state.
    #[inline(always)]
    fn enter_mmx(&mut self) {
        self.fpu.top = 0;
        self.fpu.valid = 0xff;
    }

    /// An MMX register.
    #[inline(always)]
    fn mm(&self, slot: Slot) -> Mm {
        [self.fpu.significand[slot.number() & 7]]
    }

    /// Replaces an MMX register, entering MMX state.
    #[inline(always)]
    fn set_mm(&mut self, slot: Slot, value: Mm) {
        self.enter_mmx();
        let i = slot.number() & 7;
        self.fpu.significand[i] = value[0];
        self.fpu.sign_exponent[i] = ALL_ONES;
    }
}

fn emms(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.wait_for_x87()?;
    cpu.fpu.top = 0;
    cpu.fpu.valid = 0;
    Ok(())
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![Row::single(Code::Emms, emms).unit(Unit::Mmx)];
    rows.extend(packed::rows());
    rows.extend(moves::rows());
    rows.extend(convert::rows());
    rows
}
