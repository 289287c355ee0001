//! Looking through all of memory.

use super::utsname::{self, UTSNAME_LEN};
use super::vmcoreinfo::{NAME_AT, TEXT_AT, Vmcoreinfo};
use crate::pages::Batches;
use crate::{DumpError, PAGE_SIZE, PhysicalMemory, Progress, Range, pipeline};

/// What was found, in the order of addresses.
#[derive(Debug, Default)]
pub(super) struct Finds {
    pub(super) notes: Vec<Vmcoreinfo>,
    pub(super) utsnames: Vec<[u8; UTSNAME_LEN]>,
}

/// Candidates of a kind that are looked at; a memory full of them is somebody's joke.
const MOST_FINDS: usize = 256;
/// Memory whose pages' beginnings are looked at together.
const HEADS_OF: u64 = 4 << 20;
/// Numbers as which the beginnings of a note's name and of a utsname are looked for.
const VMCO: u32 = u32::from_le_bytes(*b"VMCO");
const LINU: u32 = u32::from_le_bytes(*b"Linu");

/// Offers every note that begins a page, until one is taken; tells whether one was.
pub(super) fn notes_on_pages(
    memory: &dyn PhysicalMemory,
    ranges: &[Range],
    progress: &Progress,
    take: &mut dyn FnMut(Vmcoreinfo) -> bool,
) -> Result<bool, DumpError> {
    let batches = Batches::sized(ranges, HEADS_OF);
    let look = |(): &mut (), number| {
        let batch = batches.get(number);
        if memory.untouched(batch.start, batch.len) {
            return Vec::new();
        }
        let heads = memory.read_heads(batch.start, (batch.len / PAGE_SIZE) as usize, TEXT_AT);
        let starts = (batch.start..).step_by(PAGE_SIZE as usize);
        let begins = starts.zip(heads.chunks_exact(TEXT_AT)).filter(|(_, head)| Vmcoreinfo::note_len(head).is_some());
        begins.map(|(start, _)| start).collect::<Vec<_>>()
    };
    let mut taken = false;
    let mut offered = 0;
    let result = pipeline::in_order(batches.count(), &mut vec![(); pipeline::workers()], look, |found| {
        progress.check()?;
        for at in found {
            offered += 1;
            taken = note_at(memory, ranges, at).is_some_and(&mut *take);
            if taken || offered == MOST_FINDS {
                return Err(DumpError::Cancelled);
            }
        }
        Ok(())
    });
    // The walk was ended because there is no need to go on, unless it was not.
    progress.check()?;
    match result {
        Ok(()) | Err(DumpError::Cancelled) => Ok(taken),
        Err(error) => Err(error),
    }
}

/// Every note and every utsname that begins at a multiple of 4.
pub(super) fn everywhere(
    memory: &dyn PhysicalMemory,
    ranges: &[Range],
    progress: &Progress,
) -> Result<Finds, DumpError> {
    let batches = Batches::busy(memory, ranges);
    let look = |(): &mut (), number| {
        let batch = batches.get(number);
        if memory.untouched(batch.start, batch.len) {
            return Vec::new();
        }
        let bytes = memory.read(batch.start, batch.len as usize);
        beginnings(&bytes).into_iter().map(|(kind, at)| (kind, batch.start + at as u64)).collect::<Vec<_>>()
    };
    let mut finds = Finds::default();
    pipeline::in_order(batches.count(), &mut vec![(); pipeline::workers()], look, |found| {
        progress.check()?;
        for (kind, at) in found {
            if kind == VMCO && finds.notes.len() < MOST_FINDS {
                let start = at.checked_sub(NAME_AT as u64);
                finds.notes.extend(start.and_then(|start| note_at(memory, ranges, start)));
            }
            if kind == LINU && finds.utsnames.len() < MOST_FINDS {
                let bytes = read_up_to(memory, ranges, at, UTSNAME_LEN);
                finds.utsnames.extend(utsname::at(&bytes).map(|found| *found));
            }
        }
        Ok(())
    })?;
    Ok(finds)
}

/// Where in `bytes` the numbers lie that are looked for.
fn beginnings(bytes: &[u8]) -> Vec<(u32, usize)> {
    const CHUNK: usize = 128;
    let word = |four: &[u8]| u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    let mut found = Vec::new();
    for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
        // Without a branch, so that it goes at memory's speed.
        let any = chunk.chunks_exact(4).fold(false, |any, four| any | (word(four) == VMCO) | (word(four) == LINU));
        if !any {
            continue;
        }
        for (index, four) in chunk.chunks_exact(4).enumerate() {
            let kind = word(four);
            let at = number * CHUNK + index * 4;
            let right = match kind {
                VMCO => bytes.get(at..at + 11).is_none_or(|name| name == b"VMCOREINFO\0"),
                LINU => bytes.get(at..at + 65).is_none_or(|name| name.starts_with(b"Linux\0") && name[64] == 0),
                _ => false,
            };
            if right {
                found.push((kind, at));
            }
        }
    }
    found
}

fn note_at(memory: &dyn PhysicalMemory, ranges: &[Range], at: u64) -> Option<Vmcoreinfo> {
    let head = read_up_to(memory, ranges, at, TEXT_AT);
    let len = Vmcoreinfo::note_len(&head)?;
    Vmcoreinfo::of_note(&read_up_to(memory, ranges, at, len))
}

/// `len` bytes, or as many as there are before the range ends.
fn read_up_to(memory: &dyn PhysicalMemory, ranges: &[Range], at: u64, len: usize) -> Vec<u8> {
    let Some(range) = ranges.iter().find(|range| range.holds(at)) else { return Vec::new() };
    memory.read(at, (range.end() - at).min(len as u64) as usize).into_owned()
}
