//! Segment registers with their hidden parts.

use serde::{Deserialize, Serialize};

/// Indices into `Vcpu::seg`, in the encoding's order.
pub mod seg {
    /// ES.
    pub const ES: usize = 0;
    /// CS.
    pub const CS: usize = 1;
    /// SS.
    pub const SS: usize = 2;
    /// DS.
    pub const DS: usize = 3;
    /// FS.
    pub const FS: usize = 4;
    /// GS.
    pub const GS: usize = 5;
}

/// Access rights as in a descriptor's bits 40..=55: type and S in bits 0..=4, DPL, P, then AVL, L, D/B, G in bits 12..=15.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(pub u16);

impl Rights {
    /// Accessed (code and data).
    pub const ACCESSED: u16 = 1 << 0;
    /// Writable data, readable code.
    pub const WRITABLE: u16 = 1 << 1;
    /// Expand-down data, conforming code.
    pub const DOWN: u16 = 1 << 2;
    /// Code.
    pub const CODE: u16 = 1 << 3;
    /// Code or data (S).
    pub const MEMORY: u16 = 1 << 4;
    /// Present.
    pub const PRESENT: u16 = 1 << 7;
    /// 64-bit code (L).
    pub const LONG: u16 = 1 << 13;
    /// Default size (D/B).
    pub const BIG: u16 = 1 << 14;
    /// Limit in pages (G).
    pub const PAGES: u16 = 1 << 15;

    /// Whether all of `bits` are set.
    #[inline]
    pub const fn has(self, bits: u16) -> bool {
        self.0 & bits == bits
    }

    /// Descriptor privilege level.
    pub const fn dpl(self) -> u8 {
        (self.0 >> 5 & 3) as u8
    }

    /// The low four type bits.
    pub const fn kind(self) -> u8 {
        (self.0 & 15) as u8
    }

    /// A code segment.
    pub const fn is_code(self) -> bool {
        self.has(Self::MEMORY | Self::CODE)
    }

    /// A data segment.
    pub const fn is_data(self) -> bool {
        self.0 & (Self::MEMORY | Self::CODE) == Self::MEMORY
    }

    /// Reads are allowed: data, or readable code.
    pub const fn readable(self) -> bool {
        self.is_data() || self.has(Self::MEMORY | Self::WRITABLE)
    }

    /// Writes are allowed.
    pub const fn writable(self) -> bool {
        self.is_data() && self.has(Self::WRITABLE)
    }
}

/// A segment register: the visible selector and what was loaded with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// Access rights; a null segment is not present.
    pub rights: Rights,
    /// Last valid offset, in bytes whatever the granularity (for expand-down: the last invalid one).
    pub limit: u32,
    /// Linear address of offset zero.
    pub base: u64,
}

impl Segment {
    /// Whether `len` bytes at `offset` lie within the limit.
    #[inline]
    pub fn covers(&self, offset: u64, len: u64) -> bool {
        let last = offset.wrapping_add(len - 1);
        let limit = u64::from(self.limit);
        let outside = if self.rights.is_data() && self.rights.has(Rights::DOWN) {
            let top = if self.rights.has(Rights::BIG) { 0xffff_ffff } else { 0xffff };
            offset <= limit || last > top
        } else {
            last > limit
        };
        !outside && last >= offset
    }

    /// What loading `selector` in real-address or virtual-8086 mode leaves: base and selector change, the rest stays.
    #[must_use]
    pub fn real(self, selector: u16) -> Self {
        Self { selector, base: u64::from(selector) << 4, ..self }
    }
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRegister {
    /// Linear address of the table.
    pub base: u64,
    /// Last valid byte offset.
    pub limit: u16,
}
