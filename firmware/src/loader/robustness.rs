//! Kernels are files from anywhere: no truncation and no corruption may do more than fail.

use super::fixtures::{bzimage, elf, memory, multiboot_header, pvh_note, raw_multiboot, request};
use super::{BootPlan, BootRequest, LoadError, Module, plan};

/// A small fixed-seed generator (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn kernels() -> Vec<Vec<u8>> {
    vec![
        bzimage(),
        elf(false, 3, &pvh_note(0x20_0000)),
        elf(true, 62, &pvh_note(0x20_0000)),
        elf(false, 3, &multiboot_header(3)),
        elf(true, 62, &multiboot_header(3)),
        raw_multiboot(),
    ]
}

/// Whatever a plan contains lies in RAM, and no two pieces overlap.
fn check(result: &Result<BootPlan<'_>, LoadError>, request: &BootRequest<'_>) {
    let Ok(plan) = result else { return };
    let mut spans: Vec<(u64, u64)> = plan.segments.iter().map(|s| (s.address, s.end())).filter(|s| s.0 < s.1).collect();
    spans.sort_unstable();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:x?}");
    for span in spans {
        assert!(request.memory.ram().any(|range| range.start <= span.0 && span.1 <= range.end()), "{span:x?}");
    }
}

#[test]
fn every_truncation_fails_or_plans_within_ram() {
    let memory = memory(64);
    for kernel in kernels() {
        assert!(plan(&request(&kernel, &memory)).is_ok());
        for length in 0..kernel.len() {
            let request = request(&kernel[..length], &memory);
            check(&plan(&request), &request);
        }
    }
}

#[test]
fn random_corruption_fails_or_plans_within_ram() {
    let memory = memory(64);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let modules = [Module { bytes: &[3; 9000], command_line: "m" }];
    for kernel in kernels() {
        for _ in 0..4000 {
            let mut broken = kernel.clone();
            for _ in 0..=dice.below(6) {
                let at = dice.below(broken.len().min(0x300));
                broken[at] = [0, 1, 0x7f, 0x80, 0xff, dice.below(256) as u8][dice.below(6)];
            }
            let request = BootRequest { modules: &modules, ..request(&broken, &memory) };
            check(&plan(&request), &request);
        }
    }
}
