//! The translator on hosts that have none: there never is one.

use crate::decode::Key;
use crate::fault::Fault;
use crate::state::Vcpu;
use lockstep_fabric::Bus;
use std::convert::Infallible;

/// What translated code would work with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context;

/// No code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code(Infallible);

/// No translator.
pub(crate) struct Jit(Infallible);

impl Jit {
    pub(crate) fn new() -> Option<Self> {
        None
    }

    pub(crate) fn set_patience(&mut self, _: u8) {}

    pub(crate) fn find(&mut self, _: Key) -> Option<Code> {
        None
    }

    pub(crate) fn warm(&mut self, _: Key, _: &Vcpu, _: &Bus, _: u16) -> bool {
        false
    }

    pub(crate) fn run(&mut self, code: Code, _: &mut Vcpu, _: &mut Bus) -> Result<(), Fault> {
        match code.0 {}
    }

    pub(crate) fn drop_page(&mut self, _: u64) {}

    pub(crate) fn clear(&mut self) {}
}
