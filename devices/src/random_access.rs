//! Random accesses, inputs and time over the whole platform: nothing panics, and what was saved can be loaded.

use crate::fw_cfg::{self, FwCfg, FwCfgItem};
use crate::hpet::{self, Hpet};
use crate::ioapic::{self, IoApic};
use crate::lapic::{self, LocalApics, LocalApicsConfig};
use crate::pci::i440fx::{self, I440Fx};
use crate::pci::piix3::{self, Piix3};
use crate::pci::piix4_pm::{self, Piix4Pm, Piix4PmConfig};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Bus, Clock, Cpu, DeviceId, Input, Memory, PinId, RegionSpec, Sink, Width};

const RAM: u64 = 0x10_0000;
const CPUS: u8 = 3;

/// A xorshift generator: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.roll() >> 11) % n
    }

    /// Small, large or anything: random 64-bit values alone would seldom mean anything to a register.
    fn value(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(256),
            1 => 1 << self.below(64),
            2 => u64::MAX,
            _ => self.roll(),
        }
    }
}

struct Platform {
    bus: Bus,
    regions: Vec<RegionSpec>,
}

impl Platform {
    fn add(&mut self, device: DeviceId, regions: &[RegionSpec]) {
        for spec in regions {
            self.bus.map(device, *spec);
            self.regions.push(*spec);
        }
    }

    fn new() -> Self {
        let mut memory = Memory::new(RAM).unwrap();
        let ram = memory.allocate(RAM).unwrap();
        let mut bus = Bus::new(memory, Clock::new(0));
        let ioapic = bus.add("ioapic", Box::new(IoApic::new()));
        let config = LocalApicsConfig {
            ids: (0..CPUS).collect(),
            ioapic: Some(ioapic),
            physical_bits: 40,
            x2apic: true,
            tsc_deadline: true,
        };
        let apics = bus.add("apic", Box::new(LocalApics::new(config)));
        let hpet = bus.add("hpet", Box::new(Hpet::new(0xff_ffff)));
        let isa = bus.add("isa", Box::new(Piix3::new()));
        let pm = bus.add("pm", Box::new(Piix4Pm::new(Piix4PmConfig { preset: true, ..Default::default() })));
        let writable = FwCfgItem { writable: true, ..FwCfgItem::file("etc/writable", vec![0; 64]) };
        let files = vec![FwCfgItem::file("etc/e820", vec![1; 100]), writable];
        let firmware = bus.add("fw_cfg", Box::new(FwCfg::new(files)));
        let mut host = I440Fx::new();
        host.attach(piix3::PLACE, isa, false);
        host.attach(piix4_pm::PLACE, pm, false);
        let host = bus.add("host", Box::new(host));
        let mut platform = Self { bus, regions: Vec::new() };
        platform.add(ioapic, &[ioapic::REGION]);
        platform.add(apics, &lapic::REGIONS);
        platform.add(hpet, &[hpet::REGION]);
        platform.add(isa, &[piix3::REGION]);
        platform.add(pm, &piix4_pm::REGIONS);
        platform.add(firmware, &fw_cfg::REGIONS);
        platform.add(host, &[i440fx::REGION]);
        let bus = &mut platform.bus;
        bus.set_msi_target(apics);
        bus.memory.add_region(Region {
            owner: host,
            index: 100,
            base: Some(0),
            len: RAM,
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(ram),
        });
        for pin in 0..ioapic::PINS as u8 {
            bus.wire(hpet, hpet::pin_gsi(pin), Sink::Device(ioapic, ioapic::pin(pin)));
            bus.wire(isa, piix3::pin_irq(pin), Sink::Device(ioapic, ioapic::pin(pin)));
        }
        bus.wire(pm, piix4_pm::PIN_SCI, Sink::Device(isa, piix3::pin_isa(9)));
        bus.reset();
        platform
    }

    fn step(&mut self, dice: &mut Dice) {
        let bus = &mut self.bus;
        let devices: Vec<_> = bus.devices().collect();
        let any = devices[dice.below(devices.len() as u64) as usize];
        let cpu = Cpu(dice.below(u64::from(CPUS) + 1) as u8);
        match dice.below(40) {
            0 => bus.drive(any, PinId(dice.below(0x200) as u16), dice.below(2) == 1),
            1 => bus.input(any, &Input::Msi { address: 0xfee0_0000 | dice.below(1 << 20), data: dice.value() as u32 }),
            2 => bus.input(any, &Input::EndOfInterrupt(dice.value() as u8)),
            3 => bus.input(any, &Input::PowerButton),
            4 => drop(bus.acknowledge(any, cpu)),
            // As the machine does: never past a deadline.
            5 => {
                let magnitude = dice.below(40);
                let later = bus.clock.now() + dice.below(1 << magnitude);
                bus.advance(later.min(bus.clock.next_deadline()));
            }
            6 if dice.below(200) == 0 => bus.reset(),
            _ => {
                let spec = self.regions[dice.below(self.regions.len() as u64) as usize];
                let base = spec.base.unwrap_or(0x600);
                let offset = dice.below(spec.len + 2);
                // Half of the accesses to memory are aligned to where registers are.
                let offset = if spec.len > 0x100 && dice.below(2) == 0 { offset & !15 } else { offset };
                let width = Width::of(1 << dice.below(4)).unwrap();
                if dice.below(3) == 0 {
                    let _ = bus.read(spec.space, base + offset, width, cpu);
                } else {
                    let _ = bus.write(spec.space, base + offset, width, dice.value() & width.mask(), cpu);
                }
            }
        }
        bus.take_output();
        bus.take_signals();
    }
}

#[test]
fn nothing_a_guest_does_panics_and_every_state_can_be_saved_and_loaded() {
    for seed in 1..=8 {
        let (mut dice, mut platform) = (Dice(0x9e37_79b9_7f4a_7c15 ^ seed), Platform::new());
        for _ in 0..40_000 {
            platform.step(&mut dice);
        }
        let saved = platform.bus.save().unwrap();
        let mut other = Platform::new();
        other.bus.load(&saved).unwrap();
        let mut same = Dice(dice.0);
        for _ in 0..2_000 {
            platform.step(&mut dice);
            other.step(&mut same);
        }
        assert_eq!(platform.bus.save().unwrap(), other.bus.save().unwrap(), "seed {seed}");
    }
}
