//! `-chardev` and the options that attach one: `-serial`, `-monitor`, `-debugcon`, `-parallel`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::config::{Backend, ChardevConfig, ChardevLog, DeviceConfig, QmpConfig, SocketAddress, SocketRole};
use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::suboptions::Suboptions;
use super::values;
use crate::gdb::CHARDEV;

/// How many serial ports the machine pc has.
const MOST_SERIAL_PORTS: usize = 4;

/// Backends that QEMU has and Lockstep does not have yet.
const UNBUILT_BACKENDS: [&str; 7] = ["telnet", "websocket", "msmouse", "vc", "braille", "parallel", "COM1"];

/// Where a debugger is awaited unless something else is said.
pub(crate) const USUAL_DEBUGGER_DEVICE: &str = "tcp::1234";

/// Bytes of a ring buffer unless something else is said.
pub(crate) const USUAL_RING: u64 = 64 << 10;

pub(super) fn chardev(draft: &mut Draft<'_>, argument: &str) -> Handled {
    if argument == "help" {
        let names = Backend::NAMES.map(|name| format!("  {name}\n"));
        return Ok(Flow::Print(format!("Available chardev backend types:\n{}", names.concat())));
    }
    let ChardevConfig { id, backend, mux, log, .. } = chardev_config(argument, &draft.current)?;
    draft.add_logged_chardev(&id, backend, mux, log)?;
    Ok(Flow::Next)
}

/// The character device that a text like `-chardev`'s describes.
pub(crate) fn chardev_config(text: &str, origin: &str) -> Result<ChardevConfig, Reason> {
    let mut options = Suboptions::parse(text, Some("backend"));
    let kind = options.required("backend")?;
    let id = options.required("id")?;
    let mux = options.switch("mux")?.unwrap_or(false);
    let backend = match kind.as_str() {
        "null" => Backend::Null,
        "stdio" => Backend::Stdio { signals: options.switch("signal")?.unwrap_or(true) },
        "file" => Backend::File {
            path: PathBuf::from(options.required("path")?),
            append: options.switch("append")?.unwrap_or(false),
        },
        "socket" => socket(&mut options)?,
        "udp" => udp(&mut options)?,
        "pty" => Backend::Pty,
        "pipe" => Backend::Pipe { path: PathBuf::from(options.required("path")?) },
        "serial" | "tty" => Backend::SerialLine { path: PathBuf::from(options.required("path")?) },
        "ringbuf" => {
            let size = options.size("size", 1)?.unwrap_or(USUAL_RING);
            Backend::ring(size).ok_or_else(|| Reason::bad("size", &size.to_string(), "use a power of two"))?
        }
        other if UNBUILT_BACKENDS.contains(&other) => return Err(Reason::not_built(format!("backend '{other}'"))),
        other => return Err(Reason::UnknownName { kind: "backend", name: other.to_owned(), option: "-chardev" }),
    };
    for unbuilt in ["telnet", "websocket", "tls-creds"] {
        if options.text(unbuilt).is_some_and(|value| value != "off") {
            return Err(Reason::not_built(unbuilt));
        }
    }
    let append = options.switch("logappend")?.unwrap_or(false);
    let log = options.text("logfile").map(|path| ChardevLog { path: path.into(), append });
    options.finish()?;
    Ok(ChardevConfig { id, origin: origin.to_owned(), backend, mux, log })
}

fn socket(options: &mut Suboptions) -> Result<Backend, Reason> {
    let address = match (options.text("fd"), options.text("path")) {
        (Some(number), _) => {
            let socket = values::number(&number).and_then(|number| u32::try_from(number).ok());
            SocketAddress::Descriptor(
                socket.ok_or_else(|| Reason::bad("fd", &number, "use a file descriptor's number"))?,
            )
        }
        (None, Some(path)) => unix_address(path, options)?,
        (None, None) => {
            let port = options.required("port")?;
            SocketAddress::Tcp(loopback(&options.text("host").unwrap_or_default())?, port_number(&port)?)
        }
    };
    Ok(Backend::Socket { address, role: socket_role(options)? })
}

/// A path, or with `abstract=on` a name outside the file system.
fn unix_address(path: String, options: &mut Suboptions) -> Result<SocketAddress, Reason> {
    let tight = options.switch("tight")?.unwrap_or(true);
    Ok(match options.switch("abstract")? {
        Some(true) => SocketAddress::Abstract { name: path, tight },
        _ => SocketAddress::Unix(path.into()),
    })
}

/// `host=`, `port=`, `localaddr=`, `localport=`.
fn udp(options: &mut Suboptions) -> Result<Backend, Reason> {
    let port = options.required("port")?;
    let to = SocketAddr::new(loopback(&options.text("host").unwrap_or_default())?, port_number(&port)?);
    let local = (options.text("localaddr"), options.text("localport"));
    for harmless in ["ipv4", "ipv6"] {
        options.switch(harmless)?;
    }
    datagrams(to, local.0.as_deref(), local.1.as_deref())
}

/// Datagrams to `to`; without a local address they come in beside it, without a port where the host chooses.
fn datagrams(to: SocketAddr, local: Option<&str>, local_port: Option<&str>) -> Result<Backend, Reason> {
    let host = local.filter(|host| !host.is_empty()).map(loopback).transpose()?.unwrap_or(to.ip());
    if host.is_ipv4() != to.is_ipv4() {
        return Err(Reason::refused("the local address is of another family"));
    }
    Ok(Backend::Udp { to, from: SocketAddr::new(host, local_port.map_or(Ok(0), port_number)?) })
}

/// `[HOST]:PORT[@[HOST]:PORT]`, as `udp:` takes them.
fn udp_addresses(text: &str) -> Result<Backend, Reason> {
    let (to, from) = text.split_once('@').map_or((text, None), |(to, from)| (to, Some(from)));
    let parts = |text: &str| {
        let parts = text.rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned()));
        parts.ok_or(Reason::Expected("udp:[HOST]:PORT[@[HOST]:PORT]"))
    };
    let (host, port) = parts(to)?;
    let local = from.map(parts).transpose()?;
    let to = SocketAddr::new(loopback(&host)?, port_number(&port)?);
    datagrams(to, local.as_ref().map(|(host, _)| host.as_str()), local.as_ref().map(|(_, port)| port.as_str()))
}

/// Takes what every stream socket understands.
fn socket_role(options: &mut Suboptions) -> Result<SocketRole, Reason> {
    let server = options.switch("server")?.unwrap_or(false);
    let wait = options.switch("wait")?;
    let reconnect = options.number("reconnect")?.filter(|seconds| *seconds != 0);
    let reconnect = reconnect.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
    for harmless in ["nodelay", "ipv4", "ipv6", "abstract", "tight"] {
        options.switch(harmless)?;
    }
    match (server, wait) {
        (true, wait) => Ok(SocketRole::Server { wait: wait.unwrap_or(true) }),
        (false, Some(_)) => Err(Reason::refused("'wait' only makes sense with 'server'")),
        (false, None) => Ok(SocketRole::Client { reconnect }),
    }
}

/// Reads the host part of an address. Guests' consoles are for this host only.
pub(crate) fn loopback(host: &str) -> Result<IpAddr, Reason> {
    let address = match host {
        "" | "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => host.trim_matches(['[', ']']).parse().ok(),
    };
    address.filter(IpAddr::is_loopback).ok_or_else(|| {
        Reason::refused(format!("'{host}' is not on the loopback interface (use localhost, 127.0.0.1 or ::1)"))
    })
}

fn port_number(text: &str) -> Result<u16, Reason> {
    let port = values::number(text).and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| Reason::bad("port", text, "use a number from 0 to 65535"))
}

/// What an option like `-serial` names.
enum Attachment {
    /// No device at all.
    Nothing,
    /// A character device, new or defined by `-chardev`.
    To(String),
}

/// Where a debugger is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DebuggerDevice {
    /// Nowhere.
    Nothing,
    /// On a character device that there is.
    Chardev(String),
    /// On a new one.
    New(Backend),
}

/// Reads what `-gdb` and the monitor's `gdbserver` take.
pub(crate) fn debugger_device(text: &str) -> Result<DebuggerDevice, Reason> {
    if text == "none" {
        return Ok(DebuggerDevice::Nothing);
    }
    if let Some(name) = text.strip_prefix("chardev:") {
        return Ok(DebuggerDevice::Chardev(name.to_owned()));
    }
    // As in QEMU, a debugger is not waited for, and it is always the debugger that connects.
    let served = if text.starts_with("tcp:") { format!("{text},server=on,wait=off") } else { text.to_owned() };
    // Ctrl-C on the terminal is for the debugger's end.
    backend_of(&served, true).map(DebuggerDevice::New)
}

/// `-gdb DEV`.
pub(super) fn gdb(draft: &mut Draft<'_>, argument: &str) -> Handled {
    if draft.config.gdb.is_some() {
        return Err(Reason::refused("a debugger is awaited elsewhere already"));
    }
    draft.config.gdb = match debugger_device(argument)? {
        DebuggerDevice::Nothing => None,
        DebuggerDevice::Chardev(id) => {
            draft.refer(&id);
            Some(id)
        }
        DebuggerDevice::New(backend) => {
            draft.add_chardev(CHARDEV, backend, false)?;
            draft.refer(CHARDEV);
            Some(CHARDEV.to_owned())
        }
    };
    Ok(Flow::Next)
}

/// `-s`: `-gdb tcp::1234`.
pub(super) fn gdb_at_usual_port(draft: &mut Draft<'_>, _: &str) -> Handled {
    gdb(draft, USUAL_DEBUGGER_DEVICE)
}

/// Reads the older syntax, `stdio`, `file:PATH`, `unix:PATH,server=on`, and makes a character device called `id` of it.
fn attach(draft: &mut Draft<'_>, id: &str, text: &str, mux: bool) -> Result<Attachment, Reason> {
    if text == "none" {
        return Ok(Attachment::Nothing);
    }
    if let Some(name) = text.strip_prefix("chardev:").filter(|name| !name.is_empty()) {
        draft.refer(name);
        return Ok(Attachment::To(name.to_owned()));
    }
    draft.add_chardev(id, backend_of(text, mux)?, mux)?;
    draft.refer(id);
    Ok(Attachment::To(id.to_owned()))
}

/// The backend that the older syntax names; `mux` keeps signals off a terminal.
fn backend_of(text: &str, mux: bool) -> Result<Backend, Reason> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    Ok(match (kind, rest) {
        ("null", "") => Backend::Null,
        ("stdio", "") => Backend::Stdio { signals: !mux },
        ("file", path) if !path.is_empty() => Backend::File { path: PathBuf::from(path), append: false },
        ("pty", "") => Backend::Pty,
        ("pipe", path) if !path.is_empty() => Backend::Pipe { path: PathBuf::from(path) },
        _ if text.starts_with("/dev/") => Backend::SerialLine { path: PathBuf::from(text) },
        ("unix", rest) => {
            let mut options = Suboptions::parse(rest, Some("path"));
            let path = options.required("path")?;
            let address = unix_address(path, &mut options)?;
            let role = socket_role(&mut options)?;
            options.finish()?;
            Backend::Socket { address, role }
        }
        ("udp", rest) => udp_addresses(rest)?,
        ("tcp", rest) => {
            let mut options = Suboptions::parse(rest, Some("address"));
            let address = options.required("address")?;
            let (host, port) = address.rsplit_once(':').ok_or(Reason::Expected("tcp:HOST:PORT"))?;
            let address = SocketAddress::Tcp(loopback(host)?, port_number(port)?);
            let role = socket_role(&mut options)?;
            options.finish()?;
            Backend::Socket { address, role }
        }
        _ if UNBUILT_BACKENDS.contains(&kind) => return Err(Reason::not_built(format!("'{kind}'"))),
        _ => {
            let syntax = "stdio, null, none, pty, file:PATH, pipe:PATH, /dev/..., unix:PATH[,server=on][,wait=off], tcp:HOST:PORT[,...], udp:[HOST]:PORT[@[HOST]:PORT] or chardev:ID";
            return Err(Reason::Expected(syntax));
        }
    })
}

pub(super) fn serial(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let port = draft.config.serial.len();
    if port == MOST_SERIAL_PORTS {
        return Err(Reason::refused(format!("the machine pc has {MOST_SERIAL_PORTS} serial ports")));
    }
    draft.serial_given = true;
    let (mux, text) = shared_with_monitor(argument);
    let attached = attach(draft, &format!("serial{port}"), text, mux)?;
    if let (true, Attachment::To(id)) = (mux, &attached) {
        add_monitor(draft, id.clone());
    }
    draft.config.serial.push(match attached {
        Attachment::Nothing => None,
        Attachment::To(id) => Some(id),
    });
    Ok(Flow::Next)
}

/// Splits off `mon:`, which shares the character device with a monitor.
fn shared_with_monitor(argument: &str) -> (bool, &str) {
    argument.strip_prefix("mon:").map_or((false, argument), |rest| (true, rest))
}

fn add_monitor(draft: &mut Draft<'_>, id: String) {
    draft.monitor_given = true;
    draft.config.monitors.push(id);
}

pub(super) fn monitor(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.monitor_given = true;
    let (mux, text) = shared_with_monitor(argument);
    let id = format!("compat_monitor{}", draft.config.monitors.len());
    if let Attachment::To(id) = attach(draft, &id, text, mux)? {
        add_monitor(draft, id);
    }
    Ok(Flow::Next)
}

/// `-qmp DEV`.
pub(super) fn qmp(draft: &mut Draft<'_>, argument: &str) -> Handled {
    add_qmp(draft, argument, false)
}

/// `-qmp-pretty DEV`.
pub(super) fn qmp_pretty(draft: &mut Draft<'_>, argument: &str) -> Handled {
    add_qmp(draft, argument, true)
}

fn add_qmp(draft: &mut Draft<'_>, argument: &str, pretty: bool) -> Handled {
    // QMP on the terminal is QEMU's way to say that there is to be no monitor there.
    draft.monitor_given = true;
    let id = format!("compat_qmp{}", draft.config.qmp.len());
    if let Attachment::To(chardev) = attach(draft, &id, argument, false)? {
        draft.config.qmp.push(QmpConfig { chardev, pretty });
    }
    Ok(Flow::Next)
}

/// `-mon [chardev=]ID[,mode=readline|control][,pretty=on|off]`.
pub(super) fn mon(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, Some("chardev"));
    let chardev = options.required("chardev")?;
    let mode = options.text("mode").unwrap_or_else(|| "readline".into());
    let pretty = options.switch("pretty")?.unwrap_or(false);
    // A monitor's own name is for error messages only.
    options.text("id");
    options.finish()?;
    draft.refer(&chardev);
    match mode.as_str() {
        "readline" if pretty => return Err(Reason::refused("'pretty' is for mode=control only")),
        "readline" => add_monitor(draft, chardev),
        "control" => draft.config.qmp.push(QmpConfig { chardev, pretty }),
        _ => return Err(Reason::bad("mode", &mode, "use readline or control")),
    }
    Ok(Flow::Next)
}

/// `-compat-version X.Y.Z`: what QMP's clients are told to expect.
pub(super) fn compatible_version(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let parts: Option<Vec<u32>> = argument.split('.').map(|part| part.parse().ok()).collect();
    let version = parts.and_then(|parts| <[u32; 3]>::try_from(parts).ok());
    draft.config.compatible_version = Some(version.ok_or(Reason::Expected("X.Y.Z"))?);
    Ok(Flow::Next)
}

/// `-debugcon DEV`: an isa-debugcon with its default port.
pub(super) fn debugcon(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let (mux, text) = shared_with_monitor(argument);
    if let Attachment::To(id) = attach(draft, "debugcon", text, mux)? {
        if mux {
            add_monitor(draft, id.clone());
        }
        let properties = vec![("chardev".to_owned(), id)];
        let (driver, origin) = ("isa-debugcon".to_owned(), draft.current.clone());
        draft.config.devices.push(DeviceConfig { driver, id: None, origin, properties });
    }
    Ok(Flow::Next)
}

pub(super) fn parallel(_draft: &mut Draft<'_>, argument: &str) -> Handled {
    match argument {
        "none" | "null" => Ok(Flow::Next),
        _ => Err(Reason::not_built("a parallel port")),
    }
}

pub(super) fn nographic(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.nographic = true;
    Ok(Flow::Next)
}

pub(super) fn display(draft: &mut Draft<'_>, argument: &str) -> Handled {
    match argument {
        "none" => draft.display = true,
        "help" => return Ok(Flow::Print("Available display backend types:\nnone\n".to_owned())),
        _ => return Err(Reason::not_built(format!("display '{}'", first_element(argument)))),
    }
    Ok(Flow::Next)
}

pub(super) fn vga(draft: &mut Draft<'_>, argument: &str) -> Handled {
    match argument {
        "none" => draft.vga = Some(false),
        "std" => draft.vga = Some(true),
        "help" => {
            let names = "none                 no graphic card\nstd                  standard VGA (default)\n";
            return Ok(Flow::Print(names.to_owned()));
        }
        _ => return Err(Reason::not_built(format!("graphic card '{}'", first_element(argument)))),
    }
    Ok(Flow::Next)
}

pub(super) fn vnc(_draft: &mut Draft<'_>, argument: &str) -> Handled {
    if argument == "none" { Ok(Flow::Next) } else { Err(Reason::not_built(String::new())) }
}

fn first_element(argument: &str) -> &str {
    argument.split(',').next().unwrap_or_default()
}

/// `-echr`: another escape character than Ctrl-A.
pub(super) fn escape_character(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let code = values::number(argument).and_then(|code| u8::try_from(code).ok());
    draft.config.escape = code.ok_or(Reason::Expected("the character's code, 0 to 255"))?;
    Ok(Flow::Next)
}
