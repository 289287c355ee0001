//! The i8042 keyboard controller with its PS/2 keyboard and mouse, at ports 60h and 64h.
//!
//! Source: IBM Personal System/2 Hardware Interface Technical Reference, keyboard and auxiliary device controller.
//!
//! Output pins: 0 is IRQ1 (keyboard), 1 is IRQ12 (mouse), 2 is the A20 gate. The board wires pin 2 to
//! [`crate::port92::KEYBOARD_A20`], where the two gates meet.
//!
//! An answer to a command is there at once. A device's next byte follows the reading of the last one after
//! [`BYTE_DELAY`], so that a driver that reads twice for one interrupt does not lose a byte.

mod keyboard;
mod mouse;
mod scancodes;

use crate::ports::ports;
use bitflags::bitflags;
use keyboard::Keyboard;
use lockstep_fabric::{Cx, Device, Input, MachineRequest, Nanos, PinId, Reg, RegionSpec, TimerId, WakeReason, Width};
use mouse::Mouse;
use scancodes::Translator;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The keyboard's interrupt request.
pub const IRQ_KEYBOARD: PinId = PinId(0);
/// The mouse's interrupt request.
pub const IRQ_MOUSE: PinId = PinId(1);
/// The A20 gate.
pub const A20: PinId = PinId(2);

/// From the reading of a device's byte to its next one.
pub const BYTE_DELAY: Nanos = 20_000;

const DATA: u8 = 0;
const NEXT_BYTE: TimerId = TimerId(0);
const NEXT_KEY: TimerId = TimerId(1);
const NEXT_SAMPLE: TimerId = TimerId(2);
/// The most keys that wait to be typed.
const TYPED_MOST: usize = 4096;

bitflags! {
    /// The status register at port 64h.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Status: u8 {
        const OUTPUT_FULL = 1 << 0;
        const INPUT_FULL = 1 << 1;
        const SYSTEM = 1 << 2;
        const COMMAND = 1 << 3;
        const UNLOCKED = 1 << 4;
        const AUX_FULL = 1 << 5;
        const TIMEOUT = 1 << 6;
        const PARITY = 1 << 7;
    }

    /// The controller command byte: byte 0 of the controller's memory.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Mode: u8 {
        const KEYBOARD_INTERRUPT = 1 << 0;
        const MOUSE_INTERRUPT = 1 << 1;
        const SYSTEM = 1 << 2;
        const IGNORE_LOCK = 1 << 3;
        const KEYBOARD_DISABLED = 1 << 4;
        const MOUSE_DISABLED = 1 << 5;
        const TRANSLATE = 1 << 6;
    }

    /// The controller's output port.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct OutputPort: u8 {
        /// Low resets the processor.
        const NOT_RESET = 1 << 0;
        const A20 = 1 << 1;
        const MOUSE_INTERRUPT = 1 << 5;
        const KEYBOARD_INTERRUPT = 1 << 4;
        const UNUSED = 0b1100_1100;
    }
}

/// Commands written to port 64h.
mod command {
    pub(super) const READ_MEMORY: u8 = 0x20;
    pub(super) const WRITE_MEMORY: u8 = 0x60;
    pub(super) const PASSWORD_TEST: u8 = 0xa4;
    pub(super) const DISABLE_MOUSE: u8 = 0xa7;
    pub(super) const ENABLE_MOUSE: u8 = 0xa8;
    pub(super) const TEST_MOUSE: u8 = 0xa9;
    pub(super) const SELF_TEST: u8 = 0xaa;
    pub(super) const TEST_KEYBOARD: u8 = 0xab;
    pub(super) const DISABLE_KEYBOARD: u8 = 0xad;
    pub(super) const ENABLE_KEYBOARD: u8 = 0xae;
    pub(super) const READ_INPUT_PORT: u8 = 0xc0;
    pub(super) const READ_OUTPUT_PORT: u8 = 0xd0;
    pub(super) const WRITE_OUTPUT_PORT: u8 = 0xd1;
    pub(super) const WRITE_KEYBOARD_OUTPUT: u8 = 0xd2;
    pub(super) const WRITE_MOUSE_OUTPUT: u8 = 0xd3;
    pub(super) const WRITE_MOUSE: u8 = 0xd4;
    pub(super) const DISABLE_A20: u8 = 0xdd;
    pub(super) const ENABLE_A20: u8 = 0xdf;
    pub(super) const READ_TEST_INPUTS: u8 = 0xe0;
    pub(super) const PULSE: u8 = 0xf0;
}

const SELF_TEST_PASSED: u8 = 0x55;
const INTERFACE_GOOD: u8 = 0x00;
const NO_PASSWORD: u8 = 0xf1;
/// Keyboard not inhibited, no manufacturing jumper.
const INPUT_PORT: u8 = 0xa0;
/// Bytes of controller memory.
const MEMORY_LEN: usize = 32;

/// Where a byte in the output buffer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Source {
    Controller,
    Keyboard,
    Mouse,
}

/// The command that takes the next byte written to port 60h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Awaiting {
    Memory(u8),
    OutputPort,
    KeyboardOutput,
    MouseOutput,
    Mouse,
}

/// The controller and its two devices.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct I8042 {
    mode: Mode,
    memory: Vec<u8>,
    output_port: OutputPort,
    /// The last write was to port 64h.
    last_was_command: bool,
    awaiting: Option<Awaiting>,
    /// The output buffer; it keeps its byte after it has been read.
    buffer: u8,
    full: Option<Source>,
    /// Answers of the controller itself, with the device that they pretend to come from.
    answers: VecDeque<(Source, u8)>,
    /// No byte of a device before this.
    ready_at: Nanos,
    translator: Translator,
    keyboard: Keyboard,
    /// Keys that are still to be typed, and how long each stays as it is.
    typing: VecDeque<(u16, bool, Nanos)>,
    /// The last one typed still has its time.
    holding: bool,
    mouse: Mouse,
}

impl Default for I8042 {
    fn default() -> Self {
        Self {
            mode: Mode::KEYBOARD_INTERRUPT | Mode::MOUSE_INTERRUPT,
            memory: vec![0; MEMORY_LEN],
            output_port: OutputPort::NOT_RESET | OutputPort::A20 | OutputPort::UNUSED,
            last_was_command: true,
            awaiting: None,
            buffer: 0,
            full: None,
            answers: VecDeque::new(),
            ready_at: 0,
            translator: Translator::default(),
            keyboard: Keyboard::default(),
            typing: VecDeque::new(),
            holding: false,
            mouse: Mouse::default(),
        }
    }
}

impl I8042 {
    /// A controller as after power-on, keyboard and mouse attached.
    pub fn new() -> Self {
        Self::default()
    }

    /// The mouse's buttons that are down, as in [`MouseMotion`](lockstep_fabric::MouseMotion).
    pub fn buttons(&self) -> u8 {
        self.mouse.buttons()
    }

    /// Region 0 is port 60h, region 1 port 64h.
    pub fn regions() -> [RegionSpec; 2] {
        [ports(DATA, 0x60, 1), ports(1, 0x64, 1)]
    }

    /// The lights on the keyboard: bit 0 is scroll lock, 1 num lock, 2 caps lock.
    pub fn leds(&self) -> u8 {
        self.keyboard.leds()
    }

    /// Types what is to be typed now.
    fn type_next(&mut self, cx: &mut Cx<'_>) {
        while let Some((key, down, hold)) = self.typing.pop_front() {
            self.keyboard.key(key, down);
            if hold != 0 {
                cx.arm(NEXT_KEY, cx.now().saturating_add(hold));
                self.holding = true;
                return;
            }
        }
        self.holding = false;
    }

    /// Keys to be typed after those that wait already.
    fn typed(&mut self, cx: &mut Cx<'_>, keys: &[(u16, bool)], hold: Nanos) {
        let idle = !self.holding;
        let room = TYPED_MOST.saturating_sub(self.typing.len());
        self.typing.extend(keys.iter().take(room).map(|(key, down)| (*key, *down, hold)));
        if idle {
            self.type_next(cx);
        }
    }

    fn status(&self) -> Status {
        let mut status = Status::UNLOCKED;
        status.set(Status::OUTPUT_FULL, self.full.is_some());
        status.set(Status::AUX_FULL, self.full == Some(Source::Mouse));
        status.set(Status::SYSTEM, self.mode.contains(Mode::SYSTEM));
        status.set(Status::COMMAND, self.last_was_command);
        status
    }

    fn answer(&mut self, byte: u8) {
        self.answers.push_back((Source::Controller, byte));
    }

    /// Fills the output buffer if it is empty, then drives the interrupt requests.
    fn deliver(&mut self, cx: &mut Cx<'_>) {
        if self.full.is_none() {
            if let Some((source, byte)) = self.answers.pop_front() {
                self.put(source, byte);
            } else if cx.now() >= self.ready_at {
                self.take_from_devices(cx.now());
            } else if self.devices_have_bytes() {
                cx.arm(NEXT_BYTE, self.ready_at);
            }
        }
        if let Some(sample) = self.mouse.next_sample() {
            cx.arm(NEXT_SAMPLE, sample);
        }
        self.request(cx);
    }

    fn devices_have_bytes(&self) -> bool {
        (self.keyboard.has_bytes() && !self.mode.contains(Mode::KEYBOARD_DISABLED))
            || (self.mouse.has_bytes() && !self.mode.contains(Mode::MOUSE_DISABLED))
    }

    fn take_from_devices(&mut self, now: Nanos) {
        while !self.mode.contains(Mode::KEYBOARD_DISABLED)
            && let Some(raw) = self.keyboard.take()
        {
            let byte = if self.mode.contains(Mode::TRANSLATE) { self.translator.translate(raw) } else { Some(raw) };
            // The prefix of a key's release gives no byte of its own when translated.
            if let Some(byte) = byte {
                self.put(Source::Keyboard, byte);
                return;
            }
        }
        if !self.mode.contains(Mode::MOUSE_DISABLED)
            && let Some(byte) = self.mouse.take(now)
        {
            self.put(Source::Mouse, byte);
        }
    }

    fn put(&mut self, source: Source, byte: u8) {
        self.buffer = byte;
        self.full = Some(source);
    }

    fn request(&self, cx: &mut Cx<'_>) {
        let (keyboard, mouse) = self.interrupts();
        cx.set_pin(IRQ_KEYBOARD, keyboard);
        cx.set_pin(IRQ_MOUSE, mouse);
    }

    fn interrupts(&self) -> (bool, bool) {
        match self.full {
            Some(Source::Mouse) => (false, self.mode.contains(Mode::MOUSE_INTERRUPT)),
            Some(Source::Keyboard | Source::Controller) => (self.mode.contains(Mode::KEYBOARD_INTERRUPT), false),
            None => (false, false),
        }
    }

    fn read_data(&mut self, cx: &mut Cx<'_>) -> u8 {
        let byte = self.buffer;
        if let Some(source) = self.full.take() {
            if source != Source::Controller {
                self.ready_at = cx.now() + BYTE_DELAY;
            }
            // The request falls even if another byte is there at once: that makes a new edge.
            self.request(cx);
            self.deliver(cx);
        }
        byte
    }

    fn write_data(&mut self, cx: &mut Cx<'_>, value: u8) {
        match self.awaiting.take() {
            None => {
                self.mode -= Mode::KEYBOARD_DISABLED;
                self.translator = Translator::default();
                self.keyboard.command(value);
            }
            Some(Awaiting::Memory(0)) => self.mode = Mode::from_bits_truncate(value),
            Some(Awaiting::Memory(at)) => {
                if let Some(byte) = self.memory.get_mut(usize::from(at)) {
                    *byte = value;
                }
            }
            Some(Awaiting::OutputPort) => self.write_output_port(cx, OutputPort::from_bits_retain(value)),
            Some(Awaiting::KeyboardOutput) => self.answers.push_back((Source::Keyboard, value)),
            Some(Awaiting::MouseOutput) => self.answers.push_back((Source::Mouse, value)),
            Some(Awaiting::Mouse) => {
                self.mode -= Mode::MOUSE_DISABLED;
                self.mouse.command(value, cx.now());
            }
        }
    }

    fn write_output_port(&mut self, cx: &mut Cx<'_>, value: OutputPort) {
        self.output_port = value;
        cx.set_pin(A20, value.contains(OutputPort::A20));
        if !value.contains(OutputPort::NOT_RESET) {
            cx.request(MachineRequest::Reset);
        }
    }

    fn read_output_port(&self) -> OutputPort {
        let (keyboard, mouse) = self.interrupts();
        let mut value = self.output_port;
        value.set(OutputPort::KEYBOARD_INTERRUPT, keyboard);
        value.set(OutputPort::MOUSE_INTERRUPT, mouse);
        value
    }

    fn write_command(&mut self, cx: &mut Cx<'_>, value: u8) {
        self.awaiting = None;
        match value {
            command::READ_MEMORY => self.answer(self.mode.bits()),
            0x21..=0x3f => self.answer(self.memory.get(usize::from(value & 0x1f)).copied().unwrap_or(0)),
            command::WRITE_MEMORY..=0x7f => self.awaiting = Some(Awaiting::Memory(value & 0x1f)),
            command::PASSWORD_TEST => self.answer(NO_PASSWORD),
            command::DISABLE_MOUSE => self.mode |= Mode::MOUSE_DISABLED,
            command::ENABLE_MOUSE => self.mode -= Mode::MOUSE_DISABLED,
            command::TEST_MOUSE | command::TEST_KEYBOARD => self.answer(INTERFACE_GOOD),
            command::SELF_TEST => {
                self.mode |= Mode::SYSTEM;
                self.answer(SELF_TEST_PASSED);
            }
            command::DISABLE_KEYBOARD => self.mode |= Mode::KEYBOARD_DISABLED,
            command::ENABLE_KEYBOARD => self.mode -= Mode::KEYBOARD_DISABLED,
            command::READ_INPUT_PORT => self.answer(INPUT_PORT),
            command::READ_OUTPUT_PORT => self.answer(self.read_output_port().bits()),
            command::WRITE_OUTPUT_PORT => self.awaiting = Some(Awaiting::OutputPort),
            command::WRITE_KEYBOARD_OUTPUT => self.awaiting = Some(Awaiting::KeyboardOutput),
            command::WRITE_MOUSE_OUTPUT => self.awaiting = Some(Awaiting::MouseOutput),
            command::WRITE_MOUSE => self.awaiting = Some(Awaiting::Mouse),
            command::DISABLE_A20 => self.write_output_port(cx, self.output_port - OutputPort::A20),
            command::ENABLE_A20 => self.write_output_port(cx, self.output_port | OutputPort::A20),
            command::READ_TEST_INPUTS => self.answer(0),
            // The low bits say which outputs to hold high while the others pulse low.
            command::PULSE.. if !OutputPort::from_bits_retain(value).contains(OutputPort::NOT_RESET) => {
                cx.request(MachineRequest::Reset);
            }
            // Unknown commands are passed over, as the controller's firmware does.
            _ => {}
        }
    }
}

impl Device for I8042 {
    fn kind(&self) -> &'static str {
        "i8042"
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width) -> u64 {
        if at.region == DATA { self.read_data(cx) } else { self.status().bits() }.into()
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, _width: Width, value: u64) {
        self.last_was_command = at.region != DATA;
        if at.region == DATA {
            self.write_data(cx, value as u8);
        } else {
            self.write_command(cx, value as u8);
        }
        self.answers.truncate(MEMORY_LEN);
        self.deliver(cx);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        // What somebody is typing and holds is no part of the machine.
        let typing = std::mem::take(&mut self.typing);
        let (mouse, holding) = (self.mouse.untouched(), self.holding);
        *self = Self { typing, holding, mouse, ..Self::default() };
        cx.disarm(NEXT_BYTE);
        cx.disarm(NEXT_SAMPLE);
        cx.set_pin(A20, true);
        self.request(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, id: TimerId) {
        match id {
            NEXT_KEY => self.type_next(cx),
            NEXT_SAMPLE => self.mouse.report(cx.now()),
            _ => {}
        }
        self.deliver(cx);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        match input {
            Input::Key(code, down) => self.keyboard.key(*code, *down),
            Input::Typed { keys, hold } => self.typed(cx, keys, *hold),
            Input::Mouse(motion) => self.mouse.moved(*motion, cx.now()),
            _ => return,
        }
        // As in QEMU a mouse that is only moved wakes nobody.
        if !matches!(input, Input::Mouse(motion) if motion.buttons.unwrap_or_default() == 0) {
            cx.request(MachineRequest::WakeEvent(WakeReason::Operator));
        }
        self.deliver(cx);
    }
}

#[cfg(test)]
mod tests;
