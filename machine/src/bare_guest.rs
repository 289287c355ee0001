//! The smallest guest there is, for tests: an image for `-bios` that counts and shows the count at port 80h.

use crate::board::{self, Board};
use crate::commandline::{Config, Invocation, Vocabulary, parse};
use std::path::PathBuf;

/// Bytes of the image.
const IMAGE_LEN: usize = 64 << 10;
/// Where the reset vector is in the image.
const RESET_VECTOR: usize = IMAGE_LEN - 16;

/// `xor eax, eax`, then over and over `inc eax`, `out 80h, al`, `jmp` back to the `inc`.
pub(crate) const PROGRAM: [u8; 9] = [0x66, 0x31, 0xc0, 0x66, 0x40, 0xe6, 0x80, 0xeb, 0xfa];
/// `jmp F000:0000`.
pub(crate) const START: [u8; 5] = [0xea, 0x00, 0x00, 0x00, 0xf0];

/// A command line with the image, in a folder of its own; the folder goes with it.
pub(crate) struct BareGuest {
    /// The folder.
    pub(crate) folder: PathBuf,
}

impl BareGuest {
    /// `name` tells the folders of concurrent tests apart.
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("lockstep-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut image = vec![0; IMAGE_LEN];
        image[..PROGRAM.len()].copy_from_slice(&PROGRAM);
        image[RESET_VECTOR..][..START.len()].copy_from_slice(&START);
        std::fs::write(folder.join("bios"), image).expect("an image");
        Self { folder }
    }

    /// Has another program run in place of [`PROGRAM`].
    pub(crate) fn program(&self, program: &[u8]) {
        let file = self.folder.join("bios");
        let mut image = std::fs::read(&file).expect("an image");
        image[..program.len()].copy_from_slice(program);
        std::fs::write(file, image).expect("an image");
    }

    /// The configuration, with `more` arguments.
    pub(crate) fn config(&self, more: &str) -> Config {
        let bios = self.folder.join("bios").display().to_string();
        let line = format!("-bios {bios} -m 1M -seed 1 -rtc base=2026-01-01T00:00:00 -nodefaults -display none {more}");
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&arguments, &Vocabulary::default()) {
            Ok(Invocation::Run(config)) => *config,
            Ok(Invocation::Print(text)) => panic!("{line} only prints {text}"),
            Err(error) => panic!("{line}: {error}"),
        }
    }

    /// The board of such a configuration.
    pub(crate) fn board(&self, config: &Config) -> Board {
        board::build(config).expect("a board")
    }
}

impl Drop for BareGuest {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
