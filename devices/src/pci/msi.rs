//! MSI (PCI Local Bus 3.0, section 6.8.1): one message with a 64-bit address and no mask, which is what small functions
//! have.

use super::config::ConfigSpace;
use lockstep_fabric::{Cx, Width};
use serde::{Deserialize, Serialize};

const CAPABILITY_ID: u8 = 0x05;
const CONTROL: u16 = 2;
const ADDRESS: u16 = 4;
const DATA: u16 = 12;
const CONTROL_ENABLE: u16 = 1;
const CONTROL_64_BIT: u16 = 1 << 7;

/// A function's one message. Its registers are the capability in configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msi {
    capability: u16,
}

impl Msi {
    /// Adds the capability; `None` if there is no room for it.
    pub fn new(config: &mut ConfigSpace) -> Option<Self> {
        let mut body = [0; 12];
        body[..2].copy_from_slice(&CONTROL_64_BIT.to_le_bytes());
        let writable = [CONTROL_ENABLE as u8, 0, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let capability = config.add_capability(CAPABILITY_ID, &body, &writable)?;
        Some(Self { capability })
    }

    /// Whether the guest has chosen MSI over INTx#.
    pub fn enabled(&self, config: &ConfigSpace) -> bool {
        config.word(self.capability + CONTROL) & CONTROL_ENABLE != 0
    }

    /// Sends the message, if MSI is on.
    pub fn raise(&self, cx: &mut Cx<'_>, config: &ConfigSpace) {
        if self.enabled(config) {
            let half = |at: u16| u64::from(config.read(self.capability + at, Width::Dword));
            let address = half(ADDRESS + 4) << 32 | half(ADDRESS);
            cx.send_msi(address, config.word(self.capability + DATA).into());
        }
    }
}
