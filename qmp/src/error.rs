//! The errors that clients see.

use serde::Serialize;
use serde_json::Value;

/// An error's class: what a client may tell apart without reading English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ErrorClass {
    /// Everything that no other class is for.
    GenericError,
    /// There is no such command, or not now.
    CommandNotFound,
    /// The device is there, but out of action.
    DeviceNotActive,
    /// There is no such device.
    DeviceNotFound,
    /// It would need KVM to be able to do something that it is not.
    KVMMissingCap,
}

/// Why a command was not carried out: what an error reply says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{desc}")]
pub struct Error {
    /// The class.
    pub class: ErrorClass,
    /// One sentence for humans, without a final stop.
    pub desc: String,
}

impl Error {
    /// A [`ErrorClass::GenericError`].
    pub fn new(desc: impl Into<String>) -> Self {
        Self::of(ErrorClass::GenericError, desc)
    }

    /// An error of any class.
    pub fn of(class: ErrorClass, desc: impl Into<String>) -> Self {
        Self { class, desc: desc.into() }
    }

    /// A name that no command has.
    pub fn command_not_found(name: &str) -> Self {
        Self::of(ErrorClass::CommandNotFound, format!("The command {name} has not been found"))
    }

    /// A device that does not exist.
    pub fn device_not_found(id: &str) -> Self {
        Self::of(ErrorClass::DeviceNotFound, format!("Device '{id}' not found"))
    }

    /// A kind of device that the machine does not have, or that is not in use; "No balloon device has been activated".
    pub fn device_not_active(kind: &str) -> Self {
        Self::of(ErrorClass::DeviceNotActive, format!("No {kind} device has been activated"))
    }

    /// An argument that ought to be there.
    pub fn missing(parameter: &str) -> Self {
        Self::new(format!("Parameter '{parameter}' is missing"))
    }

    /// An argument that nobody asked for.
    pub fn unexpected(parameter: &str) -> Self {
        Self::new(format!("Parameter '{parameter}' is unexpected"))
    }

    /// An argument of another JSON type.
    pub fn mistyped(parameter: &str, expected: &str) -> Self {
        Self::new(format!("Invalid parameter type for '{parameter}', expected: {expected}"))
    }

    /// An argument out of its range, or otherwise not what it has to be: "Parameter 'id' expects an identifier".
    pub fn expects(parameter: &str, expected: &str) -> Self {
        Self::new(format!("Parameter '{parameter}' expects {expected}"))
    }

    /// An argument whose value is none of those there are.
    pub fn not_accepted(parameter: &str, value: &str) -> Self {
        Self::new(format!("Parameter '{parameter}' does not accept value '{value}'"))
    }

    /// A command that carries file descriptors came without.
    pub fn no_descriptor() -> Self {
        Self::new("No file descriptor supplied via SCM_RIGHTS")
    }

    /// What is in a reply's `error`.
    pub fn to_value(&self) -> Value {
        serde_json::json!({ "class": self.class, "desc": self.desc })
    }
}
