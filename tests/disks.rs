//! Disks and floppies under SeaBIOS: a boot sector of our own that reads the next sector by INT 13h and prints it.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, ah, al, ax, bx, ch, cl, dh, ds, es, si, sp, ss};
use lockstep_tests::guest::{Guest, guest_file};
use lockstep_tests::program::scratch;
use std::path::PathBuf;

const MINUTE: u64 = 60_000_000_000;
const SECTOR: usize = 512;
const BOOT: u64 = 0x7c00;
const BUFFER: u32 = 0x7e00;
const SAID: &[u8] = b"the second sector speaks\r\n\0";

/// Reads sector 2 of the drive it came from and prints it by INT 10h.
fn boot_sector(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut next = a.create_label();
    let mut done = a.create_label();
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, BOOT as u32)?;
    a.mov(bx, BUFFER)?;
    a.mov(ax, 0x0201)?;
    a.mov(ch, 0)?;
    a.mov(cl, 2)?;
    a.mov(dh, 0)?;
    a.int(0x13)?;
    a.mov(si, BUFFER)?;
    a.set_label(&mut next)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.je(done)?;
    a.mov(ah, 0x0e)?;
    a.xor(bx, bx)?;
    a.int(0x10)?;
    a.jmp(next)?;
    a.set_label(&mut done)?;
    a.hlt()?;
    a.jmp(done)
}

fn image(name: &str, len: usize) -> PathBuf {
    let mut assembler = CodeAssembler::new(16).expect("16-bit");
    boot_sector(&mut assembler).expect("instructions");
    let code = assembler.assemble(BOOT).expect("it assembles");
    let mut bytes = vec![0; len];
    bytes[..code.len()].copy_from_slice(&code);
    bytes[SECTOR - 2..SECTOR].copy_from_slice(&[0x55, 0xaa]);
    bytes[SECTOR..SECTOR + SAID.len()].copy_from_slice(SAID);
    scratch(name, &bytes)
}

fn boots(name: &str, len: usize, options: impl Fn(&str) -> Vec<String>) {
    let path = image(name, len);
    let bios = guest_file("bios-256k.bin");
    let fixed = ["-bios", &bios, "-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults"];
    let mut arguments: Vec<String> = fixed.iter().map(|a| (*a).to_owned()).collect();
    arguments.extend(["-serial", "null"].map(str::to_owned));
    arguments.extend(options(&path.display().to_string()));
    let mut guest = Guest::start(&arguments, &[]);
    guest.expect("the second sector speaks", MINUTE);
    std::fs::remove_file(path).expect("a scratch file");
}

#[test]
fn a_hard_disk_boots() {
    boots("disk.raw", 8 << 20, |path| vec!["-drive".into(), format!("file={path},format=raw,if=ide")]);
}

#[test]
fn a_floppy_boots() {
    boots("floppy.raw", 1_474_560, |path| vec!["-drive".into(), format!("file={path},format=raw,if=floppy")]);
}

#[test]
fn a_virtio_disk_boots() {
    boots("virtio.raw", 8 << 20, |path| vec!["-drive".into(), format!("file={path},format=raw,if=virtio")]);
}
