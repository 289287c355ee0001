//! What there is to say of a dump, as text.

use super::{Dump, Layout, Note, Verdict, codec_of};
use crate::codec::Codec;
use crate::guest::general::RSP;
use crate::guest::segment::CS;
use std::fmt::Write;

/// Ranges and notes that are shown one by one.
const MOST_LINES: usize = 40;
/// Characters of a name or value that are shown.
const MOST_CHARACTERS: usize = 200;

/// All of it, line by line.
pub fn report(dump: &Dump, verdict: &Verdict) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = describe(&mut text, dump, verdict);
    text
}

fn describe(out: &mut String, dump: &Dump, verdict: &Verdict) -> std::fmt::Result {
    layout(out, dump)?;
    processors(out, dump)?;
    let notes = dump.notes();
    writeln!(out, "notes: {}", notes.len())?;
    for note in notes.iter().take(MOST_LINES) {
        writeln!(out, "  {} type {}, {} bytes", shown(&note.name), note.kind, note.descriptor.len())?;
    }
    more(out, notes.len())?;
    vmcoreinfo(out, dump)?;
    let pages = dump.pages();
    let total: u64 = pages.iter().map(|range| range.len).sum();
    writeln!(out, "memory: {total} bytes in {} ranges", pages.len())?;
    for range in pages.iter().take(MOST_LINES) {
        writeln!(out, "  {:#014x} to {:#014x}", range.start, range.end().wrapping_sub(1))?;
    }
    more(out, pages.len())?;
    let segments = dump.segments();
    if segments.iter().any(|(virtual_address, _)| *virtual_address != 0) {
        writeln!(out, "mappings: {}", segments.len())?;
        for (virtual_address, range) in segments.iter().take(MOST_LINES) {
            writeln!(out, "  {virtual_address:#018x} is {:#014x}, {:#x} bytes", range.start, range.len)?;
        }
        more(out, segments.len())?;
    }
    stored(out, verdict)
}

/// As much of a text as fits a line, in printable characters.
fn shown(text: &str) -> String {
    text.chars().take(MOST_CHARACTERS).flat_map(char::escape_debug).collect()
}

fn more(out: &mut String, count: usize) -> std::fmt::Result {
    match count.checked_sub(MOST_LINES) {
        None | Some(0) => Ok(()),
        Some(left) => writeln!(out, "  and {left} more"),
    }
}

fn layout(out: &mut String, dump: &Dump) -> std::fmt::Result {
    match dump.layout() {
        Layout::Elf { wide } => writeln!(out, "format: ELF{} core file", if wide { 64 } else { 32 })?,
        Layout::Kdump => writeln!(out, "format: kdump-compressed")?,
        Layout::Flattened { segments, .. } => {
            writeln!(out, "format: kdump-compressed, flattened in {segments} segments")?;
        }
    }
    if let Some(machine) = dump.machine() {
        let name = if machine == crate::elf::EM_X86_64 { "x86-64" } else { "i386" };
        writeln!(out, "machine: {name}")?;
    }
    let Some(header) = dump.header() else { return Ok(()) };
    let codec = match codec_of(header.status) {
        Ok(Some(codec)) => codec.name(),
        _ => "unknown",
    };
    let width = if header.wide { 64 } else { 32 };
    writeln!(out, "header: version {}, {width}-bit, status {:#x} ({codec})", header.version, header.status)?;
    let names: Vec<_> = header.utsname.iter().map(|name| name.escape_debug().to_string()).collect();
    writeln!(out, "utsname: {}", names.join(" | "))?;
    writeln!(
        out,
        "blocks: {} bytes each, {} of sub-header, {} of bitmaps; max_mapnr {:#x}",
        header.block_size, header.sub_header_blocks, header.bitmap_blocks, header.max_mapnr
    )?;
    let sub = &header.sub;
    writeln!(out, "phys_base: {:#x}, dump level {}", sub.phys_base, sub.dump_level)
}

fn processors(out: &mut String, dump: &Dump) -> std::fmt::Result {
    let registers = dump.registers();
    let statuses = dump.notes().iter().filter(|note| Note::is_status(note)).count();
    match dump.header() {
        Some(header) => writeln!(out, "processors: {} in the header, {statuses} in the notes", header.processors)?,
        None => writeln!(out, "processors: {statuses}")?,
    }
    for (number, one) in registers.iter().enumerate().take(MOST_LINES) {
        let (cs, sp) = (one.segments[CS].selector, one.general[RSP]);
        writeln!(out, "  {number}: {cs:04x}:{:016x} sp {sp:016x} cr3 {:x} flags {:x}", one.rip, one.cr[3], one.rflags)?;
    }
    more(out, registers.len())
}

fn vmcoreinfo(out: &mut String, dump: &Dump) -> std::fmt::Result {
    let Some(text) = dump.vmcoreinfo() else { return writeln!(out, "vmcoreinfo: none") };
    writeln!(out, "vmcoreinfo: {} lines", text.lines().count())?;
    for name in ["OSRELEASE", "BUILD-ID", "KERNELOFFSET", "NUMBER(phys_base)"] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        if let Some(value) = value {
            writeln!(out, "  {name}={}", shown(value))?;
        }
    }
    Ok(())
}

fn stored(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    writeln!(out, "pages: {}", verdict.pages)?;
    let stored = &verdict.stored;
    if stored.zero != 0 {
        writeln!(out, "  zero: {}", stored.zero)?;
    }
    if stored.plain != 0 {
        writeln!(out, "  plain: {}", stored.plain)?;
    }
    for (codec, (pages, bytes)) in Codec::ALL.into_iter().zip(stored.compressed) {
        if pages != 0 {
            let average = bytes as f64 / pages as f64;
            writeln!(out, "  {}: {pages} in {bytes} bytes, {average:.0} a page", codec.name())?;
        }
    }
    if verdict.fault_count != 0 {
        writeln!(out, "faults: {}", verdict.fault_count)?;
        for fault in &verdict.faults {
            writeln!(out, "  {fault}")?;
        }
    }
    Ok(())
}
