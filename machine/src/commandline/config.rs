//! What a command line asks for, as plain data: the machine is built from this and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::firmware_config::FirmwareConfig;
use super::numa::NumaConfig;
use super::storage_config::{DriveConfig, NodeConfig};
use lockstep_fabric::Actions;
use serde::{Deserialize, Serialize};

/// A whole command line, read, checked and completed with the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The arguments as they were typed, without the program's name.
    pub argv: Vec<String>,
    /// `-machine`.
    pub machine: MachineConfig,
    /// `-cpu`.
    pub cpu: CpuConfig,
    /// `-smp`.
    pub smp: Topology,
    /// `-m`.
    pub memory: MemoryConfig,
    /// `-numa`.
    #[serde(default)]
    pub numa: NumaConfig,
    /// `-bios`, `-L`, `-kernel`, `-initrd`, `-append`, `-boot`.
    pub boot: BootConfig,
    /// `-fw_cfg`, `-acpitable`, `-smbios`.
    pub firmware: FirmwareConfig,
    /// Every character device, named by `-chardev` or made for a `-serial`, `-monitor` or `-debugcon`.
    pub chardevs: Vec<ChardevConfig>,
    /// The serial ports COM1 to COM4 in order: the id of the character device behind each; `None` leaves the port out.
    pub serial: Vec<Option<String>>,
    /// The ids of the character devices that carry a monitor.
    pub monitors: Vec<String>,
    /// The monitors that speak QMP, in order.
    pub qmp: Vec<QmpConfig>,
    /// `-gdb`: the id of the character device on which a debugger is awaited.
    #[serde(default)]
    pub gdb: Option<String>,
    /// `-compat-version`: the version of QEMU that QMP's clients are told.
    pub compatible_version: Option<[u32; 3]>,
    /// `-drive` and the options that stand for one, in order.
    pub drives: Vec<DriveConfig>,
    /// `-blockdev`, in order.
    pub nodes: Vec<NodeConfig>,
    /// `-device` and `-debugcon`, in order, with `-global` applied.
    pub devices: Vec<DeviceConfig>,
    /// `-global`, in order.
    pub globals: Vec<Global>,
    /// `-rtc`.
    pub rtc: RtcConfig,
    /// `-icount`.
    pub icount: IcountConfig,
    /// `-seed`: what all randomness of the machine follows from; `None` lets the host choose (and the log record it).
    pub seed: Option<u64>,
    /// `-digest`: print the hash of all guest-visible state and the tick count at exit.
    pub digest: bool,
    /// `-no-reboot`, `-action reboot=`.
    pub on_reboot: OnReboot,
    /// `-no-shutdown`, `-action shutdown=`.
    pub on_shutdown: OnShutdown,
    /// What the machine does when a watchdog bites or the guest panics.
    pub actions: Actions,
    /// `-S`: build the machine and leave it stopped.
    pub start_stopped: bool,
    /// `-name`.
    pub name: Option<String>,
    /// `-uuid`, in the order written.
    pub uuid: Option<[u8; 16]>,
    /// `-object`: what users make beside the machine, in order.
    #[serde(default)]
    pub objects: Vec<ObjectConfig>,
    /// `-add-fd`, in order.
    #[serde(default)]
    pub descriptors: Vec<PassedDescriptor>,
    /// `-daemonize`: once all is open, the run goes on in the background.
    #[serde(default)]
    pub daemonize: bool,
    /// `-pidfile`.
    pub pidfile: Option<PathBuf>,
    /// `-d` and `-D`.
    pub log: LogConfig,
    /// `-echr`: the terminal's escape character, Ctrl-A unless told otherwise.
    pub escape: u8,
}

/// The kind of board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineKind {
    /// i440FX and PIIX3 with ISA devices.
    Pc,
    /// No board at all: for clients that only want to know what there is.
    None,
}

/// The board and its switches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// Which board.
    pub kind: MachineKind,
    /// ACPI tables and the power management function are there.
    pub acpi: bool,
    /// The HPET is there.
    pub hpet: bool,
    /// System management mode is there.
    pub smm: bool,
    /// The 8254 is there.
    pub pit: bool,
    /// The 8042 is there.
    pub i8042: bool,
    /// The guest is told how fast its nodes' memory is.
    #[serde(default)]
    pub hmat: bool,
    /// `memory-backend=`: the object that all memory comes from, if it is not the machine's own `pc.ram`.
    #[serde(default)]
    pub memory_backend: Option<String>,
    /// `-accel tcg,one-insn-per-tb=off`: what runs often is translated, where the host can.
    #[serde(default = "yes")]
    pub translates: bool,
}

fn yes() -> bool {
    true
}

/// The processor model and what was changed in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuConfig {
    /// The model's name.
    pub model: String,
    /// Changes in the order typed.
    pub properties: Vec<CpuProperty>,
}

/// One `+name`, `-name`, `name` or `name=value` after the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CpuProperty {
    /// `+name`.
    Plus(String),
    /// `-name`.
    Minus(String),
    /// `name=value`; a bare `name` is `name=on`.
    Set(String, String),
}

/// How many processors there are and how they announce themselves to be arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// Processors that are there when the machine starts.
    pub cpus: u32,
    /// Processors that the tables leave room for.
    pub maxcpus: u32,
    /// Sockets.
    pub sockets: u32,
    /// Dies per socket.
    pub dies: u32,
    /// Cores per die.
    pub cores: u32,
    /// Threads per core.
    pub threads: u32,
}

/// Guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryConfig {
    /// Bytes at start, a multiple of 8 KiB.
    pub size: u64,
    /// Slots for memory added later.
    pub slots: u32,
    /// The most that it may grow to, in bytes.
    pub max: u64,
}

/// What is booted and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// `-bios` as typed; [`BootConfig::bios_file`] finds it. `None` is the built-in firmware.
    pub bios: Option<String>,
    /// `-L`, in order: where firmware is looked for before the host's own places.
    pub firmware_dirs: Vec<PathBuf>,
    /// `-kernel`.
    pub kernel: Option<PathBuf>,
    /// `-initrd`.
    pub initrd: Option<PathBuf>,
    /// `-append`: the kernel's command line, empty if there is none.
    pub append: String,
    /// `-boot order=`: drive letters.
    pub order: Option<String>,
    /// `-boot once=`: drive letters for the first boot.
    pub once: Option<String>,
    /// `-boot menu=`.
    pub menu: bool,
    /// `-boot splash=`, as typed.
    pub splash: Option<String>,
    /// `-boot splash-time=`: for how many milliseconds the menu is offered.
    pub splash_time: Option<u16>,
    /// `-boot reboot-timeout=`: how many milliseconds after nothing could be booted the machine is reset; `None` is never.
    pub reboot_timeout: Option<u16>,
    /// `-boot strict=`.
    pub strict: bool,
    /// `-no-fd-bootchk` clears it.
    pub floppy_signature_check: bool,
}

/// The host's end of a character device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChardevConfig {
    /// Its name on the command line.
    pub id: String,
    /// The option that asked for it, for messages: `-serial unix:/tmp/s`.
    pub origin: String,
    /// What it is.
    pub backend: Backend,
    /// Shared between a device and a monitor through the escape character.
    pub mux: bool,
    /// `logfile=`: where all that goes out is written too.
    #[serde(default)]
    pub log: Option<ChardevLog>,
}

/// A file that all output of a character device is written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChardevLog {
    /// Where.
    pub path: PathBuf,
    /// Keep what the file holds.
    pub append: bool,
}

impl ChardevConfig {
    /// It was removed while the machine ran. Its place stays, since character devices are numbered.
    pub fn is_gone(&self) -> bool {
        self.id.is_empty()
    }
}

/// A monitor that speaks QMP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QmpConfig {
    /// The id of the character device behind it.
    pub chardev: String,
    /// Replies are laid out for people.
    pub pretty: bool,
}

/// The kinds of character device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    /// Swallows everything and never speaks.
    Null,
    /// The terminal that Lockstep was started from.
    Stdio {
        /// Ctrl-C ends Lockstep rather than reaching the guest.
        signals: bool,
    },
    /// A file that output goes to.
    File {
        /// Where.
        path: PathBuf,
        /// Keep what the file holds.
        append: bool,
    },
    /// A stream socket.
    Socket {
        /// Where.
        address: SocketAddress,
        /// Who calls whom.
        role: SocketRole,
    },
    /// A new pseudoterminal.
    Pty,
    /// Named pipes.
    Pipe {
        /// The name without `.in` and `.out`, or one name for both directions.
        path: PathBuf,
    },
    /// A serial line of the host, or another terminal.
    SerialLine {
        /// Where.
        path: PathBuf,
    },
    /// Datagrams on the loopback interface.
    Udp {
        /// Where they go to.
        to: SocketAddr,
        /// Where they come in.
        from: SocketAddr,
    },
    /// Memory that keeps what was written last, for QMP's `ringbuf-read`.
    Ring {
        /// How many bytes, a power of two.
        size: usize,
    },
}

impl Backend {
    /// The kinds that `-chardev` takes.
    pub const NAMES: [&'static str; 9] = ["file", "null", "pipe", "pty", "ringbuf", "serial", "socket", "stdio", "udp"];

    /// Whether users come and go, which is told by [`crate::chardev::HostEvent::Opened`].
    pub fn has_visitors(&self) -> bool {
        matches!(self, Self::Socket { .. } | Self::Pty | Self::Pipe { .. } | Self::SerialLine { .. })
    }

    /// Memory of so many bytes; `None` if that is no power of two.
    pub fn ring(size: u64) -> Option<Self> {
        usize::try_from(size).ok().filter(|size| size.is_power_of_two()).map(|size| Self::Ring { size })
    }
}

/// Where a socket is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketAddress {
    /// A path.
    Unix(PathBuf),
    /// A name in Linux's abstract name space.
    Abstract {
        /// The name.
        name: String,
        /// It is the name alone; otherwise it is filled up with zeroes.
        tight: bool,
    },
    /// A port of the loopback interface.
    Tcp(IpAddr, u16),
    /// A socket that Lockstep was started with, by its number.
    Descriptor(u32),
}

/// Which side of a socket Lockstep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketRole {
    /// Connects when the machine is built.
    Client {
        /// After how many seconds to try again when it cannot be reached or has gone.
        reconnect: Option<u32>,
    },
    /// Listens, for one client at a time.
    Server {
        /// Do not start before the first client is there.
        wait: bool,
    },
}

/// One device of `-device`, still as text: its own properties are its driver's business.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceConfig {
    /// The driver's name.
    pub driver: String,
    /// `id=`.
    pub id: Option<String>,
    /// The option that asked for it, for messages: `-device isa-debug-exit,iobase=0xf4`.
    pub origin: String,
    /// Properties in the order typed, the driver's `-global` ones first; the last mention of a name counts.
    pub properties: Vec<(String, String)>,
}

/// One `-global`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Global {
    /// The driver that it is for.
    pub driver: String,
    /// The property.
    pub property: String,
    /// Its value.
    pub value: String,
}

/// Where the real-time clock starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RtcBase {
    /// At the host's date in UTC: an outside input.
    Utc,
    /// At the host's date in its time zone: an outside input.
    LocalTime,
    /// At this many seconds after 1970-01-01T00:00:00.
    At(i64),
}

/// The real-time clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcConfig {
    /// Where it starts. After that it counts ticks, whatever `clock=` was given.
    pub base: RtcBase,
}

/// Whether the run is written down or repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordReplay {
    /// Neither.
    Off,
    /// Write what passes the gate to this file.
    Record(PathBuf),
    /// Feed the gate from this file, with every live source cut off.
    Replay(PathBuf),
}

/// How ticks relate to guest time and to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcountConfig {
    /// A tick is `2^shift` ns of guest time.
    pub shift: u8,
    /// An idle guest sleeps the host.
    pub sleep: bool,
    /// `rr=` and `rrfile=`.
    pub record_replay: RecordReplay,
}

/// What a reset asked for by the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnReboot {
    /// Resets the machine.
    Reset,
    /// Ends the run.
    Shutdown,
}

/// What powering off does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnShutdown {
    /// Ends the run.
    PowerOff,
    /// Stops the machine and keeps it.
    Pause,
}

/// One `-object`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectConfig {
    /// The option, for messages.
    pub origin: String,
    /// Its type.
    pub ty: String,
    /// Its name.
    pub id: String,
    /// Its settings; texts that were not JSON have no type yet.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// One `-add-fd`: a descriptor that the process was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedDescriptor {
    /// The option, for messages.
    pub origin: String,
    /// Its number.
    pub fd: u32,
    /// The set that it belongs to.
    pub set: i64,
    /// What is noted of it.
    pub opaque: Option<String>,
}

/// Diagnostic logging.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// `-d`: the items asked for.
    pub items: Vec<String>,
    /// `-D`: where they go; standard error if there is none.
    pub file: Option<PathBuf>,
}

impl Default for Config {
    /// The machine that `lockstep` without arguments starts, before any character device is attached to it.
    fn default() -> Self {
        Config {
            argv: Vec::new(),
            machine: MachineConfig {
                kind: MachineKind::Pc,
                acpi: true,
                hpet: true,
                smm: true,
                pit: true,
                i8042: true,
                hmat: false,
                memory_backend: None,
                translates: true,
            },
            cpu: CpuConfig { model: "qemu64".to_owned(), properties: Vec::new() },
            smp: Topology { cpus: 1, maxcpus: 1, sockets: 1, dies: 1, cores: 1, threads: 1 },
            memory: MemoryConfig { size: 128 << 20, slots: 0, max: 128 << 20 },
            numa: NumaConfig::default(),
            firmware: FirmwareConfig::default(),
            boot: BootConfig { floppy_signature_check: true, ..BootConfig::default() },
            chardevs: Vec::new(),
            serial: Vec::new(),
            monitors: Vec::new(),
            qmp: Vec::new(),
            gdb: None,
            compatible_version: None,
            drives: Vec::new(),
            nodes: Vec::new(),
            devices: Vec::new(),
            globals: Vec::new(),
            rtc: RtcConfig { base: RtcBase::Utc },
            icount: IcountConfig { shift: 0, sleep: true, record_replay: RecordReplay::Off },
            seed: None,
            digest: false,
            on_reboot: OnReboot::Reset,
            on_shutdown: OnShutdown::PowerOff,
            actions: Actions::default(),
            start_stopped: false,
            name: None,
            uuid: None,
            objects: Vec::new(),
            descriptors: Vec::new(),
            daemonize: false,
            pidfile: None,
            log: LogConfig::default(),
            escape: 0x01,
        }
    }
}

impl CpuConfig {
    /// Whether the feature `name` was asked for or taken away; `None` leaves it to the model.
    ///
    /// As in QEMU, `-name` beats `+name`, both beat `name=on|off`, and `sse4_1`, `sse4-1` and `sse4.1` are one name.
    pub fn feature(&self, name: &str) -> Option<bool> {
        let same = |other: &str| canonical(other) == canonical(name);
        let minus = self.properties.iter().any(|p| matches!(p, CpuProperty::Minus(n) if same(n)));
        let plus = self.properties.iter().any(|p| matches!(p, CpuProperty::Plus(n) if same(n)));
        if minus || plus {
            return Some(!minus);
        }
        self.value(name).and_then(super::values::switch)
    }

    /// The last `name=value` given for `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.properties.iter().rev().find_map(|property| match property {
            CpuProperty::Set(key, value) if canonical(key) == canonical(name) => Some(value.as_str()),
            CpuProperty::Set(..) | CpuProperty::Plus(_) | CpuProperty::Minus(_) => None,
        })
    }
}

/// One spelling for the three that QEMU lets a feature's name have.
fn canonical(name: &str) -> String {
    name.replace(['_', '.'], "-").to_ascii_lowercase()
}

impl DeviceConfig {
    /// The text of a property; the last mention counts.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A property as a number (they were checked when the command line was read).
    pub fn number(&self, name: &str) -> Option<u64> {
        self.property(name).and_then(super::values::number)
    }

    /// A property as a boolean.
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.property(name).and_then(super::values::switch)
    }
}

impl Config {
    /// The character device called `id`.
    pub fn chardev(&self, id: &str) -> Option<&ChardevConfig> {
        self.chardevs.iter().find(|chardev| chardev.id == id)
    }
}
