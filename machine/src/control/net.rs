//! Networks, of which none is built, and connections that hang, of which there are none: the machine waits for no peer.

use crate::run::Control;
use lockstep_qmp::commands::net::{NetdevAdd, NetdevDel, QueryRxFilter, RxFilterInfo, SetLink};
use lockstep_qmp::commands::yank::{QueryYank, Yank, YankInstance};
use lockstep_qmp::registry::{Answer, Registry};
use lockstep_qmp::{Error, ErrorClass};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(set_link).on(netdev_add).on(netdev_del).on(query_rx_filter).on(yank).on(query_yank);
}

pub(crate) fn set_link(_: &mut Control, command: SetLink) -> Answer<()> {
    Err(Error::device_not_found(&command.name))
}

pub(crate) fn netdev_add(_: &mut Control, command: NetdevAdd) -> Answer<()> {
    Err(Error::new(format!("network backend '{}' is not compiled into this binary", command.ty)))
}

pub(crate) fn netdev_del(_: &mut Control, command: NetdevDel) -> Answer<()> {
    Err(Error::device_not_found(&command.id))
}

fn query_rx_filter(_: &mut Control, command: QueryRxFilter) -> Answer<Vec<RxFilterInfo>> {
    match command.name {
        Some(name) => Err(Error::new(format!("invalid net client name: {name}"))),
        None => Ok(Vec::new()),
    }
}

fn yank(_: &mut Control, command: Yank) -> Answer<()> {
    match command.instances.first() {
        Some(_) => Err(Error::of(ErrorClass::DeviceNotFound, "Instance not found")),
        None => Ok(()),
    }
}

fn query_yank(_: &mut Control, _: QueryYank) -> Answer<Vec<YankInstance>> {
    Ok(Vec::new())
}
