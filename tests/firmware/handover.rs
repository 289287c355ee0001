//! What the user hands to firmware reaches the guest: read by Debian's kernel, and through fw_cfg's ports.

use iced_x86::code_asm::al;
use lockstep_fabric::{Outside, Width};
use lockstep_tests::guest::{Guest, debian, guest_file};
use lockstep_tests::image;
use lockstep_tests::program::{run, scratch};

const MINUTE: u64 = 60_000_000_000;
const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

/// What the kernel makes of tables that the user gave.
fn shows_the_users_tables(name: &str, more: &[&str]) {
    let table = scratch(name, b"the user's own table\n");
    let acpi = format!("sig=USER,oem_id=MAKER,data={}", table.display());
    let said = [
        "-acpitable",
        &acpi,
        "-smbios",
        "type=1,manufacturer=Acme,serial=S-17",
        "-smbios",
        "type=0,vendor=Mine,version=v9",
        "-uuid",
        UUID,
    ];
    let mut guest = Guest::start(&debian("quiet"), &[&["-cpu", "max"], &said[..], more].concat());
    guest.expect("INIT-REACHED", MINUTE);
    guest.expect("# ", MINUTE);
    guest.type_in("cd /sys/class/dmi/id; cat sys_vendor product_serial bios_vendor bios_version product_uuid\n");
    guest.expect(&format!("Acme\r\nS-17\r\nMine\r\nv9\r\n{UUID}\r\n"), MINUTE);
    guest.expect("# ", MINUTE);
    guest.type_in("tail -c +37 /sys/firmware/acpi/tables/USER\n");
    guest.expect("\r\nthe user's own table\r\n", MINUTE);
    std::fs::remove_file(table).expect("a scratch file");
}

#[test]
fn a_kernel_started_directly_sees_the_users_tables() {
    shows_the_users_tables("direct.acpi", &[]);
}

#[test]
fn a_kernel_started_by_seabios_sees_the_users_tables() {
    let bios = guest_file("bios-256k.bin");
    shows_the_users_tables("seabios.acpi", &["-bios", &bios]);
}

/// The board's fw_cfg as firmware reads it.
struct Ports(Guest);

impl Ports {
    fn select(&mut self, key: u16) {
        let machine = &mut self.0.board.machine;
        let write = Outside::PortWrite { port: 0x510, width: Width::Word, value: key.into() };
        machine.enter(write).expect("an open gate");
    }

    fn read(&mut self, len: usize) -> Vec<u8> {
        let machine = &mut self.0.board.machine;
        let mut byte = || machine.enter(Outside::PortRead { port: 0x511, width: Width::Byte });
        (0..len).map(|_| byte().expect("an open gate").unwrap_or(0xff) as u8).collect()
    }

    fn file(&mut self, name: &str) -> Option<Vec<u8>> {
        const DIRECTORY: u16 = 0x19;
        self.select(DIRECTORY);
        let count = self.read(4);
        let count = u32::from_be_bytes(count.try_into().ok()?);
        let entries: Vec<_> = (0..count).map(|_| self.read(64)).collect();
        let entry = entries.iter().find(|entry| entry[8..].starts_with(&[name.as_bytes(), b"\0"].concat()))?;
        self.select(u16::from_be_bytes([entry[4], entry[5]]));
        Some(self.read(u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]) as usize))
    }
}

#[test]
fn the_users_files_are_found_in_the_directory() {
    let content = scratch("handover.bin", &[0, 1, 2, 255]);
    let from_file = format!("opt/org.test/binary,file={}", content.display());
    let arguments = ["-seed", "1", "-rtc", "base=2026-01-01T00:00:00", "-nographic", "-nodefaults", "-serial", "null"];
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let more = ["-fw_cfg", "opt/org.test/text,string=hello", "-fw_cfg", &from_file, "-uuid", UUID];
    let mut ports = Ports(Guest::start(&arguments, &more));
    assert_eq!(ports.file("opt/org.test/text").as_deref(), Some(&b"hello"[..]));
    assert_eq!(ports.file("opt/org.test/binary"), Some(vec![0, 1, 2, 255]));
    assert_eq!(ports.file("opt/org.test/other"), None);
    ports.select(0x02);
    assert_eq!(ports.read(16)[12..], [0xcc, 0xdd, 0xee, 0xff]);
    std::fs::remove_file(content).expect("a scratch file");
}

#[test]
fn warnings_and_errors_are_one_clear_line() {
    let bios = image::write(
        "handover-exit",
        &[image::code(0, |a| {
            a.mov(al, 0x15)?;
            a.out(0xf4, al)
        })],
    );
    let run = |more: &[&str]| {
        let fixed = ["-bios", &bios, "-display", "none", "-nodefaults", "-device", "isa-debug-exit,iobase=0xf4"];
        let done = run(&[&fixed[..], more].concat());
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let warning = "lockstep: warning: -fw_cfg mine,string=x: names of the user's files should begin with opt/\n";
    assert_eq!(run(&["-fw_cfg", "mine,string=x"]), (Some(0x15 << 1 | 1), warning.into()));
    let error = "lockstep: -acpitable data=/nowhere/table: /nowhere/table: No such file or directory\n";
    assert_eq!(run(&["-acpitable", "data=/nowhere/table"]), (Some(1), error.into()));
}
