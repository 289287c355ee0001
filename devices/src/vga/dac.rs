//! The digital-to-analog converter's 256 colours, and its way of being read and written three bytes at a time.

use serde::{Deserialize, Serialize};

/// The colour look-up table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dac {
    colors: Vec<[u8; 3]>,
    /// Pixels are masked by this.
    pub pel_mask: u8,
    read_index: u8,
    write_index: u8,
    /// The component that comes next.
    component: u8,
    /// What a write has collected so far.
    collected: [u8; 3],
    /// The last index write was for reading.
    reading: bool,
}

impl Default for Dac {
    fn default() -> Self {
        Self {
            colors: vec![[0; 3]; 256],
            pel_mask: 0xff,
            read_index: 0,
            write_index: 0,
            component: 0,
            collected: [0; 3],
            reading: false,
        }
    }
}

impl Dac {
    /// The bits of a component that are kept: six, or eight after the Bochs extension.
    fn bits(wide: bool) -> u8 {
        if wide { 0xff } else { 0x3f }
    }

    /// The colour of a pixel, 8 bits for each of red, green and blue.
    pub fn color(&self, pixel: u8, wide: bool) -> [u8; 3] {
        let color = self.colors.get(usize::from(pixel & self.pel_mask)).copied().unwrap_or_default();
        if wide { color } else { color.map(|c| (c & 0x3f) << 2 | (c & 0x3f) >> 4) }
    }

    /// The index for writing.
    pub fn write_index(&self) -> u8 {
        self.write_index
    }

    /// Starts writing at a colour.
    pub fn set_write_index(&mut self, index: u8) {
        (self.write_index, self.component, self.reading) = (index, 0, false);
    }

    /// Starts reading at a colour.
    pub fn set_read_index(&mut self, index: u8) {
        (self.read_index, self.component, self.reading) = (index, 0, true);
    }

    /// The state register: 3 while reading, 0 while writing.
    pub fn state(&self) -> u8 {
        if self.reading { 3 } else { 0 }
    }

    /// Reads the next component.
    pub fn read(&mut self, wide: bool) -> u8 {
        let color = self.colors.get(usize::from(self.read_index)).copied().unwrap_or_default();
        let value = color.get(usize::from(self.component)).copied().unwrap_or(0) & Self::bits(wide);
        self.component = (self.component + 1) % 3;
        if self.component == 0 {
            self.read_index = self.read_index.wrapping_add(1);
        }
        value
    }

    /// Writes the next component; the third makes the colour.
    pub fn write(&mut self, value: u8, wide: bool) {
        if let Some(component) = self.collected.get_mut(usize::from(self.component)) {
            *component = value & Self::bits(wide);
        }
        self.component = (self.component + 1) % 3;
        if self.component == 0 {
            if let Some(color) = self.colors.get_mut(usize::from(self.write_index)) {
                *color = self.collected;
            }
            self.write_index = self.write_index.wrapping_add(1);
        }
    }
}
