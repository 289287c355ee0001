//! vmgenid: a number in guest memory that changes whenever the machine is taken back to an earlier state, so that a guest
//! can tell that its random numbers are no longer its own (Microsoft, Virtual Machine Generation ID; QEMU's
//! docs/specs/vmgenid).
//!
//! The number comes with the ACPI tables. Firmware places it and says where; from then on the device writes there.

use crate::catalog::{Creatable, Made, Surroundings};
use crate::fw_cfg::FwCfgItem;
use crate::properties::{PropertyError, configuration};
use lockstep_fabric::{Cx, Device, Input, PinId, Reg, Width};
use serde::{Deserialize, Serialize};

/// The fw_cfg file that firmware writes the number's address to.
pub const ADDRESS_FILE: &str = "etc/vmgenid_addr";
/// Output pin: general-purpose event 5.
pub const PIN_EVENT: PinId = PinId(0);
/// The general-purpose event that tells the guest of a change.
pub const EVENT: u8 = 5;

configuration! {
    /// What the number is.
    pub struct VmGenIdConfig {
        /// A UUID, or auto for one made from the machine's seed.
        pub guid: String = "auto".into(),
    }
}

impl VmGenIdConfig {
    /// The number as it lies in memory; `seed` is the machine's.
    pub fn number(&self, seed: u64) -> Result<[u8; 16], PropertyError> {
        let bytes = if self.guid == "auto" { from_seed(seed) } else { uuid(&self.guid) };
        bytes.map(little_endian).ok_or_else(|| PropertyError::Value {
            name: "guid",
            value: self.guid.clone(),
            wanted: "use auto or a UUID like 01234567-89ab-cdef-0123-456789abcdef",
        })
    }
}

impl Creatable for VmGenIdConfig {
    const NAME: &'static str = "vmgenid";
    const ABOUT: &'static str = "a number by which a guest sees that it was taken back to an earlier state";

    fn make(self) -> Result<Made, PropertyError> {
        self.make_within(&Surroundings::default())
    }

    fn make_within(self, surroundings: &Surroundings) -> Result<Made, PropertyError> {
        let guid = self.number(surroundings.seed)?;
        let address = FwCfgItem { writable: true, ..FwCfgItem::file(ADDRESS_FILE, vec![0; 8]) };
        let made = Made::new(VmGenId::new(guid), &[]);
        Ok(Made { files: vec![address], events: vec![(PIN_EVENT, EVENT)], ..made })
    }
}

/// A version 4 UUID of a seed (splitmix64, twice).
fn from_seed(seed: u64) -> Option<[u8; 16]> {
    let mix = |round: u64| {
        let z = seed.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(1).to_le_bytes());
    bytes[8..].copy_from_slice(&mix(2).to_le_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Some(bytes)
}

/// Reads a UUID's text.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let shape = |(at, letter): (usize, char)| {
        if matches!(at, 8 | 13 | 18 | 23) { letter == '-' } else { letter.is_ascii_hexdigit() }
    };
    if text.len() != 36 || !text.char_indices().all(shape) {
        return None;
    }
    let digits = text.replace('-', "");
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// A UUID's first three fields with their bytes the other way round, as a GUID lies in memory.
fn little_endian([a, b, c, d, e, f, g, h, rest @ ..]: [u8; 16]) -> [u8; 16] {
    let mut guid = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    guid[8..].copy_from_slice(&rest);
    guid
}

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmGenId {
    guid: [u8; 16],
    /// Where firmware put the number; zero: nowhere yet.
    address: u64,
}

impl VmGenId {
    /// A device with a number as it lies in memory.
    pub fn new(guid: [u8; 16]) -> Self {
        Self { guid, address: 0 }
    }

    /// The number as it lies in memory.
    pub fn guid(&self) -> [u8; 16] {
        self.guid
    }

    /// Another number: the guest is told.
    fn change(&mut self, cx: &mut Cx<'_>, guid: [u8; 16]) {
        self.guid = guid;
        if self.address != 0 {
            cx.dma_write(self.address, &guid);
            cx.set_pin(PIN_EVENT, true);
            cx.set_pin(PIN_EVENT, false);
        }
    }
}

impl Device for VmGenId {
    fn kind(&self) -> &'static str {
        VmGenIdConfig::NAME
    }

    fn read(&mut self, _cx: &mut Cx<'_>, _at: Reg, width: Width) -> u64 {
        width.mask()
    }

    fn write(&mut self, _cx: &mut Cx<'_>, _at: Reg, _width: Width, _value: u64) {}

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.address = 0;
        cx.set_pin(PIN_EVENT, false);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        if let Input::File { name, bytes } = input
            && name == ADDRESS_FILE
            && let Ok(address) = <[u8; 8]>::try_from(&bytes[..])
        {
            self.address = u64::from_le_bytes(address);
            if self.address != 0 {
                cx.dma_write(self.address, &self.guid);
            }
        } else if let Input::Generation(guid) = input {
            self.change(cx, *guid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Bench;

    const TEXT: &str = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87";
    const IN_MEMORY: [u8; 16] =
        [0xaf, 0x6e, 0x4e, 0x32, 0xd1, 0xd1, 0xf6, 0x4b, 0xbf, 0x41, 0xb9, 0xbb, 0x6c, 0x91, 0xfb, 0x87];

    #[test]
    fn the_number_lies_in_memory_as_a_guid_does() {
        assert_eq!(VmGenIdConfig { guid: TEXT.into() }.number(0), Ok(IN_MEMORY));
        for bad in ["", "324e6eaf", "324e6eafd1d1-4bf6-bf41-b9bb6c91fb87-", "324e6eag-d1d1-4bf6-bf41-b9bb6c91fb87"] {
            assert!(VmGenIdConfig { guid: bad.into() }.make().is_err(), "{bad}");
        }
    }

    #[test]
    fn auto_is_the_seeds() {
        let of = |seed| VmGenIdConfig::default().number(seed).expect("a number");
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!((of(1)[7] >> 4, of(1)[8] >> 6), (4, 2), "version and variant");
    }

    #[test]
    fn a_new_number_is_written_where_firmware_said_and_told() {
        let mut b = Bench::new(VmGenId::new(IN_MEMORY), &[]);
        b.add_ram();
        let held = |b: &Bench| {
            let mut bytes = [0; 16];
            b.bus.memory.read_bytes(0x1028, &mut bytes);
            bytes
        };
        b.input(&Input::File { name: ADDRESS_FILE.into(), bytes: 0x1028_u64.to_le_bytes().to_vec() });
        assert_eq!(held(&b), IN_MEMORY);
        b.input(&Input::Generation([7; 16]));
        assert_eq!(held(&b), [7; 16]);
        assert_eq!(b.edges().iter().map(|edge| edge.level).collect::<Vec<_>>(), [true, false]);
    }
}
