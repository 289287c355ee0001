//! Going on after a sleep (ACPI 6.5, section 16.3.2): RAM is the operating system's, and what devices it relies upon firmware for are
//! set up as at power-on.

use super::frame::Frame;
use super::low_memory::{TEXT, dword, outb};
use super::{Action, Bios, Board, firmware_files};
use crate::acpi::{facs, generation};
use crate::platform;

/// The 8259s' masks.
const MASTER_MASK: u16 = 0x21;
const SLAVE_MASK: u16 = 0xa1;

impl Bios {
    /// To the waking vector by [`Action::Chain`], or to an ordinary start if there is none.
    pub(super) fn resume(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        let placed = platform::place(&self.config.platform);
        let Some(vector) = placed.facs.map(|facs| dword(board, facs + facs::WAKING_VECTOR)).filter(|at| *at != 0)
        else {
            return Action::Done;
        };
        self.set_up_pci(board);
        for mask in [MASTER_MASK, SLAVE_MASK] {
            outb(board, mask, u8::MAX);
        }
        if let Some(address) = placed.vm_generation {
            // The only memory that is certain not to be the operating system's.
            firmware_files::write(board, TEXT as u32, generation::ADDRESS_FILE, &address.to_le_bytes());
        }
        f.chain = facs::real_mode_address(vector);
        Action::Chain
    }
}
