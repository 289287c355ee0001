//! One channel's bus master: its registers, and the guest's table of physical regions (PCI IDE Bus Master rev. 1.0).

use bitflags::bitflags;
use lockstep_fabric::Cx;
use serde::{Deserialize, Serialize};

const COMMAND: u64 = 0;
const STATUS: u64 = 2;
const TABLE: u64 = 4;

/// A table lies within 64 KiB.
const TABLE_ENTRIES: u32 = 0x1_0000 / ENTRY_LEN;
const ENTRY_LEN: u32 = 8;
const ENTRY_LAST: u32 = 1 << 31;

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Command: u8 {
        const START = 1 << 0;
        /// Kept; the drive's command has the say.
        const TO_MEMORY = 1 << 3;
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Status: u8 {
        const ACTIVE = 1 << 0;
        const ERROR = 1 << 1;
        const INTERRUPT = 1 << 2;
        /// For software's notes.
        const DRIVE0_CAPABLE = 1 << 5;
        const DRIVE1_CAPABLE = 1 << 6;
    }
}

const CLEARABLE: Status = Status::ERROR.union(Status::INTERRUPT);
const NOTES: Status = Status::DRIVE0_CAPABLE.union(Status::DRIVE1_CAPABLE);

/// Where the bus master is in its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// Entries read so far.
    entries: u32,
    /// The region in hand: next address and bytes left.
    address: u32,
    left: u32,
    /// The region in hand is the last.
    last: bool,
}

/// What a write asks of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    Started,
}

/// One channel's bus master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BusMaster {
    command: Command,
    status: Status,
    table: u32,
    cursor: Cursor,
    /// The function's command register lets it be a bus master.
    pub(super) permitted: bool,
}

impl BusMaster {
    pub(super) fn new() -> Self {
        Self {
            command: Command::empty(),
            status: Status::empty(),
            table: 0,
            cursor: Cursor::default(),
            permitted: false,
        }
    }

    pub(super) fn read(&self, at: u64) -> u8 {
        match at {
            COMMAND => self.command.bits(),
            STATUS => self.status.bits(),
            TABLE..8 => self.table.to_le_bytes()[(at - TABLE) as usize & 3],
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, at: u64, value: u8) -> Asked {
        match at {
            COMMAND => {
                let before = self.command;
                self.command = Command::from_bits_truncate(value);
                if !self.command.contains(Command::START) {
                    self.status.remove(Status::ACTIVE);
                } else if !before.contains(Command::START) {
                    self.cursor = Cursor::default();
                    self.status.insert(Status::ACTIVE);
                    return Asked::Started;
                }
            }
            STATUS => {
                let value = Status::from_bits_truncate(value);
                self.status = ((self.status - NOTES) | (value & NOTES)) - (value & CLEARABLE);
            }
            TABLE..8 => {
                let mut bytes = self.table.to_le_bytes();
                bytes[(at - TABLE) as usize & 3] = value;
                self.table = u32::from_le_bytes(bytes) & !3;
            }
            _ => {}
        }
        Asked::Nothing
    }

    /// A transfer may go on now.
    pub(super) fn ready(&self) -> bool {
        self.permitted && self.status.contains(Status::ACTIVE)
    }

    /// The drive's interrupt line rose.
    pub(super) fn interrupt(&mut self) {
        self.status.insert(Status::INTERRUPT);
    }

    /// The table ended before the transfer did.
    pub(super) fn ran_out(&mut self) {
        self.status.remove(Status::ACTIVE);
    }

    /// The transfer is over: active no more if the table is too.
    pub(super) fn ended(&mut self) {
        if self.cursor.last && self.cursor.left == 0 {
            self.status.remove(Status::ACTIVE);
        }
    }

    /// Writes to the regions in order; how many bytes the table took.
    pub(super) fn scatter(&mut self, cx: &mut Cx<'_>, from: &[u8]) -> usize {
        let mut done = 0;
        while done < from.len()
            && let Some((address, len)) = self.region(cx, from.len() - done)
        {
            cx.dma_write(address, &from[done..done + len]);
            done += len;
        }
        done
    }

    /// Reads from the regions in order; how many bytes the table gave.
    pub(super) fn gather(&mut self, cx: &mut Cx<'_>, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len()
            && let Some((address, len)) = self.region(cx, into.len() - done)
        {
            cx.dma_read(address, &mut into[done..done + len]);
            done += len;
        }
        done
    }

    /// The next piece of a region, of at most `most` bytes.
    fn region(&mut self, cx: &mut Cx<'_>, most: usize) -> Option<(u64, usize)> {
        if self.cursor.left == 0 {
            if self.cursor.last || self.cursor.entries >= TABLE_ENTRIES {
                return None;
            }
            let mut entry = [0; ENTRY_LEN as usize];
            cx.dma_read(self.table.wrapping_add(self.cursor.entries * ENTRY_LEN).into(), &mut entry);
            let [a0, a1, a2, a3, c0, c1, c2, c3] = entry;
            let count = u32::from_le_bytes([c0, c1, c2, c3]);
            self.cursor = Cursor {
                entries: self.cursor.entries + 1,
                address: u32::from_le_bytes([a0, a1, a2, a3]) & !1,
                // Zero means 64 KiB.
                left: ((count & 0xfffe).wrapping_sub(1) & 0xffff) + 1,
                last: count & ENTRY_LAST != 0,
            };
        }
        let len = most.min(self.cursor.left as usize);
        let address = self.cursor.address;
        self.cursor.address = address.wrapping_add(len as u32);
        self.cursor.left -= len as u32;
        Some((address.into(), len))
    }
}
