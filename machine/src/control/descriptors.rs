//! File descriptors that clients pass in: named ones for one client's later commands, sets for all, which
//! [`host_file`] keeps.

use crate::host_file::{self, Member};
use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::descriptors::{
    AddClient, AddFd, AddfdInfo, Closefd, FdsetFdInfo, FdsetInfo, Getfd, QueryFdsets, RemoveFd,
};
use lockstep_qmp::registry::{Answer, Caller, Registry, SessionId};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// What clients have passed in and named.
#[derive(Debug, Default)]
pub struct Descriptors {
    /// By client and name; `None` is the human monitor.
    named: BTreeMap<(Option<SessionId>, String), OwnedFd>,
}

impl Descriptors {
    /// Takes a descriptor that a client has named: it is the caller's to close.
    pub fn take(&mut self, session: Option<SessionId>, name: &str) -> Option<OwnedFd> {
        self.named.remove(&(session, name.to_owned()))
    }
}

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on_from(getfd).on_from(closefd).on_from(add_client).on_from(add_fd).on(remove_fd).on(query_fdsets);
}

pub(crate) fn getfd(control: &mut Control, caller: &mut Caller, command: Getfd) -> Answer<()> {
    let descriptor = caller.take_descriptor()?;
    if command.fdname.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(Error::expects("fdname", "a name not starting with a digit"));
    }
    control.descriptors.named.insert((caller.session, command.fdname), descriptor);
    Ok(())
}

pub(crate) fn closefd(control: &mut Control, caller: &mut Caller, command: Closefd) -> Answer<()> {
    let found = control.descriptors.take(caller.session, &command.fdname);
    found.map(drop).ok_or_else(|| Error::new(format!("File descriptor named '{}' not found", command.fdname)))
}

/// A client that was accepted elsewhere, for the server of a character device. It is gone even if it is not taken.
fn add_client(control: &mut Control, caller: &mut Caller, command: AddClient) -> Answer<()> {
    let client = control.descriptors.take(caller.session, &command.fdname);
    let client = client.ok_or_else(|| Error::new(format!("File descriptor named '{}' not found", command.fdname)))?;
    let chardev = match command.protocol.as_str() {
        protocol @ ("vnc" | "spice") => return Err(Error::device_not_active(protocol)),
        protocol => control.chardevs.id(protocol).filter(|_| !protocol.is_empty()),
    };
    let chardev = chardev.ok_or_else(|| Error::new(format!("protocol '{}' is invalid", command.protocol)))?;
    let taken = control.chardevs.add_client(chardev, client);
    taken.then_some(()).ok_or_else(|| Error::new("Could not add client"))
}

fn add_fd(_: &mut Control, caller: &mut Caller, command: AddFd) -> Answer<AddfdInfo> {
    let descriptor = caller.take_descriptor()?;
    if command.fdset_id.is_some_and(|id| id < 0) {
        return Err(Error::expects("fdset-id", "a non-negative value"));
    }
    let (fdset_id, fd) = host_file::sets().add(command.fdset_id, descriptor, command.opaque);
    Ok(AddfdInfo { fdset_id, fd })
}

fn remove_fd(_: &mut Control, command: RemoveFd) -> Answer<()> {
    let RemoveFd { fdset_id, fd } = command;
    let which = || fd.map_or_else(|| format!("fdset-id:{fdset_id}"), |fd| format!("fdset-id:{fdset_id}, fd:{fd}"));
    let removed = host_file::sets().remove(fdset_id, fd);
    removed.then_some(()).ok_or_else(|| Error::new(format!("File descriptor named '{}' not found", which())))
}

fn query_fdsets(_: &mut Control, _: QueryFdsets) -> Answer<Vec<FdsetInfo>> {
    let info = |member: &Member| FdsetFdInfo { fd: member.number(), opaque: member.opaque.clone() };
    let sets = host_file::sets();
    Ok(sets.iter().map(|(id, members)| FdsetInfo { fdset_id: id, fds: members.iter().map(info).collect() }).collect())
}
