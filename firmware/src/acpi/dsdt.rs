//! The DSDT: what is on the board, how its interrupts are routed, and how it sleeps.
//!
//! Devices of the south bridge live under `\_SB.PCI0.ISA`, interrupt links and processors under `\_SB`. Slots and processors that
//! can be plugged at run time belong in scopes of their own behind these.

use crate::memory_map::HPET_BASE;
use crate::platform::PlatformConfig;

use super::aml::{
    Aml, FieldAccess, FieldUnit, RegionSpace, and, arg, call, create_dword_field, device, eisa_id, field, give, int,
    less, method, name, nowhere, or, package, path, region, scope, serialized_method, store, string, when,
};
use super::pm;
use super::resources::{Resource, resource_template};
use super::{memory_slots, pci_slots, processors};

/// The PIIX3's PCI interrupt routing registers: bit 7 disables, bits 3:0 are the interrupt.
const PIRQ_REGISTERS: u64 = 0x60;
const PIRQ_DISABLED: u64 = 0x80;
/// `_STA`: present, enabled, shown, working.
const STA_PRESENT: u64 = 1 << 0;
const STA_ENABLED: u64 = 1 << 1;
const STA_SHOWN: u64 = 1 << 2;
const STA_WORKING: u64 = 1 << 3;
/// Where the first interrupt number lies in an extended interrupt descriptor.
const INTERRUPT_NUMBER_AT: u64 = 5;
/// The slot of the south bridge; its function 3 interrupts by the SCI, not by a link.
const SOUTH_BRIDGE_SLOT: u64 = 1;
const SLOTS: u64 = 32;
const PINS: u64 = 4;
/// The PCI links with their routing registers.
const LINKS: [(&str, &str); 4] = [("LNKA", "PRQ0"), ("LNKB", "PRQ1"), ("LNKC", "PRQ2"), ("LNKD", "PRQ3")];
/// Ports and interrupts of COM1 to COM4.
const SERIAL: [(&str, u16, u8); 4] = [("COM1", 0x3f8, 4), ("COM2", 0x2f8, 3), ("COM3", 0x3e8, 4), ("COM4", 0x2e8, 3)];

/// The DSDT's content, without its header.
pub(super) fn build(config: &PlatformConfig) -> Vec<u8> {
    let mut terms = vec![
        scope("\\_SB", &[host_bridge(config)]),
        scope("\\_SB.PCI0", &[isa_bridge(config), power_management()]),
        scope("\\_SB", &links(config)),
        scope("\\_SB", &board(config)),
    ];
    terms.extend(config.pci_slots.iter().flat_map(pci_slots::terms));
    terms.extend(config.processor_places.iter().flat_map(|apic_ids| processors::terms(apic_ids)));
    terms.extend(config.memory_slots.iter().flat_map(memory_slots::terms));
    terms.extend(sleep_states(config));
    terms.into_iter().flat_map(|term| term.0).collect()
}

/// The i440FX host bridge: what it forwards, and which link each pin of each slot uses.
fn host_bridge(config: &PlatformConfig) -> Aml {
    let (hole, hole_end) = config.pci_hole;
    let mut windows = vec![
        Resource::BusWindow(0, 0xff),
        Resource::Io { port: 0xcf8, count: 8 },
        Resource::IoWindow(0, 0xcf7),
        Resource::IoWindow(0xd00, 0xffff),
        Resource::MemoryWindow { cacheable: true, first: 0xa_0000, last: 0xb_ffff },
    ];
    if hole < hole_end {
        windows.push(Resource::MemoryWindow { cacheable: false, first: hole as u32, last: (hole_end - 1) as u32 });
    }
    if let Some((first, end)) = config.pci_window_64.filter(|(first, end)| first < end) {
        windows.push(Resource::MemoryWindow64(first, end - 1));
    }
    let body = [
        name("_HID", &eisa_id("PNP0A03")),
        name("_UID", &int(0)),
        name("_CRS", &resource_template(&windows)),
        name("_PRT", &routing()),
    ];
    device("PCI0", &body)
}

/// `_PRT`: pin p of slot s is wired to link (s + p + 3) mod 4.
fn routing() -> Aml {
    let route = |slot: u64, pin: u64| {
        let (link, _) = LINKS[((slot + pin + 3) % 4) as usize];
        let link = if (slot, pin) == (SOUTH_BRIDGE_SLOT, 0) { "LNKS" } else { link };
        package(&[int(slot << 16 | 0xffff), int(pin), path(link), int(0)])
    };
    let routes: Vec<_> = (0..SLOTS).flat_map(|slot| (0..PINS).map(move |pin| route(slot, pin))).collect();
    package(&routes)
}

/// The interrupt links. They are set up through the south bridge's routing registers.
fn links(config: &PlatformConfig) -> Vec<Aml> {
    let choices = resource_template(&[Resource::SharedInterrupts(config.pci_irqs.clone())]);
    let units: Vec<_> = LINKS.iter().map(|(_, register)| FieldUnit::Named(register, 8)).collect();
    let mut terms = vec![
        field("PCI0.ISA.P40C", FieldAccess::Byte, &units),
        method(
            "IQST",
            1,
            &[
                when(&and(&arg(0), &int(PIRQ_DISABLED), &nowhere()), &[give(&int(STA_PRESENT | STA_WORKING))]),
                give(&int(STA_PRESENT | STA_ENABLED | STA_WORKING)),
            ],
        ),
        serialized_method(
            "IQCR",
            1,
            &[
                name("PRR0", &resource_template(&[Resource::SharedInterrupts(vec![0])])),
                create_dword_field(&path("PRR0"), INTERRUPT_NUMBER_AT, "PRRI"),
                when(&less(&arg(0), &int(PIRQ_DISABLED)), &[store(&arg(0), &path("PRRI"))]),
                give(&path("PRR0")),
            ],
        ),
    ];
    for (uid, (link, register)) in (0..).zip(LINKS) {
        let register = path(register);
        let body = [
            name("_HID", &eisa_id("PNP0C0F")),
            name("_UID", &int(uid)),
            name("_PRS", &choices),
            method("_STA", 0, &[give(&call("IQST", std::slice::from_ref(&register)))]),
            method("_DIS", 0, &[or(&register, &int(PIRQ_DISABLED), &register)]),
            method("_CRS", 0, &[give(&call("IQCR", std::slice::from_ref(&register)))]),
            method(
                "_SRS",
                1,
                &[create_dword_field(&arg(0), INTERRUPT_NUMBER_AT, "PRRI"), store(&path("PRRI"), &register)],
            ),
        ];
        terms.push(device(link, &body));
    }
    let sci = resource_template(&[Resource::SharedInterrupts(vec![config.sci_irq])]);
    let body = [
        name("_HID", &eisa_id("PNP0C0F")),
        name("_UID", &int(LINKS.len() as u64)),
        name("_PRS", &sci),
        name("_STA", &int(STA_PRESENT | STA_ENABLED | STA_WORKING)),
        method("_DIS", 0, &[]),
        name("_CRS", &sci),
        method("_SRS", 1, &[]),
    ];
    terms.push(device("LNKS", &body));
    terms
}

/// A device with fixed resources.
fn fixed(at: &str, id: &str, uid: Option<u64>, resources: &[Resource]) -> Aml {
    let mut body = vec![name("_HID", &eisa_id(id))];
    body.extend(uid.map(|uid| name("_UID", &int(uid))));
    body.push(name("_CRS", &resource_template(resources)));
    device(at, &body)
}

/// The PIIX3's ISA bridge and what hangs on it.
fn isa_bridge(config: &PlatformConfig) -> Aml {
    let mut body = vec![
        name("_ADR", &int(SOUTH_BRIDGE_SLOT << 16)),
        region("P40C", RegionSpace::PciConfig, PIRQ_REGISTERS, 4),
        fixed("RTC", "PNP0B00", None, &[Resource::Io { port: 0x70, count: 8 }, Resource::Irq(8)]),
    ];
    if config.i8042 {
        let ports = [Resource::Io { port: 0x60, count: 1 }, Resource::Io { port: 0x64, count: 1 }, Resource::Irq(1)];
        body.push(fixed("KBD", "PNP0303", None, &ports));
        body.push(fixed("MOU", "PNP0F13", None, &[Resource::Irq(12)]));
    }
    for (uid, ((at, port, irq), present)) in (1..).zip(SERIAL.into_iter().zip(config.serial_ports)) {
        if present {
            body.push(fixed(at, "PNP0501", Some(uid), &[Resource::Io { port, count: 8 }, Resource::Irq(irq)]));
        }
    }
    body.extend(config.pvpanic.map(panic_notifier));
    device("ISA", &body)
}

/// pvpanic's port, and methods that read and write it.
fn panic_notifier(port: u16) -> Aml {
    let register = path("PEPT");
    device(
        "PEVT",
        &[
            name("_HID", &string("QEMU0001")),
            name("_CRS", &resource_template(&[Resource::Io { port, count: 1 }])),
            region("PEOR", RegionSpace::SystemIo, u64::from(port), 1),
            field("PEOR", FieldAccess::Byte, &[FieldUnit::Named("PEPT", 8)]),
            name("_STA", &int(STA_PRESENT | STA_ENABLED | STA_SHOWN | STA_WORKING)),
            method("RDPT", 0, &[give(&register)]),
            method("WRPT", 1, &[store(&arg(0), &register)]),
        ],
    )
}

/// The power management ports, so that nothing else is put there.
fn power_management() -> Aml {
    let ports =
        [Resource::Io { port: pm::BASE, count: pm::LENGTH }, Resource::Io { port: pm::GPE0, count: pm::GPE0_LENGTH }];
    fixed("PMIO", "PNP0C02", Some(1), &ports)
}

/// What is on no bus: processors, timers, the power button, and the emulator's own configuration device.
fn board(config: &PlatformConfig) -> Vec<Aml> {
    // Those that can come and go are described apart.
    let staying = if config.processor_places.is_none() { config.cpus.min(255) } else { 0 };
    let mut terms: Vec<_> = (0..u64::from(staying))
        .map(|id| device(&format!("C{id:03X}"), &[name("_HID", &string("ACPI0007")), name("_UID", &int(id))]))
        .collect();
    if config.hpet {
        let registers = Resource::Memory32 { writable: false, base: HPET_BASE as u32, length: 0x400 };
        terms.push(fixed("HPET", "PNP0103", Some(0), &[registers]));
    }
    if config.fw_cfg {
        let body = [
            name("_HID", &string("QEMU0002")),
            name("_STA", &int(STA_PRESENT | STA_ENABLED | STA_WORKING)),
            name("_CRS", &resource_template(&[Resource::Io { port: 0x510, count: 12 }])),
        ];
        terms.push(device("FWCF", &body));
    }
    terms.push(device("PWRB", &[name("_HID", &eisa_id("PNP0C0C")), name("_UID", &int(0))]));
    terms
}

/// What to write into SLP_TYP for each sleep state, as PIIX4 numbers them.
fn sleep_states(config: &PlatformConfig) -> Vec<Aml> {
    let s4 = u64::from(config.s4_type);
    let states = [("\\_S3", 1, config.s3), ("\\_S4", s4, config.s4), ("\\_S5", 0, true)];
    let present = states.into_iter().filter(|(_, _, present)| *present);
    present.map(|(state, kind, _)| name(state, &package(&[int(kind), int(kind), int(0), int(0)]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the content has this run of bytes.
    fn contains(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn pins_are_swizzled_over_the_links_and_power_management_uses_the_sci() {
        let routing = routing().0;
        let route = |slot: u64, pin, link| package(&[int(slot << 16 | 0xffff), int(pin), path(link), int(0)]).0;
        for (slot, pin, link) in
            [(0, 0, "LNKD"), (1, 0, "LNKS"), (1, 1, "LNKB"), (2, 0, "LNKB"), (3, 0, "LNKC"), (31, 3, "LNKB")]
        {
            assert!(contains(&routing, &route(slot, pin, link)), "{slot} {pin}");
        }
        assert!(!contains(&routing, &route(1, 0, "LNKA")));
    }

    /// Reads a PkgLength: the package's whole length, and how many bytes the length itself takes.
    fn package_length(bytes: &[u8]) -> (usize, usize) {
        let lead = usize::from(bytes[0]);
        match lead >> 6 {
            0 => (lead & 0x3f, 1),
            more => {
                let low = lead & 0xf;
                let high = bytes[1..=more].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (high << 4 | low, 1 + more)
            }
        }
    }

    /// How long a name string is.
    fn name_length(bytes: &[u8]) -> usize {
        let prefix = bytes.iter().take_while(|byte| matches!(byte, b'\\' | b'^')).count();
        prefix
            + match bytes[prefix] {
                0 => 1,
                0x2e => 9,
                0x2f => 2 + 4 * usize::from(bytes[prefix + 1]),
                _ => 4,
            }
    }

    /// Walks scopes and devices, and checks that every package ends inside the one around it.
    fn walk(bytes: &[u8], devices: &mut Vec<String>) {
        let mut at = 0;
        while at < bytes.len() {
            let (header, is_list) = match bytes[at..] {
                [0x10, ..] => (1, true),
                [0x5b, 0x82, ..] => (2, true),
                [0x14, ..] => (1, false),
                [0x5b, 0x81, ..] => (2, false),
                [0x5b, 0x80, ..] => {
                    // A region's offset and length are one byte and a prefix each here.
                    at += 2 + name_length(&bytes[at + 2..]) + 1 + 2 + 2;
                    continue;
                }
                [0x08, ..] => {
                    at += 1 + name_length(&bytes[at + 1..]);
                    at += match bytes[at] {
                        0 | 1 => 1,
                        0x0a => 2,
                        0x0c => 5,
                        0x0d => 1 + bytes[at + 1..].iter().position(|byte| *byte == 0).unwrap() + 1,
                        0x11 | 0x12 => 1 + package_length(&bytes[at + 1..]).0,
                        other => panic!("value {other:#x}"),
                    };
                    continue;
                }
                _ => panic!("term {:#x} at {at:#x}", bytes[at]),
            };
            let (length, taken) = package_length(&bytes[at + header..]);
            let end = at + header + length;
            assert!(end <= bytes.len(), "a package of {length:#x} bytes at {at:#x} overruns its scope");
            if is_list {
                let name = at + header + taken;
                let body = name + name_length(&bytes[name..]);
                devices.push(String::from_utf8_lossy(&bytes[body - 4..body]).into_owned());
                walk(&bytes[body..end], devices);
            }
            at = end;
        }
    }

    #[test]
    fn packages_nest_exactly_and_every_device_is_found_by_walking() {
        let config = PlatformConfig { s3: true, s4: true, serial_ports: [true; 4], ..PlatformConfig::pc(4, 8 << 30) };
        let mut found = Vec::new();
        walk(&build(&config), &mut found);
        for device in ["PCI0", "ISA_", "RTC_", "KBD_", "MOU_", "COM4", "PMIO", "LNKA", "LNKS", "C003", "HPET", "PWRB"] {
            assert!(found.iter().any(|name| name == device), "{device}");
        }
    }

    #[test]
    fn only_what_is_there_is_described() {
        let full = build(&PlatformConfig::pc(2, 128 << 20));
        assert!(contains(&full, b"COM1") && contains(&full, b"C001") && !contains(&full, b"C002"));
        assert!(!contains(&full, b"COM2") && !contains(&full, b"_S3_") && contains(&full, b"_S5_"));
        let bare = PlatformConfig {
            hpet: false,
            i8042: false,
            fw_cfg: false,
            s3: true,
            serial_ports: [false, true, false, false],
            ..PlatformConfig::pc(1, 128 << 20)
        };
        let bare = build(&bare);
        assert!(!["HPET", "KBD_", "FWCF", "COM1"].iter().any(|name| contains(&bare, name.as_bytes())));
        assert!(contains(&bare, b"COM2") && contains(&bare, b"_S3_"));
    }

    #[test]
    fn a_panic_notifier_is_found_at_its_port() {
        let with = build(&PlatformConfig { pvpanic: Some(0x506), ..PlatformConfig::pc(1, 128 << 20) });
        assert!(contains(&with, b"QEMU0001\0") && contains(&with, &[0x47, 1, 0x06, 0x05, 0x06, 0x05]));
        assert!(!contains(&build(&PlatformConfig::pc(1, 128 << 20)), b"QEMU0001"));
    }
}
