//! Writes a dump again, in another format: `convert FROM FORMAT TO [paging]`. Times it, and reports on what came of it.

use lockstep_dump::read::{Dump, report};
use lockstep_dump::{Format, Guest, Options, Progress, Target, write};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, format, to, rest @ ..] = arguments.as_slice() else {
        return Err("usage: convert FROM FORMAT TO [paging]".into());
    };
    let dump = Dump::open(Path::new(from))?;
    let format = Format::named(format).ok_or("no such format")?;
    let note = dump.vmcoreinfo().is_some();
    let guest = Guest { memory: &dump, processors: &dump, vmcoreinfo: None };
    let options = Options { format, paging: rest.iter().any(|word| word == "paging"), only: None };
    let start = Instant::now();
    let summary = write(&guest, &options, Target::create(Path::new(to))?, &Progress::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = summary.memory as f64 / seconds / 1e9;
    println!(
        "{} bytes of memory in {} bytes, {seconds:.3} s, {rate:.2} GB/s; source had VMCOREINFO: {note}",
        summary.memory, summary.file
    );
    let written = Dump::open(Path::new(to))?;
    let verdict = written.verify(true, &Progress::default())?;
    print!("{}", report(&written, &verdict));
    Ok(())
}
