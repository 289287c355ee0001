//! From bytes to blocks of lowered instructions.

mod cache;
mod lone;
mod lower;

pub use cache::Cache;
pub(crate) use cache::{Block, Key};
pub(crate) use lone::LoneInstructions;
pub(crate) use lower::{LONGEST_INSTRUCTION, Lowered, Single, lower_block, lower_singly};

/// An array on the heap, never on the stack.
pub(crate) fn boxed<T: Copy, const N: usize>(value: T) -> Box<[T; N]> {
    match vec![value; N].into_boxed_slice().try_into() {
        Ok(array) => array,
        // The slice was made with N elements one line above.
        Err(_) => unreachable!("a slice of N elements is an array of N"),
    }
}
