//! Machine `pc`: i440FX host bridge, PIIX3, and the ISA devices that come with them.

use super::bios_services::BiosServices;
use super::firmware::{self, FromResetVector};
use super::{Board, BoardError, direct, processors};
use crate::commandline::{Config, DeviceConfig, RtcBase};
use crate::machine::{Boot, Interrupts, Machine};
use crate::run::resets_end;
use lockstep_devices::debug_exit::{DebugExit, DebugExitConfig};
use lockstep_devices::debugcon::{Debugcon, DebugconConfig};
use lockstep_devices::dma8237::Dma;
use lockstep_devices::fw_cfg::{self, FwCfg, FwCfgItem, key};
use lockstep_devices::hpet::{self, Hpet};
use lockstep_devices::i8042::{self, I8042};
use lockstep_devices::i8254::{self, Pit};
use lockstep_devices::i8259::{self, Pics};
use lockstep_devices::ioapic::{self, IoApic};
use lockstep_devices::lapic::{self, LocalApics, LocalApicsConfig};
use lockstep_devices::mc146818::{self, Rtc, RtcConfig};
use lockstep_devices::pci::i440fx::{self, I440Fx};
use lockstep_devices::pci::piix3::{self, Piix3};
use lockstep_devices::pci::piix4_pm::{self, Piix4Pm, Piix4PmConfig};
use lockstep_devices::port80::Port80;
use lockstep_devices::port92::{self, Port92};
use lockstep_devices::uart16550::{self, Uart16550, Uart16550Config};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Bus, Clock, Device, DeviceId, Memory, PinId, RegionSpec, Sink};
use lockstep_firmware::bios::BiosConfig;
use lockstep_firmware::memory_map::RamLayout;
use lockstep_firmware::platform::{self, PlatformConfig};

const CONVENTIONAL: u64 = 0xa_0000;
const ONE_MIB: u64 = 1 << 20;
const FOUR_GIB: u64 = 1 << 32;
/// PAM and SMRAM windows lie over ROM and video memory.
const WINDOW_PRIORITY: i32 = 16;
/// IRQ0 reaches input 2 of the I/O APIC, as the MADT says.
const TIMER_GSI: u8 = 2;
const IRQ_TIMER: u8 = 0;
const IRQ_KEYBOARD: u8 = 1;
const IRQ_RTC: u8 = 8;
const IRQ_SCI: u8 = 9;
const IRQ_MOUSE: u8 = 12;
const ISA_IRQS: u8 = 16;

/// Builds the board.
pub(super) fn build(config: &Config) -> Result<Board, BoardError> {
    let image = firmware::image(config)?;
    let ram = RamLayout::for_size(config.memory.size);
    let arena = config.memory.size + firmware::arena_len(&image);
    let memory = Memory::new(arena).map_err(|why| BoardError::Memory { bytes: arena, why })?;
    let bus = Bus::new(memory, Clock::new(config.icount.shift.into()));
    let cpus = processors::build(config)?;
    let platform = platform(config, &cpus);

    let mut parts = Parts { bus, ports: Vec::new() };
    let wiring = parts.core(config, &ram, &cpus)?;
    parts.add("fw_cfg", FwCfg::new(fw_cfg_items(config, &platform)), &fw_cfg::REGIONS);
    if image.file.is_none() && config.boot.kernel.is_none() {
        parts.add("bios", BiosServices::new(bios(config, &platform)), &BiosServices::regions());
    }
    let no_room = || BoardError::Memory { bytes: arena, why: std::io::ErrorKind::OutOfMemory.into() };
    firmware::map(&mut parts.bus, wiring.host, &image).ok_or_else(no_room)?;
    let mut files: Vec<_> = image.file.iter().cloned().collect();
    let boot: Box<dyn Boot> = match direct::plan(config, &platform)? {
        Some((plan, booted)) => {
            files.extend(booted);
            Box::new(plan)
        }
        None => Box::new(FromResetVector),
    };
    let interrupts = Interrupts { local: wiring.lapics, external: wiring.pics };
    let machine = Machine::new(parts.bus, cpus, interrupts, boot, resets_end(config));
    Ok(Board { machine, ports: parts.ports, power_button: Some(wiring.power), files })
}

/// What the built-in BIOS is told.
fn bios(config: &Config, platform: &PlatformConfig) -> BiosConfig {
    BiosConfig {
        platform: platform.clone(),
        drives: Vec::new(),
        serial_console: true,
        floppy_signature_check: config.boot.floppy_signature_check,
    }
}

fn platform(config: &Config, cpus: &[lockstep_cpu::Vcpu]) -> PlatformConfig {
    let mut platform = PlatformConfig::pc(cpus.len() as u32, config.memory.size);
    for (port, there) in platform.serial_ports.iter_mut().enumerate() {
        *there = config.serial.get(port).is_some_and(Option::is_some);
    }
    platform.hpet = config.machine.hpet;
    platform.i8042 = config.machine.i8042;
    if let Some(uuid) = config.uuid {
        platform.identity.uuid = uuid;
    }
    if let Some(cpu) = cpus.first() {
        platform.cpu_id = (cpu.model.signature, 0);
    }
    platform
}

/// The devices that others are wired to.
struct Wiring {
    host: DeviceId,
    isa: DeviceId,
    pics: DeviceId,
    ioapic: DeviceId,
    lapics: DeviceId,
    power: DeviceId,
}

/// The board while it is put together.
struct Parts {
    bus: Bus,
    ports: Vec<(DeviceId, String)>,
}

impl Parts {
    fn add(&mut self, name: &str, device: impl Device + Send + 'static, regions: &[RegionSpec]) -> DeviceId {
        let id = self.bus.add(name, Box::new(device));
        for region in regions {
            self.bus.map(id, *region);
        }
        id
    }

    fn connect(&mut self, from: DeviceId, pin: PinId, to: DeviceId, input: PinId) {
        self.bus.wire(from, pin, Sink::Device(to, input));
    }

    /// Everything that every `pc` has, and what the command line adds.
    fn core(&mut self, config: &Config, ram: &RamLayout, cpus: &[lockstep_cpu::Vcpu]) -> Result<Wiring, BoardError> {
        let host = self.bridges(config, ram)?;
        let pics = self.add("i8259", Pics::new(), &Pics::regions());
        let ioapic = self.add("ioapic", IoApic::new(), &[ioapic::REGION]);
        let apics = LocalApicsConfig {
            cpus: cpus.len() as u8,
            ioapic: Some(ioapic),
            physical_bits: cpus.first().map_or(36, |cpu| cpu.model.physical_bits as u8),
            x2apic: true,
            tsc_deadline: true,
        };
        let lapics = self.add("apic", LocalApics::new(apics), &lapic::REGIONS);
        self.bus.set_msi_target(lapics);
        self.connect(pics, i8259::INTR, lapics, lapic::PIN_LINT0);
        let isa = self.bus.find("piix3").unwrap_or(host);
        let power = self.bus.find("piix4-pm").unwrap_or(host);
        let wiring = Wiring { host, isa, pics, ioapic, lapics, power };
        for irq in 1..ISA_IRQS {
            self.connect(isa, piix3::pin_irq(irq), pics, PinId(irq.into()));
            if irq != TIMER_GSI {
                self.connect(isa, piix3::pin_irq(irq), ioapic, ioapic::pin(irq));
            }
        }
        self.connect(power, piix4_pm::PIN_SCI, isa, piix3::pin_isa(IRQ_SCI));
        self.timers(config, &wiring);
        self.controls(config, &wiring);
        for (index, chardev) in config.serial.iter().enumerate() {
            if let Some(chardev) = chardev {
                self.serial(index as u8, chardev, &wiring);
            }
        }
        for device in &config.devices {
            self.device(device)?;
        }
        Ok(wiring)
    }

    fn bridges(&mut self, config: &Config, ram: &RamLayout) -> Result<DeviceId, BoardError> {
        let piix3 = self.add("piix3", Piix3::new(), &[piix3::REGION]);
        let preset = config.boot.kernel.is_some();
        let pm = Piix4Pm::new(Piix4PmConfig { preset, s3: false });
        let power = self.add("piix4-pm", pm, &piix4_pm::REGIONS);
        let mut bridge = I440Fx::new();
        bridge.attach(piix3::PLACE, piix3);
        bridge.attach(piix4_pm::PLACE, power);
        let host = self.add("i440fx", bridge, &[i440fx::REGION]);
        self.ram(host, ram)?;
        Ok(host)
    }

    /// RAM below the hole and above 4 GiB, and the windows that the host bridge opens onto what video and ROM cover.
    fn ram(&mut self, host: DeviceId, ram: &RamLayout) -> Result<(), BoardError> {
        let total = ram.below_4g + ram.above_4g;
        let at = self
            .bus
            .memory
            .allocate(total)
            .ok_or_else(|| BoardError::Memory { bytes: total, why: std::io::ErrorKind::OutOfMemory.into() })?;
        let piece = |index, base: u64, end: u64, offset: u64| Region {
            owner: host,
            index,
            base: Some(base),
            len: end.saturating_sub(base),
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(offset),
        };
        self.bus.memory.add_region(piece(0xe0, 0, ram.below_4g.min(CONVENTIONAL), at));
        self.bus.memory.add_region(piece(0xe1, ONE_MIB, ram.below_4g.max(ONE_MIB), at + ONE_MIB));
        if ram.above_4g > 0 {
            self.bus.memory.add_region(piece(0xe2, FOUR_GIB, FOUR_GIB + ram.above_4g, at + ram.below_4g));
        }
        for window in i440fx::WINDOWS.iter().filter(|w| w.base + w.len <= ram.below_4g) {
            self.bus.memory.add_region(Region {
                priority: WINDOW_PRIORITY,
                reads: false,
                writes: false,
                ..piece(window.region, window.base, window.base + window.len, at + window.base)
            });
        }
        Ok(())
    }

    /// 8254, RTC and HPET, and the lines that the HPET takes over from the others.
    fn timers(&mut self, config: &Config, to: &Wiring) {
        let base = match config.rtc.base {
            RtcBase::At(seconds) => seconds,
            RtcBase::Utc | RtcBase::LocalTime => 0,
        };
        let rtc = Rtc::new(&RtcConfig { base, cmos: cmos(config) });
        let rtc = self.add("rtc", rtc, &Rtc::regions());
        let pit = self.add("pit", Pit::new(), &Pit::regions());
        let (timer, alarm) = if config.machine.hpet {
            let hpet = self.add("hpet", Hpet::new(hpet::PIIX_ROUTES), &[hpet::REGION]);
            self.connect(pit, i8254::OUT0, hpet, hpet::PIN_PIT_IN);
            self.connect(rtc, mc146818::IRQ, hpet, hpet::PIN_RTC_IN);
            self.connect(hpet, hpet::pin_gsi(TIMER_GSI), to.ioapic, ioapic::pin(TIMER_GSI));
            ((hpet, hpet::PIN_IRQ0), (hpet, hpet::PIN_IRQ8))
        } else {
            ((pit, i8254::OUT0), (rtc, mc146818::IRQ))
        };
        self.connect(timer.0, timer.1, to.pics, PinId(IRQ_TIMER.into()));
        self.connect(timer.0, timer.1, to.ioapic, ioapic::pin(TIMER_GSI));
        self.connect(alarm.0, alarm.1, to.isa, piix3::pin_isa(IRQ_RTC));
    }

    /// Keyboard controller, A20, diagnostic code.
    fn controls(&mut self, config: &Config, to: &Wiring) {
        let port92 = self.add("port92", Port92::new(), &Port92::regions());
        self.add("port80", Port80::new(), &Port80::regions());
        self.add("dma", Dma::new(), &Dma::regions());
        if config.machine.i8042 {
            let keyboard = self.add("i8042", I8042::new(), &I8042::regions());
            self.connect(keyboard, i8042::IRQ_KEYBOARD, to.isa, piix3::pin_isa(IRQ_KEYBOARD));
            self.connect(keyboard, i8042::IRQ_MOUSE, to.isa, piix3::pin_isa(IRQ_MOUSE));
            self.connect(keyboard, i8042::A20, port92, port92::KEYBOARD_A20);
        }
    }

    fn serial(&mut self, index: u8, chardev: &str, to: &Wiring) {
        let settings = Uart16550Config { index, chardev: Some(chardev.into()), ..Uart16550Config::default() };
        let uart = self.add(&format!("serial{index}"), Uart16550::new(), &Uart16550::regions(&settings));
        self.connect(uart, uart16550::IRQ, to.isa, piix3::pin_isa(settings.irq()));
        self.ports.push((uart, chardev.into()));
    }

    /// One `-device`.
    fn device(&mut self, device: &DeviceConfig) -> Result<(), BoardError> {
        let name = device.id.clone().unwrap_or_else(|| format!("device{}", self.bus.devices().count()));
        let port = |property: &str, default: u16| device.number(property).map_or(default, |n| n as u16);
        match device.driver.as_str() {
            "isa-debug-exit" => {
                let usual = DebugExitConfig::default();
                let settings =
                    DebugExitConfig { iobase: port("iobase", usual.iobase), iosize: port("iosize", usual.iosize) };
                self.add(&name, DebugExit::new(), &DebugExit::regions(&settings));
            }
            "isa-debugcon" => {
                let usual = DebugconConfig::default();
                let chardev = device.property("chardev").map(str::to_owned);
                let settings = DebugconConfig {
                    iobase: port("iobase", usual.iobase),
                    readback: device.number("readback").map_or(usual.readback, |n| n as u8),
                    chardev: chardev.clone(),
                };
                let id = self.add(&name, Debugcon::new(&settings), &Debugcon::regions(&settings));
                self.ports.extend(chardev.map(|chardev| (id, chardev)));
            }
            other => {
                return Err(BoardError::Refused {
                    option: format!("-device {other}"),
                    why: "the machine pc has no such device yet".into(),
                });
            }
        }
        Ok(())
    }
}

/// What firmware asks fw_cfg for.
fn fw_cfg_items(config: &Config, platform: &PlatformConfig) -> Vec<FwCfgItem> {
    let files = platform::fw_cfg_files(platform).into_iter().map(|file| FwCfgItem::file(&file.name, file.bytes));
    let cpus = config.smp.cpus as u16;
    let mut items: Vec<_> = files.collect();
    items.extend([
        FwCfgItem::key(key::UUID, config.uuid.unwrap_or_default().to_vec()),
        FwCfgItem::key(key::RAM_SIZE, config.memory.size.to_le_bytes().to_vec()),
        FwCfgItem::key(key::NOGRAPHIC, 1u16.to_le_bytes().to_vec()),
        FwCfgItem::key(key::NB_CPUS, cpus.to_le_bytes().to_vec()),
        FwCfgItem::key(key::MAX_CPUS, (config.smp.maxcpus as u16).to_le_bytes().to_vec()),
        FwCfgItem::key(key::BOOT_MENU, u16::from(config.boot.menu).to_le_bytes().to_vec()),
        FwCfgItem::key(key::IRQ0_OVERRIDE, 1u32.to_le_bytes().to_vec()),
    ]);
    items
}

/// What a PC's CMOS memory says of its RAM and processors.
fn cmos(config: &Config) -> Vec<(u8, u8)> {
    let ram = RamLayout::for_size(config.memory.size);
    let kib = |bytes: u64| bytes / 1024;
    let conventional = 640u64;
    let extended = kib(ram.below_4g.saturating_sub(ONE_MIB)).min(0xffff);
    let above_16m = (ram.below_4g.saturating_sub(16 * ONE_MIB) / (64 << 10)).min(0xffff);
    let above_4g = ram.above_4g / (64 << 10);
    let byte = |value: u64, at: u32| (value >> (8 * at)) as u8;
    vec![
        (0x14, 0x06),
        (0x15, byte(conventional, 0)),
        (0x16, byte(conventional, 1)),
        (0x17, byte(extended, 0)),
        (0x18, byte(extended, 1)),
        (0x30, byte(extended, 0)),
        (0x31, byte(extended, 1)),
        (0x34, byte(above_16m, 0)),
        (0x35, byte(above_16m, 1)),
        (0x5b, byte(above_4g, 0)),
        (0x5c, byte(above_4g, 1)),
        (0x5d, byte(above_4g, 2)),
        (0x5f, (config.smp.cpus - 1) as u8),
    ]
}
