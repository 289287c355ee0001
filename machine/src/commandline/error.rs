//! What can be wrong with a command line, said in one line that names the option and the reason.

use std::fmt;

/// An option that cannot be obeyed. Its `Display` is the whole line after `lockstep: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {reason}")]
pub struct OptionError {
    /// The option as it was typed, with its argument: `-smp 300`.
    pub option: String,
    /// Why it is refused.
    #[source]
    pub reason: Reason,
}

impl OptionError {
    /// An error found after the command line was read: `option` is the option with its argument, `why` the reason.
    pub fn refused(option: impl Into<String>, why: impl Into<String>) -> Self {
        OptionError { option: option.into(), reason: Reason::Refused(why.into()) }
    }
}

/// Why an option is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No such option in QEMU 7.2 or here.
    #[error("unknown option (-help lists them)")]
    UnknownOption,
    /// An option, driver, machine or setting that QEMU has and Lockstep does not have yet.
    #[error("{}not built in this version of Lockstep", prefix(.0))]
    NotBuilt(String),
    /// The option stands last on the line and its argument is missing.
    #[error("needs an argument")]
    MissingArgument,
    /// A suboption that this option does not take.
    #[error("unknown property '{0}'")]
    UnknownProperty(String),
    /// A suboption that must be there.
    #[error("'{0}' is missing")]
    MissingProperty(&'static str),
    /// A suboption's value that cannot be read.
    #[error("'{value}' is no value for '{key}': {wanted}")]
    BadValue {
        /// The suboption.
        key: String,
        /// What was given for it.
        value: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// An argument that cannot be read.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A name that must be one of a known set.
    #[error("unknown {kind} '{name}' ({option} help lists them)")]
    UnknownName {
        /// What the name should have named.
        kind: &'static str,
        /// The name.
        name: String,
        /// The option whose `help` argument lists the valid ones.
        option: &'static str,
    },
    /// Readable and understood, and impossible; the text says why.
    #[error("{0}")]
    Refused(String),
}

impl Reason {
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Reason::Refused(why.into())
    }

    pub(super) fn not_built(what: impl Into<String>) -> Self {
        Reason::NotBuilt(what.into())
    }

    pub(super) fn bad(key: &str, value: &str, wanted: &'static str) -> Self {
        Reason::BadValue { key: key.to_owned(), value: value.to_owned(), wanted }
    }
}

/// Puts `what is not built` before the standing phrase, or nothing when the option itself is what is missing.
fn prefix(what: &str) -> impl fmt::Display + '_ {
    fmt::from_fn(move |f| if what.is_empty() { Ok(()) } else { write!(f, "{what} is ") })
}
