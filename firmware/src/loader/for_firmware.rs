//! Kernels that foreign firmware starts: what it finds in fw_cfg, and the ROM that it boots.
//!
//! A bzImage is handed over by the numbered items that firmware made for QEMU knows, so that such firmware may also start it by
//! itself (qboot does). Other kernels are handed over piece by piece, in items of our own.

use crate::boot_rom::{self, Load, MapForm, MapPlace, Start};
use crate::memory_map::{MemoryMap, RamLayout};
use crate::rom::RomError;

use super::bzimage::{self, FirmwareLayout};
use super::error::LoadError;
use super::{BootPlan, BootRequest, KernelKind, detect, multiboot, pvh};

/// fw_cfg's numbered items of a kernel.
mod item {
    pub(super) const KERNEL_ADDR: u16 = 0x07;
    pub(super) const KERNEL_SIZE: u16 = 0x08;
    pub(super) const INITRD_ADDR: u16 = 0x0a;
    pub(super) const INITRD_SIZE: u16 = 0x0b;
    pub(super) const KERNEL_DATA: u16 = 0x11;
    pub(super) const INITRD_DATA: u16 = 0x12;
    pub(super) const CMDLINE_ADDR: u16 = 0x13;
    pub(super) const CMDLINE_SIZE: u16 = 0x14;
    pub(super) const CMDLINE_DATA: u16 = 0x15;
    pub(super) const SETUP_ADDR: u16 = 0x16;
    pub(super) const SETUP_SIZE: u16 = 0x17;
    pub(super) const SETUP_DATA: u16 = 0x18;
    /// Items of our own, among those of the architecture.
    pub(super) const FIRST_PIECE: u16 = 0x8100;
    pub(super) const MOST_PIECES: usize = 0x1000;
}

/// What the board offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForFirmware {
    /// Items by their numbers.
    pub items: Vec<(u16, Vec<u8>)>,
    /// The ROM that boots the kernel.
    pub rom: Vec<u8>,
}

/// Why a kernel cannot be handed to firmware.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// The kernel is not as it must be.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The ROM cannot be built.
    #[error(transparent)]
    Rom(#[from] RomError),
}

/// Hands over the kernel of `request`, whose memory map and RSDP do not count: firmware makes its own.
///
/// # Errors
/// Says what is wrong with the kernel, or what does not fit into RAM.
pub fn hand_over(request: &BootRequest<'_>, ram: &RamLayout) -> Result<ForFirmware, HandOverError> {
    let memory = MemoryMap::beside_firmware(ram);
    let request = BootRequest { memory: &memory, rsdp: 0, ..*request };
    match detect(request.kernel)? {
        KernelKind::BzImage => linux(&bzimage::plan_for_firmware(&request)?),
        KernelKind::Pvh => pieces(&pvh::plan(&request)?),
        KernelKind::Multiboot => pieces(&multiboot::plan(&request)?),
    }
}

fn linux(layout: &FirmwareLayout) -> Result<ForFirmware, HandOverError> {
    let mut items = Vec::new();
    let mut loads = Vec::new();
    for (numbers, address, bytes) in [
        ((item::SETUP_ADDR, item::SETUP_SIZE, item::SETUP_DATA), bzimage::REAL_MODE_AT, &layout.setup),
        ((item::CMDLINE_ADDR, item::CMDLINE_SIZE, item::CMDLINE_DATA), bzimage::COMMAND_LINE_AT, &layout.command_line),
        ((item::KERNEL_ADDR, item::KERNEL_SIZE, item::KERNEL_DATA), layout.kernel_at, &layout.kernel),
        ((item::INITRD_ADDR, item::INITRD_SIZE, item::INITRD_DATA), layout.initrd_at, &layout.initrd),
    ] {
        let length = bytes.len() as u32;
        items.push((numbers.0, (address as u32).to_le_bytes().to_vec()));
        items.push((numbers.1, length.to_le_bytes().to_vec()));
        items.push((numbers.2, bytes.clone()));
        loads.push(Load { item: numbers.2, address, length });
    }
    let segment = (bzimage::REAL_MODE_AT >> 4) as u16;
    let rom = boot_rom::image("Linux kernel", &loads, &Start::Real { segment, stack: bzimage::REAL_MODE_STACK })?;
    Ok(ForFirmware { items, rom })
}

/// A kernel with a protected-mode entry.
fn pieces(plan: &BootPlan<'_>) -> Result<ForFirmware, HandOverError> {
    /// Offsets in `hvm_start_info` and in the Multiboot information: the map's address, and how much of it there is.
    const PVH_MAP: (u64, u64) = (40, 48);
    const MULTIBOOT_MAP: (u64, u64) = (48, 44);
    const RBX: usize = 3;
    let count = plan.segments.len();
    if count > item::MOST_PIECES {
        return Err(LoadError::TooManyModules { count }.into());
    }
    let (mut items, mut loads) = (Vec::new(), Vec::new());
    for (number, segment) in (item::FIRST_PIECE..).zip(&plan.segments) {
        // An ELF segment's end lies below 4 GiB, since the arena does.
        let length = (segment.end() - segment.address) as u32;
        loads.push(Load { item: number, address: segment.address, length });
        items.push((number, segment.bytes.to_vec()));
    }
    let info = plan.entry.gprs[RBX];
    let ((map_at, count_at), form, name) = match plan.kind {
        KernelKind::Pvh => (PVH_MAP, MapForm::Pvh, "PVH kernel"),
        KernelKind::Multiboot | KernelKind::BzImage => (MULTIBOOT_MAP, MapForm::Multiboot, "Multiboot kernel"),
    };
    let block = plan.segments.iter().find(|segment| segment.address == info).map_or(&[][..], |segment| &segment.bytes);
    let address = super::fields::u32_at(block, map_at as usize);
    let room = MemoryMap::FIRMWARE_LINES as u16;
    let map = MapPlace { address, room, count_at: (info + count_at) as u32, form };
    let start = Start::Protected { state: Box::new(plan.entry.clone()), map };
    Ok(ForFirmware { items, rom: boot_rom::image(name, &loads, &start)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::Module;
    use crate::loader::fields::u32_at;
    use crate::loader::fixtures::{bzimage, elf, memory, multiboot_header, pvh_note, request};

    fn handed(kernel: &[u8], modules: &[Module<'_>], mib: u64) -> Result<ForFirmware, HandOverError> {
        let unused = memory(16);
        hand_over(&BootRequest { modules, ..request(kernel, &unused) }, &RamLayout::for_size(mib << 20))
    }

    fn item(of: &ForFirmware, number: u16) -> &[u8] {
        &of.items.iter().find(|(n, _)| *n == number).expect("the item").1
    }

    #[test]
    fn a_bzimage_is_split_and_its_header_completed() {
        let initrd = [Module { bytes: &[7; 5000], command_line: "" }];
        let done = handed(&bzimage(), &initrd, 128).unwrap();
        let setup = item(&done, 0x18);
        assert_eq!((setup.len(), item(&done, 0x11).len()), (1024, 4096));
        assert_eq!(item(&done, 0x15), b"console=ttyS0\0");
        assert_eq!(u32_at(item(&done, 0x07), 0), 0x10_0000);
        let (at, size) = (u32_at(item(&done, 0x0a), 0), u32_at(item(&done, 0x0b), 0));
        assert_eq!((u32_at(setup, 0x218), u32_at(setup, 0x21c)), (at, size));
        assert_eq!((at % 4096, size), (0, 5000));
        assert!(at + size <= (127 << 20), "firmware keeps the end of RAM for itself");
        assert_eq!((u32_at(setup, 0x228), setup[0x211] & 0x80), (0x2_0000, 0x80));
        assert_eq!(setup[0x224..0x226], [0, 0xfe]);
    }

    #[test]
    fn the_video_mode_of_the_command_line_is_the_setup_codes() {
        let kernel = bzimage();
        let unused = memory(16);
        let mode = |line: &str| {
            let asked = BootRequest { command_line: line, ..request(&kernel, &unused) };
            let done = hand_over(&asked, &RamLayout::for_size(128 << 20)).unwrap();
            let setup = item(&done, 0x18);
            u16::from_le_bytes([setup[0x1fa], setup[0x1fb]])
        };
        assert_eq!([mode("a vga=0x317 b"), mode("vga=ask"), mode("vga=ext")], [0x317, 0xfffd, 0xfffe]);
        assert_eq!([mode("novga=1"), mode("vga=normal")], [0, 0xffff], "the file has no mode");
    }

    #[test]
    fn other_kernels_come_in_pieces_with_room_for_the_map() {
        for (kernel, form) in [
            (elf(false, 3, &multiboot_header(3)), MapForm::Multiboot),
            (elf(true, 62, &pvh_note(0x20_0010)), MapForm::Pvh),
        ] {
            let done = handed(&kernel, &[Module { bytes: &[1; 10], command_line: "m x" }], 64).unwrap();
            assert!(done.items.iter().any(|(_, bytes)| bytes[..] == [1; 10]), "{form:?}");
            assert!(done.items.iter().any(|(_, bytes)| bytes.len() == MemoryMap::FIRMWARE_LINES * 24), "{form:?}");
            assert!(done.items.iter().all(|(number, _)| *number >= 0x8100));
        }
    }

    #[test]
    fn what_does_not_fit_beside_firmware_is_named() {
        let big = vec![0; 120 << 20];
        let why = handed(&bzimage(), &[Module { bytes: &big, command_line: "" }], 128).unwrap_err();
        assert!(why.to_string().starts_with("no room for the initrd"), "{why}");
        assert!(handed(b"text", &[], 128).unwrap_err().to_string().starts_with("not a bzImage"));
    }
}
