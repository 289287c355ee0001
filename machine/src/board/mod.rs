//! Boards: machines put together from devices and wires.

mod bios_services;
mod boot_order;
mod buses;
mod direct;
mod drives;
mod firmware;
mod for_board;
mod functions;
mod handover;
mod hmat;
mod hotplug;
mod kernel;
mod memory_slots;
mod none;
mod numa;
mod pc;
mod processor_places;
mod processors;
mod serial_ports;
mod sleep_states;
mod slots;
pub mod video;

pub use boot_order::{BootDevice, BootOrder};
pub(crate) use numa::{memory as numa_memory, node_of as numa_node};
pub(crate) use pc::{FDC, IDE};
pub use serial_ports::SerialPort;

use crate::block::DriveError;
use crate::commandline::{Config, Image, MachineKind, OptionError};
use crate::machine::Machine;
use crate::record::BootedFile;
use lockstep_devices::pci::DevFn;
use lockstep_fabric::DeviceId;
use lockstep_firmware::rom::RomError;
use slots::PciBuses;
use std::io;
use xxhash_rust::xxh3::xxh3_128;

/// A machine and what the host's side must know of it.
pub struct Board {
    /// The machine, out of reset.
    pub machine: Machine,
    /// Devices with a character device behind them, and its name.
    pub ports: Vec<(DeviceId, String)>,
    /// The ports of virtio console devices.
    pub serial_ports: Vec<SerialPort>,
    /// The device that takes the power button.
    pub power_button: Option<DeviceId>,
    /// The device that takes the keyboard's keys.
    pub keyboard: Option<DeviceId>,
    /// The graphics card.
    pub screen: Option<DeviceId>,
    /// The order of booting that the command line gave by `bootindex=`.
    pub boot_order: BootOrder,
    /// The files that the machine was started from.
    pub files: Vec<BootedFile>,
    /// The PCI buses, and what is in their slots.
    slots: PciBuses,
    /// What is strange about what was asked for, a line each.
    pub warnings: Vec<String>,
}

/// Why a board cannot be built as asked. Its `Display` names the option.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// An option's value turns out to be impossible.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A drive's image cannot be used.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The built-in firmware cannot be assembled.
    #[error(transparent)]
    Firmware(#[from] RomError),
    /// Guest memory cannot be mapped.
    #[error("-m: the host cannot map {bytes} bytes of guest memory: {why}")]
    Memory {
        /// How much.
        bytes: u64,
        /// The host's word.
        why: io::Error,
    },
    /// A value of an option that this board cannot serve.
    #[error("{option}: {why}")]
    Refused {
        /// The option with its value.
        option: String,
        /// Why not.
        why: String,
    },
}

/// Builds the machine that `config` describes; seed and date must be settled.
pub fn build(config: &Config) -> Result<Board, BoardError> {
    match config.machine.kind {
        MachineKind::Pc => pc::build(config),
        MachineKind::None => none::build(config),
    }
}

/// A place on a PCI bus as it is typed: `06.0` or `06`.
pub(crate) fn slot_and_function(text: &str) -> Option<DevFn> {
    slots::place(text)
}

/// What the log says of a file that was booted.
fn record(option: &str, image: &Image) -> BootedFile {
    BootedFile {
        option: option.into(),
        path: image.path.display().to_string(),
        hash: format!("{:032x}", xxh3_128(&image.bytes)),
    }
}
