//! Reset, and waking up from a sleep.

use super::{Machine, TURN, Turn};
use lockstep_cpu::state::Activity;

impl Machine {
    /// Whether the guest has suspended the machine to RAM (ACPI S3).
    pub fn asleep(&self) -> bool {
        self.asleep
    }

    /// Resets every device and vCPU and starts over. Time goes on.
    pub fn reset(&mut self) {
        self.reset_parts();
        self.boot.place(&mut self.bus, &mut self.cpus);
        self.take_signals();
    }

    /// Resets every device and vCPU and goes on with what is in RAM.
    pub(super) fn wake(&mut self) {
        self.reset_parts();
        self.boot.resume(&mut self.bus, &mut self.cpus);
        self.take_signals();
    }

    fn reset_parts(&mut self) {
        self.asleep = false;
        self.blocks.forget();
        self.bus.reset();
        for (index, cpu) in self.cpus.iter_mut().enumerate() {
            cpu.reset();
            if index != 0 {
                cpu.activity = Activity::WaitForStartup;
            }
        }
        self.take_signals();
        self.turn = Turn { cpu: 0, left: TURN };
    }
}
