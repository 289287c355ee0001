//! `i` and `o`: I/O ports. Both steer the guest, since a read alone can change a device.

use super::error::CommandError;
use super::expression::Arguments;
use super::format::Format;
use super::{Answer, Desk};
use crate::run::Control;
use lockstep_fabric::{Outside, Width};

/// `i /FMT PORT`.
pub(super) fn read(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (format, port) = target(control, desk, arguments)?;
    arguments.finish()?;
    let value = control.enter(Outside::PortRead { port, width: format.width })?.unwrap_or(format.width.mask());
    Ok(format!("port{}[0x{port:04x}] = {}", suffix(format.width), format.show(value)))
}

/// `o /FMT PORT VALUE`.
pub(super) fn write(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let (format, port) = target(control, desk, arguments)?;
    let cpu = desk.cpu(control)?;
    let value = arguments.number("VALUE", &|name| super::registers::value(control, cpu, name))?;
    arguments.finish()?;
    control.enter(Outside::PortWrite { port, width: format.width, value: value & format.width.mask() })?;
    Ok(String::new())
}

fn target(control: &Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Result<(Format, u16), CommandError> {
    let text = arguments.format();
    let format = Format::read(text, desk.format)?;
    if format.width == Width::Qword {
        let format = text.unwrap_or_default().to_owned();
        return Err(CommandError::Format { format, why: "ports are accessed by b, h or w" });
    }
    let cpu = desk.cpu(control)?;
    let value = arguments.number("PORT", &|name| super::registers::value(control, cpu, name))?;
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
