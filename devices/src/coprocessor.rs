//! The coprocessor error register (F0h): how x87 errors become IRQ 13 on PCs (82371SB data sheet, 4.2 and 4.5).
//!
//! FERR# comes in as a pin that is raised once for each error; the processor lets go of it by itself. Writing the register
//! lowers IRQ 13 and asserts IGNNE#, which lasts in the processor as long as FERR# does.

use crate::ports::ports;
use lockstep_fabric::{Cpu, CpuSignal, Cx, Device, Input, PinId, Reg, RegionSpec, Width};
use serde::{Deserialize, Serialize};

/// Input pin: FERR# of the first processor.
pub const FERR: PinId = PinId(0);
/// Output pin: IRQ 13.
pub const IRQ: PinId = PinId(0);

/// The processor whose FERR# and IGNNE# are connected.
const PROCESSOR: Cpu = Cpu(0);

/// The latch behind IRQ 13.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoprocessorError {
    requested: bool,
}

impl CoprocessorError {
    /// Without an error.
    pub fn new() -> Self {
        Self::default()
    }

    /// Port F0h.
    pub fn regions() -> [RegionSpec; 1] {
        [ports(0, 0xf0, 1)]
    }

    fn request(&mut self, cx: &mut Cx<'_>, level: bool) {
        self.requested = level;
        cx.set_pin(IRQ, level);
    }
}

impl Device for CoprocessorError {
    fn kind(&self) -> &'static str {
        "coprocessor-error"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, width: Width) -> u64 {
        width.mask()
    }

    fn write(&mut self, cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {
        self.request(cx, false);
        cx.signal_cpu(PROCESSOR, CpuSignal::IgnoreNumericErrors);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.request(cx, false);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        if let Input::Pin { pin: FERR, level: true } = *input {
            self.request(cx, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;

    #[test]
    fn an_error_requests_irq_13_until_the_register_is_written() {
        let mut b = Bench::new(CoprocessorError::new(), &CoprocessorError::regions());
        b.drive(FERR.0, true);
        assert!(b.level(IRQ.0));
        b.outb(0xf0, 0);
        assert!(!b.level(IRQ.0));
        assert_eq!(b.bus.take_signals(), [(PROCESSOR, CpuSignal::IgnoreNumericErrors)]);
        b.drive(FERR.0, true);
        assert!(b.level(IRQ.0), "the next error");
        b.bus.reset();
        assert!(!b.level(IRQ.0));
    }
}
