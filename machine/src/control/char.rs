//! Character devices: what is behind them is the host's, so nothing here enters a recording but what reaches the guest.

use super::denied;
use crate::chardev::{ChardevId, Problem, Ring};
use crate::commandline::{Backend, ChardevConfig, ChardevLog, SocketAddress, SocketRole, USUAL_RING, loopback};
use crate::monitor::backend_name;
use crate::object_model::is_identifier;
use crate::run::Control;
use lockstep_fabric::Input;
use lockstep_qmp::Error;
use lockstep_qmp::commands::char::{
    ChardevAdd, ChardevBackend, ChardevBackendInfo, ChardevBackendOf, ChardevChange, ChardevInfo, ChardevRemove,
    ChardevReturn, ChardevSendBreak, ChardevSocket, ChardevUdp, DataFormat, InetSocketAddress, QueryChardev,
    QueryChardevBackends, RingbufRead, RingbufWrite, SocketAddressLegacy, SocketAddressLegacyOf,
};
use lockstep_qmp::registry::{Answer, Registry};
use std::net::SocketAddr;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_chardev).on(query_chardev_backends).on(chardev_add).on(chardev_change).on(chardev_remove);
    registry.on(chardev_send_break).on(ringbuf_read).on(ringbuf_write);
}

/// A monitor speaks on it, or a debugger.
fn monitored(control: &Control, id: &str) -> bool {
    let config = &control.config;
    config.monitors.iter().any(|other| other == id)
        || config.qmp.iter().any(|qmp| qmp.chardev == id)
        || config.gdb.as_deref() == Some(id)
}

/// A device or a monitor uses it.
pub(super) fn used(control: &Control, id: &str) -> bool {
    monitored(control, id)
        || control.board.ports.iter().any(|(_, other)| other == id)
        || control.board.serial_ports.iter().any(|port| port.chardev.as_deref() == Some(id))
}

pub(crate) fn query_chardev(control: &mut Control, _: QueryChardev) -> Answer<Vec<ChardevInfo>> {
    let there = control.config.chardevs.iter().enumerate().filter(|(_, chardev)| !chardev.is_gone());
    Ok(there
        .map(|(place, chardev)| ChardevInfo {
            label: chardev.id.clone(),
            filename: backend_name(&chardev.backend, control.chardevs.terminal(ChardevId(place))),
            frontend_open: used(control, &chardev.id),
        })
        .collect())
}

fn query_chardev_backends(_: &mut Control, _: QueryChardevBackends) -> Answer<Vec<ChardevBackendInfo>> {
    Ok(Backend::NAMES.iter().map(|name| ChardevBackendInfo { name: (*name).to_owned() }).collect())
}

/// Where a character device is in the configuration.
fn find(control: &Control, id: &str) -> Option<usize> {
    control.config.chardevs.iter().position(|chardev| chardev.id == id && !chardev.is_gone())
}

fn not_found(id: &str) -> Error {
    Error::new(format!("Chardev '{id}' not found"))
}

/// As QEMU says it of this command alone.
fn nothing_to_change(id: &str) -> Error {
    Error::new(format!("Chardev '{id}' does not exist"))
}

fn chardev_add(control: &mut Control, command: ChardevAdd) -> Answer<ChardevReturn> {
    let ChardevAdd { id, backend } = command;
    check_name(control, &id)?;
    let (backend, log) = (wanted(&backend)?, log(&backend));
    add_backend(control, ChardevConfig { origin: format!("chardev-add {id}"), id, backend, mux: false, log })
}

fn check_name(control: &Control, id: &str) -> Answer<()> {
    if !is_identifier(id) {
        return Err(Error::expects("id", "an identifier"));
    }
    match find(control, id) {
        Some(_) => Err(Error::new(format!("Chardev with id '{id}' already exists"))),
        None => Ok(()),
    }
}

/// Opens a character device that is described already.
pub(crate) fn add_backend(control: &mut Control, made: ChardevConfig) -> Answer<ChardevReturn> {
    check_name(control, &made.id)?;
    can_come_later(&made.backend)?;
    let place = control.add_chardev(made).map_err(|why| failed(&why))?;
    Ok(opened_at(control, place))
}

impl Control {
    /// Makes a character device while the machine runs; gives its place.
    pub(crate) fn add_chardev(&mut self, made: ChardevConfig) -> Result<usize, Problem> {
        let chardevs = &mut self.config.chardevs;
        let place = chardevs.iter().position(ChardevConfig::is_gone).unwrap_or(chardevs.len());
        if place == chardevs.len() {
            chardevs.push(made);
        } else {
            chardevs[place] = made;
        }
        let opened = self.chardevs.open_at(&self.config, place);
        opened.inspect_err(|_| self.config.chardevs[place] = gone())?;
        Ok(place)
    }

    /// Closes a character device for good.
    pub(crate) fn remove_chardev(&mut self, id: &str) {
        if let Some(place) = find(self, id) {
            self.chardevs.close(ChardevId(place));
            self.config.chardevs[place] = gone();
        }
    }

    /// Whether there is such a character device, and nobody uses it.
    pub(crate) fn chardev_is_free(&self, id: &str) -> bool {
        find(self, id).is_some() && !used(self, id)
    }
}

/// What the client is told of a new character device.
fn opened_at(control: &Control, place: usize) -> ChardevReturn {
    let terminal = control.chardevs.terminal(ChardevId(place));
    ChardevReturn { pty: terminal.map(|path| path.display().to_string()) }
}

/// What stands at the place of a character device that was removed.
fn gone() -> ChardevConfig {
    ChardevConfig { id: String::new(), origin: String::new(), backend: Backend::Null, mux: false, log: None }
}

fn failed(why: &Problem) -> Error {
    Error::new(format!("Failed to open the character device: {why}"))
}

/// Those who use it talk to the new one from now on.
fn chardev_change(control: &mut Control, command: ChardevChange) -> Answer<ChardevReturn> {
    let ChardevChange { id, backend } = command;
    find(control, &id).ok_or_else(|| nothing_to_change(&id))?;
    change_backend(control, &id, wanted(&backend)?, log(&backend))
}

/// The same with a backend that is described already.
pub(crate) fn change_backend(
    control: &mut Control,
    id: &str,
    backend: Backend,
    log: Option<ChardevLog>,
) -> Answer<ChardevReturn> {
    let place = find(control, id).ok_or_else(|| nothing_to_change(id))?;
    let there = control.config.chardevs[place].clone();
    if there.mux {
        return Err(Error::new("Mux device hotswap not supported yet"));
    }
    if monitored(control, id) || matches!(there.backend, Backend::Stdio { .. }) {
        return Err(Error::new("Chardev user does not support chardev hotswap"));
    }
    can_come_later(&backend)?;
    control.config.chardevs[place] = ChardevConfig { backend, log, ..there.clone() };
    let opened = control.chardevs.open_at(&control.config, place);
    opened.map_err(|why| {
        control.config.chardevs[place] = there;
        failed(&why)
    })?;
    Ok(opened_at(control, place))
}

pub(crate) fn chardev_remove(control: &mut Control, command: ChardevRemove) -> Answer<()> {
    find(control, &command.id).ok_or_else(|| not_found(&command.id))?;
    if used(control, &command.id) {
        return Err(Error::new(format!("Chardev '{}' is busy", command.id)));
    }
    control.remove_chardev(&command.id);
    Ok(())
}

/// The serial line behind it, if there is one, sees a break condition.
pub(crate) fn chardev_send_break(control: &mut Control, command: ChardevSendBreak) -> Answer<()> {
    find(control, &command.id).ok_or_else(|| not_found(&command.id))?;
    let device = control.board.ports.iter().find(|(_, chardev)| *chardev == command.id).map(|(device, _)| *device);
    device.map_or(Ok(()), |device| control.input(device, Input::Break).map_err(denied))
}

/// Some can be had only when the machine is started.
fn can_come_later(backend: &Backend) -> Answer<()> {
    match backend {
        Backend::Stdio { .. } => Err(Error::new("The terminal is taken when the machine is started, or never")),
        Backend::Socket { role: SocketRole::Server { wait: true }, .. } => {
            Err(Error::new("The machine does not wait for clients while it runs"))
        }
        _ => Ok(()),
    }
}

/// What a client wants, in the words of the command line.
fn wanted(backend: &ChardevBackend) -> Answer<Backend> {
    match &backend.kind {
        ChardevBackendOf::Null(_) => Ok(Backend::Null),
        ChardevBackendOf::File(options) => {
            let options = &options.data;
            if options.input.is_some() {
                return Err(Error::new("Input from a file is not built"));
            }
            Ok(Backend::File { path: options.out.clone().into(), append: options.append == Some(true) })
        }
        ChardevBackendOf::Ringbuf(options) | ChardevBackendOf::Memory(options) => {
            let size = options.data.size.map_or(Some(USUAL_RING), |size| u64::try_from(size).ok());
            let ring = size.and_then(Backend::ring);
            ring.ok_or_else(|| Error::new("size of ringbuf chardev must be power of two"))
        }
        ChardevBackendOf::Socket(options) => socket(&options.data),
        ChardevBackendOf::Udp(options) => udp(&options.data),
        ChardevBackendOf::Stdio(options) => Ok(Backend::Stdio { signals: options.data.signal.unwrap_or(true) }),
        ChardevBackendOf::Serial(options) => Ok(Backend::SerialLine { path: options.data.device.clone().into() }),
        ChardevBackendOf::Pipe(options) => Ok(Backend::Pipe { path: options.data.device.clone().into() }),
        ChardevBackendOf::Pty(_) => Ok(Backend::Pty),
    }
}

/// Where a client wants its output written to.
fn log(backend: &ChardevBackend) -> Option<ChardevLog> {
    let (file, append) = match &backend.kind {
        ChardevBackendOf::Null(options) | ChardevBackendOf::Pty(options) => {
            (&options.data.logfile, options.data.logappend)
        }
        ChardevBackendOf::File(options) => (&options.data.logfile, options.data.logappend),
        ChardevBackendOf::Ringbuf(options) | ChardevBackendOf::Memory(options) => {
            (&options.data.logfile, options.data.logappend)
        }
        ChardevBackendOf::Socket(options) => (&options.data.logfile, options.data.logappend),
        ChardevBackendOf::Udp(options) => (&options.data.logfile, options.data.logappend),
        ChardevBackendOf::Stdio(options) => (&options.data.logfile, options.data.logappend),
        ChardevBackendOf::Serial(options) | ChardevBackendOf::Pipe(options) => {
            (&options.data.logfile, options.data.logappend)
        }
    };
    file.as_ref().map(|path| ChardevLog { path: path.into(), append: append == Some(true) })
}

fn inet_address(inet: &InetSocketAddress) -> Answer<SocketAddr> {
    let host = loopback(&inet.host).map_err(|why| Error::new(why.to_string()))?;
    let port = inet.port.parse().map_err(|_| Error::expects("port", "a number from 0 to 65535"))?;
    Ok(SocketAddr::new(host, port))
}

fn socket(options: &ChardevSocket) -> Answer<Backend> {
    let ChardevSocket { tls_creds, tls_authz, telnet, tn3270, websocket, reconnect, .. } = options;
    if tls_creds.is_some() || tls_authz.is_some() {
        return Err(Error::new("TLS is not built"));
    }
    if [telnet, tn3270, websocket].iter().any(|wanted| **wanted == Some(true)) {
        return Err(Error::new("Protocols on top of a socket are not built"));
    }
    let reconnect = reconnect.filter(|seconds| *seconds != 0).map(u32::try_from).transpose();
    let reconnect = reconnect.map_err(|_| Error::expects("reconnect", "a number of seconds"))?;
    let address = match &options.addr.kind {
        SocketAddressLegacyOf::Unix(unix) if unix.data.is_abstract == Some(true) => {
            SocketAddress::Abstract { name: unix.data.path.clone(), tight: unix.data.tight.unwrap_or(true) }
        }
        SocketAddressLegacyOf::Unix(unix) => SocketAddress::Unix(unix.data.path.clone().into()),
        SocketAddressLegacyOf::Inet(inet) => {
            let address = inet_address(&inet.data)?;
            SocketAddress::Tcp(address.ip(), address.port())
        }
        SocketAddressLegacyOf::Fd(_) => {
            return Err(Error::new("Descriptors are for QMP's own sockets; see add_client"));
        }
    };
    let role = match (options.server.unwrap_or(true), options.wait) {
        (true, wait) => SocketRole::Server { wait: wait.unwrap_or(false) },
        (false, None) => SocketRole::Client { reconnect },
        (false, Some(_)) => return Err(Error::new("'wait' option is incompatible with socket in client connect mode")),
    };
    Ok(Backend::Socket { address, role })
}

/// Where datagrams go to or come in.
fn datagram_address(address: &SocketAddressLegacy) -> Answer<SocketAddr> {
    match &address.kind {
        SocketAddressLegacyOf::Inet(inet) => inet_address(&inet.data),
        SocketAddressLegacyOf::Unix(_) | SocketAddressLegacyOf::Fd(_) => {
            Err(Error::new("Datagrams need addresses of type inet"))
        }
    }
}

fn udp(options: &ChardevUdp) -> Answer<Backend> {
    let to = datagram_address(&options.remote)?;
    let beside = || Ok(SocketAddr::new(to.ip(), 0));
    let from = options.local.as_ref().map_or_else(beside, datagram_address)?;
    if from.is_ipv4() != to.is_ipv4() {
        return Err(Error::expects("local", "an address of the same family as the remote one"));
    }
    Ok(Backend::Udp { to, from })
}

fn ring<'a>(control: &'a Control, device: &str) -> Answer<&'a Ring> {
    let place = find(control, device).ok_or_else(|| Error::new(format!("Device '{device}' not found")))?;
    let ring = control.chardevs.ring(ChardevId(place));
    ring.ok_or_else(|| Error::new(format!("{device} is not a ringbuf device")))
}

pub(crate) fn ringbuf_write(control: &mut Control, command: RingbufWrite) -> Answer<()> {
    let ring = ring(control, &command.device)?;
    match command.format.unwrap_or(DataFormat::Utf8) {
        DataFormat::Utf8 => ring.write(command.data.as_bytes()),
        DataFormat::Base64 => {
            ring.write(&from_base64(&command.data).ok_or_else(|| Error::expects("data", "base 64"))?);
        }
    }
    Ok(())
}

/// In UTF-8, what is none is shown as U+FFFD.
pub(crate) fn ringbuf_read(control: &mut Control, command: RingbufRead) -> Answer<String> {
    let ring = ring(control, &command.device)?;
    let most = usize::try_from(command.size).ok().filter(|size| *size > 0);
    let bytes = ring.take(most.ok_or_else(|| Error::new("size must be greater than zero"))?);
    Ok(match command.format.unwrap_or(DataFormat::Utf8) {
        DataFormat::Utf8 => String::from_utf8_lossy(&bytes).into_owned(),
        DataFormat::Base64 => to_base64(&bytes),
    })
}

/// RFC 4648, section 4.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn to_base64(bytes: &[u8]) -> String {
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        let sextet = move |at: usize| (bits >> (18 - 6 * at) & 0x3f) as usize;
        let there = three.len() + 1;
        (0..4).map(move |at| if at < there { char::from(BASE64[sextet(at)]) } else { '=' })
    };
    bytes.chunks(3).flat_map(group).collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let letters = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) || letters.len() % 4 == 1 {
        return None;
    }
    let sextet = |letter: &u8| BASE64.iter().position(|known| known == letter).map(|at| at as u32);
    let mut bytes = Vec::new();
    for group in letters.chunks(4) {
        let bits = group.iter().try_fold(0, |bits, letter| Some(bits << 6 | sextet(letter)?))?;
        let bits = bits << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_as_rfc_4648_has_it() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(to_base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        for wrong in ["Z", "Zg", "Zg=", "Z===", "Zm9!", "=Zg="] {
            assert_eq!(from_base64(wrong), None, "{wrong}");
        }
    }
}
