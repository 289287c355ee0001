//! The graphics card's option ROM: INT 10h and VBE.
//!
//! The ROM holds little code: its INT 10h handler hands the caller's registers to a device at [`mailbox::PORT`], which
//! performs the service on the card ([`serve`]), and copies what the service reads from or writes to the caller's memory.
//! Registers and memory travel through ports, never by physical address, so the handler works as well in virtual-8086 mode
//! and in an x86 emulator of the guest's own.

pub mod font;
mod glyphs;
mod graphics;
mod image;
pub mod mailbox;
mod modes;
mod palette;
mod screen;
mod services;
mod text;
mod vbe;

#[cfg(test)]
mod tests;

pub use image::{FONT_8X8, FONT_8X14, FONT_8X16, image};
pub use services::{Registers, Span, serve, wants};

/// The card and the memory below 1 MiB, as the services reach them.
pub trait Host {
    /// Reads a byte port of the card.
    fn port_in(&mut self, port: u16) -> u8;
    /// Writes a byte port of the card.
    fn port_out(&mut self, port: u16, value: u8);
    /// Reads a register of the Bochs display interface.
    fn dispi_in(&mut self, register: u16) -> u16;
    /// Writes a register of the Bochs display interface.
    fn dispi_out(&mut self, register: u16, value: u16);
    /// Reads video memory through the window at A0000h to BFFFFh.
    fn video_read(&mut self, address: u32) -> u8;
    /// Writes video memory through the window.
    fn video_write(&mut self, address: u32, value: u8);
    /// Reads memory below 1 MiB: the interrupt table, the BIOS data area, the font of graphics modes.
    fn low_read(&mut self, address: u32) -> u8;
    /// Writes memory below 1 MiB: the interrupt table and the BIOS data area.
    fn low_write(&mut self, address: u32, value: u8);
    /// Physical address of the linear frame buffer.
    fn frame_buffer(&mut self) -> u32;
}
