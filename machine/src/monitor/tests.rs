//! The monitor's commands against a small board.

mod shown;
mod steered;
mod words;

use super::*;
use crate::bare_guest::BareGuest;
use crate::chardev::QuitCause;
use crate::digest::Digester;
use crate::run::RunState;

/// Configures the PIIX4's power management registers at 600h and turns the power off (S5).
const POWER_OFF: [&str; 5] =
    ["o/w 0xcf8 0x80000b40", "o/w 0xcfc 0x601", "o/w 0xcf8 0x80000b80", "o/w 0xcfc 1", "o/h 0x604 0x2000"];

pub(super) struct Fixture {
    pub(super) control: Control,
    desk: Desk,
    guest: BareGuest,
}

impl Fixture {
    pub(super) fn new(name: &str, more: &str) -> Self {
        let guest = BareGuest::new(&format!("monitor-{name}"));
        let config = guest.config(more);
        let board = guest.board(&config);
        Fixture { control: Control::new(&config, board, None), desk: Desk::default(), guest }
    }

    pub(super) fn says(&mut self, line: &str) -> String {
        carry_out(line, &mut self.control, &mut self.desk)
    }

    fn run(&mut self, ticks: u64) {
        let end = self.control.board.machine.now() + ticks;
        self.control.board.machine.run_through(end);
    }
}

#[test]
fn a_monitor_greets_prompts_echoes_and_answers() {
    let Fixture { mut control, guest: _guest, .. } = Fixture::new("greets", "-name small");
    let mut monitor = Monitor::new(false);
    let greeting = String::from_utf8(monitor.open()).expect("text");
    assert_eq!(greeting, "Lockstep 0.1.0 monitor - type 'help' for more information\r\n\r(qemu) ");
    let answer = String::from_utf8(monitor.feed(b"info name\r\n", &mut control)).expect("text");
    assert_eq!(answer, "info name\r\nsmall\r\n\r(qemu) ");
}

#[test]
fn a_monitor_that_shares_its_terminal_greets_when_it_first_comes_into_view() {
    let mut monitor = Monitor::new(true);
    assert_eq!(monitor.open(), b"");
    assert!(monitor.focus(true).starts_with(b"Lockstep "));
    assert_eq!(monitor.focus(false), b"\r\n");
    assert_eq!(monitor.focus(true), b"\r(qemu) ");
}

#[test]
fn nothing_is_carried_out_after_quit() {
    let Fixture { mut control, guest: _guest, .. } = Fixture::new("quit", "");
    Monitor::new(false).feed(b"q\rstop\r", &mut control);
    assert_eq!(control.quitting(), Some(QuitCause::Monitor));
    assert_eq!(control.state(), RunState::Running);
}

#[test]
fn tab_completes_commands_topics_and_arguments() {
    let Fixture { mut control, guest: _guest, .. } = Fixture::new("tab", "");
    let mut monitor = Monitor::new(false);
    let answer = String::from_utf8(monitor.feed(b"system_r\t", &mut control)).expect("text");
    assert_eq!(answer, "system_reset ");
    monitor.feed(b"\x15", &mut control);
    let answer = String::from_utf8(monitor.feed(b"info dev\t", &mut control)).expect("text");
    assert_eq!(answer, "info device");
    let answer = String::from_utf8(monitor.feed(b"\t", &mut control)).expect("text");
    assert_eq!(answer, "\r\ndevice devices\r\n\r(qemu) info device");
    monitor.feed(b"\x15", &mut control);
    let answer = String::from_utf8(monitor.feed(b"sendkey ctrl-dele\t", &mut control)).expect("text");
    assert_eq!(answer, "sendkey ctrl-delete ");
    monitor.feed(b"\x15", &mut control);
    let answer = String::from_utf8(monitor.feed(b"watchdog_action \t", &mut control)).expect("text");
    assert!(
        answer.ends_with("debug inject-nmi none pause poweroff reset shutdown\r\n\r(qemu) watchdog_action "),
        "{answer}"
    );
}

#[test]
fn help_knows_every_command_and_what_is_unknown_is_said_so() {
    let mut fixture = Fixture::new("help", "");
    let all = fixture.says("help");
    for command in table::commands() {
        assert!(all.contains(command.help), "{}", command.names[0]);
        assert!(fixture.says(&format!("help {}", command.names[0])).contains(command.names[0]));
    }
    let topics = fixture.says("help info");
    assert!(info::topics().iter().all(|topic| topics.contains(topic.help)));
    assert_eq!(fixture.says("help stop"), "stop|s  -- stop the machine");
    assert_eq!(fixture.says("help info uuid"), "info uuid  -- the machine's UUID");
    for line in ["frob", "info frob", "help frob", "help info frob"] {
        let unknown = line.trim_start_matches("help ");
        assert_eq!(fixture.says(line), format!("unknown command: '{unknown}'"), "{line}");
    }
    assert_eq!(fixture.says(""), "");
}

#[test]
fn the_names_of_commands_and_topics_are_in_order_and_unique() {
    for table in [table::commands(), info::topics()] {
        let names: Vec<_> = table.iter().map(|command| command.names[0]).collect();
        assert!(names.is_sorted(), "{names:?}");
        let mut all: Vec<_> = table.iter().flat_map(|command| command.names).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), table.iter().map(|command| command.names.len()).sum::<usize>());
    }
}

#[test]
fn memory_is_shown_in_every_format() {
    let mut fixture = Fixture::new("memory", "");
    assert_eq!(fixture.says("xp/4xb 0xf0000"), "00000000000f0000: 0x66 0x31 0xc0 0x66");
    assert_eq!(fixture.says("xp/2xh 0xf0000"), "00000000000f0000: 0x3166 0x66c0");
    assert_eq!(fixture.says("xp /1dw 0xf0000"), "00000000000f0000:  1723871590");
    assert_eq!(fixture.says("xp/c 0xf0000"), "00000000000f0000: 'f'");
    assert_eq!(
        fixture.says("xp/3xg 0xfffffff0"),
        "00000000fffffff0: 0x000000f0000000ea 0x0000000000000000\n0000000100000000: Cannot access memory"
    );
    assert_eq!(
        fixture.says("xp 0xfee00000"),
        "Error: address 0xfee00000 belongs to the registers of 'apic', and reading them could change the guest"
    );
    assert_eq!(fixture.says("xp/99999999x 0"), "Error: count 99999999 is out of range");
}

#[test]
fn code_is_disassembled_as_the_cpu_would_decode_it() {
    let mut fixture = Fixture::new("code", "");
    assert_eq!(fixture.says("x/i $pc"), "0xfffffff0:  ea 00 00 00 f0           jmp far 0,0F000h");
    fixture.run(1);
    assert_eq!(
        fixture.says("x/4i $pc"),
        "0x000f0000:  66 31 c0                 xor eax,eax\n0x000f0003:  66 40                    inc eax\n\
         0x000f0005:  e6 80                    out 80h,al\n0x000f0007:  eb fa                    jmp short 3"
    );
}

#[test]
fn expressions_know_registers() {
    let mut fixture = Fixture::new("print", "");
    fixture.run(3);
    assert_eq!(fixture.says("p $rax"), "0x1");
    assert_eq!(fixture.says("p/d $cs.base + $rip - 5"), "983040");
    assert_eq!(fixture.says("p/x $tick"), "0x3");
    assert_eq!(fixture.says("p $nothing"), "unknown register\nTry \"help p\" for more information");
}

#[test]
fn info_shows_what_is_there() {
    let mut fixture = Fixture::new("info", "-smp 2 -name small -uuid 00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(fixture.says("info version"), "7.2.0 (lockstep-0.1.0)");
    assert_eq!(fixture.says("info uuid"), "00112233-4455-6677-8899-aabbccddeeff");
    let thread = rustix::thread::gettid().as_raw_nonzero();
    assert_eq!(
        fixture.says("info cpus"),
        format!(
            "* CPU #0: pc=0x00000000fffffff0 thread_id={thread}\n  \
             CPU #1: pc=0x00000000fffffff0 (waiting for start-up) thread_id={thread}\n"
        )
    );
    assert_eq!(fixture.says("cpu 2"), "invalid CPU index");
    assert_eq!(fixture.says("cpu 1"), "");
    assert!(fixture.says("info registers").starts_with("CPU#1\nEAX=00000000 EBX=00000000"));
    let all = fixture.says("info registers -a");
    assert!(all.contains("CPU#0\n") && all.contains("CS =f000 ffff0000 0000ffff"), "{all}");
    assert!(fixture.says("info devices").contains("i8042: "));
    assert!(fixture.says("info device port80").starts_with('{'));
    assert_eq!(fixture.says("info device frob"), "Error: no device is called 'frob'");
}

#[test]
fn looking_changes_nothing_in_the_guest() {
    let mut fixture = Fixture::new("looking", "");
    fixture.run(1000);
    let mut digester = Digester::default();
    let before = digester.digest(&mut fixture.control.board.machine).expect("a digest");
    for line in
        ["help", "x/20i $pc", "xp/64xg 0", "xp 0xfee00020", "p $rax", "stop", "cont", "info", "cpu 0", "log none"]
    {
        fixture.says(line);
    }
    for topic in info::topics() {
        fixture.says(&format!("info {}", topic.names[0]));
    }
    assert_eq!(digester.digest(&mut fixture.control.board.machine).expect("a digest"), before);
}

#[test]
fn ports_are_read_and_written() {
    let mut fixture = Fixture::new("ports", "-S");
    assert_eq!(fixture.says("o/b 0x71 1"), "");
    assert_eq!(fixture.says("o/w 0xcf8 0x80000000"), "");
    assert_eq!(fixture.says("i/w 0xcfc"), "portl[0x0cfc] = 0x12378086");
    assert_eq!(fixture.says("i/h 0xcfe"), "portw[0x0cfe] = 0x1237");
    assert_eq!(fixture.says("i/b 0x1234"), "portb[0x1234] = 0xff");
    assert_eq!(fixture.says("i 0x10000"), "Error: port 65536 is out of range");
    assert_eq!(fixture.says("i/g 0"), "invalid char in format: 'g'\nTry \"help i\" for more information");
}

#[test]
fn keys_reach_the_keyboard() {
    let mut fixture = Fixture::new("keys", "-S");
    assert_eq!(fixture.says("sendkey ctrl-a"), "");
    assert_eq!(fixture.says("sendkey ctrl-frob"), "invalid parameter: frob");
}

#[test]
fn stop_and_cont_and_reset_say_whether_the_machine_runs() {
    let mut fixture = Fixture::new("state", "-S");
    assert_eq!(fixture.says("info status"), "VM status: paused (prelaunch)");
    fixture.says("c");
    assert_eq!(fixture.says("info status"), "VM status: running");
    fixture.run(100);
    fixture.says("stop");
    assert_eq!(fixture.says("info status"), "VM status: paused");
    fixture.says("system_reset");
    assert_eq!(fixture.says("info status"), "VM status: paused (prelaunch)");
    assert_eq!(fixture.says("p $pc"), "0xfffffff0");
}

#[test]
fn a_machine_that_is_off_and_kept_goes_on_after_a_reset() {
    let mut fixture = Fixture::new("off", "-no-shutdown");
    fixture.run(100);
    for line in POWER_OFF {
        assert_eq!(fixture.says(line), "");
    }
    assert_eq!(fixture.control.over(), None, "-no-shutdown keeps it");
    assert_eq!(fixture.says("info status"), "VM status: paused (shutdown)");
    assert_eq!(fixture.says("cont"), "Error: the machine is over: system_reset it first");
    assert_eq!(fixture.says("system_reset"), "");
    assert_eq!(fixture.says("info status"), "VM status: paused (prelaunch)");
    assert_eq!(fixture.says("cont"), "");
    assert!(fixture.control.runs());
    fixture.run(3);
    assert_eq!(fixture.says("p $rax"), "0x1");
}

#[test]
fn the_power_button_reaches_the_chipset_and_nothing_reaches_a_replay() {
    let mut fixture = Fixture::new("button", "");
    let power = fixture.says("info device piix4-pm");
    assert_eq!(fixture.says("system_powerdown"), "");
    assert_ne!(fixture.says("info device piix4-pm"), power);
    fixture.control.board.machine.gate.close();
    for line in ["system_powerdown", "system_reset", "i 0x60", "o/b 0x80 1", "sendkey a"] {
        assert_eq!(
            fixture.says(line),
            "Error: a recording is being replayed: nothing from outside reaches the guest",
            "{line}"
        );
    }
}

#[test]
fn log_items_are_checked() {
    let mut fixture = Fixture::new("log", "");
    let file = fixture.guest.folder.join("log");
    fixture.control.config.log.file = Some(file.clone());
    let items = fixture.says("log int,frob");
    assert!(items.starts_with("Log items (comma separated):\nnone ") && items.contains("\nin_asm "), "{items}");
    assert_eq!(fixture.says("log in_asm"), "");
    fixture.run(2);
    assert_eq!(fixture.says("log none"), "");
    fixture.run(2);
    let text = std::fs::read_to_string(file).expect("a log");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn media_are_taken_out_and_put_in() {
    let mut fixture =
        Fixture::new("media", "-drive if=ide,index=2,media=cdrom -drive if=none,id=spare -drive if=floppy");
    let disc = fixture.guest.folder.join("disc.iso");
    std::fs::write(&disc, [0; 8192]).expect("an image");
    let disc = disc.display();
    let removable = |tray| format!("    Removable device: not locked, tray {tray}\n");
    let empty = |tray| {
        format!("ide1-cd0: [not inserted]\n    Attached to:      /machine/unattached/device[18]\n{}", removable(tray))
    };
    assert_eq!(fixture.says("info block ide1-cd0"), empty("closed"));
    assert_eq!(fixture.says(&format!("change ide1-cd0 {disc} raw")), "");
    let inserted = fixture.says("info block ide1-cd0");
    assert!(inserted.starts_with(&format!("ide1-cd0 (#ide1-cd0): {disc} (raw, read-only)\n")), "{inserted}");
    assert!(inserted.ends_with(&format!("{}    Cache mode:       writeback\n", removable("closed"))), "{inserted}");
    assert_eq!(fixture.says("eject ide1-cd0"), "");
    assert_eq!(fixture.says("info block ide1-cd0"), empty("open"));
    assert_eq!(fixture.says(&format!("change ide1-cd0 -f \"{disc}\" raw retain")), "");
    assert_eq!(fixture.says("eject -f ide1-cd0"), "");
    assert_eq!(fixture.says("eject ide9-cd0"), "Error: Device 'ide9-cd0' not found");
    assert!(fixture.says("change floppy0 /nowhere").contains("/nowhere"));
    assert_eq!(fixture.says("change floppy0 x vmdk"), "Error: Unknown driver 'vmdk'");
}

#[test]
fn the_mouse_moves_and_its_buttons_are_pressed() {
    let mut fixture = Fixture::new("mouse", "");
    assert_eq!(fixture.says("info mice"), "* Mouse #1: PS/2 mouse\n");
    assert_eq!(fixture.says("mouse_move 5 -3 1"), "");
    assert_eq!(fixture.says("mouse_button 5"), "");
    let state = fixture.says("info device i8042");
    for part in ["\"right\": 5", "\"up\": 3", "\"wheel\": 1"] {
        assert!(state.contains(part), "{part} in {state}");
    }
    assert_eq!(fixture.says("mouse_button 32"), "Error: STATE 32 is out of range");
    assert!(fixture.says("mouse_move 5").starts_with("mouse_move: string expected\n"));
    assert_eq!(
        (fixture.says("mouse_set 1"), fixture.says("mouse_set 2")),
        ("".into(), "Mouse at index '2' not found".into())
    );
    assert!(fixture.says("mouse_move 5 70000").contains("found '70000'"));
}

#[test]
fn a_dump_holds_the_memory_and_the_registers_of_the_tick_it_was_asked_for() {
    let mut fixture = Fixture::new("dump", "-smp 2");
    fixture.run(100);
    let file = fixture.guest.folder.join("dump");
    for options in ["", "-z", "-l -R", "-s", "-Z -R", "-p"] {
        assert_eq!(fixture.says(&format!("dump-guest-memory {options} {}", file.display())), "", "{options}");
        let dump = lockstep_dump::read::Dump::open(&file).expect("a dump");
        let cpus = &fixture.control.board.machine.cpus;
        let registers = dump.registers();
        assert_eq!(registers.len(), 2);
        assert_eq!((registers[0].rip, registers[0].general[0]), (cpus[0].ip, cpus[0].gpr[0]), "{options}");
        let mut program = [0; crate::bare_guest::PROGRAM.len()];
        assert!(dump.read_physical(0xf_0000, &mut program));
        assert_eq!(program, crate::bare_guest::PROGRAM);
    }
    let before = std::fs::read(&file).expect("a dump");
    assert!(
        fixture.says("dump-guest-memory /nonexistent/dump").starts_with("Error: Could not open '/nonexistent/dump': ")
    );
    let refused = fixture.says(&format!("dump-guest-memory -z {} 0 0x1000", file.display()));
    assert!(refused.starts_with("Error: kdump formats"), "{refused}");
    assert!(std::fs::read(&file).expect("still there") == before);
}

#[test]
fn where_addresses_lead_is_shown() {
    let mut f = Fixture::new("translation", "");
    assert_eq!(f.says("gva2gpa 0x1234"), "gpa: 0x1234", "without paging they are the same");
    assert_eq!(f.says("info mem"), "PG disabled");
    let host = f.says("gpa2hva 0x1000");
    assert!(host.starts_with("Host virtual address for 0x1000 (pc.ram") && host.contains(") is 0x"), "{host}");
    assert!(f.says("gpa2hva 0xfee00000").starts_with("Memory at address 0xfee00000 is not RAM"));
    // One 2-MiB page at 0, writable, in tables at 10000h; then 4-level paging as a kernel turns it on.
    let machine = &mut f.control.board.machine;
    for (at, entry) in [(0x1_0000, 0x1_1003_u64), (0x1_1000, 0x1_2003), (0x1_2000, 0x83)] {
        machine.bus.memory.write_bytes(at, &entry.to_le_bytes());
    }
    let cpu = &mut machine.cpus[0];
    cpu.cr3 = 0x1_0000;
    cpu.cr4 |= lockstep_cpu::state::Cr4::PAE;
    cpu.efer |= lockstep_cpu::state::Efer::LME | lockstep_cpu::state::Efer::LMA;
    cpu.cr0 |= lockstep_cpu::state::Cr0::PG | lockstep_cpu::state::Cr0::PE;
    assert_eq!(f.says("info mem"), "0000000000000000-0000000000200000 0000000000200000 -rw\n");
    assert_eq!(f.says("info tlb"), "0000000000000000: 0000000000000000 --P-----W\n");
    assert_eq!(f.says("gva2gpa 0x200000"), "Unmapped");
}

#[test]
fn interrupt_controllers_and_their_lines_are_shown() {
    let mut f = Fixture::new("interrupts", "");
    // Both chips as a BIOS sets them up, and then only the keyboard's line open.
    for line in ["o/b 0x20 0x11", "o/b 0x21 8", "o/b 0x21 4", "o/b 0x21 1", "o/b 0x21 0xfd"] {
        assert_eq!(f.says(line), "");
    }
    let pics = f.says("info pic");
    assert!(pics.starts_with("pic0: irr=00 imr=fd isr=00 hprio=0 irq_base=08 "), "{pics}");
    assert!(f.says("info lapic").contains("spurious vector 255"));
    assert_eq!(f.says("info lapic 7"), "No CPU available");
    let ticks = |f: &mut Fixture| {
        let shown = f.says("info irq");
        let line = shown.lines().find_map(|line| line.strip_prefix(" 0: ")).unwrap_or("0");
        line.parse::<u64>().expect("a number")
    };
    let before = ticks(&mut f);
    // The timer's channel 0, counting down from 100h at 1.19 MHz.
    for line in ["o/b 0x43 0x34", "o/b 0x40 0", "o/b 0x40 1"] {
        f.says(line);
    }
    f.run(1_000_000);
    assert!(ticks(&mut f) > before);
}

#[test]
fn the_machines_parts_are_shown_as_trees() {
    let mut f = Fixture::new("trees", "-device edu,id=teacher,addr=7");
    let objects = f.says("info qom-tree");
    assert!(objects.contains("/teacher (edu)"), "{objects}");
    let buses = f.says("info qtree");
    assert!(buses.contains("bus: pci.0"), "{buses}");
    assert!(buses.contains("dev: edu, id \"teacher\"") && buses.contains("addr = 07.0"), "{buses}");
    let functions = f.says("info pci");
    assert!(functions.contains("  Bus  0, device   7, function 0:") && functions.contains("1234:11e8"), "{functions}");
    assert!(functions.contains("      BAR0: 32 bit memory at 0xffffffffffffffff [0x000ffffe].\n"), "{functions}");
    assert!(f.says("info roms").contains("mem=rom"));
    assert_eq!(f.says("info balloon"), "Error: No balloon device has been activated");
}
