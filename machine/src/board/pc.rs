//! Machine `pc`: i440FX host bridge, PIIX3, and the ISA devices that come with them.

use super::bios_services::BiosServices;
use super::boot_order::BootOrder;
use super::drives::DriveTable;
use super::firmware::{self, FromResetVector};
use super::for_board::ForBoard;
use super::handover::Handover;
use super::kernel::{Kernel, ROM_PATH};
use super::serial_ports::SerialPort;
use super::slots::{BusAt, PciBuses};
use super::{
    Board, BoardError, bios_services, buses, direct, functions, hmat, hotplug, memory_slots, numa, processor_places,
    processors, sleep_states, video,
};
use crate::block::{Drive, Drives};
use crate::commandline::{Config, DeviceConfig, OptionError, RtcBase};
use crate::machine::{Boot, Interrupts, Machine};
use crate::plug::{Plug, ProcessorPlaces, Slots};
use crate::run::resets_end;
use lockstep_cpu::cpuid::Leaf1Ecx;
use lockstep_devices::catalog::{Creatable, Entry, Made, Surroundings, configured};
use lockstep_devices::coprocessor::{self, CoprocessorError};
use lockstep_devices::dma8237::Dma;
use lockstep_devices::fdc::{self, Fdc, FdcConfig};
use lockstep_devices::fw_cfg::{self, FwCfg, FwCfgItem, FwCfgName};
use lockstep_devices::hpet::{self, Hpet};
use lockstep_devices::i8042::{self, I8042};
use lockstep_devices::i8254::{self, Pit};
use lockstep_devices::i8259::{self, Pics};
use lockstep_devices::ide::{self, Piix3Ide, Piix3IdeConfig};
use lockstep_devices::ioapic::{self, IoApic};
use lockstep_devices::lapic::{self, LocalApics, LocalApicsConfig};
use lockstep_devices::mc146818::{self, Rtc, RtcConfig};
use lockstep_devices::pci::i440fx::{self, I440Fx};
use lockstep_devices::pci::piix3::{self, Piix3};
use lockstep_devices::pci::piix4_pm::{self, Piix4Pm, Piix4PmConfig};
use lockstep_devices::port80::Port80;
use lockstep_devices::port92::{self, Port92};
use lockstep_devices::properties::Chardev;
use lockstep_devices::pvpanic::PvpanicConfig;
use lockstep_devices::uart16550::Uart16550Config;
use lockstep_devices::vmgenid::{self, VmGenIdConfig};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Bus, Clock, Device, DeviceId, Memory, PinId, RegionSpec, Sink};
use lockstep_firmware::bios::{BiosConfig, BiosDrive, BootSettings};
use lockstep_firmware::memory_map::RamLayout;
use lockstep_firmware::platform::PlatformConfig;

/// CMOS byte 14h: a coprocessor and a PS/2 mouse.
const EQUIPMENT: u8 = 0x06;
/// For how many milliseconds a boot menu is offered.
const MENU_WAIT: u16 = 2500;
const CONVENTIONAL: u64 = 0xa_0000;
const ONE_MIB: u64 = 1 << 20;
const FOUR_GIB: u64 = 1 << 32;
/// PAM and SMRAM windows lie over ROM and video memory.
const WINDOW_PRIORITY: i32 = 16;
/// The keyboard controller's name on the bus.
const KEYBOARD: &str = "i8042";
/// IRQ0 reaches input 2 of the I/O APIC, as the MADT says.
const TIMER_GSI: u8 = 2;
/// The name of the IDE function on the bus: drives 0 to 3 are behind it.
pub(crate) const IDE: &str = "piix3-ide";
/// The name of the floppy controller on the bus: drives 0 and 1 are behind it.
pub(crate) const FDC: &str = "fdc";
const DMA: &str = "dma";
const IRQ_TIMER: u8 = 0;
const IRQ_KEYBOARD: u8 = 1;
const IRQ_RTC: u8 = 8;
const IRQ_SCI: u8 = 9;
const IRQ_MOUSE: u8 = 12;
const IRQ_COPROCESSOR: u8 = 13;
const ISA_IRQS: u8 = 16;

/// Builds the board.
pub(super) fn build(config: &Config) -> Result<Board, BoardError> {
    let image = firmware::image(config)?;
    let ram = RamLayout::for_size(config.memory.size);
    let card = video::plan(config)?;
    let card_memory = card.as_ref().map_or(0, video::Card::arena_len);
    let slots = memory_slots::range(config)?;
    let fixed = config.memory.size + firmware::arena_len(&image) + card_memory;
    let modules = slots.map(|slots| slots.end - slots.start);
    let arena = memory_slots::arena(fixed) + modules.unwrap_or(0);
    let memory = Memory::new(arena).map_err(|why| BoardError::Memory { bytes: arena, why })?;
    let bus = Bus::new(memory, Clock::new(config.icount.shift.into()));
    let cpus = processors::build(config)?;
    let mut handover = Handover::read(config)?;
    let mut platform = platform(config, &cpus);
    platform.numa = numa::plan(config)?;
    platform.hmat = hmat::plan(config, &numa::memory(config)?)?;
    sleep_states::describe(config, &mut platform)?;
    handover.describe(&mut platform);

    let mut opened = Drives::open(config)?;
    let mut order = BootOrder::default();
    let (drives, held) = DriveTable::of(config, &mut opened, &mut order)?;
    let mut parts = Parts {
        bus,
        pci: PciBuses::new(),
        pluggable: Vec::new(),
        ports: Vec::new(),
        serial_ports: Vec::new(),
        drives: opened,
        attached: Vec::new(),
        order,
        files: Vec::new(),
        seed: config.seed.unwrap_or(0),
    };
    let wiring = parts.core(config, &ram, &cpus, Fitted { drives: &drives, card: card.as_ref() })?;
    platform.pci_slots = config.machine.acpi.then(|| hotplug::slots(&parts.pci));
    // The board's own drives come first wherever drives are numbered.
    let in_slots = std::mem::take(&mut parts.attached);
    for (name, slot, drive) in held {
        let controller = parts.bus.find(name).unwrap_or(wiring.host);
        parts.attached.push((controller, slot, drive));
    }
    parts.attached.extend(in_slots);
    let generation = parts.owner_of(vmgenid::ADDRESS_FILE);
    let (handed, warnings) = (std::mem::take(&mut handover.files), std::mem::take(&mut handover.warnings));
    let kernel = Kernel::read(config)?;
    let for_firmware = kernel.as_ref().filter(|_| !config.boot.starts_directly());
    let mut offered = for_firmware.map_or(Ok(Vec::new()), |kernel| kernel.items(&platform))?;
    offered.push(FwCfgItem::file("bootorder", parts.order.file(for_firmware.map(|_| ROM_PATH), config.boot.strict)));
    let items = handover.items(config, &platform, offered)?;
    parts.firmware_configuration(items);
    let built_in = image.file.is_none() && kernel.is_none();
    let services = built_in.then(|| {
        let drives = bios_services::drives(&parts.attached, &parts.bus, &parts.order);
        let services = BiosServices::new(bios(config, &platform, drives));
        parts.add("bios", services, &BiosServices::regions())
    });
    let no_room = || BoardError::Memory { bytes: arena, why: std::io::ErrorKind::OutOfMemory.into() };
    firmware::map(&mut parts.bus, wiring.host, &image).ok_or_else(no_room)?;
    let mut files: Vec<_> = image.file.iter().cloned().collect();
    files.extend(card.and_then(|card| card.file));
    files.extend(kernel.iter().flat_map(Kernel::files));
    let boot: Box<dyn Boot> = match kernel.filter(|_| config.boot.starts_directly()) {
        Some(kernel) => Box::new(direct::plan(&kernel, &platform, generation)?),
        None => Box::new(FromResetVector),
    };
    let interrupts = Interrupts {
        local: wiring.lapics,
        external: wiring.pics,
        numeric_errors: (wiring.coprocessor, coprocessor::FERR),
        nmi: (wiring.lapics, lapic::PIN_LINT1),
        power_button: wiring.power,
    };
    let keyboard = parts.bus.find(KEYBOARD);
    let screen = parts.bus.find(video::CARD);
    if let Some(lost) = parts.drives.unclaimed() {
        return Err(OptionError::refused(&lost.origin, "the machine pc has no controller for this drive").into());
    }
    files.extend(handed);
    files.extend_from_slice(parts.drives.files());
    let pluggable = std::mem::take(&mut parts.pluggable);
    let originals = pluggable.into_iter().map(|(id, bus, plug)| {
        let bridge = hotplug::bridge_of(&parts.pci, &parts.bus, bus).unwrap_or(wiring.host);
        (id, Plug { bridge, ..plug })
    });
    let originals = originals.collect();
    let controller = parts.bus.find(hotplug::CONTROLLER);
    let memory = parts.bus.find(memory_slots::CONTROLLER);
    let counting = ["rtc", "fw_cfg"].into_iter().filter_map(|name| parts.bus.find(name));
    let places = ProcessorPlaces {
        controller: parts.bus.find(processor_places::CONTROLLER),
        apics: wiring.lapics,
        counting: counting.collect(),
        most: config.smp.maxcpus as u8,
        seed: config.seed.unwrap_or_default(),
        originals: processors::of_devices(config)?,
    };
    let slots = Slots {
        controller,
        memory,
        places,
        interrupts: wiring.isa,
        make: functions::make,
        spare: parts.drives,
        originals,
    };
    let mut machine = Machine::new(parts.bus, cpus, interrupts, boot, resets_end(config));
    if !config.machine.translates {
        machine.interpret_only();
    }
    machine.set_actions(config.actions);
    for throttle in config.drives.iter().filter_map(|drive| drive.throttle.as_ref()) {
        machine.throttle(&throttle.group, throttle.limits);
    }
    machine.set_slots(slots);
    memory_slots::fit(&mut machine, config)?;
    for (number, (device, slot, drive)) in (0..).zip(parts.attached) {
        machine.attach_drive(device, slot, drive);
        if let Some(services) = services {
            machine.share_drive(services, number, (device, slot));
        }
    }
    Ok(Board {
        machine,
        ports: parts.ports,
        serial_ports: parts.serial_ports,
        power_button: Some(wiring.power),
        keyboard,
        screen,
        boot_order: parts.order,
        files,
        slots: parts.pci,
        warnings: processors::warning(&config.cpu).into_iter().chain(warnings).collect(),
    })
}

/// What the built-in BIOS is told.
fn bios(config: &Config, platform: &PlatformConfig, drives: Vec<BiosDrive>) -> BiosConfig {
    BiosConfig {
        platform: platform.clone(),
        drives,
        serial_console: true,
        floppy_signature_check: config.boot.floppy_signature_check,
        boot: BootSettings {
            menu_wait: config.boot.menu.then_some(config.boot.splash_time.unwrap_or(MENU_WAIT)),
            fail_wait: config.boot.reboot_timeout,
            strict: config.boot.strict,
        },
    }
}

fn platform(config: &Config, cpus: &[lockstep_cpu::Vcpu]) -> PlatformConfig {
    let mut platform = PlatformConfig::pc(cpus.len() as u32, config.memory.size);
    for (port, there) in platform.serial_ports.iter_mut().enumerate() {
        *there = config.serial.get(port).is_some_and(Option::is_some) || has_isa_serial(config, port);
    }
    if let Ok(Some(slots)) = memory_slots::range(config) {
        platform = platform.with_memory_slots(slots);
    }
    platform.apic_ids = processors::apic_ids(cpus);
    let possible = processor_places::apic_ids(config);
    platform.processor_places = processor_places::pluggable(config).then_some(possible);
    platform.cores = config.smp.dies * config.smp.cores;
    platform.threads = config.smp.threads;
    platform.acpi = config.machine.acpi;
    platform.hpet = config.machine.hpet;
    platform.i8042 = config.machine.i8042;
    let first = |driver: &str| config.devices.iter().find(|device| device.driver == driver);
    // What cannot be read is refused when the device is made.
    platform.pvpanic = first(PvpanicConfig::NAME)
        .and_then(|device| configured::<PvpanicConfig>(&device.properties).ok())
        .map(|settings| settings.ioport);
    platform.vm_generation = first(VmGenIdConfig::NAME)
        .and_then(|device| configured::<VmGenIdConfig>(&device.properties).ok())
        .and_then(|settings| settings.number(config.seed.unwrap_or(0)).ok());
    if let Some(uuid) = config.uuid {
        platform.identity.uuid = uuid;
    }
    if let Some(cpu) = cpus.first() {
        platform.cpu_id = (cpu.model.signature, cpu.model.features.leaf1_edx.bits());
        platform.cpu_brand.clone_from(&cpu.model.brand);
        processors::vendor_name(cpu.model.vendor).clone_into(&mut platform.cpu_vendor);
    }
    platform
}

/// Whether a `-device isa-serial` is the serial port of this number.
fn has_isa_serial(config: &Config, port: usize) -> bool {
    let mut ports = config.devices.iter().filter(|device| device.driver == Uart16550Config::NAME);
    ports.any(|device| {
        let settings = configured::<Uart16550Config>(&device.properties);
        settings.is_ok_and(|settings| usize::from(settings.index) == port && settings.iobase.is_none())
    })
}

/// What the board is fitted with.
#[derive(Clone, Copy)]
struct Fitted<'a> {
    drives: &'a DriveTable,
    card: Option<&'a video::Card>,
}

/// The devices that others are wired to.
struct Wiring {
    host: DeviceId,
    isa: DeviceId,
    pics: DeviceId,
    ioapic: DeviceId,
    lapics: DeviceId,
    power: DeviceId,
    coprocessor: DeviceId,
}

/// The board while it is put together.
pub(super) struct Parts {
    pub(super) bus: Bus,
    /// The PCI buses, and what is in their slots.
    pub(super) pci: PciBuses,
    /// The functions that can come and go, and the bus of each.
    pub(super) pluggable: Vec<(DeviceId, BusAt, Plug)>,
    ports: Vec<(DeviceId, String)>,
    /// Ports of virtio console devices.
    pub(super) serial_ports: Vec<SerialPort>,
    /// Drives that no device has taken yet.
    pub(super) drives: Drives,
    /// Drives that devices took, each with its number among the device's drives.
    pub(super) attached: Vec<(DeviceId, u8, Drive)>,
    /// The order of booting, as far as it is known.
    pub(super) order: BootOrder,
    /// Files that devices have for firmware.
    files: Vec<(DeviceId, FwCfgItem)>,
    seed: u64,
}

impl Parts {
    fn add(&mut self, name: &str, device: impl Device + Send + 'static, regions: &[RegionSpec]) -> DeviceId {
        let id = self.bus.add(name, Box::new(device));
        for region in regions {
            self.bus.map(id, *region);
        }
        id
    }

    /// The device that has this file for firmware.
    fn owner_of(&self, file: &str) -> Option<DeviceId> {
        let named = |item: &FwCfgItem| matches!(&item.name, FwCfgName::File(name) if name == file);
        self.files.iter().find(|(_, item)| named(item)).map(|(owner, _)| *owner)
    }

    /// The firmware configuration device, with the board's items and the devices'.
    fn firmware_configuration(&mut self, mut items: Vec<FwCfgItem>) {
        let files = std::mem::take(&mut self.files);
        items.extend(files.iter().map(|(_, file)| file.clone()));
        let mut device = FwCfg::new(items);
        for (owner, file) in files {
            if let FwCfgName::File(name) = file.name {
                device.watch(&name, owner);
            }
        }
        self.add("fw_cfg", device, &fw_cfg::REGIONS);
    }

    pub(super) fn connect(&mut self, from: DeviceId, pin: PinId, to: DeviceId, input: PinId) {
        self.bus.wire(from, pin, Sink::Device(to, input));
    }

    /// Everything that every `pc` has, and what the command line adds.
    fn core(
        &mut self,
        config: &Config,
        ram: &RamLayout,
        cpus: &[lockstep_cpu::Vcpu],
        fitted: Fitted<'_>,
    ) -> Result<Wiring, BoardError> {
        let drives = fitted.drives;
        let host = self.bridges(config, ram, fitted)?;
        let pics = self.add("i8259", Pics::new(), &Pics::regions());
        let ioapic = self.add("ioapic", IoApic::new(), &[ioapic::REGION]);
        let announced = |feature| cpus.iter().all(|cpu| cpu.model.features.leaf1_ecx.contains(feature));
        let apics = LocalApicsConfig {
            ids: processor_places::apic_ids(config),
            ioapic: Some(ioapic),
            physical_bits: cpus.first().map_or(36, |cpu| cpu.model.physical_bits as u8),
            x2apic: announced(Leaf1Ecx::X2APIC),
            tsc_deadline: announced(Leaf1Ecx::TSC_DEADLINE),
        };
        let lapics = self.add("apic", LocalApics::new(apics), &lapic::REGIONS);
        self.bus.set_msi_target(lapics);
        self.connect(pics, i8259::INTR, lapics, lapic::PIN_LINT0);
        let isa = self.bus.find("piix3").unwrap_or(host);
        let power = self.bus.find("piix4-pm").unwrap_or(host);
        let coprocessor = self.add("coprocessor", CoprocessorError::new(), &CoprocessorError::regions());
        self.connect(coprocessor, coprocessor::IRQ, isa, piix3::pin_isa(IRQ_COPROCESSOR));
        let wiring = Wiring { host, isa, pics, ioapic, lapics, power, coprocessor };
        for irq in 1..ISA_IRQS {
            self.connect(isa, piix3::pin_irq(irq), pics, PinId(irq.into()));
            if irq != TIMER_GSI {
                self.connect(isa, piix3::pin_irq(irq), ioapic, ioapic::pin(irq));
            }
        }
        self.connect(power, piix4_pm::PIN_SCI, isa, piix3::pin_isa(IRQ_SCI));
        if config.machine.acpi {
            hotplug::add_controller(self, power);
            memory_slots::add_controller(self, config, power);
            processor_places::add_controller(self, config, power, cpus);
        }
        self.timers(config, drives, cpus.len(), &wiring);
        self.controls(config, &wiring);
        self.storage(drives, &wiring);
        for (index, chardev) in config.serial.iter().enumerate() {
            if let Some(chardev) = chardev {
                self.serial(index as u8, chardev, &wiring)?;
            }
        }
        for device in &config.devices {
            let part = Entry::find(&device.driver).is_some_and(|entry| entry.part_bus().is_some());
            let other = video::is_card(device)
                || functions::needs_slot(device)
                || memory_slots::is_module(device)
                || processor_places::is_processor(device);
            if !part && !other {
                self.device(config, device, &wiring)?;
            }
        }
        Ok(wiring)
    }

    fn bridges(&mut self, config: &Config, ram: &RamLayout, fitted: Fitted<'_>) -> Result<DeviceId, BoardError> {
        let Fitted { drives, card } = fitted;
        let piix3 = self.add("piix3", Piix3::new(), &[piix3::REGION]);
        let preset = config.boot.starts_directly();
        let pm = Piix4Pm::new(Piix4PmConfig { preset, s4_type: sleep_states::of(config)?.s4_type.into() });
        let power = self.add("piix4-pm", pm, &piix4_pm::REGIONS);
        let ide = Piix3Ide::new(Piix3IdeConfig { preset, drives: drives.ide.clone() });
        let ide = self.add(IDE, ide, &ide::REGIONS);
        self.pci.put(piix3::PLACE, "PIIX3", Some(piix3));
        self.pci.put(ide::PLACE, "piix3-ide", Some(ide));
        self.pci.put(piix4_pm::PLACE, "PIIX4_PM", Some(power));
        functions::install(self, config, piix3, card)?;
        let mut bridge = I440Fx::new();
        for (place, function, multifunction) in self.pci.functions(BusAt::ROOT) {
            bridge.attach(place, function, multifunction);
        }
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
    fn timers(&mut self, config: &Config, drives: &DriveTable, cpus: usize, to: &Wiring) {
        let base = match config.rtc.base {
            RtcBase::At(seconds) => seconds,
            RtcBase::Utc | RtcBase::LocalTime => 0,
        };
        let letters = |letters: Option<&String>| config.boot.letters(letters.map(String::as_str));
        let usual = letters(config.boot.order.as_ref());
        let once = config.boot.once.as_ref();
        let mut cmos = cmos(config, drives, cpus);
        cmos.extend(once.map_or(usual, |once| letters(Some(once))));
        let after_first_reset = once.map_or(Vec::new(), |_| usual.to_vec());
        let rtc = Rtc::new(&RtcConfig { base, cmos, after_first_reset });
        let rtc = self.add("rtc", rtc, &Rtc::regions());
        self.connect(to.power, piix4_pm::PIN_RESUME, rtc, mc146818::PIN_RESUME);
        self.connect(to.power, piix4_pm::PIN_RESUME, to.host, i440fx::PIN_RESUME);
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
        self.add(DMA, Dma::new(), &Dma::regions());
        if config.machine.i8042 {
            let keyboard = self.add(KEYBOARD, I8042::new(), &I8042::regions());
            self.connect(keyboard, i8042::IRQ_KEYBOARD, to.isa, piix3::pin_isa(IRQ_KEYBOARD));
            self.connect(keyboard, i8042::IRQ_MOUSE, to.isa, piix3::pin_isa(IRQ_MOUSE));
            self.connect(keyboard, i8042::A20, port92, port92::KEYBOARD_A20);
        }
    }

    /// The floppy controller on its DMA channel, and the interrupts of disks.
    fn storage(&mut self, drives: &DriveTable, to: &Wiring) {
        let dma = self.bus.find(DMA);
        let floppies = FdcConfig { dma, drives: drives.floppies.clone() };
        let floppy = self.add(FDC, Fdc::new(floppies), &fdc::REGIONS);
        self.connect(floppy, fdc::PIN_IRQ, to.isa, piix3::pin_isa(fdc::IRQ));
        if let Some(ide) = self.bus.find(IDE) {
            for channel in 0..2 {
                self.connect(ide, ide::pin_irq(channel), to.isa, piix3::pin_isa(ide::irq(channel)));
            }
        }
    }

    fn serial(&mut self, index: u8, chardev: &str, to: &Wiring) -> Result<(), BoardError> {
        let settings = Uart16550Config { index, chardev: Some(Chardev(chardev.into())), ..Uart16550Config::default() };
        let option = format!("-serial {chardev}");
        let made = settings.make().map_err(|why| OptionError::refused(&option, why.to_string()))?;
        self.install(&format!("serial{index}"), &option, made, to)
    }

    /// One `-device`.
    fn device(&mut self, config: &Config, device: &DeviceConfig, to: &Wiring) -> Result<(), BoardError> {
        let name = self.name_for(device)?;
        let refused = |why: String| OptionError::refused(&device.origin, why);
        let (board, own) = ForBoard::split(device)?;
        if let Some(bus) = board.bus.as_deref().filter(|bus| *bus != buses::ISA) {
            return Err(buses::refuse(config, device, bus).into());
        }
        let entry = Entry::find(&device.driver).ok_or_else(|| refused("there is no such device".into()))?;
        let surroundings = Surroundings { seed: self.seed, ..Surroundings::default() };
        let made = entry.make_within(&own, &surroundings).map_err(|why| refused(why.to_string()))?;
        self.install(&name, &device.origin, made, to)
    }

    /// The name on the bus for a device of `-device`: its id, which must not be one of the board's own names.
    pub(super) fn name_for(&self, device: &DeviceConfig) -> Result<String, OptionError> {
        let made_up = || format!("device{}", self.bus.devices().count());
        let name = device.id.clone().unwrap_or_else(made_up);
        if self.bus.find(&name).is_some() {
            return Err(OptionError::refused(&device.origin, format!("there is already a device '{name}'")));
        }
        Ok(name)
    }

    /// Adds what the catalog made and connects it.
    fn install(&mut self, name: &str, option: &str, made: Made, to: &Wiring) -> Result<(), BoardError> {
        if let Some((base, owner)) = made.regions.iter().find_map(|region| self.taken(region)) {
            let why = format!("{base:#x} is taken by '{}'", self.bus.name(owner));
            return Err(OptionError::refused(option, why).into());
        }
        if made.files.iter().any(|file| self.files.iter().any(|(_, other)| other.name == file.name)) {
            return Err(OptionError::refused(option, "there can be only one").into());
        }
        let id = self.bus.add(name, made.device);
        self.files.extend(made.files.into_iter().map(|file| (id, file)));
        for region in made.regions {
            self.bus.map(id, region);
        }
        for (pin, event) in made.events {
            self.connect(id, pin, to.power, piix4_pm::pin_gpe(event));
        }
        for (pin, irq) in made.irqs {
            self.connect(id, pin, to.isa, piix3::pin_isa(irq));
        }
        self.ports.extend(made.chardev.map(|chardev| (id, chardev)));
        Ok(())
    }

    /// Where another device's region would hide `region` or be hidden by it, and whose it is.
    fn taken(&self, region: &RegionSpec) -> Option<(u64, DeviceId)> {
        let (base, len) = (region.base?, region.len);
        let others = self.bus.space(region.space).regions().iter().filter(|r| r.priority == region.priority);
        let mut overlaps = others.filter_map(|r| Some((r.base?, r.len, r.owner)));
        overlaps.find(|(at, l, _)| base < at + l && *at < base + len).map(|(at, _, owner)| (base.max(at), owner))
    }
}

/// What a PC's CMOS memory says of its RAM, processors and drives.
fn cmos(config: &Config, drives: &DriveTable, cpus: usize) -> Vec<(u8, u8)> {
    let ram = RamLayout::for_size(config.memory.size);
    let kib = |bytes: u64| bytes / 1024;
    let conventional = 640u64;
    let extended = kib(ram.below_4g.saturating_sub(ONE_MIB)).min(0xffff);
    let above_16m = (ram.below_4g.saturating_sub(16 * ONE_MIB) / (64 << 10)).min(0xffff);
    let above_4g = ram.above_4g / (64 << 10);
    let byte = |value: u64, at: u32| (value >> (8 * at)) as u8;
    let mut bytes = vec![
        (0x14, EQUIPMENT | drives.equipment()),
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
        (mc146818::PROCESSORS, cpus.saturating_sub(1) as u8),
    ];
    bytes.extend(drives.cmos());
    bytes
}
