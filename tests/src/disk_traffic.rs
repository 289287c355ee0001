//! A guest that reads and writes every kind of drive at random, without end: a boot sector under SeaBIOS, which reaches each drive
//! by its controller's own registers.

use crate::guest::{Guest, firmware};
use crate::program::scratch;
use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeAssembler, ah, al, ax, bl, bx, byte_ptr, cl, cx, dh, di, dl, ds, dword_ptr, dx, eax, ebp, es, si, sp, ss,
    word_ptr,
};
use std::path::PathBuf;

/// A kind of drive that `-device` adds.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// What `-device` calls it.
    pub name: &'static str,
    /// What `-drive` says of it beside its file.
    media: &'static str,
    /// The device that asks for its requests, and as which of that device's drives.
    pub asker: (&'static str, u8),
    /// Its number for INT 13h.
    number: u8,
    /// What the guest writes to its serial line when a request to it is done: nothing that the firmware says.
    pub letter: char,
    bytes: usize,
}

/// Every kind of drive.
pub const KINDS: [Kind; 4] = [
    Kind { name: "floppy", media: "", asker: ("fdc", 0), number: 0, letter: '%', bytes: 1_474_560 },
    Kind { name: "ide-hd", media: "", asker: ("piix3-ide", 0), number: 0x80, letter: '#', bytes: 2 << 20 },
    Kind { name: "virtio-blk-pci", media: "", asker: ("disk", 0), number: 0x81, letter: '@', bytes: 2 << 20 },
    Kind { name: "ide-cd", media: ",media=cdrom", asker: ("piix3-ide", 2), number: 0xe0, letter: '&', bytes: 1 << 20 },
];

/// What the guest writes to its serial line when a request failed.
pub const FAILED: char = '!';
/// What ends the run when it is typed. Anything else typed changes what the guest does next.
pub const QUIT: u8 = b'q';

const SECTOR: usize = 512;
const BOOT: u64 = 0x7c00;
/// The packet of the extended functions, and the buffer's segment.
const PACKET: u32 = 0x600;
const BUFFER_SEGMENT: u32 = 0x1000;
/// Numbers and letters of the drives, in the boot sector.
const TABLE: u32 = BOOT as u32 + 0x180;
const SERIAL: u32 = 0x3f8;
const LINE_STATUS: u32 = SERIAL + 5;
/// What ends the emulator.
const EXIT_PORT: u32 = 0x501;

/// Images of every kind of drive, and the arguments of a machine with all of them; what is written goes with the machine.
pub struct Drives {
    files: Vec<PathBuf>,
    /// The arguments, but for the serial port.
    pub arguments: Vec<String>,
}

impl Drives {
    /// Makes the images, under names of this test's own.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn new(name: &str) -> Self {
        let mut arguments = firmware("bios-256k.bin");
        arguments.extend(["-m", "16", "-device", "isa-debug-exit"].map(str::to_owned));
        let mut files = Vec::new();
        for (index, kind) in KINDS.iter().enumerate() {
            let mut bytes: Vec<u8> =
                (0..kind.bytes / 4).flat_map(|n| (n as u32).wrapping_mul(0x9e37).to_le_bytes()).collect();
            let boots = kind.number == 0x80;
            if boots {
                bytes[..SECTOR].copy_from_slice(&boot_sector());
            }
            let file = scratch(&format!("{name}-{}.raw", kind.name), &bytes);
            let drive = format!("file={},format=raw,if=none,id=d{index},snapshot=on{}", file.display(), kind.media);
            let place = match kind.name {
                "ide-hd" => ",bus=ide.0,bootindex=0",
                "ide-cd" => ",bus=ide.1",
                "virtio-blk-pci" => ",id=disk,bootindex=1",
                _ => "",
            };
            let device = format!("{},drive=d{index}{place}", kind.name);
            arguments.extend(["-drive", &drive, "-device", &device].map(str::to_owned));
            files.push(file);
        }
        Self { files, arguments }
    }
}

impl Drop for Drives {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// How many requests of a device's drive are in flight.
///
/// # Panics
/// If the guest has no such device, or cannot be saved.
pub fn in_flight(guest: &Guest, (device, drive): (&str, u8)) -> usize {
    let device = guest.board.machine.bus.find(device).expect("the device");
    let device = serde_json::to_value(device).expect("a number");
    let state = guest.board.machine.save_state().expect("a state");
    let requests = state["blocks"]["requests"].as_array().expect("requests");
    requests.iter().filter(|request| request["device"] == device && request["drive"] == drive).count()
}

fn boot_sector() -> [u8; SECTOR] {
    let mut assembler = CodeAssembler::new(16).expect("16-bit");
    work(&mut assembler).expect("instructions");
    let code = assembler.assemble(BOOT).expect("it assembles");
    let table = (TABLE - BOOT as u32) as usize;
    assert!(code.len() <= table, "{} bytes of code", code.len());
    let mut sector = [0; SECTOR];
    sector[..code.len()].copy_from_slice(&code);
    for (entry, kind) in sector[table..].chunks_exact_mut(2).zip(KINDS) {
        entry.copy_from_slice(&[kind.number, kind.letter as u8]);
    }
    sector[SECTOR - 2..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// EBP is the state of a generator of random numbers, into which goes what is typed and what is read.
fn work(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let [mut again, mut quiet, mut floppy, mut ask, mut done, mut say] = std::array::from_fn(|_| a.create_label());
    a.cli()?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, BOOT as u32)?;
    a.mov(ax, BUFFER_SEGMENT)?;
    a.mov(es, ax)?;
    a.sti()?;
    a.mov(ebp, 1)?;

    a.set_label(&mut again)?;
    a.mov(dx, LINE_STATUS)?;
    a.in_(al, dx)?;
    a.test(al, 1)?;
    a.jz(quiet)?;
    a.mov(dx, SERIAL)?;
    a.in_(al, dx)?;
    a.xor(ebp, eax)?;
    a.cmp(al, u32::from(QUIT))?;
    a.jne(quiet)?;
    a.mov(dx, EXIT_PORT)?;
    a.xor(ax, ax)?;
    a.out(dx, al)?;

    a.set_label(&mut quiet)?;
    a.imul_3(ebp, ebp, 1_664_525)?;
    a.add(ebp, 1_013_904_223)?;
    // What a write writes begins with the number.
    a.xor(di, di)?;
    a.mov(dword_ptr(di).es(), ebp)?;
    // BX: the drive's line in the table. EAX: more of the number.
    a.mov(eax, ebp)?;
    a.shr(eax, 30)?;
    a.mov(bx, ax)?;
    a.add(bx, bx)?;
    a.mov(dl, byte_ptr(bx + TABLE))?;
    a.mov(eax, ebp)?;
    a.shr(eax, 8)?;
    a.test(dl, dl)?;
    a.jz(floppy)?;

    // One to eight sectors into or out of the buffer. Those of a disk lie behind its first half MiB, those of a CD anywhere.
    a.mov(di, PACKET)?;
    a.mov(dword_ptr(di), 0x10)?;
    a.mov(word_ptr(di + 2), ax)?;
    a.and(word_ptr(di + 2), 7)?;
    a.inc(word_ptr(di + 2))?;
    a.mov(dword_ptr(di + 4), BUFFER_SEGMENT << 16)?;
    a.shr(eax, 4)?;
    a.mov(cx, ax)?;
    a.shr(eax, 10)?;
    a.and(al, 1)?;
    a.mov(ah, al)?;
    a.add(ah, 0x42)?;
    a.xor(al, al)?;
    a.and(cx, 0x3ff)?;
    a.or(cx, 0x400)?;
    let mut disk = a.create_label();
    a.test(dl, 0x40)?;
    a.jz(disk)?;
    a.mov(ah, 0x42)?;
    a.and(cx, 0xff)?;
    a.set_label(&mut disk)?;
    a.mov(word_ptr(di + 8), cx)?;
    a.mov(word_ptr(di + 10), 0)?;
    a.mov(dword_ptr(di + 12), 0)?;
    a.mov(si, di)?;
    a.jmp(ask)?;

    // One or two sectors of a track.
    a.set_label(&mut floppy)?;
    a.mov(cx, ax)?;
    a.and(cx, 0x3f0f)?;
    a.inc(cl)?;
    a.shr(eax, 4)?;
    a.mov(dh, al)?;
    a.and(dh, 1)?;
    a.shr(eax, 1)?;
    a.and(ax, 0x0101)?;
    a.inc(al)?;
    a.add(ah, 2)?;

    a.set_label(&mut ask)?;
    a.push(bx)?;
    a.push(ebp)?;
    a.xor(bx, bx)?;
    a.int(0x13)?;
    a.pop(ebp)?;
    a.pop(bx)?;
    a.mov(bl, byte_ptr(bx + TABLE + 1))?;
    a.jnc(done)?;
    a.mov(bl, FAILED as u32)?;
    a.set_label(&mut done)?;
    a.xor(di, di)?;
    a.add(ebp, dword_ptr(di).es())?;
    a.mov(al, bl)?;
    a.set_label(&mut say)?;
    a.mov(dx, SERIAL)?;
    a.out(dx, al)?;
    a.jmp(again)
}
