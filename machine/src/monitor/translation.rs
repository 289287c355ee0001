//! `info mem`, `info tlb`, `gva2gpa` and `gpa2hva`: where addresses lead.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk, mtree, registers};
use crate::run::Control;
use lockstep_cpu::mmu::{Mapping, PageBits};
use lockstep_fabric::memory::Target;
use std::fmt::Write;

/// Pages that one command looks at.
const MOST_PAGES: usize = 1 << 20;
const OFF: &str = "PG disabled";

/// `info mem`: ranges with the same rights.
pub(super) fn ranges(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let pages = pages(control, desk)?;
    if pages.is_empty() {
        return Ok(OFF.into());
    }
    let mut text = String::new();
    let rights = |page: &Mapping| page.bits & (PageBits::USER | PageBits::WRITABLE);
    let joined = |a: &Mapping, b: &Mapping| a.linear.wrapping_add(a.len) == b.linear && rights(a) == rights(b);
    for range in pages.chunk_by(joined) {
        let (Some(first), Some(last)) = (range.first(), range.last()) else { continue };
        let end = last.linear.wrapping_add(last.len);
        let user = if first.bits.contains(PageBits::USER) { 'u' } else { '-' };
        let write = if first.bits.contains(PageBits::WRITABLE) { 'w' } else { '-' };
        let _ =
            writeln!(text, "{:016x}-{end:016x} {:016x} {user}r{write}", first.linear, end.wrapping_sub(first.linear));
    }
    Ok(text)
}

/// `info tlb`: every page and the bits of its entry.
pub(super) fn entries(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    const LETTERS: [(PageBits, char); 9] = [
        (PageBits::NO_EXECUTE, 'X'),
        (PageBits::GLOBAL, 'G'),
        (PageBits::LARGE, 'P'),
        (PageBits::DIRTY, 'D'),
        (PageBits::ACCESSED, 'A'),
        (PageBits::CACHE_DISABLED, 'C'),
        (PageBits::WRITE_THROUGH, 'T'),
        (PageBits::USER, 'U'),
        (PageBits::WRITABLE, 'W'),
    ];
    arguments.finish()?;
    let pages = pages(control, desk)?;
    if pages.is_empty() {
        return Ok(OFF.into());
    }
    let mut text = String::new();
    for page in pages {
        // Bit 7 of the innermost entries is another one: PAT.
        let large = page.len > 4096;
        let letter = |(bit, letter)| {
            let set = page.bits.contains(bit) && (bit != PageBits::LARGE || large);
            if set { letter } else { '-' }
        };
        let letters: String = LETTERS.into_iter().map(letter).collect();
        let _ = writeln!(text, "{:016x}: {:016x} {letters}", page.linear, page.physical);
    }
    Ok(text)
}

fn pages(control: &Control, desk: &Desk) -> Result<Vec<Mapping>, CommandError> {
    Ok(desk.cpu(control)?.mappings(&control.board.machine.bus, MOST_PAGES))
}

/// `gva2gpa ADDR`: what the chosen vCPU's tables make of a linear address.
pub(super) fn to_physical(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let address = address(control, desk, arguments)?;
    Ok(match desk.cpu(control)?.peek_address(&control.board.machine.bus, address) {
        // C's %#x writes no prefix before it.
        Some(0) => "gpa: 0".into(),
        Some(physical) => format!("gpa: {physical:#x}"),
        None => "Unmapped".into(),
    })
}

/// `gpa2hva ADDR`: where in this process a physical address's byte is.
pub(super) fn to_host(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let address = address(control, desk, arguments)?;
    let memory = &control.board.machine.bus.memory;
    match memory.find(address, false) {
        Some((Target::Ram(at) | Target::Rom(at), _)) => {
            let byte = memory.arena().bytes(at, 1).ok_or(CommandError::NoMemory(address))?;
            let name = mtree::name_at(control, address);
            Ok(format!("Host virtual address for {address:#x} ({name}) is {:p}", byte.as_ptr()))
        }
        Some((Target::Device(device, ..), _)) => {
            let device = control.board.machine.bus.name(device);
            Err(CommandError::Plain(format!("Memory at address {address:#x} is not RAM, but registers of '{device}'")))
        }
        None => Err(CommandError::NoMemory(address)),
    }
}

fn address(control: &Control, desk: &Desk, arguments: &mut Arguments<'_>) -> Result<u64, CommandError> {
    let cpu = desk.cpu(control)?;
    let address = arguments.number(&|name| registers::value(control, cpu, name))?;
    arguments.finish()?;
    Ok(address)
}
