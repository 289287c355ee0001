//! Character devices: what is behind them, made, changed and removed; and ring buffers, read and written.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::commandline::{Backend, ChardevConfig, Reason, SocketAddress, chardev_config};
use crate::control;
use crate::run::Control;
use lockstep_qmp::commands::char::{
    ChardevInfo, ChardevRemove, ChardevReturn, ChardevSendBreak, QueryChardev, RingbufRead, RingbufWrite,
};
use std::path::Path;

/// `info chardev`.
pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let chardevs = control::query_chardev(control, QueryChardev {})?;
    let line = |ChardevInfo { label, filename, .. }: ChardevInfo| format!("{label}: filename={filename}\n");
    Ok(chardevs.into_iter().map(line).collect())
}

/// A character device's other end, as people write it; `terminal` is what a pseudoterminal is known by.
pub(crate) fn backend_name(backend: &Backend, terminal: Option<&Path>) -> String {
    match backend {
        Backend::Null => "null".to_owned(),
        Backend::Ring { .. } => "ringbuf".to_owned(),
        Backend::Pty => terminal.map_or_else(|| "pty".to_owned(), |path| format!("pty:{}", path.display())),
        Backend::Pipe { path } => format!("pipe:{}", path.display()),
        Backend::Udp { to, from } if from.port() == 0 => format!("udp:{to}"),
        Backend::Udp { to, from } => format!("udp:{to}@{from}"),
        Backend::SerialLine { path } => format!("serial:{}", path.display()),
        Backend::Stdio { .. } => "stdio".to_owned(),
        Backend::File { path, .. } => format!("file:{}", path.display()),
        Backend::Socket { address: SocketAddress::Unix(path), .. } => format!("unix:{}", path.display()),
        Backend::Socket { address: SocketAddress::Abstract { name, tight }, .. } => {
            format!("unix:{name},abstract=on{}", if *tight { ",tight=on" } else { "" })
        }
        Backend::Socket { address: SocketAddress::Tcp(host, port), .. } => format!("tcp:{host}:{port}"),
        Backend::Socket { address: SocketAddress::Descriptor(number), .. } => format!("fd:{number}"),
    }
}

/// What a text like `-chardev`'s describes, or what QEMU says is wrong with it.
fn described(text: &str, command: &str) -> Result<ChardevConfig, CommandError> {
    chardev_config(text, command).map_err(|why| {
        CommandError::Host(match why {
            Reason::MissingProperty("id") => "chardev: no id specified".to_owned(),
            Reason::UnknownName { name, .. } => format!("'{name}' is not a valid char driver name"),
            why => why.to_string(),
        })
    })
}

/// A pseudoterminal that was opened is told, as nobody could know its name.
fn opened(ChardevReturn { pty }: ChardevReturn, id: &str) -> String {
    pty.map_or_else(String::new, |path| format!("char device redirected to {path} (label {id})"))
}

/// `chardev-add ARGS`.
pub(super) fn add(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let described = described(&arguments.expect_text(STRING)?, "chardev-add")?;
    arguments.finish()?;
    let id = described.id.clone();
    Ok(opened(control::add_backend(control, described)?, &id))
}

/// `chardev-change ID ARGS`.
pub(super) fn change(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let id = arguments.expect_text(STRING)?;
    let text = arguments.expect_text(STRING)?;
    arguments.finish()?;
    let ChardevConfig { backend, log, .. } = described(&format!("{text},id={id}"), "chardev-change")?;
    Ok(opened(control::change_backend(control, &id, backend, log)?, &id))
}

/// `chardev-remove ID`.
pub(super) fn remove(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let id = arguments.expect_text(STRING)?;
    arguments.finish()?;
    control::chardev_remove(control, ChardevRemove { id })?;
    Ok(String::new())
}

/// `chardev-send-break ID`.
pub(super) fn send_break(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let id = arguments.expect_text(STRING)?;
    arguments.finish()?;
    control::chardev_send_break(control, ChardevSendBreak { id })?;
    Ok(String::new())
}

/// `ringbuf_write DEVICE DATA`.
pub(super) fn write_ring(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (device, data) = (arguments.expect_text(STRING)?, arguments.expect_text(STRING)?);
    arguments.finish()?;
    control::ringbuf_write(control, RingbufWrite { device, data, format: None })?;
    Ok(String::new())
}

/// `ringbuf_read DEVICE SIZE`: what no terminal shows is told by its number.
pub(super) fn read_ring(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let device = arguments.expect_text(STRING)?;
    let size = arguments.number(&|_| None)?.cast_signed();
    arguments.finish()?;
    let data = control::ringbuf_read(control, RingbufRead { device, size, format: None })?;
    let shown = |c: char| match c {
        '\\' => "\\\\".to_owned(),
        '\n' => c.to_string(),
        c if c.is_ascii_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    Ok(data.chars().map(shown).collect())
}
