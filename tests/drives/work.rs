//! A guest that works hard on its disk, and what must be true of the image afterwards: after an orderly end, and after the emulator
//! was killed in the middle of it.

use lockstep::machine::Ending;
use lockstep::snapshot::Snapshot;
use lockstep_tests::disk_traffic::in_flight;
use lockstep_tests::diskwork::{Claims, fnv};
use lockstep_tests::guest::{Guest, debian, guest_file};
use lockstep_tests::program::{lockstep, scratch, scratch_path};
use lockstep_tests::session::Session;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MINUTE: u64 = 60_000_000_000;

/// How the guest reaches its disk.
#[derive(Clone, Copy)]
struct Way {
    /// What `-device` takes, before its drive.
    device: &'static str,
    /// The disk's name in the guest.
    node: &'static str,
    /// Its drivers, each after those that it needs.
    drivers: &'static [&'static str],
}

const VIRTIO: Way = Way {
    device: "virtio-blk-pci",
    node: "/dev/vda",
    drivers: &["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"],
};
const PACKED: Way = Way { device: "virtio-blk-pci,packed=on,indirect_desc=off", ..VIRTIO };
/// By bus-master DMA.
const IDE: Way =
    Way { device: "ide-hd", node: "/dev/sda", drivers: &["scsi_common", "scsi_mod", "libata", "ata_piix", "sd_mod"] };
/// By programmed I/O.
const IDE_PIO: Way = Way { drivers: &["scsi_common", "scsi_mod", "libata.ko dma=0", "ata_piix", "sd_mod"], ..IDE };

impl Way {
    /// What the guest types to have its disk.
    fn load(self) -> String {
        let insmod = |driver: &&str| match driver.split_once(".ko ") {
            Some((name, options)) => format!("insmod /modules/{name}.ko {options}; "),
            None => format!("insmod /modules/{driver}.ko; "),
        };
        let drivers: String = self.drivers.iter().map(insmod).collect();
        // Disks are found in the background.
        format!("{drivers}until [ -b {} ]; do sleep 1; done", self.node)
    }
}

/// Runs one of the host's programs; its status must be one of these.
fn host(program: &str, arguments: &[&str], statuses: &[i32]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let status = output.status.code();
    assert!(status.is_some_and(|s| statuses.contains(&s)), "{program} {arguments:?}: {status:?}\n{said}");
    said
}

/// Four processes read and write at random and compare; then the image must hold what the guest read last.
fn mixed(image: &Path, format: &str, way: Way, count: u32) -> u64 {
    let drive = format!("file={},format={format},if=none,id=d0,discard=unmap", image.display());
    let device = format!("{},drive=d0", way.device);
    let more = ["-initrd", &guest_file("diskwork.gz"), "-cpu", "max", "-drive", &drive, "-device", &device];
    let mut guest = Guest::start(&debian("quiet"), &more);
    guest.expect("# ", MINUTE);
    guest.type_in(&format!("{}; diskwork mixed {} 7 {count}; poweroff -f\n", way.load(), way.node));
    assert_eq!(guest.run_to_end(60 * MINUTE), Ending::PowerOff);
    let hash = guest.console.split("MIXED-DONE ").nth(1).and_then(|rest| u64::from_str_radix(rest.get(..16)?, 16).ok());
    hash.unwrap_or_else(|| panic!("the guest found a difference:\n{}", guest.console))
}

fn mixed_in_raw(name: &str, way: Way, bytes: usize, count: u32) {
    let image = scratch(&format!("mixed-{name}.raw"), &vec![0; bytes]);
    let seen = mixed(&image, "raw", way, count);
    assert_eq!(fnv(&[&std::fs::read(&image).expect("the image")]), seen, "{name}");
    std::fs::remove_file(image).expect("a scratch file");
}

fn mixed_in_qcow2(name: &str, way: Way, count: u32) {
    let [image, raw] = [format!("mixed-{name}.qcow2"), format!("mixed-{name}-converted.raw")]
        .map(|name| scratch_path(&name).display().to_string());
    host("qemu-img", &["create", "-q", "-f", "qcow2", &image, "64M"], &[0]);
    let seen = mixed(Path::new(&image), "qcow2", way, count);
    host("qemu-img", &["check", "-q", &image], &[0]);
    host("qemu-img", &["convert", "-O", "raw", &image, &raw], &[0]);
    assert_eq!(fnv(&[&std::fs::read(&raw).expect("the image")]), seen);
    [image, raw].iter().for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}

#[test]
fn what_is_read_is_what_was_written_by_virtio() {
    mixed_in_raw("virtio", VIRTIO, 32 << 20, 100);
    mixed_in_raw("packed", PACKED, 32 << 20, 100);
}

#[test]
fn what_is_read_is_what_was_written_by_ide() {
    mixed_in_raw("ide", IDE, 16 << 20, 100);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn ide_in_a_raw_image_holds_what_was_written() {
    mixed_in_raw("ide-long", IDE, 64 << 20, 2_000);
    mixed_in_raw("ide-pio", IDE_PIO, 16 << 20, 400);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn virtio_in_a_raw_image_holds_what_was_written() {
    mixed_in_raw("virtio-long", VIRTIO, 64 << 20, 2_000);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn virtio_in_a_qcow2_image_holds_what_was_written() {
    mixed_in_qcow2("virtio", VIRTIO, 2_000);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn ide_in_a_qcow2_image_holds_what_was_written() {
    mixed_in_qcow2("ide", IDE, 2_000);
}

/// A guest with everything under way at once: two disks with many requests each, a CD, and random numbers.
fn busy(images: &[PathBuf; 3]) -> Guest {
    let drive = |index: usize, more: &str| {
        format!("file={},format=raw,if=none,id=d{index},snapshot=on,discard=unmap{more}", images[index].display())
    };
    let (virtio, ide, cd) = (drive(0, ""), drive(1, ""), drive(2, ",media=cdrom,readonly=on"));
    let drives = ["-drive", &virtio, "-drive", &ide, "-drive", &cd, "-device", "virtio-blk-pci,drive=d0,id=disk"];
    let devices = ["-device", "ide-hd,drive=d1,bus=ide.0", "-device", "ide-cd,drive=d2,bus=ide.1", "-device"];
    let others = ["virtio-rng-pci", "-initrd", &guest_file("diskwork.gz"), "-cpu", "max", "-smp", "2"];
    let mut guest = Guest::start(&debian("quiet"), &[&drives[..], &devices, &others].concat());
    guest.expect("# ", MINUTE);
    let load = ["cdrom", "sr_mod", "virtio-rng"].map(|driver| format!("insmod /modules/{driver}.ko; ")).concat();
    guest.type_in(&format!("{}; {}; {load} until [ -b /dev/sr0 ]; do sleep 1; done\n", VIRTIO.load(), IDE.load()));
    let readers = "dd if=/dev/sr0 of=/dev/null bs=32k & dd if=/dev/hwrng of=/dev/null bs=512 count=200 &";
    let writers = "diskwork mixed /dev/vda 7 60 & diskwork mixed /dev/sda 9 60 &";
    guest.type_in(&format!("echo go $((6 * 7)); {readers} {writers} wait; poweroff -f\n"));
    guest.expect("go 42", MINUTE);
    guest
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn a_busy_guest_saved_with_requests_in_flight_goes_on_alike() {
    let images = ["vda", "sda", "sr0"].map(|name| scratch(&format!("busy-{name}.raw"), &vec![0; 8 << 20]));
    // Who must be waiting for at least how many.
    let mut wanted = vec![(("disk", 0), 1), (("disk", 0), 2), (("piix3-ide", 0), 1), (("piix3-ide", 2), 1)];
    let mut first = busy(&images);
    let (mut saved, mut random) = (Vec::new(), 0x5eed_u64);
    let mut below = |limit: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 20) % limit
    };
    let begun = first.board.machine.now();
    while !wanted.is_empty() {
        let next = first.board.machine.now() + 1 + below(1_000_000);
        let ended = first.run_to(next);
        assert_eq!(ended, None, "there was nothing like {wanted:?} in flight");
        let met = wanted.iter().position(|(asker, count)| in_flight(&first, *asker) >= *count);
        if let Some(met) = met {
            wanted.remove(met);
            let snapshot = Snapshot::of(&first.board.machine).expect("it can be saved");
            saved.push((snapshot, first.console.clone()));
        }
    }
    assert_eq!(first.run_to_end(10 * MINUTE), Ending::PowerOff);
    assert_eq!(first.console.matches("MIXED-DONE").count(), 2, "{}", first.console);
    let (state, digest) = (first.board.machine.save_state().expect("a state"), first.digest());
    for (snapshot, console) in saved {
        let mut second = busy(&images);
        let elsewhere = begun + below(100_000_000);
        assert_eq!(second.run_to(elsewhere), None);
        snapshot.restore(&mut second.board.machine).expect("it can be loaded");
        second.console = console;
        assert_eq!(second.run_to_end(10 * MINUTE), Ending::PowerOff);
        assert_eq!(second.board.machine.save_state().expect("a state"), state);
        assert_eq!((second.digest(), &second.console), (digest, &first.console));
    }
    images.iter().for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}

/// Lets the guest write to the file system in an image, kills the emulator after a while, and returns what the guest had said.
fn killed(image: &Path, format: &str, round: u32, after: Duration) -> String {
    let drive = format!("file={},format={format},if=virtio", image.display());
    let mut session = Session::start(
        Command::new(lockstep())
            .args(["-m", "256", "-cpu", "max", "-nographic", "-nodefaults", "-serial", "stdio", "-no-reboot"])
            .args(["-kernel", &guest_file("vmlinuz"), "-initrd", &guest_file("diskwork.gz")])
            .args(["-append", "console=ttyS0 quiet", "-drive", &drive]),
    );
    session.expect("/root # ");
    let folder = format!("mkdir /disk; mount -t ext4 /dev/vda /disk && mkdir /disk/{round} && sync");
    session.type_in(&format!("{}; {folder} && diskwork sync /disk/{round} {round}\n", VIRTIO.load()));
    session.expect("DONE");
    std::thread::sleep(after);
    session.kill()
}

/// A file system in an image survives that the emulator is killed, again and again, with all that was flushed.
fn survives(format: &str, rounds: u32) {
    let image = scratch_path(&format!("killed.{format}"));
    let [raw, copy, files] = ["raw", "copy", "files"].map(|what| scratch_path(&format!("killed-{format}.{what}")));
    let [raw_name, copy_name] = [&raw, &copy].map(|path| path.display().to_string());
    let image_name = image.display().to_string();
    host("mke2fs", &["-q", "-F", "-t", "ext4", &raw_name, "256M"], &[0]);
    host("qemu-img", &["convert", "-O", format, &raw_name, &image_name], &[0]);
    let mut random = std::process::id() ^ format.len() as u32;
    let mut claims = Vec::new();
    for round in 0..rounds {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let after = Duration::from_millis(u64::from(random >> 20));
        let said = killed(&image, format, round, after);
        claims.push(Claims::of(&said));
        let done = claims.last().map_or(0, Claims::len);
        assert!(done > 0, "the guest wrote nothing in round {round}:\n{said}");
        println!("round {round}: killed after {after:?}, {done} claims");
        if format == "qcow2" {
            // 3: clusters that nothing refers to are lost, and nothing else.
            host("qemu-img", &["check", "-q", &image_name], &[0, 3]);
        }
        // The next guest recovers the image by itself; what e2fsck makes of it is seen on a copy.
        host("qemu-img", &["convert", "-f", format, "-O", "raw", &image_name, &copy_name], &[0]);
        host("e2fsck", &["-fy", &copy_name], &[0, 1]);
        host("e2fsck", &["-fn", &copy_name], &[0]);
        std::fs::create_dir(&files).expect("a folder");
        host("debugfs", &["-R", &format!("rdump / {}", files.display()), &copy_name], &[0]);
        for (round, claims) in claims.iter().enumerate() {
            claims.check(&files.join(round.to_string())).unwrap_or_else(|lost| panic!("round {round}: {lost}"));
        }
        std::fs::remove_dir_all(&files).expect("a folder of the test's own");
    }
    let gone: [&PathBuf; 3] = [&image, &raw, &copy];
    gone.iter().for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn ext4_in_a_raw_image_survives_kills() {
    survives("raw", 20);
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn ext4_in_a_qcow2_image_survives_kills() {
    survives("qcow2", 20);
}
