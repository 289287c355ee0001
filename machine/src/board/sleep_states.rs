//! What `-global PIIX4_PM.disable_s3=`, `disable_s4=` and `s4_val=` say of the sleep states that the guest is told of.

use crate::commandline::{Config, OptionError};
use lockstep_firmware::platform::PlatformConfig;

/// The driver that has these properties.
const DRIVER: &str = "PIIX4_PM";
/// The property of each: 0 to have the state.
const DISABLE_S3: &str = "disable_s3";
const DISABLE_S4: &str = "disable_s4";
/// What is written into SLP_TYP for S4.
const S4_TYPE: &str = "s4_val";

/// The sleep states of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SleepStates {
    /// Suspending to RAM.
    pub(super) s3: bool,
    /// Suspending to a disk: to the machine the same as turning the power off.
    pub(super) s4: bool,
    /// SLP_TYP for S4.
    pub(super) s4_type: u8,
}

/// The sleep states that `config` asks for; without a word there are both, as QEMU's `pc` has them.
pub(super) fn of(config: &Config) -> Result<SleepStates, OptionError> {
    let mut states = SleepStates { s3: true, s4: true, s4_type: 2 };
    for global in config.globals.iter().filter(|global| global.driver == DRIVER) {
        let value = || -> Result<u8, OptionError> {
            global.value.parse().map_err(|_| {
                let option = format!("-global {DRIVER}.{}={}", global.property, global.value);
                OptionError::refused(&option, "expected a number from 0 to 255")
            })
        };
        match global.property.as_str() {
            DISABLE_S3 => states.s3 = value()? == 0,
            DISABLE_S4 => states.s4 = value()? == 0,
            S4_TYPE => states.s4_type = value()?,
            _ => {}
        }
    }
    Ok(states)
}

/// Puts them into the machine's description.
pub(super) fn describe(config: &Config, platform: &mut PlatformConfig) -> Result<(), OptionError> {
    let states = of(config)?;
    (platform.s3, platform.s4, platform.s4_type) = (states.s3, states.s4, states.s4_type);
    Ok(())
}

/// The file by which foreign firmware is told: a byte for each state from S0 to S5 with its SLP_TYP, the highest bit set if the
/// machine has it (QEMU's `etc/system-states`).
pub(super) fn file(states: SleepStates) -> Vec<u8> {
    const PRESENT: u8 = 1 << 7;
    let byte = |kind: u8, present: bool| kind | if present { PRESENT } else { 0 };
    vec![PRESENT, 0, 0, byte(1, states.s3), byte(states.s4_type, states.s4), PRESENT]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_guest::BareGuest;

    fn of(line: &str) -> Result<SleepStates, String> {
        super::of(&BareGuest::new("sleep").config(line)).map_err(|why| why.to_string())
    }

    #[test]
    fn both_states_are_there_unless_they_are_disabled() {
        // What QEMU 7.2 puts there without a word.
        assert_eq!(file(of("-m 64M").unwrap()), [0x80, 0, 0, 0x81, 0x82, 0x80]);
        let without =
            of("-global PIIX4_PM.disable_s3=1 -global PIIX4_PM.disable_s4=1 -global PIIX4_PM.s4_val=5").unwrap();
        assert_eq!(file(without), [0x80, 0, 0, 1, 5, 0x80]);
        assert_eq!(
            of("-global PIIX4_PM.disable_s3=on").expect_err("no number"),
            "-global PIIX4_PM.disable_s3=on: expected a number from 0 to 255"
        );
    }
}
