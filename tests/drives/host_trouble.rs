//! What happens when the host cannot do its part: an image that cannot be had is refused in one line, and a disk that is full is the
//! guest's I/O error or a stop, by policy; nothing is lost and nothing hangs.

use lockstep_tests::guest::guest_file;
use lockstep_tests::program::{lockstep, run, scratch, scratch_path};
use lockstep_tests::session::Session;
use lockstep_tests::small_disk::with_small_disk;
use std::path::{Path, PathBuf};
use std::process::Command;

const CLUSTER: usize = 64 << 10;

fn refused(drive: &str, said: &[&str]) {
    let output = run(&["-nodefaults", "-display", "none", "-drive", drive]);
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{drive}: {line}");
    assert_eq!(line.lines().count(), 1, "{drive}: {line}");
    for part in said {
        assert!(line.contains(part), "{drive}: should mention {part:?}: {line}");
    }
}

/// An empty qcow2 image of 1 MiB, version 3, over a backing file.
fn qcow2(backing: &str) -> Vec<u8> {
    let mut image = vec![0; 4 * CLUSTER];
    let name_at = if backing.is_empty() { 0 } else { 256_u64 };
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb\0\0\0\x03");
    put(8, &name_at.to_be_bytes());
    put(16, &(backing.len() as u32).to_be_bytes());
    put(20, &16_u32.to_be_bytes());
    put(24, &(1_u64 << 20).to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &(3 * CLUSTER as u64).to_be_bytes());
    put(48, &(CLUSTER as u64).to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(96, &4_u32.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    put(256, backing.as_bytes());
    // One block of reference counts, and every cluster is used once.
    put(CLUSTER, &(2 * CLUSTER as u64).to_be_bytes());
    (0..4).for_each(|cluster| put(2 * CLUSTER + 2 * cluster, &1_u16.to_be_bytes()));
    image
}

#[test]
fn an_image_that_cannot_be_had_is_refused_in_one_line() {
    refused("file=/nowhere/disk.raw,format=raw", &["-drive file=/nowhere/disk.raw", "No such file"]);
    let image = |name: &str, bytes: &[u8]| scratch(name, bytes).display().to_string();

    let lonely = image("lonely.qcow2", &qcow2("/nowhere/base.raw"));
    refused(&format!("file={lonely}"), &[&lonely, "its backing file: /nowhere/base.raw: No such file"]);
    let circle = scratch_path("circle.qcow2").display().to_string();
    std::fs::write(&circle, qcow2(&circle)).expect("a scratch file");
    refused(&format!("file={circle}"), &[&circle]);

    let good = qcow2("");
    let corrupt = |name: &str, at: usize, byte: u8, why: &str| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let path = image(name, &bytes);
        refused(&format!("file={path},format=qcow2"), &[&path, "cannot be used as a qcow2 image", why]);
        std::fs::remove_file(path).expect("a scratch file");
    };
    corrupt("magic.qcow2", 0, 0, "does not begin as one");
    corrupt("version.qcow2", 7, 9, "version 9");
    corrupt("clusters.qcow2", 23, 40, "corrupt");
    corrupt("l1.qcow2", 47, 1, "corrupt");
    corrupt("far.qcow2", 40, 0x7f, "cut short");
    corrupt("dirty.qcow2", 79, 2, "marked as corrupt");
    let short = image("short.qcow2", &good[..50]);
    refused(&format!("file={short},format=qcow2"), &[&short, "cut short"]);
    [lonely, circle, short].iter().for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}

#[test]
fn an_image_that_another_process_writes_is_refused() {
    let image = scratch("locked.raw", &vec![0; 1 << 20]).display().to_string();
    let drive = format!("file={image},format=raw");
    // When its firmware speaks, its drives are open.
    let owns = || {
        let mut command = Command::new(lockstep());
        let mut owner =
            Session::start(command.args(["-nographic", "-nodefaults", "-serial", "stdio", "-drive", &drive]));
        owner.expect("Lockstep BIOS");
        owner
    };
    let owner = owns();
    refused(&drive, &[&image, "in use by another process"]);
    refused(&format!("{drive},readonly=on"), &[&image, "in use by another process"]);
    owner.kill();
    // The kernel gave the lock back with the process.
    owns().kill();
    std::fs::remove_file(image).expect("a scratch file");
}

/// Lockstep with an image on a file system of its own of 16 MiB, most of which is taken.
struct Cramped {
    session: Session,
    folder: PathBuf,
}

impl Cramped {
    fn start(name: &str, policy: &str) -> Self {
        let folder = scratch_path(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let at = folder.display();
        let setup =
            format!("truncate -s 32M {at}/disk.raw && dd if=/dev/zero of={at}/ballast bs=1M count=12 status=none");
        let drive = format!("file={at}/disk.raw,format=raw,if=virtio,werror={policy}");
        let mut session = Session::start(
            with_small_disk(&folder, "16M", &setup)
                .arg(lockstep())
                .args(["-m", "256", "-cpu", "max", "-nographic", "-nodefaults", "-serial", "mon:stdio", "-no-reboot"])
                .args(["-kernel", &guest_file("vmlinuz"), "-initrd", &guest_file("diskwork.gz")])
                .args(["-append", "console=ttyS0", "-drive", &drive]),
        );
        session.expect("/root # ");
        session.type_in(
            "for m in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do \
             insmod /modules/$m.ko; done; seq 1 1000000 > /tmp/numbers; \
             dd if=/tmp/numbers of=/dev/vda bs=64k conv=fsync && echo all wr''itten || echo not all wr''itten\n",
        );
        Self { session, folder }
    }

    /// The folder as the process sees it.
    fn inside(&self, file: &str) -> PathBuf {
        let root = Path::new("/proc").join(self.session.id().to_string()).join("root");
        root.join(self.folder.strip_prefix("/").expect("an absolute path")).join(file)
    }

    fn power_off(mut self) {
        self.session.type_in("echo sti''ll here; poweroff -f\n");
        self.session.expect("still here");
        assert_eq!(self.session.wait(), Some(0));
        std::fs::remove_dir(&self.folder).expect("a folder");
    }
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn a_full_disk_is_an_error_in_the_guest_where_it_shall_be_reported() {
    let mut cramped = Cramped::start("full-report", "report");
    cramped.session.expect("I/O error, dev vda");
    cramped.session.expect("not all written");
    cramped.power_off();
}

#[test]
#[ignore = "takes minutes: tests/run --long"]
fn a_full_disk_stops_the_machine_until_there_is_room_and_nothing_is_lost() {
    let mut cramped = Cramped::start("full-stop", "enospc");
    cramped.session.expect_complaint("write: No space left on device");
    cramped.session.expect_complaint("the machine is stopped");
    // Without room it stops again.
    cramped.session.type_in("\x01ccont\n");
    cramped.session.expect_complaint("the machine is stopped");
    std::fs::remove_file(cramped.inside("ballast")).expect("the ballast");
    cramped.session.type_in("cont\n\x01c");
    cramped.session.expect("all written");
    assert!(!cramped.session.heard().contains("I/O error"), "{}", cramped.session.heard());
    let held = std::fs::read(cramped.inside("disk.raw")).expect("the image");
    let wanted: String = (1..=1_000_000).map(|n| format!("{n}\n")).collect();
    assert!(held.starts_with(wanted.as_bytes()), "the image does not hold what was written");
    cramped.power_off();
}
