//! `-fw_cfg`: the user's own files for firmware and guest.

use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::firmware_config::{Content, FwCfgConfig};
use super::suboptions::Suboptions;
use lockstep_devices::fw_cfg::NAME_MAX;

pub(super) fn fw_cfg(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, Some("name"));
    let mut given = |key: &str| options.text(key).filter(|value| !value.is_empty());
    let (name, file, text, generator) = (given("name"), given("file"), given("string"), given("gen_id"));
    options.finish()?;
    if generator.is_some() {
        return Err(Reason::not_built("gen_id"));
    }
    let content = match (file, text) {
        (Some(file), None) => Content::File(file.into()),
        (None, Some(text)) => Content::Text(text),
        _ => return Err(Reason::refused("a name and either file or string are needed")),
    };
    let name = name.ok_or_else(|| Reason::refused("a name and either file or string are needed"))?;
    if name.len() > NAME_MAX {
        return Err(Reason::refused(format!("the name is too long (at most {NAME_MAX} bytes)")));
    }
    if draft.config.firmware.fw_cfg.iter().any(|other| other.name == name) {
        return Err(Reason::refused(format!("there is already a fw_cfg file '{name}'")));
    }
    let origin = draft.current.clone();
    draft.config.firmware.fw_cfg.push(FwCfgConfig { origin, name, content });
    Ok(Flow::Next)
}
