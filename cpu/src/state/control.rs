//! Control registers and the mode that they make.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

bitflags! {
    /// CR0 (SDM volume 3, section 2.5).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Cr0: u64 {
        /// Protected mode.
        const PE = 1 << 0;
        /// WAIT heeds TS.
        const MP = 1 << 1;
        /// No x87: its instructions raise #NM.
        const EM = 1 << 2;
        /// Task switched: x87 and SSE raise #NM.
        const TS = 1 << 3;
        /// 387 present; fixed to one.
        const ET = 1 << 4;
        /// x87 errors raise #MF rather than FERR#.
        const NE = 1 << 5;
        /// Supervisor writes heed read-only pages.
        const WP = 1 << 16;
        /// Alignment checks are possible.
        const AM = 1 << 18;
        /// Not write-through.
        const NW = 1 << 29;
        /// Cache disable.
        const CD = 1 << 30;
        /// Paging.
        const PG = 1 << 31;
    }

    /// CR4 (SDM volume 3, section 2.5).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Cr4: u64 {
        /// Virtual-8086 extensions.
        const VME = 1 << 0;
        /// Protected-mode virtual interrupts.
        const PVI = 1 << 1;
        /// RDTSC only at CPL 0.
        const TSD = 1 << 2;
        /// DR4 and DR5 are #UD.
        const DE = 1 << 3;
        /// 4-MiB pages.
        const PSE = 1 << 4;
        /// Physical-address extension.
        const PAE = 1 << 5;
        /// Machine-check enable.
        const MCE = 1 << 6;
        /// Global pages.
        const PGE = 1 << 7;
        /// RDPMC at any CPL.
        const PCE = 1 << 8;
        /// SSE and FXSAVE are usable.
        const OSFXSR = 1 << 9;
        /// Unmasked SIMD exceptions raise #XM rather than #UD.
        const OSXMMEXCPT = 1 << 10;
        /// SGDT, SIDT, SLDT, SMSW, STR fault outside CPL 0.
        const UMIP = 1 << 11;
        /// 57-bit linear addresses.
        const LA57 = 1 << 12;
        /// RDFSBASE and the like are usable.
        const FSGSBASE = 1 << 16;
        /// Process-context identifiers.
        const PCIDE = 1 << 17;
        /// XSAVE and extended states are usable.
        const OSXSAVE = 1 << 18;
        /// No supervisor execution of user pages.
        const SMEP = 1 << 20;
        /// No supervisor access to user pages but with RFLAGS.AC.
        const SMAP = 1 << 21;
    }

    /// IA32_EFER (SDM volume 3, section 2.2.1; AMD64 manual volume 2, section 3.1.7).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Efer: u64 {
        /// SYSCALL and SYSRET are usable.
        const SCE = 1 << 0;
        /// Long mode is enabled.
        const LME = 1 << 8;
        /// Long mode is active.
        const LMA = 1 << 10;
        /// No-execute pages.
        const NXE = 1 << 11;
    }
}

/// What decoding depends on beside the bytes: part of the key of each decoded block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeMode(pub u8);

impl CodeMode {
    const SIZE: u8 = 3;
    const STACK32: u8 = 4;
    const SSE_SHIFT: u8 = 3;
    const X87_BLOCKED: u8 = 1 << 5;
    const PROTECTED: u8 = 1 << 6;

    /// Puts the mode together.
    pub fn new(size: CodeSize, stack32: bool, sse: Usable, x87_blocked: bool, protected: bool) -> Self {
        let flag = |on: bool, bit| if on { bit } else { 0 };
        Self(
            size as u8
                | flag(stack32, Self::STACK32)
                | (sse as u8) << Self::SSE_SHIFT
                | flag(x87_blocked, Self::X87_BLOCKED)
                | flag(protected, Self::PROTECTED),
        )
    }

    /// Default operand and address size of the code segment.
    pub fn size(self) -> CodeSize {
        match self.0 & Self::SIZE {
            0 => CodeSize::Bits16,
            1 => CodeSize::Bits32,
            _ => CodeSize::Bits64,
        }
    }

    /// Whether the stack pointer is ESP (SS.B set). In 64-bit code it is RSP whatever this says.
    pub fn stack32(self) -> bool {
        self.0 & Self::STACK32 != 0
    }

    /// Whether SSE instructions may run.
    pub fn sse(self) -> Usable {
        match self.0 >> Self::SSE_SHIFT & 3 {
            0 => Usable::Yes,
            1 => Usable::Undefined,
            _ => Usable::NotAvailable,
        }
    }

    /// Whether x87 and MMX instructions raise #NM (MMX: #UD with CR0.EM, see the MMX rows).
    pub fn x87_blocked(self) -> bool {
        self.0 & Self::X87_BLOCKED != 0
    }

    /// Whether this is protected mode proper: neither real-address nor virtual-8086 mode.
    pub fn protected(self) -> bool {
        self.0 & Self::PROTECTED != 0
    }
}

/// Default size of a code segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSize {
    /// Real mode, virtual-8086 mode, 16-bit segments.
    Bits16,
    /// 32-bit segments.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

impl CodeSize {
    /// The size in bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bits16 => 16,
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }
}

/// Whether an instruction set may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usable {
    /// It runs.
    Yes,
    /// It raises #UD.
    Undefined,
    /// It raises #NM.
    NotAvailable,
}
