//! Virtio functions on the board, as Debian finds them.

use lockstep::machine::Ending;
use lockstep_tests::guest::{Guest, debian};
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
        ("03", "0x1af4 0x1005"),
        ("04", "0x1af4 0x1002"),
        ("05", "0x1af4 0x1003"),
        ("06", "0x1af4 0x1001"),
        ("10", "0x1af4 0x1001"),
    ] {
        let function = format!("0000:00:{slot}.0 {ids} ");
        let line = guest.console.lines().find(|line| line.starts_with(&function));
        let line = line.unwrap_or_else(|| panic!("no {function} in the console:\n{}", guest.console));
        assert!(!line.contains(" 0x0000000000000000 "), "no ports: {line}");
    }
    std::fs::remove_file(path).expect("a scratch file");
}
