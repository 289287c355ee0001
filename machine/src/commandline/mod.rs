//! The command line: QEMU's, read into a plain [`Config`].
//!
//! [`parse`] looks at nothing but its arguments: it opens no file and asks the host nothing, so what it returns can be
//! stored with a recording and mean the same thing when the recording is replayed.

mod acpitable;
mod board;
mod characters;
mod clocks;
mod config;
mod config_file;
mod draft;
mod drives;
mod error;
mod firmware_config;
mod fw_cfg;
mod hmat;
mod host;
mod introspection;
mod nodes;
mod numa;
mod peripherals;
mod processors;
mod smbios;
mod startup;
mod storage_config;
mod suboptions;
mod table;
mod throttling;
mod unbuilt;
mod values;
mod vocabulary;

#[cfg(test)]
mod tests;

pub(crate) use characters::{
    DebuggerDevice, USUAL_DEBUGGER_DEVICE, USUAL_RING, chardev_config, debugger_device, loopback,
};
pub use config::*;
pub use config_file::expand;
pub(crate) use draft::DEFAULT_CARD;
pub(crate) use drives::{SpareDrive, THROTTLE_GROUP, spare_drive};
pub use error::{OptionError, Reason};
pub use firmware_config::*;
pub use hmat::{LocalityConfig, SideCacheConfig, base as hmat_base};
pub(crate) use host::{LOG_ITEMS, is_log_item};
pub use introspection::{OptionInfo, ParameterInfo, ParameterKind, options};
pub(crate) use nodes::from_json as node_from_json;
pub use numa::*;
pub(crate) use peripherals::{cpu_model, is_place};
pub(crate) use processors::MOST_CPUS;
pub use startup::Image;
pub use storage_config::*;
pub use suboptions::Suboptions;
pub use values::number;
pub(crate) use values::size;
pub use vocabulary::Vocabulary;

use draft::{Draft, Flow};

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// Run this machine.
    Run(Box<Config>),
    /// Print this text and exit successfully.
    Print(String),
}

/// Reads the arguments after the program's name, as [`expand`] leaves them. Options begin with one dash or two; the first error
/// ends it.
pub fn parse(argv: &[String], vocabulary: &Vocabulary) -> Result<Invocation, OptionError> {
    let mut draft = Draft::new(argv.to_vec(), vocabulary);
    let mut rest = argv.iter();
    while let Some(typed) = rest.next() {
        draft.current = printable(typed);
        let Some(name) = typed.strip_prefix("--").or_else(|| typed.strip_prefix('-')) else {
            drives::hda(&mut draft, typed).map_err(|reason| draft.blame(reason))?;
            continue;
        };
        let Some(spec) = table::find(name) else {
            let known = unbuilt::UNBUILT.contains(&name);
            return Err(draft.blame(if known { Reason::not_built("") } else { Reason::UnknownOption }));
        };
        let argument = match (spec.argument, rest.as_slice().first()) {
            ("", _) => "",
            (_, None) => return Err(draft.blame(Reason::MissingArgument)),
            (_, Some(argument)) => {
                rest.next();
                draft.current = printable(&format!("{typed} {argument}"));
                argument.as_str()
            }
        };
        match (spec.handler)(&mut draft, argument) {
            Ok(Flow::Next) => {}
            Ok(Flow::Print(text)) => return Ok(Invocation::Print(text)),
            Err(reason) => return Err(draft.blame(reason)),
        }
    }
    draft.finish().map(|config| Invocation::Run(Box::new(config)))
}

/// Keeps messages on one line, whatever was typed.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
