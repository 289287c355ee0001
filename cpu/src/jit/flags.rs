//! Where the guest's status flags are: in the host's own until something else needs those, else in memory.

use super::assembler::{At, Opcode, at};
use super::context;
use super::liveness::{ALL, FlagSet};
use super::registers::Host;
use super::translate::Translation;
use iced_x86::RflagsBits;

/// What the manual leaves undefined in the host's flags, and what Lockstep has there instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Patch {
    /// Nothing is undefined.
    #[default]
    None,
    /// A shift by one: AF is clear.
    Adjust,
    /// A shift to the right by more: AF and OF are clear.
    AdjustOverflow,
    /// A shift to the left by more: AF is clear, OF is SF xor CF.
    ShiftedLeft,
}

impl Patch {
    fn undefined(self) -> FlagSet {
        match self {
            Self::None => 0,
            Self::Adjust => RflagsBits::AF,
            Self::AdjustOverflow | Self::ShiftedLeft => RflagsBits::AF | RflagsBits::OF,
        }
    }
}

/// Where the live status flags are; in both places if both are right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    memory: bool,
    host: bool,
    patch: Patch,
}

impl Held {
    /// In memory alone.
    pub(super) const IN_MEMORY: Self = Self { memory: true, host: false, patch: Patch::None };

    pub(super) fn in_host(self) -> bool {
        self.host
    }
}

/// LAHF; SETO AL.
const TAKE_FLAGS: [u8; 4] = [0x9f, 0x0f, 0x90, 0xc0];
/// AND AH, ~AF.
const CLEAR_ADJUST: [u8; 3] = [0x80, 0xe4, 0xef];
/// MOV AL, 0.
const CLEAR_OVERFLOW: [u8; 2] = [0xb0, 0x00];
/// MOV AL, AH; SHR AL, 7; XOR AL, AH; AND AL, 1: SF xor CF.
const SIGN_XOR_CARRY: [u8; 9] = [0x88, 0xe0, 0xc0, 0xe8, 0x07, 0x30, 0xe0, 0x24, 0x01];
/// ADD AL, 7FH; SAHF: OF by an overflow that AL, zero or one, makes, then the others.
const PUT_FLAGS: [u8; 3] = [0x04, 0x7f, 0x9e];
/// MOV word [RBP + disp32], AX.
const STORE_AX: [u8; 3] = [0x66, 0x89, 0x85];

impl Translation<'_> {
    /// Has the live flags be in memory. Needs RAX, and leaves the host's flags where it can.
    fn keep_flags(&mut self) {
        if self.held.memory {
            return;
        }
        self.asm.raw(&TAKE_FLAGS);
        match self.held.patch {
            Patch::None => {}
            Patch::Adjust => self.asm.raw(&CLEAR_ADJUST),
            Patch::AdjustOverflow => {
                self.asm.raw(&CLEAR_ADJUST);
                self.asm.raw(&CLEAR_OVERFLOW);
            }
            Patch::ShiftedLeft => {
                self.asm.raw(&CLEAR_ADJUST);
                self.asm.raw(&SIGN_XOR_CARRY);
            }
        }
        self.store_flags();
        if self.held.patch != Patch::None {
            self.held.host = false;
        }
        self.held.memory = true;
    }

    /// AX, as [`context::FLAGS`] has it, becomes the flags in memory.
    pub(super) fn store_flags(&mut self) {
        self.asm.raw(&STORE_AX);
        self.asm.raw(&context::FLAGS.to_le_bytes());
    }

    /// Has all flags be in memory: the state is about to show.
    pub(super) fn keep_all_flags(&mut self) {
        self.keep_flags();
    }

    /// The host's flags are about to be lost.
    pub(super) fn lose_host_flags(&mut self) {
        self.keep_flags();
        self.held.host = false;
    }

    /// The host's flags from those in memory. Needs RAX.
    pub(super) fn load_flags(&mut self) {
        self.asm.memory32(Opcode::Load, Host::RAX, at(context::FLAGS));
        self.asm.raw(&PUT_FLAGS);
    }

    /// Has these flags be in the host's. Needs RAX where they are not.
    pub(super) fn need_host_flags(&mut self, needed: FlagSet) {
        if needed == 0 || self.held.host && self.held.patch.undefined() & needed == 0 {
            return;
        }
        self.keep_flags();
        self.load_flags();
        self.held = Held { memory: true, host: true, patch: Patch::None };
    }

    /// The instruction in hand has just run and set the host's flags as the guest's.
    pub(super) fn flags_written(&mut self, patch: Patch) {
        if self.effect().writes & self.live() != 0 {
            self.held = Held { memory: false, host: true, patch };
        } else if self.effect().writes != 0 && self.live() & ALL == 0 {
            // Nobody asks for them any more.
            self.held = Held::IN_MEMORY;
        }
    }

    /// The flags in memory have just been set.
    pub(super) fn flags_stored(&mut self) {
        self.held = Held::IN_MEMORY;
    }

    /// What a jump on a condition that can be read off the flags in memory tests: where, which bits, and whether the condition
    /// holds if any of them is set.
    pub(super) fn condition_in_memory(condition: u8) -> Option<(At, u8, bool)> {
        const CARRY: u8 = 1;
        const PARITY: u8 = 1 << 2;
        const ZERO: u8 = 1 << 6;
        const SIGN: u8 = 1 << 7;
        let (field, mask) = match condition >> 1 {
            0 => (context::FLAGS, 1),
            1 => (context::FLAGS_HIGH, CARRY),
            2 => (context::FLAGS_HIGH, ZERO),
            3 => (context::FLAGS_HIGH, CARRY | ZERO),
            4 => (context::FLAGS_HIGH, SIGN),
            5 => (context::FLAGS_HIGH, PARITY),
            _ => return None,
        };
        Some((at(field), mask, condition & 1 == 0))
    }
}
