//! Virtio devices over PCI (Virtual I/O Device 1.2, sections 2 and 4.1), modern and transitional.
//!
//! - [`queue`]: virtqueues and the two kinds of ring.
//! - [`transport`]: the PCI function: configuration space, interrupts, the life of a device from reset to
//!   `DRIVER_OK`; `modern` and `legacy` are its two register layouts.
//! - One file or folder for each kind of device, which is a [`Class`]: it takes buffers from its queues and gives them
//!   back, and knows nothing of PCI.
//!
//! The machine is stopped while a device works, so a notification is served at once and to the end; only what waits
//! for a drive, for input or for time is in flight, and is in the device's state.

pub mod balloon;
pub mod blk;
pub mod console;
mod legacy;
mod modern;
mod properties;
pub mod queue;
pub mod rng;
pub mod transport;

#[cfg(test)]
mod tests;

pub use balloon::{Balloon, BalloonConfig};
pub use blk::{Blk, BlkConfig, BlkDrive};
pub use console::{Console, ConsoleConfig, PortConfig, PortKind};
pub use properties::{OnOffAuto, TransportConfig};
pub use rng::{Rng, RngConfig};
pub use transport::{Io, VirtioPci};

use crate::properties::PropertyError;
use bitflags::bitflags;
use lockstep_fabric::Input;
use queue::RingFeatures;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// No MSI-X vector.
pub const NO_VECTOR: u16 = 0xffff;

bitflags! {
    /// Feature bits that all devices share (section 6). The bits below 24 are each device's own.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Feature: u64 {
        /// Legacy drivers may lay out messages as they like.
        const ANY_LAYOUT = 1 << 27;
        /// Tables of descriptors.
        const INDIRECT_DESC = 1 << 28;
        /// The event index.
        const EVENT_IDX = 1 << 29;
        /// Not a legacy driver.
        const VERSION_1 = 1 << 32;
        /// Packed rings.
        const RING_PACKED = 1 << 34;
        /// Buffers are used in order.
        const IN_ORDER = 1 << 35;
        /// Single queues can be reset.
        const RING_RESET = 1 << 40;
    }
}

impl Feature {
    /// What of these concerns rings.
    fn of_rings(self) -> RingFeatures {
        let mut ring = RingFeatures::empty();
        ring.set(RingFeatures::INDIRECT, self.contains(Self::INDIRECT_DESC));
        ring.set(RingFeatures::EVENT_IDX, self.contains(Self::EVENT_IDX));
        ring.set(RingFeatures::PACKED, self.contains(Self::RING_PACKED));
        ring.set(RingFeatures::IN_ORDER, self.contains(Self::IN_ORDER));
        ring
    }
}

/// Why a virtio device cannot be made as configured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VirtioError {
    /// Neither interface is left.
    #[error("device cannot work as neither modern nor legacy mode is enabled")]
    NoInterface,
    /// A queue's size is not a power of two from 2 to 1024.
    #[error("invalid queue-size (= {0}), must be a power of 2 between 2 and 1024")]
    QueueSize(u16),
    /// Too few or too many queues.
    #[error("invalid number of queues (= {0}), must be between 1 and {1}")]
    Queues(u32, u16),
    /// Too few or too many ports.
    #[error("invalid number of ports (= {0}), must be between 1 and 511")]
    Ports(u32),
    /// More vectors than MSI-X can have.
    #[error("invalid number of vectors (= {0})")]
    Vectors(u16),
    /// A block size that drivers cannot work with.
    #[error("invalid {0} (= {1}), must be a power of 2 between 512 and 2097152")]
    BlockSize(&'static str, u32),
    /// The physical block is smaller than the logical one.
    #[error("logical_block_size > physical_block_size not supported")]
    BlockOrder,
    /// A limit of bytes or of time that is zero.
    #[error("'{0}' parameter must be greater than zero")]
    Zero(&'static str),
    /// A port number that is taken.
    #[error("virtio-serial-bus: A port already exists at id {0}")]
    PortTaken(u32),
    /// A port number that the device does not have: the greatest that it has.
    #[error("virtio-serial-bus: Out-of-range port id specified, max. allowed: {0}")]
    PortRange(u32),
    /// A port's name that is taken.
    #[error("virtio-serial-bus: A port already exists by name {0}")]
    PortName(String),
    /// All ports are taken.
    #[error("virtio-serial-bus: Maximum port limit for this device reached")]
    NoPortFree,
    /// Port 0 is a console or nothing.
    #[error("Port number 0 on virtio-serial devices reserved for virtconsole devices for backward compatibility.")]
    PortZero,
}

impl From<VirtioError> for PropertyError {
    fn from(error: VirtioError) -> Self {
        let value = |name, value: u32, wanted| Self::Value { name, value: value.to_string(), wanted };
        match error {
            VirtioError::NoInterface => {
                let wanted = "neither the modern nor the legacy interface is left";
                Self::Value { name: "disable-modern", value: "on".into(), wanted }
            }
            VirtioError::QueueSize(n) => value("queue-size", n.into(), "use a power of 2 from 4 to 1024"),
            VirtioError::Queues(n, _) => value("num-queues", n, "use 1 to 256"),
            VirtioError::Ports(n) => value("max_ports", n, "use 1 to 511"),
            VirtioError::Vectors(n) => value("vectors", n.into(), "use 0 to 2048"),
            VirtioError::BlockSize(name, n) => value(name, n, "use a power of 2 from 512 to 2097152"),
            VirtioError::BlockOrder => {
                let wanted = "the physical block cannot be smaller than the logical one";
                Self::Value { name: "physical_block_size", value: "512".into(), wanted }
            }
            VirtioError::Zero(name) => value(name, 0, "use a number greater than zero"),
            VirtioError::PortTaken(n) => value("nr", n, "there is such a port already"),
            VirtioError::PortRange(_) => {
                Self::Value { name: "nr", value: String::new(), wanted: "the device has no such port" }
            }
            VirtioError::PortName(value) => Self::Value { name: "name", value, wanted: "there is such a port already" },
            VirtioError::PortZero => value("nr", 0, "reserved for a virtconsole"),
            VirtioError::NoPortFree => {
                Self::Value { name: "nr", value: String::new(), wanted: "all ports of the device are taken" }
            }
        }
    }
}

/// What a kind of virtio device is to the transport. Its state is its snapshot, like any device's.
pub trait Class: Serialize + DeserializeOwned + 'static {
    /// The model's name.
    const KIND: &'static str;
    /// The device type (section 5).
    const TYPE: u16;
    /// PCI class code.
    const PCI_CLASS: u32;
    /// The PCI device ID of the transitional device, if there is one.
    const TRANSITIONAL_ID: Option<u16>;

    /// The device's own feature bits.
    fn features(&self) -> u64;
    /// The greatest size of each queue.
    fn queues(&self) -> Vec<u16>;
    /// The configuration, little-endian.
    fn config(&self) -> Vec<u8>;
    /// The driver wrote configuration.
    fn write_config(&mut self, _io: &mut Io<'_, '_>, _offset: u64, _bytes: &[u8]) {}
    /// The device was reset: what was in flight is forgotten.
    fn reset(&mut self);
    /// One queue was reset: what of it was in flight is forgotten.
    fn reset_queue(&mut self, queue: u16);
    /// The driver is ready.
    fn ready(&mut self, _io: &mut Io<'_, '_>) {}
    /// The driver made something available in a queue, or may have.
    fn notify(&mut self, io: &mut Io<'_, '_>, queue: u16);
    /// A timer came due; devices have but one.
    fn timer(&mut self, _io: &mut Io<'_, '_>) {}
    /// Something came from outside.
    fn input(&mut self, _io: &mut Io<'_, '_>, _input: &Input) {}
    /// How many bytes a port takes now without losing any.
    fn room(&self, _port: u32) -> usize {
        usize::MAX
    }
    /// Where in guest memory the bytes of a read go, see [`Device::placement`].
    fn placement(&self, _tag: u64) -> Option<Vec<(u64, u64)>> {
        None
    }
}
