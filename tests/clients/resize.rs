//! Disks that become longer and shorter while Debian's kernel has them.

use lockstep_tests::client::Connected;
use lockstep_tests::guest::guest_file;
use lockstep_tests::initrd::with_file;
use lockstep_tests::program::scratch;
use serde_json::json;

const MIB: u64 = 1 << 20;

#[test]
fn a_virtio_disks_driver_is_told_of_its_new_size() {
    // An interactive shell runs the file that ENV names.
    let script = b"for d in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do\n\
                   insmod /modules/$d.ko; done\n\
                   while :; do echo size-$(cat /sys/block/vda/size)-; sleep 0.1; done\n";
    let parts = ["initrd.gz", "virtio.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    let initrd = scratch("resize.gz", &[parts.concat(), with_file("watch", script)].concat());
    let image = scratch("resize.raw", &vec![0; MIB as usize]);
    let drive = format!("if=none,id=d0,format=raw,file={}", image.display());
    let initrd_name = initrd.display().to_string();
    let machine = ["-initrd", &initrd_name, "-append", "console=ttyS0 ENV=/watch", "-cpu", "max", "-drive", &drive];
    let more =
        ["-device", "virtio-blk-pci,drive=d0", "-drive", "if=none,id=cd,media=cdrom", "-device", "ide-cd,drive=cd"];
    let mut client = Connected::with("resize", &[&machine[..], &more].concat());
    client.until_guest_says("size-2048-");
    client.returns("block_resize", json!({ "device": "d0", "size": 4 * MIB }));
    client.until_guest_says("size-8192-");
    assert_eq!(std::fs::metadata(&image).expect("an image").len(), 4 * MIB);
    let drives = client.returns("query-block", json!({}));
    let known = drives.as_array().expect("drives").iter().find(|drive| drive["device"] == "d0").expect("the drive");
    assert_eq!(known["inserted"]["image"]["virtual-size"], 4 * MIB);
    client.returns("block_resize", json!({ "node-name": "#d0", "size": 2 * MIB }));
    client.until_guest_says("size-4096-");
    client.returns("human-monitor-command", json!({ "command-line": "block_resize d0 3" }));
    client.until_guest_says("size-6144-");
    for (arguments, why) in [
        (json!({ "device": "no", "size": 1 }), "Cannot find device='no' nor node-name=''"),
        (json!({ "size": 512 }), "Cannot find device='' nor node-name=''"),
        (json!({ "device": "d0", "size": -1 }), "Parameter 'size' expects a >0 size"),
        (json!({ "device": "cd", "size": 512 }), "Block node is read-only"),
    ] {
        assert_eq!(client.ask("block_resize", arguments)["error"]["desc"], why);
    }
    client.quit();
    [image, initrd].iter().for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}
