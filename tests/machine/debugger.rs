//! Debuggers on a Debian kernel: a small one, and gdb itself.

use lockstep_tests::debugger::Debugger;
use lockstep_tests::folder::Folder;
use lockstep_tests::guest::{debian, guest_file};
use lockstep_tests::program::lockstep;
use lockstep_tests::session::Session;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// RIP in QEMU's description.
const RIP: usize = 16;
const POWEROFF: &str = "quiet nokaslr GUEST_RUN=poweroff";

/// Debian boots and powers off; its digest is told at the end.
fn boot(more: &[&str]) -> Command {
    let mut command = Command::new(lockstep());
    command.args(debian(POWEROFF)).args(["-cpu", "max", "-smp", "2", "-m", "256", "-digest"]).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn listening(socket: &Path) -> String {
    format!("unix:{},server=on,wait=off", socket.display())
}

/// The digest that a run has told.
fn digest(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said.lines().find(|line| line.starts_with("digest ")).unwrap_or_else(|| panic!("no digest: {said}")).to_owned()
}

/// Stops, looks, steps and breaks in a kernel that boots, and leaves.
fn look_around(debugger: &mut Debugger) {
    assert!(debugger.ask("qSupported:multiprocess+").contains("vContSupported+"));
    assert_eq!(debugger.ask("?"), "T05thread:p01.01;");
    // The first instructions.
    let mut before = debugger.register(RIP);
    for _ in 0..20 {
        assert_eq!(debugger.ask("vCont;s:p1.1;c:p1.-1"), "T05thread:p01.01;");
        let now = debugger.register(RIP);
        assert_ne!(now, before);
        before = now;
    }
    // In the midst of its boot.
    debugger.send("vCont;c");
    std::thread::sleep(std::time::Duration::from_millis(300));
    debugger.interrupt();
    assert!(debugger.packet().starts_with("T02thread:p01."));
    let at = debugger.register(RIP);
    let code = debugger.ask(&format!("m{at:x},10"));
    assert_eq!(code.len(), 32, "{code}");
    // Wherever it comes to next, it comes to it again: the breakpoint is met and nothing of it is in memory.
    let threads = debugger.ask("qfThreadInfo");
    assert_eq!(threads, "mp01.01,p01.02");
    assert_eq!(debugger.ask(&format!("Z0,{at:x},1")), "OK");
    assert_eq!(debugger.ask(&format!("m{at:x},10")), code);
    assert_eq!(debugger.ask(&format!("z0,{at:x},1")), "OK");
    assert_eq!(debugger.ask("D;1"), "OK");
}

#[test]
fn a_kernel_that_was_looked_at_ends_in_the_same_state() {
    let folder = Folder::new("debugger-digest");
    let plain = digest(&boot(&[]).output().expect("the program"));
    let socket = folder.file("gdb");
    let machine = boot(&["-S", "-gdb", &listening(&socket)]).spawn().expect("the program");
    let mut debugger = Debugger::to(&socket);
    look_around(&mut debugger);
    let output = machine.wait_with_output().expect("it ends");
    assert_eq!(digest(&output), plain);
}

#[test]
fn a_replay_can_be_looked_at_and_not_be_changed() {
    let folder = Folder::new("debugger-replay");
    let log = folder.file("log").display().to_string();
    let icount = |mode: &str| format!("shift=0,rr={mode},rrfile={log}");
    let plain = digest(&boot(&["-icount", &icount("record")]).output().expect("the program"));
    let socket = folder.file("gdb");
    let arguments = ["-S", "-gdb", &listening(&socket), "-icount", &icount("replay")];
    let machine = boot(&arguments).spawn().expect("the program");
    let mut debugger = Debugger::to(&socket);
    assert_eq!(debugger.ask("M1000,1:00"), "E1e");
    assert_eq!(debugger.ask("P0=0000000000000000"), "E1e");
    look_around(&mut debugger);
    assert_eq!(digest(&machine.wait_with_output().expect("it ends")), plain);
}

#[test]
fn the_monitor_opens_and_closes_the_server_and_a_debugger_ends_the_run() {
    let folder = Folder::new("debugger-monitor");
    let (first, second) = (folder.file("first"), folder.file("second"));
    let mut command = Command::new(lockstep());
    command.args(["-nodefaults", "-display", "none", "-seed", "1", "-monitor", "stdio"]);
    let mut session = Session::start(&mut command);
    session.expect("(qemu)");
    session.type_in("gdbserver nonsense\n");
    session.expect("Error: Could not open gdbserver on device 'nonsense'");
    session.type_in(&format!("gdbserver {}\n", listening(&first)));
    session.expect("Waiting for gdb connection on device");
    let mut debugger = Debugger::to(&first);
    assert_eq!(debugger.ask("?"), "T05thread:01;");
    session.type_in("info status\n");
    session.expect("VM status: paused");
    session.type_in(&format!("gdbserver {}\n", listening(&second)));
    session.expect("Waiting for gdb connection on device");
    let mut debugger = Debugger::to(&second);
    debugger.send("c");
    // What is asked next on the same line is answered after the machine has begun to run.
    debugger.ask("?");
    session.type_in("stop\n");
    assert_eq!(debugger.packet(), "T02thread:01;");
    session.type_in("gdbserver none\n");
    session.expect("Disabled gdbserver");
    session.type_in(&format!("gdbserver {}\n", listening(&second)));
    session.expect("Waiting for gdb connection on device");
    let mut debugger = Debugger::to(&second);
    assert_eq!(debugger.ask("vKill;1"), "OK");
    assert_eq!(session.wait(), Some(0));
}

/// What gdb is told to do: stop, step, look at the stack, and leave.
const SCRIPT: &str = "set pagination off
set confirm off
target remote SOCKET
break start_kernel
continue
bt
stepi
info registers rip cr3 cs
delete
hbreak kernel_init
continue
info threads
delete
watch jiffies_64
continue
bt 3
delete
set $before = jiffies_64
next
print $before == jiffies_64
monitor info status
detach
";

#[test]
#[ignore = "needs gdb and 280 MB of debug symbols: tests/run --long"]
fn gdb_breaks_steps_walks_the_stack_and_leaves() {
    let folder = Folder::new("debugger-gdb");
    let (socket, script) = (folder.file("gdb"), folder.file("script"));
    std::fs::write(&script, SCRIPT.replace("SOCKET", &socket.display().to_string())).expect("a file");
    let plain = digest(&boot(&[]).output().expect("the program"));
    let machine = boot(&["-S", "-gdb", &listening(&socket)]).spawn().expect("the program");
    while !socket.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-x"]).arg(&script).arg(guest_file("vmlinux.debug"));
    let said = gdb.stdin(Stdio::null()).output().expect("gdb");
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    for wanted in [
        "Breakpoint 1, start_kernel ()",
        "in secondary_startup_64 ()",
        "__fentry__ ()",
        "PCID=0",
        "Breakpoint 2, kernel_init (",
        "CPU#1 [halted ]",
        "Hardware watchpoint 3: jiffies_64",
        "do_timer (",
        "tick_periodic (",
        "= 1",
        "VM status: paused (debug)",
        "detached",
    ] {
        assert!(said.contains(wanted), "no {wanted:?}:\n{said}");
    }
    assert_eq!(digest(&machine.wait_with_output().expect("it ends")), plain);
}
