//! pvpanic: the register by which a guest says that its kernel has panicked (QEMU's docs/specs/pvpanic), as an ISA port
//! that ACPI tells of and as a PCI function.

use crate::catalog::{Creatable, Made};
use crate::fw_cfg::FwCfgItem;
use crate::pci::{Bar, BarKind, ConfigSpace, Identity, SUBSYSTEM};
use crate::ports::ports;
use crate::properties::{PropertyError, configuration};
use bitflags::bitflags;
use lockstep_fabric::{Cx, Device, MachineRequest, Notice, PciFunction, Reg, RegionSpec, Space, Width};
use serde::{Deserialize, Serialize};

/// The fw_cfg file that tells the port.
pub const PORT_FILE: &str = "etc/pvpanic-port";

bitflags! {
    /// What the guest can tell.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Events: u8 {
        /// The kernel has panicked.
        const PANICKED = 1 << 0;
        /// The kernel has panicked, and a kernel that was loaded for that will run.
        const CRASH_LOADED = 1 << 1;
    }
}

impl Events {
    /// The guest tells of these.
    fn tell(self, cx: &mut Cx<'_>) {
        if self.contains(Self::PANICKED) {
            cx.request(MachineRequest::GuestPanicked);
        } else if self.contains(Self::CRASH_LOADED) {
            cx.tell(Notice::GuestCrashLoaded);
        }
    }
}

const ALL: u8 = Events::all().bits();

configuration! {
    /// Where the port lies.
    pub struct PvpanicConfig {
        /// The port.
        pub ioport: u16 = 0x505,
        /// The events that the guest is told it can send.
        pub events: u8 = ALL,
    }
}

impl Creatable for PvpanicConfig {
    const NAME: &'static str = "pvpanic";
    const ABOUT: &'static str = "the guest tells of its kernel's panic by an ISA port";

    fn make(self) -> Result<Made, PropertyError> {
        let file = FwCfgItem::file(PORT_FILE, self.ioport.to_le_bytes().to_vec());
        let made = Made::new(Pvpanic::new(self.events), &Pvpanic::regions(&self));
        Ok(Made { files: vec![file], ..made })
    }
}

/// The port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pvpanic {
    events: u8,
}

impl Pvpanic {
    /// A port that says that it takes these events.
    pub fn new(events: u8) -> Self {
        Self { events }
    }

    /// The configured port.
    pub fn regions(config: &PvpanicConfig) -> [RegionSpec; 1] {
        [ports(0, config.ioport, 1)]
    }
}

impl Device for Pvpanic {
    fn kind(&self) -> &'static str {
        PvpanicConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
        self.events.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, _at: Reg, _width: Width, value: u64) {
        Events::from_bits_truncate(value as u8).tell(cx);
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {}
}

configuration! {
    /// What the guest is told.
    pub struct PvpanicPciConfig {
        /// The events that the guest is told it can send.
        pub events: u8 = ALL,
    }
}

impl Creatable for PvpanicPciConfig {
    const NAME: &'static str = "pvpanic-pci";
    const ABOUT: &'static str = "the guest tells of its kernel's panic by a PCI function";

    fn make(self) -> Result<Made, PropertyError> {
        Ok(Made::new(PvpanicPci::new(self.events), &PvpanicPci::REGIONS))
    }
}

/// The function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PvpanicPci {
    config: ConfigSpace,
    events: u8,
}

impl PvpanicPci {
    /// The smallest base address register of memory; the register is its first byte.
    const LEN: u64 = 16;
    /// The region that its base address register places.
    pub const REGIONS: [RegionSpec; 1] =
        [RegionSpec { space: Space::Memory, index: 0, base: None, len: Self::LEN, priority: 0, widest: Width::Byte }];

    /// A function that says that it takes these events.
    pub fn new(events: u8) -> Self {
        let identity = Identity { vendor: 0x1b36, device: 0x0011, revision: 1, class: 0x08_8000, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        config.define_bar(0, Bar { kind: BarKind::Memory32 { prefetchable: false }, size: Self::LEN, region: 0 });
        Self { config, events }
    }
}

impl PciFunction for PvpanicPci {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
    }
}

impl Device for PvpanicPci {
    fn kind(&self) -> &'static str {
        PvpanicPciConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        if at.offset == 0 { self.events.into() } else { 0 }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        if at.offset == 0 {
            Events::from_bits_truncate(value as u8).tell(cx);
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset(cx);
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;
    use lockstep_fabric::{Cpu, Output};

    #[test]
    fn a_panic_reaches_the_machine_and_a_crash_kernel_only_those_who_watch() {
        let config = PvpanicConfig::default();
        let mut b = Bench::new(Pvpanic::new(config.events), &Pvpanic::regions(&config));
        assert_eq!(b.inb(0x505), 3);
        b.outb(0x505, 0xfc);
        assert_eq!(b.requests(), []);
        b.outb(0x505, 1);
        assert_eq!(b.requests(), [MachineRequest::GuestPanicked]);
        b.outb(0x505, 2);
        let told: Vec<_> = b.bus.take_output().into_iter().map(|(_, output)| output).collect();
        assert_eq!(told, [Output::Notice(Notice::GuestCrashLoaded)]);
    }

    #[test]
    fn the_function_has_the_same_register_in_memory() {
        let mut b = Bench::new(PvpanicPci::new(1), &PvpanicPci::REGIONS);
        b.config_write(0x10, Width::Dword, 0x10_0000);
        b.config_write(4, Width::Word, 2);
        assert_eq!(b.bus.read(Space::Memory, 0x10_0000, Width::Byte, Cpu(0)), Ok(1));
        b.bus.write(Space::Memory, 0x10_0000, Width::Byte, 1, Cpu(0)).expect("a claimed address");
        assert_eq!(b.requests(), [MachineRequest::GuestPanicked]);
    }

    #[test]
    fn firmware_finds_the_port_in_its_file() {
        let made = PvpanicConfig { ioport: 0x600, ..PvpanicConfig::default() }.make().expect("a device");
        assert_eq!(made.files, [FwCfgItem::file("etc/pvpanic-port", vec![0x00, 0x06])]);
    }
}
