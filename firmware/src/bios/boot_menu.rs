//! The boot menu: while a line offers it, ESC leads to a list of drives, and a digit boots one of them.

use serde::{Deserialize, Serialize};

use super::boot::{Stage, print};
use super::keyboard::take_key;
use super::{Action, Bios, Board, DriveKind};

/// How far the menu has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MenuStage {
    /// It is offered.
    Offered,
    /// It is shown, and a drive is to be chosen.
    Shown,
}

const ESCAPE: u8 = 0x1b;
/// As many as there are digits but 0.
const MOST: usize = 9;

impl Bios {
    /// Offers the menu for so many milliseconds.
    pub(super) fn offer_menu(&mut self, board: &mut dyn Board, wait: u16) -> Action {
        self.boot.stage = Stage::Menu(MenuStage::Offered);
        self.wait_for(board, wait);
        print(board, "Press ESC for boot menu.\r\n\r\n")
    }

    /// Looks for a key.
    pub(super) fn menu(&mut self, board: &mut dyn Board, stage: MenuStage) -> Action {
        self.poll_serial_keys(board);
        let key = take_key(board).map(|key| key as u8);
        match (stage, key) {
            (MenuStage::Offered, Some(ESCAPE)) => {
                self.boot.stage = Stage::Menu(MenuStage::Shown);
                let list = self.list();
                print(board, &list)
            }
            (MenuStage::Offered, None) if board.now() < self.boot.until => Action::Yield,
            // Any other key ends the wait.
            (MenuStage::Offered, _) | (MenuStage::Shown, Some(ESCAPE)) => self.announce(board),
            (MenuStage::Shown, Some(digit @ b'1'..=b'9')) => {
                let place = usize::from(digit - b'1');
                if place >= self.boot.order.len() {
                    return Action::Yield;
                }
                self.boot.order[..=place].rotate_right(1);
                self.announce(board)
            }
            (MenuStage::Shown, _) => Action::Yield,
        }
    }

    fn list(&self) -> String {
        let mut text = String::from("Select boot device:\r\n\r\n");
        for (number, index) in (1..).zip(self.boot.order.iter().take(MOST)) {
            let Some(drive) = self.disks.drives.get(*index) else { continue };
            let place = self.disks.of_kind(drive.kind).iter().position(|i| i == index).unwrap_or(0);
            let name = match drive.kind {
                DriveKind::Floppy => "Floppy",
                DriveKind::HardDisk => "Hard Disk",
                DriveKind::Cdrom => "DVD/CD",
            };
            text.push_str(&format!("{number}. {name} {place} ({} MiB)\r\n", drive.bytes >> 20));
        }
        text.push_str("\r\n");
        text
    }
}
