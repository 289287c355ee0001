//! One row for each instruction: the single truth that the interpreter, translated code and the differential tests share.

use crate::op::Handler;
use crate::ops;
use crate::state::Rflags;
use iced_x86::Code;
use std::sync::LazyLock;

/// Which instruction set must be enabled for the instruction not to fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Always usable.
    Integer,
    /// x87 (and FXSAVE-like): #NM with CR0.EM or CR0.TS.
    X87,
    /// MMX: #UD with CR0.EM, #NM with CR0.TS.
    Mmx,
    /// SSE: #UD with CR0.EM or without CR4.OSFXSR, #NM with CR0.TS.
    Sse,
}

/// Where an instruction can be tried against the host's CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// In user mode, from random states.
    User,
    /// Nowhere but here: privileged, or its result depends on the platform.
    None,
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// iced's name for the encoding.
    pub code: Code,
    /// Runs it with a register (or no) r/m operand.
    pub reg: Handler,
    /// Runs it with a memory operand.
    pub mem: Handler,
    /// What must be enabled.
    pub unit: Unit,
    /// Where it can be tried.
    pub trial: Trial,
    /// Status flags that the manual leaves undefined (tests mask them; here they have one fixed value).
    pub undefined: Rflags,
    /// Nothing after it belongs to its block: it changes RIP, the mode, or what interrupts depend on, or is a REP loop.
    pub ends: bool,
    /// It ends its block only with a REP prefix, which makes it a loop.
    pub repeats: bool,
    /// Where its feature is not announced it is a NOP instead of undefined.
    pub hint: bool,
}

impl Row {
    /// An integer instruction with a handler for each form of its r/m operand.
    pub const fn new(code: Code, reg: Handler, mem: Handler) -> Self {
        Self {
            code,
            reg,
            mem,
            unit: Unit::Integer,
            trial: Trial::User,
            undefined: Rflags::empty(),
            ends: false,
            repeats: false,
            hint: false,
        }
    }

    /// An instruction whose one handler serves every form.
    pub const fn single(code: Code, handler: Handler) -> Self {
        Self::new(code, handler, handler)
    }

    /// Ends its block.
    #[must_use]
    pub const fn ends(mut self) -> Self {
        self.ends = true;
        self
    }

    /// Is a loop with a REP prefix.
    #[must_use]
    pub const fn repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// Is a NOP where its feature is not announced.
    #[must_use]
    pub const fn hint(mut self) -> Self {
        self.hint = true;
        self
    }

    /// Leaves these status flags undefined.
    #[must_use]
    pub const fn undefined(mut self, flags: Rflags) -> Self {
        self.undefined = flags;
        self
    }

    /// Needs this unit.
    #[must_use]
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Cannot be tried in user mode on the host.
    #[must_use]
    pub const fn system(mut self) -> Self {
        self.trial = Trial::None;
        self
    }
}

/// All rows, and where each code's is.
pub struct Table {
    rows: Vec<Row>,
    index: Vec<u16>,
}

const NO_ROW: u16 = u16::MAX;

impl Table {
    fn build() -> Self {
        let rows = ops::rows();
        let mut index = vec![NO_ROW; iced_x86::Code::values().len()];
        for (i, row) in rows.iter().enumerate() {
            index[row.code as usize] = i as u16;
        }
        Self { rows, index }
    }

    /// The row of a code, if the instruction is implemented.
    #[inline]
    pub fn row(&self, code: Code) -> Option<&Row> {
        self.rows.get(usize::from(*self.index.get(code as usize)?))
    }

    /// Every row.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// The table.
pub static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_instruction_has_two_rows() {
        let mut codes: Vec<_> = TABLE.rows().iter().map(|r| r.code as usize).collect();
        codes.sort_unstable();
        let twice: Vec<_> = codes.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
        assert!(twice.is_empty(), "codes with two rows: {twice:?}");
    }
}
