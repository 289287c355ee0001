//! What both CPUs start from and end in, and where things lie for both.

use serde::{Deserialize, Serialize};

/// Linear address of the data that instructions read and write. What surrounds it, on both sides, is not mapped.
pub const DATA: u64 = 0x4000_0000;
/// Bytes of data: two pages, so that operands cross from one to the other.
pub const DATA_LEN: usize = 0x2000;
/// Linear address of the code. It is filled with INT3, so that wherever an instruction goes on, it stops at once. Not a
/// power of two away from the data: BTS takes it for a bit's distance.
pub const CODE: u64 = 0x6b00_0000;
/// Bytes of code.
pub const CODE_LEN: usize = 0x2000;
/// Selector of the data segments, as Linux has it in user mode.
pub const DATA_SELECTOR: u16 = 0x2b;

/// The size of the code segment that an instruction runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// 64-bit mode.
    Bits64,
    /// A 32-bit segment under long mode.
    Bits32,
}

impl Mode {
    /// The decoder's bitness.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bits64 => 64,
            Self::Bits32 => 32,
        }
    }

    /// Selector of the code segment, as Linux has it in user mode.
    pub fn selector(self) -> u16 {
        match self {
            Self::Bits64 => 0x33,
            Self::Bits32 => 0x23,
        }
    }
}

/// The registers that user mode sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// General registers in the encoding's order.
    pub gpr: [u64; 16],
    /// RIP.
    pub ip: u64,
    /// RFLAGS.
    pub flags: u64,
    /// CS.
    pub cs: u16,
    /// SS.
    pub ss: u16,
    /// DS.
    pub ds: u16,
    /// ES.
    pub es: u16,
    /// MXCSR.
    pub mxcsr: u32,
    /// XMM0 to XMM15.
    pub xmm: [u128; 16],
    /// x87 control word.
    pub control: u16,
    /// x87 status word with TOP.
    pub status: u16,
    /// Bit i set: physical x87 register i is not empty.
    pub valid: u8,
    /// ST0 to ST7: 80 bits each.
    pub st: [u128; 8],
}

/// Bytes of an FXSAVE image.
pub const FX_LEN: usize = 512;

impl Registers {
    /// The x87, MMX and SSE registers in FXSAVE's 64-bit format; pointers and opcode are zero.
    pub fn fx_image(&self) -> [u8; FX_LEN] {
        let mut image = [0; FX_LEN];
        image[0..2].copy_from_slice(&self.control.to_le_bytes());
        image[2..4].copy_from_slice(&self.status.to_le_bytes());
        image[4] = self.valid;
        image[24..28].copy_from_slice(&self.mxcsr.to_le_bytes());
        for (i, st) in self.st.iter().enumerate() {
            image[32 + 16 * i..][..10].copy_from_slice(&st.to_le_bytes()[..10]);
        }
        for (i, xmm) in self.xmm.iter().enumerate() {
            image[160 + 16 * i..][..16].copy_from_slice(&xmm.to_le_bytes());
        }
        image
    }

    /// Takes the x87, MMX and SSE registers from an FXSAVE image.
    pub fn set_fx_image(&mut self, image: &[u8; FX_LEN]) {
        let word = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
        let wide = |at: usize, len: usize| image[at..at + len].iter().rev().fold(0, |v, b| v << 8 | u128::from(*b));
        self.control = word(0);
        self.status = word(2);
        self.valid = image[4];
        self.mxcsr = wide(24, 4) as u32;
        self.st = core::array::from_fn(|i| wide(32 + 16 * i, 10));
        self.xmm = core::array::from_fn(|i| wide(160 + 16 * i, 16));
    }
}

impl Default for Registers {
    fn default() -> Self {
        Self {
            gpr: [0; 16],
            ip: CODE,
            flags: 0x202,
            cs: Mode::Bits64.selector(),
            ss: DATA_SELECTOR,
            ds: DATA_SELECTOR,
            es: DATA_SELECTOR,
            mxcsr: 0x1f80,
            xmm: [0; 16],
            control: 0x37f,
            status: 0,
            valid: 0,
            st: [0; 8],
        }
    }
}

/// Bytes put over the data's first content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poke {
    /// Offset from [`DATA`].
    pub at: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// One instruction and the state that it starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The code segment's size.
    pub mode: Mode,
    /// The instruction; it lies at `before.ip`, within the code.
    pub bytes: Vec<u8>,
    /// The registers before.
    pub before: Registers,
    /// The data before, beyond [`background`].
    pub pokes: Vec<Poke>,
}

impl Case {
    /// The data before.
    pub fn data(&self, into: &mut [u8]) {
        into.copy_from_slice(background());
        for poke in &self.pokes {
            if let Some(place) = into.get_mut(poke.at..poke.at + poke.bytes.len()) {
                place.copy_from_slice(&poke.bytes);
            }
        }
    }

    /// Address of the byte after the instruction.
    pub fn next(&self) -> u64 {
        self.before.ip + self.bytes.len() as u64
    }
}

/// What the data holds before anything is put over it: always the same random bytes.
pub fn background() -> &'static [u8] {
    static BYTES: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let mut random = super::random::Random::new(0xdada);
        (0..DATA_LEN / 8).flat_map(|_| random.word().to_le_bytes()).collect()
    });
    &BYTES
}

/// How an instruction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// It retired; the instruction pointer says where it goes on.
    Retired,
    /// It raised an exception (a trap's instruction pointer is behind the instruction).
    Exception {
        /// The vector.
        vector: u8,
        /// The error code, zero where there is none.
        error: u32,
        /// The address, for a page fault; else zero.
        address: u64,
    },
    /// Lockstep's CPU shut down: the exception could not be delivered.
    Shutdown,
    /// It did not end within the iterations allowed.
    Endless,
}

/// Where a case has led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub stop: Stop,
    /// The registers after.
    pub after: Registers,
    /// The data after.
    pub data: Vec<u8>,
}
