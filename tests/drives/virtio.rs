//! Virtio functions on the board, as Debian finds them.

use lockstep::commandline::DeviceConfig;
use lockstep::machine::Ending;
use lockstep_fabric::{DeviceId, Input, Notice, Outside};
use lockstep_tests::guest::{Guest, config, debian, guest_file};
use lockstep_tests::program::scratch;

const MINUTE: u64 = 60_000_000_000;

#[test]
fn debian_finds_functions_in_their_slots() {
    let path = scratch("virtio-slots.raw", &vec![0; 1 << 20]);
    let drive = format!("file={},format=raw,if=none,id=d0", path.display());
    let direct_drive = format!("file={},format=raw,if=virtio,locking=off,readonly=on", path.display());
    let more = ["-cpu", "max", "-device", "virtio-rng-pci", "-drive", &drive, "-drive", &direct_drive];
    let disk = ["-device", "virtio-blk-pci,drive=d0,addr=0x10,bus=pci.0,id=disk,werror=report"];
    let others = ["-device", "virtio-balloon-pci", "-device", "virtio-serial-pci"];
    let mut guest = Guest::start(&debian(""), &[&more[..], &disk, &others].concat());
    guest.expect("# ", MINUTE);
    guest.type_in(
        "cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/vendor $d/device) $(head -1 $d/resource); done\n",
    );
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    for (slot, ids) in [
        ("02", "0x1af4 0x1005"),
        ("03", "0x1af4 0x1002"),
        ("04", "0x1af4 0x1003"),
        ("05", "0x1af4 0x1001"),
        ("10", "0x1af4 0x1001"),
    ] {
        let function = format!("0000:00:{slot}.0 {ids} ");
        let line = guest.console.lines().find(|line| line.starts_with(&function));
        let line = line.unwrap_or_else(|| panic!("no {function} in the console:\n{}", guest.console));
        assert!(!line.contains(" 0x0000000000000000 "), "no ports: {line}");
    }
    std::fs::remove_file(path).expect("a scratch file");
}

/// The test's initial RAM disk with the drivers of the kernel's package in /modules.
fn with_drivers(name: &str) -> String {
    let parts = ["initrd.gz", "virtio.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    scratch(name, &parts.concat()).display().to_string()
}

/// Loads drivers, those of the bus first.
fn load(guest: &mut Guest, drivers: &[&str]) {
    let bus = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"];
    for driver in bus.iter().chain(drivers) {
        guest.type_in(&format!("insmod /modules/{driver}.ko && echo loaded-$?\n"));
        guest.expect("loaded-0", MINUTE);
    }
}

/// Debian reads from a disk what the image holds, and the image holds what Debian writes.
fn disk_works(name: &str, more: &str) {
    disk_works_beside(name, more, &[]);
}

/// The same with these devices before the disk.
fn disk_works_beside(name: &str, more: &str, before: &[&str]) {
    const LEN: usize = 8 << 20;
    const SAID: &[u8] = b"read from the image\n";
    let mut bytes = vec![0; LEN];
    bytes[4096..4096 + SAID.len()].copy_from_slice(SAID);
    let (image, initrd) = (scratch(&format!("{name}.raw"), &bytes), with_drivers(&format!("{name}.gz")));
    let drive = format!("file={},format=raw,if=none,id=d0,serial=lockstep-1", image.display());
    let device = format!("virtio-blk-pci,drive=d0{more}");
    let mut more = vec!["-initrd", &initrd, "-cpu", "max", "-drive", &drive];
    before.iter().chain([&device.as_str()]).for_each(|device| more.extend(["-device", device]));
    let mut guest = Guest::start(&debian(""), &more);
    guest.expect("# ", MINUTE);
    load(&mut guest, &["virtio_blk"]);
    guest.type_in("cat /sys/block/vda/serial /sys/block/vda/size; dd if=/dev/vda bs=512 skip=8 count=1 | head -n 1\n");
    guest.expect("lockstep-1", MINUTE);
    guest.expect("16384\r\n", MINUTE);
    guest.expect("read from the image", MINUTE);
    // Requests of every size, and many at once.
    guest.type_in("busybox seq 1 50000 > /tmp/sums; dd if=/tmp/sums of=/dev/vda bs=64k seek=16; sync; echo done-$?\n");
    guest.expect("done-0", MINUTE);
    guest.type_in("echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vda bs=64k skip=16 | head -c $(stat -c %s /tmp/sums) | cmp - /tmp/sums && echo same-$?\n");
    guest.expect("same-0", MINUTE);
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    drop(guest);
    let held = std::fs::read(&image).expect("the image");
    let written: String = (1..=50_000).map(|n| format!("{n}\n")).collect();
    assert!(held[16 << 16..].starts_with(written.as_bytes()), "the image does not hold what was written");
    assert_eq!(&held[..16 << 16], &bytes[..16 << 16], "what was not written changed");
    [image, initrd.into()].iter().for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}

#[test]
fn debian_uses_a_disk() {
    disk_works("virtio-disk", "");
}

#[test]
fn debian_uses_a_disk_of_packed_rings() {
    disk_works("virtio-packed", ",packed=on,disable-legacy=on,addr=5");
}

#[test]
fn debian_uses_a_disk_of_the_old_interface() {
    disk_works("virtio-old", ",disable-modern=on,vectors=0");
}

#[test]
fn debian_takes_random_numbers() {
    let initrd = with_drivers("virtio-rng.gz");
    let more = ["-initrd", &initrd, "-cpu", "max", "-device", "virtio-rng-pci", "-device", "virtio-balloon-pci"];
    let mut guest = Guest::start(&debian(""), &more);
    guest.expect("# ", MINUTE);
    load(&mut guest, &["virtio-rng", "virtio_balloon"]);
    guest.type_in("cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=1 count=4096 > /tmp/numbers; gzip -9 < /tmp/numbers | wc -c\n");
    guest.expect("virtio_rng.0", MINUTE);
    guest.expect("4096+0 records out\r\n", MINUTE);
    guest.expect("41", MINUTE);
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    std::fs::remove_file(initrd).expect("a scratch file");
}

/// Runs until the guest has said `text` on a port.
fn expect_on_port(guest: &mut Guest, port: u32, text: &str) {
    const STEP: u64 = 10_000_000;
    let end = guest.board.machine.now() + MINUTE;
    let said = |guest: &Guest| String::from_utf8_lossy(guest.ports.get(&port).map_or(&[], Vec::as_slice)).into_owned();
    while !said(guest).contains(text) {
        let now = guest.board.machine.now();
        assert!(now < end, "no {text:?} on port {port}: {}; the console:\n{}", said(guest), guest.console);
        guest.run_to(now + STEP);
    }
}

/// Bytes from the host's end of a port.
fn send(guest: &mut Guest, device: DeviceId, port: u32, text: &str) {
    assert!(guest.board.machine.room(device, port) >= text.len(), "port {port} has no room");
    assert!(guest.board.machine.arrive(device, Input::PortBytes { port, bytes: text.into() }), "the gate is closed");
}

#[test]
fn debian_talks_on_a_console_and_on_a_port() {
    let initrd = with_drivers("virtio-serial.gz");
    let line = "-chardev null,id=c0 -chardev null,id=c1 -device virtio-serial-pci,id=vs -device virtserialport,chardev=c1,\
                name=org.lockstep.test,nr=5,id=mine -device virtconsole,chardev=c0,bus=vs.0";
    let more: Vec<_> = ["-initrd", &initrd, "-cpu", "max"].into_iter().chain(line.split_whitespace()).collect();
    let mut guest = Guest::start(&debian(""), &more);
    let ports = guest.board.serial_ports.clone();
    let told: Vec<_> = ports.iter().map(|port| (port.number, port.id.as_deref(), port.console)).collect();
    assert_eq!(told, [(5, Some("mine"), false), (0, None, true)]);
    let device = ports[0].device;
    guest.expect("# ", MINUTE);
    load(&mut guest, &["virtio_console"]);
    guest.type_in("cat /sys/class/virtio-ports/vport0p5/name\n");
    guest.expect("org.lockstep.test", MINUTE);
    // A console: what is typed there is echoed by its line discipline and answered by a program.
    guest.type_in("(while read line; do echo heard:$line; done) < /dev/hvc0 > /dev/hvc0 2>&1 &\n");
    guest.expect("# ", MINUTE);
    send(&mut guest, device, 0, "hello there\n");
    expect_on_port(&mut guest, 0, "hello there\r\n");
    expect_on_port(&mut guest, 0, "heard:hello there\r\n");
    // A port: bytes as they are, both ways, once a program has it open.
    assert_eq!(guest.board.machine.room(device, 5), 0, "nobody has the port open");
    guest.board.machine.take_notices();
    guest.type_in("busybox seq -w 0 999 > /tmp/wanted; dd bs=1 count=4000 if=/dev/vport0p5 of=/tmp/got; \\\n");
    guest.type_in("cmp /tmp/got /tmp/wanted && echo same-$?; echo to-the-host > /dev/vport0p5\n");
    while guest.board.machine.room(device, 5) == 0 {
        let now = guest.board.machine.now();
        guest.run_to(now + 1_000_000);
    }
    let text: String = (0..1000).map(|n| format!("{n:03}\n")).collect();
    send(&mut guest, device, 5, &text);
    guest.expect("same-0", MINUTE);
    expect_on_port(&mut guest, 5, "to-the-host\n");
    let notices: Vec<_> = guest.board.machine.take_notices().into_iter().map(|(_, notice)| notice).collect();
    let open = |open| Notice::PortOpen { port: 5, open };
    assert_eq!(notices, [open(true), open(false), open(true), open(false)]);
    // Another port comes, is used and goes.
    let properties =
        [("name", "org.lockstep.late"), ("chardev", "c1")].map(|(name, value)| (name.into(), value.into()));
    let (driver, origin) = ("virtserialport".into(), "device_add".into());
    let late = DeviceConfig { driver, id: Some("late".into()), origin, properties: properties.into() };
    let arguments = [debian(""), more.iter().map(|word| (*word).to_owned()).collect()].concat();
    let (port, plugged) = guest.board.plan_port(&config(&arguments), device, "vs.0", &late).expect("there is room");
    assert_eq!(port.number, 1);
    guest.board.machine.enter(Outside::Input { device, input: plugged }).expect("an open gate");
    guest.type_in("while ! [ -c /dev/vport0p1 ]; do sleep 0.1; done; cat /sys/class/virtio-ports/vport0p1/name\n");
    guest.expect("org.lockstep.late", MINUTE);
    guest.type_in("echo from-the-late-one > /dev/vport0p1\n");
    expect_on_port(&mut guest, 1, "from-the-late-one\n");
    let unplugged = Input::PortUnplugged { port: 1 };
    guest.board.machine.enter(Outside::Input { device, input: unplugged }).expect("an open gate");
    guest.type_in("while [ -e /dev/vport0p1 ]; do sleep 0.1; done; echo gone-$?\n");
    guest.expect("gone-0", MINUTE);
    guest.type_in("poweroff -f\n");
    assert_eq!(guest.run_to_end(MINUTE), Ending::PowerOff);
    std::fs::remove_file(initrd).expect("a scratch file");
}

#[test]
fn debian_uses_a_disk_behind_two_bridges() {
    let bridges = ["pci-bridge,chassis_nr=1,id=br,addr=7", "pci-bridge,chassis_nr=2,id=br2,bus=br,addr=1.0"];
    // By pins, which pass both bridges.
    disk_works_beside("virtio-bridged", ",bus=br2,addr=0x1e,vectors=0", &bridges);
    // By messages, as one of a slot's functions.
    let first_function = ["virtio-rng-pci,bus=br,addr=3,multifunction=on"];
    let before = [&bridges[..], &first_function].concat();
    disk_works_beside("virtio-bridged-msi", ",bus=br,addr=3.5,disable-legacy=on", &before);
}
