//! From bytes to blocks of lowered instructions.

mod cache;
mod lower;

pub use cache::Cache;
pub(crate) use cache::{Block, Key};
pub(crate) use lower::{LONGEST_INSTRUCTION, Lowered, lower_block};
