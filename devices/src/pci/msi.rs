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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::Identity;
    use lockstep_fabric::{Bus, Clock, Device, Input, Memory, Reg};

    /// A function that sends its message when its register is written, and takes messages itself.
    #[derive(Serialize, Deserialize)]
    struct Card {
        config: ConfigSpace,
        msi: Msi,
        taken: Vec<(u64, u32)>,
    }

    impl Device for Card {
        fn kind(&self) -> &'static str {
            "card"
        }
        fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width) -> u64 {
            0
        }
        fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
            match at.region {
                0 => self.config.write(cx, at.offset as u16, width, value as u32),
                _ => self.msi.raise(cx, &self.config),
            }
        }
        fn reset(&mut self, _cx: &mut Cx<'_>) {}
        fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
            if let Input::Msi { address, data } = *input {
                self.taken.push((address, data));
            }
        }
    }

    #[test]
    fn the_message_goes_where_the_guest_wants_it_once_it_is_enabled() {
        let identity = Identity { vendor: 1, device: 2, revision: 0, class: 0, subsystem: (0, 0) };
        let mut config = ConfigSpace::new(identity);
        let msi = Msi::new(&mut config).expect("room for it");
        let mut bus = Bus::new(Memory::new(1 << 16).expect("memory for a test"), Clock::new(0));
        let card = bus.add("card", Box::new(Card { config, msi, taken: Vec::new() }));
        bus.set_msi_target(card);
        let mut write = |region, offset: u16, value| {
            let at = Reg { region, offset: offset.into() };
            bus.with(card, |d, cx| d.write(cx, at, Width::Dword, value)).expect("the card");
        };
        let capability = msi.capability;
        write(0, capability + ADDRESS, 0xfee0_1003);
        write(0, capability + ADDRESS + 4, 1);
        write(0, capability + DATA, 0x41);
        write(1, 0, 0);
        write(0, capability, u64::from(CONTROL_ENABLE) << 16);
        write(1, 0, 0);
        let saved = bus.with(card, |d, _| d.save()).expect("the card").expect("its state");
        assert_eq!(saved["taken"], serde_json::json!([[0x1_fee0_1000_u64, 0x41]]));
    }
}
