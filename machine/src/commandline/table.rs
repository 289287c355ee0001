//! The table of options: everything that the command line takes, and the help text, come from here.

use super::draft::{Draft, Handled};
use super::{
    acpitable, board, characters, clocks, config_file, drives, fw_cfg, host, nodes, numa, peripherals, processors,
    smbios, startup,
};

/// One option.
pub(super) struct Spec {
    /// Its name without the dash.
    pub(super) name: &'static str,
    /// How its argument is written; empty if it takes none.
    pub(super) argument: &'static str,
    /// What it does. Empty for a second name of the option before it.
    pub(super) about: &'static str,
    /// Carries it out.
    pub(super) handler: fn(&mut Draft<'_>, &str) -> Handled,
}

/// Writes the rows below in one line each.
const fn row(
    name: &'static str,
    argument: &'static str,
    about: &'static str,
    handler: fn(&mut Draft<'_>, &str) -> Handled,
) -> Spec {
    Spec { name, argument, about, handler }
}

/// Every option, in the order of the help text.
#[rustfmt::skip]
pub(super) const OPTIONS: &[Spec] = &[
    row("h", "", "", host::help),
    row("help", "", "print this and exit", host::help),
    row("version", "", "print the version and exit", host::version),
    row("M", "[type=]NAME[,PROP=VALUE...]", "", board::machine),
    row("machine", "[type=]NAME[,PROP=VALUE...]", "choose the board: pc, or none; acpi, hpet, smm, pit, i8042, hmat=on|off", board::machine),
    row("cpu", "MODEL[,+F][,-F][,F=on|off]", "choose the processor", processors::cpu),
    row("accel", "tcg", "accepted: there is only software", board::accel),
    row("singlestep", "", "interpret each instruction by itself: -accel tcg,one-insn-per-tb=on", board::singlestep),
    row("enable-kvm", "", "refused: there is only software", board::enable_kvm),
    row("smp", "[cpus=]N[,sockets=][,dies=][,cores=][,threads=][,maxcpus=]", "processors, 1 to 8", processors::smp),
    row("m", "[size=]MEGS[,slots=N,maxmem=SIZE]", "memory; suffixes k, M, G, T", board::memory),
    row("numa", "node|dist|cpu|hmat-lb|hmat-cache[,nodeid=][,cpus=FIRST[-LAST]][,mem=|memdev=][,initiator=][,src=,dst=,val=][,node-id=,socket-id=,...]", "divide the machine into NUMA nodes: their processors and memory, and how far they are from each other", numa::numa),
    row("name", "NAME", "name the guest", host::name),
    row("uuid", "UUID", "the machine's UUID", host::uuid),
    row("no-acpi", "", "leave ACPI out", board::no_acpi),
    row("no-hpet", "", "leave the HPET out", board::no_hpet),
    row("bios", "FILE", "run this firmware instead of the built-in one", startup::bios),
    row("L", "DIR", "look for firmware here first (repeatable)", startup::firmware_dir),
    row("kernel", "FILE", "boot this kernel: bzImage, PVH or Multiboot", startup::kernel),
    row("initrd", "FILE", "its initial RAM disk", startup::initrd),
    row("append", "TEXT", "its command line", startup::append),
    row("boot", "[order=DRIVES][,once=DRIVES][,menu=on|off][,strict=on|off][,reboot-timeout=MS][,splash=FILE][,splash-time=MS]", "what to boot: a, b floppy, c disk, d CD, n network; a menu, a picture for foreign firmware, and when to try again", startup::order),
    row("no-fd-bootchk", "", "let firmware boot unsigned floppies", startup::no_fd_bootchk),
    row("fw_cfg", "[name=]NAME,file=FILE|string=TEXT", "hand this to firmware and guest under the name opt/...", fw_cfg::fw_cfg),
    row("acpitable", "data=|file=FILE[:FILE...][,sig=][,rev=][,oem_id=][,oem_table_id=][,oem_rev=][,asl_compiler_id=][,asl_compiler_rev=]", "add an ACPI table, without or with its header", acpitable::acpitable),
    row("smbios", "file=FILE|type=N[,FIELD=VALUE...]", "add an SMBIOS structure, or set fields of type 0 to 4, 8, 11 or 17", smbios::smbios),
    row("hda", "FILE", "", drives::hda),
    row("hdb", "FILE", "", drives::hdb),
    row("hdc", "FILE", "", drives::hdc),
    row("hdd", "FILE", "an IDE hard disk, as -drive index=0 to 3; an argument without a dash is -hda", drives::hdd),
    row("cdrom", "FILE", "a disc in an IDE CD drive, as -drive index=2,media=cdrom", drives::cdrom),
    row("fda", "FILE", "", drives::fda),
    row("fdb", "FILE", "a floppy disk, as -drive if=floppy,index=0 or 1", drives::fdb),
    row("drive", "[file=FILE][,if=ide|virtio|floppy|none][,index=|bus=,unit=][,media=disk|cdrom][,format=raw|qcow2][,snapshot=on][,readonly=on][,cache=][,discard=][,id=][,serial=][,werror=,rerror=]", "a drive and its image", drives::drive),
    row("blockdev", "driver=file|raw|qcow2|null-co,node-name=NAME[,filename=|,file=NODE][,read-only=on][,...]", "an image for -device ...,drive=NAME; as KEY=VALUE or JSON", nodes::blockdev),
    row("snapshot", "", "write to temporary overlays, leave every image as it is", drives::snapshot),
    row("serial", "DEV", "what is behind the next serial port: stdio, mon:stdio, null, none, pty, file:PATH, pipe:PATH, /dev/..., unix:PATH, tcp:HOST:PORT, udp:HOST:PORT, chardev:ID (repeatable)", characters::serial),
    row("parallel", "none", "accepted: there is none", characters::parallel),
    row("monitor", "DEV", "what is behind the monitor", characters::monitor),
    row("qmp", "DEV", "what is behind a QMP monitor: stdio, unix:PATH,server=on,wait=off, tcp:HOST:PORT,..., chardev:ID", characters::qmp),
    row("qmp-pretty", "DEV", "the same, its replies laid out for people", characters::qmp_pretty),
    row("mon", "[chardev=]ID[,mode=readline|control][,pretty=on][,id=ID]", "put a monitor behind a character device", characters::mon),
    row("compat-version", "X.Y.Z", "the version of QEMU that QMP's clients are told (7.2.0)", characters::compatible_version),
    row("chardev", "BACKEND,id=ID[,mux=on][,logfile=FILE][,logappend=on][,...]", "define a character device: stdio, null, file, socket, ringbuf, pty, pipe, serial, udp", characters::chardev),
    row("debugcon", "DEV", "a debug console at port 0xe9", characters::debugcon),
    row("echr", "N", "the terminal's escape character, by code (1: Ctrl-A)", characters::escape_character),
    row("nographic", "", "serial port and monitor on the terminal (the default)", characters::nographic),
    row("display", "none", "no terminal either, unless -serial or -monitor asks for it", characters::display),
    row("vga", "std|none", "the graphics card, or none", characters::vga),
    row("vnc", "none", "accepted: there is no screen", characters::vnc),
    row("device", "DRIVER[,PROP=VALUE...]", "add a device, as KEY=VALUE or JSON; '-device help' lists them", peripherals::device),
    row("global", "DRIVER.PROP=VALUE", "set a property on all devices of a driver", peripherals::global),
    row("set", "GROUP.ID.ARG=VALUE", "add to the option before it of this group and id", config_file::elsewhere),
    row("readconfig", "FILE", "take options from a file: sections [GROUP \"ID\"] with lines ARG = \"VALUE\"", config_file::elsewhere),
    row("net", "none", "accepted: there is no network", peripherals::no_network),
    row("nic", "none", "accepted: there is no network", peripherals::no_network),
    row("audiodev", "[driver=]none,id=ID", "accepted: there is no sound", peripherals::audio),
    row("rtc", "[base=utc|localtime|DATE][,clock=][,driftfix=]", "where the date starts; it then counts ticks", clocks::rtc),
    row("icount", "[shift=]N[,sleep=on|off][,rr=record|replay,rrfile=FILE]", "a tick is 2^N ns; sleep when idle; record or replay the run", clocks::icount),
    row("seed", "N", "fix all randomness", clocks::seed),
    row("digest", "", "at exit print the hash of all that the guest can see, and the tick count", clocks::digest),
    row("gdb", "DEV", "await a debugger there: tcp::PORT, unix:PATH,server=on,wait=off, stdio, chardev:ID", characters::gdb),
    row("s", "", "the same as -gdb tcp::1234", characters::gdb_at_usual_port),
    row("S", "", "do not start the processors", host::stopped),
    row("no-reboot", "", "exit when the guest resets", host::no_reboot),
    row("no-shutdown", "", "stop, and stay, when the guest powers off", host::no_shutdown),
    row("action", "[reboot=reset|shutdown][,shutdown=poweroff|pause][,panic=pause|shutdown|exit-failure|none][,watchdog=ACTION]", "what reset, power-off, a panic and a watchdog do", host::action),
    row("watchdog-action", "reset|shutdown|poweroff|pause|debug|none|inject-nmi", "what the machine does when a watchdog bites", host::watchdog_action),
    row("nodefaults", "", "no serial port and no monitor that was not asked for", host::no_defaults),
    row("no-user-config", "", "accepted: there is no such file", host::nothing),
    row("object", "TYPE,id=ID[,PROP=VALUE...]", "make an object beside the machine: iothread, memory-backend-*, rng-*, secret, throttle-group; as KEY=VALUE or JSON", host::object),
    row("add-fd", "fd=N,set=M[,opaque=TEXT]", "take this open file descriptor into the set /dev/fdset/M, which files can be opened from", host::add_descriptor),
    row("daemonize", "", "go on in the background once sockets and files are open", host::daemonize),
    row("only-migratable", "", "accepted: nothing is migrated", host::nothing),
    row("pidfile", "FILE", "write the process's number there", host::pidfile),
    row("d", "ITEM[,...]", "log these; '-d help' lists them", host::log_items),
    row("D", "FILE", "log there", host::log_file),
    row("k", "LANGUAGE", "accepted: the terminal's keyboard is as it is", host::nothing),
    row("msg", "[timestamp=on|off]", "accepted", host::messages),
    row("sandbox", "off", "accepted", host::sandbox),
    row("compat", "[deprecated-input=accept][,deprecated-output=accept]", "accepted", host::compat),
    row("mem-prealloc", "", "accepted: the host gives memory when the guest first uses it", host::nothing),
    row("overcommit", "[mem-lock=off][,cpu-pm=off]", "accepted", host::overcommit),
];

/// Finds an option by its name.
pub(super) fn find(name: &str) -> Option<&'static Spec> {
    OPTIONS.iter().find(|spec| spec.name == name)
}

/// The help text.
pub(super) fn help() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "Lockstep {version}: a PC in software whose every run can be repeated to the bit\nusage: lockstep [options]\n       lockstep dump-info FILE [--verify]\n\n"
    );
    let mut names = String::new();
    for spec in OPTIONS {
        names.push_str(&format!("{}-{}", if names.is_empty() { "" } else { " or " }, spec.name));
        if spec.about.is_empty() {
            continue;
        }
        let left = if spec.argument.is_empty() { names.clone() } else { format!("{names} {}", spec.argument) };
        if left.len() < 24 {
            text.push_str(&format!("{left:<24}{}\n", spec.about));
        } else {
            text.push_str(&format!("{left}\n{:24}{}\n", "", spec.about));
        }
        names.clear();
    }
    text.push_str(TERMINAL_HELP);
    text
}

const TERMINAL_HELP: &str = "
On the terminal:
Ctrl-A h    list the keys
Ctrl-A x    exit
Ctrl-A c    switch between serial port and monitor
Ctrl-A b    send a break
Ctrl-A Ctrl-A or Ctrl-A a    send Ctrl-A
";
