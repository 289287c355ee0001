//! The BIOS: what INT 10h to 1Ah do, and what happens between the reset vector and the boot sector.
//!
//! The ROM holds little code of its own. Each interrupt vector leads to a stub ([`crate::rom`]) that saves the registers in a
//! [`frame::Frame`] on the guest's stack, writes the frame's address to [`PORT`], and does as the [`Action`] read back from there
//! says. The service itself is Rust: [`Bios::call`] reads and changes the frame, guest memory and the board's I/O ports
//! through [`Board`]. Disks are reached by [`DriveRequest`]s, whatever controller they hang on; a stub polls until
//! [`Bios::completed`] has been told of the end.
//!
//! [`Bios`] is all state that the services keep outside of guest memory, and serializes as any device's registers do.
//!
//! Sources: IBM PS/2 and PC BIOS Interface Technical Reference; Ralf Brown's Interrupt List; BIOS Boot Specification 1.01;
//! Phoenix Enhanced Disk Drive Specification 3.0; El Torito 1.0; PCI BIOS Specification 2.1; ACPI 6.5, chapter 15 (E820).

mod boot;
mod boot_cd;
mod boot_menu;
mod clock;
mod disk;
mod drives;
mod extended_disk;
mod firmware_files;
pub mod frame;
mod geometry;
mod key_codes;
mod keyboard;
mod low_memory;
mod option_rom;
mod pci;
mod pci_bios;
mod pci_setup;
mod post;
mod resume;
mod serial;
mod system;
mod tables;
mod video;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::platform::PlatformConfig;
use frame::Frame;

pub use drives::{BiosDrive, DriveError, DriveKind, DriveOperation, DriveRequest};

/// The service port: a dword written is the linear address of a frame, and calls; a byte read is the [`Action`].
pub const PORT: u16 = 0x520;
/// The service port's neighbour for callers in protected mode, whose stacks the services cannot find: six dwords written are EAX,
/// EBX, ECX, EDX, ESI and EDI of a call of the PCI BIOS; seven dwords read are the same registers after it, and EFLAGS.
pub const MAILBOX_PORT: u16 = 0x524;
/// How many ports there are from [`PORT`].
pub const PORTS: u16 = 8;

/// Where the text of [`Action::Print`] is: segment and offset.
pub const TEXT: (u16, u16) = (low_memory::EBDA, low_memory::TEXT_OFFSET);
/// Offset of the Plug and Play structure in the F segment, which expansion ROMs are told.
pub const PNP_STRUCTURE: u16 = tables::PNP as u16;

/// Vectors above those of the processor, for calls that only the ROM makes.
pub mod vector {
    /// A phase of the start: AX says which ([`super::Phase`]).
    pub const POST: u16 = 0x100;
    /// A byte of the keyboard in AL.
    pub const SCAN_CODE: u16 = 0x101;
}

/// What a stub does next. The numbers are what it reads from [`PORT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Action {
    /// Restore the registers and return from the interrupt.
    #[default]
    Done = 0,
    /// Ask again later, without letting interrupts in.
    Poll = 1,
    /// Call again.
    Again = 2,
    /// Wait for an interrupt, then call again.
    Halt = 3,
    /// Let interrupts in, then call again.
    Yield = 4,
    /// Show the text at [`TEXT`] by INT 10h, then call again.
    Print = 5,
    /// Restore the registers and go to the frame's chain address, as if the caller had called that.
    Chain = 6,
}

/// The phases of the start, in the order in which the ROM calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Phase {
    /// RAM in the place of ROM below 1 MiB.
    Shadow = 1,
    /// Low memory, tables, the board's devices.
    Devices = 2,
    /// The next expansion ROM to call: its segment in BX (0: there are no more), its PCI address in AX.
    OptionRom = 3,
    /// What comes behind the expansion ROMs.
    Finish = 4,
    /// Going on after a sleep.
    Resume = 5,
}

/// Widths of port accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortWidth {
    /// One byte.
    Byte,
    /// Two bytes.
    Word,
    /// Four bytes.
    Dword,
}

/// What the services reach of the machine.
pub trait Board {
    /// Reads guest memory by physical address.
    fn read(&mut self, address: u64, into: &mut [u8]);
    /// Writes guest memory by physical address.
    fn write(&mut self, address: u64, from: &[u8]);
    /// Reads an I/O port.
    fn port_read(&mut self, port: u16, width: PortWidth) -> u32;
    /// Writes an I/O port.
    fn port_write(&mut self, port: u16, width: PortWidth, value: u32);
    /// Sends a request to a drive; [`Bios::completed`] is called when it is done.
    fn submit(&mut self, request: DriveRequest);
    /// Guest time in nanoseconds.
    fn now(&self) -> u64;
}

/// What the board tells its BIOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BiosConfig {
    /// The machine, as its tables describe it.
    pub platform: PlatformConfig,
    /// The drives that INT 13h knows. Among drives of one kind, their order here decides unless their boot order does.
    pub drives: Vec<BiosDrive>,
    /// What INT 10h shows also goes to COM1, and what is typed there also arrives at INT 16h. Without a video ROM it does so
    /// anyway.
    pub serial_console: bool,
    /// A floppy is only booted if its first sector ends in 55AAh.
    pub floppy_signature_check: bool,
    /// How the user wants to be asked, and what is done when nothing can be booted.
    pub boot: BootSettings,
}

/// `-boot`, as far as it is not an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootSettings {
    /// How many milliseconds ESC leads to a menu of drives; `None`: it does not.
    pub menu_wait: Option<u16>,
    /// How many milliseconds after nothing could be booted the machine is reset; `None`: it is not.
    pub fail_wait: Option<u16>,
    /// Where some drives have a place in the order of booting, only those are tried.
    pub strict: bool,
}

/// The BIOS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bios {
    config: BiosConfig,
    action: Action,
    disks: disk::Disks,
    boot: boot::Boot,
    roms: option_rom::Scan,
    console: video::SerialConsole,
    typed: serial::Typed,
    /// When a wait in progress (INT 15h AH=86h, INT 14h) ends.
    wait_until: Option<u64>,
    /// Registers of a protected-mode call: those that came in, and those that go out, the last first.
    mailbox: Vec<u32>,
    answers: Vec<u32>,
}

impl Bios {
    /// The BIOS of a board, as at power-on.
    #[must_use]
    pub fn new(config: BiosConfig) -> Self {
        let disks = disk::Disks::new(&config.drives);
        Self {
            config,
            action: Action::Done,
            disks,
            boot: boot::Boot::default(),
            roms: option_rom::Scan::default(),
            console: video::SerialConsole::default(),
            typed: serial::Typed::default(),
            wait_until: None,
            mailbox: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Returns to the state at power-on. What drives have yet to answer will be ignored.
    pub fn reset(&mut self) {
        let tag = self.disks.next_tag();
        *self = Self::new(self.config.clone());
        self.disks.continue_tags(tag);
    }

    /// A stub calls, with its frame at a linear address.
    pub fn call(&mut self, board: &mut dyn Board, at: u32) {
        let mut frame = Frame::load(board, at);
        self.action = self.serve(board, &mut frame);
        frame.store(board);
    }

    /// What the stub is to do.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// A drive is done with a request.
    pub fn completed(&mut self, tag: u64, result: Result<Vec<u8>, DriveError>) {
        if self.disks.completed(tag, result) && self.action == Action::Poll {
            self.action = Action::Again;
        }
    }

    /// Somebody changed the medium of the drive that requests call `drive`; 0 bytes are none.
    pub fn medium_changed(&mut self, drive: u8, bytes: u64, read_only: bool) {
        self.disks.medium_changed(drive, bytes, read_only);
    }

    /// A dword written to [`MAILBOX_PORT`].
    pub fn mailbox_write(&mut self, board: &mut dyn Board, value: u32) {
        self.mailbox.push(value);
        if let &[eax, ebx, ecx, edx, esi, edi] = self.mailbox.as_slice() {
            let mut frame = Frame { eax, ebx, ecx, edx, esi, edi, vector: 0x1a, ..Frame::default() };
            self.pci_bios(board, &mut frame);
            let flags = u32::from(frame.flags);
            self.mailbox.clear();
            self.answers = vec![flags, frame.edi, frame.esi, frame.edx, frame.ecx, frame.ebx, frame.eax];
        }
    }

    /// A dword read from [`MAILBOX_PORT`].
    pub fn mailbox_read(&mut self) -> u32 {
        self.answers.pop().unwrap_or(0)
    }

    fn serve(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        match f.vector {
            0x10 => self.video(board, f),
            0x11 => {
                f.set_ax(low_memory::word(board, low_memory::EQUIPMENT));
                Action::Done
            }
            0x12 => {
                f.set_ax(low_memory::word(board, low_memory::MEMORY_KIB));
                Action::Done
            }
            0x13 => self.disk(board, f),
            0x14 => self.serial(board, f),
            0x15 => self.system(board, f),
            0x16 => self.keyboard(board, f),
            0x17 => {
                // There is no parallel port: time-out.
                f.set_ah(0x01);
                Action::Done
            }
            0x18 => self.boot_next(board, f),
            0x19 => self.bootstrap(board, f),
            0x1a => self.clock(board, f),
            vector::POST => self.post(board, f),
            vector::SCAN_CODE => {
                keyboard::scan_code(board, f.al());
                Action::Done
            }
            _ => Action::Done,
        }
    }
}
