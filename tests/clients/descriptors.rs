//! What a process is started with and leaves behind: descriptors in sets, pid files, sockets' names.

use lockstep_tests::attached::Attached;
use lockstep_tests::program::{lockstep, scratch, scratch_path};
use serde_json::json;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// The program as a shell starts it that has opened files first: `opened` are the shell's words for that. Not every shell
/// takes numbers of two digits.
fn with_files(opened: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec \"$@\" {opened}"), "bash"]).arg(lockstep()).args(arguments);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As libvirt starts a domain whose logs virtlogd keeps, and hands its disks over.
#[test]
fn files_are_opened_from_the_sets_that_the_program_is_started_with() {
    let (socket, image) = (scratch_path("fds.socket"), scratch("fds.img", &[7; 1 << 20]));
    let (log, output) = (scratch("fds.log", b"before\n"), scratch("fds.out", b"before\n"));
    let (dump, memory) = (scratch("fds.dump", b"before"), scratch("fds.memory", b"before"));
    let names = [&image, &log, &output, &dump, &memory].map(|path| path.display().to_string());
    let [image, log, output, dump, memory] = &names;
    let opened = format!("20<>{image} 21>>{log} 22>>{output} 23>{dump} 24>{memory} 25<{log}");
    let qmp = format!("unix:{},server=on,wait=off", socket.display());
    let mut options: Vec<&str> =
        "-S -nodefaults -display none -add-fd fd=20,set=1,opaque=disk -add-fd fd=21,set=2 -add-fd \
        fd=22,set=3 -add-fd fd=23,set=4 -add-fd fd=24,set=5 -add-fd fd=25,set=6 -drive \
        file=/dev/fdset/1,format=raw,if=virtio -chardev \
        pty,id=c,logfile=/dev/fdset/2,logappend=on -serial chardev:c -chardev file,id=o,path=/dev/fdset/3,append=on \
        -device isa-debugcon,chardev=o -qmp"
            .split_whitespace()
            .collect();
    options.push(&qmp);
    let mut machine = Killed(with_files(&opened, &options).spawn().expect("the program"));
    let mut client = Attached::to(&socket);
    let sets = client.returns("query-fdsets", json!({}));
    assert_eq!(sets.as_array().map(Vec::len), Some(6));
    assert_eq!((&sets[0]["fdset-id"], &sets[0]["fds"][0]["opaque"]), (&json!(1), &json!("disk")));
    client.returns("pmemsave", json!({ "val": 0, "size": 4096, "filename": "/dev/fdset/5" }));
    assert_eq!(std::fs::metadata(memory).expect("there").len(), 4096);
    client.returns("dump-guest-memory", json!({ "paging": false, "protocol": "file:/dev/fdset/4" }));
    assert!(std::fs::read(dump).expect("there").starts_with(b"\x7fELF"));
    let node = json!({ "driver": "file", "node-name": "n", "filename": "/dev/fdset/6", "read-only": true });
    client.returns("blockdev-add", node);
    client.returns("remove-fd", json!({ "fdset-id": 1 }));
    assert_eq!(client.returns("query-block", json!({}))[0]["inserted"]["file"], "/dev/fdset/1");
    client.returns("quit", json!({}));
    assert!(machine.0.wait().expect("it ends").success());
    for path in [log, output] {
        assert_eq!(std::fs::read(path).expect("there"), b"before\n", "appended to, not emptied");
    }
    names.iter().for_each(|path| std::fs::remove_file(path).expect("there"));
}

#[test]
fn what_no_set_has_is_told_as_the_host_does() {
    let image = scratch("no-set.img", &[0; 4096]).display().to_string();
    let read = format!("7<{image}");
    for (options, said) in [
        ("-add-fd fd=9,set=1", "-add-fd fd=9,set=1: fd is not valid or already in use"),
        ("-add-fd fd=7,set=1 -drive file=/dev/fdset/1,format=raw", "/dev/fdset/1: Permission denied"),
        ("-drive file=/dev/fdset/3,format=raw", "/dev/fdset/3: No such file or directory"),
        ("-serial file:/dev/fdset/3", "No such file or directory"),
    ] {
        let options: Vec<_> = "-S -nodefaults -display none".split(' ').chain(options.split(' ')).collect();
        let ended = with_files(&read, &options).output().expect("the program");
        let error = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{error}");
        assert!(error.contains(said), "{error}");
    }
    std::fs::remove_file(image).expect("there");
}

/// Two machines by one name must not both run, and what is named relatively is found again from the background.
#[test]
fn a_pid_file_has_one_owner_and_goes_with_it_as_do_sockets_that_are_named_relatively() {
    let folder = scratch_path("owner");
    std::fs::create_dir(&folder).expect("a folder");
    let start = |background: bool| {
        let mut command = Command::new(lockstep());
        command.current_dir(&folder).args("-S -nodefaults -display none -pidfile pid".split(' ')).stdin(Stdio::null());
        command.args("-qmp unix:q,server=on,wait=off -serial unix:s,server=on,wait=off".split(' '));
        command.args(background.then_some("-daemonize")).output().expect("the program")
    };
    let first = start(true);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let number = std::fs::read(folder.join("pid")).expect("a pid file");
    let second = start(false);
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    let expected = "cannot create PID file: Cannot lock pid file: Resource temporarily unavailable";
    assert!(said.contains(expected), "{said}");
    assert_eq!(std::fs::read(folder.join("pid")).expect("still there"), number);
    Attached::to(&folder.join("q")).returns("quit", json!({}));
    let is_empty = |folder: &Path| folder.read_dir().expect("a folder").count() == 0;
    until("all names go", || is_empty(&folder));
    std::fs::remove_dir(&folder).expect("it is empty");
}
