//! System control port A (92h): fast A20 and fast reset. Also where the platform's two A20 gates meet.
//!
//! Address line 20 is open when either this port's bit 1 or the keyboard controller's A20 output says so, as in PIIX3
//! boards. The board wires the keyboard controller's A20 pin to input pin 0 here; this device alone drives the line.

use crate::ports::ports;
use bitflags::bitflags;
use lockstep_fabric::{Cx, Device, Input, MachineRequest, PinId, Reg, RegionSpec, Width};
use serde::{Deserialize, Serialize};

/// The input pin for the keyboard controller's A20 gate.
pub const KEYBOARD_A20: PinId = PinId(0);

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Control: u8 {
        const FAST_INIT = 1 << 0;
        const FAST_A20 = 1 << 1;
        const RESERVED = !0b11;
    }
}

/// System control port A.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Port92 {
    control: Control,
    keyboard_a20: bool,
}

impl Default for Port92 {
    fn default() -> Self {
        Self { control: Control::empty(), keyboard_a20: true }
    }
}

impl Port92 {
    /// The port as after power-on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Port 92h.
    pub fn regions() -> [RegionSpec; 1] {
        [ports(0, 0x92, 1)]
    }

    fn drive_a20(&self, cx: &mut Cx<'_>) {
        cx.set_a20(self.keyboard_a20 || self.control.contains(Control::FAST_A20));
    }
}

impl Device for Port92 {
    fn kind(&self) -> &'static str {
        "port92"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        self.control.bits().into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, _at: Reg, _width: Width, value: u64) {
        let control = Control::from_bits_retain(value as u8);
        if (control - self.control).contains(Control::FAST_INIT) {
            cx.request(MachineRequest::Reset);
        }
        self.control = control;
        self.drive_a20(cx);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.control = Control::empty();
        self.drive_a20(cx);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        if let Input::Pin { pin: KEYBOARD_A20, level } = *input {
            self.keyboard_a20 = level;
            self.drive_a20(cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;

    #[test]
    fn a20_is_masked_only_when_both_gates_are_closed() {
        let mut b = Bench::new(Port92::new(), &Port92::regions());
        assert!(b.bus.memory.a20());
        b.drive(0, false);
        assert!(!b.bus.memory.a20());
        b.outb(0x92, 2);
        assert!(b.bus.memory.a20());
        assert_eq!(b.inb(0x92), 2);
        b.drive(0, true);
        b.outb(0x92, 0);
        assert!(b.bus.memory.a20());
    }

    #[test]
    fn raising_bit_0_resets_the_machine() {
        let mut b = Bench::new(Port92::new(), &Port92::regions());
        b.outb(0x92, 3);
        assert_eq!(b.requests(), [MachineRequest::Reset]);
        b.outb(0x92, 3);
        assert_eq!(b.requests(), []);
    }
}
