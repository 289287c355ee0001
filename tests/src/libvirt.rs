//! A libvirt of a test's own: a daemon for one user, with all its files in a folder, and what it keeps a guest's files in.

use crate::folder::Folder;
use crate::program::lockstep;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Who a test is that root runs: libvirt's daemon for one user refuses to be root's.
const NOBODY: u32 = 65534;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// One file for what a domain says, and no daemon that rotates it.
const DRIVER_SETTINGS: &str = "stdio_handler = \"file\"\nsecurity_driver = \"none\"\n";

/// A daemon, and who speaks to it.
pub struct Libvirt {
    daemon: Child,
    folder: Folder,
}

/// A user at a domain's console.
pub struct Console {
    virsh: Child,
    screen: File,
    seen: String,
}

impl Libvirt {
    /// Starts the daemon. Lockstep is there under QEMU's name.
    ///
    /// # Panics
    /// If libvirt is not installed, or does not start.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        for inner in ["run", "config/libvirt", "cache", "data"] {
            std::fs::create_dir_all(folder.file(inner)).expect("a folder");
        }
        std::fs::write(folder.file("config/libvirt/qemu.conf"), DRIVER_SETTINGS).expect("a file");
        std::fs::copy(lockstep(), folder.file("lockstep")).expect("a copy");
        symlink("lockstep", folder.file("qemu-system-x86_64")).expect("a name");
        hand_over(&folder.file(""));
        let mut daemon = as_user(&folder, "libvirtd");
        let daemon = daemon.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let daemon = daemon.expect("libvirtd (on Debian: apt-get install libvirt-daemon-system libvirt-clients)");
        let libvirt = Self { daemon, folder };
        let begun = Instant::now();
        while !libvirt.folder.file("run/libvirt/libvirt-sock").exists() {
            assert!(begun.elapsed() < PATIENCE, "libvirtd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        libvirt
    }

    /// The name under which it knows Lockstep.
    pub fn emulator(&self) -> String {
        self.folder.file("qemu-system-x86_64").display().to_string()
    }

    /// Puts a file where a domain can have it.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.file(name);
        std::fs::write(&path, bytes).expect("a file");
        hand_over(&path);
        path.display().to_string()
    }

    /// Where a file of this name is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.file(name)
    }

    /// What virsh says to a command that succeeds.
    ///
    /// # Panics
    /// If it fails.
    pub fn virsh(&self, arguments: &[&str]) -> String {
        let output = self.client().args(arguments).output().expect("virsh");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "virsh {arguments:?}: {said}\n{}", self.domains_words());
        said
    }

    /// Waits until a domain is in a state, in virsh's word for it.
    ///
    /// # Panics
    /// If it does not come to it.
    pub fn until_state(&self, domain: &str, state: &str) {
        let begun = Instant::now();
        while self.virsh(&["domstate", domain]).trim() != state {
            assert!(begun.elapsed() < PATIENCE, "{domain} is not {state}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Opens a domain's console.
    ///
    /// # Panics
    /// If there is no terminal for it.
    pub fn console(&self, domain: &str) -> Console {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&screen).and_then(|()| unlockpt(&screen)).expect("its other end");
        let name = ptsname(&screen, Vec::new()).expect("its name").into_string().expect("it is text");
        let terminal = File::options().read(true).write(true).open(name).expect("it opens");
        let end = || Stdio::from(terminal.try_clone().expect("a copy"));
        let mut virsh = self.client();
        let virsh = virsh.args(["console", domain]).stdin(end()).stdout(end()).stderr(end()).spawn().expect("virsh");
        let mut console = Console { virsh, screen: screen.into(), seen: String::new() };
        console.until("Escape character is");
        console
    }

    fn client(&self) -> Command {
        let mut virsh = as_user(&self.folder, "virsh");
        virsh.args(["-c", "qemu:///session"]);
        virsh
    }

    /// What domains have written to their standard error.
    fn domains_words(&self) -> String {
        let logs = std::fs::read_dir(self.folder.file("cache/libvirt/qemu/log"));
        let logs =
            logs.into_iter().flatten().flatten().map(|log| std::fs::read_to_string(log.path()).unwrap_or_default());
        logs.collect::<Vec<_>>().concat()
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        // A domain outlives its daemon.
        let running = self.client().args(["list", "--name"]).output();
        let running = running.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        for domain in running.split_whitespace() {
            let _ = self.client().args(["destroy", domain]).output();
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Console {
    /// Types.
    ///
    /// # Panics
    /// If nobody listens.
    pub fn type_in(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).expect("virsh listens");
    }

    /// Waits until something is on the screen, and takes all up to there.
    ///
    /// # Panics
    /// If it does not come.
    pub fn until(&mut self, what: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.seen.find(what) {
                let rest = self.seen.split_off(at + what.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(begun.elapsed() < PATIENCE, "no {what:?} in {}", self.seen);
            let mut buffer = [0; 4096];
            let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            let fd = self.screen.as_fd();
            let mut ready = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            if rustix::event::poll(&mut ready, Some(&second)).is_ok_and(|count| count > 0) {
                let count = self.screen.read(&mut buffer).expect("virsh is there");
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.virsh.kill();
        let _ = self.virsh.wait();
    }
}

/// A program of that user.
fn as_user(folder: &Folder, program: &str) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
        let mut command = Command::new("setpriv");
        command.args([user.as_str(), group.as_str(), "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    };
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", folder.file("")).env("LC_ALL", "C");
    for (variable, inner) in
        [("RUNTIME_DIR", "run"), ("CONFIG_HOME", "config"), ("CACHE_HOME", "cache"), ("DATA_HOME", "data")]
    {
        command.env(format!("XDG_{variable}"), folder.file(inner));
    }
    command.stdin(Stdio::null());
    command
}

/// Makes a file or folder, and all in it, that user's.
fn hand_over(path: &Path) {
    let metadata = std::fs::symlink_metadata(path).expect("it is there");
    if metadata.is_symlink() {
        return;
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("a file of another user");
    }
    let reachable = metadata.permissions().mode() | 0o755;
    std::fs::set_permissions(path, PermissionsExt::from_mode(reachable)).expect("permissions");
    if metadata.is_dir() {
        for inner in std::fs::read_dir(path).expect("a folder").flatten() {
            hand_over(&inner.path());
        }
    }
}
