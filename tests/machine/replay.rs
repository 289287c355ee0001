//! A session typed at whatever moments the host makes of it, recorded, and replayed with every live source cut off.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockstep_tests::attached::Attached;
use lockstep_tests::guest::{debian, guest_file};
use lockstep_tests::initrd::with_file;
use lockstep_tests::program::{lockstep, run, scratch, scratch_path};
use serde_json::json;

/// How long a recorded session may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(240);

fn arguments(mode: &str, log: &Path, more: &[&str]) -> Vec<String> {
    let mut arguments = debian("quiet");
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    // The console is the terminal here, and not one more port.
    let at = arguments.iter().position(|a| a == "-nodefaults").expect("debian() says so");
    arguments.drain(at..at + 3);
    arguments.extend(["-digest".into(), "-icount".into()]);
    arguments.push(format!("shift=0,rr={mode},rrfile={}", log.display()));
    arguments
}

/// Types each line once the console has said what comes before it, after a pause of the host's choosing.
fn recorded_session(log: &Path, more: &[&str], lines: &[(&str, &str)]) -> Output {
    let mut child = Command::new(lockstep())
        .args(arguments("record", log, more))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut typist = child.stdin.take().expect("a pipe");
    let mut console = child.stdout.take().expect("a pipe");
    let (said, hears) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(len) = console.read(&mut piece) {
            if len == 0 {
                break;
            }
            all.extend(&piece[..len]);
            let _ = said.send(String::from_utf8_lossy(&piece[..len]).into_owned());
        }
        all
    });
    let deadline = Instant::now() + PATIENCE;
    let mut heard = String::new();
    for (prompt, line) in lines {
        while !heard.contains(prompt) {
            let left = deadline.saturating_duration_since(Instant::now());
            let more = hears.recv_timeout(left).unwrap_or_else(|_| panic!("no {prompt:?} in {heard}"));
            heard.push_str(&more);
        }
        heard.clear();
        for byte in line.bytes() {
            typist.write_all(&[byte]).expect("the program reads");
            typist.flush().expect("the program reads");
            std::thread::sleep(pause());
        }
    }
    let mut stderr = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
    let status = child.wait().expect("it ends");
    Output { status, stdout: reader.join().expect("the reader ends"), stderr: stderr.into_bytes() }
}

/// As long as the host's clock happens to say.
fn pause() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_nanos(u64::from(now.subsec_nanos()) % 7_000_000)
}

#[test]
fn a_typed_session_replays_ten_times_to_the_same_digest_and_output() {
    let log = scratch_path("session.log");
    let lines =
        [("# ", "echo $((6 * 7)) > /tmp/x; cat /tmp/x /proc/uptime\n"), ("# ", "date\n"), ("# ", "poweroff -f\n")];
    let recorded = recorded_session(&log, &[], &lines);
    let digest = String::from_utf8_lossy(&recorded.stderr).into_owned();
    assert!(recorded.status.success() && digest.contains("digest "), "{digest}");
    assert!(String::from_utf8_lossy(&recorded.stdout).contains("\r\n42\r\n"));
    for round in 0..10 {
        let replayed = run(&arguments("replay", &log, &[]));
        assert_eq!(String::from_utf8_lossy(&replayed.stderr), digest, "replay {round}");
        assert_eq!(replayed.stdout, recorded.stdout, "replay {round}");
    }

    let whole = std::fs::read(&log).expect("the log");
    let cut = scratch("cut.log", &whole[..whole.len() * 3 / 5]);
    let replayed = run(&arguments("replay", &cut, &[]));
    let said = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert!(replayed.status.success() && said.contains("cut short"), "{said}");
    assert!(recorded.stdout.starts_with(&replayed.stdout));

    let text = String::from_utf8_lossy(&whole).into_owned();
    let typed = text.find("\"Bytes\":[101]").expect("the e of echo was typed");
    let forged = scratch("forged.log", text.replacen("\"Bytes\":[101]", "\"Bytes\":[102]", 1).as_bytes());
    assert!(typed > 0);
    let replayed = run(&arguments("replay", &forged, &[]));
    let said = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert_eq!(replayed.status.code(), Some(1), "{said}");
    assert!(said.contains("differs from the recording"), "{said}");
    for path in [log, cut, forged] {
        std::fs::remove_file(path).expect("a scratch file");
    }
}

/// Somebody at the host's end of a port: comes late, sends in pieces what the guest counts, hears its answer, and leaves.
fn talk(socket: &Path) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "nobody listens at {}: {error}", socket.display()),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    for piece in [&b"pieces "[..], b"of one ", b"line", b"\n"] {
        stream.write_all(piece).expect("the program reads");
        std::thread::sleep(pause());
    }
    let (mut heard, mut byte) = (String::new(), [0]);
    while !heard.ends_with('\n') && stream.read(&mut byte).expect("an answer") == 1 {
        heard.push(byte[0].into());
    }
    heard
}

#[test]
fn traffic_on_a_port_is_recorded_and_replays() {
    let (log, socket) = (scratch_path("ports.log"), scratch_path("ports.socket"));
    let parts = ["initrd.gz", "virtio.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    let initrd = scratch("ports.gz", &parts.concat());
    let chardev = format!("socket,id=line,path={},server=on,wait=off", socket.display());
    let initrd_name = initrd.display().to_string();
    let more = [
        ["-initrd", &initrd_name, "-chardev", &chardev, "-device", "virtio-serial-pci", "-device"].as_slice(),
        &["virtserialport,chardev=line,nr=1", "-cpu", "max", "-device", "virtconsole"],
    ]
    .concat();
    let drivers = "cd /modules; for d in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci \
                   virtio_console; do insmod $d.ko; done; echo drivers-$?\n";
    let lines = [
        ("# ", drivers),
        ("drivers-0", "read line < /dev/vport0p1; echo the guest heard $line | tee /dev/vport0p1\n"),
        ("the guest heard pieces of one line", "poweroff -f\n"),
    ];
    let peer = std::thread::spawn({
        let socket = socket.clone();
        move || talk(&socket)
    });
    let recorded = recorded_session(&log, &more, &lines);
    assert_eq!(peer.join().expect("a talk"), "the guest heard pieces of one line\n");
    let digest = String::from_utf8_lossy(&recorded.stderr).into_owned();
    assert!(recorded.status.success() && digest.contains("digest "), "{digest}");
    for round in 0..2 {
        let replayed = run(&arguments("replay", &log, &more));
        assert_eq!(String::from_utf8_lossy(&replayed.stderr), digest, "replay {round}");
        assert_eq!(replayed.stdout, recorded.stdout, "replay {round}");
    }
    let text = std::fs::read_to_string(&log).expect("the log");
    assert!(text.contains("PortBytes") && text.contains("PortOpen"), "the traffic is in the log");
    for path in [log, initrd] {
        std::fs::remove_file(path).expect("a scratch file");
    }
}

/// Pages that the guest gives up and those that it reports free are forgotten in the middle of its work.
#[test]
fn memory_that_the_guest_gives_back_replays() {
    let (log, socket) = (scratch_path("balloon.log"), scratch_path("balloon.socket"));
    let parts = ["initrd.gz", "virtio.gz"].map(|part| std::fs::read(guest_file(part)).expect("a guest's file"));
    let initrd = scratch("balloon.gz", &parts.concat());
    let initrd_name = initrd.display().to_string();
    let device = "virtio-balloon-pci,free-page-reporting=on";
    let machine = ["-initrd", &initrd_name, "-cpu", "max", "-smp", "2", "-device", device];
    let qmp = format!("unix:{},server=on,wait=off", socket.display());
    let drivers = "cd /modules; for d in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci \
                   virtio_balloon; do insmod $d.ko; done; echo drivers-$?\n";
    let work = "mkdir /full; mount -t tmpfs none /full; for i in 1 2 3; do dd if=/dev/urandom of=/full/a bs=1M count=20; rm /full/a; \
                sleep 3; done; dd if=/dev/zero of=/full/b bs=1M count=9; sha256sum /full/b; poweroff -f\n";
    let asking = std::thread::spawn({
        let socket = socket.clone();
        move || Attached::to(&socket).returns("balloon", json!({ "value": 140 << 20 }))
    });
    let more = [&machine[..], &["-qmp", &qmp]].concat();
    let recorded = recorded_session(&log, &more, &[("# ", drivers), ("drivers-0", work)]);
    asking.join().expect("an answer");
    let digest = String::from_utf8_lossy(&recorded.stderr).into_owned();
    assert!(recorded.status.success() && digest.contains("digest "), "{digest}");
    for round in 0..2 {
        let replayed = run(&arguments("replay", &log, &machine));
        assert_eq!(String::from_utf8_lossy(&replayed.stderr), digest, "replay {round}");
        assert_eq!(replayed.stdout, recorded.stdout, "replay {round}");
    }
    [log, initrd].iter().for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
}

/// Every steering command of QMP, each at a moment of the host's choosing. The guest goes to sleep once, and is woken.
#[test]
fn what_is_steered_by_qmp_is_recorded_and_replays() {
    let (log, socket) = (scratch_path("steered.log"), scratch_path("steered.socket"));
    // An interactive shell runs the file that ENV names. A power button that was pressed keeps the kernel awake.
    let nap = b"[ -e /tmp/ran ] || { touch /tmp/ran; until echo mem > /sys/power/state; do :; done; }\n";
    let parts = [std::fs::read(guest_file("initrd.gz")).expect("an initrd"), with_file("nap", nap)];
    let initrd = scratch("steered.gz", &parts.concat()).display().to_string();
    let disk = scratch("steered.raw", &[0; 1 << 16]).display().to_string();
    let drive = format!("if=none,snapshot=on,id=d0,format=raw,file={disk}");
    let discs = ["one", "two"].map(|name| scratch(&format!("{name}.iso"), &[0; 8192]).display().to_string());
    let machine = ["-device", "virtio-balloon-pci,id=balloon", "-drive", "if=none,media=cdrom,id=cd"]
        .into_iter()
        .chain(["-device", "ide-cd,drive=cd,id=tray", "-device", "i6300esb"])
        .chain(["-m", "256M,slots=2,maxmem=1G", "-smp", "1,maxcpus=3", "-cpu", "max"])
        .chain(["-object", "memory-backend-ram,id=m0,size=128M", "-initrd", &initrd])
        .chain(["-append", "console=ttyS0 quiet ENV=/nap"])
        .chain(["-drive", &drive, "-device", "virtio-blk-pci,drive=d0"])
        .collect::<Vec<_>>();
    let qmp = format!("unix:{},server=on,wait=off", socket.display());
    let mut child = Command::new(lockstep())
        .args(arguments("record", &log, &[&machine[..], &["-qmp", &qmp]].concat()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut client = Attached::to(&socket);
    let button = |down: bool| json!({ "type": "btn", "data": { "button": "left", "down": down } });
    let key = |down: bool| json!({ "type": "key", "data": { "key": { "type": "qcode", "data": "a" }, "down": down } });
    let moved = json!({ "type": "rel", "data": { "axis": "x", "value": 5 } });
    let tray = json!({ "id": "tray" });
    let node = json!({ "driver": "raw", "node-name": "disc", "read-only": true,
                       "file": { "driver": "file", "filename": discs[1] } });
    let processor = json!({ "driver": "max-x86_64-cpu", "id": "c1", "socket-id": 0, "core-id": 1, "thread-id": 0 });
    let steered = [
        ("send-key", json!({ "keys": [{ "type": "qcode", "data": "ret" }], "hold-time": 20 })),
        ("input-send-event", json!({ "events": [button(true), moved, key(true), key(false), button(false)] })),
        ("change", json!({ "device": "cd", "target": discs[0], "arg": "raw" })),
        ("blockdev-open-tray", json!({ "id": "tray", "force": true })),
        ("blockdev-remove-medium", tray.clone()),
        ("blockdev-add", node),
        ("blockdev-insert-medium", json!({ "id": "tray", "node-name": "disc" })),
        ("blockdev-close-tray", tray.clone()),
        ("blockdev-change-medium", json!({ "id": "tray", "filename": discs[0], "format": "raw", "force": true })),
        ("eject", json!({ "id": "tray", "force": true })),
        ("balloon", json!({ "value": 100 << 20 })),
        (
            "qom-set",
            json!({ "path": "/machine/peripheral/balloon", "property": "guest-stats-polling-interval",
                            "value": 1 }),
        ),
        ("block_resize", json!({ "device": "d0", "size": 1 << 20 })),
        (
            "block_set_io_throttle",
            json!({ "device": "d0", "group": "slow", "bps": 0, "bps_rd": 1 << 14, "bps_wr": 0, "iops": 0, "iops_rd": 0,
                    "iops_wr": 5 }),
        ),
        ("object-add", json!({ "qom-type": "throttle-group", "id": "few", "limits": { "iops-total": 9 } })),
        ("qom-set", json!({ "path": "/objects/few", "property": "limits", "value": { "iops-total": 7 } })),
        ("device_add", json!({ "driver": "virtio-rng-pci", "id": "rng" })),
        ("device_add", json!({ "driver": "pc-dimm", "id": "dimm", "memdev": "m0" })),
        ("device_add", processor),
        ("cpu-add", json!({ "id": 2 })),
        ("block_resize", json!({ "node-name": "#d0", "size": 1 << 15 })),
        ("device_del", json!({ "id": "rng" })),
        ("watchdog-set-action", json!({ "action": "inject-nmi" })),
        ("set-action", json!({ "panic": "none", "watchdog": "none" })),
        ("stop", json!({})),
        ("cont", json!({})),
        ("inject-nmi", json!({})),
        ("system_powerdown", json!({})),
        ("system_wakeup", json!({})),
        // The end, by -no-reboot.
        ("system_reset", json!({})),
    ];
    for (command, arguments) in steered {
        while command == "system_wakeup" && client.returns("query-status", json!({}))["status"] != "suspended" {
            std::thread::sleep(pause());
        }
        std::thread::sleep(20 * pause());
        client.returns(command, arguments);
    }
    let mut digest = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut digest).expect("text");
    assert!(child.wait().expect("it ends").success() && digest.contains("digest "), "{digest}");
    for round in 0..2 {
        let replayed = run(&arguments("replay", &log, &machine));
        assert_eq!(String::from_utf8_lossy(&replayed.stderr), digest, "replay {round}");
    }
    let text = std::fs::read_to_string(&log).expect("the log");
    let all =
        ["Typed", "Mouse", "Key", "medium", "Tray", "Balloon", "watchdog-action", "panic-action", "nmi", "PowerButton"];
    for what in all.iter().chain(&["reset", "wake", "resize", "throttle", "throttle-drive", "plug", "Slot"]) {
        assert!(text.contains(&format!("\"{what}\"")), "{what} is in the log");
    }
    discs.iter().chain([&initrd, &disk]).for_each(|file| std::fs::remove_file(file).expect("a scratch file"));
    std::fs::remove_file(log).expect("a scratch file");
}
