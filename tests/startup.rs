//! How the program starts: at once, and with one clear line when it cannot.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lockstep_tests::guest::guest_file;

fn lockstep() -> PathBuf {
    // Beside the test binaries' folder, where `cargo build` puts it.
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    path.pop();
    path.push("lockstep");
    assert!(path.is_file(), "{} is missing: cargo build --release makes it", path.display());
    path
}

fn run(arguments: &[&str]) -> Output {
    Command::new(lockstep()).args(arguments).stdin(Stdio::null()).output().expect("the program starts")
}

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
    let path = std::env::temp_dir().join(format!("lockstep-{}-{name}", std::process::id()));
    std::fs::File::create(&path).and_then(|mut f| f.write_all(bytes)).expect("a scratch file");
    path.display().to_string()
}

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
    let path = std::env::temp_dir().join(format!("lockstep-{}-busy", std::process::id()));
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let serial = format!("unix:{},server=on,wait=off", path.display());
    refused(&["-display", "none", "-serial", &serial], &["-serial", "in use"]);
    std::fs::remove_file(Path::new(&path)).expect("the socket's name");
}

#[test]
fn the_debug_exit_port_sets_the_status() {
    // 16-bit code at the reset vector of a 64 KiB image: mov al, 0x15; out 0xf4, al; then a loop that must not be reached.
    let mut image = vec![0xf4; 0x1_0000];
    image[0xfff0..0xfff6].copy_from_slice(&[0xb0, 0x15, 0xe6, 0xf4, 0xeb, 0xfe]);
    let bios = file("exit.bin", &image);
    let exit = "isa-debug-exit,iobase=0xf4,iosize=0x04";
    let output = run(&["-bios", &bios, "-display", "none", "-nodefaults", "-device", exit]);
    assert_eq!(output.status.code(), Some(0x15 << 1 | 1), "{}", String::from_utf8_lossy(&output.stderr));
}
