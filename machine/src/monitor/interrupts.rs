//! `info pic`, `info lapic` and `info irq`: the interrupt controllers.

use super::error::CommandError;
use super::expression::Arguments;
use super::{Answer, Desk};
use crate::run::Control;
use lockstep_devices::i8259::{ChipRegisters, Pics};
use lockstep_devices::lapic::LocalApics;
use serde::de::DeserializeOwned;
use std::fmt::Write;

/// The board's names.
const PICS: &str = "i8259";
const LAPICS: &str = "apic";

/// What QEMU says when there is no such one.
const NO_APIC: &str = "No CPU available";

/// `info pic`: the registers of both 8259A.
pub(super) fn pics(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for (number, chip) in state_of::<Pics>(control, PICS)?.registers().iter().enumerate() {
        let ChipRegisters { irr, imr, isr, highest, base, elcr, reads_isr, special_fully_nested } = *chip;
        let (read, nested) = (u8::from(reads_isr), u8::from(special_fully_nested));
        let _ = writeln!(
            text,
            "pic{number}: irr={irr:02x} imr={imr:02x} isr={isr:02x} hprio={highest} irq_base={base:02x} rr_sel={read} \
             elcr={elcr:02x} fnm={nested}"
        );
    }
    Ok(text)
}

/// `info irq`: how often each line has been raised.
pub(super) fn counts(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let pics: Pics = state_of(control, PICS)?;
    let mut text = format!("IRQ statistics for {PICS}:\n");
    for (line, count) in pics.raised().iter().enumerate().filter(|(_, count)| **count > 0) {
        let _ = writeln!(text, "{line:2}: {count}");
    }
    Ok(text)
}

/// `info lapic [ID]`: a local APIC's registers, the chosen vCPU's if none is named.
pub(super) fn lapic(control: &mut Control, desk: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    let cpu = match arguments.plain_number()? {
        None => desk.selected,
        Some(number) => usize::try_from(number).unwrap_or(usize::MAX),
    };
    arguments.finish()?;
    let machine = &control.board.machine;
    let now = machine.bus.clock.nanos(machine.now());
    let apics: LocalApics = state_of(control, LAPICS)?;
    apics.describe(cpu, now).ok_or_else(|| CommandError::Plain(NO_APIC.to_owned()))
}

/// A device's state, which is the device.
fn state_of<T: DeserializeOwned>(control: &mut Control, name: &str) -> Result<T, CommandError> {
    let bus = &mut control.board.machine.bus;
    let absent = || CommandError::UnknownDevice(name.to_owned());
    let device = bus.find(name).ok_or_else(absent)?;
    let saved = bus.with(device, |device, _| device.save().ok()).flatten().ok_or_else(absent)?;
    T::deserialize(saved).map_err(|error| CommandError::Host(error.to_string()))
}
