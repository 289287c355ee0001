//! How a virtio disk is set up, and what its configuration tells the driver (section 5.2.4).

use crate::properties::{BootIndex, DriveName};
use crate::virtio::properties::config_with_transport;
use crate::virtio::{OnOffAuto, VirtioError};
use serde::{Deserialize, Serialize};

pub(super) const SECTOR: u64 = 512;
const QUEUES_MAX: u16 = 256;
/// What a request can tell, less what a length in bytes of 31 bits cannot.
const SECTORS_MAX: u32 = (1 << 22) - 1;

config_with_transport! {
    /// How a virtio disk is set up.
    pub struct BlkConfig {
        /// Name of the drive behind it.
        pub drive: Option<DriveName> = None,
        /// Its serial number, of which 20 bytes count; the drive's own, if not given.
        pub serial: Option<String> = None,
        /// Place in the order of booting.
        pub bootindex: BootIndex = BootIndex(None),
        /// How many request queues; one if not given.
        pub num_queues as "num-queues": Option<u16> = None,
        /// Entries in each.
        pub queue_size as "queue-size": u16 = 256,
        /// As many segments in a request as the queue has room for, rather than 126.
        pub seg_max_adjust as "seg-max-adjust": bool = true,
        /// Bytes in a block as the driver addresses it.
        pub logical_block_size: u32 = 512,
        /// Bytes in a block as the medium has it.
        pub physical_block_size: u32 = 512,
        /// The least bytes to transfer at once without loss of speed, or zero.
        pub min_io_size: u32 = 0,
        /// The best number of bytes to transfer at once, or zero.
        pub opt_io_size: u32 = 0,
        /// Bytes to which a range to be discarded should be aligned; the logical block, if not given.
        pub discard_granularity: Option<u32> = None,
        /// There is a write cache at first; auto is on.
        pub write_cache as "write-cache": OnOffAuto = OnOffAuto::Auto,
        /// The driver may turn the write cache off.
        pub config_wce as "config-wce": bool = true,
        /// Offers to discard.
        pub discard: bool = true,
        /// Offers to write zeroes.
        pub write_zeroes as "write-zeroes": bool = true,
        /// Sectors to discard at most by one request.
        pub max_discard_sectors as "max-discard-sectors": u32 = SECTORS_MAX,
        /// Sectors to write zeroes to at most by one request.
        pub max_write_zeroes_sectors as "max-write-zeroes-sectors": u32 = SECTORS_MAX,
        /// Accepted: requests reach the drive as the driver made them.
        pub request_merging as "request-merging": bool = true,
        /// Others may write the drive too.
        pub share_rw as "share-rw": bool = false,
    }
}

impl BlkConfig {
    pub(super) fn queues(&self) -> u16 {
        self.num_queues.unwrap_or(1)
    }

    pub(super) fn check(&self) -> Result<(), VirtioError> {
        let sizes = [
            ("logical_block_size", self.logical_block_size),
            ("physical_block_size", self.physical_block_size),
            ("discard_granularity", self.discard_granularity.unwrap_or(512)),
        ];
        for (name, size) in sizes {
            if !size.is_power_of_two() || !(512..=2 << 20).contains(&size) {
                return Err(VirtioError::BlockSize(name, size));
            }
        }
        if self.logical_block_size > self.physical_block_size {
            return Err(VirtioError::BlockOrder);
        }
        if !(1..=QUEUES_MAX).contains(&self.queues()) {
            return Err(VirtioError::Queues(self.queues().into(), QUEUES_MAX));
        }
        if self.queue_size < 4 {
            return Err(VirtioError::QueueSize(self.queue_size));
        }
        Ok(())
    }
}

/// What of the configuration does not change, as numbers for the driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) block: u32,
    physical_exponent: u8,
    min_io_blocks: u16,
    opt_io_blocks: u32,
    pub(super) queues: u16,
    pub(super) queue_size: u16,
    seg_max: u32,
    discard_alignment: u32,
    pub(super) discard_sectors: u32,
    pub(super) zeroes_sectors: u32,
}

impl Limits {
    pub(super) fn new(config: &BlkConfig) -> Self {
        let block = config.logical_block_size;
        let seg_max = if config.seg_max_adjust { u32::from(config.queue_size) - 2 } else { 126 };
        Self {
            block,
            physical_exponent: (config.physical_block_size / block).trailing_zeros() as u8,
            min_io_blocks: u16::try_from(config.min_io_size / block).unwrap_or(u16::MAX),
            opt_io_blocks: config.opt_io_size / block,
            queues: config.queues(),
            queue_size: config.queue_size,
            seg_max,
            discard_alignment: (config.discard_granularity.unwrap_or(block) / SECTOR as u32).max(1),
            discard_sectors: config.max_discard_sectors.clamp(1, SECTORS_MAX),
            zeroes_sectors: config.max_write_zeroes_sectors.clamp(1, SECTORS_MAX),
        }
    }

    /// The configuration of a disk of so many bytes.
    pub(super) fn layout(&self, bytes: u64, writeback: bool) -> Vec<u8> {
        const SIZE_MAX: u32 = 0;
        const SEGMENTS: u32 = 1;
        let (cylinders, heads, sectors) = geometry(bytes);
        let mut config = Vec::with_capacity(60);
        config.extend_from_slice(&(bytes / SECTOR).to_le_bytes());
        config.extend_from_slice(&SIZE_MAX.to_le_bytes());
        config.extend_from_slice(&self.seg_max.to_le_bytes());
        config.extend_from_slice(&cylinders.to_le_bytes());
        config.extend_from_slice(&[heads, sectors]);
        config.extend_from_slice(&self.block.to_le_bytes());
        config.extend_from_slice(&[self.physical_exponent, 0]);
        config.extend_from_slice(&self.min_io_blocks.to_le_bytes());
        config.extend_from_slice(&self.opt_io_blocks.to_le_bytes());
        config.extend_from_slice(&[writeback.into(), 0]);
        config.extend_from_slice(&self.queues.to_le_bytes());
        for dword in [self.discard_sectors, SEGMENTS, self.discard_alignment, self.zeroes_sectors, SEGMENTS] {
            config.extend_from_slice(&dword.to_le_bytes());
        }
        // Zeroes may be written by giving the space back.
        config.extend_from_slice(&[1, 0, 0, 0]);
        config
    }
}

/// The geometry that a disk of so many bytes pretends to have: 16 heads, 63 sectors.
fn geometry(bytes: u64) -> (u16, u8, u8) {
    const HEADS: u8 = 16;
    const SECTORS: u8 = 63;
    let cylinders = bytes / SECTOR / (u64::from(HEADS) * u64::from(SECTORS));
    (cylinders.clamp(2, 16383) as u16, HEADS, SECTORS)
}
