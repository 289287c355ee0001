//! drgn looks into a running Debian by QMP: by `info mtree -f`, `gpa2hva`, `xp`, and a dump that is one byte long.

use lockstep_tests::client::Connected;
use lockstep_tests::guest::guest_file;
use lockstep_tests::program::scratch_path;
use serde_json::json;
use std::process::{Command, Stdio};

/// Says the processes' names, and the kernel's clock two times.
const SCRIPT: &str = "
import sys, time, drgn
from drgn.helpers.linux.pid import for_each_task
program = drgn.Program()
program.set_qemu_qmp(sys.argv[1])
assert program.flags & drgn.ProgramFlags.IS_LINUX_KERNEL and program.flags & drgn.ProgramFlags.IS_LIVE
program.load_debug_info([sys.argv[2]])
print(*sorted(task.comm.string_().decode() for task in for_each_task(program)))
print(program['saved_command_line'].string_().decode())
before = program['jiffies_64'].value_()
for _ in range(600):
    time.sleep(0.1)
    if program['jiffies_64'].value_() > before:
        print('the clock goes')
        break
";

#[test]
#[ignore = "needs drgn 0.3 and 280 MB of debug symbols: tests/run --long"]
fn drgn_reads_a_running_kernel_over_qmp() {
    let socket = scratch_path("drgn.socket");
    let qmp = format!("unix:{},server=on,wait=off", socket.display());
    let mut client = Connected::with("drgn", &["-qmp", &qmp, "-cpu", "max"]);
    client.until_guest_says("INIT-REACHED");
    let mut drgn = Command::new("python3");
    drgn.args(["-c", SCRIPT]).arg(&socket).arg(guest_file("vmlinux.debug"));
    let output = drgn.stdin(Stdio::null()).output().expect("python3");
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    for wanted in ["kthreadd", "ksoftirqd/0", "console=ttyS0", "the clock goes"] {
        assert!(output.status.success() && said.contains(wanted), "no {wanted}:\n{said}");
    }
    assert_eq!(client.returns("query-status", json!({}))["status"], "running");
    client.quit();
}
