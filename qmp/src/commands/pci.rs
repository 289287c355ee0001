//! PCI, as the guest has set it up.

use crate::schema::declare::declare;

declare! {
    family "PCI";

    /// A range of addresses that a bridge forwards.
    struct PciMemoryRange {
        /// The first address.
        base: i64,
        /// The last address.
        limit: i64,
    }

    /// A region of a device: what one of its base address registers maps.
    struct PciMemoryRegion {
        /// The number of the base address register; 6 is the ROM's.
        bar: i64,
        /// `io` or `memory`.
        ty as "type": String,
        /// Where it is mapped; -1 if it is not.
        address: i64,
        /// How many bytes it has.
        size: i64,
        /// It may be prefetched; for memory.
        prefetch: Option<bool>,
        /// It may lie above 4 GiB; for memory.
        mem_type_64 as "mem_type_64": Option<bool>,
    }

    /// The buses of a bridge.
    struct PciBusInfo {
        /// The bus that it is on.
        number: i64,
        /// The bus behind it.
        secondary: i64,
        /// The highest bus behind it.
        subordinate: i64,
        /// The ports that it forwards.
        io_range as "io_range": PciMemoryRange,
        /// The memory that it forwards.
        memory_range as "memory_range": PciMemoryRange,
        /// The memory that it forwards and that may be prefetched.
        prefetchable_range as "prefetchable_range": PciMemoryRange,
    }

    /// A bridge.
    struct PciBridgeInfo {
        /// Its buses.
        bus: PciBusInfo,
        /// The devices behind it.
        devices: Option<Vec<PciDeviceInfo>>,
    }

    /// What class of device it is.
    struct PciDeviceClass {
        /// The class in English.
        desc: Option<String>,
        /// The class, with its subclass.
        class: i64,
    }

    /// Which device it is.
    struct PciDeviceId {
        /// The device id.
        device: i64,
        /// The vendor id.
        vendor: i64,
        /// The subsystem id.
        subsystem: Option<i64>,
        /// The subsystem's vendor id.
        subsystem_vendor: Option<i64>,
    }

    /// A function of a device.
    struct PciDeviceInfo {
        /// The bus that it is on.
        bus: i64,
        /// Its slot there.
        slot: i64,
        /// Its number in the slot.
        function: i64,
        /// What class of device it is.
        class_info as "class_info": PciDeviceClass,
        /// Which device it is.
        id: PciDeviceId,
        /// The interrupt line that the firmware has written down for it.
        irq: Option<i64>,
        /// The interrupt pin, 1 for INTA#; 0 if it has none.
        irq_pin as "irq_pin": Option<i64>,
        /// The id of the device that it belongs to; empty if it was given none.
        qdev_id as "qdev_id": String,
        /// For a bridge, what is behind it.
        pci_bridge as "pci_bridge": Option<PciBridgeInfo>,
        /// Its regions.
        regions: Vec<PciMemoryRegion>,
    }

    /// A root bus.
    struct PciInfo {
        /// Its number.
        bus: i64,
        /// The devices on it.
        devices: Vec<PciDeviceInfo>,
    }

    /// Lists PCI's buses, with all that is on them.
    command observes "query-pci" QueryPci {} -> Vec<PciInfo>;
}
