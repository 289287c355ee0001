//! What the guest says of its slots by ACPI's method _OST.

use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::acpi::{ACPIOSTInfo, QueryAcpiOspmStatus};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_acpi_ospm_status);
}

/// PCI's slots do not have the method: they answer by being ejected.
fn query_acpi_ospm_status(control: &mut Control, _: QueryAcpiOspmStatus) -> Answer<Vec<ACPIOSTInfo>> {
    if control.config.machine.acpi {
        Ok(control.reports())
    } else {
        Err(Error::new("command is not supported, missing ACPI device"))
    }
}
