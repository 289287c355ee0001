//! A function's INTx# line: the level that the device wants, the command register's disable bit, and the status
//! register's interrupt bit (PCI Local Bus 3.0, sections 6.2.2 and 6.2.3).

use super::config::{Command, ConfigSpace, offset};
use lockstep_fabric::{Cx, PinId};
use serde::{Deserialize, Serialize};

const STATUS_INTERRUPT: u16 = 1 << 3;

/// The interrupt line of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intx {
    wanted: bool,
}

impl Intx {
    /// The device wants its line at this level; `pin` is the output pin that the board wires to the function's slot.
    pub fn set(&mut self, cx: &mut Cx<'_>, config: &mut ConfigSpace, pin: PinId, wanted: bool) {
        self.wanted = wanted;
        self.update(cx, config, pin);
    }

    /// To be called after a guest wrote configuration space: the disable bit may have changed.
    pub fn update(&self, cx: &mut Cx<'_>, config: &mut ConfigSpace, pin: PinId) {
        let others = config.word(offset::STATUS) & !STATUS_INTERRUPT;
        let status = others | if self.wanted { STATUS_INTERRUPT } else { 0 };
        config.put(offset::STATUS, &status.to_le_bytes());
        cx.set_pin(pin, self.wanted && !config.command().contains(Command::INTX_DISABLE));
    }
}
