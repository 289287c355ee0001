//! PCI slots whose devices come and go: the registers of QEMU's PIIX4 (docs/specs/acpi_pci_hotplug), a device for each slot
//! with its ejector, and the event that says what has changed (ACPI 6.5, sections 5.6.4 and 6.3).

use super::aml::{
    Aml, FieldAccess, FieldUnit, RegionSpace, acquire, and, arg, call, device, eisa_id, field, give, int, method,
    mutex, name, notify, nowhere, path, region, release, scope, shift_left, store, string, when,
};
use super::resources::{Resource, resource_template};
use crate::platform::PlugSlots;

/// The registers' first port, and how many there are.
const BASE: u16 = 0xae00;
const LENGTH: u8 = 0x14;
/// Offsets of the registers: slots that got devices and slots to vacate, the ejector, the bus that they are about.
const UP_AND_DOWN: u64 = 0x00;
const EJECT: u64 = 0x08;
const SELECT: u64 = 0x10;
const SLOTS: u8 = 32;
/// What a slot's device is notified of: look whether it is there; give it up.
const DEVICE_CHECK: u64 = 1;
const EJECT_REQUEST: u64 = 3;

/// All that the DSDT says of slots.
pub(super) fn terms(root: &PlugSlots) -> Vec<Aml> {
    let event = [acquire("\\_SB.PCI0.BLCK"), call("\\_SB.PCI0.PCNT", &[]), release("\\_SB.PCI0.BLCK")];
    vec![
        scope("\\_SB.PCI0", &registers()),
        scope("\\_SB.PCI0", &bus(root)),
        scope("\\_GPE", &[method("_E01", 0, &event)]),
    ]
}

/// The registers, and `PCEJ (bus, slot)`, which ejects.
fn registers() -> Vec<Aml> {
    let at = |register: u64| u64::from(BASE) + register;
    let (bus, slot) = (arg(0), arg(1));
    vec![
        device(
            "PHPR",
            &[
                name("_HID", &eisa_id("PNP0A06")),
                name("_UID", &string("PCI Hotplug resources")),
                name("_CRS", &resource_template(&[Resource::Io { port: BASE, count: LENGTH }])),
            ],
        ),
        region("PCST", RegionSpace::SystemIo, at(UP_AND_DOWN), 8),
        field("PCST", FieldAccess::Dword, &[FieldUnit::Named("PCIU", 32), FieldUnit::Named("PCID", 32)]),
        region("SEJ", RegionSpace::SystemIo, at(EJECT), 4),
        field("SEJ", FieldAccess::Dword, &[FieldUnit::Named("B0EJ", 32)]),
        region("BNMR", RegionSpace::SystemIo, at(SELECT), 4),
        field("BNMR", FieldAccess::Dword, &[FieldUnit::Named("BNUM", 32)]),
        mutex("BLCK"),
        method(
            "PCEJ",
            2,
            &[
                acquire("BLCK"),
                store(&bus, &path("BNUM")),
                shift_left(&int(1), &slot, &path("B0EJ")),
                release("BLCK"),
                give(&int(0)),
            ],
        ),
    ]
}

fn slot_name(slot: u8) -> String {
    format!("S{:02X}", slot << 3)
}

/// What is in the scope of a bus: its number, its slots, `DVNT (slots, what)`, which notifies them, and `PCNT`, which looks
/// what is new on the bus and on those behind it.
fn bus(slots: &PlugSlots) -> Vec<Aml> {
    let mut terms = vec![name("BSEL", &int(slots.number.into()))];
    let mut notices = Vec::new();
    for slot in 0..SLOTS {
        let at = name("_ADR", &int(u64::from(slot) << 16));
        if let Some((_, behind)) = slots.bridges.iter().find(|(bridge, _)| *bridge == slot) {
            let body: Vec<_> = std::iter::once(at).chain(bus(behind)).collect();
            terms.push(device(&slot_name(slot), &body));
        } else if slots.fixed & 1 << slot == 0 {
            let eject = method("_EJ0", 1, &[call("PCEJ", &[path("BSEL"), path("_SUN")])]);
            terms.push(device(&slot_name(slot), &[name("_SUN", &int(slot.into())), at, eject]));
            let named = and(&arg(0), &int(1 << slot), &nowhere());
            notices.push(when(&named, &[notify(&slot_name(slot), &arg(1))]));
        }
    }
    terms.push(method("DVNT", 2, &notices));
    let mut look = vec![
        store(&path("BSEL"), &path("BNUM")),
        call("DVNT", &[path("PCIU"), int(DEVICE_CHECK)]),
        call("DVNT", &[path("PCID"), int(EJECT_REQUEST)]),
    ];
    look.extend(slots.bridges.iter().map(|(slot, _)| call(&format!("^{}.PCNT", slot_name(*slot)), &[])));
    terms.push(method("PCNT", 0, &look));
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(terms: &[Aml], part: &[u8]) -> bool {
        let bytes: Vec<u8> = terms.iter().flat_map(|term| term.0.clone()).collect();
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_slot_can_be_emptied_unless_something_stays_in_it() {
        let slots = PlugSlots { number: 0, fixed: 0b111, bridges: Vec::new() };
        let terms = terms(&slots);
        for (slot, there) in [(1, false), (2, false), (3, true), (31, true)] {
            let number = name("_SUN", &int(slot)).0;
            assert_eq!(contains(&terms, &number), there, "{slot}");
        }
        assert!(contains(&terms, b"_E01") && contains(&terms, b"PCEJBSEL_SUN"));
    }

    #[test]
    fn buses_behind_bridges_have_numbers_and_slots_of_their_own() {
        let behind = PlugSlots { number: 1, fixed: 0, bridges: Vec::new() };
        let root = PlugSlots { number: 0, fixed: 0b10_0011, bridges: vec![(5, behind)] };
        let terms = terms(&root);
        assert!(contains(&terms, &name("BSEL", &int(1)).0));
        assert!(contains(&terms, &call("^S28.PCNT", &[]).0), "the inner bus is looked at after the outer one");
        let bridge_is_ejected = [name("_SUN", &int(5)).0, name("_ADR", &int(5 << 16)).0].concat();
        let count = |slots: &PlugSlots| {
            let bytes: Vec<u8> = bus(slots).iter().flat_map(|term| term.0.clone()).collect();
            bytes.windows(bridge_is_ejected.len()).filter(|window| **window == bridge_is_ejected[..]).count()
        };
        assert_eq!(count(&root), 1, "slot 5 of the inner bus alone");
    }
}
