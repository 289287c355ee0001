//! A local APIC's registers as text, for whoever looks.

use super::registers::{Lvt, LvtEntry, Mode, TimerMode, Vectors};
use super::{Lapic, LocalApics};
use lockstep_fabric::Nanos;
use std::fmt::{self, Write};

/// SVR: the APIC is enabled by software.
const SVR_ENABLED: u32 = 1 << 8;

const ENTRIES: [(LvtEntry, &str); 6] = [
    (LvtEntry::Lint0, "LVT0"),
    (LvtEntry::Lint1, "LVT1"),
    (LvtEntry::Performance, "LVTPC"),
    (LvtEntry::Error, "LVTERR"),
    (LvtEntry::Thermal, "LVTTHMR"),
    (LvtEntry::Timer, "LVTT"),
];

impl LocalApics {
    /// The registers of a vCPU's APIC; `None` if there is no such vCPU.
    pub fn describe(&self, cpu: usize, now: Nanos) -> Option<String> {
        let apic = self.apics.get(cpu)?;
        let mut text = format!("local APIC of CPU {cpu}, ID {}\n", apic.id);
        // A String takes whatever is written to it.
        let _ = registers(&mut text, apic, now);
        Some(text)
    }
}

fn registers(text: &mut String, apic: &Lapic, now: Nanos) -> fmt::Result {
    let mode = match apic.mode() {
        Mode::Disabled => "disabled",
        Mode::XApic => "xAPIC",
        Mode::X2Apic => "x2APIC",
    };
    writeln!(text, "BASE     0x{:016x} {mode}", apic.base)?;
    for (entry, name) in ENTRIES {
        local_vector(text, name, apic.entry(entry), entry == LvtEntry::Timer)?;
    }
    let count = apic.timer.current(apic.entry(LvtEntry::Timer).timer_mode(), now);
    let (initial, divide, deadline) = (apic.timer.initial, apic.timer.divide, apic.timer.deadline);
    writeln!(text, "Timer    DCR=0x{divide:x} initial_count={initial} current_count={count} deadline={deadline}")?;
    let enabled = if apic.svr & SVR_ENABLED != 0 { "enabled" } else { "disabled" };
    writeln!(text, "SPIV     0x{:08x} APIC {enabled}, spurious vector {}", apic.svr, apic.svr & 0xff)?;
    writeln!(text, "ICR      0x{:016x}", apic.icr.0)?;
    writeln!(text, "ESR      0x{:08x}", apic.esr.bits())?;
    writeln!(text, "LDR      0x{:08x} DFR 0x{:08x}", apic.ldr, apic.dfr)?;
    writeln!(text, "ISR      {}", vectors(&apic.isr))?;
    writeln!(text, "IRR      {}", vectors(&apic.irr))?;
    writeln!(text, "TPR      0x{:02x}", apic.tpr)
}

fn local_vector(text: &mut String, name: &str, entry: Lvt, timer: bool) -> fmt::Result {
    let polarity = if entry.has(Lvt::LOW_ACTIVE) { "active-lo" } else { "active-hi" };
    let trigger = if entry.has(Lvt::LEVEL) { "level" } else { "edge" };
    let masked = if entry.masked() { "masked" } else { "" };
    let what = match (timer, entry.timer_mode()) {
        (false, _) => format!("{:?}", entry.delivery()),
        (true, TimerMode::OneShot) => "one-shot".into(),
        (true, TimerMode::Periodic) => "periodic".into(),
        (true, TimerMode::TscDeadline) => "tsc-deadline".into(),
        (true, TimerMode::Reserved) => "reserved".into(),
    };
    writeln!(text, "{name:<8} 0x{:08x} {polarity} {trigger:<5} {masked:<6} {what} (vector {})", entry.0, entry.vector())
}

fn vectors(set: &Vectors) -> String {
    let all: Vec<_> = (0..=u8::MAX).filter(|vector| set.has(*vector)).map(|vector| vector.to_string()).collect();
    if all.is_empty() { "(none)".into() } else { all.join(" ") }
}
