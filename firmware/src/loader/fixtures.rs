//! Small kernels of every kind, and machines to put them on.

use crate::memory_map::{MemoryMap, RamLayout};

use super::BootRequest;
use super::fields::put;

/// The memory map of a machine with so many MiB of RAM.
pub(super) fn memory(mib: u64) -> MemoryMap {
    MemoryMap::for_direct_boot(&RamLayout::for_size(mib << 20), 0)
}

/// A request without modules.
pub(super) fn request<'a>(kernel: &'a [u8], memory: &'a MemoryMap) -> BootRequest<'a> {
    BootRequest {
        kernel,
        kernel_name: "vmlinuz",
        modules: &[],
        command_line: "console=ttyS0",
        memory,
        rsdp: 0xf_0000,
        text_screen: true,
    }
}

/// A bzImage of protocol 2.15 with a 64-bit entry: one setup sector, 4 KiB of payload, 8 MiB of `init_size` at 16 MiB.
pub(super) fn bzimage() -> Vec<u8> {
    let mut image = vec![0x90; 1024 + 4096];
    image[0x1f1..0x290].fill(0);
    let fields: [(usize, &[u8]); 14] = [
        (0x1f1, &[1]),
        (0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]),
        (0x202, b"HdrS"),
        (0x206, &[0x0f, 0x02]),
        (0x211, &[1]),
        (0x214, &0x10_0000_u32.to_le_bytes()),
        (0x22c, &0x7fff_ffff_u32.to_le_bytes()),
        (0x230, &0x20_0000_u32.to_le_bytes()),
        (0x234, &[1, 21]),
        (0x236, &[0x3f]),
        (0x238, &2047_u32.to_le_bytes()),
        (0x258, &0x100_0000_u64.to_le_bytes()),
        (0x260, &0x80_0000_u32.to_le_bytes()),
        (0x1f4, &0x100_u32.to_le_bytes()),
    ];
    for (at, bytes) in fields {
        put(&mut image, at, bytes);
    }
    image
}

/// A PT_NOTE's content with a PVH entry point behind an unrelated note.
pub(super) fn pvh_note(entry: u32) -> Vec<u8> {
    let mut notes = Vec::new();
    for word in [4_u32, 1, 7] {
        notes.extend_from_slice(&word.to_le_bytes());
    }
    notes.extend_from_slice(b"GNU\0\x01\0\0\0");
    for word in [4_u32, 4, 18] {
        notes.extend_from_slice(&word.to_le_bytes());
    }
    notes.extend_from_slice(b"Xen\0");
    notes.extend_from_slice(&entry.to_le_bytes());
    notes
}

/// A Multiboot header with its checksum.
pub(super) fn multiboot_header(flags: u32) -> Vec<u8> {
    let magic = 0x1bad_b002_u32;
    [magic, flags, 0_u32.wrapping_sub(magic).wrapping_sub(flags)].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// An ELF file linked at 0xc0200000, loaded at 0x200000, whose PT_NOTE (and the start of whose text) is `notes`.
pub(super) fn elf(wide: bool, machine: u16, notes: &[u8]) -> Vec<u8> {
    let (header, entry) = if wide { (64_usize, 56_usize) } else { (52, 32) };
    let data_at = (header + 2 * entry) as u64;
    let data_size = notes.len() as u64 + 16;
    let mut file = b"\x7fELF".to_vec();
    file.extend_from_slice(&[if wide { 2 } else { 1 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let word = |value: u64| if wide { value.to_le_bytes().to_vec() } else { (value as u32).to_le_bytes().to_vec() };
    let half = |value: u16| value.to_le_bytes().to_vec();
    file.extend([half(2), half(machine), 1_u32.to_le_bytes().to_vec()].concat());
    file.extend([word(0xc020_0000), word(header as u64), word(0), 0_u32.to_le_bytes().to_vec()].concat());
    file.extend([header as u16, entry as u16, 2, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    for (kind, virt, phys, memory) in [(1_u32, 0xc020_0000, 0x20_0000, data_size + 0x1000), (4, 0, 0, data_size)] {
        let size = if kind == 4 { notes.len() as u64 } else { data_size };
        file.extend_from_slice(&kind.to_le_bytes());
        if wide {
            file.extend_from_slice(&5_u32.to_le_bytes());
        }
        file.extend([word(data_at), word(virt), word(phys), word(size), word(memory)].concat());
        if !wide {
            file.extend_from_slice(&5_u32.to_le_bytes());
        }
        file.extend(word(4));
    }
    file.extend_from_slice(notes);
    file.extend_from_slice(&[0x90; 16]);
    file
}

/// A raw Multiboot image: 0x80 bytes from 1 MiB with a page of bss.
pub(super) fn raw_multiboot() -> Vec<u8> {
    let mut image = multiboot_header(1 << 16);
    for word in [0x10_0000_u32, 0x10_0000, 0x10_0080, 0x10_1000, 0x10_0010] {
        image.extend_from_slice(&word.to_le_bytes());
    }
    image.resize(0x80, 0x90);
    image
}
