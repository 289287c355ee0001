//! The gate: everything that comes from outside enters here, stamped with the tick at which it took effect.

use crate::actions::{PanicAction, WatchdogAction};
use crate::clock::{NEVER, Tick};
use crate::device::{Cpu, DeviceId, Input, Width};
use crate::throttle::ThrottleLimits;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What can come from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outside {
    /// Something for one device.
    Input {
        /// Whom it reaches.
        device: DeviceId,
        /// What it is.
        input: Input,
    },
    /// The operator resets the machine.
    Reset,
    /// The operator takes the medium out of a drive, or puts another one in.
    Medium {
        /// The device that the drive is attached to.
        device: DeviceId,
        /// The drive, as that device numbers it.
        drive: u8,
        /// What is put in, in the words of whoever opens it; nothing if the drive is left empty.
        image: Option<String>,
    },
    /// The operator makes the medium in a drive longer or shorter.
    Resize {
        /// The device that the drive is attached to.
        device: DeviceId,
        /// The drive, as that device numbers it.
        drive: u8,
        /// Its length in bytes from now on.
        bytes: u64,
    },
    /// The operator says how fast a group of drives may be; its drives start with a clean slate.
    Throttle {
        /// The group.
        group: String,
        /// What its drives may do together.
        limits: ThrottleLimits,
    },
    /// The operator puts a drive into a group of throttled drives, or takes it out of its group.
    ThrottleDrive {
        /// The device that the drive is attached to.
        device: DeviceId,
        /// The drive, as that device numbers it.
        drive: u8,
        /// The group; nothing: none.
        group: Option<String>,
    },
    /// The operator plugs a device into a slot, in the words of whoever makes it.
    Plug {
        /// The device and its place.
        device: String,
    },
    /// The operator sends every vCPU a non-maskable interrupt.
    Nmi,
    /// The operator wakes a machine that is asleep.
    Wake,
    /// The operator chooses what the machine does when a watchdog bites.
    WatchdogAction(WatchdogAction),
    /// The operator chooses what the machine does when the guest says that it has panicked.
    PanicAction(PanicAction),
    /// The operator reads an I/O port: that alone can change a device.
    PortRead {
        /// The port.
        port: u16,
        /// Width of the access.
        width: Width,
    },
    /// The operator writes an I/O port.
    PortWrite {
        /// The port.
        port: u16,
        /// Width of the access.
        width: Width,
        /// What is written.
        value: u64,
    },
    /// The operator writes memory.
    MemoryWrite {
        /// The first byte's physical address.
        address: u64,
        /// What is written.
        bytes: Vec<u8>,
    },
    /// The operator writes a vCPU's register.
    Register {
        /// The vCPU.
        cpu: Cpu,
        /// The register, as debuggers call it.
        register: String,
        /// What is written, the low half first.
        value: [u64; 2],
    },
}

/// One thing from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// When it takes effect.
    pub tick: Tick,
    /// What it is.
    pub what: Outside,
}

/// Holds what has arrived until the machine's loop takes it. Live, arrivals are stamped with the present;
/// in a replay they come from the log with their old stamps.
#[derive(Debug, Default)]
pub struct Gate {
    waiting: VecDeque<Arrival>,
    closed: bool,
}

impl Gate {
    /// A gate with nothing waiting, open to live sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts off live sources: from now on only [`Gate::schedule`] adds arrivals.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Something arrives from a live source at `now`; refused (`false`) when the gate is closed.
    pub fn arrive(&mut self, now: Tick, what: Outside) -> bool {
        if !self.closed {
            self.waiting.push_back(Arrival { tick: now, what });
        }
        !self.closed
    }

    /// A logged arrival, to take effect at its tick. Ticks must not decrease.
    pub fn schedule(&mut self, arrival: Arrival) {
        self.waiting.push_back(arrival);
    }

    /// The tick up to which the machine may run before something must be taken.
    pub fn horizon(&self) -> Tick {
        self.waiting.front().map_or(NEVER, |a| a.tick)
    }

    /// Takes the next arrival that is due at `now`.
    pub fn take(&mut self, now: Tick) -> Option<Arrival> {
        if self.horizon() > now {
            return None;
        }
        self.waiting.pop_front()
    }

    /// How many arrivals wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
