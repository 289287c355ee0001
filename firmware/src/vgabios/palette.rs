//! The colours that the modes start with.

/// A set of 256 colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    /// Two bits for each of red, green and blue.
    Ega,
    /// The sixteen colours of the CGA.
    Cga,
    /// Shades of grey.
    Mono,
    /// The 256 colours of mode 13h.
    Vga,
}

/// Mode 13h's shades of grey.
const GREYS: [u8; 16] =
    [0x00, 0x05, 0x08, 0x0b, 0x0e, 0x11, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x28, 0x2d, 0x32, 0x38, 0x3f];
/// The five levels between a hue's weakest and strongest component, for each intensity and saturation of mode 13h.
const LEVELS: [[u8; 5]; 9] = [
    [0x00, 0x10, 0x1f, 0x2f, 0x3f],
    [0x1f, 0x27, 0x2f, 0x37, 0x3f],
    [0x2d, 0x31, 0x36, 0x3a, 0x3f],
    [0x00, 0x07, 0x0e, 0x15, 0x1c],
    [0x0e, 0x11, 0x15, 0x18, 0x1c],
    [0x14, 0x16, 0x18, 0x1a, 0x1c],
    [0x00, 0x04, 0x08, 0x0c, 0x10],
    [0x08, 0x0a, 0x0c, 0x0e, 0x10],
    [0x0b, 0x0c, 0x0d, 0x0f, 0x10],
];
const HUES: usize = 24;
const FIRST_HUE: usize = 32;

impl Palette {
    /// How many colours a mode loads.
    pub(super) fn len(self) -> u16 {
        if self == Self::Vga { 256 } else { 64 }
    }

    /// Red, green and blue of a colour, six bits each.
    pub(super) fn color(self, index: u8) -> [u8; 3] {
        match self {
            Self::Ega => {
                let component = |bit: u8| 0x2a * (index >> bit & 1) + 0x15 * (index >> (bit + 3) & 1);
                [component(2), component(1), component(0)]
            }
            Self::Cga => cga(index & 7 | (index >> 4 & 1) << 3),
            Self::Mono => [[0x00, 0x2a, 0x15, 0x3f][usize::from(index >> 3 & 3)]; 3],
            Self::Vga => vga(index.into()),
        }
    }
}

/// One of sixteen colours: intensity, red, green, blue; dark yellow is brown.
fn cga(index: u8) -> [u8; 3] {
    let base = |bit: u8| 0x2a * (index >> bit & 1) + 0x15 * (index >> 3 & 1);
    if index == 6 { [0x2a, 0x15, 0x00] } else { [base(2), base(1), base(0)] }
}

fn vga(index: usize) -> [u8; 3] {
    match index {
        0..16 => cga(index as u8),
        16..FIRST_HUE => [GREYS[index - 16]; 3],
        _ => match LEVELS.get((index - FIRST_HUE) / HUES) {
            Some(levels) => hue((index - FIRST_HUE) % HUES, levels),
            None => [0; 3],
        },
    }
}

/// The hues go round from blue over red and green, four steps from corner to corner.
fn hue(step: usize, levels: &[u8; 5]) -> [u8; 3] {
    let (rising, falling) = (levels[step % 4], levels[4 - step % 4]);
    let (low, high) = (levels[0], levels[4]);
    match step / 4 {
        0 => [rising, low, high],
        1 => [high, low, falling],
        2 => [high, rising, low],
        3 => [falling, high, low],
        4 => [low, high, rising],
        _ => [low, falling, high],
    }
}
