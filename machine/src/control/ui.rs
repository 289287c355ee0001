//! The screen.

use crate::run::Control;
use crate::screen::{self, Format, Screen, ScreenError};
use lockstep_qmp::Error;
use lockstep_qmp::commands::ui::{ImageFormat, QueryVnc, Screendump, VncInfo};
use lockstep_qmp::registry::{Answer, Registry};
use std::path::Path;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(screendump).on(query_vnc);
}

fn screendump(control: &mut Control, command: Screendump) -> Answer<()> {
    if let Some(device) = &command.device
        && control.board.machine.bus.find(device) != control.board.screen
    {
        return Err(Error::device_not_found(device));
    }
    if command.head.is_some_and(|head| head != 0) {
        return Err(Error::new("There is no other screen than number 0"));
    }
    let format = match command.format {
        Some(ImageFormat::Png) => Format::Png,
        Some(ImageFormat::Ppm) | None => Format::Ppm,
    };
    let told = |why: ScreenError| Error::new(why.to_string());
    let screen = Screen::of(&mut control.board).map_err(told)?;
    screen::dump(&screen.frame, format, Path::new(&command.filename)).map_err(told)
}

fn query_vnc(_: &mut Control, _: QueryVnc) -> Answer<VncInfo> {
    Ok(VncInfo { enabled: false })
}
