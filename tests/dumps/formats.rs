//! Dumps of real guests, read by Lockstep's own reader and by makedumpfile.

use lockstep::dump;
use lockstep_dump::codec::Codec;
use lockstep_dump::read::Dump;
use lockstep_dump::{Format, Options, Progress, Target};
use lockstep_tests::folder::Folder;
use lockstep_tests::guest::{Guest, debian, guest_file};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Ticks that a boot may take: a minute of guest time.
const MINUTE: u64 = 60_000_000_000;
const PAGE: usize = 4096;

/// A Debian guest at its shell's prompt.
fn at_the_shell(more: &[&str]) -> Guest {
    let mut guest = Guest::start(&debian(""), more);
    guest.expect("INIT-REACHED", MINUTE);
    guest.expect("# ", MINUTE);
    guest
}

/// What the guest's shell answers to a command, in one line.
fn ask(guest: &mut Guest, command: &str) -> String {
    // What is echoed must not look like the answer.
    guest.type_in(&format!("echo BE''GIN $({command}) EN''D\n"));
    guest.expect("BEGIN ", MINUTE);
    let from = guest.console.rfind("BEGIN ").expect("just seen") + "BEGIN ".len();
    guest.expect(" END", MINUTE);
    let answer = &guest.console[from..];
    answer[..answer.find(" END").expect("just seen")].trim().to_owned()
}

fn dumped(guest: &Guest, folder: &Folder, options: Options) -> PathBuf {
    let path = folder.file(options.format.name());
    let target = Target::create(&path).expect("a file");
    let progress = Progress::default();
    let summary = dump::dump(&guest.board.machine, &options, target, &progress).expect("a dump");
    assert_eq!((progress.completed(), progress.total()), (summary.memory, summary.memory));
    path
}

fn plain(format: Format) -> Options {
    Options { format, paging: false, only: None }
}

/// Every page of the dump is as the guest's processors would read it.
fn assert_memory(guest: &Guest, dump: &Dump, name: &str) {
    let (mut ours, mut theirs) = ([0; PAGE], [0; PAGE]);
    for range in dump.pages() {
        for at in (range.start..range.end()).step_by(PAGE) {
            guest.board.machine.bus.memory.read_bytes(at, &mut theirs);
            assert!(dump.read_physical(at, &mut ours), "{name}: {at:#x} cannot be read");
            assert!(ours == theirs, "{name}: the page at {at:#x} differs");
        }
    }
}

fn makedumpfile() -> Command {
    let program = guest_file("dump-tools/makedumpfile");
    let libraries = Path::new(&program).with_file_name("lib");
    let mut command = Command::new(&program);
    command.env("LD_LIBRARY_PATH", libraries).stdout(Stdio::null());
    command
}

/// The kernel's log as makedumpfile finds it in a dump.
fn log_in(dump: &Path, folder: &Folder) -> String {
    let log = folder.file("log");
    let _ = std::fs::remove_file(&log);
    let output = makedumpfile().arg("--dump-dmesg").arg(dump).arg(&log).output().expect("makedumpfile starts");
    assert!(output.status.success(), "{}: {}", dump.display(), String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(log).expect("a log")
}

#[test]
fn a_debian_guest_is_dumped_in_every_format_and_recognized() {
    let folder = Folder::new("debian");
    let mut guest = at_the_shell(&["-cpu", "max", "-smp", "2", "-m", "128"]);
    let release = ask(&mut guest, "uname -r");
    // The physical address and the length of the note that the kernel keeps.
    let note = ask(&mut guest, "cat /sys/kernel/vmcoreinfo");
    let lines: usize = ask(&mut guest, "dmesg | wc -l").parse().expect("a number");
    let address = note.split_whitespace().next().and_then(|n| u64::from_str_radix(n.trim_start_matches("0x"), 16).ok());
    let mut kept = [0; 2 * PAGE];
    guest.board.machine.bus.memory.read_bytes(address.expect("an address"), &mut kept);

    for format in Format::ALL {
        let name = format.name();
        let path = dumped(&guest, &folder, plain(format));
        let dump = Dump::open(&path).unwrap_or_else(|why| panic!("{name}: {why}"));
        let verdict = dump.verify(true, &Progress::default()).expect("nobody cancels");
        assert_eq!(verdict.faults, [""; 0], "{name}");
        assert_memory(&guest, &dump, name);
        let vmcoreinfo = dump.vmcoreinfo().unwrap_or_else(|| panic!("{name}: no VMCOREINFO"));
        assert!(vmcoreinfo.starts_with(&format!("OSRELEASE={release}\n")), "{name}: {vmcoreinfo}");
        assert_eq!(vmcoreinfo.as_bytes(), &kept[24..24 + vmcoreinfo.len()], "{name}: the note is the kernel's");
        let rips: Vec<_> = dump.registers().iter().map(|registers| registers.rip).collect();
        assert_eq!(rips, guest.board.machine.cpus.iter().map(|cpu| cpu.ip).collect::<Vec<_>>(), "{name}");
        if let Some(header) = dump.header() {
            assert_eq!(header.utsname[0], "Linux");
            assert_eq!(header.utsname[2], release, "{name}");
            assert_eq!((header.utsname[4].as_str(), header.processors), ("x86_64", 2), "{name}");
            let told = vmcoreinfo.lines().find_map(|line| line.strip_prefix("NUMBER(phys_base)="));
            assert_eq!(Some(header.sub.phys_base), told.and_then(|number| number.parse().ok()), "{name}");
        }
    }

    // Debian's makedumpfile knows neither snappy nor zstd.
    let log = log_in(&folder.file("elf"), &folder);
    assert!(log.contains(&format!("Linux version {release}")), "{log}");
    assert_eq!(log.lines().count(), lines, "as many lines as the guest's own dmesg shows");
    for name in ["kdump-raw-zlib", "kdump-raw-lzo"] {
        assert!(log_in(&folder.file(name), &folder) == log, "{name}: another log");
    }
    for codec in Codec::ALL {
        let flattened = std::fs::File::open(folder.file(&format!("kdump-{}", codec.name()))).expect("a dump");
        let rearranged = folder.file("rearranged");
        let _ = std::fs::remove_file(&rearranged);
        let status = makedumpfile().arg("-R").arg(&rearranged).stdin(flattened).stderr(Stdio::null()).status();
        assert!(status.expect("makedumpfile starts").success());
        let raw = std::fs::read(folder.file(&format!("kdump-raw-{}", codec.name()))).expect("a dump");
        assert!(std::fs::read(&rearranged).expect("a dump") == raw, "{}", codec.name());
    }
}

#[test]
fn elf_with_paging_shows_the_kernel_at_its_own_addresses() {
    let folder = Folder::new("paging");
    let mut guest = at_the_shell(&["-cpu", "max", "-m", "128"]);
    let banner = ask(&mut guest, "grep ' linux_banner$' /proc/kallsyms");
    let address = u64::from_str_radix(banner.split(' ').next().unwrap_or_default(), 16).expect("an address");
    let path = dumped(&guest, &folder, Options { paging: true, ..plain(Format::Elf) });
    let dump = Dump::open(&path).expect("a dump");
    assert_memory(&guest, &dump, "elf");
    let segments = dump.segments();
    let holds = |(start, range): &&(u64, lockstep_dump::Range)| address.wrapping_sub(*start) < range.len;
    let (start, range) = segments.iter().find(holds).expect("a segment with the banner");
    let mut text = [0; 14];
    assert!(dump.read_physical(range.start + (address - start), &mut text));
    assert_eq!(&text, b"Linux version ");
}

/// The program, beside the test binaries' folder.
fn dump_info(arguments: &[&str]) -> (Option<i32>, String, String) {
    let test = std::env::current_exe().expect("a test has a path");
    let program = test.ancestors().nth(2).expect("it lies in deps").join("lockstep");
    let output = Command::new(program).arg("dump-info").args(arguments).output().expect("lockstep starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn dump_info_tells_what_is_in_a_file_and_whether_it_is_sound() {
    let folder = Folder::new("info");
    let arguments = ["-nographic", "-nodefaults", "-serial", "null", "-seed", "1", "-rtc", "base=2026-01-01T00:00:00"];
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let guest = Guest::start(&arguments, &["-m", "8"]);
    let path = dumped(&guest, &folder, plain(Format::Kdump { codec: Codec::Zstd, raw: true }));
    let name = path.display().to_string();

    let (status, said, _) = dump_info(&[&name]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("kdump-compressed") && said.contains("(zstd)"), "{said}");
    let (status, said, _) = dump_info(&[&name, "--verify"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("every page is sound"), "{said}");

    let mut bytes = std::fs::read(&path).expect("the dump");
    let end = bytes.len();
    bytes[end - 40..].fill(0);
    std::fs::write(&path, &bytes).expect("the broken dump");
    let (status, said, _) = dump_info(&[&name, "--verify"]);
    assert!(status == Some(1) && said.contains("faults: "), "{status:?} {said}");

    std::fs::write(&path, "hello").expect("no dump");
    let (status, _, error) = dump_info(&[&name]);
    assert_eq!(status, Some(1));
    assert!(error.starts_with("lockstep: ") && error.lines().count() == 1, "{error}");
    assert_eq!(dump_info(&[]).0, Some(1));
}
