//! Resource descriptors (ACPI 6.5, section 6.4): which ports, memory and interrupts a device uses.

use crate::layout::Layout;

use super::aml::{Aml, buffer};

/// Tags of the descriptors.
const IRQ_NO_FLAGS: u8 = 0x22;
const IO_PORT: u8 = 0x47;
const END_TAG: [u8; 2] = [0x79, 0];
const MEMORY32_FIXED: u8 = 0x86;
const DWORD_SPACE: u8 = 0x87;
const WORD_SPACE: u8 = 0x88;
const EXTENDED_INTERRUPT: u8 = 0x89;
const QWORD_SPACE: u8 = 0x8a;

/// Address space descriptors: the device passes the range on, and both its ends are fixed.
const FIXED_ENDS: u8 = 1 << 2 | 1 << 3;
/// I/O windows: the whole range, not only ISA addresses.
const ENTIRE_RANGE: u8 = 3;
/// Memory windows: writable, and cacheable or not.
const READ_WRITE: u8 = 1 << 0;
const CACHEABLE: u8 = 1 << 1;

/// What an address window is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Memory,
    Io,
    Bus,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `count` I/O ports from a fixed one.
    Io {
        /// First port.
        port: u16,
        /// How many.
        count: u8,
    },
    /// One edge triggered ISA interrupt.
    Irq(u8),
    /// Level triggered, active high, shared interrupts to choose from.
    SharedInterrupts(Vec<u8>),
    /// Memory at a fixed place.
    Memory32 {
        /// Whether it can be written.
        writable: bool,
        /// First address.
        base: u32,
        /// Bytes.
        length: u32,
    },
    /// Bus numbers behind a bridge, both ends included.
    BusWindow(u16, u16),
    /// I/O ports behind a bridge, both ends included.
    IoWindow(u16, u16),
    /// 32-bit memory behind a bridge, both ends included.
    MemoryWindow {
        /// Whether the processor may cache it.
        cacheable: bool,
        /// First address.
        first: u32,
        /// Last address.
        last: u32,
    },
    /// 64-bit memory behind a bridge, both ends included.
    MemoryWindow64(u64, u64),
}

impl Resource {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Layout::default();
        match *self {
            Self::Io { port, count } => {
                const DECODE16: u8 = 1;
                bytes.u8(IO_PORT).u8(DECODE16).u16(port).u16(port).u8(1).u8(count);
            }
            Self::Irq(number) => {
                bytes.u8(IRQ_NO_FLAGS).u16(1_u16.checked_shl(u32::from(number)).unwrap_or(0));
            }
            Self::SharedInterrupts(ref numbers) => {
                const CONSUMER: u8 = 1 << 0;
                const SHARED: u8 = 1 << 3;
                bytes.u8(EXTENDED_INTERRUPT).u16(2 + 4 * numbers.len() as u16);
                bytes.u8(CONSUMER | SHARED).u8(numbers.len() as u8);
                numbers.iter().for_each(|number| {
                    bytes.u32(u32::from(*number));
                });
            }
            Self::Memory32 { writable, base, length } => {
                bytes.u8(MEMORY32_FIXED).u16(9).u8(u8::from(writable)).u32(base).u32(length);
            }
            Self::BusWindow(first, last) => word_window(&mut bytes, Space::Bus, 0, first, last),
            Self::IoWindow(first, last) => word_window(&mut bytes, Space::Io, ENTIRE_RANGE, first, last),
            Self::MemoryWindow { cacheable, first, last } => {
                bytes.u8(DWORD_SPACE).u16(23).u8(Space::Memory as u8).u8(FIXED_ENDS);
                bytes.u8(READ_WRITE | if cacheable { CACHEABLE } else { 0 });
                let length = last.wrapping_sub(first).wrapping_add(1);
                bytes.u32(0).u32(first).u32(last).u32(0).u32(length);
            }
            Self::MemoryWindow64(first, last) => {
                bytes.u8(QWORD_SPACE).u16(43).u8(Space::Memory as u8).u8(FIXED_ENDS).u8(READ_WRITE | CACHEABLE);
                let length = last.wrapping_sub(first).wrapping_add(1);
                bytes.u64(0).u64(first).u64(last).u64(0).u64(length);
            }
        }
        bytes.0
    }
}

fn word_window(bytes: &mut Layout, space: Space, flags: u8, first: u16, last: u16) {
    bytes.u8(WORD_SPACE).u16(13).u8(space as u8).u8(FIXED_ENDS).u8(flags);
    bytes.u16(0).u16(first).u16(last).u16(0).u16(last.wrapping_sub(first).wrapping_add(1));
}

/// `ResourceTemplate () { ... }`.
#[must_use]
pub fn resource_template(resources: &[Resource]) -> Aml {
    let mut bytes: Vec<u8> = resources.iter().flat_map(Resource::encode).collect();
    bytes.extend_from_slice(&END_TAG);
    buffer(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_large_descriptor_is_as_long_as_it_says() {
        let all = [
            Resource::SharedInterrupts(vec![5, 10, 11]),
            Resource::Memory32 { writable: false, base: 1, length: 2 },
            Resource::BusWindow(0, 255),
            Resource::IoWindow(0xd00, 0xffff),
            Resource::MemoryWindow { cacheable: true, first: 0xa_0000, last: 0xb_ffff },
            Resource::MemoryWindow64(1 << 32, (2 << 32) - 1),
        ];
        for resource in all {
            let bytes = resource.encode();
            assert_eq!(usize::from(u16::from_le_bytes([bytes[1], bytes[2]])), bytes.len() - 3, "{resource:?}");
        }
        assert_eq!(Resource::Io { port: 0x3f8, count: 8 }.encode(), [0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8]);
        assert_eq!(Resource::Irq(4).encode(), [0x22, 0x10, 0]);
    }
}
