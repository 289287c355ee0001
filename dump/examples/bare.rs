//! How fast the codecs alone are on a dump's pages: `bare DUMP [CODEC...]`. A line for each codec: its name; seconds and seconds
//! of processor time for all pages; and the same for those alone that are not zero. Nothing is looked for, put together or
//! written: every core compresses pages out of memory and forgets what comes of them.

use flate2::{Compress, Compression, FlushCompress};
use lockstep_dump::codec::Codec;
use lockstep_dump::read::Dump;
use lockstep_dump::{PAGE_SIZE, is_zero};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const PAGE: usize = PAGE_SIZE as usize;
/// Bytes that a thread takes at a time.
const SHARE: usize = 64 * PAGE;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dump = Dump::open(Path::new(&arguments.next().ok_or("usage: bare DUMP [CODEC...]")?))?;
    let names: Vec<String> = arguments.collect();
    let (pages, zeroes) = held(&dump)?;
    for codec in Codec::ALL {
        if names.is_empty() || names.iter().any(|name| name == codec.name()) {
            let before = processor_seconds();
            let seconds = timed(&pages, 0, codec)?;
            let between = processor_seconds();
            let seconds_of_all = timed(&pages, zeroes, codec)?;
            let (cpu, cpu_of_all) = (between - before, processor_seconds() - between);
            println!("{} {seconds_of_all:.3} {cpu_of_all:.2} {seconds:.3} {cpu:.2}", codec.name());
        }
    }
    Ok(())
}

/// Seconds of processor time that the process has used, all threads.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The bytes of all pages that are not zero, and how many others there are.
fn held(dump: &Dump) -> Result<(Vec<u8>, usize), String> {
    let mut bytes = Vec::new();
    let mut pages = 0;
    let mut share = vec![0; SHARE];
    for range in dump.pages() {
        for at in (range.start..range.end()).step_by(SHARE) {
            let part = &mut share[..(range.end() - at).min(SHARE as u64) as usize];
            if !dump.read_physical(at, part) {
                return Err(format!("{at:#x} cannot be read"));
            }
            pages += part.len() / PAGE;
            part.chunks_exact(PAGE).filter(|page| !is_zero(page)).for_each(|page| bytes.extend_from_slice(page));
        }
    }
    let zeroes = pages - bytes.len() / PAGE;
    Ok((bytes, zeroes))
}

/// Seconds for these pages and so many of zeroes.
fn timed(pages: &[u8], zeroes: usize, codec: Codec) -> Result<f64, String> {
    let next = AtomicUsize::new(0);
    // More than a cache holds, as the guest's zero pages are.
    let zero = vec![0; if zeroes == 0 { 0 } else { 256 << 20 }];
    let empty = zero.chunks(SHARE).cycle().take(zeroes * PAGE / SHARE);
    let shares: Vec<&[u8]> = pages.chunks(SHARE).chain(empty).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            let mut engine = engine(codec)?;
            while let Some(share) = shares.get(next.fetch_add(1, Ordering::Relaxed)) {
                for page in share.chunks_exact(PAGE) {
                    std::hint::black_box(engine(page));
                }
            }
            Ok::<_, String>(())
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
    })?;
    Ok(begun.elapsed().as_secs_f64())
}

type Engine = Box<dyn FnMut(&[u8]) -> usize>;

/// The codec, as those who made it offer it. It returns the compressed size.
fn engine(codec: Codec) -> Result<Engine, String> {
    let mut room = vec![0; 2 * PAGE];
    Ok(match codec {
        Codec::Zlib => {
            let mut zlib = Compress::new(Compression::fast(), true);
            Box::new(move |page| {
                zlib.reset();
                let _ = zlib.compress(page, &mut room, FlushCompress::Finish);
                zlib.total_out() as usize
            })
        }
        Codec::Lzo => Box::new(|page| lzo1x::compress(page, lzo1x::CompressLevel::new(2)).len()),
        Codec::Snappy => {
            let mut snappy = snap::raw::Encoder::new();
            Box::new(move |page| snappy.compress(page, &mut room).unwrap_or(0))
        }
        Codec::Zstd => {
            let mut zstd = zstd::bulk::Compressor::new(1).map_err(|why| why.to_string())?;
            Box::new(move |page| zstd.compress_to_buffer(page, &mut room).unwrap_or(0))
        }
    })
}
