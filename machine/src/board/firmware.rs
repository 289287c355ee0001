//! The firmware image: a file of `-bios`, or the built-in one.

use super::{BoardError, record};
use crate::commandline::Config;
use crate::machine::Boot;
use crate::record::BootedFile;
use lockstep_cpu::Vcpu;
use lockstep_fabric::memory::{Backing, PAGE_SIZE, Region};
use lockstep_fabric::{Bus, DeviceId};

/// The largest image that fits below 4 GiB without touching the local APICs.
const LARGEST_IMAGE: usize = 16 << 20;
/// How much of the image's end is seen below 1 MiB.
const SHADOW: u64 = 128 << 10;
const FOUR_GIB: u64 = 1 << 32;
const ONE_MIB: u64 = 1 << 20;
const ROM_PRIORITY: i32 = 1;
/// Region indices on the owner, clear of its own.
const REGION_HIGH: u8 = 0xf0;
const REGION_LOW: u8 = 0xf1;

/// An image, and the file it came from if it did.
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    pub(super) file: Option<BootedFile>,
}

/// The image that `config` asks for.
pub(super) fn image(config: &Config) -> Result<Image, BoardError> {
    let Some(image) = config.boot.read_bios()? else {
        return Ok(Image { bytes: lockstep_firmware::rom::image()?, file: None });
    };
    let len = image.bytes.len();
    if len == 0 || len > LARGEST_IMAGE || len % (64 << 10) != 0 {
        let why = format!("an image is a multiple of 64 KiB up to 16 MiB; this file has {len} bytes");
        return Err(image.refused(why).into());
    }
    let file = Some(record("-bios", &image));
    Ok(Image { bytes: image.bytes, file })
}

/// Room that an image takes in the arena.
pub(super) fn arena_len(image: &Image) -> u64 {
    (image.bytes.len() as u64).next_multiple_of(PAGE_SIZE)
}

/// Maps the image below 4 GiB, and its end below 1 MiB. `None` if the arena has no room.
pub(super) fn map(bus: &mut Bus, owner: DeviceId, image: &Image) -> Option<()> {
    let len = image.bytes.len() as u64;
    let at = bus.memory.allocate(len)?;
    bus.memory.fill(at, &image.bytes);
    let shadow = len.min(SHADOW);
    let mut region = |index, base, len, offset| {
        bus.memory.add_region(Region {
            owner,
            index,
            base: Some(base),
            len,
            priority: ROM_PRIORITY,
            reads: true,
            writes: true,
            backing: Backing::Rom(offset),
        });
    };
    region(REGION_HIGH, FOUR_GIB - len, len, at);
    region(REGION_LOW, ONE_MIB - shadow, shadow, at + len - shadow);
    Some(())
}

/// A reset starts at the reset vector: nothing has to be placed.
pub(super) struct FromResetVector;

impl Boot for FromResetVector {
    fn place(&self, _bus: &mut Bus, _cpus: &mut [Vcpu]) {}
    fn resume(&self, _bus: &mut Bus, _cpus: &mut [Vcpu]) {}
}
