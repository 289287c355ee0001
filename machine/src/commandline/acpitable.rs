//! `-acpitable`: the user's own ACPI tables.

use super::draft::{Draft, Flow, Handled};
use super::error::Reason;
use super::firmware_config::AcpiTableConfig;
use super::suboptions::Suboptions;
use lockstep_firmware::acpi::user_table::HeaderFields;

pub(super) fn acpitable(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, None);
    let header = HeaderFields {
        signature: options.text("sig"),
        revision: options.small("rev")?,
        oem_id: options.text("oem_id"),
        oem_table_id: options.text("oem_table_id"),
        oem_revision: options.small("oem_rev")?,
        compiler_id: options.text("asl_compiler_id"),
        compiler_revision: options.small("asl_compiler_rev")?,
    };
    let (names, has_header) = match (options.text("file"), options.text("data")) {
        (Some(names), None) => (names, true),
        (None, Some(names)) => (names, false),
        _ => return Err(Reason::refused("needs either data= or file=")),
    };
    options.finish()?;
    // QEMU's separator; a file whose name has one cannot be given.
    let files: Vec<_> = names.split(':').map(Into::into).collect();
    if names.split(':').any(str::is_empty) {
        return Err(Reason::refused("the name of a file is missing"));
    }
    let origin = draft.current.clone();
    draft.config.firmware.acpi_tables.push(AcpiTableConfig { origin, files, has_header, header });
    Ok(Flow::Next)
}
