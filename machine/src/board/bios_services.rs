//! The built-in BIOS's services as a device: their port, guest memory by DMA, the board's ports, and the drives.

use super::boot_order::BootOrder;
use super::pc::FDC;
use crate::block::Drive;
use crate::commandline::Media;
use lockstep_fabric::{
    BlockError, BlockOperation, BlockRequest, Bus, Cx, Device, DeviceId, Input, Reg, RegionSpec, Space, Width,
};
use lockstep_firmware::bios::{
    self, Bios, BiosConfig, BiosDrive, Board, DriveError, DriveKind, DriveOperation, DriveRequest, PortWidth,
};
use serde::{Deserialize, Serialize};

/// Region of the service ports.
const REGION: RegionSpec = RegionSpec {
    space: Space::Io,
    index: 0,
    base: Some(bios::PORT as u64),
    len: bios::PORTS as u64,
    priority: 0,
    widest: Width::Dword,
};
const CALL: u64 = 0;
const MAILBOX: u64 = (bios::MAILBOX_PORT - bios::PORT) as u64;

/// The services.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BiosServices {
    bios: Bios,
}

impl BiosServices {
    /// The services of a board. Requests carry the numbers of `config`'s drives.
    pub(super) fn new(config: BiosConfig) -> Self {
        Self { bios: Bios::new(config) }
    }

    /// The service ports.
    pub(super) fn regions() -> [RegionSpec; 1] {
        [REGION]
    }
}

impl Device for BiosServices {
    fn kind(&self) -> &'static str {
        "bios-services"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        match (at.offset, width) {
            (CALL, _) => self.bios.action() as u64,
            (MAILBOX, Width::Dword) => self.bios.mailbox_read().into(),
            _ => width.mask(),
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        match (at.offset, width) {
            (CALL, Width::Dword) => self.bios.call(&mut Reach(cx), value as u32),
            (MAILBOX, Width::Dword) => self.bios.mailbox_write(&mut Reach(cx), value as u32),
            _ => {}
        }
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {
        self.bios.reset();
    }

    fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
        if let Input::Block(done) = input {
            self.bios.completed(done.tag, done.result.clone().map_err(drive_error));
        } else if let Input::Medium { drive, medium } = input {
            let (bytes, read_only) = medium.map_or((0, false), |medium| (medium.bytes, medium.read_only));
            self.bios.medium_changed(*drive, bytes, read_only);
        }
    }
}

/// The drives that devices took, as the BIOS knows them: their requests carry their places in this list.
pub(super) fn drives(attached: &[(DeviceId, u8, Drive)], bus: &Bus, order: &BootOrder) -> Vec<BiosDrive> {
    let places = (0..).zip(attached);
    let drives = places.map(|(drive, (device, _, behind))| {
        let info = behind.info();
        let kind = match info.media {
            Media::Cdrom => DriveKind::Cdrom,
            Media::Disk if bus.name(*device) == FDC => DriveKind::Floppy,
            Media::Disk => DriveKind::HardDisk,
        };
        let boot_order = order.of_drive(&info.id);
        BiosDrive { kind, drive, bytes: info.len, read_only: info.read_only, boot_order }
    });
    drives.collect()
}

/// What the services reach of the machine.
struct Reach<'a, 'b>(&'a mut Cx<'b>);

impl Board for Reach<'_, '_> {
    fn read(&mut self, address: u64, into: &mut [u8]) {
        self.0.dma_read(address, into);
    }

    fn write(&mut self, address: u64, from: &[u8]) {
        self.0.dma_write(address, from);
    }

    fn port_read(&mut self, port: u16, width: PortWidth) -> u32 {
        self.0.port_read(port, port_width(width)) as u32
    }

    fn port_write(&mut self, port: u16, width: PortWidth, value: u32) {
        self.0.port_write(port, port_width(width), value.into());
    }

    fn submit(&mut self, request: DriveRequest) {
        let operation = match request.operation {
            DriveOperation::Read { offset, len } => BlockOperation::Read { offset, len },
            DriveOperation::Write { offset, data } => BlockOperation::Write { offset, data },
        };
        self.0.submit(BlockRequest { drive: request.drive, tag: request.tag, operation });
    }

    fn now(&self) -> u64 {
        self.0.now()
    }
}

fn port_width(width: PortWidth) -> Width {
    match width {
        PortWidth::Byte => Width::Byte,
        PortWidth::Word => Width::Word,
        PortWidth::Dword => Width::Dword,
    }
}

fn drive_error(error: BlockError) -> DriveError {
    match error {
        BlockError::Io | BlockError::NoSpace => DriveError::Io,
        BlockError::ReadOnly => DriveError::ReadOnly,
        BlockError::OutOfRange => DriveError::OutOfRange,
        BlockError::NoMedium => DriveError::NoMedium,
    }
}

#[cfg(test)]
mod tests;
