//! INT 1Ah: ticks since midnight and the real-time clock. AH=B1h is the PCI BIOS.

use super::frame::Frame;
use super::low_memory::{MIDNIGHT, TICKS, byte, cmos, dword, put_byte, put_cmos, put_dword};
use super::{Action, Bios, Board};

/// RTC registers.
const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const REGISTER_A: u8 = 0x0a;
const REGISTER_B: u8 = 0x0b;
const CENTURY: u8 = 0x32;
const UPDATE_IN_PROGRESS: u8 = 1 << 7;
const SET: u8 = 1 << 7;
const HOURS_24: u8 = 1 << 1;
const DAYLIGHT: u8 = 1 << 0;
/// 32,768 Hz base, 1,024 Hz periodic interrupt.
const USUAL_RATE: u8 = 0x26;
/// The 8254's input clock, by which ticks are counted.
const PIT_HZ: u64 = 1_193_182;
const TICK_DIVISOR: u64 = 1 << 16;

/// Sets the clock's mode, and the ticks to the time of day.
pub(super) fn start(board: &mut dyn Board) {
    put_cmos(board, REGISTER_A, USUAL_RATE);
    put_cmos(board, REGISTER_B, HOURS_24);
    let mut part = |register| u64::from(from_bcd(cmos(board, register)));
    let seconds = (part(HOURS) * 60 + part(MINUTES)) * 60 + part(SECONDS);
    put_dword(board, TICKS, (seconds * PIT_HZ / TICK_DIVISOR) as u32);
}

fn from_bcd(value: u8) -> u8 {
    (value >> 4).wrapping_mul(10).wrapping_add(value & 0xf)
}

impl Bios {
    /// INT 1Ah.
    pub(super) fn clock(&mut self, board: &mut dyn Board, f: &mut Frame) -> Action {
        match f.ah() {
            0x00 => {
                let ticks = dword(board, TICKS);
                f.set_al(byte(board, MIDNIGHT));
                f.set_cx((ticks >> 16) as u16);
                f.set_dx(ticks as u16);
                put_byte(board, MIDNIGHT, 0);
                f.set_carry(false);
            }
            0x01 => {
                put_dword(board, TICKS, u32::from(f.cx()) << 16 | u32::from(f.dx()));
                put_byte(board, MIDNIGHT, 0);
                f.set_carry(false);
            }
            0x02..=0x05 => {
                // An update is over within 2 ms.
                if cmos(board, REGISTER_A) & UPDATE_IN_PROGRESS != 0 {
                    return Action::Yield;
                }
                real_time(board, f);
            }
            0xb1 => self.pci_bios(board, f),
            _ => f.set_carry(true),
        }
        Action::Done
    }
}

fn real_time(board: &mut dyn Board, f: &mut Frame) {
    match f.ah() {
        0x02 => {
            f.set_ch(cmos(board, HOURS));
            f.set_cl(cmos(board, MINUTES));
            f.set_dh(cmos(board, SECONDS));
            f.set_dl(cmos(board, REGISTER_B) & DAYLIGHT);
        }
        0x03 => set(board, &[(HOURS, f.ch()), (MINUTES, f.cl()), (SECONDS, f.dh())]),
        0x04 => {
            f.set_ch(cmos(board, CENTURY));
            f.set_cl(cmos(board, YEAR));
            f.set_dh(cmos(board, MONTH));
            f.set_dl(cmos(board, DAY));
        }
        _ => set(board, &[(CENTURY, f.ch()), (YEAR, f.cl()), (MONTH, f.dh()), (DAY, f.dl())]),
    }
    f.set_al(f.ch());
    f.set_ah(0);
    f.set_carry(false);
}

fn set(board: &mut dyn Board, values: &[(u8, u8)]) {
    let mode = cmos(board, REGISTER_B);
    put_cmos(board, REGISTER_B, mode | SET);
    for (register, value) in values {
        put_cmos(board, *register, *value);
    }
    put_cmos(board, REGISTER_B, mode & !SET);
}
