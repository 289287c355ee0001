//! Addresses: segmentation, paging, the soft TLB, and the loads and stores that instructions use.

mod access;
mod fetch;
mod mappings;
mod peek;
mod quick;
mod segmented;
#[cfg(test)]
mod tests;
mod tlb;
mod walk;

pub use access::Int;
pub(crate) use fetch::Source;
pub use mappings::{Mapping, PageBits};
pub use segmented::Access;
pub use tlb::Tlb;
pub(crate) use tlb::{Bank, layout};
