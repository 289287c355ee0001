//! An expansion ROM by which foreign firmware starts a kernel of the user's: firmware finds it as fw_cfg file, runs its
//! initialization (there is nothing to do) and calls its bootstrap entry, which has the fw_cfg device copy the kernel's pieces into
//! RAM and enters it.
//!
//! Sources: BIOS Boot Specification 1.01, 3.3 (bootstrap entry vector); Plug and Play BIOS 1.0A, 3.2 (expansion header);
//! QEMU's docs/specs/fw_cfg (DMA).
//!
//! Everything that the code has to know is put into the image, so there is one image for each kernel.

use iced_x86::IcedError;
use iced_x86::code_asm::*;

use crate::layout::{Layout, checksum};
use crate::loader::EntryState;
use crate::rom::RomError;

/// fw_cfg's DMA address register: upper and lower half, big-endian.
const DMA_HIGH: u32 = 0x514;
const DMA_LOW: u32 = 0x518;
/// A DMA descriptor's control word: the low half says what, the high half selects an item.
const DMA_ERROR: u32 = 1 << 0;
const DMA_READ: u32 = 1 << 1;
const DMA_SELECT: u32 = 1 << 3;

const BLOCK: usize = 512;
const PNP_POINTER: usize = 0x1a;
const PNP: usize = 0x20;
const PNP_UNITS: u8 = 2;
const NAME: usize = 0x40;
const NAME_MAX: usize = 0x20;
/// LGDT's operand.
const GDTR: usize = 0x60;
const CODE: usize = 0x68;
const CODE_END: usize = 0x180;
/// The protected-mode code.
const FLAT: usize = CODE_END;
const FLAT_END: usize = 0x1c0;
const MESSAGE: usize = FLAT_END;
/// The table of what to load, to the image's end.
const TABLE: usize = BLOCK;
const ROW: usize = 16;
const FAILED: &[u8] = b"The kernel could not be loaded.\r\n\0";
const SMAP: u32 = u32::from_be_bytes(*b"SMAP");
const CR0_PE: u32 = 1;

/// A piece of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The fw_cfg item that holds it.
    pub item: u16,
    /// Where it goes.
    pub address: u64,
    /// How long it is; what the item does not have is zeroes.
    pub length: u32,
}

/// How the kernel is entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// In real mode, with all data segments at this one and the code segment 200h bytes above (Linux's setup code).
    Real {
        /// The segment.
        segment: u16,
        /// The stack pointer in it.
        stack: u16,
    },
    /// In flat protected mode.
    Protected {
        /// The registers: those that 32-bit entries use.
        state: Box<EntryState>,
        /// What firmware says of RAM goes here first.
        map: MapPlace,
    },
}

/// Where the kernel looks for the map of RAM: in lines of 24 bytes, 20 of which are INT 15h E820h's. All below 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPlace {
    /// Where the lines begin.
    pub address: u32,
    /// How many there can be.
    pub room: u16,
    /// Where a dword says how much of it is used.
    pub count_at: u32,
    /// What the lines look like.
    pub form: MapForm,
}

/// Forms of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapForm {
    /// Multiboot: each line begins with a dword, the length of what follows; the count is in bytes.
    Multiboot,
    /// PVH: each line ends in a dword of zeroes; the count is in lines.
    Pvh,
}

const LINE: u32 = 24;
const E820_LEN: u32 = 20;

impl MapForm {
    /// Where in a line E820's part is, where its own dword is from there, and what that says.
    fn line(self) -> (u32, i32, u32) {
        match self {
            Self::Multiboot => (4, -4, E820_LEN),
            Self::Pvh => (0, E820_LEN as i32, 0),
        }
    }
}

/// Assembles the image. `name` is what firmware calls it in its boot menu, at most 31 bytes.
///
/// # Errors
/// Never with the code as it stands; the tests build it. The table can be too long: some 2,000 pieces fit.
pub fn image(name: &str, loads: &[Load], start: &Start) -> Result<Vec<u8>, RomError> {
    let rows: Vec<u8> = loads.iter().filter(|load| load.length > 0).flat_map(row).chain([0; ROW]).collect();
    let size = (TABLE + rows.len() + 1).next_multiple_of(BLOCK);
    let blocks = u8::try_from(size / BLOCK);
    let blocks = blocks.map_err(|_| RomError::TooLarge { part: "list of pieces", size, room: 255 * BLOCK })?;
    let mut rom = vec![0; size];
    // Initialization returns at once.
    place(&mut rom, 0..PNP_POINTER, "header", &[0x55, 0xaa, blocks, 0xcb])?;
    place(&mut rom, PNP_POINTER..PNP, "pointer", &(PNP as u16).to_le_bytes())?;
    place(&mut rom, PNP..NAME, "expansion header", &expansion_header())?;
    let name = name.as_bytes();
    place(&mut rom, NAME..GDTR, "name", &name[..name.len().min(NAME_MAX - 1)])?;
    if let Start::Protected { state, .. } = start {
        let gdtr = [&state.gdtr.limit.to_le_bytes()[..], &(state.gdtr.base as u32).to_le_bytes()].concat();
        place(&mut rom, GDTR..CODE, "descriptor table", &gdtr)?;
        place(&mut rom, FLAT..FLAT_END, "protected-mode code", &flat(state)?)?;
    }
    place(&mut rom, CODE..CODE_END, "bootstrap code", &bootstrap(start)?)?;
    place(&mut rom, MESSAGE..TABLE, "message", FAILED)?;
    place(&mut rom, TABLE..size, "list of pieces", &rows)?;
    let sum = checksum(&rom);
    if let Some(last) = rom.last_mut() {
        *last = sum;
    }
    Ok(rom)
}

fn place(rom: &mut [u8], at: std::ops::Range<usize>, part: &'static str, bytes: &[u8]) -> Result<(), RomError> {
    let room = at.len();
    let place = rom.get_mut(at).and_then(|place| place.get_mut(..bytes.len()));
    place.ok_or(RomError::TooLarge { part, size: bytes.len(), room })?.copy_from_slice(bytes);
    Ok(())
}

/// A DMA descriptor.
fn row(load: &Load) -> [u8; ROW] {
    let mut row = [0; ROW];
    row[..4].copy_from_slice(&(u32::from(load.item) << 16 | DMA_SELECT | DMA_READ).to_be_bytes());
    row[4..8].copy_from_slice(&load.length.to_be_bytes());
    row[8..].copy_from_slice(&load.address.to_be_bytes());
    row
}

/// The Plug and Play expansion header of a ROM with a bootstrap entry.
fn expansion_header() -> Vec<u8> {
    const REVISION: u8 = 1;
    const CHECKSUM_AT: usize = 9;
    let mut header = Layout::default();
    header.bytes(b"$PnP").u8(REVISION).u8(PNP_UNITS).u16(0).u8(0).u8(0).u32(0);
    // No maker's name; the product's; no class.
    header.u16(0).u16(NAME as u16).bytes(&[0; 4]);
    // No boot connection vector, no disconnect vector, the bootstrap entry vector.
    header.u16(0).u16(0).u16(CODE as u16).u16(0).u16(0);
    header.0[CHECKSUM_AT] = checksum(&header.0);
    header.0
}

fn bootstrap(start: &Start) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    let [mut next, mut wait, mut loaded, mut failed, mut say, mut said, mut done] =
        std::array::from_fn(|_| a.create_label());
    a.cld()?;
    a.mov(ax, cs)?;
    a.mov(ds, ax)?;
    a.mov(si, TABLE as u32)?;
    a.set_label(&mut next)?;
    a.cmp(dword_ptr(si), 0_u32)?;
    a.je(loaded)?;
    // The ROM cannot be written, so the descriptor that the device works on is on the stack.
    for field in [12_i32, 8, 4, 0] {
        a.push(dword_ptr(si + field))?;
    }
    a.xor(eax, eax)?;
    a.mov(ax, ss)?;
    a.shl(eax, 4_u32)?;
    a.movzx(ecx, sp)?;
    a.add(eax, ecx)?;
    a.bswap(eax)?;
    a.mov(ecx, eax)?;
    a.xor(eax, eax)?;
    a.mov(dx, DMA_HIGH)?;
    a.out(dx, eax)?;
    a.mov(eax, ecx)?;
    a.mov(dx, DMA_LOW)?;
    a.out(dx, eax)?;
    a.mov(bp, sp)?;
    a.set_label(&mut wait)?;
    a.mov(eax, dword_ptr(bp))?;
    a.test(eax, eax)?;
    a.jz(done)?;
    a.test(eax, DMA_ERROR.swap_bytes())?;
    a.jnz(failed)?;
    a.jmp(wait)?;
    a.set_label(&mut done)?;
    a.add(sp, ROW as u32)?;
    a.add(si, ROW as u32)?;
    a.jmp(next)?;

    a.set_label(&mut failed)?;
    a.mov(si, MESSAGE as u32)?;
    a.set_label(&mut say)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.jz(said)?;
    a.mov(ah, 0x0e_u32)?;
    a.mov(bx, 7_u32)?;
    a.int(0x10)?;
    a.jmp(say)?;
    a.set_label(&mut said)?;
    // On to the next thing to boot.
    a.int(0x18)?;

    a.set_label(&mut loaded)?;
    match start {
        Start::Real { segment, stack } => enter_real(&mut a, *segment, *stack)?,
        Start::Protected { map, .. } => {
            ask_for_map(&mut a, map)?;
            enter_protected(&mut a)?;
        }
    }
    a.assemble(CODE as u64)
}

fn enter_real(a: &mut CodeAssembler, segment: u16, stack: u16) -> Result<(), IcedError> {
    const SETUP: u16 = 0x20;
    a.cli()?;
    a.mov(ax, u32::from(segment))?;
    for register in [ds, es, fs, gs, ss] {
        a.mov(register, ax)?;
    }
    a.mov(sp, u32::from(stack))?;
    a.mov(ax, u32::from(segment.wrapping_add(SETUP)))?;
    a.push(ax)?;
    a.xor(eax, eax)?;
    a.push(ax)?;
    for register in [ebx, ecx, edx, esi, edi, ebp] {
        a.mov(register, eax)?;
    }
    a.retf()
}

/// Asks firmware for its map by INT 15h E820h.
fn ask_for_map(a: &mut CodeAssembler, map: &MapPlace) -> Result<(), IcedError> {
    const E820: u32 = 0xe820;
    const SYSTEM: u32 = 0x15;
    let [mut again, mut end] = std::array::from_fn(|_| a.create_label());
    let (part_at, own_at, own) = map.form.line();
    a.mov(ax, map.address >> 4)?;
    a.mov(es, ax)?;
    a.mov(di, (map.address & 0xf) + part_at)?;
    a.xor(ebx, ebx)?;
    a.xor(ebp, ebp)?;
    a.set_label(&mut again)?;
    a.mov(eax, E820)?;
    a.mov(edx, SMAP)?;
    a.mov(ecx, E820_LEN)?;
    a.int(SYSTEM as i32)?;
    a.jc(end)?;
    a.cmp(eax, SMAP)?;
    a.jne(end)?;
    a.mov(dword_ptr(di + own_at).es(), own)?;
    a.add(di, LINE)?;
    a.inc(bp)?;
    a.cmp(bp, u32::from(map.room))?;
    a.jae(end)?;
    a.test(ebx, ebx)?;
    a.jnz(again)?;
    a.set_label(&mut end)?;
    a.mov(ax, map.count_at >> 4)?;
    a.mov(es, ax)?;
    if map.form == MapForm::Multiboot {
        a.imul_3(ebp, ebp, LINE)?;
    }
    a.mov(di, map.count_at & 0xf)?;
    a.mov(dword_ptr(di).es(), ebp)
}

fn enter_protected(a: &mut CodeAssembler) -> Result<(), IcedError> {
    const CODE_SELECTOR: u32 = 0x10;
    a.cli()?;
    a.xor(ecx, ecx)?;
    a.mov(cx, cs)?;
    a.shl(ecx, 4_u32)?;
    a.add(ecx, FLAT as u32)?;
    a.lgdt(fword_ptr(GDTR as u32).cs())?;
    a.mov(eax, cr0)?;
    a.or(eax, CR0_PE)?;
    a.mov(cr0, eax)?;
    a.mov(edx, CODE_SELECTOR)?;
    a.push(edx)?;
    a.push(ecx)?;
    // RETF with 32-bit operands, which a 16-bit assembler does not choose by itself.
    a.db(&[0x66, 0xcb])
}

/// From the far jump to the kernel; runs wherever the ROM is.
fn flat(state: &EntryState) -> Result<Vec<u8>, IcedError> {
    const RAX: usize = 0;
    const RBX: usize = 3;
    const DATA_SELECTOR: u32 = 0x18;
    let mut a = CodeAssembler::new(32)?;
    a.mov(ax, DATA_SELECTOR)?;
    for register in [ds, es, fs, gs, ss] {
        a.mov(register, ax)?;
    }
    a.mov(eax, state.gprs[RAX] as u32)?;
    a.mov(ebx, state.gprs[RBX] as u32)?;
    a.mov(ecx, state.rip as u32)?;
    a.jmp(ecx)?;
    a.assemble(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::entry_for_tests;
    use iced_x86::{Decoder, DecoderOptions, FlowControl};

    fn load(address: u64) -> Load {
        Load { item: 0x8100, address, length: 0x1234 }
    }

    fn starts() -> [Start; 3] {
        let map = MapPlace { address: 0x1_0120, room: 64, count_at: 0x1_0030, form: MapForm::Multiboot };
        let state = Box::new(entry_for_tests());
        [
            Start::Real { segment: 0x1000, stack: 0xfff0 },
            Start::Protected { state: state.clone(), map },
            Start::Protected { state, map: MapPlace { form: MapForm::Pvh, ..map } },
        ]
    }

    #[test]
    fn the_image_is_an_expansion_rom_with_a_bootstrap_entry() {
        for start in starts() {
            let rom = image("a kernel", &[load(0x10_0000)], &start).unwrap();
            assert_eq!((rom[0], rom[1], usize::from(rom[2]) * 512, checksum(&rom)), (0x55, 0xaa, rom.len(), 0));
            let pnp = usize::from(u16::from_le_bytes([rom[0x1a], rom[0x1b]]));
            assert_eq!(&rom[pnp..pnp + 4], b"$PnP");
            assert_eq!(checksum(&rom[pnp..pnp + 16 * usize::from(rom[pnp + 5])]), 0);
            let word = |at: usize| usize::from(u16::from_le_bytes([rom[pnp + at], rom[pnp + at + 1]]));
            assert!(rom[word(0x10)..].starts_with(b"a kernel\0"));
            assert_eq!((word(0x16), word(0x1a)), (0, CODE));
        }
    }

    #[test]
    fn all_code_decodes() {
        for start in starts() {
            let code = bootstrap(&start).unwrap();
            assert!(code.len() <= CODE_END - CODE, "{}", code.len());
            let decoder = Decoder::with_ip(16, &code, CODE as u64, DecoderOptions::NONE);
            let all: Vec<_> = decoder.into_iter().collect();
            assert!(all.iter().all(|i| !i.is_invalid()));
            assert_eq!(all.last().map(iced_x86::Instruction::flow_control), Some(FlowControl::Return));
            for jump in all.iter().filter(|i| i.is_jcc_short_or_near() || i.is_jmp_short_or_near()) {
                assert!(all.iter().any(|i| i.ip() == jump.near_branch_target()));
            }
        }
    }

    #[test]
    fn pieces_are_descriptors_and_a_zero_ends_them() {
        let empty = Load { length: 0, ..load(5) };
        let rom = image("", &[load(0x1_2345_6789), empty], &starts()[0]).unwrap();
        let expected = [0x81, 0, 0, 0x0a, 0, 0, 0x12, 0x34, 0, 0, 0, 1, 0x23, 0x45, 0x67, 0x89, 0, 0, 0, 0];
        assert_eq!(rom[TABLE..TABLE + 20], expected);
    }

    #[test]
    fn too_many_pieces_are_refused() {
        let many = vec![load(0); 10_000];
        assert!(matches!(image("", &many, &starts()[0]), Err(RomError::TooLarge { .. })));
    }
}
