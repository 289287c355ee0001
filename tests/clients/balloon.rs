//! The balloon of Debian's kernel: what it says of its memory, and that what it does not need is the host's again.

use lockstep_tests::client::Connected;
use lockstep_tests::guest::guest_file;
use lockstep_tests::initrd::with_file;
use lockstep_tests::program::{peak, resident, scratch};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const MIB: u64 = 1 << 20;
/// Most of what the guest let go of, in KiB: where its own work goes on is uncertain.
const MOST: u64 = 80 << 10;
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes up the balloon, fills 160 MiB of memory and lets go of them.
const FILL_AND_FREE: &[u8] =
    b"for d in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_balloon; do\n\
    insmod /modules/$d.ko; done\n\
    mkdir -p /full && mount -t tmpfs -o size=200m none /full\n\
    dd if=/dev/zero of=/full/file bs=1M count=160 && echo it-is-full-\n\
    rm /full/file && echo it-is-free-\n";

fn machine(name: &str, device: &str) -> (Connected, PathBuf) {
    let parts = ["initrd.gz", "virtio.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    let initrd = scratch(&format!("{name}.gz"), &[parts.concat(), with_file("fill", FILL_AND_FREE)].concat());
    let initrd_name = initrd.display().to_string();
    let arguments = ["-initrd", &initrd_name, "-append", "console=ttyS0 ENV=/fill", "-cpu", "max", "-device", device];
    (Connected::with(name, &arguments), initrd)
}

/// Waits until the process takes much less memory than it did once.
fn until_given_back(client: &Connected) {
    let (most, mut now) = (peak(client.process()), 0);
    until("the host has its memory back", || {
        now = resident(client.process());
        (now + MOST < most).then_some(())
    });
    println!("{most} KiB and then {now}");
}

/// Asks again and again until the answer is good.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn end(client: Connected, initrd: &Path) {
    client.quit();
    std::fs::remove_file(initrd).expect("a scratch file");
}

#[test]
fn the_guest_tells_its_statistics_and_what_it_gives_up_is_the_hosts() {
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (mut client, initrd) = machine("balloon", "virtio-balloon-pci,id=bal");
    let bal = "/machine/peripheral/bal";
    client.until_guest_says("it-is-free-");
    assert!(peak(client.process()) > 160 << 10);
    client.returns("qom-set", json!({ "path": bal, "property": "guest-stats-polling-interval", "value": 1 }));
    let stats = |client: &mut Connected| client.returns("qom-get", json!({ "path": bal, "property": "guest-stats" }));
    let first = stats(&mut client);
    let told = first["last-update"].as_u64().expect("a time");
    assert!((begun..begun + 86_400).contains(&told), "{told} and not {begun}");
    let total = first["stats"]["stat-total-memory"].as_u64().expect("a number");
    assert!((150 * MIB..256 * MIB).contains(&total), "{first}");
    // Those after the first are of now, when all is free again.
    let later = until("new statistics", || {
        let stats = stats(&mut client);
        (stats["last-update"].as_u64() > Some(told)).then_some(stats)
    });
    assert!(later["stats"]["stat-free-memory"].as_u64() > Some(100 * MIB), "{later}");

    client.returns("balloon", json!({ "value": 112 * MIB }));
    until("the guest's answer", || {
        let left = client.returns("query-balloon", json!({}))["actual"].as_u64().expect("bytes");
        (left < 120 * MIB).then_some(())
    });
    until_given_back(&client);
    // What it takes back it can use.
    client.returns("balloon", json!({ "value": 256 * MIB }));
    until("the guest's answer", || (client.returns("query-balloon", json!({}))["actual"] == 256 * MIB).then_some(()));
    end(client, &initrd);
}

#[test]
fn what_the_guest_reports_free_is_the_hosts() {
    let (client, initrd) = machine("reporting", "virtio-balloon-pci,free-page-reporting=on");
    client.until_guest_says("it-is-free-");
    until_given_back(&client);
    end(client, &initrd);
}
