//! Files for a guest's initial RAM disk, beside those that it has.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// What every file is.
const PLAIN_FILE: u32 = 0o100_644;
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// One file as a compressed archive of its own, to be put behind others.
///
/// # Panics
/// Never: it is written to memory.
pub fn with_file(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    entry(&mut archive, name, PLAIN_FILE, bytes);
    entry(&mut archive, TRAILER, 0, &[]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&archive).and_then(|()| encoder.finish()).expect("memory")
}

/// A header of the format "newc", the name, and what is in it, each to a multiple of four bytes.
fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8]) {
    let (links, size, name_size) = (1, bytes.len() as u32, name.len() as u32 + 1);
    archive.extend_from_slice(b"070701");
    for field in [0, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
        archive.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    for part in [[name.as_bytes(), &[0]].concat(), bytes.to_vec()] {
        archive.extend(part);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
}
