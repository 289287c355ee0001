//! Floating-point instructions. Each tries the host's own arithmetic first: where the result is an ordinary number and no
//! flag can change, IEEE 754 leaves one answer. Everything else goes to [`crate::float`].

mod approximate;
mod arithmetic;
mod compare;
pub(in crate::ops) mod convert;
mod dot;
mod integral;
mod real;

use crate::fault::Fault;
use crate::float::{Env, Flags};
use crate::state::{Cr4, Vcpu};
use crate::table::Row;

/// MXCSR's rounding control, exception masks, and the sticky precision flag.
const RC: u32 = 3 << 13;
const MASKS: u32 = 0x3f << 7;
const PM: u32 = 1 << 12;
const PE: u32 = 1 << 5;

impl Vcpu {
    /// Whether a rounded, ordinary result changes nothing in MXCSR: nearest, all masked, inexactness already on record.
    #[inline(always)]
    fn rounds_plainly(&self) -> bool {
        self.mxcsr & (RC | MASKS | PE) == MASKS | PE
    }

    /// Whether inexactness is masked and already on record.
    #[inline(always)]
    fn inexact_on_record(&self) -> bool {
        self.mxcsr & (PM | PE) == PM | PE
    }

    /// The environment of an operation.
    pub(crate) fn sse_env(&self) -> Env {
        Env::from_mxcsr(self.mxcsr)
    }

    /// Records what the operation raised; faults if some of it is not masked, and then the destination must stay.
    ///
    /// Exceptions found before anything is computed keep all lanes from being computed (SDM volume 1, section 11.5.3), so
    /// that what rounding would have raised is not on record then.
    pub(crate) fn settle(&mut self, env: &Env) -> Result<(), Fault> {
        let unmasked = env.unmasked();
        let mut raised = env.raised() & Flags::EXCEPTIONS;
        if unmasked.intersects(Flags::BEFORE) {
            raised &= Flags::BEFORE;
        }
        self.mxcsr |= raised.bits();
        if unmasked.is_empty() {
            Ok(())
        } else if self.cr4.contains(Cr4::OSXMMEXCPT) {
            Err(Fault::XM)
        } else {
            Err(Fault::UD)
        }
    }
}

/// The family's rows.
pub(super) fn rows() -> Vec<Row> {
    [approximate::rows(), arithmetic::rows(), compare::rows(), convert::rows(), dot::rows(), integral::rows()].concat()
}
