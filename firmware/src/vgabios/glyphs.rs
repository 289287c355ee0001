//! The characters of code page 437, from freely licensed fonts: Spleen (BSD) at 8x16, and font8x8 (public domain) at 8x8.

use font8x8::UnicodeFonts;
use std::collections::BTreeMap;

/// Code page 437 below 20h.
const LOW: &str = " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";
/// Code page 437 from 7Fh on.
const HIGH: &str = "⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

fn characters() -> impl Iterator<Item = char> {
    LOW.chars().chain((0x20..0x7f).map(char::from)).chain(HIGH.chars())
}

/// The glyphs of a PSF1 font 16 rows tall, by the characters that its Unicode table gives them.
fn psf1(font: &[u8]) -> BTreeMap<char, [u8; 16]> {
    const HEADER: usize = 4;
    /// In the header's mode byte: 512 glyphs, not 256.
    const MODE_512: u8 = 1;
    /// In the Unicode table: what ends a glyph's entry, and what starts its sequences of several characters.
    const END: u16 = 0xffff;
    const SEQUENCE: u16 = 0xfffe;
    let count = if font.get(2).is_some_and(|mode| mode & MODE_512 != 0) { 512 } else { 256 };
    let Some((glyphs, table)) = font.get(HEADER..).and_then(|rest| rest.split_at_checked(count * 16)) else {
        return BTreeMap::new();
    };
    let table: Vec<_> = table.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]])).collect();
    let mut named = BTreeMap::new();
    for (glyph, entry) in glyphs.chunks_exact(16).zip(table.split(|word| *word == END)) {
        let single = entry.split(|word| *word == SEQUENCE).next().unwrap_or_default();
        let names = single.iter().filter_map(|word| char::from_u32((*word).into()));
        if let Ok(rows) = <[u8; 16]>::try_from(glyph) {
            named.extend(names.map(|name| (name, rows)));
        }
    }
    named
}

/// What neither font has: two triangles and a right angle.
const OWN: [(char, [u8; 16]); 3] = [
    ('►', [0, 0, 0x40, 0x60, 0x70, 0x78, 0x7c, 0x7e, 0x7c, 0x78, 0x70, 0x60, 0x40, 0, 0, 0]),
    ('◄', [0, 0, 0x02, 0x06, 0x0e, 0x1e, 0x3e, 0x7e, 0x3e, 0x1e, 0x0e, 0x06, 0x02, 0, 0, 0]),
    ('∟', [0, 0, 0, 0, 0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xfe, 0xfe, 0, 0, 0, 0]),
];

/// A glyph of the small font.
fn small(character: char) -> Option<[u8; 8]> {
    font8x8::BASIC_FONTS
        .get(character)
        .or_else(|| font8x8::LATIN_FONTS.get(character))
        .or_else(|| font8x8::BOX_FONTS.get(character))
        .or_else(|| font8x8::BLOCK_FONTS.get(character))
        .or_else(|| font8x8::GREEK_FONTS.get(character))
        .map(|rows| rows.map(u8::reverse_bits))
}

/// 256 glyphs of 16 rows. What the tall font lacks is made from the small one, one row to two.
pub(super) fn eight_by_sixteen() -> Vec<u8> {
    let mut glyphs = psf1(spleen_font::FONT_8X16);
    glyphs.extend(OWN);
    let stretched = |rows: [u8; 8]| std::array::from_fn(|y| rows[y / 2]);
    let glyph = |c: char| glyphs.get(&c).copied().or_else(|| small(c).map(stretched)).unwrap_or_default();
    characters().flat_map(glyph).collect()
}

/// 256 glyphs of 14 rows: the taller ones without their outermost rows, where only what goes on into the neighbours reaches.
pub(super) fn eight_by_fourteen() -> Vec<u8> {
    eight_by_sixteen().chunks_exact(16).flat_map(|glyph| glyph[1..15].to_vec()).collect()
}

/// 256 glyphs of 8 rows. What the small font lacks is made from the tall one, two rows to one.
pub(super) fn eight_by_eight() -> Vec<u8> {
    let tall = eight_by_sixteen();
    let halved = |glyph: &[u8]| -> [u8; 8] { std::array::from_fn(|y| glyph[2 * y] | glyph[2 * y + 1]) };
    characters().zip(tall.chunks_exact(16)).flat_map(|(c, glyph)| small(c).unwrap_or_else(|| halved(glyph))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_but_blanks_has_a_glyph_in_every_size() {
        for (glyphs, height) in [(eight_by_sixteen(), 16), (eight_by_fourteen(), 14), (eight_by_eight(), 8)] {
            assert_eq!(glyphs.len(), 256 * height);
            let empty = (0u8..=255).zip(glyphs.chunks_exact(height)).filter(|(_, rows)| rows.iter().all(|r| *r == 0));
            assert_eq!(empty.map(|(code, _)| code).collect::<Vec<_>>(), [0, 0x20, 0xff], "height {height}");
        }
    }

    #[test]
    fn lines_of_boxes_meet() {
        let tall = eight_by_sixteen();
        let vertical = &tall[0xb3 * 16..][..16];
        assert!(vertical.iter().all(|row| *row != 0 && *row == vertical[0]));
        assert!(tall[0xdb * 16..][..16].iter().all(|row| *row == 0xff));
        assert!(tall[0xc4 * 16..][..16].contains(&0xff));
    }
}
