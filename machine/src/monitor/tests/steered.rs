//! Commands that change what the host has for the machine, or the machine through it.

use super::Fixture;

#[test]
fn character_devices_come_change_and_go() {
    let mut f = Fixture::new("steered-chardev", "-chardev null,id=line -device isa-debugcon,chardev=line");
    assert_eq!(f.says("chardev-add ringbuf,id=ring,size=16"), "");
    assert!(f.says("chardev-add null,id=ring").starts_with("Error: "), "the name is taken");
    assert!(f.says("chardev-add ringbuf,id=odd,size=15").starts_with("Error: "));
    assert!(f.says("chardev-add stdio,id=term").starts_with("Error: The terminal is taken"));
    assert!(f.says("chardev-add socket,id=s,path=/tmp/x,server=on").starts_with("Error: The machine does not wait"));
    assert!(f.says("info chardev").contains("ring: filename=ringbuf\n"));
    assert_eq!(f.says("ringbuf_write ring \"two words\\n\""), "");
    assert_eq!(f.says("ringbuf_read ring 3"), "two");
    assert_eq!(f.says("ringbuf_write ring \\\u{1}"), "");
    assert_eq!(f.says("ringbuf_read ring 100"), " words\n\\\\\\u0001");
    assert_eq!(f.says("ringbuf_read ring 0"), "Error: size must be greater than zero");
    assert_eq!(f.says("ringbuf_write line x"), "Error: line is not a ringbuf device");
    assert_eq!(f.says("chardev-change line ringbuf,size=16"), "");
    assert!(f.says("info chardev").contains("line: filename=ringbuf\n"));
    assert_eq!(f.says("chardev-remove line"), "Error: Chardev 'line' is busy");
    assert_eq!(f.says("chardev-send-break line"), "");
    assert_eq!(f.says("chardev-remove ring"), "");
    assert_eq!(f.says("chardev-remove ring"), "Error: Chardev 'ring' not found");
    let opened = f.says("chardev-add pty,id=term");
    assert!(opened.starts_with("char device redirected to /dev/pts/") && opened.ends_with(" (label term)"), "{opened}");
}

#[test]
fn objects_are_made_looked_at_set_and_removed() {
    let mut f = Fixture::new("steered-objects", "");
    assert_eq!(f.says("object_add memory-backend-ram,id=m1,size=4M,merge=off"), "");
    assert_eq!(f.says("qom-get /objects/m1 size"), "4194304");
    assert_eq!(f.says("qom-get /objects/m1 merge"), "false");
    assert_eq!(f.says("qom-set /objects/m1 merge maybe"), "Error: Parameter 'merge' expects 'on' or 'off'");
    assert_eq!(
        f.says("qom-set -j /objects/m1 merge \"{\""),
        "Error: JSON parse error, EOF while parsing an object at line 1 column 1"
    );
    assert!(f.says("qom-list /objects").contains("m1 (child<memory-backend-ram>)\n"));
    assert_eq!(f.says("qom-list"), "/");
    assert_eq!(f.says("qom-get /machine type"), "\"pc-i440fx-7.2-machine\"");
    assert_eq!(f.says("qom-set /objects/m1 merge on"), "");
    assert_eq!(f.says("qom-get /objects/m1 merge"), "true");
    assert_eq!(f.says("qom-set -j /objects/m1 merge false"), "");
    assert_eq!(f.says("qom-get /objects/m1 merge"), "false");
    assert_eq!(f.says("object_add iothread,id=t"), "");
    assert_eq!(f.says("qom-set /objects/t poll-max-ns many"), "Error: Parameter 'poll-max-ns' expects integer");
    assert_eq!(f.says("qom-set /objects/t poll-max-ns 2000"), "");
    assert_eq!(f.says("qom-get /objects/t poll-max-ns"), "2000");
    assert_eq!(f.says("object_add throttle-group,id=g,x-bps-total=1000"), "");
    assert_eq!(f.says("qom-set -j /objects/g limits {\"bps-total\":3000}"), "");
    assert!(f.says("qom-get /objects/g limits").contains("\"bps-total\": 3000"));
    assert_eq!(f.says("object_del m1"), "");
    assert_eq!(f.says("object_del m1"), "Error: object 'm1' not found");
    assert_eq!(f.says("object_del pc.ram"), "Error: object 'pc.ram' is in use, can not be deleted");
}

#[test]
fn memory_is_saved_and_summed_as_the_guest_has_it() {
    let mut f = Fixture::new("steered-saving", "");
    f.control.board.machine.bus.memory.write_bytes(0x1ffe, b"across pages");
    let file = f.guest.folder.join("saved");
    for command in ["memsave", "pmemsave"] {
        assert_eq!(f.says(&format!("{command} 0x1ffe 4*3 \"{}\"", file.display())), "");
        assert_eq!(std::fs::read(&file).expect("a file"), b"across pages", "{command}");
    }
    assert_eq!(
        f.says("pmemsave 0 1 nonexistent/x"),
        "Error: Could not open 'nonexistent/x': No such file or directory"
    );
    // What `printf 'across pages' | sum` says.
    assert_eq!(f.says("sum 0x1ffe 12"), "57270");
    assert_eq!(f.says("sum 0xf0000 0x10000"), f.says("sum 0xffff0000 0x10000"), "firmware is seen in two places");
    assert_eq!(f.says("sum 0 0x100000000000"), "Error: size 17592186044416 is out of range");
    assert!(f.says("sum 0xfee00000 4").starts_with("Error: address 0xfee00000 belongs to the registers"));
}

#[test]
fn drives_are_added_for_devices_to_come_and_go_again() {
    let mut f = Fixture::new("steered-drives", "");
    let disk = f.guest.folder.join("disk");
    let other = f.guest.folder.join("other");
    for path in [&disk, &other] {
        std::fs::write(path, [0; 4096]).expect("an image");
    }
    let (disk, other) = (disk.display(), other.display());
    assert_eq!(f.says(&format!("drive_add 0 if=none,id=d9,file={disk},format=raw")), "OK");
    assert_eq!(f.says("info block d9"), format!("d9: {disk} (raw)\n    Cache mode:       writeback\n"));
    assert_eq!(f.says(&format!("drive_add 0 if=none,id=d9,file={disk}")), "Duplicate ID 'd9' for drive");
    assert_eq!(f.says("drive_add 0 if=ide"), "Can't hot-add drive to type 1");
    assert_eq!(f.says("drive_add 0 if=none"), "Error: Parameter 'id' is missing");
    assert_eq!(f.says("drive_add 0 if=none,id=d8"), "Error: Parameter 'file' is missing");
    assert!(f.says("drive_add 0 if=none,id=d8,file=/nonexistent/x").starts_with("Error: Could not open"));
    assert!(f.says(&format!("drive_add 0 if=none,id=d8,file={disk},frob=1")).starts_with("Error: "));
    assert!(f.says("drive_add frob").starts_with("drive_add: string expected"));
    assert_eq!(f.says("device_add virtio-blk-pci,id=v9,drive=d9"), "");
    assert_eq!(f.says("drive_del d9"), "Error: Node d9 is in use");
    assert_eq!(f.says(&format!("drive_add 0 if=none,id=d7,file={other},format=raw,readonly=on")), "OK");
    assert_eq!(f.says("drive_del d7"), "");
    assert_eq!(f.says("drive_del d7"), "Device 'd7' not found");
}

#[test]
fn a_picture_is_of_the_card_that_is_named() {
    let mut f = Fixture::new("steered-picture", "-vga std");
    let file = f.guest.folder.join("picture");
    let file = file.display();
    assert_eq!(f.says(&format!("screendump {file} -f png")), "");
    assert_eq!(f.says(&format!("screendump {file} -f gif")), "Error: invalid parameter value: gif");
    assert_eq!(f.says(&format!("screendump {file} nosuch")), "Error: Device 'nosuch' not found");
    assert_eq!(f.says(&format!("screendump {file} vga 1")), "Error: head 1 is out of range");
}

#[test]
fn nothing_reaches_a_replay_by_the_new_commands_either() {
    let mut f = Fixture::new("steered-replay", "-chardev null,id=line -serial chardev:line");
    f.control.board.machine.gate.close();
    for line in ["chardev-send-break line", "nmi", "watchdog_action pause", "mouse_button 1"] {
        assert_eq!(
            f.says(line),
            "Error: a recording is being replayed: nothing from outside reaches the guest",
            "{line}"
        );
    }
}
