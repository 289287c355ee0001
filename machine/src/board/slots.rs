//! The slots of PCI bus 0, and what a `-device` says of its slot and of its drive: properties that are the board's to
//! read and not the device's.

use crate::commandline::{ErrorPolicy, OptionError};
use lockstep_devices::pci::DevFn;

/// The one bus.
const BUS: &str = "pci.0";
/// Slots below have what every `pc` has, and the graphics card.
const FIRST_FREE: u8 = 3;
const SLOTS: u8 = 32;

/// What was typed for the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForBoard {
    /// The slot, if one was named.
    pub(super) slot: Option<u8>,
    /// `werror=`.
    pub(super) write_errors: Option<ErrorPolicy>,
    /// `rerror=`.
    pub(super) read_errors: Option<ErrorPolicy>,
}

impl ForBoard {
    /// Reads the board's properties of a device; what is left is the device's own.
    pub(super) fn split(
        option: &str,
        typed: &[(String, String)],
    ) -> Result<(Self, Vec<(String, String)>), OptionError> {
        let (mut this, mut rest) = (Self::default(), Vec::new());
        for (name, value) in typed {
            let refused = |why: String| OptionError::refused(format!("{option},{name}={value}"), why);
            match name.as_str() {
                "bus" if value == BUS => {}
                "bus" => return Err(refused(format!("the machine pc has one PCI bus, {BUS}"))),
                "addr" => this.slot = Some(slot(value).map_err(|why| refused(why.into()))?),
                "werror" => this.write_errors = policy(value).map_err(|why| refused(why.into()))?,
                "rerror" if value == "enospc" => return Err(refused("use report, ignore or stop".into())),
                "rerror" => this.read_errors = policy(value).map_err(|why| refused(why.into()))?,
                _ => rest.push((name.clone(), value.clone())),
            }
        }
        Ok((this, rest))
    }
}

fn policy(text: &str) -> Result<Option<ErrorPolicy>, &'static str> {
    if text == "auto" { Ok(None) } else { text.parse().map(Some) }
}

/// A slot as QEMU spells it: hexadecimal, `0x` or not, with the function after a dot.
fn slot(text: &str) -> Result<u8, &'static str> {
    const WANTED: &str = "use the number of a slot, 2 to 1f, in hexadecimal";
    let hex = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u8::from_str_radix(digits, 16).ok()).flatten().ok_or(WANTED)
    };
    let (device, function) = text.split_once('.').unwrap_or((text, "0"));
    match (hex(device)?, hex(function)?) {
        (0..SLOTS, 1..8) => Err("devices have a slot each: use function 0"),
        (device @ 0..SLOTS, 0) => Ok(device),
        _ => Err(WANTED),
    }
}

/// Chooses a slot, given what is in the slots already.
pub(super) fn choose(option: &str, wanted: Option<u8>, taken: &[DevFn]) -> Result<DevFn, OptionError> {
    let free = |slot: &u8| !taken.iter().any(|place| place.device() == *slot);
    match wanted {
        Some(slot) if free(&slot) => Ok(DevFn::new(slot, 0)),
        Some(slot) => Err(OptionError::refused(format!("{option},addr={slot:#x}"), "the slot is taken")),
        None => (FIRST_FREE..SLOTS)
            .find(free)
            .map(|slot| DevFn::new(slot, 0))
            .ok_or_else(|| OptionError::refused(option, "no slot of PCI bus pci.0 is free")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(typed: &[(&str, &str)]) -> Result<(ForBoard, usize), String> {
        let typed: Vec<_> = typed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let split = ForBoard::split("-device x", &typed).map_err(|why| why.to_string())?;
        Ok((split.0, split.1.len()))
    }

    #[test]
    fn the_board_takes_its_properties_and_leaves_the_others() {
        let (mine, left) = split(&[("bus", "pci.0"), ("addr", "0x10.0"), ("drive", "d"), ("werror", "stop")]).unwrap();
        assert_eq!((mine.slot, mine.write_errors, left), (Some(16), Some(ErrorPolicy::Stop), 1));
        assert_eq!(split(&[("addr", "1f")]).map(|(mine, _)| mine.slot), Ok(Some(31)));
    }

    #[test]
    fn bad_places_are_refused_by_name() {
        for (name, value, why) in [
            ("bus", "pci.1", "one PCI bus"),
            ("addr", "20", "2 to 1f"),
            ("addr", "+4", "2 to 1f"),
            ("addr", "", "2 to 1f"),
            ("addr", "4.1", "function 0"),
            ("addr", "4.8", "2 to 1f"),
            ("rerror", "enospc", "report"),
            ("werror", "never", "use"),
        ] {
            let error = split(&[(name, value)]).expect_err("refused");
            assert!(error.contains(&format!("-device x,{name}={value}")) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn slots_are_given_in_order_and_once() {
        let taken = [DevFn::new(0, 0), DevFn::new(1, 3), DevFn::new(3, 0)];
        assert_eq!(choose("-device x", None, &taken).ok(), Some(DevFn::new(4, 0)));
        assert_eq!(choose("-device x", Some(7), &taken).ok(), Some(DevFn::new(7, 0)));
        assert!(choose("-device x", Some(1), &taken).is_err());
        let all: Vec<_> = (0..32).map(|slot| DevFn::new(slot, 0)).collect();
        assert!(choose("-device x", None, &all).is_err());
    }
}
