//! How the ROM and the device talk.
//!
//! The handler sends [`REGISTERS`] words to [`PORT`]: the caller's DI, SI, BP, SP, BX, DX, CX, AX, ES, DS, and the handler's CS.
//! Then it reads steps of words from [`STEPS`] and follows them: [`DONE`]; or [`TO_GUEST`] and [`FROM_GUEST`] with a length,
//! a segment and an offset, where that many bytes go through [`DATA`]. At the end it reads the words back from [`PORT`].

/// Words of registers.
pub const PORT: u16 = 0x530;
/// Words of steps.
pub const STEPS: u16 = 0x532;
/// Bytes of the caller's memory.
pub const DATA: u16 = 0x534;
/// Ports in all.
pub const LEN: u16 = 6;
/// Words that pass through [`PORT`].
pub const REGISTERS: usize = 11;

/// Step: the service is done.
pub const DONE: u16 = 0;
/// Step: bytes from [`DATA`] to the caller's memory.
pub const TO_GUEST: u16 = 1;
/// Step: bytes of the caller's memory to [`DATA`].
pub const FROM_GUEST: u16 = 2;
