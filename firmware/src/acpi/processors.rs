//! Processors that come and go: QEMU's registers (docs/specs/acpi_cpu_hotplug), a device for each place, and the event
//! that says what has changed (ACPI 6.5, sections 5.6.4, 6.2.11, 6.3 and 8.4).

use super::aml::{
    Aml, FieldAccess, FieldUnit, RegionSpace, acquire, add, and, arg, buffer, call, device, eisa_id, equal, field,
    give, int, less, local, method, mutex, name, notify, nowhere, otherwise, path, region, release, repeat_while,
    scope, store, string, when,
};
use super::resources::{Resource, resource_template};

/// The registers' first port, and how many there are.
const BASE: u16 = 0xaf00;
const LENGTH: u8 = 0x0c;
/// Where the flags and the command are.
const FLAGS_AT: u32 = 4;
const DATA_AT: u32 = 8;
/// The flags: there is a processor; it is new; it should go. Written, the latter two are forgotten; and the ejector.
const ENABLED: u64 = 1 << 0;
const INSERTING: u64 = 1 << 1;
const REMOVING: u64 = 1 << 2;
const EJECT: u64 = 1 << 3;
/// Commands: the data that follow are what _OST reports on, or the outcome.
const OST_EVENT: u64 = 1;
const OST_STATUS: u64 = 2;
/// What a processor's device is notified of: look whether it is there; give it up.
const DEVICE_CHECK: u64 = 1;
const EJECT_REQUEST: u64 = 3;
/// `_STA`: present, enabled, shown, working.
const STA_WORKING: u64 = 0xf;

/// All that the DSDT says of processors with these local APICs.
pub(super) fn terms(apic_ids: &[u8]) -> Vec<Aml> {
    let registers = device("PRES", &registers());
    let mut container = vec![name("_HID", &string("ACPI0010")), name("_CID", &eisa_id("PNP0A05"))];
    container.extend(methods(apic_ids.len() as u64));
    container.extend((0..).zip(apic_ids).map(|(number, apic_id)| place(number, *apic_id)));
    vec![
        scope("\\_SB.PCI0", &[registers]),
        scope("\\_SB", &[device("CPUS", &container)]),
        scope("\\_GPE", &[method("_E02", 0, &[call("\\_SB.CPUS.CSCN", &[])])]),
    ]
}

fn registers() -> Vec<Aml> {
    vec![
        name("_HID", &eisa_id("PNP0A06")),
        name("_UID", &string("CPU Hotplug resources")),
        name("_CRS", &resource_template(&[Resource::Io { port: BASE, count: LENGTH }])),
        region("PRST", RegionSpace::SystemIo, BASE.into(), LENGTH.into()),
        field(
            "PRST",
            FieldAccess::Byte,
            &[FieldUnit::Skip(8 * FLAGS_AT), FieldUnit::Named("CFLG", 8), FieldUnit::Named("CCMD", 8)],
        ),
        field(
            "PRST",
            FieldAccess::Dword,
            &[FieldUnit::Named("CSEL", 32), FieldUnit::Skip(8 * DATA_AT - 32), FieldUnit::Named("CDAT", 32)],
        ),
        mutex("CPLK"),
        // The first write brings the registers out from behind the map of processors that older guests know.
        method("_INI", 0, &[store(&int(0), &path("CSEL"))]),
    ]
}

const SELECT: &str = "\\_SB.PCI0.PRES.CSEL";
const FLAGS: &str = "\\_SB.PCI0.PRES.CFLG";
const COMMAND: &str = "\\_SB.PCI0.PRES.CCMD";
const DATA: &str = "\\_SB.PCI0.PRES.CDAT";
const LOCK: &str = "\\_SB.PCI0.PRES.CPLK";

/// Steps with one processor's registers in the only hands.
fn selected(steps: &[Aml]) -> Vec<Aml> {
    let mut all = vec![acquire(LOCK), store(&arg(0), &path(SELECT))];
    all.extend_from_slice(steps);
    all.push(release(LOCK));
    all
}

fn methods(count: u64) -> Vec<Aml> {
    let flags = path(FLAGS);
    let forget = |flag| store(&int(flag), &flags);
    let has = |flag| and(&local(1), &int(flag), &nowhere());
    let looks_at = [
        store(&local(0), &path(SELECT)),
        store(&flags, &local(1)),
        when(&has(INSERTING), &[call("CTFY", &[local(0), int(DEVICE_CHECK)]), forget(INSERTING)]),
        otherwise(&[when(&has(REMOVING), &[call("CTFY", &[local(0), int(EJECT_REQUEST)]), forget(REMOVING)])]),
        add(&local(0), &int(1), &local(0)),
    ];
    let scan = [
        acquire(LOCK),
        store(&int(0), &local(0)),
        repeat_while(&less(&local(0), &int(count)), &looks_at),
        release(LOCK),
    ];
    let notices: Vec<_> =
        (0..count).map(|number| when(&equal(&arg(0), &int(number)), &[notify(&place_name(number), &arg(1))])).collect();
    let mut status = selected(&[
        store(&int(0), &local(0)),
        when(&and(&flags, &int(ENABLED), &nowhere()), &[store(&int(STA_WORKING), &local(0))]),
    ]);
    status.push(give(&local(0)));
    let tell = |command, value: &Aml| [store(&int(command), &path(COMMAND)), store(value, &path(DATA))];
    let reported = selected(&[tell(OST_EVENT, &arg(1)), tell(OST_STATUS, &arg(2))].concat());
    vec![
        method("CTFY", 2, &notices),
        method("CSCN", 0, &scan),
        method("CSTA", 1, &status),
        method("COST", 3, &reported),
        method("CEJ0", 1, &selected(&[store(&int(EJECT), &flags)])),
    ]
}

fn place_name(number: u64) -> String {
    format!("C{number:03X}")
}

fn place(number: u64, apic_id: u8) -> Aml {
    const LOCAL_APIC: u8 = 0;
    const LOCAL_APIC_LENGTH: u8 = 8;
    let uid = int(number);
    let described = buffer(&[LOCAL_APIC, LOCAL_APIC_LENGTH, number as u8, apic_id, 1, 0, 0, 0]);
    let mut body = vec![
        name("_HID", &string("ACPI0007")),
        name("_UID", &uid),
        method("_STA", 0, &[give(&call("CSTA", std::slice::from_ref(&uid)))]),
        name("_MAT", &described),
        method("_OST", 3, &[call("COST", &[uid.clone(), arg(0), arg(1)])]),
    ];
    // The machine starts with the first.
    if number != 0 {
        body.push(method("_EJ0", 1, &[call("CEJ0", std::slice::from_ref(&uid))]));
    }
    device(&place_name(number), &body)
}
