//! libvirt runs a domain on Lockstep, which it takes for QEMU: it looks at what there is, writes the command line, and speaks
//! QMP as it does to QEMU. Its daemon, virsh and the console are the real ones.

use lockstep_tests::guest::guest_file;
use lockstep_tests::libvirt::Libvirt;

const MIB: usize = 1 << 20;

/// A domain with a disk, a console and a balloon.
fn domain(libvirt: &Libvirt) -> String {
    let read = |name: &str| std::fs::read(guest_file(name)).expect("a guest's file");
    let kernel = libvirt.keep("vmlinuz", &read("vmlinuz"));
    let initrd = libvirt.keep("initrd", &[read("initrd.gz"), read("virtio.gz")].concat());
    let disk = libvirt.keep("disk", &[b"FIRST-DISK".to_vec(), vec![0; 2 * MIB - 10]].concat());
    let emulator = libvirt.emulator();
    let text = format!(
        "<domain type='qemu'>
           <name>moon</name>
           <memory unit='MiB'>256</memory>
           <vcpu>1</vcpu>
           <os>
             <type arch='x86_64' machine='pc'>hvm</type>
             <kernel>{kernel}</kernel>
             <initrd>{initrd}</initrd>
             <cmdline>console=ttyS0</cmdline>
           </os>
           <features><acpi/><apic/></features>
           <cpu mode='custom'><model>qemu64</model></cpu>
           <devices>
             <emulator>{emulator}</emulator>
             <controller type='usb' model='none'/>
             {}
             <serial type='pty'/>
             <console type='pty'/>
             <memballoon model='virtio'/>
           </devices>
         </domain>",
        disk_of(&disk, "vda")
    );
    libvirt.keep("domain.xml", text.as_bytes())
}

fn disk_of(file: &str, name: &str) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{file}'/>
         <target dev='{name}' bus='virtio'/></disk>"
    )
}

#[test]
#[ignore = "needs libvirt: tests/run --long"]
fn a_domain_lives_its_life() {
    let libvirt = Libvirt::start("libvirt");
    let capabilities = libvirt.virsh(&["domcapabilities", "--emulatorbin", &libvirt.emulator()]);
    for told in ["<machine>pc-i440fx-7.2</machine>", "<vcpu max='8'/>", "<model usable='yes' vendor='unknown'>qemu64"] {
        assert!(capabilities.contains(told), "{told} is not in {capabilities}");
    }
    // What guests can have is no more than Lockstep has, whatever the host's processor is.
    assert!(!capabilities.contains("avx512f"), "{capabilities}");

    libvirt.virsh(&["define", &domain(&libvirt)]);
    libvirt.virsh(&["start", "moon"]);
    let mut console = libvirt.console("moon");
    console.until("INIT-REACHED");
    console.until("# ");
    let drivers = "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk virtio_balloon";
    console
        .type_in(&format!("cd /modules; for m in {drivers}; do insmod $m.ko; done; head -c 10 /dev/vda; echo -$?\r"));
    console.until("FIRST-DISK-0");
    let described = libvirt.virsh(&["dumpxml", "moon"]);
    assert!(described.contains("<source path='/dev/pts/") && described.contains("check='full'"), "{described}");

    libvirt.virsh(&["suspend", "moon"]);
    assert_eq!(libvirt.virsh(&["domstate", "moon"]).trim(), "paused");
    libvirt.virsh(&["resume", "moon"]);
    assert_eq!(libvirt.virsh(&["domstate", "moon"]).trim(), "running");

    // The guest gives memory up, and libvirt hears of it.
    libvirt.virsh(&["setmem", "moon", "160M"]);
    let total = "sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo";
    console.type_in(&format!("until [ $({total}) -lt 163840 ]; do sleep 0.1; done; echo given-$?\r"));
    console.until("given-0");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !libvirt.virsh(&["dommemstat", "moon"]).contains("actual 163840") {
        assert!(std::time::Instant::now() < deadline, "{}", libvirt.virsh(&["dommemstat", "moon"]));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }

    // A disk comes, is used and goes.
    let second = libvirt.keep("second", &[b"OTHER-DISK".to_vec(), vec![0; 4 * MIB - 10]].concat());
    let second = libvirt.keep("second.xml", disk_of(&second, "vdb").as_bytes());
    libvirt.virsh(&["attach-device", "moon", &second]);
    console.type_in("until [ -b /dev/vdb ]; do sleep 0.1; done; head -c 10 /dev/vdb; echo -$?\r");
    console.until("OTHER-DISK-0");
    assert!(libvirt.virsh(&["domblklist", "moon"]).contains("vdb"));
    let counted = libvirt.virsh(&["domblkstat", "moon", "vdb", "--human"]);
    assert!(counted.contains("number of read operations"), "{counted}");
    libvirt.virsh(&["detach-device", "moon", &second]);
    console.type_in("while [ -e /sys/block/vdb ]; do sleep 0.1; done; echo gone-$?\r");
    console.until("gone-0");

    let dump = libvirt.path("dump").display().to_string();
    libvirt.virsh(&["dump", "moon", &dump, "--memory-only", "--format", "kdump-zlib"]);
    lockstep_dump::read::Dump::open(dump.as_ref()).expect("a dump");

    // libvirt asks the guest to switch itself off, and switches it on again. Nobody in this guest hears the button.
    libvirt.virsh(&["reboot", "moon"]);
    console.type_in("poweroff -f\r");
    console.until("INIT-REACHED");
    libvirt.virsh(&["shutdown", "moon"]);
    console.until("# ");
    console.type_in("poweroff -f\r");
    libvirt.until_state("moon", "shut off");
    drop(console);

    libvirt.virsh(&["start", "moon"]);
    libvirt.virsh(&["destroy", "moon"]);
    assert_eq!(libvirt.virsh(&["domstate", "moon"]).trim(), "shut off");
    libvirt.virsh(&["undefine", "moon"]);
}
