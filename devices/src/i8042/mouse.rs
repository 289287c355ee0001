//! The PS/2 mouse, with IntelliMouse's wheel and five buttons once the host has knocked for them.

use bitflags::bitflags;
use lockstep_fabric::{MouseMotion, Nanos};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const TEST_PASSED: u8 = 0xaa;
/// The most bytes that wait for the host; motion goes on adding up meanwhile.
const BUFFER_LEN: usize = 16;
/// The farthest movement that a packet tells, and the farthest that is told when it is doubled.
const COUNT_MOST: i32 = 255;
const SCALED_MOST: i32 = 127;
/// Sample rates set one after the other that turn the wheel on, and then the fourth and fifth button.
const WHEEL_KNOCK: [u8; 3] = [200, 100, 80];
const BUTTONS_KNOCK: [u8; 3] = [200, 200, 80];

/// Bytes sent to the mouse.
mod command {
    pub(super) const SCALE_1: u8 = 0xe6;
    pub(super) const SCALE_2: u8 = 0xe7;
    pub(super) const SET_RESOLUTION: u8 = 0xe8;
    pub(super) const STATUS: u8 = 0xe9;
    pub(super) const STREAM_MODE: u8 = 0xea;
    pub(super) const READ_DATA: u8 = 0xeb;
    pub(super) const WRAP_RESET: u8 = 0xec;
    pub(super) const WRAP: u8 = 0xee;
    pub(super) const REMOTE_MODE: u8 = 0xf0;
    pub(super) const IDENTIFY: u8 = 0xf2;
    pub(super) const SET_RATE: u8 = 0xf3;
    pub(super) const ENABLE: u8 = 0xf4;
    pub(super) const DISABLE: u8 = 0xf5;
    pub(super) const SET_DEFAULTS: u8 = 0xf6;
    pub(super) const RESEND: u8 = 0xfe;
    pub(super) const RESET: u8 = 0xff;
}

bitflags! {
    /// Buttons that are down.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Buttons: u8 {
        const LEFT = 1 << 0;
        const RIGHT = 1 << 1;
        const MIDDLE = 1 << 2;
        const BACK = 1 << 3;
        const FORWARD = 1 << 4;
        /// The buttons that every mouse has.
        const FIRST_THREE = 0b111;
    }
}

/// What the mouse says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Model {
    Plain,
    Wheel,
    FiveButtons,
}

impl Model {
    fn id(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Wheel => 3,
            Self::FiveButtons => 4,
        }
    }
}

/// The mouse.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mouse {
    model: Model,
    reporting: bool,
    remote: bool,
    wrapping: bool,
    scale_2: bool,
    resolution: u8,
    rate: u8,
    /// The last rates set, newest last.
    knocks: [u8; 3],
    awaiting: Option<u8>,
    right: i32,
    up: i32,
    wheel: i32,
    buttons: Buttons,
    /// Something happened that no packet has told yet.
    news: bool,
    /// No packet in stream mode before this: the sample rate.
    sample_at: Nanos,
    output: VecDeque<u8>,
    last_sent: u8,
}

impl Default for Mouse {
    fn default() -> Self {
        Self {
            model: Model::Plain,
            reporting: false,
            remote: false,
            wrapping: false,
            scale_2: false,
            resolution: 2,
            rate: 100,
            knocks: [0; 3],
            awaiting: None,
            right: 0,
            up: 0,
            wheel: 0,
            buttons: Buttons::empty(),
            news: false,
            sample_at: 0,
            output: VecDeque::new(),
            last_sent: 0,
        }
    }
}

impl Mouse {
    pub(super) fn buttons(&self) -> u8 {
        self.buttons.bits()
    }

    pub(super) fn has_bytes(&self) -> bool {
        !self.output.is_empty()
    }

    /// Takes the next byte to send.
    pub(super) fn take(&mut self, now: Nanos) -> Option<u8> {
        let byte = self.output.pop_front()?;
        if byte != RESEND {
            self.last_sent = byte;
        }
        if self.output.is_empty() {
            self.report(now);
        }
        Some(byte)
    }

    /// A mouse after power-on whose buttons are as they are.
    pub(super) fn untouched(&self) -> Self {
        Self { buttons: self.buttons, ..Self::default() }
    }

    /// The mouse moved, or its buttons changed.
    pub(super) fn moved(&mut self, motion: MouseMotion, now: Nanos) {
        self.right = self.right.saturating_add(motion.right.into());
        self.up = self.up.saturating_add(motion.up.into());
        self.wheel = self.wheel.saturating_add(motion.wheel.into());
        self.buttons = motion.buttons.map_or(self.buttons, Buttons::from_bits_truncate);
        self.news = true;
        self.report(now);
    }

    /// Whether it would tell by itself what has happened.
    fn streaming(&self) -> bool {
        self.news && self.reporting && !self.remote && !self.wrapping && self.output.is_empty()
    }

    /// When there will be a packet that only the sample rate holds up.
    pub(super) fn next_sample(&self) -> Option<Nanos> {
        self.streaming().then_some(self.sample_at)
    }

    /// In stream mode, sends a packet if there is something to tell, nothing else is on its way, and it is time.
    pub(super) fn report(&mut self, now: Nanos) {
        const SECOND: Nanos = 1_000_000_000;
        if self.streaming() && now >= self.sample_at {
            self.sample_at = now.saturating_add(SECOND / Nanos::from(self.rate.max(1)));
            self.send_packet(self.scale_2);
        }
    }

    /// Tells what has happened; `scaled` doubles fast movements and slows small ones.
    fn send_packet(&mut self, scaled: bool) {
        const ALWAYS: u8 = 1 << 3;
        const RIGHT_SIGN: u8 = 1 << 4;
        const UP_SIGN: u8 = 1 << 5;
        let most = if scaled { SCALED_MOST } else { COUNT_MOST };
        let scale = |count| if scaled { scale_2(count) } else { count };
        let right = scale(take_part(&mut self.right, most));
        let up = scale(take_part(&mut self.up, most));
        let mut first = ALWAYS | (self.buttons & Buttons::FIRST_THREE).bits();
        first |= if right < 0 { RIGHT_SIGN } else { 0 };
        first |= if up < 0 { UP_SIGN } else { 0 };
        self.output.extend([first, right as u8, up as u8]);
        match self.model {
            Model::Plain => self.wheel = 0,
            Model::Wheel => self.output.push_back(take_part(&mut self.wheel, 127) as u8),
            Model::FiveButtons => {
                let wheel = take_part(&mut self.wheel, 7) as u8 & 0x0f;
                let extra = (self.buttons - Buttons::FIRST_THREE).bits() << 1;
                self.output.push_back(wheel | extra);
            }
        }
        self.news = self.right != 0 || self.up != 0 || self.wheel != 0;
    }

    fn answer(&mut self, bytes: &[u8]) {
        let room = BUFFER_LEN.saturating_sub(self.output.len());
        self.output.extend(bytes.iter().take(room));
    }

    /// A byte from the host.
    pub(super) fn command(&mut self, byte: u8, now: Nanos) {
        if self.wrapping && !matches!(byte, command::WRAP_RESET | command::RESET) {
            self.answer(&[byte]);
            return;
        }
        if byte != command::RESEND {
            // A command ends whatever packet was on its way.
            self.output.clear();
        }
        match self.awaiting.take() {
            Some(command::SET_RATE) => self.set_rate(byte),
            Some(_) => {
                self.resolution = byte & 3;
                self.answer(&[ACK]);
            }
            None => self.execute(byte),
        }
        self.output.truncate(BUFFER_LEN);
        self.report(now);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            command::RESEND => {
                self.output.push_front(self.last_sent);
                return;
            }
            command::RESET => {
                *self = self.untouched();
                self.answer(&[ACK, TEST_PASSED, Model::Plain.id()]);
                return;
            }
            command::SCALE_1 => self.scale_2 = false,
            command::SCALE_2 => self.scale_2 = true,
            command::SET_RESOLUTION | command::SET_RATE => self.awaiting = Some(byte),
            command::STREAM_MODE => self.remote = false,
            command::REMOTE_MODE => self.remote = true,
            command::WRAP => self.wrapping = true,
            command::WRAP_RESET => self.wrapping = false,
            command::ENABLE => self.reporting = true,
            command::DISABLE => self.reporting = false,
            command::SET_DEFAULTS => *self = Self { model: self.model, ..self.untouched() },
            command::STATUS | command::READ_DATA | command::IDENTIFY => {}
            _ => {
                self.answer(&[RESEND]);
                return;
            }
        }
        self.answer(&[ACK]);
        match byte {
            command::STATUS => self.answer(&[self.status(), self.resolution, self.rate]),
            command::READ_DATA => self.send_packet(false),
            command::IDENTIFY => self.answer(&[self.model.id()]),
            _ => {}
        }
    }

    fn status(&self) -> u8 {
        let left = u8::from(self.buttons.contains(Buttons::LEFT)) << 2;
        let middle = u8::from(self.buttons.contains(Buttons::MIDDLE)) << 1;
        let right = u8::from(self.buttons.contains(Buttons::RIGHT));
        let modes = u8::from(self.remote) << 6 | u8::from(self.reporting) << 5 | u8::from(self.scale_2) << 4;
        modes | left | middle | right
    }

    fn set_rate(&mut self, rate: u8) {
        self.rate = rate;
        self.knocks = [self.knocks[1], self.knocks[2], rate];
        if self.knocks == WHEEL_KNOCK && self.model == Model::Plain {
            self.model = Model::Wheel;
        } else if self.knocks == BUTTONS_KNOCK {
            self.model = Model::FiveButtons;
        }
        self.answer(&[ACK]);
    }
}

/// Scaling 2:1 (IBM's mouse technical reference, "Set scaling 2:1").
fn scale_2(count: i32) -> i32 {
    let scaled = match count.abs() {
        small @ 0..=1 => small,
        2 => 1,
        3 => 3,
        4 => 6,
        5 => 9,
        large => 2 * large,
    };
    scaled * count.signum()
}

/// Takes as much of `amount` as one packet can tell.
fn take_part(amount: &mut i32, most: i32) -> i32 {
    let part = (*amount).clamp(-most, most);
    *amount -= part;
    part
}
