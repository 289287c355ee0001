//! `x` and `xp`: guest memory, looked at without a trace.

use super::Desk;
use super::error::CommandError;
use super::expression::Arguments;
use super::format::{Format, Style, UNIT};
use crate::run::Control;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use lockstep_cpu::Vcpu;
use lockstep_cpu::state::seg;
use lockstep_fabric::Bus;
use lockstep_fabric::memory::Target;
use std::fmt::Write;

const MIB_SHIFT: u32 = 20;
/// Longest instruction.
const INSTRUCTION_BYTES: u64 = 15;
/// Room for the bytes of most instructions, so that their texts stand in one column.
const BYTES_COLUMN: usize = 24;
/// Bytes that are read at a time at most: a page.
const PIECE: u64 = 4096;
/// Bytes that one checksum is made of at most.
const MOST_SUMMED: u64 = 4 << 30;
/// Units that one command shows at most.
const MOST: u32 = 1 << 16;

/// `x /FMT ADDR`: by linear address, as the selected vCPU sees it.
pub(super) fn linear(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> super::Answer {
    examine(control, desk, arguments, &|cpu, bus, at, into| {
        for (i, byte) in into.iter_mut().enumerate() {
            let linear = at.wrapping_add(i as u64);
            let physical = cpu.peek_address(bus, linear).ok_or(CommandError::NoMemory(linear))?;
            *byte = read_physical(bus, physical)?;
        }
        Ok(())
    })
}

/// `xp /FMT ADDR`: by physical address.
pub(super) fn physical(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> super::Answer {
    examine(control, desk, arguments, &|_, bus, at, into| {
        for (i, byte) in into.iter_mut().enumerate() {
            *byte = read_physical(bus, at.wrapping_add(i as u64))?;
        }
        Ok(())
    })
}

/// `sum ADDR SIZE`: the checksum of BSD's `sum` over physical memory.
pub(super) fn sum(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> super::Answer {
    let start = arguments.number(&|_| None)?;
    let size = arguments.number(&|_| None)?;
    arguments.finish()?;
    if size > MOST_SUMMED {
        return Err(CommandError::Range { what: "size", value: size });
    }
    let bus = &control.board.machine.bus;
    let mut sum: u16 = 0;
    let mut piece = [0; PIECE as usize];
    let mut done = 0;
    while done < size {
        let at = start.wrapping_add(done);
        let count = (size - done).min(PIECE - at % PIECE);
        let bytes = &mut piece[..count as usize];
        read_piece(bus, at, bytes)?;
        sum = bytes.iter().fold(sum, |sum, byte| sum.rotate_right(1).wrapping_add((*byte).into()));
        done += count;
    }
    Ok(format!("{sum:05}"))
}

/// Bytes within a page: at once if one piece of memory answers for all of them.
fn read_piece(bus: &Bus, at: u64, into: &mut [u8]) -> Result<(), CommandError> {
    let last = into.len().saturating_sub(1) as u64;
    let ends = (bus.memory.find(at, false), bus.memory.find(at.wrapping_add(last), false));
    if let (Some((Target::Ram(from), _)), Some((Target::Ram(to), _))) = ends
        && from.checked_add(last) == Some(to)
    {
        bus.memory.read_bytes(at, into);
        return Ok(());
    }
    for (i, byte) in into.iter_mut().enumerate() {
        *byte = read_physical(bus, at.wrapping_add(i as u64))?;
    }
    Ok(())
}

/// `info balloon`.
pub(super) fn left(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> super::Answer {
    arguments.finish()?;
    let left = control.memory_left().ok_or(CommandError::NoBalloon)?;
    Ok(format!("balloon: actual={}", left >> MIB_SHIFT))
}

/// `balloon MEGABYTES`.
pub(super) fn balloon(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> super::Answer {
    let megabytes = arguments.number(&|_| None)?;
    arguments.finish()?;
    let bytes = megabytes.checked_mul(1 << MIB_SHIFT).filter(|bytes| *bytes > 0);
    let bytes = bytes.ok_or(CommandError::Range { what: "MEGABYTES", value: megabytes })?;
    control.set_memory_left(bytes).ok_or(CommandError::NoBalloon)??;
    Ok(String::new())
}

/// Reads bytes at an address, or says why not.
type ReadAt<'a> = &'a dyn Fn(u64, &mut [u8]) -> Result<(), CommandError>;

/// The same of any machine, as a vCPU of it sees addresses.
type Read = dyn Fn(&Vcpu, &Bus, u64, &mut [u8]) -> Result<(), CommandError>;

fn examine(control: &Control, desk: &mut Desk, arguments: &mut Arguments<'_>, read: &Read) -> super::Answer {
    let format = Format::read(arguments.format(), desk.format)?;
    if format.count > MOST {
        return Err(CommandError::Range { what: "count", value: format.count.into() });
    }
    let cpu = desk.cpu(control)?;
    let address = arguments.number(&|name| super::registers::value(control, cpu, name))?;
    arguments.finish()?;
    desk.format = Format { count: 1, ..format };
    let bus = &control.board.machine.bus;
    let read = |at, into: &mut [u8]| read(cpu, bus, at, into);
    match format.style {
        Style::Instructions => disassemble(cpu, address, format.count, &read),
        Style::Number(_) | Style::Character => numbers(address, format, &read),
    }
}

fn read_physical(bus: &Bus, address: u64) -> Result<u8, CommandError> {
    match bus.memory.find(address, false) {
        Some((Target::Ram(_) | Target::Rom(_), _)) => {
            let mut byte = [0];
            bus.memory.read_bytes(address, &mut byte);
            Ok(byte[0])
        }
        Some((Target::Device(device, ..), _)) => {
            Err(CommandError::Registers { address, device: bus.name(device).to_owned() })
        }
        None => Err(CommandError::NoMemory(address)),
    }
}

fn numbers(address: u64, format: Format, read: ReadAt<'_>) -> super::Answer {
    let bytes = format.width.bytes();
    let in_line = if bytes == 1 { 8 } else { 16 / bytes };
    let mut text = String::new();
    for unit in 0..u64::from(format.count) {
        let at = address.wrapping_add(unit * bytes);
        let mut held = [0; UNIT];
        if let Err(error) = read(at, &mut held[..bytes as usize]) {
            // What could be read is shown all the same.
            let separator = if unit == 0 { "" } else { "\n" };
            let _ = match error {
                CommandError::NoMemory(_) => write!(text, "{separator}{at:016x}: Cannot access memory"),
                error => write!(text, "{separator}Error: {error}"),
            };
            return Ok(text);
        }
        if unit % in_line == 0 {
            let _ = write!(text, "{}{at:016x}:", if unit == 0 { "" } else { "\n" });
        }
        let _ = write!(text, " {}", format.show(u64::from_le_bytes(held)));
    }
    Ok(text)
}

fn disassemble(cpu: &Vcpu, address: u64, count: u32, read: ReadAt<'_>) -> super::Answer {
    let mut text = String::new();
    let mut formatter = IntelFormatter::new();
    // Near jumps are shown as they are encoded: to offsets in the code segment.
    let base = if cpu.code64() { 0 } else { cpu.seg[seg::CS].base };
    let mut at = address;
    for index in 0..count {
        let separator = if index == 0 { "" } else { "\n" };
        let mut code = Vec::new();
        let mut refused = None;
        for i in 0..INSTRUCTION_BYTES {
            let mut byte = [0];
            match read(at.wrapping_add(i), &mut byte) {
                Ok(()) => code.push(byte[0]),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let mut decoder = Decoder::with_ip(cpu.mode.size().bits(), &code, at.wrapping_sub(base), DecoderOptions::NONE);
        let instruction = decoder.decode();
        let decoded = !instruction.is_invalid();
        if !decoded && let Some(error) = refused {
            let _ = match error {
                CommandError::NoMemory(_) => write!(text, "{separator}0x{at:08x}: unable to read memory"),
                error => write!(text, "{separator}Error: {error}"),
            };
            return Ok(text);
        }
        let len = if decoded { instruction.len() } else { 1 };
        let mut bytes = String::new();
        for byte in &code[..len] {
            let _ = write!(bytes, "{byte:02x} ");
        }
        let mut assembly = String::new();
        if decoded {
            formatter.format(&instruction, &mut assembly);
        } else {
            assembly.push_str("(bad)");
        }
        let _ = write!(text, "{separator}0x{at:08x}:  {bytes:BYTES_COLUMN$} {assembly}");
        at = at.wrapping_add(len as u64);
    }
    Ok(text)
}
