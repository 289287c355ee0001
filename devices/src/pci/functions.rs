//! The functions on a PCI bus, as the bridge above it reaches them.

use super::DevFn;
use super::config::{MULTI_FUNCTION, offset};
use lockstep_fabric::{ConfigAccess, ConfigCycle, Cx, DeviceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The functions on a bus, by their places.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Functions(BTreeMap<DevFn, Function>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Function {
    device: DeviceId,
    /// Its header type shows a device of several functions, if not by itself.
    multifunction: bool,
}

impl Functions {
    /// Puts a function on the bus; what was there is replaced.
    pub fn attach(&mut self, at: DevFn, device: DeviceId, multifunction: bool) {
        self.0.insert(at, Function { device, multifunction });
    }

    /// Takes a function off the bus.
    pub fn detach(&mut self, device: DeviceId) {
        self.0.retain(|_, function| function.device != device);
    }

    /// The functions in a slot, in their order.
    pub fn in_slot(&self, slot: u8) -> Vec<DeviceId> {
        let there = self.0.iter().filter(|(at, _)| at.device() == slot);
        there.map(|(_, function)| function.device).collect()
    }

    /// The functions and their places, in order.
    pub fn places(&self) -> impl Iterator<Item = (DevFn, DeviceId)> + '_ {
        self.0.iter().map(|(at, function)| (*at, function.device))
    }

    /// The functions.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.0.values().map(|function| function.device)
    }

    /// Carries out a cycle on this bus, which has the number `bus`; bridges take what is for the buses behind them.
    /// `None` if nothing answers.
    pub fn cycle(&self, cx: &mut Cx<'_>, bus: u8, cycle: ConfigCycle) -> Option<u32> {
        if cycle.bus != bus {
            return self
                .devices()
                .find_map(|device| cx.with_peer(device, |d, cx| d.pci().and_then(|f| f.forward(cx, cycle))).flatten());
        }
        let function = self.0.get(&DevFn(cycle.at))?;
        let answer = cx.with_peer(function.device, |d, cx| {
            let space = d.pci()?;
            match cycle.access {
                ConfigAccess::Read(width) => Some(space.config_read(cx, cycle.offset, width)),
                ConfigAccess::Write(width, value) => {
                    space.config_write(cx, cycle.offset, width, value);
                    Some(value)
                }
            }
        });
        let value = answer.flatten()?;
        let flag = match (cycle.access, offset::HEADER_TYPE.checked_sub(cycle.offset)) {
            (ConfigAccess::Read(width), Some(lane)) if function.multifunction && u64::from(lane) < width.bytes() => {
                u32::from(MULTI_FUNCTION) << (8 * lane)
            }
            _ => 0,
        };
        Some(value | flag)
    }
}
