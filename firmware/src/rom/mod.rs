//! x

/// x
pub const TABLE_WINDOW: usize = 0x1000;
