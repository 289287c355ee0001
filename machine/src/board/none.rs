//! No board: nothing to run, only somebody to ask what there is.

use super::boot_order::BootOrder;
use super::{Board, BoardError};
use crate::commandline::{Config, OptionError};
use crate::machine::{Boot, Interrupts, Machine};
use lockstep_cpu::Vcpu;
use lockstep_fabric::{Bus, Clock, DeviceId, Memory, PinId};

/// Nothing starts.
struct Nothing;

impl Boot for Nothing {
    fn place(&self, _: &mut Bus, _: &mut [Vcpu]) {}
    fn resume(&self, _: &mut Bus, _: &mut [Vcpu]) {}
}

/// Builds it. Nobody ever asks the controllers that it does not have.
pub(super) fn build(config: &Config) -> Result<Board, BoardError> {
    if let Some(device) = config.devices.first() {
        return Err(OptionError::refused(&device.origin, "the machine none has no bus").into());
    }
    if let Some(drive) = config.drives.iter().find(|drive| drive.image.is_some()) {
        return Err(OptionError::refused(&drive.origin, "the machine none has no controller for this drive").into());
    }
    let memory = Memory::new(0).map_err(|why| BoardError::Memory { bytes: 0, why })?;
    let bus = Bus::new(memory, Clock::new(config.icount.shift.into()));
    let nobody = DeviceId(0);
    let wiring = Interrupts {
        local: nobody,
        external: nobody,
        numeric_errors: (nobody, PinId(0)),
        nmi: (nobody, PinId(0)),
        power_button: nobody,
    };
    Ok(Board {
        machine: Machine::new(bus, Vec::new(), wiring, Box::new(Nothing), false),
        ports: Vec::new(),
        serial_ports: Vec::new(),
        power_button: None,
        keyboard: None,
        screen: None,
        boot_order: BootOrder::default(),
        slots: super::slots::PciBuses::none(),
        files: Vec::new(),
        warnings: Vec::new(),
    })
}
