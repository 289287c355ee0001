//! `-smbios`: whole structures, or single fields of the machine's own.

use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::firmware_config::Content;
use super::suboptions::Suboptions;
use super::values;
use lockstep_firmware::smbios::{FirmwareFields, PortFields};

pub(super) fn smbios(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, None);
    let origin = draft.current.clone();
    if let Some(file) = options.text("file") {
        options.finish()?;
        draft.config.firmware.smbios.files.push((origin, file.into()));
        return Ok(Flow::Next);
    }
    let kind = options.number("type")?.ok_or_else(|| Reason::refused("needs type= or file="))?;
    let kind = u8::try_from(kind).ok().filter(|kind| *kind < 128);
    let kind = kind.ok_or_else(|| Reason::refused("types are numbers from 0 to 127"))?;
    match kind {
        0 => firmware(draft, &mut options)?,
        1 => system(draft, &mut options)?,
        2 => board(draft, &mut options),
        3 => chassis(draft, &mut options),
        4 => processor(draft, &mut options)?,
        8 => port(draft, &mut options)?,
        11 => strings(draft, &mut options),
        17 => memory(draft, &mut options)?,
        41 => return Err(Reason::not_built("type 41")),
        _ => return Err(Reason::refused(format!("structures of type {kind} have no fields to set: use file="))),
    }
    options.finish()?;
    draft.config.firmware.smbios.typed.push((kind, origin));
    Ok(Flow::Next)
}

/// Sets each field that is mentioned; the others stay as an earlier option left them.
fn set<const N: usize>(options: &mut Suboptions, fields: [(&str, &mut Option<String>); N]) {
    for (key, field) in fields {
        if let Some(text) = options.text(key) {
            *field = Some(text);
        }
    }
}

fn firmware(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let fields = draft.config.firmware.smbios.fields.firmware.get_or_insert_with(FirmwareFields::default);
    let texts = [("vendor", &mut fields.vendor), ("version", &mut fields.version), ("date", &mut fields.date)];
    set(options, texts);
    if let Some(text) = options.text("release") {
        let numbers = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let numbers = numbers.ok_or_else(|| Reason::bad("release", &text, "use two numbers up to 255, like 2.7"))?;
        fields.release = Some(numbers);
    }
    fields.uefi = options.switch("uefi")?.unwrap_or(fields.uefi);
    Ok(())
}

fn system(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let fields = &mut draft.config.firmware.smbios.fields.system;
    set(
        options,
        [
            ("manufacturer", &mut fields.manufacturer),
            ("product", &mut fields.product),
            ("version", &mut fields.version),
            ("serial", &mut fields.serial),
            ("sku", &mut fields.sku),
            ("family", &mut fields.family),
        ],
    );
    if let Some(text) = options.text("uuid") {
        let uuid = values::uuid(&text);
        // As with -uuid, which is the same: the later of the two counts.
        draft.config.uuid = Some(uuid.ok_or_else(|| Reason::bad("uuid", &text, values::UUID_SYNTAX))?);
    }
    Ok(())
}

fn board(draft: &mut Draft<'_>, options: &mut Suboptions) {
    let fields = &mut draft.config.firmware.smbios.fields.board;
    set(
        options,
        [
            ("manufacturer", &mut fields.manufacturer),
            ("product", &mut fields.product),
            ("version", &mut fields.version),
            ("serial", &mut fields.serial),
            ("asset", &mut fields.asset),
            ("location", &mut fields.location),
        ],
    );
}

fn chassis(draft: &mut Draft<'_>, options: &mut Suboptions) {
    let fields = &mut draft.config.firmware.smbios.fields.chassis;
    set(
        options,
        [
            ("manufacturer", &mut fields.manufacturer),
            ("version", &mut fields.version),
            ("serial", &mut fields.serial),
            ("asset", &mut fields.asset),
            ("sku", &mut fields.sku),
        ],
    );
}

fn processor(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let fields = &mut draft.config.firmware.smbios.fields.processor;
    set(
        options,
        [
            ("sock_pfx", &mut fields.socket_prefix),
            ("manufacturer", &mut fields.manufacturer),
            ("version", &mut fields.version),
            ("serial", &mut fields.serial),
            ("asset", &mut fields.asset),
            ("part", &mut fields.part),
        ],
    );
    fields.max_speed = options.small("max-speed")?.or(fields.max_speed);
    fields.current_speed = options.small("current-speed")?.or(fields.current_speed);
    fields.id = options.number("processor-id")?.or(fields.id);
    Ok(())
}

fn port(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let port = PortFields {
        internal: options.text("internal_reference").unwrap_or_default(),
        external: options.text("external_reference").unwrap_or_default(),
        connector_type: options.small("connector_type")?.unwrap_or(0),
        port_type: options.small("port_type")?.unwrap_or(0),
    };
    draft.config.firmware.smbios.fields.ports.push(port);
    Ok(())
}

fn strings(draft: &mut Draft<'_>, options: &mut Suboptions) {
    let origin = draft.current.clone();
    let strings = options.each(&["value", "path"]).into_iter().map(|(key, text)| {
        let content = if key == "path" { Content::File(text.into()) } else { Content::Text(text) };
        (origin.clone(), content)
    });
    draft.config.firmware.smbios.oem_strings.extend(strings);
}

fn memory(draft: &mut Draft<'_>, options: &mut Suboptions) -> Result<(), Reason> {
    let fields = &mut draft.config.firmware.smbios.fields.memory;
    set(
        options,
        [
            ("loc_pfx", &mut fields.locator_prefix),
            ("bank", &mut fields.bank),
            ("manufacturer", &mut fields.manufacturer),
            ("serial", &mut fields.serial),
            ("asset", &mut fields.asset),
            ("part", &mut fields.part),
        ],
    );
    fields.speed = options.small("speed")?.unwrap_or(fields.speed);
    Ok(())
}
