//! Port 80h: the diagnostic (POST) code that firmware leaves, and the scratch byte behind it.

use crate::ports::ports;
use lockstep_fabric::{Cx, Device, Reg, RegionSpec, Width};
use serde::{Deserialize, Serialize};

/// Remembers the last code written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Port80 {
    code: u8,
}

impl Port80 {
    /// No code yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Port 80h, above the DMA page registers that it lies among.
    pub fn regions() -> [RegionSpec; 1] {
        [RegionSpec { priority: 1, ..ports(0, 0x80, 1) }]
    }

    /// The last code written.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl Device for Port80 {
    fn kind(&self) -> &'static str {
        "port80"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        self.code.into()
    }

    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, value: u64) {
        self.code = value as u8;
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;

    #[test]
    fn the_last_code_can_be_read_back_even_after_a_reset() {
        let mut b = Bench::new(Port80::new(), &Port80::regions());
        b.outb(0x80, 0x12);
        b.outb(0x80, 0x34);
        b.bus.reset();
        assert_eq!(b.inb(0x80), 0x34);
    }
}
