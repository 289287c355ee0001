//! The target as gdbstub wants it described: QEMU's x86-64.

use gdbstub::arch::{Arch, RegId, Registers};
use lockstep_cpu::{REGISTERS, Register};
use std::num::NonZeroUsize;

/// QEMU's description of the registers, whose order is that of [`REGISTERS`].
pub(super) const REGISTERS_XML: &str = include_str!("i386-64bit.xml");

/// What includes it.
pub(super) const TARGET_XML: &str = "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>\
    <architecture>i386:x86-64</architecture><xi:include href=\"i386-64bit.xml\"/></target>";

/// x86-64.
pub enum X86 {}

impl Arch for X86 {
    type Usize = u64;
    type Registers = AllRegisters;
    type BreakpointKind = usize;
    type RegId = RegisterNumber;
}

/// The values of all registers, one after the other, little-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllRegisters(pub(super) Vec<u8>);

impl Registers for AllRegisters {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        let before = REGISTERS.iter().take_while(|register| register.name != "rip");
        let at = before.map(|register| register.width).sum::<usize>();
        let bytes = self.0.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().for_each(|byte| write_byte(Some(*byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.to_vec();
        Ok(())
    }
}

/// A register by its number in the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterNumber(pub(super) &'static Register);

impl RegId for RegisterNumber {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        let register = REGISTERS.get(id)?;
        Some((Self(register), NonZeroUsize::new(register.width)))
    }
}
