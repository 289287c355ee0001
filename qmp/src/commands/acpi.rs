//! ACPI: what the guest reports of its slots, and the tables it is given.

use crate::schema::declare::declare;

declare! {
    family "ACPI";

    /// A table for the guest, as `-acpitable` gives it. What is absent comes from the file, or has a default.
    struct AcpiTableOptions {
        /// The signature, four bytes.
        sig: Option<String>,
        /// The revision.
        rev: Option<u8>,
        /// Who made it, six bytes.
        oem_id as "oem_id": Option<String>,
        /// Its maker's name for it, eight bytes.
        oem_table_id as "oem_table_id": Option<String>,
        /// Its maker's revision.
        oem_rev as "oem_rev": Option<u32>,
        /// The compiler's maker, four bytes.
        asl_compiler_id as "asl_compiler_id": Option<String>,
        /// The compiler's revision.
        asl_compiler_rev as "asl_compiler_rev": Option<u32>,
        /// Files with the table and its header, with colons between.
        file: Option<String>,
        /// Files with the table alone, with colons between.
        data: Option<String>,
    }

    /// What a slot is for.
    enum ACPISlotType {
        /// A memory module.
        Dimm = "DIMM",
        /// A processor.
        Cpu = "CPU",
    }

    /// What the guest last said of a slot, with the method _OST (ACPI 5.0, chapter 6.3.5).
    struct ACPIOSTInfo {
        /// The name of the device in the slot, if there is one and it has one.
        device: Option<String>,
        /// The slot's number.
        slot: String,
        /// What the slot is for.
        slot_type: ACPISlotType,
        /// What the guest reports on: 1 for a device check, 3 for an eject request and so on.
        source: i64,
        /// The outcome; 0 is success.
        status: i64,
    }

    /// Lists what the guest has said of its slots.
    command observes "query-acpi-ospm-status" QueryAcpiOspmStatus {} -> Vec<ACPIOSTInfo>;

    /// The guest has said something of a slot.
    event "ACPI_DEVICE_OST" AcpiDeviceOst {
        /// What.
        info: ACPIOSTInfo,
    };
}
