//! How the program starts: at once, and with one clear line when it cannot.

use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_tests::guest::guest_file;
use lockstep_tests::program::{run, scratch, scratch_path};

fn refused(arguments: &[&str], said: &[&str]) {
    let output = run(arguments);
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{arguments:?}: {line}");
    for part in said {
        assert!(line.contains(part), "{arguments:?} should mention {part:?}: {line}");
    }
}

fn file(name: &str, bytes: &[u8]) -> String {
    scratch(name, bytes).display().to_string()
}

/// A 64-KiB image whose reset vector leaves by the debug exit port: mov al, 0x15; out 0xf4, al; then a loop that must not be
/// reached.
fn exit_image() -> String {
    let mut image = vec![0xf4; 0x1_0000];
    image[0xfff0..0xfff6].copy_from_slice(&[0xb0, 0x15, 0xe6, 0xf4, 0xeb, 0xfe]);
    file("exit.bin", &image)
}

const DEBUG_EXIT: &str = "isa-debug-exit,iobase=0xf4,iosize=0x04";

#[test]
fn bad_input_gets_one_line_that_names_the_option_and_the_reason() {
    refused(&["-kernel", "/nowhere/vmlinuz"], &["-kernel", "/nowhere/vmlinuz", "No such file"]);
    let kernel = std::fs::read(guest_file("vmlinuz")).expect("the kernel");
    refused(&["-kernel", &file("short", &kernel[..20_000])], &["-kernel"]);
    refused(&["-kernel", &file("text", b"not a kernel")], &["-kernel"]);
    let mut arm = vec![0; 64];
    arm[..20].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0xb7, 0]);
    refused(&["-kernel", &file("arm", &arm)], &["-kernel"]);
    refused(&["-m", "0"], &["-m"]);
    refused(&["-smp", "300"], &["-smp", "300"]);
    refused(&["-froboz"], &["-froboz"]);
    refused(&["-enable-kvm"], &["-enable-kvm"]);
    refused(&["-bios", "/nowhere/bios.bin"], &["-bios"]);
    refused(&["-cpu", "z80"], &["-cpu", "z80"]);
}

#[test]
fn a_busy_socket_is_named() {
    let path = scratch_path("busy");
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let serial = format!("unix:{},server=on,wait=off", path.display());
    refused(&["-display", "none", "-serial", &serial], &["-serial", "in use"]);
    std::fs::remove_file(Path::new(&path)).expect("the socket's name");
}

#[test]
fn the_debug_exit_port_sets_the_status() {
    let bios = exit_image();
    let output = run(&["-bios", &bios, "-display", "none", "-nodefaults", "-device", DEBUG_EXIT]);
    assert_eq!(output.status.code(), Some(0x15 << 1 | 1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_first_instruction_runs_within_20_ms_even_with_4_gib() {
    let bios = exit_image();
    let start = || {
        let begun = Instant::now();
        run(&["-m", "4G", "-bios", &bios, "-display", "none", "-nodefaults", "-device", DEBUG_EXIT]);
        begun.elapsed()
    };
    // The whole life of the process, its end included; the best of some, for the other tests run beside it.
    let best = (0..10).map(|_| start()).min().unwrap_or_default();
    assert!(best < Duration::from_millis(20), "{best:?}");
}
