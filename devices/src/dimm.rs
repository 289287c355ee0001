//! A memory module. It has no registers: the slots' describe it ([`crate::memory_hotplug`]), and its memory is RAM like any.

use crate::catalog::{Creatable, Made};
use crate::properties::{Kind, PropertyError, PropertyValue, configuration, number};
use lockstep_fabric::{Cx, Device, Reg, Width};
use serde::{Deserialize, Serialize};

/// The number of a slot; `-1` is whichever is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotNumber(pub Option<u32>);

impl PropertyValue for SlotNumber {
    const KIND: Kind = Kind::Number(i32::MAX as u64);
    fn read(text: &str) -> Result<Self, &'static str> {
        if text == "-1" {
            return Ok(Self(None));
        }
        let slot = number(text).ok_or("use a number, or -1 for any")?;
        i32::try_from(slot).map(|slot| Self(Some(slot.cast_unsigned()))).map_err(|_| "too large")
    }
    fn show(&self) -> Option<String> {
        self.0.map(|slot| slot.to_string())
    }
}

configuration! {
    /// How a memory module is set up.
    pub struct DimmConfig {
        /// Name of the memory backend behind it.
        pub memdev: Option<String> = None,
        /// Its first physical address; wherever there is room, if 0.
        pub addr: u64 = 0,
        /// The slot that it is in; the first that is free, if -1.
        pub slot: SlotNumber = SlotNumber(None),
        /// The NUMA node that it belongs to.
        pub node: u32 = 0,
    }
}

impl Creatable for DimmConfig {
    const NAME: &'static str = "pc-dimm";
    const ABOUT: &'static str = "memory module, which can be plugged in and out";

    fn make(self) -> Result<Made, PropertyError> {
        Ok(Made::new(Dimm {}, &[]))
    }
}

/// The module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dimm {}

impl Device for Dimm {
    fn kind(&self) -> &'static str {
        DimmConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, width: Width) -> u64 {
        width.mask()
    }

    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}

    fn reset(&mut self, _cx: &mut Cx<'_>) {}
}
