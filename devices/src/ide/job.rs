//! A command that is being carried out.

use super::unit::Addressing;
use crate::pci::hex;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// To the guest.
    In,
    /// From the guest.
    Out,
}

/// How data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Means {
    /// By the data register, in blocks of so many bytes with an interrupt for each.
    Pio(usize),
    /// By the bus master.
    Dma,
}

/// What the job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wait {
    /// The completion of the request with this tag.
    Drive(u64),
    /// The guest at the data register.
    Guest,
    /// The bus master's start.
    BusMaster,
    /// The short time between two blocks.
    Gap,
}

/// What the bytes from the guest are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// A command packet; its data go by the bus master or not.
    Packet { dma: bool },
    /// Ranges of DATA SET MANAGEMENT.
    Trim,
}

/// Which parts of a CD's sector READ CD wants beside or instead of the user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Frame {
    pub(super) sync: bool,
    pub(super) header: bool,
    pub(super) data: bool,
    pub(super) correction: bool,
}

/// Where the data come from or go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Work {
    /// The buffer holds all of it.
    Reply,
    /// The medium, from byte `next` on, `left` bytes; `frame` for a CD's raw sectors.
    Medium { next: u64, left: u64, frame: Option<Frame> },
    /// The device itself.
    Collect(Purpose),
    /// No data: these ranges (offset and length in bytes) are to be forgotten.
    Trim(VecDeque<(u64, u64)>),
    /// No data: one request.
    Request,
}

/// A command that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    /// Which of the channel's units.
    pub(super) unit: usize,
    pub(super) way: Way,
    pub(super) means: Means,
    /// By the rules of the PACKET command.
    pub(super) packet: bool,
    pub(super) addressing: Addressing,
    pub(super) work: Work,
    /// The first block is not announced by an interrupt.
    pub(super) quiet: bool,
    /// What is being moved now.
    #[serde(with = "hex")]
    pub(super) buffer: Vec<u8>,
    /// How much of it has been moved.
    pub(super) at: usize,
    /// Where the guest's present block ends.
    pub(super) end: usize,
    pub(super) wait: Wait,
}

impl Job {
    pub(super) fn new(unit: usize, way: Way, means: Means, work: Work) -> Self {
        Self {
            unit,
            way,
            means,
            packet: false,
            addressing: Addressing::Short,
            work,
            quiet: false,
            buffer: Vec::new(),
            at: 0,
            end: 0,
            wait: Wait::Gap,
        }
    }

    /// Nothing is left to be moved after the buffer.
    pub(super) fn last_buffer(&self) -> bool {
        !matches!(self.work, Work::Medium { left: 1.., .. })
    }
}
