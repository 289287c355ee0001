//! What the guest says of its slots by ACPI's method _OST.

use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::acpi::{ACPIOSTInfo, QueryAcpiOspmStatus};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_acpi_ospm_status);
}

/// Only slots for memory and processors have the method, and the board has none of those: PCI's answer by being ejected.
fn query_acpi_ospm_status(control: &mut Control, _: QueryAcpiOspmStatus) -> Answer<Vec<ACPIOSTInfo>> {
    if control.config.machine.acpi {
        Ok(Vec::new())
    } else {
        Err(Error::new("command is not supported, missing ACPI device"))
    }
}
