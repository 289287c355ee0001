//! The 16550A's registers.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

bitflags! {
    /// Interrupt enable.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Ier: u8 {
        const RECEIVED = 1 << 0;
        const TRANSMITTER = 1 << 1;
        const LINE = 1 << 2;
        const MODEM = 1 << 3;
    }

    /// FIFO control.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Fcr: u8 {
        const ENABLE = 1 << 0;
        const CLEAR_RECEIVER = 1 << 1;
        const CLEAR_TRANSMITTER = 1 << 2;
        const DMA_MODE = 1 << 3;
        const TRIGGER_LOW = 1 << 6;
        const TRIGGER_HIGH = 1 << 7;
        const COMMANDS = 0b110;
    }

    /// Line control.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Lcr: u8 {
        const WORD_LENGTH = 0b11;
        const STOP_BITS = 1 << 2;
        const PARITY = 1 << 3;
        const EVEN_PARITY = 1 << 4;
        const STICK_PARITY = 1 << 5;
        const BREAK = 1 << 6;
        const DLAB = 1 << 7;
    }

    /// Modem control.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Mcr: u8 {
        const DTR = 1 << 0;
        const RTS = 1 << 1;
        const OUT1 = 1 << 2;
        const OUT2 = 1 << 3;
        const LOOP = 1 << 4;
    }

    /// Line status.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Lsr: u8 {
        const DR = 1 << 0;
        const OE = 1 << 1;
        const PE = 1 << 2;
        const FE = 1 << 3;
        const BI = 1 << 4;
        const THRE = 1 << 5;
        const TEMT = 1 << 6;
        const FIFO_ERROR = 1 << 7;
    }

    /// Modem status.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Msr: u8 {
        const DCTS = 1 << 0;
        const DDSR = 1 << 1;
        const TERI = 1 << 2;
        const DDCD = 1 << 3;
        const CTS = 1 << 4;
        const DSR = 1 << 5;
        const RI = 1 << 6;
        const DCD = 1 << 7;
    }
}

impl Fcr {
    /// Characters in the FIFO that make an interrupt.
    pub(super) fn trigger(self) -> usize {
        [1, 4, 8, 14][usize::from(self.bits() >> 6)]
    }
}

impl Lcr {
    /// The bits of a character that travel.
    pub(super) fn data_mask(self) -> u8 {
        0xff >> (3 - (self & Self::WORD_LENGTH).bits())
    }

    /// Bits of a character with its start, parity and stop bits.
    pub(super) fn character_bits(self) -> u64 {
        let data = 5 + u64::from((self & Self::WORD_LENGTH).bits());
        1 + data + u64::from(self.contains(Self::PARITY)) + 1 + u64::from(self.contains(Self::STOP_BITS))
    }
}

impl Mcr {
    /// The modem inputs that the outputs drive in loopback.
    pub(super) fn looped(self) -> Msr {
        let pairs = [(Self::RTS, Msr::CTS), (Self::DTR, Msr::DSR), (Self::OUT1, Msr::RI), (Self::OUT2, Msr::DCD)];
        pairs.into_iter().filter(|(output, _)| self.contains(*output)).map(|(_, input)| input).collect()
    }
}

impl Msr {
    /// The delta bits that a change of the inputs sets; the ring indicator counts when it ends.
    pub(super) fn deltas_to(self, after: Self) -> Self {
        let changed = self ^ after;
        let mut deltas = Self::empty();
        deltas.set(Self::DCTS, changed.contains(Self::CTS));
        deltas.set(Self::DDSR, changed.contains(Self::DSR));
        deltas.set(Self::TERI, (self - after).contains(Self::RI));
        deltas.set(Self::DDCD, changed.contains(Self::DCD));
        deltas
    }
}
