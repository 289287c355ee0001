//! State as JSON: a device's struct is its snapshot.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;

/// Why a saved state could not be loaded.
#[derive(Debug, Error)]
pub enum StateError {
    /// The JSON does not describe this struct.
    #[error("state of {what}: {why}")]
    Malformed {
        /// Which part.
        what: String,
        /// What was wrong with it.
        why: String,
    },
    /// The snapshot has no such part, or one too many.
    #[error("state of {what} is missing from the snapshot")]
    Missing {
        /// Which part.
        what: String,
    },
}

/// What can be saved and loaded; every serde struct can.
pub trait State {
    /// The state as JSON.
    fn save(&self) -> Result<Value, StateError>;
    /// Replaces the state by what `save` gave.
    fn load(&mut self, from: &Value) -> Result<(), StateError>;
}

impl<T: Serialize + DeserializeOwned> State for T {
    fn save(&self) -> Result<Value, StateError> {
        serde_json::to_value(self).map_err(|e| malformed::<T>(&e))
    }

    fn load(&mut self, from: &Value) -> Result<(), StateError> {
        *self = T::deserialize(from).map_err(|e| malformed::<T>(&e))?;
        Ok(())
    }
}

fn malformed<T>(why: &serde_json::Error) -> StateError {
    StateError::Malformed { what: std::any::type_name::<T>().to_owned(), why: why.to_string() }
}
