//! The floppy disk controller (82077AA in its PC/AT mode) with two drives, at 3F0h.
//!
//! Source: Intel 82077AA data sheet. Drives 0 and 1 of the block requests are A: and B:. Any data rate reads any disk.
//! A disk that holds no sector where one is asked for, or no disk at all, ends a command with an error and not, as on
//! some drives, never.

mod commands;
mod execution;
mod format;
mod registers;
mod transfer;

#[cfg(test)]
mod tests;

pub use format::{FloppyType, Format};

use crate::drive::DriveInfo;
use crate::ports::ports;
use lockstep_fabric::{Cx, Device, DeviceId, Input, IsaDma, Medium, Nanos, PinId, Reg, RegionSpec, TimerId, Width};
use registers::{
    CONFIGURE_AT_RESET, CONFIGURE_NO_POLL, DIR_DISK_CHANGED, DSR_RESET, Dor, Msr, SPECIFY_NON_DMA, ST0_POLLED,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use transfer::{Kind, Transfer, Wait};

/// Output pin: the interrupt, ISA IRQ 6.
pub const PIN_IRQ: PinId = PinId(0);
/// The ISA interrupt.
pub const IRQ: u8 = 6;
/// The ISA DMA channel.
pub const DMA_CHANNEL: u8 = 2;
/// Drives that can be attached.
pub const DRIVES: usize = 2;

/// Regions: ports 3F0h to 3F5h, and 3F7h. 3F6h is the IDE controller's.
pub const REGIONS: [RegionSpec; 2] = [ports(0, 0x3f0, 6), ports(1, 0x3f7, 1)];

const DOR: u64 = 2;
const TDR: u64 = 3;
const MSR: u64 = 4;
const FIFO: u64 = 5;

const TIMER_RESET: TimerId = TimerId(0);
/// The end of READ ID, when a sector's ID has come by.
const TIMER_IDENTIFIED: TimerId = TimerId(1);
/// The first drive's seek; the second's follows.
const TIMER_SEEK: u16 = 2;

const RESET_TIME: Nanos = 50_000;
const IDENTIFY_TIME: Nanos = 500_000;
const STEP_TIME: Nanos = 100_000;
/// From the last step until the head is still.
const SETTLE_TIME: Nanos = 200_000;

/// How the controller is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FdcConfig {
    /// The ISA DMA controller.
    pub dma: Option<DeviceId>,
    /// A: and B:.
    pub drives: [Option<DriveInfo>; DRIVES],
}

/// A drive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Drive {
    medium: Option<Medium>,
    cylinder: u8,
    /// Where a seek in progress goes.
    seeking: Option<Seek>,
    /// The disk was changed since the last step.
    changed: bool,
    /// The sector that passed under the head last.
    passed: u8,
}

/// A seek in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seek {
    to: u8,
    head: u8,
}

/// What the controller is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Collecting a command's bytes.
    Command(Vec<u8>),
    /// Moving data.
    Transfer(Box<Transfer>),
    /// Waiting for a sector's ID; the results are known.
    Identifying(Vec<u8>),
    /// Handing out results.
    Result(VecDeque<u8>),
}

/// The floppy controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fdc {
    dma: Option<DeviceId>,
    drives: [Option<Drive>; DRIVES],
    dor: Dor,
    /// Data rate and precompensation: kept, without effect.
    dsr: u8,
    tdr: u8,
    phase: Phase,
    specify: [u8; 2],
    /// The last two bytes of CONFIGURE.
    configure: [u8; 2],
    perpendicular: u8,
    /// CONFIGURE's settings outlive a software reset.
    locked: bool,
    /// ST0 and cylinder of what SENSE INTERRUPT STATUS will tell.
    news: VecDeque<(u8, u8)>,
    /// Drives whose seek has ended and has not been sensed.
    sought: u8,
    /// An interrupt is pending.
    interrupt: bool,
    next_tag: u64,
}

impl Fdc {
    /// The controller after power-on.
    pub fn new(config: FdcConfig) -> Self {
        let drive =
            |info: DriveInfo| Drive { medium: info.medium, cylinder: 0, seeking: None, changed: true, passed: 0 };
        Self {
            dma: config.dma,
            drives: config.drives.map(|info| info.map(drive)),
            dor: Dor::empty(),
            dsr: 2,
            tdr: 0,
            phase: Phase::Command(Vec::new()),
            specify: [0; 2],
            configure: [CONFIGURE_AT_RESET, 0],
            perpendicular: 0,
            locked: false,
            news: VecDeque::new(),
            sought: 0,
            interrupt: false,
            next_tag: 0,
        }
    }

    fn wire(&self, cx: &mut Cx<'_>) {
        cx.set_pin(PIN_IRQ, self.interrupt && self.dor.contains(Dor::DMA_GATE | Dor::NOT_RESET));
    }

    /// Abandons what is going on, as a reset by DOR or DSR does.
    fn abandon(&mut self, cx: &mut Cx<'_>) {
        self.phase = Phase::Command(Vec::new());
        self.news.clear();
        self.sought = 0;
        self.interrupt = false;
        for timer in 0..TIMER_SEEK + DRIVES as u16 {
            cx.disarm(TimerId(timer));
        }
        for drive in self.drives.iter_mut().flatten() {
            drive.seeking = None;
        }
        if !self.locked {
            self.configure = [CONFIGURE_AT_RESET, 0];
        }
        self.perpendicular &= 0x3c;
    }

    fn leave_reset(&self, cx: &mut Cx<'_>) {
        cx.arm(TIMER_RESET, cx.now() + RESET_TIME);
    }

    /// The drives are polled after a reset, and each tells of a change.
    fn poll(&mut self) {
        if self.configure[0] & CONFIGURE_NO_POLL == 0 {
            let cylinder = |i: usize| self.drives.get(i).and_then(Option::as_ref).map_or(0, |d| d.cylinder);
            self.news = (0..4).map(|i| (ST0_POLLED | i as u8, cylinder(i))).collect();
        }
        self.interrupt = true;
    }

    fn status(&self) -> Msr {
        if !self.dor.contains(Dor::NOT_RESET) {
            return Msr::empty();
        }
        let mut status = Msr::from_bits_truncate(self.sought);
        for (i, drive) in self.drives.iter().enumerate() {
            if drive.as_ref().is_some_and(|d| d.seeking.is_some()) {
                status |= Msr::from_bits_truncate(1 << i);
            }
        }
        status
            | match &self.phase {
                Phase::Command(bytes) if bytes.is_empty() => Msr::RQM,
                Phase::Command(_) => Msr::RQM | Msr::COMMAND_BUSY,
                Phase::Identifying(_) => Msr::COMMAND_BUSY,
                Phase::Result(_) => Msr::RQM | Msr::DIO | Msr::COMMAND_BUSY,
                Phase::Transfer(transfer) => {
                    let mut status = Msr::COMMAND_BUSY;
                    if self.specify[1] & SPECIFY_NON_DMA != 0 && transfer.kind != Kind::Verify {
                        status |= Msr::NON_DMA;
                        if transfer.wait == Wait::Guest {
                            status |= Msr::RQM;
                        }
                        if transfer.kind == Kind::Read {
                            status |= Msr::DIO;
                        }
                    }
                    status
                }
            }
    }

    fn disk_changed(&self) -> bool {
        let selected = usize::from((self.dor & (Dor::DRIVE_SELECT_0 | Dor::DRIVE_SELECT_1)).bits());
        self.drives.get(selected).and_then(Option::as_ref).is_some_and(|d| d.changed || d.medium.is_none())
    }

    fn fifo_read(&mut self, cx: &mut Cx<'_>) -> u8 {
        match &mut self.phase {
            Phase::Result(bytes) => {
                let byte = bytes.pop_front().unwrap_or(0);
                let over = bytes.is_empty();
                if over {
                    self.phase = Phase::Command(Vec::new());
                }
                // A seek that is still to be sensed interrupts anew; the four answers after a reset share one interrupt.
                self.interrupt = over && self.news.front().is_some_and(|(st0, _)| st0 & ST0_POLLED != ST0_POLLED);
                byte
            }
            Phase::Transfer(_) => self.give_byte(cx),
            Phase::Command(_) | Phase::Identifying(_) => 0,
        }
    }

    fn fifo_write(&mut self, cx: &mut Cx<'_>, value: u8) {
        match &mut self.phase {
            Phase::Command(bytes) => {
                bytes.push(value);
                if bytes.len() >= commands::len(bytes[0]) {
                    let bytes = std::mem::take(bytes);
                    self.command(cx, &bytes);
                }
            }
            Phase::Transfer(_) => self.take_byte(cx, value),
            Phase::Identifying(_) | Phase::Result(_) => {}
        }
    }

    fn dor_write(&mut self, cx: &mut Cx<'_>, value: Dor) {
        let before = self.dor;
        self.dor = value;
        if !value.contains(Dor::NOT_RESET) {
            self.abandon(cx);
        } else if !before.contains(Dor::NOT_RESET) {
            self.leave_reset(cx);
        }
    }

    fn dsr_write(&mut self, cx: &mut Cx<'_>, value: u8) {
        self.dsr = value & !DSR_RESET;
        if value & DSR_RESET != 0 && self.dor.contains(Dor::NOT_RESET) {
            self.abandon(cx);
            self.leave_reset(cx);
        }
    }

    /// Calls the DMA controller, if the board has one and requests pass.
    fn with_dma<R>(&self, cx: &mut Cx<'_>, call: impl FnOnce(&mut dyn IsaDma, &mut Cx<'_>) -> R) -> Option<R> {
        let dma = self.dma.filter(|_| self.dor.contains(Dor::DMA_GATE))?;
        cx.with_peer(dma, |device, cx| device.isa_dma().map(|dma| call(dma, cx))).flatten()
    }
}

impl Device for Fdc {
    fn kind(&self) -> &'static str {
        "isa-fdc"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        let value = match (at.region, at.offset) {
            (0, DOR) => self.dor.bits(),
            (0, TDR) => self.tdr,
            (0, MSR) => self.status().bits(),
            (0, FIFO) if self.dor.contains(Dor::NOT_RESET) => {
                let byte = self.fifo_read(cx);
                self.wire(cx);
                byte
            }
            (1, _) if self.disk_changed() => DIR_DISK_CHANGED,
            (1, _) => 0,
            // Status registers A and B exist in the PS/2 modes only.
            _ => 0xff,
        };
        value.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        let value = value as u8;
        match (at.region, at.offset) {
            (0, DOR) => self.dor_write(cx, Dor::from_bits_retain(value)),
            (0, TDR) => self.tdr = value & 3,
            (0, MSR) => self.dsr_write(cx, value),
            (0, FIFO) if self.dor.contains(Dor::NOT_RESET) => self.fifo_write(cx, value),
            // Configuration control: the data rate.
            (1, _) => self.dsr = self.dsr & !3 | value & 3,
            _ => return,
        }
        self.wire(cx);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.abandon(cx);
        let drives = self.drives.clone().map(|d| d.map(|d| Drive { cylinder: 0, changed: true, ..d }));
        let fresh = Self::new(FdcConfig { dma: self.dma, ..FdcConfig::default() });
        *self = Self { drives, next_tag: self.next_tag, ..fresh };
        self.wire(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        match id {
            TIMER_RESET => self.poll(),
            TIMER_IDENTIFIED => {
                if let Phase::Identifying(results) = &mut self.phase {
                    let results = std::mem::take(results);
                    self.tell(results);
                }
            }
            TimerId(n) => self.seek_over(n.saturating_sub(TIMER_SEEK)),
        }
        self.wire(cx);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        match input {
            Input::Block(completion) => self.completed(cx, completion),
            Input::Medium { drive, medium } => {
                if let Some(Some(drive)) = self.drives.get_mut(usize::from(*drive)) {
                    drive.medium = *medium;
                    drive.changed = true;
                }
            }
            _ => return,
        }
        self.wire(cx);
    }
}
