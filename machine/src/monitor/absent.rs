//! What QEMU has and this machine has not, told in QEMU's words.

use super::error::CommandError;
use super::expression::{Arguments, STRING};
use super::{Answer, Desk};
use crate::run::Control;

fn refused(why: &str) -> Answer {
    Err(CommandError::Host(why.to_owned()))
}

/// `info usb`.
pub(super) fn usb(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    refused("USB support not enabled")
}

/// `info vnc`.
pub(super) fn vnc(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok("None".to_owned())
}

/// `info spice`.
pub(super) fn spice(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok("Server: disabled".to_owned())
}

/// `info tpm`: there are none to be listed.
pub(super) fn tpm(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok(String::new())
}

/// `info snapshots`: images hold none of the machine's state.
pub(super) fn snapshots(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok("no block device can store vmstate for snapshot".to_owned())
}

/// `info block-jobs`.
pub(super) fn block_jobs(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    Ok("No active jobs".to_owned())
}

/// `info stats TARGET [NAMES] [PROVIDER]`: the only provider is KVM.
pub(super) fn stats(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let target = arguments.expect_word(STRING)?;
    let _ = (arguments.word(), arguments.word());
    arguments.finish()?;
    match target {
        "vm" | "vcpu" => Ok(String::new()),
        other => Err(CommandError::Plain(format!("invalid stats target {other}"))),
    }
}

/// `exit_preconfig`.
pub(super) fn exit_preconfig(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    refused("The command is permitted only before machine initialization")
}

/// `set_password PROTOCOL PASSWORD [-d DISPLAY] [ACTION]`.
pub(super) fn set_password(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    of_display(arguments, "Could not set password")
}

/// `expire_password PROTOCOL TIME [-d DISPLAY]`.
pub(super) fn expire_password(_: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    of_display(arguments, "Could not set password expire time")
}

/// What is said of a display's password, of which VNC says no more than this.
fn of_display(arguments: &mut Arguments<'_>, vnc: &str) -> Answer {
    let protocol = arguments.expect_text(STRING)?;
    arguments.expect_text(STRING)?;
    match protocol.as_str() {
        "vnc" => refused(vnc),
        "spice" => refused("SPICE is not in use"),
        _ => Err(CommandError::InvalidValue(protocol)),
    }
}
