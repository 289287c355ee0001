//! What is on the screen: as pixels, as text, and as a picture in a file.

use crate::board::Board;
use crate::chardev::host_words;
use crate::host_file;
use lockstep_devices::vga::{Frame, Vga};
use lockstep_fabric::StateError;
use serde::Deserialize;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Why the screen could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// The machine has no graphics card.
    #[error("There is no console to take a screendump from")]
    None,
    /// The card's state cannot be saved.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file cannot be opened.
    #[error("failed to open file '{}': {}", path.display(), host_words(why))]
    Open {
        /// Its name.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// The file cannot be written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The picture cannot be encoded.
    #[error("{0}")]
    Encode(#[from] png::EncodingError),
}

/// What a picture's file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// Portable pixmap.
    Ppm,
}

/// The screen at this moment. Looking changes nothing in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The picture.
    pub frame: Frame,
    /// The rows of characters with line ends, unless graphics are shown.
    pub text: Option<String>,
}

impl Screen {
    /// What the board's graphics card shows, with all that blinks.
    pub fn of(board: &mut Board) -> Result<Self, ScreenError> {
        Self::drawn(board, Vga::picture)
    }

    /// What it shows at this very moment of guest time.
    pub fn now(board: &mut Board) -> Result<Self, ScreenError> {
        let now = board.machine.bus.clock.now_ns();
        Self::drawn(board, |vga, memory| vga.picture_at(memory, now))
    }

    fn drawn(board: &mut Board, draw: impl Fn(&Vga, &[u8]) -> Frame) -> Result<Self, ScreenError> {
        let card = board.screen.ok_or(ScreenError::None)?;
        let state = board.machine.bus.with(card, |device, _| device.save()).ok_or(ScreenError::None)??;
        let vga = Vga::deserialize(&state)
            .map_err(|why| StateError::Malformed { what: "the graphics card".into(), why: why.to_string() })?;
        let memory = board.machine.bus.memory.block_bytes(vga.memory());
        Ok(Self { frame: draw(&vga, memory), text: vga.text(memory) })
    }
}

/// Writes a picture. One without pixels becomes a single black one, as PNG has no empty pictures.
pub fn write(frame: &Frame, format: Format, to: impl Write) -> Result<(), ScreenError> {
    let black = Frame { width: 1, height: 1, pixels: vec![0; 3] };
    let frame = if frame.pixels.is_empty() { &black } else { frame };
    let (width, height) = (frame.width as u32, frame.height as u32);
    let mut to = BufWriter::new(to);
    match format {
        Format::Ppm => {
            write!(to, "P6\n{width} {height}\n255\n")?;
            to.write_all(&frame.pixels)?;
        }
        Format::Png => {
            let mut encoder = png::Encoder::new(&mut to, width, height);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&frame.pixels)?;
            writer.finish()?;
        }
    }
    to.flush()?;
    Ok(())
}

/// Writes a picture to a file.
pub fn dump(frame: &Frame, format: Format, path: &Path) -> Result<(), ScreenError> {
    let file = host_file::open(path, host_file::CREATE);
    write(frame, format, file.map_err(|why| ScreenError::Open { path: path.into(), why })?)
}
