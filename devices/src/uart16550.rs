//! The 16550A serial port.
//!
//! Source: National PC16550D data sheet. The line has no speed: a byte written is on its way at once, and bytes that
//! arrived wait on the line until the receiver has room, so none is lost to a slow guest. The divisor only times the
//! character timeout.
//!
//! Output pin 0 is the interrupt request, gated by OUT2 as on PCs.

mod registers;

use crate::catalog::{Creatable, Made};
use crate::ports::ports;
use crate::properties::{Chardev, PropertyError, configuration};
use lockstep_fabric::{Cx, Device, Input, Nanos, PinId, Reg, RegionSpec, TimerId, Width};
use registers::{Fcr, Ier, Lcr, Lsr, Mcr, Msr};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The interrupt request.
pub const IRQ: PinId = PinId(0);

const TIMEOUT: TimerId = TimerId(0);

const FIFO_LEN: usize = 16;
/// How much may wait on the line; what arrives beyond is lost, and the guest is told of an overrun.
const LINE_LEN: usize = 64 * 1024;
/// Input clock in Hz: sixteen times the highest rate.
const CLOCK: u64 = 1_843_200;
/// The divisor after power-on: 9600 baud.
const POWER_ON_DIVISOR: u16 = 12;

const IIR_NONE: u8 = 0x01;
const IIR_MODEM: u8 = 0x00;
const IIR_TRANSMITTER: u8 = 0x02;
const IIR_RECEIVED: u8 = 0x04;
const IIR_LINE: u8 = 0x06;
const IIR_TIMEOUT: u8 = 0x0c;
const IIR_FIFOS: u8 = 0xc0;

configuration! {
    /// How a serial port is set up.
    pub struct Uart16550Config {
        /// Which of the four usual ports: 0 is COM1.
        pub index: u8 = 0,
        /// First port, if not the usual one.
        pub iobase: Option<u16> = None,
        /// ISA interrupt, if not the usual one.
        pub irq: Option<u8> = None,
        /// The character device at the other end of the line.
        pub chardev: Option<Chardev> = None,
    }
}

impl Creatable for Uart16550Config {
    const NAME: &'static str = "isa-serial";
    const ABOUT: &'static str = "serial port (16550A)";

    fn make(self) -> Result<Made, PropertyError> {
        let within = |name, value: u8, most: u8| match value {
            value if value <= most => Ok(()),
            value => Err(PropertyError::Value { name, value: value.to_string(), wanted: "too large" }),
        };
        within("index", self.index, 3)?;
        within("irq", self.irq(), 15)?;
        let made = Made::new(Uart16550::new(), &Uart16550::regions(&self));
        Ok(Made { irqs: vec![(IRQ, self.irq())], chardev: self.chardev.map(|chardev| chardev.0), ..made })
    }
}

impl Uart16550Config {
    /// First port.
    pub fn iobase(&self) -> u16 {
        self.iobase.unwrap_or([0x3f8, 0x2f8, 0x3e8, 0x2e8][usize::from(self.index & 3)])
    }

    /// ISA interrupt.
    pub fn irq(&self) -> u8 {
        self.irq.unwrap_or([4, 3, 4, 3][usize::from(self.index & 3)])
    }
}

/// What came in: a character, or a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Received {
    #[serde(rename = "c")]
    Character(u8),
    #[serde(rename = "break")]
    Break,
}

/// A serial port.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Uart16550 {
    ier: Ier,
    fcr: Fcr,
    lcr: Lcr,
    mcr: Mcr,
    /// Error bits only; the others follow from the rest.
    errors: Lsr,
    /// The modem inputs as the line drives them.
    line_inputs: Msr,
    /// The deltas since the last read.
    deltas: Msr,
    scratch: u8,
    divisor: u16,
    fifo: VecDeque<Received>,
    /// What has arrived and has not found room in the receiver yet.
    line: VecDeque<Received>,
    /// The transmitter became empty and nobody has been told.
    transmitter_news: bool,
    timed_out: bool,
}

impl Default for Uart16550 {
    fn default() -> Self {
        Self {
            ier: Ier::empty(),
            fcr: Fcr::empty(),
            lcr: Lcr::empty(),
            mcr: Mcr::empty(),
            errors: Lsr::empty(),
            line_inputs: Msr::CTS | Msr::DSR | Msr::DCD,
            deltas: Msr::empty(),
            scratch: 0,
            divisor: POWER_ON_DIVISOR,
            fifo: VecDeque::new(),
            line: VecDeque::new(),
            transmitter_news: false,
            timed_out: false,
        }
    }
}

impl Uart16550 {
    /// A port as after power-on, with a peer that is present and ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// The eight registers.
    pub fn regions(config: &Uart16550Config) -> [RegionSpec; 1] {
        [ports(0, config.iobase(), 8)]
    }

    fn uses_fifos(&self) -> bool {
        self.fcr.contains(Fcr::ENABLE)
    }

    fn capacity(&self) -> usize {
        if self.uses_fifos() { FIFO_LEN } else { 1 }
    }

    fn trigger(&self) -> usize {
        if self.uses_fifos() { self.fcr.trigger() } else { 1 }
    }

    /// Moves what waits on the line into the receiver as far as there is room. In loopback the receiver listens to the
    /// transmitter, and the line waits.
    fn fill(&mut self, cx: &mut Cx<'_>) {
        if self.mcr.contains(Mcr::LOOP) {
            return;
        }
        let before = self.fifo.len();
        while self.fifo.len() < self.capacity()
            && let Some(received) = self.line.pop_front()
        {
            self.receive(received);
        }
        if self.fifo.len() > before {
            self.restart_timeout(cx);
        }
    }

    /// A character enters the receiver, which has room or loses it.
    fn receive(&mut self, received: Received) {
        if self.fifo.len() >= self.capacity() {
            self.errors |= Lsr::OE;
            return;
        }
        self.fifo.push_back(received);
        self.show_head();
    }

    /// The break indicator belongs to the character at the head.
    fn show_head(&mut self) {
        if self.fifo.front() == Some(&Received::Break) && self.fifo.len() == 1 {
            self.errors |= Lsr::BI;
        }
    }

    fn take(&mut self) -> u8 {
        self.timed_out = false;
        let taken = self.fifo.pop_front();
        if self.fifo.front() == Some(&Received::Break) {
            self.errors |= Lsr::BI;
        }
        match taken {
            Some(Received::Character(byte)) => byte,
            Some(Received::Break) | None => 0,
        }
    }

    fn transmit(&mut self, cx: &mut Cx<'_>, byte: u8) {
        if self.mcr.contains(Mcr::LOOP) {
            self.receive(Received::Character(byte & self.lcr.data_mask()));
            self.restart_timeout(cx);
        } else {
            cx.emit(&[byte & self.lcr.data_mask()]);
        }
        // The request falls while the holding register is full, so that its being empty again is an edge.
        self.transmitter_news = false;
        self.request(cx);
        self.transmitter_news = true;
    }

    /// Nanoseconds that a character takes on the line.
    fn character_time(&self) -> Nanos {
        let bits = self.lcr.character_bits();
        let clocks = bits * 16 * u64::from(self.divisor.max(1));
        (clocks * 1_000_000_000).div_ceil(CLOCK)
    }

    /// The character timeout counts from the last character that came or went.
    fn restart_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.uses_fifos() && !self.fifo.is_empty() {
            cx.arm(TIMEOUT, cx.now() + 4 * self.character_time());
        } else {
            cx.disarm(TIMEOUT);
        }
    }

    fn clear_receiver(&mut self, cx: &mut Cx<'_>) {
        self.fifo.clear();
        self.timed_out = false;
        self.restart_timeout(cx);
    }

    fn write_fcr(&mut self, cx: &mut Cx<'_>, value: Fcr) {
        let toggled = (value ^ self.fcr).contains(Fcr::ENABLE);
        self.fcr = if value.contains(Fcr::ENABLE) { value - Fcr::COMMANDS } else { Fcr::empty() };
        if toggled || value.contains(Fcr::CLEAR_RECEIVER) {
            self.clear_receiver(cx);
        }
        self.fill(cx);
    }

    /// The modem inputs as seen: in loopback, the modem outputs.
    fn inputs(&self) -> Msr {
        if self.mcr.contains(Mcr::LOOP) { self.mcr.looped() } else { self.line_inputs }
    }

    fn write_mcr(&mut self, cx: &mut Cx<'_>, value: Mcr) {
        let before = self.inputs();
        self.mcr = value;
        self.deltas |= before.deltas_to(self.inputs());
        self.fill(cx);
    }

    fn lsr(&self) -> Lsr {
        let mut value = self.errors | Lsr::THRE | Lsr::TEMT;
        value.set(Lsr::DR, !self.fifo.is_empty());
        value.set(Lsr::FIFO_ERROR, self.uses_fifos() && self.fifo.contains(&Received::Break));
        value
    }

    /// The interrupt to report, by priority.
    fn cause(&self) -> u8 {
        if self.ier.contains(Ier::LINE) && !self.errors.is_empty() {
            IIR_LINE
        } else if self.ier.contains(Ier::RECEIVED) && self.fifo.len() >= self.trigger() {
            IIR_RECEIVED
        } else if self.ier.contains(Ier::RECEIVED) && self.timed_out {
            IIR_TIMEOUT
        } else if self.ier.contains(Ier::TRANSMITTER) && self.transmitter_news {
            IIR_TRANSMITTER
        } else if self.ier.contains(Ier::MODEM) && !self.deltas.is_empty() {
            IIR_MODEM
        } else {
            IIR_NONE
        }
    }

    fn request(&self, cx: &mut Cx<'_>) {
        cx.set_pin(IRQ, self.cause() != IIR_NONE && self.mcr.contains(Mcr::OUT2));
    }

    fn read_iir(&mut self) -> u8 {
        let cause = self.cause();
        if cause == IIR_TRANSMITTER {
            self.transmitter_news = false;
        }
        cause | if self.uses_fifos() { IIR_FIFOS } else { 0 }
    }

    fn write_ier(&mut self, value: Ier) {
        if (value - self.ier).contains(Ier::TRANSMITTER) {
            self.transmitter_news = true;
        }
        self.ier = value;
    }
}

impl Device for Uart16550 {
    fn kind(&self) -> &'static str {
        "isa-serial"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        let dlab = self.lcr.contains(Lcr::DLAB);
        let [divisor_low, divisor_high] = self.divisor.to_le_bytes();
        let value = match at.offset {
            0 if dlab => divisor_low,
            0 => {
                let byte = self.take();
                self.restart_timeout(cx);
                self.fill(cx);
                byte
            }
            1 if dlab => divisor_high,
            1 => self.ier.bits(),
            2 => self.read_iir(),
            3 => self.lcr.bits(),
            4 => self.mcr.bits(),
            5 => {
                let value = self.lsr();
                self.errors = Lsr::empty();
                value.bits()
            }
            6 => {
                let value = self.inputs() | self.deltas;
                self.deltas = Msr::empty();
                value.bits()
            }
            _ => self.scratch,
        };
        self.request(cx);
        value.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        let value = value as u8;
        let dlab = self.lcr.contains(Lcr::DLAB);
        let [divisor_low, divisor_high] = self.divisor.to_le_bytes();
        match at.offset {
            0 if dlab => self.divisor = u16::from_le_bytes([value, divisor_high]),
            0 => self.transmit(cx, value),
            1 if dlab => self.divisor = u16::from_le_bytes([divisor_low, value]),
            1 => self.write_ier(Ier::from_bits_truncate(value)),
            2 => self.write_fcr(cx, Fcr::from_bits_truncate(value)),
            3 => self.lcr = Lcr::from_bits_truncate(value),
            4 => self.write_mcr(cx, Mcr::from_bits_truncate(value)),
            // The line and modem status are for reading.
            5 | 6 => {}
            _ => self.scratch = value,
        }
        self.request(cx);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        let line = std::mem::take(&mut self.line);
        *self = Self { line, line_inputs: self.line_inputs, scratch: self.scratch, ..Self::default() };
        cx.disarm(TIMEOUT);
        self.fill(cx);
        self.request(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _id: TimerId) {
        self.timed_out = !self.fifo.is_empty();
        self.request(cx);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        let room = LINE_LEN.saturating_sub(self.line.len());
        match input {
            Input::Bytes(bytes) => {
                self.line.extend(bytes.iter().take(room).map(|b| Received::Character(*b)));
                if bytes.len() > room {
                    self.errors |= Lsr::OE;
                }
            }
            Input::Break if room > 0 => self.line.push_back(Received::Break),
            _ => return,
        }
        self.fill(cx);
        self.request(cx);
    }
}

#[cfg(test)]
mod tests;
