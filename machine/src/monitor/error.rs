//! Why a command was not carried out, in QEMU's words: scripts look for them.

use crate::run::Denied;
use lockstep_qmp as qmp;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    /// No such command or topic of `info`.
    #[error("unknown command: '{0}'")]
    UnknownCommand(String),
    /// An argument is not there.
    #[error("{0} expected")]
    Missing(&'static str),
    /// There is more than the command takes.
    #[error("extraneous characters at the end of line")]
    Extraneous,
    /// The command has no such flag.
    #[error("unsupported option -{0}")]
    Flag(char),
    /// A text in quotes does not end.
    #[error("unterminated string")]
    Unterminated,
    /// A text in quotes has a backslash before something else than QEMU knows.
    #[error("unsupported escape code: '\\{0}'")]
    Escape(char),
    /// A number should stand there.
    #[error("unexpected end of expression")]
    NoNumber,
    /// What stands there is no number.
    #[error("invalid char '{0}' in expression")]
    NotInNumbers(char),
    /// The number is larger than 64 bits can say.
    #[error("number too large")]
    TooLarge,
    /// A parenthesis is open.
    #[error("')' expected")]
    Open,
    /// A character in quotes is none.
    #[error("character constant expected")]
    NoCharacter,
    /// No such register.
    #[error("unknown register")]
    UnknownRegister,
    /// A calculation that has no result.
    #[error("division by zero")]
    DivisionByZero,
    /// Too many parentheses.
    #[error("the expression is nested too deeply")]
    TooDeep,
    /// The memory format cannot be read.
    #[error("invalid char in format: '{0}'")]
    Format(char),
    /// A switch is neither on nor off.
    #[error("Expected 'on' or 'off'")]
    NoSwitch,
    /// A size cannot be read.
    #[error("invalid size")]
    NoSize,
    /// The machine has no such processor.
    #[error("invalid CPU index")]
    NoCpu,
    /// No such key, or a state that no button can have.
    #[error("invalid parameter: {0}")]
    InvalidParameter(String),
    /// One of a few words should stand there.
    #[error("invalid parameter value: {0}")]
    InvalidValue(String),
    /// Something else should stand there.
    #[error("expected {what}, found '{found}'")]
    Expected {
        /// What should.
        what: &'static str,
        /// What does.
        found: String,
    },
    /// Nothing is there to be read.
    #[error("No memory is mapped at address 0x{0:x}")]
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
    /// There is nothing that could be asked.
    #[error("No balloon device has been activated")]
    NoBalloon,
    /// No such device.
    #[error("no device is called '{0}'")]
    UnknownDevice(String),
    /// What a plain line says, without a word in front.
    #[error("{0}")]
    Plain(String),
    /// The machine will not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The host will not, or what QMP's clients would be told.
    #[error("{0}")]
    Host(String),
}

impl From<qmp::Error> for CommandError {
    fn from(why: qmp::Error) -> Self {
        Self::Host(why.desc)
    }
}

/// How QEMU's monitor introduces an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// The arguments could not be read: the command is named, and where its help is.
    Misused,
    /// So too, but the command is not named in front.
    Unreadable,
    /// As it is.
    Bare,
    /// After `Error: `.
    Refused,
}

impl CommandError {
    fn manner(&self) -> Manner {
        match self {
            Self::Missing(_) | Self::Extraneous | Self::Flag(_) => Manner::Misused,
            Self::Unterminated
            | Self::Escape(_)
            | Self::NoNumber
            | Self::NotInNumbers(_)
            | Self::TooLarge
            | Self::Open
            | Self::NoCharacter
            | Self::UnknownRegister
            | Self::DivisionByZero
            | Self::TooDeep
            | Self::Format(_)
            | Self::NoSwitch
            | Self::NoSize => Manner::Unreadable,
            Self::UnknownCommand(_) | Self::NoCpu | Self::InvalidParameter(_) | Self::NoMemory(_) | Self::Plain(_) => {
                Manner::Bare
            }
            Self::InvalidValue(_)
            | Self::Expected { .. }
            | Self::Registers { .. }
            | Self::Range { .. }
            | Self::NoBalloon
            | Self::UnknownDevice(_)
            | Self::Denied(_)
            | Self::Host(_) => Manner::Refused,
        }
    }

    /// What the monitor says: of a command with these names, and typed like this.
    pub(super) fn told(&self, names: &[&str], typed: &str) -> String {
        let hint = format!("Try \"help {typed}\" for more information");
        match self.manner() {
            Manner::Misused => format!("{}: {self}\n{hint}", names.join("|")),
            Manner::Unreadable => format!("{self}\n{hint}"),
            Manner::Bare => self.to_string(),
            Manner::Refused => format!("Error: {self}"),
        }
    }
}
