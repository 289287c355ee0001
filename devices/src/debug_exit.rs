//! The port by which a guest ends the emulator with a status (QEMU's isa-debug-exit).

use crate::catalog::{Creatable, Made};
use crate::ports::ports;
use crate::properties::{PropertyError, configuration};
use lockstep_fabric::{Cx, Device, MachineRequest, Reg, RegionSpec, Width};
use serde::{Deserialize, Serialize};

configuration! {
    /// Where the exit port lies.
    pub struct DebugExitConfig {
        /// First port.
        pub iobase: u16 = 0x501,
        /// Number of ports, and with it the widest write.
        pub iosize: u16 = 2,
    }
}

impl Creatable for DebugExitConfig {
    const NAME: &'static str = "isa-debug-exit";
    const ABOUT: &'static str = "a write of V ends the run with exit status V << 1 | 1";

    fn make(self) -> Result<Made, PropertyError> {
        Ok(Made::new(DebugExit::new(), &DebugExit::regions(&self)))
    }
}

/// Ends the emulator when written to. Holds no state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DebugExit {}

impl DebugExit {
    /// The device.
    pub fn new() -> Self {
        Self {}
    }

    /// The configured ports; writes of up to four bytes arrive whole.
    pub fn regions(config: &DebugExitConfig) -> [RegionSpec; 1] {
        [RegionSpec { widest: Width::Dword, ..ports(0, config.iobase, config.iosize) }]
    }
}

impl Device for DebugExit {
    fn kind(&self) -> &'static str {
        "isa-debug-exit"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        0
    }

    fn write(&mut self, cx: &mut Cx<'_>, _at: Reg, _width: Width, value: u64) {
        cx.request(MachineRequest::Exit(((value as i32) << 1) | 1));
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;
    use lockstep_fabric::{Cpu, Space};

    #[test]
    fn the_status_is_twice_the_value_plus_one() {
        let config = DebugExitConfig { iobase: 0xf4, iosize: 4 };
        let mut b = Bench::new(DebugExit::new(), &DebugExit::regions(&config));
        b.outb(0xf4, 0x10);
        assert_eq!(b.requests(), [MachineRequest::Exit(33)]);
        b.bus.write(Space::Io, 0xf4, Width::Dword, 0x1234, Cpu(0)).expect("a claimed port");
        assert_eq!(b.requests(), [MachineRequest::Exit(0x2469)]);
    }
}
