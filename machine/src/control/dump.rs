//! The guest's memory, written to files.

use super::disabled;
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::dump::{DumpSkeys, Memsave, Pmemsave};
use lockstep_qmp::registry::{Answer, Registry};
use std::fs::File;
use std::io::{self, BufWriter, Write};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(memsave).on(pmemsave).on(dump_skeys);
}

/// Bytes that are copied at a time: a page, within which a translation holds.
const PIECE: u64 = 4096;

fn memsave(control: &mut Control, command: Memsave) -> Answer<()> {
    let machine = &control.board.machine;
    let index = usize::try_from(command.cpu_index.unwrap_or(0)).ok();
    let cpu = index.and_then(|index| machine.cpus.get(index));
    let cpu = cpu.ok_or_else(|| Error::expects("cpu-index", "a CPU number"))?;
    let unmapped = || Error::new(format!("Invalid addr 0x{:016x}/size {} specified", command.val, command.size));
    save(&command.filename, command.val as u64, length(command.size)?, |at, bytes| {
        let physical = cpu.peek_address(&machine.bus, at).ok_or_else(unmapped)?;
        machine.bus.memory.read_bytes(physical, bytes);
        Ok(())
    })
}

/// What is no memory is written as zeroes.
fn pmemsave(control: &mut Control, command: Pmemsave) -> Answer<()> {
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

/// Writes `len` bytes from `start` on to a file, each piece as `read` gives it.
fn save(path: &str, start: u64, len: u64, read: impl Fn(u64, &mut [u8]) -> Answer<()>) -> Answer<()> {
    let told = |error: &io::Error| Error::new(format!("{path}: {}", crate::chardev::host_words(error)));
    let file = File::create(path)
        .map_err(|error| Error::new(format!("Could not open '{path}': {}", crate::chardev::host_words(&error))))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let mut done = 0;
    let mut piece = [0; PIECE as usize];
    while done < len {
        let at = start.wrapping_add(done);
        let count = (len - done).min(PIECE - at % PIECE);
        let bytes = &mut piece[..count as usize];
        read(at, bytes)?;
        file.write_all(bytes).map_err(|error| told(&error))?;
        done += count;
    }
    file.flush().map_err(|error| told(&error))
}

fn dump_skeys(_: &mut Control, _: DumpSkeys) -> Answer<()> {
    Err(disabled("dump-skeys"))
}
