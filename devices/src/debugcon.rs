//! The debug console that firmware writes to: each byte written goes out as it is (QEMU's isa-debugcon, Bochs' E9h).

use crate::catalog::{Creatable, Made};
use crate::ports::ports;
use crate::properties::{Chardev, PropertyError, configuration};
use lockstep_fabric::{Cx, Device, Reg, RegionSpec, Width};
use serde::{Deserialize, Serialize};

configuration! {
    /// How a debug console is set up. SeaBIOS looks for it at 402h, Bochs' BIOS at E9h.
    pub struct DebugconConfig {
        /// The port.
        pub iobase: u16 = 0xe9,
        /// What a read returns, by which firmware finds the console.
        pub readback: u8 = 0xe9,
        /// The character device that takes the bytes.
        pub chardev: Option<Chardev> = None,
    }
}

impl Creatable for DebugconConfig {
    const NAME: &'static str = "isa-debugcon";
    const ABOUT: &'static str = "debug console: bytes written to the port go to the character device";

    fn make(self) -> Result<Made, PropertyError> {
        let made = Made::new(Debugcon::new(&self), &Debugcon::regions(&self));
        Ok(Made { chardev: self.chardev.map(|chardev| chardev.0), ..made })
    }
}

/// A debug console.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Debugcon {
    readback: u8,
}

impl Debugcon {
    /// A console that answers reads with its configured byte.
    pub fn new(config: &DebugconConfig) -> Self {
        Self { readback: config.readback }
    }

    /// The one port.
    pub fn regions(config: &DebugconConfig) -> [RegionSpec; 1] {
        [ports(0, config.iobase, 1)]
    }
}

impl Device for Debugcon {
    fn kind(&self) -> &'static str {
        "isa-debugcon"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        self.readback.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, _at: Reg, _width: Width, value: u64) {
        cx.emit(&[value as u8]);
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;

    #[test]
    fn bytes_written_go_out_and_reads_show_that_it_is_there() {
        let config = DebugconConfig { iobase: 0x402, ..DebugconConfig::default() };
        let mut b = Bench::new(Debugcon::new(&config), &Debugcon::regions(&config));
        for byte in *b"hi\n" {
            b.outb(0x402, byte);
        }
        assert_eq!(b.sent(), b"hi\n");
        assert_eq!(b.inb(0x402), 0xe9);
    }
}
