//! The watchdog of IB700 single-board computers: a port that starts it over and a port that stops it.
//!
//! Source: IB700 user's manual, section "Watch-Dog Timer".

use crate::catalog::{Creatable, Made};
use crate::ports::ports;
use crate::properties::{PropertyError, configuration};
use lockstep_fabric::{Cx, Device, MachineRequest, Nanos, Reg, RegionSpec, TimerId, Width};
use serde::{Deserialize, Serialize};

const STOP: u8 = 0;
const START: u8 = 1;
const TIME_UP: TimerId = TimerId(0);
const SECOND: Nanos = 1_000_000_000;
/// The low four bits of what is written count down from this many seconds, by twos.
const LONGEST: u64 = 30;

configuration! {
    /// The watchdog has nothing to set.
    pub struct Ib700Config {}
}

impl Creatable for Ib700Config {
    const NAME: &'static str = "ib700";
    const ABOUT: &'static str = "watchdog of IB700 boards at ports 0x441 and 0x443";

    fn make(self) -> Result<Made, PropertyError> {
        Ok(Made::new(Ib700::new(), &Ib700::regions()))
    }
}

/// The watchdog. All that it remembers is its timer, which the clock keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ib700 {}

impl Ib700 {
    /// A watchdog that is stopped.
    pub fn new() -> Self {
        Self {}
    }

    /// Two ports that stop it, two that start it over.
    pub fn regions() -> [RegionSpec; 2] {
        [ports(STOP, 0x441, 2), ports(START, 0x443, 2)]
    }
}

impl Device for Ib700 {
    fn kind(&self) -> &'static str {
        "ib700"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, width: Width) -> u64 {
        width.mask()
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        if at.region == START {
            let seconds = LONGEST - 2 * (value & 0xf);
            cx.arm(TIME_UP, cx.now().saturating_add(seconds * SECOND));
        } else {
            cx.disarm(TIME_UP);
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(TIME_UP);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _id: TimerId) {
        cx.request(MachineRequest::Watchdog);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;

    #[test]
    fn a_guest_that_comes_back_in_time_is_left_alone() {
        let mut b = Bench::new(Ib700::new(), &Ib700::regions());
        for _ in 0..3 {
            b.outb(0x443, 0xa);
            b.advance(10 * SECOND - 1);
        }
        assert_eq!(b.requests(), []);
        b.advance(1);
        assert_eq!(b.requests(), [MachineRequest::Watchdog]);
        b.advance(100 * SECOND);
        assert_eq!(b.requests(), [], "once is enough");
    }

    #[test]
    fn it_is_stopped_by_its_port_and_by_a_reset() {
        let mut b = Bench::new(Ib700::new(), &Ib700::regions());
        b.outb(0x443, 0);
        b.outb(0x441, 0);
        b.advance(31 * SECOND);
        b.outb(0x443, 0);
        b.bus.reset();
        b.advance(31 * SECOND);
        assert_eq!(b.requests(), []);
    }
}
