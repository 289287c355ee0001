//! The 82441FX host bridge (8086:1237): PCI configuration mechanism #1, the PAM registers that lay RAM over the BIOS
//! area, and SMRAM (82441FX data sheet).
//!
//! The RAM under the windows belongs to the board: for each of [`WINDOWS`] it adds a region with RAM backing to the
//! memory map, owned by this device, neither readable nor writable yet, above the priority of ROM and of legacy video
//! memory. Nothing of lower priority but ROM may lie there, or writes would fall through to it.

use super::{ConfigSpace, DevFn, Functions, Identity, SUBSYSTEM};
use lockstep_fabric::{
    ConfigAccess, ConfigCycle, Cx, Device, DeviceId, Input, PciFunction, PinId, Reg, RegionSpec, Space, Width,
};
use serde::{Deserialize, Serialize};

/// The region to map on the bus: CONFIG_ADDRESS and CONFIG_DATA. The PIIX3's reset control lies over its second byte.
pub const REGION: RegionSpec =
    RegionSpec { space: Space::Io, index: 0, base: Some(0xcf8), len: 8, priority: 0, widest: Width::Dword };

/// The number of the bus behind it.
const BUS: u8 = 0;
/// The host bridge's own place.
pub const PLACE: DevFn = DevFn::new(0, 0);

/// A span of memory that this bridge gives to RAM or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Index of the region that the board registers with RAM backing.
    pub region: u8,
    /// First physical address.
    pub base: u64,
    /// Length in bytes.
    pub len: u64,
}

/// All windows: the thirteen PAM segments and SMRAM.
pub const WINDOWS: [Window; 14] = windows();

const fn windows() -> [Window; 14] {
    let mut all = [Window { region: 1, base: 0xf_0000, len: 0x1_0000 }; 14];
    let mut at = 1;
    while at < 13 {
        all[at] = Window { region: at as u8 + 1, base: 0xc_0000 + 0x4000 * (at as u64 - 1), len: 0x4000 };
        at += 1;
    }
    all[13] = Window { region: 14, base: 0xa_0000, len: 0x2_0000 };
    all
}

/// Input pin: rises when the machine wakes up, before the reset that comes with it.
pub const PIN_RESUME: PinId = PinId(0);

const PAM0: u16 = 0x59;
const PAM6: u16 = 0x5f;
const PAM_READ: u8 = 1;
const PAM_WRITE: u8 = 2;

const SMRAM: u16 = 0x72;
const SMRAM_AT_RESET: u8 = 0x02;
const SMRAM_G_SMRAME: u8 = 1 << 3;
const SMRAM_D_LCK: u8 = 1 << 4;
const SMRAM_D_CLS: u8 = 1 << 5;
const SMRAM_D_OPEN: u8 = 1 << 6;

const CONFIG_ENABLE: u32 = 1 << 31;
const CONFIG_ADDRESS_BITS: u32 = 0x80ff_fffc;

/// The host bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I440Fx {
    config: ConfigSpace,
    /// CONFIG_ADDRESS.
    address: u32,
    /// The functions on bus 0, but for this one.
    functions: Functions,
    /// The next reset is that of a waking machine.
    resuming: bool,
}

impl Default for I440Fx {
    fn default() -> Self {
        Self::new()
    }
}

impl I440Fx {
    /// A host bridge with nothing else on its bus.
    pub fn new() -> Self {
        let identity = Identity { vendor: 0x8086, device: 0x1237, revision: 2, class: 0x06_0000, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        config.define(super::config::offset::COMMAND, &[0x06, 0, 0x80, 0x02]);
        // Of the command register only SERR# can be changed; memory and mastering are always on.
        config.allow(super::config::offset::COMMAND, &[0, 0x01]);
        config.allow(0x50, &[0xff; 9]);
        config.allow(PAM0, &[0x33; 7]);
        config.allow(0x60, &[0xff; 8]);
        config.define(SMRAM, &[SMRAM_AT_RESET]);
        config.allow(SMRAM, &[SMRAM_D_OPEN | SMRAM_D_CLS | SMRAM_D_LCK | SMRAM_G_SMRAME]);
        Self { config, address: 0, functions: Functions::default(), resuming: false }
    }

    /// Puts a function on bus 0, before this bridge is added to the bus; what was there is replaced. The flag says
    /// whether its header type shows a device of several functions, if it does not by itself.
    pub fn attach(&mut self, at: DevFn, device: DeviceId, multifunction: bool) {
        self.functions.attach(at, device, multifunction);
    }

    /// The cycle that an access to the window at `lane` is, if CONFIG_ADDRESS asks for one.
    fn cycle(&self, lane: u64, access: ConfigAccess) -> Option<ConfigCycle> {
        let [offset, at, bus, _] = self.address.to_le_bytes();
        let offset = u16::from(offset & 0xfc) + lane as u16;
        (self.address & CONFIG_ENABLE != 0).then_some(ConfigCycle { bus, at, offset, access })
    }

    fn data_read(&mut self, cx: &mut Cx<'_>, lane: u64, width: Width) -> u32 {
        let Some(cycle) = self.cycle(lane, ConfigAccess::Read(width)) else { return u32::MAX };
        if (cycle.bus, DevFn(cycle.at)) == (BUS, PLACE) {
            return self.config_read(cx, cycle.offset, width);
        }
        self.functions.cycle(cx, BUS, cycle).unwrap_or(u32::MAX)
    }

    fn data_write(&mut self, cx: &mut Cx<'_>, lane: u64, width: Width, value: u32) {
        let Some(cycle) = self.cycle(lane, ConfigAccess::Write(width, value)) else { return };
        if (cycle.bus, DevFn(cycle.at)) == (BUS, PLACE) {
            self.config_write(cx, cycle.offset, width, value);
        } else {
            self.functions.cycle(cx, BUS, cycle);
        }
    }

    /// Opens and closes the windows as PAM and SMRAM say.
    fn place_windows(&self, cx: &mut Cx<'_>) {
        for window in WINDOWS {
            let (reads, writes) = match window.region {
                14 => {
                    let smram = self.config.byte(SMRAM);
                    let open = smram & (SMRAM_D_OPEN | SMRAM_G_SMRAME) == SMRAM_D_OPEN | SMRAM_G_SMRAME;
                    (open, open)
                }
                // Window 1 is the upper half of PAM0; the others follow two to a register.
                n => {
                    let half = u16::from(n);
                    let attributes = self.config.byte(PAM0 + half / 2) >> (4 * (half & 1));
                    (attributes & PAM_READ != 0, attributes & PAM_WRITE != 0)
                }
            };
            cx.map_region(window.region, Some(window.base), reads, writes);
        }
    }
}

impl PciFunction for I440Fx {
    fn attach(&mut self, at: u8, device: DeviceId, several: bool) {
        self.functions.attach(DevFn(at), device, several);
    }

    fn detach(&mut self, device: DeviceId) {
        self.functions.detach(device);
    }

    fn in_slot(&self, slot: u8) -> Vec<DeviceId> {
        self.functions.in_slot(slot)
    }

    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        let before = self.config.byte(SMRAM);
        self.config.write(cx, offset, width, value);
        if before & SMRAM_D_LCK != 0 {
            self.config.put(SMRAM, &[before]);
        } else if self.config.byte(SMRAM) & SMRAM_D_LCK != 0 {
            self.config.put(SMRAM, &[self.config.byte(SMRAM) & !SMRAM_D_OPEN]);
        }
        let end = offset + width.bytes() as u16;
        if offset <= PAM6 && end > PAM0 || offset <= SMRAM && end > SMRAM {
            self.place_windows(cx);
        }
    }
}

impl Device for I440Fx {
    fn kind(&self) -> &'static str {
        "i440FX"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        match (at.offset, width) {
            (0, Width::Dword) => self.address.into(),
            // Only dwords reach CONFIG_ADDRESS; narrower accesses pass by (PCI Local Bus 3.0, section 3.2.2.3.2).
            (0..4, _) => u64::MAX,
            (lane @ 4..8, _) if lane & 3 & (width.bytes() - 1) == 0 => self.data_read(cx, lane & 3, width).into(),
            (lane, _) => (0..width.bytes()).fold(0, |value, i| {
                let byte = if lane + i < 8 { self.data_read(cx, (lane + i) & 3, Width::Byte) & 0xff } else { 0xff };
                value | u64::from(byte) << (8 * i)
            }),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        match (at.offset, width) {
            (0, Width::Dword) => self.address = value as u32 & CONFIG_ADDRESS_BITS,
            (0..4, _) => {}
            (lane @ 4..8, _) if lane & 3 & (width.bytes() - 1) == 0 => {
                self.data_write(cx, lane & 3, width, value as u32);
            }
            (lane, _) => {
                for i in (0..width.bytes()).filter(|i| lane + i < 8) {
                    self.data_write(cx, (lane + i) & 3, Width::Byte, (value >> (8 * i)) as u32 & 0xff);
                }
            }
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.address = 0;
        let attributes: Vec<_> = (PAM0..=PAM6).map(|register| self.config.byte(register)).collect();
        self.config.reset(cx);
        if std::mem::take(&mut self.resuming) {
            // Firmware finds in the shadow RAM from which it ran that it has been there before. QEMU's bridge keeps these
            // registers through any reset.
            self.config.put(PAM0, &attributes);
        }
        self.place_windows(cx);
    }

    fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
        if let Input::Pin { pin: PIN_RESUME, level: true } = input {
            self.resuming = true;
        }
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}
