//! `i` and `o`: I/O ports. Both steer the guest, since a read alone can change a device.

use super::error::CommandError;
use super::expression::Arguments;
use super::format::{Base, Format, Style};
use super::{Answer, Desk};
use crate::run::Control;
use lockstep_fabric::{Outside, Width};

/// `i /FMT PORT`.
pub(super) fn read(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (format, port) = target(control, desk, arguments)?;
    arguments.finish()?;
    let value = control.enter(Outside::PortRead { port, width: format.width })?.unwrap_or(format.width.mask());
    // Whatever style was asked for, and for whatever was looked at before.
    let hexadecimal = Format { style: Style::Number(Base::Hexadecimal), ..format };
    Ok(format!("port{}[0x{port:04x}] = {}", suffix(format.width), hexadecimal.show(value)))
}

/// `o /FMT PORT VALUE`.
pub(super) fn write(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (format, port) = target(control, desk, arguments)?;
    let cpu = desk.cpu(control)?;
    let value = arguments.number(&|name| super::registers::value(control, cpu, name))?;
    arguments.finish()?;
    control.enter(Outside::PortWrite { port, width: format.width, value: value & format.width.mask() })?;
    Ok(String::new())
}

fn target(control: &Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Result<(Format, u16), CommandError> {
    let format = Format::read(arguments.format(), desk.format)?;
    if format.width == Width::Qword {
        return Err(CommandError::Format('g'));
    }
    let cpu = desk.cpu(control)?;
    let value = arguments.number(&|name| super::registers::value(control, cpu, name))?;
    let port = u16::try_from(value).map_err(|_| CommandError::Range { what: "port", value })?;
    desk.format = Format { count: 1, ..format };
    Ok((format, port))
}

/// QEMU's letter for the width.
fn suffix(width: Width) -> char {
    match width {
        Width::Byte => 'b',
        Width::Word => 'w',
        Width::Dword | Width::Qword => 'l',
    }
}
