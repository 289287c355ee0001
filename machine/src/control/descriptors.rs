//! File descriptors that clients pass in: named ones for one client's later commands, sets for all.

use crate::run::Control;
use lockstep_qmp::Error;
use lockstep_qmp::commands::descriptors::{
    AddClient, AddFd, AddfdInfo, Closefd, FdsetFdInfo, FdsetInfo, Getfd, QueryFdsets, RemoveFd,
};
use lockstep_qmp::registry::{Answer, Caller, Registry, SessionId};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

/// What clients have passed in.
#[derive(Debug, Default)]
pub struct Descriptors {
    /// By client and name; `None` is the human monitor.
    named: BTreeMap<(Option<SessionId>, String), OwnedFd>,
    sets: BTreeMap<i64, Vec<Member>>,
}

#[derive(Debug)]
struct Member {
    descriptor: OwnedFd,
    opaque: Option<String>,
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

fn getfd(control: &mut Control, caller: &mut Caller, command: Getfd) -> Answer<()> {
    let descriptor = caller.take_descriptor()?;
    if command.fdname.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(Error::expects("fdname", "a name not starting with a digit"));
    }
    control.descriptors.named.insert((caller.session, command.fdname), descriptor);
    Ok(())
}

fn closefd(control: &mut Control, caller: &mut Caller, command: Closefd) -> Answer<()> {
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

fn add_fd(control: &mut Control, caller: &mut Caller, command: AddFd) -> Answer<AddfdInfo> {
    let descriptor = caller.take_descriptor()?;
    let sets = &mut control.descriptors.sets;
    let fdset_id = match command.fdset_id {
        Some(id) if id < 0 => return Err(Error::expects("fdset-id", "a non-negative value")),
        Some(id) => id,
        None => (0..).find(|id| !sets.contains_key(id)).unwrap_or_default(),
    };
    let fd = descriptor.as_raw_fd().into();
    sets.entry(fdset_id).or_default().push(Member { descriptor, opaque: command.opaque });
    Ok(AddfdInfo { fdset_id, fd })
}

fn remove_fd(control: &mut Control, command: RemoveFd) -> Answer<()> {
    let RemoveFd { fdset_id, fd } = command;
    let missing = || {
        let which = fd.map_or_else(|| format!("fdset-id:{fdset_id}"), |fd| format!("fdset-id:{fdset_id}, fd:{fd}"));
        Error::new(format!("File descriptor named '{which}' not found"))
    };
    let members = control.descriptors.sets.get_mut(&fdset_id).ok_or_else(missing)?;
    let before = members.len();
    members.retain(|member| fd.is_some_and(|fd| i64::from(member.descriptor.as_raw_fd()) != fd));
    if members.len() == before {
        return Err(missing());
    }
    if members.is_empty() {
        control.descriptors.sets.remove(&fdset_id);
    }
    Ok(())
}

fn query_fdsets(control: &mut Control, _: QueryFdsets) -> Answer<Vec<FdsetInfo>> {
    let info =
        |member: &Member| FdsetFdInfo { fd: member.descriptor.as_raw_fd().into(), opaque: member.opaque.clone() };
    let sets = control.descriptors.sets.iter();
    Ok(sets.map(|(id, members)| FdsetInfo { fdset_id: *id, fds: members.iter().map(info).collect() }).collect())
}
