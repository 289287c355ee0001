//! PCI as the guest has set it up.

use super::Asked;
use lockstep_fabric::{Cpu, Space, Width};
use serde_json::{Value, json};

/// Writes to configuration space as a guest does, by ports CF8h and CFCh.
fn configure(asked: &mut Asked, bus: u32, slot: u32, offset: u32, value: u32) {
    let address = 1 << 31 | bus << 16 | slot << 11 | offset;
    let machine = &mut asked.control.board.machine;
    for (port, value) in [(0xcf8, address), (0xcfc, value)] {
        machine.bus.write(Space::Io, port, Width::Dword, value.into(), Cpu(0)).expect("a claimed port");
    }
}

fn at(devices: &Value, slot: i64, function: i64) -> Value {
    let devices = devices.as_array().expect("a list").iter();
    let found = devices.clone().find(|device| device["slot"] == slot && device["function"] == function);
    found.expect("a function there").clone()
}

#[test]
fn functions_regions_and_what_is_behind_a_bridge_are_told_as_they_are_set_up() {
    let mut asked = Asked::new(
        "qmp-pci",
        "-device pci-bridge,id=bridge,chassis_nr=1,addr=5 -device edu,id=behind,bus=bridge,addr=2 -device edu,addr=6",
    );
    let buses = asked.ask("query-pci", json!({})).expect("PCI");
    let root = &buses[0]["devices"];
    let host = at(root, 0, 0);
    assert_eq!((&host["class_info"]["desc"], &host["id"]["vendor"]), (&json!("Host bridge"), &json!(0x8086)));
    let edu = at(root, 6, 0);
    let region = json!([{ "bar": 0, "type": "memory", "address": -1, "size": 1 << 20, "prefetch": false,
                          "mem_type_64": false }]);
    assert_eq!(edu["regions"], region, "nobody has placed it");
    let bridge = &at(root, 5, 0)["pci_bridge"];
    assert_eq!(bridge.get("devices"), None, "nobody reaches what is behind it");

    configure(&mut asked, 0, 6, 0x10, 0xfe00_0000);
    configure(&mut asked, 0, 6, 0x04, 2);
    configure(&mut asked, 0, 5, 0x18, 0x0001_0100);
    configure(&mut asked, 0, 5, 0x1c, 0xd0c0);
    configure(&mut asked, 0, 5, 0x20, 0xfd10_fd00);
    let buses = asked.ask("query-pci", json!({})).expect("PCI");
    let root = &buses[0]["devices"];
    assert_eq!(at(root, 6, 0)["regions"][0]["address"], 0xfe00_0000_u32);
    let bridge = at(root, 5, 0);
    assert_eq!((&bridge["qdev_id"], &bridge["id"].get("subsystem")), (&json!("bridge"), &None));
    let bus = &bridge["pci_bridge"]["bus"];
    assert_eq!((&bus["number"], &bus["secondary"], &bus["subordinate"]), (&json!(0), &json!(1), &json!(1)));
    assert_eq!(bus["io_range"], json!({ "base": 0xc000, "limit": 0xdfff }));
    assert_eq!(bus["memory_range"], json!({ "base": 0xfd00_0000_u32, "limit": 0xfd1f_ffff_u32 }));
    let behind = at(&bridge["pci_bridge"]["devices"], 2, 0);
    assert_eq!((&behind["bus"], &behind["qdev_id"], &behind["irq_pin"]), (&json!(1), &json!("behind"), &json!(1)));
}
