//! The debug console that firmware writes to: each byte written goes out as it is (QEMU's isa-debugcon, Bochs' E9h).

use crate::ports::ports;
use lockstep_fabric::{Cx, Device, Reg, RegionSpec, Width};
use serde::{Deserialize, Serialize};

/// How a debug console is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DebugconConfig {
    /// The port; SeaBIOS uses 402h, Bochs' BIOS E9h.
    pub iobase: u16,
    /// What a read returns, by which firmware finds the console.
    pub readback: u8,
    /// Name of the character device that takes the bytes.
    pub chardev: Option<String>,
}

impl Default for DebugconConfig {
    fn default() -> Self {
        Self { iobase: 0xe9, readback: 0xe9, chardev: None }
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
