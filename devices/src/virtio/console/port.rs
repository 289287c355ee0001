//! A port of the virtio console: one stream of bytes each way.

use crate::properties::{Chardev, configuration};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How much waits for the guest to take it.
const INBOX_LEN: usize = 64 << 10;

/// What a port is to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// A console, which is open from the start (`virtconsole`).
    Console,
    /// A stream that a program opens by its name (`virtserialport`).
    Serial,
}

configuration! {
    /// How a port is set up.
    pub struct PortConfig {
        /// Character device at the host's end.
        pub chardev: Option<Chardev> = None,
        /// The name by which the guest finds it.
        pub name: Option<String> = None,
        /// Its number; the next free one, if not given.
        pub nr: Option<u32> = None,
    }
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Port {
    pub(super) kind: PortKind,
    pub(super) name: Option<String>,
    /// Somebody listens at the host's end.
    pub(super) host_open: bool,
    /// The guest has it open.
    pub(super) guest_open: bool,
    /// What has arrived for the guest.
    pub(super) inbox: VecDeque<u8>,
}

impl Port {
    pub(super) fn new(kind: PortKind, config: &PortConfig) -> Self {
        Self::named(kind, config.name.clone(), config.chardev.is_some())
    }

    pub(super) fn named(kind: PortKind, name: Option<String>, host_open: bool) -> Self {
        Self { kind, name, host_open, guest_open: kind == PortKind::Console, inbox: VecDeque::new() }
    }

    pub(super) fn room(&self) -> usize {
        if self.guest_open { INBOX_LEN.saturating_sub(self.inbox.len()) } else { 0 }
    }

    /// Takes what there is room for.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        let room = INBOX_LEN.saturating_sub(self.inbox.len());
        self.inbox.extend(bytes.iter().take(room));
    }

    /// The next bytes for the guest, at most so many.
    pub(super) fn take(&mut self, len: u64) -> Vec<u8> {
        let len = len.min(self.inbox.len() as u64) as usize;
        self.inbox.drain(..len).collect()
    }
}
