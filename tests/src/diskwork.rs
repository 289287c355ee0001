//! What the guest's program diskwork claims to have made durable, checked against the files that are there. Its records are
//! described in guests/diskwork.c.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const HEADER: usize = 32;
const BLOCK: usize = 4096;
const MAGIC: u64 = u64::from_be_bytes(*b"KROWKSID");

/// The FNV-1a hash, 64 bits wide.
pub fn fnv(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The sequence number and place of a record that is whole.
fn record(bytes: &[u8]) -> Option<(u64, u64)> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?));
    let hash = fnv(&[bytes.get(8..24)?, bytes.get(HEADER..)?]);
    (word(0)? == MAGIC && word(3)? == hash).then_some((word(1)?, word(2)?))
}

/// By process.
#[derive(Debug, Default)]
struct Claim {
    /// Block to the sequence number that it has at least.
    blocks: BTreeMap<u64, u64>,
    /// Log, offset, sequence number and length.
    logs: Vec<(u64, usize, u64, usize)>,
    /// Sequence number and length of files that must be there.
    files: BTreeMap<u64, usize>,
    /// Of files that must not be.
    gone: BTreeSet<u64>,
}

/// All that one run of diskwork claimed.
#[derive(Debug, Default)]
pub struct Claims {
    processes: BTreeMap<u64, Claim>,
    len: usize,
}

impl Claims {
    /// Reads a console. A line that was cut off claims nothing.
    pub fn of(console: &str) -> Self {
        let mut claims = Self::default();
        for line in console.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let numbers: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
            let Some(process) = numbers.first() else { continue };
            let claim = claims.processes.entry(*process).or_default();
            match (words.first(), words.get(2), &numbers[1..]) {
                (Some(&"DONE"), Some(&"block"), &[block, sequence]) => {
                    claim.blocks.insert(block, sequence);
                }
                (Some(&"DONE"), Some(&"log"), &[log, sequence, offset, len]) => {
                    claim.logs.push((log, offset as usize, sequence, len as usize));
                }
                (Some(&"DONE"), Some(&"file"), &[sequence, len]) => {
                    claim.files.insert(sequence, len as usize);
                }
                (Some(&"DONE"), Some(&"gone"), &[sequence]) => {
                    claim.gone.insert(sequence);
                }
                (Some(&"DROP"), _, &[sequence]) => {
                    claim.files.remove(&sequence);
                }
                _ => continue,
            }
            claims.len += 1;
        }
        claims
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Checks them against the folder that diskwork wrote to; the error names the first that does not hold.
    pub fn check(&self, folder: &Path) -> Result<(), String> {
        for (process, claim) in &self.processes {
            if self.len > 0 {
                claim.check(&folder.join(process.to_string())).map_err(|lost| format!("process {process}: {lost}"))?;
            }
        }
        Ok(())
    }
}

impl Claim {
    fn check(&self, folder: &Path) -> Result<(), String> {
        if self.blocks.is_empty() && self.logs.is_empty() && self.files.is_empty() {
            return Ok(());
        }
        let read = |name: &str| std::fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
        let blocks = if self.blocks.is_empty() { Vec::new() } else { read("blocks")? };
        for (block, sequence) in &self.blocks {
            let found = blocks.get(*block as usize * BLOCK..(*block as usize + 1) * BLOCK).and_then(record);
            let holds = found.is_some_and(|(s, b)| s >= *sequence && b == *block);
            holds.then_some(()).ok_or_else(|| format!("block {block} of write {sequence} is {found:?}"))?;
        }
        let names: BTreeSet<u64> = self.logs.iter().map(|(log, ..)| *log).collect();
        let logs: BTreeMap<u64, Vec<u8>> =
            names.into_iter().map(|log| Ok((log, read(&format!("log{log}"))?))).collect::<Result<_, String>>()?;
        for (log, offset, sequence, len) in &self.logs {
            let found = logs.get(log).and_then(|bytes| record(bytes.get(*offset..offset + len)?));
            let what = || format!("log {log}, write {sequence} at {offset} is {found:?}");
            (found == Some((*sequence, *log))).then_some(()).ok_or_else(what)?;
        }
        for (sequence, len) in &self.files {
            let bytes = read(&format!("file{sequence}"))?;
            let holds = bytes.len() == *len && record(&bytes) == Some((*sequence, 0));
            holds.then_some(()).ok_or_else(|| format!("file {sequence} is not what was written"))?;
        }
        let back = self.gone.iter().find(|sequence| folder.join(format!("file{sequence}")).exists());
        back.map_or(Ok(()), |sequence| Err(format!("file {sequence} is there again")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(sequence: u64, place: u64) -> Vec<u8> {
        let mut bytes = vec![7; BLOCK];
        bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&place.to_le_bytes());
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        let hash = fnv(&[&bytes[8..24], &bytes[HEADER..]]);
        bytes[24..32].copy_from_slice(&hash.to_le_bytes());
        bytes
    }

    #[test]
    fn a_block_may_be_newer_than_claimed_and_neither_older_nor_torn() {
        let folder = crate::program::scratch_path("claims");
        std::fs::create_dir_all(folder.join("0")).unwrap();
        let claims = Claims::of("noise\nDONE 0 block 1 5\nDONE 0 block 1 ");
        assert_eq!(claims.len(), 1);
        let holds = |second: Vec<u8>| {
            std::fs::write(folder.join("0/blocks"), [block(1, 0), second].concat()).unwrap();
            claims.check(&folder).is_ok()
        };
        assert!(holds(block(5, 1)) && holds(block(6, 1)));
        assert!(!holds(block(4, 1)) && !holds(block(5, 0)) && !holds(Vec::new()));
        let mut torn = block(5, 1);
        torn[4000] ^= 1;
        assert!(!holds(torn));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
