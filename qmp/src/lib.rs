//! QMP, the QEMU Machine Protocol: wire protocol, declarations of all commands, types and events, registry and server.
//!
//! Nothing here knows a machine. The machine brings a [`registry::Registry`] of handlers and a way to be woken, starts a
//! server, takes [`registry::Request`]s from it, and tells it what happened.
//!
//! - [`commands`] declares every command, event and type once; see [`registry`] for how they meet the machine.
//! - `schema` is what is known of the types at run time: argument checking, introspection, the manual.
//! - `wire` turns bytes into values and back; `session` is one client's conversation, without any I/O.
//! - `server` listens and connects, on a thread of its own.

// A family's declarations are taken apart one by one.
#![recursion_limit = "512"]

pub mod commands;
mod error;
pub mod event;
pub mod registry;
pub mod schema;
pub mod server;
pub mod session;
pub mod wire;

pub use error::{Error, ErrorClass};
pub use event::{Event, EventDeclaration, Limit, Occurrence, Timestamp};
