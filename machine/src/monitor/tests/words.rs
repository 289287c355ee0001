//! What the monitor says to lines that it cannot carry out: QEMU's words, which scripts look for.

use super::Fixture;

fn check(name: &str, cases: &[(&str, &str)]) {
    let mut f = Fixture::new(name, "-drive if=ide,index=2,media=cdrom -chardev ringbuf,id=ring,size=16");
    for (line, said) in cases {
        assert_eq!(f.says(line), *said, "{line}");
    }
}

#[test]
fn arguments_that_are_wanting_or_too_many_name_the_command_and_its_help() {
    check(
        "words-arguments",
        &[
            ("stop now", "stop|s: extraneous characters at the end of line\nTry \"help stop\" for more information"),
            ("s now", "stop|s: extraneous characters at the end of line\nTry \"help s\" for more information"),
            ("eject", "eject: block device name expected\nTry \"help eject\" for more information"),
            ("eject -x d", "eject: unsupported option -x\nTry \"help eject\" for more information"),
            ("change ide1-cd0", "change: filename expected\nTry \"help change\" for more information"),
            ("sendkey", "sendkey: string expected\nTry \"help sendkey\" for more information"),
            ("logfile", "logfile: filename expected\nTry \"help logfile\" for more information"),
            (
                "info roms x",
                "roms: extraneous characters at the end of line\nTry \"help info roms\" for more information",
            ),
            ("info block -z", "block: unsupported option -z\nTry \"help info block\" for more information"),
            ("info stats", "stats: string expected\nTry \"help info stats\" for more information"),
        ],
    );
}

#[test]
fn what_cannot_be_read_is_said_and_where_help_is() {
    check(
        "words-numbers",
        &[
            ("x", "unexpected end of expression\nTry \"help x\" for more information"),
            ("cpu", "unexpected end of expression\nTry \"help cpu\" for more information"),
            ("x/zz 0", "invalid char in format: 'z'\nTry \"help x\" for more information"),
            ("p zz", "invalid char 'z' in expression\nTry \"help p\" for more information"),
            ("p (1", "')' expected\nTry \"help p\" for more information"),
            ("p 1/0", "division by zero\nTry \"help p\" for more information"),
            ("p $foo", "unknown register\nTry \"help p\" for more information"),
            ("set_link n frob", "Expected 'on' or 'off'\nTry \"help set_link\" for more information"),
            ("block_resize ide1-cd0", "invalid size\nTry \"help block_resize\" for more information"),
            ("ringbuf_write ring \"ab", "unterminated string\nTry \"help ringbuf_write\" for more information"),
            (
                "ringbuf_write ring \"\\q\"",
                "unsupported escape code: '\\q'\nTry \"help ringbuf_write\" for more information",
            ),
        ],
    );
}

#[test]
fn what_the_machine_refuses_is_an_error() {
    check(
        "words-refused",
        &[
            ("eject nosuch", "Error: Device 'nosuch' not found"),
            ("change ide1-cd0 /nowhere raw bad", "Error: invalid parameter value: bad"),
            ("block_resize nosuch 16M", "Error: Cannot find device='nosuch' nor node-name=''"),
            ("watchdog_action frob", "Error: invalid parameter value: frob"),
            ("device_add", "Error: Parameter 'driver' is missing"),
            ("device_add frob", "Error: 'frob' is not a valid device model name"),
            ("device_del nosuch", "Error: Device 'nosuch' not found"),
            ("object_add memory-backend-ram,size=4M", "Error: Parameter 'id' is missing"),
            ("object_add nosuch,id=x", "Error: Parameter 'qom-type' does not accept value 'nosuch'"),
            ("object_del nosuch", "Error: object 'nosuch' not found"),
            ("chardev-add null", "Error: chardev: no id specified"),
            ("chardev-add frob,id=c2", "Error: 'frob' is not a valid char driver name"),
            ("chardev-remove nosuch", "Error: Chardev 'nosuch' not found"),
            ("ringbuf_read nosuch 1", "Error: Device 'nosuch' not found"),
            ("qom-list /nosuch", "Error: Device '/nosuch' not found"),
            ("qom-get /machine frob", "Error: Property 'pc-i440fx-7.2-machine.frob' not found"),
            ("getfd foo", "Error: No file descriptor supplied via SCM_RIGHTS"),
            ("closefd foo", "Error: File descriptor named 'foo' not found"),
            ("set_link nosuch on", "Error: Device 'nosuch' not found"),
            ("netdev_del nosuch", "Error: Device 'nosuch' not found"),
            ("migrate tcp:0:1", "Error: Lockstep does not migrate"),
            ("migrate_set_capability frob on", "Error: invalid parameter value: frob"),
            ("set_password vnc foo", "Error: Could not set password"),
            ("set_password frob foo", "Error: invalid parameter value: frob"),
            ("expire_password spice now", "Error: SPICE is not in use"),
            ("exit_preconfig", "Error: The command is permitted only before machine initialization"),
            ("system_wakeup", "Error: Unable to wake up: guest is not in suspended state"),
            ("info usb", "Error: USB support not enabled"),
            ("info vm-generation-id", "Error: VM Generation ID device not found"),
            ("dump-guest-memory -z -l x", "Error: only one of '-z|-l|-s|-Z' can be set"),
            ("dump-guest-memory x 1", "Error: Parameter 'length' is missing"),
        ],
    );
}

#[test]
fn some_are_told_without_a_word_in_front() {
    check(
        "words-bare",
        &[
            ("cpu 9", "invalid CPU index"),
            ("sendkey ctrl-frob", "invalid parameter: frob"),
            ("mouse_set 9", "Mouse at index '9' not found"),
            ("gpa2hva 0xfff000000", "No memory is mapped at address 0xfff000000"),
            ("replay_break 1", "setting the breakpoint is allowed only in play mode"),
            ("logfile /nowhere/log", "Error opening logfile /nowhere/log: No such file or directory"),
            ("info stats frob", "invalid stats target frob"),
            ("info registers 9", "CPU#9 not available"),
        ],
    );
}
