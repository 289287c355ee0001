//! PCI buses while a board is put together: which function is where, and how the pins of a slot reach the board.

use super::boot_order::ROOT;
use crate::commandline::OptionError;
use lockstep_devices::pci::bridge::PciBridge;
use lockstep_devices::pci::{DevFn, piix3};
use lockstep_fabric::{DeviceId, PinId};
use std::collections::BTreeMap;

/// The name of the bus at the host bridge.
pub(super) const ROOT_BUS: &str = "pci.0";
/// What the path of a bridge is called.
const BRIDGE_KIND: &str = "pci-bridge";
const SLOTS: u8 = 32;
const FUNCTIONS: u8 = 8;

/// One of the buses, by its number here (which is not the guest's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BusAt(usize);

impl BusAt {
    /// The bus at the host bridge.
    pub(super) const ROOT: Self = Self(0);

    /// Its number among the board's buses.
    pub(super) fn number(self) -> u64 {
        self.0 as u64
    }
}

/// A function that wants a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    /// The option to blame.
    pub(super) option: &'a str,
    /// Its model.
    pub(super) model: &'a str,
    /// Its `id=`.
    pub(super) id: Option<&'a str>,
    /// Where it was told to go.
    pub(super) wanted: Option<DevFn>,
    /// It says that its device has several functions.
    pub(super) multifunction: bool,
}

/// A function in its place.
#[derive(Clone, Debug)]
struct Occupant {
    /// Once it is on the board's bus.
    device: Option<DeviceId>,
    /// Its model and id, for complaints.
    called: String,
    multifunction: bool,
    /// It can be taken out while the machine runs.
    pluggable: bool,
}

/// A bus.
#[derive(Clone, Debug)]
struct PciBus {
    name: String,
    /// The bridge that it is behind.
    bridge: Option<Bridge>,
    /// What the paths of its devices begin with.
    path: String,
    occupants: BTreeMap<DevFn, Occupant>,
}

/// A bridge that is not on the board yet: what is behind it comes first.
#[derive(Clone, Debug)]
pub(super) struct Bridge {
    /// Its name on the board.
    pub(super) name: String,
    /// The bus that it is on.
    pub(super) above: BusAt,
    /// Its place there.
    pub(super) at: DevFn,
    /// The device.
    pub(super) device: PciBridge,
}

/// All PCI buses of a board.
#[derive(Clone, Debug)]
pub struct PciBuses(Vec<PciBus>);

impl PciBuses {
    /// No bus: the machine `none`.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// The bus at the host bridge, which takes slot 0.
    pub(super) fn new() -> Self {
        let occupants = BTreeMap::new();
        let root = PciBus { name: ROOT_BUS.into(), bridge: None, path: ROOT.into(), occupants };
        let mut buses = Self(vec![root]);
        buses.put(DevFn::new(0, 0), "i440FX", None);
        buses
    }

    /// Puts one of the board's own functions on the bus at the host bridge.
    pub(super) fn put(&mut self, at: DevFn, model: &str, device: Option<DeviceId>) {
        let occupant = Occupant { device, called: model.into(), multifunction: at.device() == 1, pluggable: false };
        self.0[BusAt::ROOT.0].occupants.insert(at, occupant);
    }

    /// Adds the bus behind a bridge. Its name is the bridge's id, or made up as QEMU does.
    pub(super) fn add_bus(&mut self, id: Option<&str>, bridge: Bridge) {
        let unnamed = self.0.iter().filter(|bus| bus.name.starts_with("pci.")).count();
        let name = id.map_or_else(|| format!("pci.{unnamed}"), str::to_owned);
        let path = self.path(bridge.above, bridge.at, BRIDGE_KIND);
        self.0.push(PciBus { name, bridge: Some(bridge), path, occupants: BTreeMap::new() });
    }

    /// The buses behind bridges, those before whose bridge another one comes first.
    pub(super) fn behind_bridges(&self) -> impl Iterator<Item = (BusAt, &Bridge)> {
        let buses = self.0.iter().enumerate().rev();
        buses.filter_map(|(at, bus)| Some((BusAt(at), bus.bridge.as_ref()?)))
    }

    /// The bus of this name.
    pub(super) fn find(&self, name: &str) -> Option<BusAt> {
        self.0.iter().position(|bus| bus.name == name).map(BusAt)
    }

    /// Finds a place for a function, and reserves it.
    pub(super) fn place(&mut self, bus: BusAt, candidate: &Candidate<'_>) -> Result<DevFn, OptionError> {
        let refused = |why: String| Err(OptionError::refused(candidate.option, why));
        let occupants = &self.0[bus.0].occupants;
        let free_slot = || (0..SLOTS).find(|slot| occupants.keys().all(|at| at.device() != *slot));
        let model = candidate.model;
        let Some(at) = candidate.wanted.or_else(|| Some(DevFn::new(free_slot()?, 0))) else {
            return refused(format!("PCI: no slot/function available for {model}, all in use or reserved"));
        };
        let (slot, function) = (at.device(), at.function());
        if let Some(other) = occupants.get(&at) {
            let who = &other.called;
            return refused(format!("PCI: slot {slot} function {function} not available for {model}, in use by {who}"));
        }
        let first = occupants.get(&DevFn::new(slot, 0));
        if function != 0 && first.is_some_and(|first| !first.multifunction) {
            return refused(format!(
                "PCI: single function device can't be populated in function {slot:x}.{function:x}"
            ));
        }
        let mut others = (1..FUNCTIONS).filter(|f| occupants.contains_key(&DevFn::new(slot, *f)));
        if function == 0
            && !candidate.multifunction
            && let Some(other) = others.next()
        {
            return refused(format!(
                "PCI: {slot:x}.0 indicates single function, but {slot:x}.{other:x} is already populated."
            ));
        }
        let called = candidate.id.map_or_else(|| model.to_owned(), |id| format!("{model},id={id}"));
        let occupant = Occupant { device: None, called, multifunction: candidate.multifunction, pluggable: false };
        self.0[bus.0].occupants.insert(at, occupant);
        Ok(at)
    }

    /// Says which of the board's devices is in a place.
    pub(super) fn settle(&mut self, bus: BusAt, at: DevFn, device: DeviceId) {
        if let Some(occupant) = self.0[bus.0].occupants.get_mut(&at) {
            occupant.device = Some(device);
        }
    }

    /// Says that what is in a place can be taken out while the machine runs.
    pub(super) fn set_pluggable(&mut self, bus: BusAt, at: DevFn) {
        if let Some(occupant) = self.0[bus.0].occupants.get_mut(&at) {
            occupant.pluggable = true;
        }
    }

    /// A place is free again.
    pub(super) fn vacate(&mut self, bus: BusAt, at: DevFn) {
        self.0[bus.0].occupants.remove(&at);
    }

    /// The slots of a bus with something that stays, a bit each.
    pub(super) fn fixed(&self, bus: BusAt) -> u32 {
        let staying = self.0[bus.0].occupants.iter().filter(|(_, occupant)| !occupant.pluggable);
        staying.fold(0, |slots, (at, _)| slots | 1 << at.device())
    }

    /// The bridges on a bus: the slot of each and the bus behind it.
    pub(super) fn bridges_on(&self, bus: BusAt) -> Vec<(u8, BusAt)> {
        let behind = self.0.iter().enumerate().filter_map(|(at, behind)| {
            let bridge = behind.bridge.as_ref().filter(|bridge| bridge.above == bus && bridge.at.function() == 0)?;
            Some((bridge.at.device(), BusAt(at)))
        });
        behind.collect()
    }

    /// The name of the bridge that a bus is behind; none: the host bridge.
    pub(super) fn bridge_name(&self, bus: BusAt) -> Option<&str> {
        self.0[bus.0].bridge.as_ref().map(|bridge| &*bridge.name)
    }

    /// The first bus of which this is true.
    pub(super) fn behind(&self, is: impl Fn(BusAt) -> bool) -> Option<BusAt> {
        (0..self.0.len()).map(BusAt).find(|at| is(*at))
    }

    /// What function 0 of a place's slot is called, if there is one.
    pub(super) fn first_function(&self, bus: BusAt, at: DevFn) -> Option<&str> {
        let first = self.0[bus.0].occupants.get(&DevFn::new(at.device(), 0));
        first.map(|first| first.called.split(',').next().unwrap_or_default())
    }

    /// The functions on a bus, and those among them that say that their device has several.
    pub(super) fn functions(&self, bus: BusAt) -> impl Iterator<Item = (DevFn, DeviceId, bool)> + '_ {
        let occupants = self.0[bus.0].occupants.iter();
        occupants.filter_map(|(at, occupant)| Some((*at, occupant.device?, occupant.multifunction)))
    }

    /// Where a pin (0 for INTA#) of a slot arrives at the south bridge: a bridge's pins are those of the slots behind it,
    /// each turned by its slot's number (PCI-to-PCI Bridge Architecture 1.2, section 9.1).
    pub(super) fn intx(&self, bus: BusAt, slot: u8, pin: u8) -> PinId {
        match &self.0[bus.0].bridge {
            None => piix3::pin_intx(slot, pin),
            Some(bridge) => self.intx(bridge.above, bridge.at.device(), (slot + pin) & 3),
        }
    }

    /// The path of a function whose kind has this name.
    pub(super) fn path(&self, bus: BusAt, at: DevFn, kind: &str) -> String {
        let function = if at.function() == 0 { String::new() } else { format!(",{:x}", at.function()) };
        format!("{}/{kind}@{:x}{function}", self.0[bus.0].path, at.device())
    }
}

/// A place as QEMU spells it: hexadecimal, `0x` or not, with the function after a dot.
pub(super) fn place(text: &str) -> Option<DevFn> {
    let hex = |text: &str, most: u8| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u8::from_str_radix(digits, 16).ok()).flatten().filter(|n| *n < most)
    };
    let (device, function) = text.split_once('.').unwrap_or((text, "0"));
    Some(DevFn::new(hex(device, SLOTS)?, hex(function, FUNCTIONS)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_devices::pci::bridge::BridgeConfig;

    fn candidate(wanted: Option<DevFn>, multifunction: bool) -> Candidate<'static> {
        Candidate { option: "-device x", model: "x", id: None, wanted, multifunction }
    }

    fn why(placed: Result<DevFn, OptionError>) -> String {
        placed.expect_err("refused").to_string()
    }

    #[test]
    fn places_are_spelled_in_hexadecimal() {
        for (text, at) in [("10", Some((16, 0))), ("0x1f.7", Some((31, 7))), ("4.0", Some((4, 0)))] {
            assert_eq!(place(text), at.map(|(device, function)| DevFn::new(device, function)), "{text}");
        }
        for text in ["20", "+4", "", "4.8", "zz", "4.", ".1", "100"] {
            assert_eq!(place(text), None, "{text}");
        }
    }

    #[test]
    fn slots_are_given_in_order_and_once() {
        let mut buses = PciBuses::new();
        buses.put(DevFn::new(1, 3), "PIIX4_PM", None);
        assert_eq!(buses.place(BusAt::ROOT, &candidate(None, false)).ok(), Some(DevFn::new(2, 0)));
        assert_eq!(buses.place(BusAt::ROOT, &candidate(Some(DevFn::new(4, 0)), false)).ok(), Some(DevFn::new(4, 0)));
        let named = Candidate { id: Some("me"), ..candidate(None, false) };
        assert_eq!(buses.place(BusAt::ROOT, &named).ok(), Some(DevFn::new(3, 0)));
        assert_eq!(buses.place(BusAt::ROOT, &candidate(None, false)).ok(), Some(DevFn::new(5, 0)));
        let taken = why(buses.place(BusAt::ROOT, &candidate(Some(DevFn::new(3, 0)), false)));
        assert_eq!(taken, "-device x: PCI: slot 3 function 0 not available for x, in use by x,id=me");
        for _ in 6..32 {
            buses.place(BusAt::ROOT, &candidate(None, false)).expect("a slot is free");
        }
        assert!(why(buses.place(BusAt::ROOT, &candidate(None, false))).contains("no slot/function available for x"));
    }

    #[test]
    fn a_slot_has_several_functions_if_its_first_one_says_so() {
        let mut buses = PciBuses::new();
        let mut put =
            |slot, function, multi| buses.place(BusAt::ROOT, &candidate(Some(DevFn::new(slot, function)), multi));
        put(4, 0, true).expect("free");
        put(4, 1, false).expect("function 0 says so");
        put(5, 0, false).expect("free");
        assert!(why(put(5, 1, true)).contains("single function device can't be populated in function 5.1"));
        put(6, 2, false).expect("function 0 may yet come");
        assert!(why(put(6, 0, false)).contains("6.0 indicates single function, but 6.2 is already populated."));
        put(6, 0, true).expect("it says so");
    }

    #[test]
    fn functions_have_paths_and_pins_by_their_places() {
        let mut buses = PciBuses::new();
        assert_eq!(buses.path(BusAt::ROOT, DevFn::new(3, 0), "scsi"), "/pci@i0cf8/scsi@3");
        assert_eq!(buses.path(BusAt::ROOT, DevFn::new(17, 2), "scsi"), "/pci@i0cf8/scsi@11,2");
        assert_eq!(buses.intx(BusAt::ROOT, 4, 1), piix3::pin_intx(4, 1));
        let bridge = |above, at| {
            let device = PciBridge::new(&BridgeConfig::default()).expect("a bridge");
            Bridge { name: "device".into(), above, at, device }
        };
        buses.add_bus(None, bridge(BusAt::ROOT, DevFn::new(5, 0)));
        let outer = buses.find("pci.1").expect("a bus");
        buses.add_bus(Some("inner"), bridge(outer, DevFn::new(2, 0)));
        let inner = buses.find("inner").expect("a bus");
        assert_eq!(buses.path(inner, DevFn::new(1, 0), "scsi"), "/pci@i0cf8/pci-bridge@5/pci-bridge@2/scsi@1");
        // INTA# of slot 3 is INTD# of slot 2, which is INTB# of slot 5.
        assert_eq!(buses.intx(inner, 3, 0), piix3::pin_intx(5, 1));
        let order: Vec<_> = buses.behind_bridges().map(|(bus, _)| bus).collect();
        assert_eq!(order, [inner, outer]);
    }
}
