//! How fast each format is written, and with how much of the processors: `throughput FILE [MIB [FORMAT...]]`. The guest's memory is half zeroes, a quarter what FILE holds
//! and a quarter noise; dumps go to the folder of temporary files.

use lockstep_dump::{Format, Guest, Options, PhysicalMemory, Processors, Progress, Range, Registers, Target, write};
use std::borrow::Cow;
use std::time::Instant;

struct Memory(Vec<u8>);

impl PhysicalMemory for Memory {
    fn ranges(&self) -> Vec<Range> {
        vec![Range { start: 0, len: self.0.len() as u64 }]
    }

    fn read(&self, address: u64, len: usize) -> Cow<'_, [u8]> {
        self.0.get(address as usize..address as usize + len).unwrap_or_default().into()
    }
}

struct One;

impl Processors for One {
    fn registers(&self) -> Vec<Registers> {
        vec![Registers { efer: 1 << 10, ..Registers::default() }]
    }
}

fn fill(memory: &mut [u8], file: &[u8]) {
    const PIECE: usize = 64 << 10;
    let mut from = file.chunks_exact(PIECE).cycle();
    let mut noise = 1u64;
    for (number, piece) in memory.chunks_exact_mut(PIECE).enumerate() {
        match number % 4 {
            0 => {
                if let Some(held) = from.next() {
                    piece.copy_from_slice(held);
                }
            }
            1 => {
                for word in piece.chunks_exact_mut(8) {
                    noise ^= noise << 13;
                    noise ^= noise >> 7;
                    noise ^= noise << 17;
                    word.copy_from_slice(&noise.to_le_bytes());
                }
            }
            _ => {}
        }
    }
}

/// Peak of the process's memory in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Seconds of processor time that the process has used, all threads, its own and the host's for it.
fn processor_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let seconds = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    (seconds(11), seconds(12))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = std::fs::read(arguments.next().ok_or("usage: throughput FILE [MIB [FORMAT...]]")?)?;
    let mib: usize = arguments.next().map_or(Ok(1024), |word| word.parse())?;
    let mut memory = Memory(vec![0; mib << 20]);
    fill(&mut memory.0, &file);
    let before = peak();
    let path = std::env::temp_dir().join(format!("lockstep-throughput-{}", std::process::id()));
    let names: Vec<String> = arguments.collect();
    for format in Format::ALL.into_iter().filter(|f| names.is_empty() || names.iter().any(|name| name == f.name())) {
        let guest = Guest { memory: &memory, processors: &One, vmcoreinfo: None };
        let options = Options { format, paging: false, only: None };
        let (start, (user, system)) = (Instant::now(), processor_seconds());
        let summary = write(&guest, &options, Target::create(&path)?, &Progress::default())?;
        let seconds = start.elapsed().as_secs_f64();
        let (user_after, system_after) = processor_seconds();
        let (user, system) = (user_after - user, system_after - system);
        let rate = summary.memory as f64 / seconds / 1e6;
        println!(
            "{:<16} {seconds:>7.3} s ({user:.2} + {system:.2} s of processors) {rate:>7.0} MB/s {:>6} MB written",
            format.name(),
            summary.file / 1_000_000
        );
        std::fs::remove_file(&path)?;
    }
    println!("memory beside the guest's: {} MiB at most", peak() - before);
    Ok(())
}
