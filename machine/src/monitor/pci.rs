//! `info pci`: the functions as the guest has set them up.

use super::expression::Arguments;
use super::{Answer, Desk};
use crate::pci_buses;
use crate::run::Control;
use lockstep_qmp::commands::pci::{PciDeviceInfo, PciMemoryRegion};
use std::fmt::Write;

/// Digits of an address, with 0x before them.
const IO_DIGITS: usize = 6;
const MEMORY_DIGITS: usize = 10;

pub(super) fn show(control: &mut Control, _: &mut Desk, arguments: &mut Arguments<'_>) -> Answer {
    arguments.finish()?;
    let mut text = String::new();
    for bus in pci_buses::read(control) {
        bus.devices.iter().for_each(|function| show_function(&mut text, function));
    }
    Ok(text)
}

fn show_function(text: &mut String, function: &PciDeviceInfo) {
    let PciDeviceInfo { bus, slot, function: number, class_info, id, .. } = function;
    let _ = writeln!(text, "  Bus {bus:2}, device {slot:3}, function {number}:");
    let class = class_info.desc.clone().unwrap_or_else(|| format!("Class {:04x}", class_info.class));
    let _ = writeln!(text, "    {class}: PCI device {:04x}:{:04x}", id.vendor, id.device);
    if let (Some(vendor), Some(device)) = (id.subsystem_vendor, id.subsystem) {
        let _ = writeln!(text, "      PCI subsystem {vendor:04x}:{device:04x}");
    }
    if let (Some(irq), Some(pin @ 1..=4)) = (function.irq, function.irq_pin) {
        let _ = writeln!(text, "      IRQ {irq}, pin {}", char::from(b'A' + (pin as u8 - 1)));
    }
    if let Some(bridge) = &function.pci_bridge {
        let numbers = &bridge.bus;
        let _ = writeln!(text, "      BUS {}.", numbers.number);
        let _ = writeln!(text, "      secondary bus {}.", numbers.secondary);
        let _ = writeln!(text, "      subordinate bus {}.", numbers.subordinate);
        let ranges = [
            ("IO", IO_DIGITS, &numbers.io_range),
            ("memory", MEMORY_DIGITS, &numbers.memory_range),
            ("prefetchable memory", MEMORY_DIGITS, &numbers.prefetchable_range),
        ];
        for (name, width, range) in ranges {
            let _ = writeln!(text, "      {name} range [{:#0width$x}, {:#0width$x}]", range.base, range.limit);
        }
    }
    function.regions.iter().for_each(|region| show_region(text, region));
    let _ = writeln!(text, "      id \"{}\"", function.qdev_id);
    for behind in function.pci_bridge.iter().flat_map(|bridge| bridge.devices.iter().flatten()) {
        show_function(text, behind);
    }
}

/// As in QEMU, what the guest has left unmapped is at the address of all ones.
fn show_region(text: &mut String, region: &PciMemoryRegion) {
    let PciMemoryRegion { bar, address, size, .. } = region;
    let (kind, width) = match (region.mem_type_64, region.prefetch) {
        (None, _) => ("I/O".to_owned(), IO_DIGITS),
        (Some(wide), prefetch) => {
            let bits = if wide { 64 } else { 32 };
            (format!("{bits} bit{} memory", if prefetch == Some(true) { " prefetchable" } else { "" }), MEMORY_DIGITS)
        }
    };
    let last = address.wrapping_add(*size).wrapping_sub(1);
    let _ = writeln!(text, "      BAR{bar}: {kind} at {address:#0width$x} [{last:#0width$x}].");
}
