//! Disks that are made slower and faster again while Debian's kernel reads them. The guest measures by its own clock.

use lockstep_tests::client::Connected;
use lockstep_tests::guest::guest_file;
use lockstep_tests::initrd::with_file;
use lockstep_tests::program::scratch;
use serde_json::json;

const MIB: u64 = 1 << 20;

/// Reads the first MiB of each disk again and again, and says which took longer than half a second.
const WATCH: &[u8] =
    b"for d in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do\n\
    insmod /modules/$d.ko; done\n\
    now() { read up idle < /proc/uptime; echo ${up%.*}${up#*.}; }\n\
    pace() { echo 3 > /proc/sys/vm/drop_caches; from=$(now); cat /dev/$1 > /dev/null; to=$(now)\n\
    [ $((to - from)) -gt 50 ] && echo $1-slow- || echo $1-fast-; }\n\
    while :; do pace vda; pace vdb; done\n";

#[test]
fn the_guest_finds_its_disks_as_slow_as_they_were_made() {
    let parts = ["initrd.gz", "virtio.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    let initrd = scratch("throttle.gz", &[parts.concat(), with_file("watch", WATCH)].concat());
    let images = ["a", "b"].map(|name| scratch(&format!("throttle-{name}.raw"), &vec![0; MIB as usize]));
    let initrd_name = initrd.display().to_string();
    let drive = format!("if=none,id=d0,format=raw,file={}", images[0].display());
    let file = format!("driver=raw,node-name=n,file.driver=file,file.filename={}", images[1].display());
    let machine = ["-initrd", &initrd_name, "-append", "console=ttyS0 quiet ENV=/watch", "-cpu", "max"]
        .into_iter()
        .chain(["-drive", &drive, "-device", "virtio-blk-pci,drive=d0"])
        .chain(["-object", &format!("throttle-group,id=few,x-bps-read={MIB}"), "-blockdev", &file])
        .chain(["-blockdev", "driver=throttle,node-name=t,throttle-group=few,file=n"])
        .chain(["-device", "virtio-blk-pci,drive=t", "-drive", "if=none,id=cd,media=cdrom"])
        .chain(["-device", "ide-cd,drive=cd"])
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let machine: Vec<&str> = machine.iter().map(String::as_str).collect();
    let mut client = Connected::with("throttle", &machine);
    client.until_guest_says("vda-fast-");
    client.until_guest_says("vdb-slow-");

    let rates = |read: u64| {
        json!({ "device": "d0", "bps": 0, "bps_rd": read, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
                "bps_rd_max": read, "bps_rd_max_length": 1 })
    };
    let inserted = |client: &mut Connected| {
        let drives = client.returns("query-block", json!({}));
        let known = drives.as_array().expect("drives").iter().find(|drive| drive["device"] == "d0").expect("the drive");
        known["inserted"].clone()
    };
    assert_eq!(inserted(&mut client)["group"], json!(null));
    client.returns("block_set_io_throttle", rates(MIB / 2));
    client.until_guest_says("vda-slow-");
    let told = inserted(&mut client);
    let names = ["bps", "bps_rd", "bps_rd_max", "bps_rd_max_length", "iops_size", "group"];
    assert_eq!(
        names.map(|name| told[name].clone()),
        [json!(0), json!(MIB / 2), json!(MIB / 2), json!(1), json!(null), json!("d0")]
    );
    let monitor = client.returns("human-monitor-command", json!({ "command-line": "info block" }));
    let line = format!("I/O throttling:   bps=0 bps_rd={0} bps_wr=0 bps_max=0 bps_rd_max={0} ", MIB / 2);
    assert!(monitor.as_str().is_some_and(|text| text.contains(&line)), "{monitor}");
    client.returns("human-monitor-command", json!({ "command-line": "block_set_io_throttle d0 0 0 0 0 0 0" }));
    client.until_guest_says("vda-fast-");
    assert_eq!(inserted(&mut client)["group"], json!(null));

    let group = json!({ "path": "/objects/few", "property": "limits" });
    assert_eq!(client.returns("qom-get", group)["bps-read"], MIB);
    client.returns("qom-set", json!({ "path": "/objects/few", "property": "limits", "value": { "bps-read": 0 } }));
    client.until_guest_says("vdb-fast-");
    let mut joined = rates(MIB / 2);
    joined["group"] = json!("few");
    client.returns("block_set_io_throttle", joined);
    client.until_guest_says("vdb-slow-");

    let with = |name: &str, value: serde_json::Value| {
        let mut arguments = rates(MIB);
        arguments[name] = value;
        arguments
    };
    for (command, arguments, why) in [
        ("block_set_io_throttle", with("device", json!("no")), "Device 'no' not found"),
        ("block_set_io_throttle", with("device", json!("cd")), "Device 'cd' has no medium"),
        ("block_set_io_throttle", with("id", json!("x")), "Need exactly one of 'device' and 'id'"),
        ("block_set_io_throttle", with("bps_rd_max_length", json!(0)), "the burst length cannot be 0"),
        ("block_set_io_throttle", with("iops", json!(-1)), "bps/iops/max values must be within [0, 1000000000000000]"),
        ("object-del", json!({ "id": "few" }), "object 'few' is in use, can not be deleted"),
        (
            "blockdev-add",
            json!({ "driver": "throttle", "node-name": "u", "throttle-group": "none", "file": "n" }),
            "Throttle group 'none' does not exist",
        ),
    ] {
        assert_eq!(client.ask(command, arguments)["error"]["desc"], why);
    }
    client.quit();
    images.iter().chain([&initrd]).for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}
