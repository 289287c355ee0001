//! A board for tests: memory, ports that read as ones, and drives whose requests wait to be answered.

use super::frame::Frame;
use super::{
    Action, Bios, BiosConfig, BiosDrive, Board, BootSettings, DriveKind, DriveOperation, DriveRequest, PortWidth,
};
use crate::platform::PlatformConfig;

/// Where the caller's frame is.
const FRAME: u32 = 0x7000;

pub(super) struct FakeBoard {
    pub(super) memory: Vec<u8>,
    pub(super) requests: Vec<DriveRequest>,
    pub(super) now: u64,
    /// The port and the value that end the machine.
    pub(super) ends_at: Option<(u16, u32)>,
    ended: bool,
}

impl Board for FakeBoard {
    fn read(&mut self, address: u64, into: &mut [u8]) {
        for (at, byte) in (address as usize..).zip(into) {
            *byte = self.memory.get(at).copied().unwrap_or(0xff);
        }
    }

    fn write(&mut self, address: u64, from: &[u8]) {
        for (at, byte) in (address as usize..).zip(from) {
            if let Some(held) = self.memory.get_mut(at) {
                *held = *byte;
            }
        }
    }

    fn port_read(&mut self, _port: u16, _width: PortWidth) -> u32 {
        u32::MAX
    }

    fn port_write(&mut self, port: u16, _width: PortWidth, value: u32) {
        self.ended |= self.ends_at == Some((port, value));
    }

    fn submit(&mut self, request: DriveRequest) {
        self.requests.push(request);
    }

    fn now(&self) -> u64 {
        self.now
    }
}

/// A BIOS on a fake board.
pub(super) struct Machine {
    pub(super) bios: Bios,
    pub(super) board: FakeBoard,
}

impl Machine {
    pub(super) fn with(drives: &[(DriveKind, u64)]) -> Self {
        Self::of(Self::config(drives))
    }

    /// A BIOS that was told this.
    pub(super) fn of(config: BiosConfig) -> Self {
        let board = FakeBoard { memory: vec![0; 2 << 20], requests: Vec::new(), now: 0, ends_at: None, ended: false };
        Self { bios: Bios::new(config), board }
    }

    /// What the BIOS was told.
    pub(super) fn config(drives: &[(DriveKind, u64)]) -> BiosConfig {
        let drives = (0..).zip(drives).map(|(drive, (kind, bytes))| BiosDrive {
            kind: *kind,
            drive,
            bytes: *bytes,
            read_only: *kind == DriveKind::Cdrom,
            boot_order: None,
        });
        BiosConfig {
            platform: PlatformConfig::pc(1, 64 << 20),
            drives: drives.collect(),
            serial_console: true,
            floppy_signature_check: true,
            boot: BootSettings::default(),
        }
    }

    /// Calls INT 19h until it has shown a text, and gives that.
    pub(super) fn boots_to_text(&mut self) -> String {
        self.call(0x19, &Frame::default());
        self.text()
    }

    /// The text that was shown last.
    pub(super) fn text(&mut self) -> String {
        let mut text = [0; 0x200];
        self.board.read(super::low_memory::TEXT, &mut text);
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).into_owned()
    }

    /// Calls an interrupt up to its end; drives read as the low byte of each sector's number.
    pub(super) fn call(&mut self, vector: u16, frame: &Frame) -> Frame {
        Frame { at: FRAME, vector, ..frame.clone() }.store(&mut self.board);
        loop {
            self.bios.call(&mut self.board, FRAME);
            match self.bios.action() {
                Action::Poll => self.answer(),
                Action::Yield if !self.board.ended => self.board.now += 1_000_000,
                _ => return Frame::load(&mut self.board, FRAME),
            }
        }
    }

    fn answer(&mut self) {
        let request = self.board.requests.last().expect("a request").clone();
        let data = match request.operation {
            DriveOperation::Read { offset, len } => (offset..offset + len).map(|at| (at / 512) as u8).collect(),
            DriveOperation::Write { .. } => Vec::new(),
        };
        self.bios.completed(request.tag, Ok(data));
    }
}
