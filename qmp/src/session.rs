//! One client's conversation.

use crate::commands::control::{QmpCapabilities, QueryCommands, QueryEvents, QueryQmpSchema};
use crate::registry::{Command, Declaration};

/// The commands that the server itself carries out.
pub(crate) static OWN_COMMANDS: [&Declaration; 4] =
    [QmpCapabilities::DECLARATION, QueryCommands::DECLARATION, QueryEvents::DECLARATION, QueryQmpSchema::DECLARATION];
