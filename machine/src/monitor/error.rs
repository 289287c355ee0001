//! Why a command was not carried out.

use crate::run::Denied;

/// What the monitor says after `Error: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// No such command.
    #[error("unknown command '{0}': type 'help' for the commands")]
    UnknownCommand(String),
    /// No such topic of `info`.
    #[error("unknown topic '{0}': type 'help info' for the topics")]
    UnknownTopic(String),
    /// An argument is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// There is more than the command takes.
    #[error("unexpected argument '{0}'")]
    Unexpected(String),
    /// Something else should stand there.
    #[error("expected {what}, found '{found}'")]
    Expected {
        /// What should.
        what: &'static str,
        /// What does.
        found: String,
    },
    /// No such register.
    #[error("unknown register '{0}'")]
    UnknownRegister(String),
    /// A calculation that has no result.
    #[error("division by zero")]
    DivisionByZero,
    /// Too many parentheses.
    #[error("the expression is nested too deeply")]
    TooDeep,
    /// The memory format cannot be read or does not fit the command.
    #[error("invalid format '/{format}': {why}")]
    Format {
        /// What was typed after the slash.
        format: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing is there to be read.
    #[error("cannot access memory at address 0x{0:x}")]
    NoMemory(u64),
    /// Reading there could change the guest.
    #[error("address 0x{address:x} belongs to the registers of '{device}', and reading them could change the guest")]
    Registers {
        /// Where.
        address: u64,
        /// Whose.
        device: String,
    },
    /// A number is outside of what makes sense.
    #[error("{what} {value} is out of range")]
    Range {
        /// Of what.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// No such key.
    #[error("unknown key '{0}'")]
    UnknownKey(String),
    /// There is nothing that could be asked.
    #[error("the machine has no balloon")]
    NoBalloon,
    /// No such device.
    #[error("no device is called '{0}'")]
    UnknownDevice(String),
    /// No such item of `log`.
    #[error("unknown log item '{0}'")]
    UnknownLogItem(String),
    /// The machine will not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The host will not.
    #[error("{0}")]
    Host(String),
}
