//! The registers in the vCPU-private space: IA32_APIC_BASE, the x2APIC MSRs, IA32_TSC_DEADLINE and CR8. `None` makes the
//! vCPU fault, and changes nothing.

use super::*;
use registers::SvrFlags;

impl LocalApics {
    pub(super) fn read_private(&mut self, cx: &mut Cx<'_>, cpu: usize, at: Reg) -> Option<u64> {
        let apic = self.apics.get(cpu)?;
        match at.region {
            REGION_X2APIC => read_x2apic(apic, at.offset as u32, cx.now()),
            REGION_BASE => Some(apic.base),
            REGION_TSC_DEADLINE => self.config.tsc_deadline.then_some(apic.timer.deadline),
            REGION_CR8 => Some(u64::from(apic.tpr >> 4)),
            _ => None,
        }
    }

    pub(super) fn write_private(&mut self, cx: &mut Cx<'_>, cpu: usize, at: Reg, value: u64) -> Option<()> {
        let apic = self.apics.get_mut(cpu)?;
        match at.region {
            REGION_X2APIC => return self.write_x2apic(cx, cpu, at.offset as u32, value),
            REGION_BASE => return self.write_base(cx, cpu, value),
            REGION_TSC_DEADLINE if self.config.tsc_deadline => {
                if apic.entry(LvtEntry::Timer).timer_mode() == TimerMode::TscDeadline {
                    apic.timer.deadline = value;
                    self.arm_timer(cx, cpu);
                }
            }
            REGION_CR8 if value <= 0xf => {
                apic.tpr = (value << 4) as u8;
                self.drive_line(cx, cpu);
            }
            _ => return None,
        }
        Some(())
    }

    /// Mode transitions: SDM volume 3, section 11.12.5.
    fn write_base(&mut self, cx: &mut Cx<'_>, cpu: usize, value: u64) -> Option<()> {
        let apic = self.apics.get_mut(cpu)?;
        let physical = (1u64 << self.config.physical_bits.clamp(32, 52)) - 1;
        let address = physical & !(WINDOW - 1);
        let (old, new) = (apic.mode(), Mode::of(value)?);
        let forbidden = matches!((old, new), (Mode::X2Apic, Mode::XApic) | (Mode::Disabled, Mode::X2Apic));
        let absent = new == Mode::X2Apic && !self.config.x2apic;
        if value & !(address | BaseFlags::all().bits()) != 0 || forbidden || absent {
            return None;
        }
        let moved = (apic.base ^ value) & address != 0;
        apic.base = value;
        if new == Mode::X2Apic && old != new {
            apic.icr.0 &= 0xffff_ffff;
        }
        if new == Mode::Disabled && old != new {
            // What was pending is lost: the APIC comes back as after power-up.
            apic.init();
        }
        self.settle(cx, cpu);
        if moved {
            cx.map_region(REGION_MMIO, Some(value & address), true, true);
        }
        Some(())
    }

    fn write_x2apic(&mut self, cx: &mut Cx<'_>, cpu: usize, number: u32, value: u64) -> Option<()> {
        if self.apics.get(cpu)?.mode() != Mode::X2Apic {
            return None;
        }
        let low = u32::try_from(value).ok();
        let fits = |mask: u32| low.filter(|v| v & !mask == 0);
        let value = match number {
            index::TPR | index::SELF_IPI => fits(0xff)?,
            index::SVR => fits(0xff | SvrFlags::all().bits())?,
            index::EOI | index::ESR => fits(0)?,
            index::INITIAL_COUNT => low?,
            index::DIVIDE => fits(Timer::DIVIDE_BITS)?,
            index::LVT_TIMER..=index::LVT_ERROR => {
                let entry = LvtEntry::at((number - index::LVT_TIMER) as usize)?;
                fits(entry.writable(self.config.tsc_deadline) | entry.read_only())?
            }
            index::ICR => {
                let (low, allowed) = (value as u32, Icr::WRITABLE_LOW | Icr::SEND_PENDING);
                if low & !allowed != 0 {
                    return None;
                }
                let icr = Icr(value & !u64::from(Icr::SEND_PENDING));
                self.apics.get_mut(cpu)?.icr = icr;
                self.send_ipi(cx, cpu, icr);
                return Some(());
            }
            _ => return None,
        };
        if number == index::SELF_IPI {
            self.send_ipi(cx, cpu, Icr(1 << 18 | u64::from(value)));
        } else {
            self.write_register(cx, cpu, number, value);
        }
        Some(())
    }
}

fn read_x2apic(apic: &Lapic, number: u32, now: u64) -> Option<u64> {
    if apic.mode() != Mode::X2Apic {
        return None;
    }
    if number == index::ICR {
        return Some(apic.icr.0);
    }
    apic.register(number, now).map(u64::from)
}
