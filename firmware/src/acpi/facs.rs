//! The FACS, where firmware and operating system leave each other word (ACPI 6.5, section 5.2.10).

/// Offset of the firmware waking vector: the physical address at which the operating system goes on after a sleep; 0: nowhere.
pub const WAKING_VECTOR: u64 = 12;

/// How real mode enters a waking vector: offset and segment (ACPI 6.5, table 5.12).
#[must_use]
pub const fn real_mode_address(vector: u32) -> (u16, u16) {
    ((vector & 0xf) as u16, (vector >> 4) as u16)
}
