//! How `info` lays out what it shows: as QEMU does, for those who take it apart.

use super::Fixture;
use crate::bare_guest::BareGuest;

#[test]
fn drives_have_a_block_of_lines_each_and_a_blank_line_between_them() {
    let guest = BareGuest::new("shown-disks");
    let [disk, other] = ["disk", "other"].map(|name| {
        let path = guest.folder.join(name);
        std::fs::write(&path, [0; 4096]).expect("an image");
        path.display().to_string()
    });
    let mut f = Fixture::new(
        "shown-block",
        &format!(
            "-drive if=ide,file={disk},format=raw,cache=unsafe,bps=1000 -drive if=none,id=d,file={other},format=raw \
             -device virtio-blk-pci,id=v0,drive=d -drive if=ide,index=2,media=cdrom"
        ),
    );
    let shown = f.says("info block");
    let blocks: Vec<_> = shown.split("\n\n").collect();
    let limits = "bps=1000 bps_rd=0 bps_wr=0 bps_max=0 bps_rd_max=0 bps_wr_max=0 iops=0 iops_rd=0 iops_wr=0 iops_max=0 \
                  iops_rd_max=0 iops_wr_max=0 iops_size=0 group=ide0-hd0";
    assert_eq!(blocks.len(), 3, "{shown}");
    let hd = &blocks.iter().find(|block| block.starts_with("ide0-hd0")).expect("a disk");
    assert!(hd.starts_with(&format!("ide0-hd0 (#ide0-hd0): {disk} (raw)\n    Attached to:      /machine/")), "{hd}");
    let rest = format!("\n    Cache mode:       writeback, ignore flushes\n    I/O throttling:   {limits}");
    assert!(hd.trim_end().ends_with(&rest), "{hd}");
    let virtio = format!("d (#d): {other} (raw)\n    Attached to:      /machine/peripheral/v0/virtio-backend\n");
    assert!(shown.contains(&virtio), "{shown}");
    assert_eq!(f.says("info block nosuch"), "");
    let verbose = f.says("info block -v ide0-hd0");
    let image = format!("\n\nImages:\nimage: {disk}\nfile format: raw\nvirtual size: 4 KiB (4096 bytes)\ndisk size: ");
    assert!(verbose.contains(&image), "{verbose}");
    assert!(f.says("info block -n").contains(&format!("#ide0-hd0: {disk} (raw)\n    Cache mode:       writeback")));
    let statistics = f.says("info blockstats");
    let line = "ide0-hd0: rd_bytes=0 wr_bytes=0 rd_operations=0 wr_operations=0 flush_operations=0 wr_total_time_ns=0 \
                rd_total_time_ns=0 flush_total_time_ns=0 rd_merged=0 wr_merged=0 idle_time_ns=0\n";
    assert!(statistics.contains(line), "{statistics}");
}

#[test]
fn ram_is_a_region_of_its_own_that_the_address_space_shows_parts_of() {
    let mut f = Fixture::new("shown-mtree", "-m 5G -smp 2");
    let placed = f.says("info mtree");
    for line in [
        "address-space: memory\n  0000000000000000-ffffffffffffffff (prio 0, i/o): system\n",
        "    0000000000000000-000000000009ffff (prio 0, ram): alias ram-below-4g @pc.ram 0000000000000000-000000000009ffff\n",
        "    0000000100000000-000000017fffffff (prio 0, ram): alias ram-above-4g @pc.ram 00000000c0000000-000000013fffffff\n",
        "    00000000fec00000-00000000fec00fff (prio 4096, i/o): ioapic.0\n",
        "address-space: I/O\n  0000000000000000-000000000000ffff (prio 0, i/o): io\n",
        "memory-region: pc.ram\n  0000000000000000-000000013fffffff (prio 0, ram): pc.ram\n",
    ] {
        assert!(placed.contains(line), "no {line} in\n{placed}");
    }
    assert!(!placed.contains("pam-ram"), "the windows are closed: {placed}");
    assert!(f.says("info mtree -D").contains("alias pam-ram @pc.ram 00000000000c0000-00000000000c3fff [disabled]"));
    let flat = f.says("info mtree -f");
    let top = "FlatView #0\n AS \"memory\", root: system\n AS \"cpu-memory-0\", root: system\n AS \"cpu-memory-1\", root: \
               system\n Root memory region: system\n  0000000000000000-000000000009ffff (prio 0, ram): pc.ram\n";
    assert!(flat.starts_with(top), "{flat}");
    for line in [
        "  0000000000100000-00000000bfffffff (prio 0, ram): pc.ram @0000000000100000\n",
        "  0000000100000000-000000017fffffff (prio 0, ram): pc.ram @00000000c0000000\n",
        "  00000000fee00000-00000000fee00fff (prio 4096, i/o): apic.0\n",
        " (prio 1, rom): pc.bios",
        "\n AS \"I/O\", root: io\n Root memory region: io\n",
    ] {
        assert!(flat.contains(line), "no {line} in\n{flat}");
    }
}

#[test]
fn processors_have_places() {
    let mut f = Fixture::new("shown-processors", "-smp 1,maxcpus=2");
    assert_eq!(
        f.says("info hotpluggable-cpus"),
        "Hotpluggable CPUs:\n  type: \"qemu64-x86_64-cpu\"\n  vcpus_count: \"1\"\n  CPUInstance Properties:\n    \
         socket-id: \"0\"\n    die-id: \"0\"\n    core-id: \"1\"\n    thread-id: \"0\"\n  type: \
         \"qemu64-x86_64-cpu\"\n  vcpus_count: \"1\"\n  qom_path: \"/machine/unattached/device[0]\"\n  CPUInstance \
         Properties:\n    socket-id: \"0\"\n    die-id: \"0\"\n    core-id: \"0\"\n    thread-id: \"0\"\n"
    );
}

#[test]
fn memory_has_backends_and_modules() {
    let mut f = Fixture::new("shown-memory", "-m 16M,slots=2,maxmem=1G");
    assert_eq!(f.says("object_add memory-backend-ram,id=m1,size=128M"), "");
    assert_eq!(f.says("object_add iothread,id=io0"), "");
    assert_eq!(f.says("info memory_size_summary"), "base memory: 16777216\nplugged memory: 0");
    let backends = f.says("info memdev");
    assert!(
        backends.contains("memory backend: pc.ram\n  size:  16777216\n  merge: false\n  dump: true\n"),
        "{backends}"
    );
    assert!(backends.contains("memory backend: m1\n  size:  134217728\n"), "{backends}");
    assert!(backends.contains("  policy: default\n  host nodes: \n"), "{backends}");
    assert_eq!(f.says("info memory-devices"), "");
    assert_eq!(f.says("device_add pc-dimm,id=d1,memdev=m1"), "");
    assert_eq!(
        f.says("info memory-devices"),
        "Memory device [dimm]: \"d1\"\n  addr: 0x100000000\n  slot: 0\n  node: 0\n  size: 134217728\n  memdev: \
         /objects/m1\n  hotplugged: true\n  hotpluggable: true\n"
    );
    let threads = f.says("info iothreads");
    assert!(threads.starts_with("io0:\n  thread_id=") && threads.contains("\n  poll-max-ns=32768\n  poll-grow=0\n"));
    assert!(
        f.says("info ramblock").contains("                  pc.ram    4 KiB  0x0000000000000000 0x0000000001000000")
    );
}

#[test]
fn what_is_there_and_what_is_not_is_told_in_a_line() {
    let mut f = Fixture::new(
        "shown-lines",
        "-S -name small -chardev null,id=n0 -device virtio-rng-pci,id=r0 \
         -device vmgenid,guid=00112233-4455-6677-8899-aabbccddeeff",
    );
    for (topic, said) in [
        ("status", "VM status: paused (prelaunch)"),
        ("name", "small"),
        ("uuid", "00000000-0000-0000-0000-000000000000"),
        ("kvm", "kvm support: disabled"),
        ("jit", "Accelerator settings:\none-insn-per-tb: off"),
        ("vm-generation-id", "00112233-4455-6677-8899-aabbccddeeff"),
        ("replay", "Record/replay is not active"),
        ("virtio", "/machine/peripheral/r0 [virtio-rng]\n"),
        ("migrate", "Outgoing migration blocked:\n  Lockstep does not migrate\n"),
        ("migrate_capabilities", "events: off\n"),
        ("block-jobs", "No active jobs"),
        ("snapshots", "no block device can store vmstate for snapshot"),
        ("vnc", "None"),
        ("spice", "Server: disabled"),
        ("tpm", ""),
        ("network", ""),
        ("stats vm", ""),
        ("dump", "Status: none"),
        ("mice", "* Mouse #1: PS/2 mouse\n"),
    ] {
        assert_eq!(f.says(&format!("info {topic}")), said, "{topic}");
    }
    assert!(f.says("info chardev").lines().any(|line| line == "n0: filename=null"));
    let drivers = f.says("info qdm");
    assert!(drivers.contains("name \"virtio-blk-pci\", bus PCI, desc \""), "{drivers}");
    assert!(f.says("info registers 0").starts_with("CPU#0\n"));
}
