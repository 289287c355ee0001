//! PCI as the guest has set it up.

use crate::pci_buses;
use crate::run::Control;
use lockstep_qmp::commands::pci::{PciInfo, QueryPci};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_pci);
}

fn query_pci(control: &mut Control, _: QueryPci) -> Answer<Vec<PciInfo>> {
    Ok(pci_buses::read(control))
}
