//! The built-in BIOS boots what a BIOS boots: a disk, a floppy and a CD, with boot sectors written here that read further sectors
//! by INT 13h and tell what they found by INT 10h.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, ah, al, ax, bx, byte_ptr, cx, dh, ds, es, si, sp, ss};
use lockstep::snapshot::Snapshot;
use lockstep_fabric::{Arrival, Input, Outside};
use lockstep_tests::guest::{Guest, guest_file};
use lockstep_tests::program::scratch;
use std::path::PathBuf;

/// Ticks that each step may take: a fifth of a second of guest time.
const LIMIT: u64 = 200_000_000;
/// The same for SeaBIOS, which waits for this and that: half a minute.
const SEABIOS_LIMIT: u64 = 30_000_000_000;
const SECTOR: usize = 512;
const CD_SECTOR: usize = 2048;

/// A file that is gone when the test is over.
struct Image(PathBuf);

impl Image {
    fn new(name: &str, bytes: &[u8]) -> Self {
        Self(scratch(name, bytes))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How a boot sector asks for the text behind it.
#[derive(Clone, Copy)]
enum Way {
    /// INT 13h AH=02h: cylinder 0, head 0, this sector.
    Geometry(u32),
    /// INT 13h AH=42h: this sector.
    Number(u8),
}

const TEXT_AT: u32 = 0x8000;
const PACKET_AT: u32 = 0x7b00;
const FAILED_AT: u32 = 0x7d00;

/// Code at 0:7C00 that reads a text by `way` from the drive it was booted from, shows it, and goes on by INT 18h when a key was hit.
fn boot_code(way: Way) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    let [mut next, mut end, mut failed] = std::array::from_fn(|_| a.create_label());
    a.cli()?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, 0x7a00_u32)?;
    a.sti()?;
    match way {
        Way::Geometry(sector) => {
            a.mov(ax, 0x0201_u32)?;
            a.mov(bx, TEXT_AT)?;
            a.mov(cx, sector)?;
            a.mov(dh, 0_u32)?;
        }
        Way::Number(sector) => {
            for (at, byte) in (PACKET_AT..).zip([0x10, 0, 1, 0, 0x00, 0x80, 0, 0, sector, 0, 0, 0, 0, 0, 0, 0]) {
                a.mov(byte_ptr(at), u32::from(byte))?;
            }
            a.mov(si, PACKET_AT)?;
            a.mov(ah, 0x42_u32)?;
        }
    }
    a.int(0x13)?;
    a.jc(failed)?;
    a.mov(si, TEXT_AT)?;
    a.set_label(&mut next)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.jz(end)?;
    a.mov(ah, 0x0e_u32)?;
    a.mov(bx, 7_u32)?;
    a.int(0x10)?;
    a.jmp(next)?;
    a.set_label(&mut end)?;
    a.xor(ax, ax)?;
    a.int(0x16)?;
    a.mov(ah, 0x0e_u32)?;
    a.int(0x10)?;
    a.int(0x18)?;
    a.set_label(&mut failed)?;
    a.mov(si, FAILED_AT)?;
    a.jmp(next)?;
    let mut code = a.assemble(0x7c00)?;
    code.resize((FAILED_AT - 0x7c00) as usize, 0);
    code.extend(b"read failed\r\n\0");
    Ok(code)
}

fn boot_sector(way: Way) -> Vec<u8> {
    let mut sector = boot_code(way).expect("code that assembles");
    sector.resize(SECTOR, 0);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// A disk with a boot sector and a text in one of its sectors.
fn disk(bytes: usize, way: Way, sector: usize, text: &str) -> Vec<u8> {
    let mut image = vec![0; bytes];
    image[..SECTOR].copy_from_slice(&boot_sector(way));
    image[sector * SECTOR..][..text.len()].copy_from_slice(text.as_bytes());
    image
}

/// A CD that boots an image by El Torito without emulation, with a text in sector 20.
fn cd(text: &str) -> Vec<u8> {
    const CATALOG: usize = 18;
    const IMAGE: usize = 19;
    const TEXT: usize = 20;
    let mut image = vec![0; 64 * CD_SECTOR];
    let descriptor = &mut image[17 * CD_SECTOR..];
    descriptor[..7].copy_from_slice(b"\0CD001\x01");
    descriptor[7..30].copy_from_slice(b"EL TORITO SPECIFICATION");
    descriptor[0x47] = CATALOG as u8;
    let catalog = &mut image[CATALOG * CD_SECTOR..];
    catalog[0] = 1;
    catalog[28..32].copy_from_slice(&[0xaa, 0x55, 0x55, 0xaa]);
    let sum = catalog[..32].chunks(2).fold(0_u16, |sum, w| sum.wrapping_add(u16::from_le_bytes([w[0], w[1]])));
    catalog[28..30].copy_from_slice(&0x55aa_u16.wrapping_sub(sum).to_le_bytes());
    catalog[32] = 0x88;
    catalog[38] = 4;
    catalog[40] = IMAGE as u8;
    let sector = boot_sector(Way::Number(TEXT as u8));
    image[IMAGE * CD_SECTOR..][..SECTOR].copy_from_slice(&sector);
    image[TEXT * CD_SECTOR..][..text.len()].copy_from_slice(text.as_bytes());
    image
}

fn start(more: &[&str]) -> Guest {
    let arguments = ["-nographic", "-nodefaults", "-serial", "null", "-seed", "1", "-rtc", "base=2026-01-01T00:00:00"];
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    Guest::start(&arguments, more)
}

#[test]
fn a_disk_is_read_by_geometry_and_a_key_sends_it_on_to_the_monitor() {
    let image = Image::new("chs.img", &disk(8 << 20, Way::Geometry(5), 4, "hello from the fifth sector\r\n"));
    let mut guest = start(&["-drive", &format!("file={},format=raw", image.path())]);
    guest.expect("Booting from Hard Disk...", LIMIT);
    guest.expect("hello from the fifth sector", LIMIT);
    guest.type_in("q");
    guest.expect("q", LIMIT);
    guest.expect("No bootable device.", LIMIT);
    guest.expect("> ", LIMIT);
}

#[test]
fn a_disk_is_read_by_number() {
    let image = Image::new("lba.img", &disk(8 << 20, Way::Number(200), 200, "hello from sector 200\r\n"));
    let mut guest = start(&["-drive", &format!("file={},format=raw", image.path())]);
    guest.expect("hello from sector 200", LIMIT);
}

#[test]
fn a_floppy_is_read_by_geometry() {
    let image = Image::new("floppy.img", &disk(1440 << 10, Way::Geometry(3), 2, "hello from a floppy\r\n"));
    let mut guest = start(&["-drive", &format!("file={},format=raw,if=floppy", image.path())]);
    guest.expect("Booting from Floppy...", LIMIT);
    guest.expect("hello from a floppy", LIMIT);
}

#[test]
fn a_cd_is_booted_without_emulation_and_read_by_its_own_sectors() {
    let image = Image::new("cd.iso", &cd("hello from a CD\r\n"));
    let mut guest = start(&["-cdrom", image.path()]);
    guest.expect("Booting from DVD/CD...", LIMIT);
    guest.expect("hello from a CD", LIMIT);
}

#[test]
fn what_cannot_be_booted_is_named_and_the_next_drive_is_tried() {
    let blank = Image::new("blank.img", &vec![0; 1 << 20]);
    let floppy = Image::new("next.img", &disk(1440 << 10, Way::Geometry(3), 2, "the floppy then\r\n"));
    let mut guest = start(&[
        "-drive",
        &format!("file={},format=raw", blank.path()),
        "-drive",
        &format!("file={},format=raw,if=floppy", floppy.path()),
    ]);
    guest.expect("Boot failed: not a bootable disk", LIMIT);
    guest.expect("the floppy then", LIMIT);
}

#[test]
fn the_boot_order_is_the_users() {
    let disk_image = Image::new("order-c.img", &disk(1 << 20, Way::Geometry(2), 1, "the disk\r\n"));
    let cd_image = Image::new("order-d.iso", &cd("the CD\r\n"));
    let drive = format!("file={},format=raw", disk_image.path());
    let mut guest = start(&["-drive", &drive, "-cdrom", cd_image.path(), "-boot", "d"]);
    guest.expect("Booting from DVD/CD...", LIMIT);
    guest.expect("the CD", LIMIT);
}

/// A disk and a CD that say who they are, and the options that put them into a machine.
fn two_drives(name: &str) -> (Image, Image, Vec<String>) {
    let disk_image = Image::new(&format!("{name}-c.img"), &disk(1 << 20, Way::Geometry(2), 1, "the disk\r\n"));
    let cd_image = Image::new(&format!("{name}-d.iso"), &cd("the CD\r\n"));
    let drive = format!("file={},format=raw", disk_image.path());
    let options = ["-drive", &drive, "-cdrom", cd_image.path()].map(str::to_owned).to_vec();
    (disk_image, cd_image, options)
}

#[test]
fn once_is_forgotten_at_the_first_reset() {
    let (_disk, _cd, options) = two_drives("once");
    let bios = guest_file("bios-256k.bin");
    for firmware in [&[][..], &["-bios", &bios]] {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut guest = start(&[&options[..], &["-boot", "order=c,once=d"], firmware].concat());
        guest.expect("the CD", SEABIOS_LIMIT);
        for _ in 0..2 {
            guest.board.machine.enter(Outside::Reset).expect("an open gate");
            guest.expect("the disk", SEABIOS_LIMIT);
        }
    }
}

#[test]
fn escape_leads_to_a_menu_of_drives() {
    let (_disk, _cd, options) = two_drives("menu");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut guest = start(&[&options[..], &["-boot", "menu=on,splash-time=5000"]].concat());
    guest.expect("Press ESC for boot menu.", LIMIT);
    guest.type_in("\x1b");
    guest.expect("1. Hard Disk 0 (1 MiB)", LIMIT);
    guest.expect("2. DVD/CD 0 (0 MiB)", LIMIT);
    guest.type_in("2");
    guest.expect("the CD", LIMIT);
}

#[test]
fn a_machine_with_nothing_to_boot_tries_again_if_it_is_told_to() {
    let bios = guest_file("bios-256k.bin");
    for firmware in [&[][..], &["-bios", &bios]] {
        let mut guest = start(&[&["-boot", "reboot-timeout=2000"], firmware].concat());
        for _ in 0..2 {
            guest.expect("No bootable device.", SEABIOS_LIMIT);
            guest.expect("Retrying in 2 seconds.", LIMIT);
        }
    }
}

#[test]
fn a_boot_repeats_from_its_log_and_through_a_save_and_a_load_at_any_tick() {
    let image = Image::new("repeat.img", &disk(1440 << 10, Way::Geometry(3), 2, "hello again\r\n"));
    let drive = format!("file={},format=raw,if=floppy,snapshot=on", image.path());
    let boot = || start(&["-drive", &drive]);
    let mut whole = boot();
    whole.expect("hello again", LIMIT);
    let typed = whole.board.machine.now();
    whole.type_in("q");
    let end = typed + LIMIT;
    assert_eq!(whole.run_to(end), None);
    assert!(whole.console.contains("No bootable device."), "{}", whole.console);
    let (digest, state) = (whole.digest(), whole.board.machine.save_state().expect("a state"));

    let logged = |guest: &mut Guest| {
        let input = Input::Bytes(b"q".to_vec());
        let (device, _) = guest.board.ports[0];
        guest.board.machine.gate.close();
        guest.board.machine.gate.schedule(Arrival { tick: typed, what: Outside::Input { device, input } });
    };
    let mut replayed = boot();
    logged(&mut replayed);
    assert_eq!(replayed.run_to(end), None);
    assert_eq!((replayed.digest(), &replayed.console), (digest, &whole.console));

    let mut random = 0x5eed_u64;
    for _ in 0..12 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (at, elsewhere) = ((random >> 20) % end, (random >> 40) % typed);
        let mut first = boot();
        logged(&mut first);
        first.run_to(at);
        let saved = Snapshot::of(&first.board.machine).expect("it can be saved");
        let mut second = boot();
        second.run_to(elsewhere);
        if at < typed {
            logged(&mut second);
        }
        saved.restore(&mut second.board.machine).expect("it can be loaded");
        second.console = first.console;
        assert_eq!(second.run_to(end), None);
        assert_eq!(second.board.machine.save_state().expect("a state"), state, "saved at {at}");
        assert_eq!((second.digest(), &second.console), (digest, &whole.console), "saved at {at}");
    }
}

#[test]
fn a_bootindex_comes_before_the_order_of_kinds() {
    let disk_image = Image::new("index-c.img", &disk(1 << 20, Way::Geometry(2), 1, "the disk\r\n"));
    let cd_image = Image::new("index-d.iso", &cd("the CD\r\n"));
    let disk_drive = format!("if=none,id=c,file={},format=raw", disk_image.path());
    let cd_drive = format!("if=none,id=d,media=cdrom,file={},format=raw", cd_image.path());
    let bios = guest_file("bios-256k.bin");
    for firmware in [&[][..], &["-bios", &bios]] {
        let drives = ["-drive", &disk_drive, "-device", "ide-hd,drive=c,bus=ide.0", "-drive", &cd_drive];
        let first = ["-device", "ide-cd,drive=d,bus=ide.1,bootindex=1", "-boot", "order=c"];
        let mut guest = start(&[&drives[..], &first, firmware].concat());
        guest.expect("the CD", SEABIOS_LIMIT);
    }
}
