//! The local APICs of all vCPUs (Intel SDM volume 3, chapter 11): xAPIC and x2APIC, timers, IPIs, and the receiving end
//! of message-signalled interrupts.
//!
//! One device holds them all, because they talk to each other; the initiator of an access says whose registers are
//! meant. The window in physical memory is one for all vCPUs: it follows the IA32_APIC_BASE written last.

mod apic;
mod delivery;
mod description;
mod msr;
mod registers;
#[cfg(test)]
mod tests;
mod timer;

pub use apic::Lapic;
pub use registers::{DEFAULT_BASE, DeliveryMode, Mode};

use delivery::{Destination, receivers};
use lockstep_fabric::{
    Acknowledge, Cpu, CpuSignal, Cx, Device, DeviceId, Input, PinId, ProcessorChange, Reg, RegionSpec, Space, TimerId,
    Width,
};
use registers::{BaseFlags, Errors, Icr, Lvt, LvtEntry, Shorthand, TimerMode, index};
use serde::{Deserialize, Serialize};
use timer::Timer;

/// Region: the xAPIC registers, in memory.
pub const REGION_MMIO: u8 = 0;
/// Region: the x2APIC registers, MSRs 800h to 8FFh.
pub const REGION_X2APIC: u8 = 1;
/// Region: IA32_APIC_BASE.
pub const REGION_BASE: u8 = 2;
/// Region: IA32_TSC_DEADLINE.
pub const REGION_TSC_DEADLINE: u8 = 3;
/// Region: CR8.
pub const REGION_CR8: u8 = 4;

/// MSR number of IA32_APIC_BASE.
pub const IA32_APIC_BASE: u64 = 0x1b;
/// MSR number of IA32_TSC_DEADLINE.
pub const IA32_TSC_DEADLINE: u64 = 0x6e0;
/// First MSR number of the x2APIC registers.
pub const X2APIC_FIRST: u64 = 0x800;
/// Where CR8 lies in the vCPU-private space: above all MSR numbers.
pub const CR8_ADDRESS: u64 = 0x1_0000_0008;

/// Input pin: LINT0 of every vCPU, from the 8259's INTR.
pub const PIN_LINT0: PinId = PinId(0);
/// Input pin: LINT1 of every vCPU, from the NMI sources.
pub const PIN_LINT1: PinId = PinId(1);

const WINDOW: u64 = 0x1000;

/// The regions to map on the bus.
pub const REGIONS: [RegionSpec; 5] = [
    region(Space::Memory, REGION_MMIO, DEFAULT_BASE, WINDOW, Width::Dword),
    region(Space::Private, REGION_X2APIC, X2APIC_FIRST, 0x100, Width::Qword),
    region(Space::Private, REGION_BASE, IA32_APIC_BASE, 1, Width::Qword),
    region(Space::Private, REGION_TSC_DEADLINE, IA32_TSC_DEADLINE, 1, Width::Qword),
    region(Space::Private, REGION_CR8, CR8_ADDRESS, 1, Width::Qword),
];

const fn region(space: Space, index: u8, base: u64, len: u64, widest: Width) -> RegionSpec {
    RegionSpec { space, index, base: Some(base), len, priority: 4096, widest }
}

/// How the local APICs are built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalApicsConfig {
    /// The vCPUs' APIC IDs, in the vCPUs' order.
    pub ids: Vec<u8>,
    /// The I/O APIC that hears of ended level-triggered interrupts.
    pub ioapic: Option<DeviceId>,
    /// Width of a physical address, for the reserved bits of IA32_APIC_BASE.
    pub physical_bits: u8,
    /// Whether CPUID announces x2APIC.
    pub x2apic: bool,
    /// Whether CPUID announces the timer's TSC-deadline mode.
    pub tsc_deadline: bool,
}

/// The local APICs of all vCPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalApics {
    config: LocalApicsConfig,
    apics: Vec<Lapic>,
    /// Levels of LINT0 and LINT1.
    lint: [bool; 2],
}

impl LocalApics {
    /// Local APICs in the state after a reset.
    pub fn new(config: LocalApicsConfig) -> Self {
        let apics = config.ids.iter().copied().map(Lapic::new).collect();
        Self { config, apics, lint: [false; 2] }
    }

    /// Resets a vCPU's APIC as INIT does. The vCPU itself is not told.
    pub fn init_cpu(&mut self, cx: &mut Cx<'_>, cpu: Cpu) {
        let at = usize::from(cpu.0);
        if let Some(apic) = self.apics.get_mut(at) {
            apic.init();
            self.settle(cx, at);
        }
    }

    /// Has a vCPU's APIC be as after power-on. Its line is driven as that asks.
    fn power_on(&mut self, cx: &mut Cx<'_>, at: usize) {
        let id = self.config.ids.get(at).copied().unwrap_or(at as u8);
        let Some(apic) = self.apics.get_mut(at) else { return };
        *apic = Lapic { line: apic.line, ..Lapic::new(id) };
        self.settle(cx, at);
    }

    /// Makes timers and the interrupt line agree with the registers of the vCPU at this place.
    fn settle(&mut self, cx: &mut Cx<'_>, at: usize) {
        self.arm_timer(cx, at);
        self.drive_line(cx, at);
    }

    /// Whether the 8259's interrupt request reaches this vCPU, and asks.
    fn wants_external(&self, at: usize) -> bool {
        let Some(apic) = self.apics.get(at) else { return false };
        let entry = apic.entry(LvtEntry::Lint0);
        let open = match apic.mode() {
            // A disabled APIC leaves its pins as the INTR and NMI pins of a processor without one.
            Mode::Disabled => at == 0,
            Mode::XApic | Mode::X2Apic => !entry.masked() && entry.delivery() == DeliveryMode::ExtInt,
        };
        apic.ext_int || self.lint[0] && open
    }

    fn drive_line(&mut self, cx: &mut Cx<'_>, at: usize) {
        let external = self.wants_external(at);
        let Some(apic) = self.apics.get_mut(at) else { return };
        let level = external || apic.present() && apic.deliverable().is_some();
        if apic.line != level {
            apic.line = level;
            cx.signal_cpu(Cpu(at as u8), CpuSignal::Interrupt(level));
        }
    }

    fn arm_timer(&mut self, cx: &mut Cx<'_>, at: usize) {
        let Some(apic) = self.apics.get(at) else { return };
        let (entry, id) = (apic.entry(LvtEntry::Timer), TimerId(at as u16));
        let mode = entry.timer_mode();
        // A masked deadline still has to be forgotten in time; masked counts run out unseen.
        let heard = !entry.masked() || mode == TimerMode::TscDeadline;
        match apic.timer.next_expiry(mode, cx.now()).filter(|_| heard && apic.present()) {
            Some(when) => cx.arm(id, when),
            None => cx.disarm(id),
        }
    }

    /// Delivers to one vCPU.
    fn deliver(&mut self, cx: &mut Cx<'_>, at: usize, mode: DeliveryMode, vector: u8, level: bool) {
        let Some(apic) = self.apics.get_mut(at) else { return };
        let cpu = Cpu(at as u8);
        match mode {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => apic.accept(vector, level),
            DeliveryMode::ExtInt => apic.ext_int = true,
            DeliveryMode::Nmi => cx.signal_cpu(cpu, CpuSignal::Nmi),
            DeliveryMode::Init => {
                self.init_cpu(cx, cpu);
                cx.signal_cpu(cpu, CpuSignal::Init);
            }
            DeliveryMode::Startup => cx.signal_cpu(cpu, CpuSignal::Startup(vector)),
            // The modelled processors have no system management mode.
            DeliveryMode::Smi | DeliveryMode::Reserved => {}
        }
        self.drive_line(cx, at);
    }

    /// Sends what the ICR of the vCPU at this place says.
    fn send_ipi(&mut self, cx: &mut Cx<'_>, from: usize, icr: Icr) {
        let Some(apic) = self.apics.get_mut(from) else { return };
        let (mode, vector) = (icr.delivery(), icr.vector());
        if apic.refuses_to_send(mode, vector) {
            self.drive_line(cx, from);
            return;
        }
        if mode == DeliveryMode::Init && icr.level_deassert() {
            return;
        }
        let wide = apic.mode() == Mode::X2Apic;
        let id = (icr.0 >> if wide { 32 } else { 56 }) as u32;
        let to = match icr.shorthand() {
            Shorthand::None => receivers(&self.apics, Destination { id, logical: icr.logical(), wide }, mode),
            Shorthand::Own => vec![from],
            all_or_others => (0..self.apics.len())
                .filter(|i| self.apics[*i].present() && (all_or_others == Shorthand::All || *i != from))
                .collect(),
        };
        for at in to {
            self.deliver(cx, at, mode, vector, false);
        }
    }

    /// A message-signalled interrupt (SDM volume 3, section 11.11).
    fn take_msi(&mut self, cx: &mut Cx<'_>, address: u64, data: u32) {
        if address >> 20 != DEFAULT_BASE >> 20 {
            return;
        }
        let (redirect, logical) = (address & 8 != 0, address & 4 != 0);
        let destination = Destination { id: (address >> 12) as u32 & 0xff, logical, wide: false };
        let (mode, level) = (DeliveryMode::from_bits(data), data & (1 << 15) != 0);
        // A redirection hint asks for one of the receivers, which is what lowest priority does.
        let choice = if redirect && mode == DeliveryMode::Fixed { DeliveryMode::LowestPriority } else { mode };
        if mode == DeliveryMode::Startup || mode == DeliveryMode::Init && level && data & (1 << 14) == 0 {
            return;
        }
        for at in receivers(&self.apics, destination, choice) {
            self.deliver(cx, at, mode, data as u8, level);
        }
    }

    fn end_of_interrupt(&mut self, cx: &mut Cx<'_>, at: usize) {
        let Some(apic) = self.apics.get_mut(at) else { return };
        if let Some(vector) = apic.end() {
            let lint0 = &mut apic.lvt[LvtEntry::Lint0 as usize];
            if lint0.vector() == vector {
                lint0.0 &= !Lvt::REMOTE_IRR;
            }
            if let Some(ioapic) = self.config.ioapic {
                cx.with_peer(ioapic, |d, cx| d.input(cx, &Input::EndOfInterrupt(vector)));
            }
        }
        self.hold_lint0(cx, at);
        self.drive_line(cx, at);
    }

    /// LINT0 as a level-triggered fixed interrupt: requested again as long as the pin is asserted.
    fn hold_lint0(&mut self, cx: &mut Cx<'_>, at: usize) {
        let asserted = self.lint[0];
        let Some(apic) = self.apics.get_mut(at) else { return };
        let entry = apic.entry(LvtEntry::Lint0);
        let held = entry.has(Lvt::LEVEL) && entry.delivery() == DeliveryMode::Fixed && !entry.masked();
        if asserted && held && !entry.has(Lvt::REMOTE_IRR) && apic.enabled() {
            apic.lvt[LvtEntry::Lint0 as usize].0 |= Lvt::REMOTE_IRR;
            self.deliver(cx, at, DeliveryMode::Fixed, entry.vector(), true);
        }
    }

    fn local_pin(&mut self, cx: &mut Cx<'_>, pin: usize, level: bool) {
        let rises = level && !self.lint[pin];
        self.lint[pin] = level;
        let entry = if pin == 0 { LvtEntry::Lint0 } else { LvtEntry::Lint1 };
        for at in 0..self.apics.len() {
            let (lvt, present) = (self.apics[at].entry(entry), self.apics[at].present());
            if !present && pin == 1 && at == 0 && rises {
                cx.signal_cpu(Cpu(0), CpuSignal::Nmi);
            }
            let edge = match lvt.delivery() {
                DeliveryMode::Fixed => pin == 1 || !lvt.has(Lvt::LEVEL),
                DeliveryMode::Nmi | DeliveryMode::Init => true,
                _ => false,
            };
            if rises && present && edge && !lvt.masked() {
                self.deliver(cx, at, lvt.delivery(), lvt.vector(), false);
            }
            if pin == 0 {
                self.hold_lint0(cx, at);
            }
            self.drive_line(cx, at);
        }
    }

    /// Writes a register that both modes have; false if there is none that can be written.
    fn write_register(&mut self, cx: &mut Cx<'_>, at: usize, number: u32, value: u32) -> bool {
        let (now, tsc_deadline) = (cx.now(), self.config.tsc_deadline);
        let Some(apic) = self.apics.get_mut(at) else { return false };
        let mode = apic.entry(LvtEntry::Timer).timer_mode();
        match number {
            index::TPR => apic.tpr = value as u8,
            index::EOI => self.end_of_interrupt(cx, at),
            index::SVR => apic.set_svr(value),
            index::ESR => apic.latch_errors(),
            index::LVT_TIMER..=index::LVT_ERROR => {
                let place = (number - index::LVT_TIMER) as usize;
                if let Some(entry) = LvtEntry::at(place) {
                    apic.set_entry(entry, value, tsc_deadline);
                }
                let new = apic.entry(LvtEntry::Timer).timer_mode();
                // Going into or out of TSC-deadline mode disarms the timer.
                if (mode == TimerMode::TscDeadline) != (new == TimerMode::TscDeadline) {
                    apic.timer.load(0, now);
                    apic.timer.deadline = 0;
                }
                self.hold_lint0(cx, at);
            }
            index::INITIAL_COUNT => {
                if mode != TimerMode::TscDeadline {
                    apic.timer.load(value, now);
                }
            }
            index::DIVIDE => apic.timer.set_divide(value, mode, now),
            _ => return false,
        }
        match number {
            index::SVR | index::LVT_TIMER | index::INITIAL_COUNT | index::DIVIDE => self.settle(cx, at),
            _ => self.drive_line(cx, at),
        }
        true
    }

    /// Writes a register in memory (xAPIC mode).
    fn write_xapic(&mut self, cx: &mut Cx<'_>, at: usize, number: u32, value: u32) {
        let Some(apic) = self.apics.get_mut(at) else { return };
        match number {
            index::LDR => apic.ldr = value & 0xff00_0000,
            index::DFR => apic.dfr = value | 0x0fff_ffff,
            index::ICR_HIGH => apic.icr.0 = apic.icr.0 & 0xffff_ffff | u64::from(value & 0xff00_0000) << 32,
            index::ICR => {
                apic.icr.0 = apic.icr.0 >> 32 << 32 | u64::from(value & Icr::WRITABLE_LOW);
                let icr = apic.icr;
                self.send_ipi(cx, at, icr);
            }
            _ => {
                if !self.write_register(cx, at, number, value) {
                    self.fault_register(cx, at, number);
                }
            }
        }
    }

    /// A register that does not exist was accessed in memory.
    fn fault_register(&mut self, cx: &mut Cx<'_>, at: usize, number: u32) {
        if let Some(apic) = self.apics.get_mut(at)
            && apic.register(number, 0).is_none()
        {
            apic.fail(Errors::ILLEGAL_REGISTER);
            self.drive_line(cx, at);
        }
    }

    fn read_mmio(&mut self, cx: &mut Cx<'_>, at: usize, offset: u64) -> u64 {
        let number = (offset >> 4) as u32;
        let Some(apic) = self.apics.get(at).filter(|a| a.mode() == Mode::XApic) else { return u64::MAX };
        // Only the first four bytes of each sixteen are defined.
        let shift = 8 * (offset & 15);
        match apic.register(number, cx.now()) {
            Some(value) => u64::from(value).checked_shr(shift as u32).unwrap_or(0),
            None => {
                self.fault_register(cx, at, number);
                0
            }
        }
    }

    fn write_mmio(&mut self, cx: &mut Cx<'_>, at: usize, offset: u64, width: Width, value: u64) {
        let xapic = self.apics.get(at).is_some_and(|a| a.mode() == Mode::XApic);
        // The manual requires whole aligned dwords; anything else may do anything, and here does nothing.
        if xapic && offset & 15 == 0 && width >= Width::Dword {
            self.write_xapic(cx, at, (offset >> 4) as u32, value as u32);
        }
    }
}

impl Device for LocalApics {
    fn kind(&self) -> &'static str {
        "apic"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        let cpu = usize::from(cx.initiator().0);
        match at.region {
            REGION_MMIO => self.read_mmio(cx, cpu, at.offset),
            _ => self.read_private(cx, cpu, at).unwrap_or_else(|| {
                cx.refuse();
                0
            }),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        let cpu = usize::from(cx.initiator().0);
        match at.region {
            REGION_MMIO => self.write_mmio(cx, cpu, at.offset, width, value),
            _ => {
                if self.write_private(cx, cpu, at, value).is_none() {
                    cx.refuse();
                }
            }
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        for at in 0..self.apics.len() {
            self.power_on(cx, at);
        }
        cx.map_region(REGION_MMIO, Some(DEFAULT_BASE), true, true);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        let at = usize::from(id.0);
        let Some(apic) = self.apics.get_mut(at) else { return };
        let entry = apic.entry(LvtEntry::Timer);
        if entry.timer_mode() == TimerMode::TscDeadline {
            apic.timer.deadline = 0;
        }
        if !entry.masked() {
            apic.accept(entry.vector(), false);
        }
        self.settle(cx, at);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        match input {
            Input::Pin { pin, level } if pin.0 < 2 => self.local_pin(cx, pin.0.into(), *level),
            Input::Msi { address, data } => self.take_msi(cx, *address, *data),
            Input::Processor { cpu, change: ProcessorChange::Plugged | ProcessorChange::Gone } => {
                self.power_on(cx, cpu.0.into());
            }
            _ => {}
        }
    }

    fn acknowledge(&mut self, cx: &mut Cx<'_>, cpu: Cpu) -> Acknowledge {
        let at = usize::from(cpu.0);
        let answer = if self.wants_external(at) {
            if let Some(apic) = self.apics.get_mut(at) {
                apic.ext_int = false;
            }
            Acknowledge::External
        } else {
            let taken = self.apics.get_mut(at).filter(|a| a.present()).and_then(Lapic::take);
            taken.map_or(Acknowledge::Nothing, Acknowledge::Vector)
        };
        self.drive_line(cx, at);
        answer
    }
}
