//! The PIIX3's IDE function (8086:7010): two channels at their legacy ports with two devices each, and bus masters.
//!
//! Sources: 82371SB data sheet; ATA/ATAPI-6; Programming Interface for Bus Master IDE Controller rev. 1.0. The legacy
//! ports answer whatever IDETIM and the command register say, because software that knows no PCI expects them.
//!
//! Drives 0 and 1 of the block requests are master and slave of the primary channel, 2 and 3 of the secondary.

mod ata;
mod atapi;
mod bus_master;
mod channel;
mod identify;
mod job;
mod registers;
mod smart;
mod unit;

#[cfg(test)]
mod tests;

pub use atapi::TrayState;
pub use unit::Geometry;

use crate::drive::DriveInfo;
use crate::pci::config::offset;
use crate::pci::{Bar, BarKind, Command, ConfigSpace, DevFn, Identity, SUBSYSTEM};
use channel::Channel;
use lockstep_fabric::{Cx, Device, Input, PciFunction, PinId, Reg, RegionSpec, Space, TimerId, Width};
use serde::{Deserialize, Serialize};

/// Region: the bus masters' registers, placed by BAR 4.
pub const REGION_BUS_MASTER: u8 = 4;
const BUS_MASTER_BAR: usize = 4;
const BUS_MASTER_LEN: u64 = 16;

/// Where the board puts it.
pub const PLACE: DevFn = DevFn::new(1, 1);

/// Drives that can be attached.
pub const DRIVES: usize = 4;

/// The regions to map on the bus: each channel's command block and control block, and the bus masters.
pub const REGIONS: [RegionSpec; 5] = [
    region(0, Some(0x1f0), 8, Width::Dword),
    region(1, Some(0x3f6), 1, Width::Byte),
    region(2, Some(0x170), 8, Width::Dword),
    region(3, Some(0x376), 1, Width::Byte),
    region(REGION_BUS_MASTER, None, BUS_MASTER_LEN, Width::Dword),
];

const fn region(index: u8, base: Option<u64>, len: u64, widest: Width) -> RegionSpec {
    RegionSpec { space: Space::Io, index, base, len, priority: 0, widest }
}

/// Output pin: the interrupt of a channel (0 or 1), ISA IRQ 14 or 15.
pub const fn pin_irq(channel: u8) -> PinId {
    PinId(channel as u16 & 1)
}

/// The ISA interrupt of a channel.
pub const fn irq(channel: u8) -> u8 {
    14 + (channel & 1)
}

/// IDETIM of both channels.
const IDETIM: u16 = 0x40;
const SIDETIM: u16 = 0x44;
/// IDETIM's high byte: the channel's ports are decoded.
const IDE_DECODE_ENABLE: u8 = 0x80;

/// How the IDE function is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piix3IdeConfig {
    /// Both channels are enabled from reset on, for software that is started without firmware.
    pub preset: bool,
    /// The drives: primary master, primary slave, secondary master, secondary slave.
    pub drives: [Option<DriveInfo>; DRIVES],
}

/// The IDE function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piix3Ide {
    config: ConfigSpace,
    channels: [Channel; 2],
}

impl Piix3Ide {
    /// The function after power-on.
    pub fn new(settings: Piix3IdeConfig) -> Self {
        let identity = Identity { vendor: 0x8086, device: 0x7010, revision: 0, class: 0x01_0180, subsystem: SUBSYSTEM };
        let mut config = ConfigSpace::new(identity);
        config.define(offset::STATUS, &[0x80, 0x02]);
        config.define_bar(BUS_MASTER_BAR, Bar { kind: BarKind::Io, size: BUS_MASTER_LEN, region: REGION_BUS_MASTER });
        config.allow(IDETIM, &[0xff; 4]);
        config.allow(SIDETIM, &[0xff]);
        if settings.preset {
            config.define(IDETIM, &[0, IDE_DECODE_ENABLE, 0, IDE_DECODE_ENABLE]);
        }
        let [d0, d1, d2, d3] = settings.drives;
        Self { config, channels: [Channel::new(0, [d0, d1]), Channel::new(1, [d2, d3])] }
    }

    /// The tray of a CD drive; `None` for other drives.
    pub fn tray(&self, drive: u8) -> Option<TrayState> {
        self.channels.get(usize::from(drive >> 1))?.tray(usize::from(drive & 1))
    }

    /// Tells the channels whether they may be bus masters.
    fn permit(&mut self, cx: &mut Cx<'_>) {
        let permitted = self.config.command().contains(Command::MASTER);
        for channel in &mut self.channels {
            channel.permit(cx, permitted);
        }
    }
}

impl PciFunction for Piix3Ide {
    fn config_read(&mut self, _cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        self.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        self.config.write(cx, offset, width, value);
        self.permit(cx);
    }
}

impl Device for Piix3Ide {
    fn kind(&self) -> &'static str {
        "piix3-ide"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        let channel = &mut self.channels[usize::from(at.region >> 1 & 1)];
        match at.region {
            0 | 2 => channel.read(cx, at.offset, width),
            1 | 3 => channel.alternate_status().into(),
            _ => (at.offset..at.offset + width.bytes())
                .rev()
                .fold(0, |value, at| value << 8 | u64::from(self.channels[(at >> 3 & 1) as usize].master_read(at & 7))),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        let channel = &mut self.channels[usize::from(at.region >> 1 & 1)];
        match at.region {
            0 | 2 => channel.write(cx, at.offset, width, value),
            1 | 3 => channel.control_write(cx, value as u8),
            _ => {
                for (at, value) in (at.offset..at.offset + width.bytes()).zip(value.to_le_bytes()) {
                    self.channels[(at >> 3 & 1) as usize].master_write(cx, at & 7, value);
                }
            }
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.config.reset(cx);
        for channel in &mut self.channels {
            channel.reset(cx);
        }
        self.permit(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        if let Some(channel) = self.channels.get_mut(usize::from(id.0)) {
            channel.gap_over(cx);
        }
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        let place = |drive: u8| (usize::from(drive >> 1), usize::from(drive & 1));
        match input {
            Input::Block(completion) => {
                let (channel, unit) = place(completion.drive);
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.completed(cx, unit, completion);
                }
            }
            Input::Medium { drive, medium } => {
                let (channel, unit) = place(*drive);
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.change_medium(unit, *medium);
                }
            }
            Input::Capacity { drive, bytes } => {
                let (channel, unit) = place(*drive);
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.resize(unit, *bytes);
                }
            }
            Input::Tray { drive, open } => {
                let (channel, unit) = place(*drive);
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.move_tray(unit, *open);
                }
            }
            Input::EjectRequest { drive } => {
                let (channel, unit) = place(*drive);
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.ask_for_medium(unit);
                }
            }
            _ => {}
        }
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}
