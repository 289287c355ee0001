//! What a process is given and where its output goes: descriptors, logs, sockets' names, the background.

use super::*;

#[test]
fn descriptors_are_put_into_sets_with_qemus_checks() {
    let config = config("-add-fd fd=23,set=0 -add-fd set=7,fd=24,opaque=log");
    let numbers: Vec<_> = config.descriptors.iter().map(|passed| (passed.fd, passed.set)).collect();
    assert_eq!(numbers, [(23, 0), (24, 7)]);
    assert_eq!(config.descriptors[1].opaque.as_deref(), Some("log"));
    for (line, said) in [
        ("-add-fd set=2", "fd option is required and must be non-negative"),
        ("-add-fd fd=-1,set=2", "fd option is required and must be non-negative"),
        ("-add-fd fd=2,set=2", "fd cannot be a standard I/O stream"),
        ("-add-fd fd=9", "set option is required and must be non-negative"),
        ("-add-fd fd=9,set=-2", "set option is required and must be non-negative"),
        ("-add-fd fd=9,set=2,colour=red", "unknown property 'colour'"),
    ] {
        assert_eq!(error(line), format!("{line}: {said}"));
    }
}

#[test]
fn output_is_written_to_a_log_beside() {
    let config = config("-chardev null,id=a,logfile=/tmp/l -chardev pty,id=b,logfile=/dev/fdset/0,logappend=on");
    let log = |id| config.chardev(id).and_then(|chardev| chardev.log.clone());
    assert_eq!(log("a"), Some(ChardevLog { path: "/tmp/l".into(), append: false }));
    assert_eq!(log("b"), Some(ChardevLog { path: "/dev/fdset/0".into(), append: true }));
    assert!(error("-chardev socket,id=q,path=s,server=on,logfile=l -mon q,mode=control").contains("a log of QMP"));
}

#[test]
fn sockets_may_be_outside_the_file_system() {
    let config = config(
        "-chardev socket,id=a,path=x,abstract=on,server=on -chardev socket,id=b,path=x,abstract=on,tight=off -serial unix:x,abstract=on",
    );
    for (id, tight) in [("a", true), ("b", false), ("serial0", true)] {
        let Backend::Socket { address, .. } = backend(&config, id) else { panic!("{id} is a socket") };
        assert_eq!(*address, SocketAddress::Abstract { name: "x".into(), tight }, "{id}");
    }
}

#[test]
fn the_terminal_does_not_go_into_the_background() {
    for line in ["-qmp stdio", "-serial stdio", "-monitor stdio", "-serial mon:stdio"] {
        assert_eq!(error(&format!("-daemonize {line}")), format!("{line}: cannot use stdio with -daemonize"));
    }
    assert_eq!(error("-daemonize -nographic"), "-nographic: cannot be used with -daemonize");
    assert!(super::config("-daemonize -nographic -nodefaults").chardevs.is_empty());
    let config = super::config("-daemonize");
    assert_eq!((backend(&config, "serial0"), config.monitors.len()), (&Backend::Null, 0));
}
