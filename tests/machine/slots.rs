//! What `-device` puts where: drives at controllers, functions in slots, the order of booting, and what cannot be.

use iced_x86::IcedError;
use iced_x86::code_asm::*;
use lockstep::board;
use lockstep_devices::drive::DriveKind;
use lockstep_devices::pci::DevFn;
use lockstep_fabric::{Bus, Cpu, Space, Width};
use lockstep_tests::guest::{Guest, config, guest_file};
use lockstep_tests::image;
use lockstep_tests::program::scratch;
use std::path::PathBuf;

const MINUTE: u64 = 60_000_000_000;
const SECOND: u64 = 1_000_000_000;
/// What comes before a boot sector's letter, and in no banner.
const MARK: u8 = b'~';

/// Scratch disks of a test, gone when it is over.
struct Disks(Vec<PathBuf>);

impl Disks {
    /// As many disks as there are boot sectors.
    fn new(name: &str, sectors: &[Vec<u8>]) -> Self {
        let disk = |(at, sector): (usize, &Vec<u8>)| {
            let mut bytes = vec![0; 1_474_560];
            bytes[..sector.len()].copy_from_slice(sector);
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            scratch(&format!("{name}{at}.img"), &bytes)
        };
        Self(sectors.iter().enumerate().map(disk).collect())
    }

    /// `-drive if=none` for each, with ids d0, d1, ...; read-only, so that tests share nothing.
    fn options(&self) -> Vec<String> {
        let drives = self.0.iter().enumerate().flat_map(|(at, path)| {
            let drive = format!("file={},format=raw,if=none,id=d{at},snapshot=on,serial=from-drive", path.display());
            ["-drive".to_owned(), drive]
        });
        drives.collect()
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn plain(bios: &str) -> Vec<String> {
    words(&format!("-bios {bios} -m 4 -seed 1 -rtc base=2026-01-01 -nodefaults -nographic -serial null -no-reboot"))
}

/// What the board with these options is refused for, after the option.
fn why(disks: &Disks, line: &str) -> String {
    let bios = image::write("slots", &[image::code(0, CodeAssembler::hlt)]);
    let arguments = [plain(&bios), disks.options(), words(line)].concat();
    let parsed = lockstep::commandline::parse(&arguments, &lockstep::commandline::Vocabulary::default());
    let error = match parsed {
        Err(error) => error.to_string(),
        Ok(_) => board::build(&config(&arguments)).err().map(|why| why.to_string()).unwrap_or_default(),
    };
    // The last `-device` is to blame, as it was typed.
    let blamed = line.rsplit("-device ").next().unwrap_or_default();
    let prefix = format!("-device {blamed}: ");
    error.strip_prefix(&prefix).map_or_else(|| format!("elsewhere: {error}"), str::to_owned)
}

#[test]
fn what_cannot_be_is_refused_in_the_words_of_qemu() {
    let disks = Disks::new("refused", &[Vec::new(), Vec::new()]);
    for (line, expected) in [
        ("-device ide-hd,drive=foo", "Property 'ide-hd.drive' can't find value 'foo'"),
        ("-device ide-hd", "No drive specified"),
        ("-device ide-hd,drive=d0 -device virtio-blk-pci,drive=d0", "Drive 'd0' is already in use by another device"),
        ("-device ide-hd,drive=d0,bus=ide.5", "Bus 'ide.5' not found"),
        ("-device ide-hd,drive=d0,bus=pci.0", "Device 'ide-hd' can't go on PCI bus"),
        ("-device floppy,bus=ide.0", "Device 'floppy' can't go on IDE bus"),
        ("-device virtio-rng-pci,bus=ide.0", "Device 'virtio-rng-pci' can't go on IDE bus"),
        ("-device virtio-rng-pci,bus=br0", "Bus 'br0' not found"),
        ("-device isa-debugcon,bus=pci.0", "Device 'isa-debugcon' can't go on PCI bus"),
        ("-device ide-hd,drive=d0,unit=2", "Can't create IDE unit 2, bus supports only 2 units"),
        ("-device ide-cd,bus=ide.0 -device ide-hd,drive=d0,bus=ide.0,unit=0", "IDE unit 0 is in use"),
        ("-device ide-cd -device ide-cd -device ide-cd", "IDE unit 1 is in use"),
        ("-device floppy,unit=1 -device floppy,unit=1", "Floppy unit 1 is in use"),
        ("-device floppy -device floppy -device floppy", "Can't create floppy unit 2, bus supports only 2 units"),
        ("-device ide-hd,drive=d0,foo=1", "Property 'ide-hd.foo' not found"),
        ("-device isa-serial,addr=3", "Property 'isa-serial.addr' not found"),
        ("-device floppy,werror=stop", "Property 'floppy.werror' not found"),
        ("-device virtio-rng-pci,addr=1", "PCI: slot 1 function 0 not available for virtio-rng-pci, in use by PIIX3"),
        ("-device VGA,addr=1", "PCI: slot 1 function 0 not available for VGA, in use by PIIX3"),
        (
            "-device virtio-rng-pci,addr=4,id=a -device virtio-balloon-pci,addr=4",
            "PCI: slot 4 function 0 not available for virtio-balloon-pci, in use by virtio-rng-pci,id=a",
        ),
        ("-device virtio-balloon-pci,id=a -device virtio-balloon-pci,id=b", "Only one balloon device is supported"),
        ("-device virtio-rng-pci,rng=nope", "Device 'nope' not found"),
        (
            "-object iothread,id=i -device virtio-rng-pci,rng=i",
            "Invalid parameter type for 'rng', expected: rng-backend",
        ),
        (
            "-object memory-backend-ram,id=m,size=128M -device pc-dimm,memdev=m",
            "no slots where allocated, please specify the 'slots' option",
        ),
        (
            "-device virtio-rng-pci,addr=4 -device virtio-rng-pci,addr=4.1",
            "PCI: single function device can't be populated in function 4.1",
        ),
        (
            "-device virtio-rng-pci,addr=4.1 -device virtio-rng-pci,addr=4",
            "PCI: 4.0 indicates single function, but 4.1 is already populated.",
        ),
        ("-device virtio-rng-pci,addr=0x20", "Property 'virtio-rng-pci.addr' doesn't take value '0x20'"),
        ("-device ide-cd,bootindex=1 -device floppy,bootindex=1", "The bootindex 1 has already been used"),
        ("-device ide-cd,id=a -device ide-cd,id=a", "Duplicate ID 'a' for device"),
        (
            "-device pci-bridge,id=br",
            "Bridge chassis not specified. Each bridge is required to be assigned a unique chassis id > 0.",
        ),
        ("-device pci-bridge,chassis_nr=1,id=br -device virtio-rng-pci,bus=br.0", "Bus 'br.0' not found"),
        ("-device pci-bridge,chassis_nr=1,id=br -device ide-cd,bus=br", "Device 'ide-cd' can't go on PCI bus"),
        (
            "-device pci-bridge,chassis_nr=1 -device virtio-rng-pci,bus=pci.1 -device virtio-rng-pci,bus=pci.1,addr=0",
            "PCI: slot 0 function 0 not available for virtio-rng-pci, in use by virtio-rng-pci",
        ),
        ("-device virtserialport", "No 'virtio-serial-bus' bus found for device 'virtserialport'"),
        ("-device virtio-serial-pci -device virtserialport,bus=x.0", "Bus 'x.0' not found"),
        ("-device virtio-serial-pci -device virtserialport,bus=pci.0", "Device 'virtserialport' can't go on PCI bus"),
        (
            "-device virtio-serial-pci -device virtserialport,nr=0",
            "Port number 0 on virtio-serial devices reserved for virtconsole devices for backward compatibility.",
        ),
        (
            "-device virtio-serial-pci -device virtserialport,nr=1 -device virtserialport,nr=1",
            "virtio-serial-bus: A port already exists at id 1",
        ),
        (
            "-device virtio-serial-pci -device virtserialport,nr=99",
            "virtio-serial-bus: Out-of-range port id specified, max. allowed: 30",
        ),
        (
            "-device virtio-serial-pci -device virtserialport,name=a -device virtserialport,name=a",
            "virtio-serial-bus: A port already exists by name a",
        ),
    ] {
        assert_eq!(why(&disks, line), expected, "{line}");
    }
    let taken = why(&disks, "-drive if=ide,id=e -device ide-hd,drive=e");
    assert!(taken.starts_with("Drive 'e' is already in use because it has been automatically connected"), "{taken}");
    for driver in ["ide-hd", "virtio-blk-pci"] {
        let empty = why(&disks, &format!("-drive if=none,id=e -device {driver},drive=e"));
        assert_eq!(empty, "Device needs media, but drive is empty");
    }
}

/// The device tree paths of what is booted, in order.
fn order(line: &str) -> Vec<(u32, String)> {
    let disks = Disks::new("order", &[Vec::new(), Vec::new(), Vec::new(), Vec::new()]);
    let bios = image::write("slots-order", &[image::code(0, CodeAssembler::hlt)]);
    let guest = Guest::start(&[plain(&bios), disks.options(), words(line)].concat(), &[]);
    guest.board.boot_order.devices().iter().map(|device| (device.index, device.path.clone())).collect()
}

#[test]
fn places_in_the_order_of_booting_come_with_the_paths_that_firmware_knows() {
    let found = order(
        "-device virtio-blk-pci,drive=d0,bootindex=7 -device ide-hd,drive=d1,bus=ide.0,unit=1,bootindex=2 \
         -device ide-cd,bootindex=0 -device floppy,bootindex=1,drive=d2 \
         -device virtio-blk-pci,drive=d3,bootindex=3,addr=1a.5 -device floppy,bootindex=-1",
    );
    let paths = [
        (0, "/pci@i0cf8/ide@1,1/drive@1/disk@0"),
        (1, "/pci@i0cf8/isa@1/fdc@03f0/floppy@0"),
        (2, "/pci@i0cf8/ide@1,1/drive@0/disk@1"),
        (3, "/pci@i0cf8/scsi@1a,5/disk@0,0"),
        (7, "/pci@i0cf8/scsi@2/disk@0,0"),
    ];
    assert_eq!(found, paths.map(|(index, path)| (index, path.to_owned())));
    assert_eq!(order("-device VGA -device virtio-blk-pci,drive=d0,bootindex=7")[0].1, "/pci@i0cf8/scsi@3/disk@0,0");
    assert_eq!(order("-device virtio-blk-pci,drive=d0"), []);
}

#[test]
fn drives_of_devices_are_what_their_options_say() {
    let disks = Disks::new("parts", &[Vec::new(), Vec::new()]);
    let bios = image::write("slots-parts", &[image::code(0, CodeAssembler::hlt)]);
    let line = "-device ide-hd,drive=d0,bus=ide.0,serial=S1,model=MODEL,ver=2.5 -device ide-cd,drive=d1";
    let guest = Guest::start(&[plain(&bios), disks.options(), words(line)].concat(), &[]);
    let state = guest.board.machine.save_state().expect("a state");
    let channels = &state["bus"]["devices"]["piix3-ide"]["state"]["channels"];
    let unit = |channel: usize, unit: usize| &channels[channel]["units"][unit]["info"];
    let kind = |kind: DriveKind| serde_json::to_value(kind).expect("a name");
    assert_eq!(unit(0, 0)["kind"], kind(DriveKind::Disk));
    assert_eq!((&unit(0, 0)["serial"], &unit(0, 0)["model"]), (&"S1".into(), &"MODEL".into()));
    assert_eq!(unit(0, 0)["version"], "2.5");
    assert_eq!((&unit(1, 0)["kind"], &unit(1, 0)["serial"]), (&kind(DriveKind::Cd), &"from-drive".into()));
    assert_eq!(unit(1, 0)["medium"]["read_only"], true, "a CD is not written");
    assert!(unit(0, 1).is_null() && unit(1, 1).is_null(), "no CD drive by default beside those asked for");
}

#[test]
fn ports_go_on_the_bus_that_they_name_or_on_the_last_one() {
    let disks = Disks::new("ports", &[]);
    let bios = image::write("slots-ports", &[image::code(0, CodeAssembler::hlt)]);
    let line = "-device virtio-serial-pci,id=a -device virtserialport,id=p -device virtio-serial-pci -device virtconsole,id=q \
                -device virtserialport,id=r,bus=a.0 -device virtconsole,id=s,bus=a.0 \
                -device virtserialport,id=t,bus=virtio-serial-bus.0";
    let guest = Guest::start(&[plain(&bios), disks.options(), words(line)].concat(), &[]);
    let a = guest.board.machine.bus.find("a").expect("the first device");
    let mut ports: Vec<_> =
        guest.board.serial_ports.iter().map(|p| (p.id.as_deref(), p.device == a, p.number)).collect();
    ports.sort_unstable();
    let expected = [("p", true, 1), ("q", false, 0), ("r", true, 2), ("s", true, 0), ("t", false, 1)];
    assert_eq!(ports, expected.map(|(id, on_a, number)| (Some(id), on_a, number)));
}

/// A boot sector that says a letter, after a mark, on the serial port.
fn says(letter: u8) -> Vec<u8> {
    let program = |a: &mut CodeAssembler| -> Result<(), IcedError> {
        let mut stop = a.create_label();
        a.mov(dx, 0x3f8)?;
        for byte in [MARK, letter] {
            a.mov(al, u32::from(byte))?;
            a.out(dx, al)?;
        }
        a.set_label(&mut stop)?;
        a.hlt()?;
        a.jmp(stop)
    };
    let mut assembler = CodeAssembler::new(16).expect("16-bit");
    program(&mut assembler).expect("instructions");
    assembler.assemble(0x7c00).expect("it assembles")
}

/// Boots by this firmware with these devices; the disk that was booted.
fn booted_by(firmware: &[String], line: &str) -> String {
    let disks = Disks::new("booted", &[says(b'A'), says(b'B'), says(b'C')]);
    let fixed = words("-m 16 -seed 1 -rtc base=2026-01-01 -nodefaults -nographic -serial null -no-reboot");
    let mut guest = Guest::start(&[fixed, firmware.to_vec(), disks.options(), words(line)].concat(), &[]);
    guest.expect("~", MINUTE);
    assert_eq!(guest.run_to(guest.board.machine.now() + SECOND / 100), None, "{}", guest.console);
    guest.console.chars().last().map(String::from).unwrap_or_default()
}

#[test]
fn seabios_boots_what_comes_first_wherever_it_is() {
    let firmware = ["-bios".to_owned(), guest_file("bios-256k.bin")];
    let disks = |first: u8, second: u8, third: u8| {
        format!(
            "-device pci-bridge,chassis_nr=1,id=br,addr=1d -device virtio-blk-pci,drive=d0,bus=br,addr=6,bootindex={first} \
             -device ide-hd,drive=d1,unit=1,bootindex={second} -device floppy,drive=d2,bootindex={third}"
        )
    };
    assert_eq!(booted_by(&firmware, &disks(3, 5, 7)), "A");
    assert_eq!(booted_by(&firmware, &disks(7, 3, 5)), "B");
    assert_eq!(booted_by(&firmware, &disks(7, 5, 3)), "C");
}

#[test]
fn the_built_in_bios_boots_what_comes_first() {
    let booted = |line: &str| booted_by(&[], line);
    let disks = |first: &str, second: &str, third: &str| {
        format!(
            "-device virtio-blk-pci,drive=d0{first} -device ide-hd,drive=d1,bus=ide.0{second} -device floppy,drive=d2{third}"
        )
    };
    assert_eq!(booted(&disks(",bootindex=0", ",bootindex=1", "")), "A");
    assert_eq!(booted(&disks(",bootindex=2", ",bootindex=1", ",bootindex=5")), "B");
    assert_eq!(booted(&disks("", "", ",bootindex=5")), "C");
    assert_eq!(booted(&disks("", "", "")), "B", "disks in their order, floppies after them");
}

#[test]
fn seabios_boots_disks_of_devices() {
    for device in ["ide-hd,drive=d0,bus=ide.0,unit=1", "ide-hd,drive=d0", "floppy,drive=d0", "virtio-blk-pci,drive=d0"]
    {
        let disks = Disks::new("seabios", &[says(b'!')]);
        let bios = guest_file("bios-256k.bin");
        let fixed =
            words(&format!("-bios {bios} -seed 1 -rtc base=2026-01-01T00:00:00 -nographic -nodefaults -serial null"));
        let mut guest = Guest::start(&[fixed, disks.options(), words(&format!("-device {device}"))].concat(), &[]);
        guest.expect("~!", MINUTE);
    }
}

fn config_read(bus: &mut Bus, (number, slot): (u64, u8), register: u64, width: Width) -> u64 {
    let address = 1 << 31 | number << 16 | u64::from(DevFn::new(slot, 0).0) << 8 | register & 0xfc;
    bus.write(Space::Io, 0xcf8, Width::Dword, address, Cpu(0)).expect("the host bridge");
    bus.read(Space::Io, 0xcfc + (register & 3), width, Cpu(0)).expect("the host bridge")
}

/// What firmware, having booted a disk, has made of a function behind two bridges.
fn is_set_up_behind_bridges(firmware: &[String]) {
    let disks = Disks::new("bridged", &[says(b'!')]);
    let fixed = words("-m 32 -seed 1 -rtc base=2026-01-01 -nodefaults -nographic -serial null");
    let line = "-device pci-bridge,chassis_nr=1,id=br,addr=5 -device pci-bridge,chassis_nr=2,id=br2,bus=br,addr=2 \
                -device virtio-rng-pci,bus=br2,addr=4 -device virtio-rng-pci,bus=br,addr=1 \
                -device virtio-blk-pci,drive=d0,bus=br2,addr=1,bootindex=0";
    let mut guest = Guest::start(&[fixed, firmware.to_vec(), disks.options(), words(line)].concat(), &[]);
    assert_eq!(guest.board.boot_order.devices()[0].path, "/pci@i0cf8/pci-bridge@5/pci-bridge@2/scsi@1/disk@0,0");
    guest.expect("~!", MINUTE);
    let bus = &mut guest.board.machine.bus;
    let [outer, near] = [5, 1].map(|slot| (u64::from(slot == 1), slot));
    assert_eq!(config_read(bus, outer, 0x18, Width::Dword) & 0xff_ffff, 0x02_0100, "bus numbers");
    assert_eq!(config_read(bus, (1, 2), 0x18, Width::Dword) & 0xff_ffff, 0x02_0201, "bus numbers");
    for function in [(2, 4), near] {
        assert_eq!(config_read(bus, function, 0, Width::Dword), 0x1005_1af4);
        let ports = config_read(bus, function, 0x10, Width::Dword) & !3;
        assert!(ports >= 0x1000, "{function:?}: ports at {ports:#x}");
        const STATUS: u64 = 0x12;
        assert_eq!(
            bus.read(Space::Io, ports + STATUS, Width::Byte, Cpu(0)),
            Ok(0),
            "{function:?} answers at its ports"
        );
        let low = config_read(bus, function, 0x20, Width::Dword) & !0xf;
        let memory = config_read(bus, function, 0x24, Width::Dword) << 32 | low;
        const QUEUES: u64 = 0x12;
        let queues = bus.read(Space::Memory, memory + QUEUES, Width::Word, Cpu(0));
        assert_eq!(queues, Ok(1), "{function:?} answers at its memory, {memory:#x}");
    }
    // INTA# of slot 4, INTA# of slot 2, INTC# of slot 5: PIRQC#.
    assert_eq!(config_read(bus, (2, 4), 0x3c, Width::Byte), 11);
    // INTA# of slot 1, INTB# of slot 5: PIRQB#.
    assert_eq!(config_read(bus, near, 0x3c, Width::Byte), 10);
}

#[test]
fn seabios_sets_up_what_is_behind_bridges_and_boots_from_it() {
    is_set_up_behind_bridges(&["-bios".into(), guest_file("bios-256k.bin")]);
}

#[test]
fn the_built_in_bios_sets_up_what_is_behind_bridges() {
    is_set_up_behind_bridges(&[]);
}
