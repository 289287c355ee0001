//! Slots for memory modules that come and go: QEMU's registers (docs/specs/acpi_mem_hotplug), a device for each slot, and
//! the event that says what has changed (ACPI 6.5, sections 5.6.4, 6.3 and 9.12).

use super::aml::{
    Aml, FieldAccess, FieldUnit, RegionSpace, acquire, add, and, arg, call, create_dword_field, device, eisa_id, equal,
    field, give, int, less, local, method, mutex, name, notify, nowhere, otherwise, path, region, release,
    repeat_while, scope, serialized_method, store, string, subtract, when,
};
use super::resources::{Resource, resource_template};
use crate::platform::MemorySlots;

/// The registers' first port, and how many there are.
const BASE: u16 = 0x0a00;
const LENGTH: u8 = 0x18;
/// Where the flags are.
const FLAGS_AT: u32 = 0x14;
/// The flags: there is a module; it is new; it should go. Written, the latter two are forgotten; and the ejector.
const ENABLED: u64 = 1 << 0;
const INSERTING: u64 = 1 << 1;
const REMOVING: u64 = 1 << 2;
const EJECT: u64 = 1 << 3;
/// What a slot's device is notified of: look whether it is there; give it up.
const DEVICE_CHECK: u64 = 1;
const EJECT_REQUEST: u64 = 3;
/// `_STA`: present, enabled, shown, working.
const STA_WORKING: u64 = 0xf;
/// Where the low halves of first address, last address and length lie in the descriptor of a 64-bit window.
const FIRST_AT: u64 = 14;
const LAST_AT: u64 = 22;
const LENGTH_AT: u64 = 38;

/// All that the DSDT says of these slots.
pub(super) fn terms(slots: &MemorySlots) -> Vec<Aml> {
    let resources = device(
        "MHPD",
        &[
            name("_HID", &eisa_id("PNP0A06")),
            name("_UID", &string("Memory hotplug resources")),
            name("_CRS", &resource_template(&[Resource::Io { port: BASE, count: LENGTH }])),
        ],
    );
    let mut container = vec![name("_HID", &eisa_id("PNP0A06")), name("_UID", &string("DIMM devices"))];
    container.extend(registers());
    container.extend(methods(slots.count));
    container.extend((0..slots.count).map(slot));
    vec![
        scope("\\_SB.PCI0", &[resources]),
        scope("\\_SB", &[device("MHPC", &container)]),
        scope("\\_GPE", &[method("_E03", 0, &[call("\\_SB.MHPC.MSCN", &[])])]),
    ]
}

fn registers() -> Vec<Aml> {
    let named = |name| FieldUnit::Named(name, 32);
    vec![
        region("HPMR", RegionSpace::SystemIo, BASE.into(), LENGTH.into()),
        // Read: address, size, node.
        field("HPMR", FieldAccess::Dword, &[named("MRBL"), named("MRBH"), named("MRLL"), named("MRLH"), named("MPX")]),
        field("HPMR", FieldAccess::Byte, &[FieldUnit::Skip(8 * FLAGS_AT), FieldUnit::Named("MFLG", 8)]),
        // Written: the slot, and what _OST was called with.
        field("HPMR", FieldAccess::Dword, &[named("MSEL"), named("MOEV"), named("MOSC")]),
        mutex("MLCK"),
    ]
}

/// Steps with one slot's registers in the only hands.
fn selected(slot: &Aml, steps: &[Aml]) -> Vec<Aml> {
    let mut all = vec![acquire("MLCK"), store(slot, &path("MSEL"))];
    all.extend_from_slice(steps);
    all.push(release("MLCK"));
    all
}

fn then(mut steps: Vec<Aml>, value: &Aml) -> Vec<Aml> {
    steps.push(give(value));
    steps
}

fn methods(count: u32) -> Vec<Aml> {
    let (flags, enabled) = (path("MFLG"), local(0));
    let forget = |flag| store(&int(flag), &flags);
    let has = |flag| and(&local(1), &int(flag), &nowhere());
    let looks_at = [
        store(&local(0), &path("MSEL")),
        store(&flags, &local(1)),
        when(&has(INSERTING), &[call("MTFY", &[local(0), int(DEVICE_CHECK)]), forget(INSERTING)]),
        otherwise(&[when(&has(REMOVING), &[call("MTFY", &[local(0), int(EJECT_REQUEST)]), forget(REMOVING)])]),
        add(&local(0), &int(1), &local(0)),
    ];
    let scan = [
        acquire("MLCK"),
        store(&int(0), &local(0)),
        repeat_while(&less(&local(0), &int(count.into())), &looks_at),
        release("MLCK"),
    ];
    let notices: Vec<_> =
        (0..count).map(|slot| when(&equal(&arg(0), &int(slot.into())), &[notify(&slot_name(slot), &arg(1))])).collect();
    let status = then(
        selected(
            &arg(0),
            &[
                store(&int(0), &enabled),
                when(&and(&flags, &int(ENABLED), &nowhere()), &[store(&int(STA_WORKING), &enabled)]),
            ],
        ),
        &enabled,
    );
    let proximity = then(selected(&arg(0), &[store(&path("MPX"), &local(0))]), &local(0));
    let reported = selected(&arg(0), &[store(&arg(1), &path("MOEV")), store(&arg(2), &path("MOSC"))]);
    let eject = selected(&arg(0), &[store(&int(EJECT), &flags)]);
    vec![
        method("MTFY", 2, &notices),
        method("MSCN", 0, &scan),
        method("MRST", 1, &status),
        serialized_method("MCRS", 1, &current_resources()),
        method("MPXM", 1, &proximity),
        method("MOST", 3, &reported),
        method("MEJ0", 1, &eject),
    ]
}

/// The window of a module. The DSDT's integers have 32 bits, so the last address is summed up in two halves.
fn current_resources() -> Vec<Aml> {
    const HALF: u64 = 4;
    let place = |at, field| create_dword_field(&path("MR64"), at, field);
    let names = ["FSTL", "FSTH", "LSTL", "LSTH", "LENL", "LENH"];
    let [first_low, first_high, last_low, last_high, length_low, length_high] = names.map(path);
    let borrow = subtract(&last_high, &int(1), &last_high);
    let mut body = vec![name("MR64", &resource_template(&[Resource::MemoryWindow64(0, u64::MAX - 1)]))];
    let places = [FIRST_AT, FIRST_AT + HALF, LAST_AT, LAST_AT + HALF, LENGTH_AT, LENGTH_AT + HALF];
    body.extend(places.into_iter().zip(names).map(|(at, name)| place(at, name)));
    body.extend(selected(
        &arg(0),
        &[
            store(&path("MRBL"), &first_low),
            store(&path("MRBH"), &first_high),
            store(&path("MRLL"), &length_low),
            store(&path("MRLH"), &length_high),
        ],
    ));
    body.extend([
        add(&first_low, &length_low, &last_low),
        add(&first_high, &length_high, &last_high),
        when(&less(&last_low, &first_low), &[add(&last_high, &int(1), &last_high)]),
        when(&equal(&last_low, &int(0)), &[borrow]),
        subtract(&last_low, &int(1), &last_low),
        give(&path("MR64")),
    ]);
    body
}

fn slot_name(slot: u32) -> String {
    format!("MP{slot:02X}")
}

fn slot(slot: u32) -> Aml {
    let number = int(slot.into());
    let asks = |of: &str| give(&call(of, std::slice::from_ref(&number)));
    device(
        &slot_name(slot),
        &[
            name("_HID", &eisa_id("PNP0C80")),
            name("_UID", &string(&format!("0x{slot:02X}"))),
            method("_CRS", 0, &[asks("MCRS")]),
            method("_STA", 0, &[asks("MRST")]),
            method("_PXM", 0, &[asks("MPXM")]),
            method("_OST", 3, &[call("MOST", &[number.clone(), arg(0), arg(1)])]),
            method("_EJ0", 1, &[call("MEJ0", std::slice::from_ref(&number))]),
        ],
    )
}
