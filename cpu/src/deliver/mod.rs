//! Delivery of exceptions and interrupts (SDM volume 3, chapter 6). Costs no tick.

mod long;
mod protected;
mod real;
#[cfg(test)]
mod tests;

use crate::fault::{Fault, vector};
use crate::state::{Activity, Cr0, Pending, Rflags, Vcpu};
use lockstep_fabric::Bus;

/// DR7.GD: debug-register accesses raise #DB.
pub(crate) const DR7_GENERAL_DETECT: u64 = 1 << 13;

/// Where an event comes from, which decides privilege checks and error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A fault, trap or abort of the processor, or INT1: no privilege check.
    Exception,
    /// An interrupt line.
    External,
    /// INT n.
    Interrupt,
    /// INT3 or INTO: heeds the gate's DPL, but neither IOPL nor the redirection bitmap.
    Trap,
}

/// One delivery.
#[derive(Clone, Copy, Debug)]
struct Event {
    vector: u8,
    error: Option<u16>,
    origin: Origin,
    /// Where the handler returns to.
    ip: u64,
    /// RFLAGS to push.
    image: u64,
}

impl Event {
    /// Whether the gate must be open to the current privilege level.
    fn is_programmed(&self) -> bool {
        matches!(self.origin, Origin::Interrupt | Origin::Trap)
    }
}

/// How exceptions add up (SDM volume 3, table 6-4).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    PageFault,
    DoubleFault,
}

fn class(vector: u8) -> Class {
    match vector {
        vector::DE | vector::TS | vector::NP | vector::SS | vector::GP => Class::Contributory,
        vector::PF => Class::PageFault,
        vector::DF => Class::DoubleFault,
        _ => Class::Benign,
    }
}

/// What a fault met while delivering `first` becomes; `None` is the shutdown of a triple fault.
fn combined(first: u8, second: Fault) -> Option<Fault> {
    let next = class(second.vector().unwrap_or(vector::GP));
    match (class(first), next) {
        (Class::DoubleFault, _) => None,
        (Class::Contributory, Class::Contributory) | (Class::PageFault, Class::Contributory | Class::PageFault) => {
            Some(Fault::with_error(vector::DF, 0))
        }
        _ => Some(second),
    }
}

/// Faults whose pushed image has RF set, so that the restarted instruction does not meet its breakpoint again.
fn sets_resume(vector: u8) -> bool {
    !matches!(vector, vector::DB | vector::NMI | vector::BP | vector::OF | vector::DF | vector::MC)
}

impl Vcpu {
    /// Delivers an exception raised by the instruction at RIP; double and triple faults included.
    pub fn exception(&mut self, bus: &mut Bus, fault: Fault) {
        self.deliver_until_taken(bus, fault);
    }

    /// Delivers an external interrupt or NMI, and wakes a halted vCPU.
    pub fn interrupt(&mut self, bus: &mut Bus, vector: u8) {
        let event = self.event(vector, None, Origin::External, self.ip);
        if let Err(fault) = self.deliver(bus, event) {
            self.deliver_until_taken(bus, fault);
        }
    }

    /// Delivers INT n, INT3, INTO or INT1; `next_ip` is where it returns to. A fault is the instruction's own.
    pub(crate) fn software_interrupt(
        &mut self,
        bus: &mut Bus,
        vector: u8,
        origin: Origin,
        next_ip: u64,
    ) -> Result<(), Fault> {
        let event = self.event(vector, None, origin, next_ip);
        self.deliver(bus, event)?;
        self.pending |= Pending::NO_STEP;
        Ok(())
    }

    fn event(&self, vector: u8, error: Option<u16>, origin: Origin, ip: u64) -> Event {
        Event { vector, error, origin, ip, image: self.flags.get().bits() }
    }

    #[cold]
    fn shut_down(&mut self) {
        self.activity = Activity::Shutdown;
        self.pending |= Pending::STOPPED;
    }

    fn deliver_until_taken(&mut self, bus: &mut Bus, first: Fault) {
        let mut fault = first;
        loop {
            let Some(vector) = fault.vector() else {
                fault = Fault::GP0;
                continue;
            };
            if vector == vector::PF {
                self.cr2 = self.fault_address;
            }
            if vector == vector::DB {
                self.dr[7] &= !DR7_GENERAL_DETECT;
            }
            let mut event = self.event(vector, fault.error(), Origin::Exception, self.ip);
            if sets_resume(vector) {
                event.image |= Rflags::RF.bits();
            }
            let Err(second) = self.deliver(bus, event) else { return };
            if second.vector() == Some(vector::PF) {
                self.cr2 = self.fault_address;
            }
            match combined(vector, second) {
                Some(next) => fault = next,
                None => return self.shut_down(),
            }
        }
    }

    /// Delivers one event. On `Err` nothing has changed, and the fault is what delivering it raised.
    fn deliver(&mut self, bus: &mut Bus, event: Event) -> Result<(), Fault> {
        let delivered = if !self.cr0.contains(Cr0::PE) {
            self.deliver_real(bus, &event)
        } else if self.long_mode() {
            self.deliver_long(bus, &event)
        } else if self.v86() && event.origin == Origin::Interrupt {
            self.deliver_v86(bus, &event)
        } else {
            self.deliver_protected(bus, &event)
        };
        let delivered = delivered.map_err(|fault| if fault == Fault::NOT_CANONICAL { Fault::GP0 } else { fault });
        if event.is_programmed() {
            return delivered;
        }
        delivered.map_err(Fault::external)?;
        self.activity = Activity::Running;
        self.shadow = false;
        Ok(())
    }

    /// RFLAGS as a handler finds them: TF, NT, VM and RF clear, and IF too behind an interrupt gate.
    fn enter_handler(&mut self, interrupt_gate: bool) {
        self.flags.set(Rflags::TF | Rflags::NT | Rflags::VM | Rflags::RF, false);
        if interrupt_gate {
            self.flags.set(Rflags::IF, false);
        }
    }
}
