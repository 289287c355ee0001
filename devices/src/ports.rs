//! Regions among the I/O ports.

use lockstep_fabric::{RegionSpec, Space, Width};

/// A region of byte-wide registers at `base` among the I/O ports; wider accesses arrive as bytes, lowest first.
pub const fn ports(index: u8, base: u16, len: u16) -> RegionSpec {
    RegionSpec { space: Space::Io, index, base: Some(base as u64), len: len as u64, priority: 0, widest: Width::Byte }
}
