//! One vCPU's local APIC: its registers, and what changes them without asking the rest of the machine.

use super::registers::{
    BASE_AT_RESET, BaseFlags, DeliveryMode, Errors, Icr, LVT_ENTRIES, Lvt, LvtEntry, Mode, SvrFlags, VERSION, Vectors,
    index,
};
use super::timer::Timer;
use lockstep_fabric::Nanos;
use serde::{Deserialize, Serialize};

const DFR_FLAT: u32 = u32::MAX;
const SVR_AT_RESET: u32 = 0xff;
/// The lowest vector that an interrupt may have.
const FIRST_VECTOR: u8 = 16;

/// A local APIC's registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapic {
    /// APIC ID, which is the vCPU's number.
    pub(super) id: u32,
    /// IA32_APIC_BASE.
    pub(super) base: u64,
    pub(super) tpr: u8,
    /// As in xAPIC mode; in x2APIC mode it is derived from the ID.
    pub(super) ldr: u32,
    pub(super) dfr: u32,
    pub(super) svr: u32,
    pub(super) isr: Vectors,
    pub(super) tmr: Vectors,
    pub(super) irr: Vectors,
    /// What ESR shows.
    pub(super) esr: Errors,
    /// Errors since ESR was last written.
    pub(super) new_errors: Errors,
    pub(super) icr: Icr,
    pub(super) lvt: [Lvt; LVT_ENTRIES],
    pub(super) timer: Timer,
    /// An ExtINT message came (from the I/O APIC), and the 8259 was not asked yet.
    pub(super) ext_int: bool,
    /// The level last driven on the vCPU's interrupt line.
    pub(super) line: bool,
}

impl Lapic {
    /// The APIC after a reset of the platform.
    pub(super) fn new(cpu: u8) -> Self {
        let mut apic = Self {
            id: cpu.into(),
            base: BASE_AT_RESET,
            tpr: 0,
            ldr: 0,
            dfr: DFR_FLAT,
            svr: SVR_AT_RESET,
            isr: Vectors::default(),
            tmr: Vectors::default(),
            irr: Vectors::default(),
            esr: Errors::empty(),
            new_errors: Errors::empty(),
            icr: Icr(0),
            lvt: [Lvt(Lvt::MASKED); LVT_ENTRIES],
            timer: Timer::default(),
            ext_int: false,
            line: false,
        };
        if cpu == 0 {
            apic.base |= BaseFlags::BSP.bits();
            // Firmware sets up this virtual wire on real boards; software that is started without firmware and that
            // only knows the 8259 needs it from the start.
            apic.lvt[LvtEntry::Lint0 as usize] = Lvt(0x700);
        }
        apic
    }

    /// INIT: all registers as after a reset but for the ID and the mode.
    pub(super) fn init(&mut self) {
        let (base, line) = (self.base, self.line);
        *self = Self { base, line, ..Self::new(self.id as u8) };
        self.lvt[LvtEntry::Lint0 as usize] = Lvt(Lvt::MASKED);
    }

    pub(super) fn mode(&self) -> Mode {
        Mode::of(self.base).unwrap_or(Mode::Disabled)
    }

    /// Enabled by IA32_APIC_BASE.
    pub(super) fn present(&self) -> bool {
        self.mode() != Mode::Disabled
    }

    /// Enabled by the spurious interrupt vector register, too.
    pub(super) fn enabled(&self) -> bool {
        self.present() && self.svr & SvrFlags::ENABLED.bits() != 0
    }

    pub(super) fn entry(&self, entry: LvtEntry) -> Lvt {
        self.lvt[entry as usize]
    }

    /// Processor priority (SDM volume 3, section 11.8.3.1).
    pub(super) fn ppr(&self) -> u8 {
        let served = self.isr.highest().unwrap_or(0);
        if self.tpr >> 4 >= served >> 4 { self.tpr } else { served & 0xf0 }
    }

    /// The vector that the vCPU would be given.
    pub(super) fn deliverable(&self) -> Option<u8> {
        self.irr.highest().filter(|v| v >> 4 > self.ppr() >> 4)
    }

    /// Takes the deliverable vector into service.
    pub(super) fn take(&mut self) -> Option<u8> {
        let vector = self.deliverable()?;
        self.irr.set(vector, false);
        self.isr.set(vector, true);
        Some(vector)
    }

    /// Ends the interrupt in service; its vector if it was level-triggered.
    pub(super) fn end(&mut self) -> Option<u8> {
        let vector = self.isr.highest()?;
        self.isr.set(vector, false);
        self.tmr.has(vector).then_some(vector)
    }

    /// An interrupt arrives.
    pub(super) fn accept(&mut self, vector: u8, level: bool) {
        if !self.enabled() {
            return;
        }
        if vector < FIRST_VECTOR {
            self.fail(Errors::RECEIVE_ILLEGAL_VECTOR);
            return;
        }
        self.irr.set(vector, true);
        self.tmr.set(vector, level);
    }

    /// Notes an error, and interrupts for it if told to.
    pub(super) fn fail(&mut self, error: Errors) {
        self.new_errors |= error;
        let entry = self.entry(LvtEntry::Error);
        if entry.masked() {
            return;
        }
        if entry.vector() < FIRST_VECTOR {
            self.new_errors |= Errors::RECEIVE_ILLEGAL_VECTOR;
        } else {
            self.accept(entry.vector(), false);
        }
    }

    /// Moves on the errors since last time into ESR.
    pub(super) fn latch_errors(&mut self) {
        self.esr = std::mem::replace(&mut self.new_errors, Errors::empty());
    }

    /// Notes an error of the message about to be sent; true if it must not be sent.
    pub(super) fn refuses_to_send(&mut self, mode: DeliveryMode, vector: u8) -> bool {
        let illegal = matches!(mode, DeliveryMode::Fixed | DeliveryMode::LowestPriority) && vector < FIRST_VECTOR;
        if illegal {
            self.fail(Errors::SEND_ILLEGAL_VECTOR);
        }
        illegal
    }

    pub(super) fn set_svr(&mut self, value: u32) {
        self.svr = value & (0xff | SvrFlags::all().bits());
        if !self.enabled() {
            for entry in &mut self.lvt {
                entry.0 |= Lvt::MASKED;
            }
        }
    }

    /// Writes an LVT entry; entries stay masked while the APIC is disabled by software.
    pub(super) fn set_entry(&mut self, entry: LvtEntry, value: u32, tsc_deadline: bool) {
        let writable = entry.writable(tsc_deadline);
        let forced = if self.enabled() { 0 } else { Lvt::MASKED };
        let slot = &mut self.lvt[entry as usize];
        slot.0 = slot.0 & !writable | value & writable | forced;
        if !slot.has(Lvt::LEVEL) {
            slot.0 &= !Lvt::REMOTE_IRR;
        }
    }

    /// The logical ID in x2APIC mode: cluster in the upper half, one bit in the lower.
    pub(super) fn logical_x2(&self) -> u32 {
        self.id >> 4 << 16 | 1 << (self.id & 15)
    }

    /// Reads a register; `None` if there is none that can be read.
    pub(super) fn register(&self, number: u32, now: Nanos) -> Option<u32> {
        let x2 = self.mode() == Mode::X2Apic;
        Some(match number {
            index::ID => {
                if x2 {
                    self.id
                } else {
                    self.id << 24
                }
            }
            index::VERSION => VERSION,
            index::TPR => self.tpr.into(),
            index::APR | index::RRD if !x2 => 0,
            index::PPR => self.ppr().into(),
            index::EOI if !x2 => 0,
            index::LDR => {
                if x2 {
                    self.logical_x2()
                } else {
                    self.ldr
                }
            }
            index::DFR if !x2 => self.dfr,
            index::SVR => self.svr,
            index::ISR..=index::ISR_LAST => self.isr.word(number - index::ISR),
            index::TMR..=index::TMR_LAST => self.tmr.word(number - index::TMR),
            index::IRR..=index::IRR_LAST => self.irr.word(number - index::IRR),
            index::ESR => self.esr.bits(),
            index::ICR => self.icr.0 as u32,
            index::ICR_HIGH if !x2 => (self.icr.0 >> 32) as u32,
            index::LVT_TIMER..=index::LVT_ERROR => self.lvt[(number - index::LVT_TIMER) as usize].0,
            index::INITIAL_COUNT => self.timer.initial,
            index::CURRENT_COUNT => self.timer.current(self.entry(LvtEntry::Timer).timer_mode(), now),
            index::DIVIDE => self.timer.divide,
            _ => return None,
        })
    }
}
