//! How the general registers are saved: the sixteen that exist, not the slots that the interpreter keeps beside them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const GENERAL: usize = 16;

pub(super) fn serialize<S: Serializer>(gpr: &[u64; 32], to: S) -> Result<S::Ok, S::Error> {
    gpr[..GENERAL].serialize(to)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u64; 32], D::Error> {
    let saved = <[u64; GENERAL]>::deserialize(from)?;
    let mut gpr = [0; 32];
    gpr[..GENERAL].copy_from_slice(&saved);
    Ok(gpr)
}
