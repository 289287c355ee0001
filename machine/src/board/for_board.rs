//! What a `-device` says of its place and of its drive: properties that are the board's to read and not the device's.

use super::slots;
use crate::commandline::{DeviceConfig, ErrorPolicy, OptionError, Reason};
use lockstep_devices::pci::DevFn;
use lockstep_devices::properties::{BootIndex, PropertyValue, switch};

/// What was typed for the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForBoard {
    /// `bus=`.
    pub(super) bus: Option<String>,
    /// `addr=`.
    pub(super) at: Option<DevFn>,
    /// `multifunction=`.
    pub(super) multifunction: bool,
    /// `bootindex=`, which the device has too.
    pub(super) boot_index: Option<u32>,
    /// `werror=`.
    pub(super) write_errors: Option<ErrorPolicy>,
    /// `rerror=`.
    pub(super) read_errors: Option<ErrorPolicy>,
}

impl ForBoard {
    /// Reads the board's properties of a device; what is left is the device's own.
    pub(super) fn split(device: &DeviceConfig) -> Result<(Self, Vec<(String, String)>), OptionError> {
        let (mut this, mut rest) = (Self::default(), Vec::new());
        for (name, value) in &device.properties {
            let bad = |wanted: &'static str| {
                let reason = Reason::BadValue { key: name.clone(), value: value.clone(), wanted };
                OptionError { option: device.origin.clone(), reason }
            };
            match name.as_str() {
                "bus" => this.bus = Some(value.clone()),
                "addr" => {
                    let at = slots::place(value).ok_or_else(|| {
                        let why = format!("Property '{}.addr' doesn't take value '{value}'", device.driver);
                        OptionError::refused(&device.origin, why)
                    })?;
                    this.at = Some(at);
                }
                "multifunction" => this.multifunction = switch(value).ok_or_else(|| bad("use on or off"))?,
                "werror" => this.write_errors = policy(value).map_err(bad)?,
                "rerror" if value == "enospc" => return Err(bad("use report, ignore or stop")),
                "rerror" => this.read_errors = policy(value).map_err(bad)?,
                _ => rest.push((name.clone(), value.clone())),
            }
            if name == "bootindex" {
                this.boot_index = BootIndex::read(value).map_err(bad)?.0;
            }
        }
        Ok((this, rest))
    }
}

fn policy(text: &str) -> Result<Option<ErrorPolicy>, &'static str> {
    if text == "auto" { Ok(None) } else { text.parse().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(typed: &[(&str, &str)]) -> Result<(ForBoard, Vec<String>), String> {
        let properties = typed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let device = DeviceConfig { driver: "x".into(), id: None, origin: "-device x,typed".into(), properties };
        let (mine, left) = ForBoard::split(&device).map_err(|why| why.to_string())?;
        Ok((mine, left.into_iter().map(|(name, _)| name).collect()))
    }

    #[test]
    fn the_board_takes_its_properties_and_leaves_the_others() {
        let typed = [("bus", "br0"), ("addr", "0x10.2"), ("drive", "d"), ("werror", "stop"), ("bootindex", "7")];
        let (mine, left) = split(&typed).unwrap();
        let expected = ForBoard {
            bus: Some("br0".into()),
            at: Some(DevFn::new(16, 2)),
            boot_index: Some(7),
            write_errors: Some(ErrorPolicy::Stop),
            ..ForBoard::default()
        };
        assert_eq!((mine, left), (expected, vec!["drive".to_owned(), "bootindex".to_owned()]));
        assert!(split(&[("multifunction", "on")]).unwrap().0.multifunction);
        assert_eq!(
            split(&[("bootindex", "3"), ("bootindex", "-1"), ("rerror", "auto")]).unwrap().0,
            ForBoard::default()
        );
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        for (name, value, why) in [
            ("addr", "20", "Property 'x.addr' doesn't take value '20'"),
            ("multifunction", "two", "use on or off"),
            ("bootindex", "first", "use a number"),
            ("bootindex", "2147483648", "too large"),
            ("rerror", "enospc", "report"),
            ("werror", "never", "use"),
        ] {
            let error = split(&[(name, value)]).expect_err("refused");
            assert!(error.starts_with("-device x,typed: ") && error.contains(why), "{error}");
        }
    }
}
