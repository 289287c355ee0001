//! Dumps of a Debian guest in the hands of those who read dumps: crash, makedumpfile, drgn and gdb, with the kernel's debug
//! symbols (tests/guests/debug_kernel.sh), which is why these tests are among the long ones.

use lockstep::dump;
use lockstep_dump::codec::Codec;
use lockstep_dump::{Format, Options, Progress, Target};
use lockstep_tests::folder::Folder;
use lockstep_tests::guest::{Guest, debian, guest_file};
use lockstep_tests::program::lockstep;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Ticks that a boot may take: a minute of guest time.
const MINUTE: u64 = 60_000_000_000;

/// What crash is asked.
const QUESTIONS: &str = "sys\nlog\nps\nbt -a\nmod\nvm\nkmem -i\nquit\n";
/// What crash 8.0.2 says to `bt -a` of any dump of a kernel whose #VC stacks are not mapped, QEMU's too.
const CRASHS_OWN: [&str; 2] = ["bt: invalid size request: 0  type: \"stack contents\"", "bt: read of stack at "];

const TASKS: &str = "
import sys, drgn
from drgn.helpers.linux.pid import for_each_task
program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
print(*sorted(task.comm.string_().decode() for task in for_each_task(program)))
";

/// The guest's dumps in a folder that goes away, by name.
struct Dumps {
    guest: Guest,
    folder: Folder,
}

impl Dumps {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let mut guest = Guest::start(&debian(""), &["-cpu", "max", "-smp", "2", "-m", "256"]);
        guest.expect("INIT-REACHED", MINUTE);
        guest.expect("# ", MINUTE);
        Self { guest, folder }
    }

    fn write(&self, format: Format, paging: bool) -> PathBuf {
        let path = self.folder.file(&format!("{}{}", format.name(), if paging { "-paging" } else { "" }));
        let target = Target::create(&path).expect("a file");
        let options = Options { format, paging, only: None };
        dump::dump(&self.guest.board.machine, &options, target, &Progress::default()).expect("a dump");
        path
    }

    /// One in every format, and ELF by the guest's page tables.
    fn write_all(&self) -> Vec<PathBuf> {
        let all = Format::ALL.into_iter().map(|format| self.write(format, false));
        all.chain([self.write(Format::Elf, true)]).collect()
    }
}

/// What a program says on both of its streams.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

#[test]
#[ignore = "needs 280 MB of debug symbols: tests/run --long"]
fn crash_answers_everything_it_is_asked_of_every_format() {
    let dumps = Dumps::new("readers-crash");
    let questions = dumps.folder.file("questions");
    std::fs::write(&questions, QUESTIONS).expect("a file");
    for dump in dumps.write_all() {
        let name = dump.display().to_string();
        let symbols = guest_file("vmlinux.debug");
        let said = said(Command::new("crash").args(["-s", &symbols]).arg(&dump).arg("-i").arg(&questions));
        for wanted in ["CPUS: 2", "Linux version ", "[swapper/0]", "\"swapper/1\"", "TOTAL MEM", "MEMORY: 255"] {
            assert!(said.contains(wanted), "{name}: no {wanted}:\n{said}");
        }
        let complains = |line: &&str| {
            let question = line.split(':').next().unwrap_or_default();
            ["sys", "log", "ps", "bt", "mod", "vm", "kmem", "crash", "WARNING"].contains(&question)
                && !CRASHS_OWN.iter().any(|own| line.starts_with(own))
        };
        assert_eq!(said.lines().find(complains), None, "{name}:\n{said}");
    }
}

#[test]
#[ignore = "needs 280 MB of debug symbols: tests/run --long"]
fn drgn_lists_the_tasks_of_every_format_without_being_told_the_architecture() {
    let dumps = Dumps::new("readers-drgn");
    let mut first = None;
    for dump in dumps.write_all() {
        let tasks = said(Command::new("python3").args(["-c", TASKS]).arg(&dump).arg(guest_file("vmlinux.debug")));
        let tasks =
            tasks.lines().find(|line| line.contains("kthreadd")).unwrap_or_else(|| panic!("{tasks}")).to_owned();
        assert!(tasks.split(' ').count() > 20, "{tasks}");
        assert_eq!(*first.get_or_insert(tasks.clone()), tasks, "{}", dump.display());
    }
}

#[test]
fn makedumpfile_filters_dumps_again() {
    let dumps = Dumps::new("readers-filter");
    let program = guest_file("dump-tools/makedumpfile");
    // Debian's knows neither snappy nor zstd.
    let kdump = |codec| dumps.write(Format::Kdump { codec, raw: true }, false);
    let elf = [dumps.write(Format::Elf, false), dumps.write(Format::Elf, true)];
    for dump in elf.into_iter().chain([kdump(Codec::Zlib), kdump(Codec::Lzo)]) {
        let filtered = dumps.folder.file("filtered");
        let _ = std::fs::remove_file(&filtered);
        let libraries = Path::new(&program).with_file_name("lib");
        said(
            Command::new(&program).env("LD_LIBRARY_PATH", libraries).args(["-d", "31", "-c"]).arg(&dump).arg(&filtered),
        );
        let (before, after) = (dump.metadata().expect("a dump").len(), filtered.metadata().expect("a dump").len());
        assert!((1 << 20..before).contains(&after), "{}: {before} bytes became {after}", dump.display());
    }
}

#[test]
#[ignore = "needs gdb: tests/run --long"]
fn gdb_shows_each_processors_registers() {
    let dumps = Dumps::new("readers-gdb");
    let dump = dumps.write(Format::Elf, true);
    let script = ["-batch", "-ex", "thread apply all info registers rip rsp rbx"];
    let said = said(Command::new("gdb").args(script).arg("-c").arg(&dump));
    for cpu in &dumps.guest.board.machine.cpus {
        for value in [cpu.ip, cpu.gpr[4], cpu.gpr[3]] {
            assert!(said.contains(&format!("{value:#x}")), "{value:#x}:\n{said}");
        }
    }
}

#[test]
#[ignore = "needs QEMU and python3-libkdumpfile: tests/run --long"]
fn headers_and_notes_are_qemus_but_for_what_is_explained_and_pages_are_pmemsaves() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("dumps/beside_qemu.py");
    let kernel = guest_file("vmlinuz");
    let guests = Path::new(&kernel).parent().expect("a folder");
    said(Command::new("python3").arg(script).arg(lockstep()).arg(guests));
}
