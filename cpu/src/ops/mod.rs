//! Instructions by family: handlers, and the rows that name them.
//!
//! A handler changes nothing that the guest can see before the last thing in it that can fault. Memory goes through
//! [`Vcpu::load_operand`](crate::Vcpu::load_operand), `store_operand`, `update_operand`, `push`, `pop`; branches set `Vcpu::ip`.

mod arith;
mod bcd;
mod bits;
mod control;
mod control_registers;
mod exchange;
mod far;
mod flag;
mod fused;
mod interrupt;
mod io;
mod logic;
mod machine;
mod mmx;
mod multiply;
mod operand;
mod paired;
mod registers;
mod segment;
mod shift;
mod sse;
mod stack;
mod string;
mod transfer;
mod x87;
mod xsave;

pub(crate) use fused::fused;
pub(crate) use paired::{Part, paired};

use crate::table::Row;

/// Every row of every family.
pub(crate) fn rows() -> Vec<Row> {
    [
        arith::rows(),
        bcd::rows(),
        bits::rows(),
        control::rows(),
        control_registers::rows(),
        exchange::rows(),
        far::rows(),
        flag::rows(),
        interrupt::rows(),
        io::rows(),
        logic::rows(),
        machine::rows(),
        mmx::rows(),
        multiply::rows(),
        segment::rows(),
        shift::rows(),
        sse::rows(),
        stack::rows(),
        string::rows(),
        transfer::rows(),
        x87::rows(),
        xsave::rows(),
    ]
    .concat()
}
