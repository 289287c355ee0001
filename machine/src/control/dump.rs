//! The guest's memory, written to files.

use super::{denied, disabled};
use crate::host_file;
use crate::run::Control;
use lockstep_dump::codec::Codec;
use lockstep_dump::{DumpError, Format, Options, Range, Target};
use lockstep_qmp::Error;
use lockstep_qmp::commands::dump::{
    DumpGuestMemory, DumpGuestMemoryCapability, DumpGuestMemoryFormat, DumpQueryResult, DumpSkeys, Memsave, Pmemsave,
    QueryDump, QueryDumpGuestMemoryCapability,
};
use lockstep_qmp::registry::{Answer, Caller, Registry};
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(memsave).on(pmemsave).on(dump_skeys).on(query_dump).on(query_dump_guest_memory_capability);
    registry.on_from(dump_guest_memory);
}

/// The guest stands still while its dump is written. With `detach` it runs on, and the client is answered at once.
fn dump_guest_memory(control: &mut Control, caller: &mut Caller, command: DumpGuestMemory) -> Answer<()> {
    control.not_while_dumping().map_err(denied)?;
    let options = options(&command)?;
    let target = target(control, caller, &command.protocol)?;
    if command.detach == Some(true) {
        control.begin_dump(&options, target).map_err(refused)
    } else {
        control.dump(&options, target).map(drop).map_err(refused)
    }
}

fn refused(why: DumpError) -> Error {
    Error::new(why.to_string())
}

fn options(command: &DumpGuestMemory) -> Answer<Options> {
    let format = match command.format {
        Some(DumpGuestMemoryFormat::Elf) | None => Format::Elf,
        Some(DumpGuestMemoryFormat::KdumpZlib) => Format::Kdump { codec: Codec::Zlib, raw: false },
        Some(DumpGuestMemoryFormat::KdumpLzo) => Format::Kdump { codec: Codec::Lzo, raw: false },
        Some(DumpGuestMemoryFormat::KdumpSnappy) => Format::Kdump { codec: Codec::Snappy, raw: false },
    };
    let only = match (command.begin, command.length) {
        (None, None) => None,
        (Some(_), None) => return Err(Error::missing("length")),
        (None, Some(_)) => return Err(Error::missing("begin")),
        (Some(begin), Some(length)) => {
            let len = u64::try_from(length).ok().filter(|len| *len > 0);
            Some(Range { start: begin as u64, len: len.ok_or_else(|| Error::expects("length", "a positive size"))? })
        }
    };
    if format != Format::Elf && (command.paging || only.is_some()) {
        return Err(Error::new("kdump-compressed format doesn't support paging or filter"));
    }
    Ok(Options { format, paging: command.paging, only })
}

/// A dump's file by its name, which may stand for a set of descriptors.
pub(crate) fn named_target(path: &Path) -> Result<Target, DumpError> {
    if !host_file::is_in_set(path) {
        return Target::create(path);
    }
    let file = host_file::open(path, host_file::CREATE).map_err(DumpError::opening(path))?;
    Target::descriptor(file.into())
}

fn target(control: &mut Control, caller: &Caller, protocol: &str) -> Answer<Target> {
    if let Some(path) = protocol.strip_prefix("file:") {
        return named_target(Path::new(path)).map_err(refused);
    }
    if let Some(name) = protocol.strip_prefix("fd:") {
        let descriptor = control.descriptors.take(caller.session, name);
        let descriptor =
            descriptor.ok_or_else(|| Error::new(format!("File descriptor named '{name}' has not been found")))?;
        return Target::descriptor(descriptor).map_err(refused);
    }
    Err(Error::expects("protocol", "a protocol (fd: or file:)"))
}

fn query_dump(control: &mut Control, _: QueryDump) -> Answer<DumpQueryResult> {
    Ok(control.dumps.result())
}

fn query_dump_guest_memory_capability(
    _: &mut Control,
    _: QueryDumpGuestMemoryCapability,
) -> Answer<DumpGuestMemoryCapability> {
    let formats = vec![
        DumpGuestMemoryFormat::Elf,
        DumpGuestMemoryFormat::KdumpZlib,
        DumpGuestMemoryFormat::KdumpLzo,
        DumpGuestMemoryFormat::KdumpSnappy,
    ];
    Ok(DumpGuestMemoryCapability { formats })
}

/// Pieces that are looked at before anything is written: 4 GiB. The address space itself would take years.
const MOST_CHECKED: usize = 1 << 20;

/// Bytes that are copied at a time: a page, within which a translation holds.
const PIECE: u64 = 4096;

pub(crate) fn memsave(control: &mut Control, command: Memsave) -> Answer<()> {
    let machine = &control.board.machine;
    let index = usize::try_from(command.cpu_index.unwrap_or(0)).ok();
    let cpu = index.and_then(|index| machine.cpu(index));
    let cpu = cpu.ok_or_else(|| Error::expects("cpu-index", "a CPU number"))?;
    let unmapped = || Error::new(format!("Invalid addr 0x{:016x}/size {} specified", command.val, command.size));
    let (start, len) = (command.val as u64, length(command.size)?);
    let physical = |at| cpu.peek_address(&machine.bus, at).ok_or_else(unmapped);
    // Before the file is emptied.
    pieces(start, len).take(MOST_CHECKED).try_for_each(|(at, _)| physical(at).map(drop))?;
    save(&command.filename, start, len, |at, bytes| {
        machine.bus.memory.read_bytes(physical(at)?, bytes);
        Ok(())
    })
}

/// What is no memory is written as zeroes.
pub(crate) fn pmemsave(control: &mut Control, command: Pmemsave) -> Answer<()> {
    let memory = &control.board.machine.bus.memory;
    save(&command.filename, command.val as u64, length(command.size)?, |at, bytes| {
        bytes.fill(0);
        memory.read_bytes(at, bytes);
        Ok(())
    })
}

fn length(size: i64) -> Answer<u64> {
    u64::try_from(size).map_err(|_| Error::expects("size", "a number that is not negative"))
}

/// `len` bytes from `start` on, cut at the pages' ends: where each piece begins, and how long it is.
fn pieces(start: u64, len: u64) -> impl Iterator<Item = (u64, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = start.wrapping_add(done);
        let count = (len - done).min(PIECE - at % PIECE);
        done += count;
        (count > 0).then_some((at, count as usize))
    })
}

/// Writes `len` bytes from `start` on to a file, each piece as `read` gives it.
fn save(path: &str, start: u64, len: u64, read: impl Fn(u64, &mut [u8]) -> Answer<()>) -> Answer<()> {
    let told = |error: &io::Error| Error::new(format!("{path}: {}", crate::chardev::host_words(error)));
    let file = host_file::open(Path::new(path), host_file::CREATE)
        .map_err(|error| Error::new(format!("Could not open '{path}': {}", crate::chardev::host_words(&error))))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut piece = [0; PIECE as usize];
    for (at, count) in pieces(start, len) {
        let bytes = &mut piece[..count];
        read(at, bytes)?;
        file.write_all(bytes).map_err(|error| told(&error))?;
    }
    file.flush().map_err(|error| told(&error))
}

fn dump_skeys(_: &mut Control, _: DumpSkeys) -> Answer<()> {
    Err(disabled("dump-skeys"))
}
