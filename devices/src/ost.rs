//! What a guest reports of a slot by ACPI's method _OST (ACPI 6.5, section 6.3.5).

/// The operator wants the device back.
const EJECTION_REQUEST: u32 = 0x03;
/// The guest lets go of the device by itself.
const OSPM_EJECTION: u32 = 0x103;
const SUCCESS: u32 = 0;
const IN_PROGRESS: u32 = 0x84;

/// Whether a report says that the guest does not let go of the device. Only the low byte of a status is defined.
pub fn refuses(event: u32, status: u32) -> bool {
    [EJECTION_REQUEST, OSPM_EJECTION].contains(&event) && ![SUCCESS, IN_PROGRESS].contains(&(status & 0xff))
}
