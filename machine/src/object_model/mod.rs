//! The object model, as QMP's clients see it: types, the tree of the objects that there are, and their properties.
//!
//! Nothing here is a second copy of the machine. Types come from the catalog of devices, the table of processor models and
//! the kinds of backends; the tree is put together from the command line and the board when someone asks.

mod backends;
mod property;
mod read;
mod tree;
mod types;

pub use backends::{Backend, KINDS, Objects, Store, is_file, is_identifier};
pub use property::{Property, setting_value};
pub use read::read;
pub(crate) use tree::DISK_BEHIND;
pub use tree::{Node, Placed, Tree, Unresolved, What};
pub use types::{Type, Types, cpu_type, machine_type};
