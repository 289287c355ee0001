//! What the user hands to firmware and, in its tables, to the guest, as plain data.

use lockstep_firmware::acpi::user_table::HeaderFields;
use lockstep_firmware::smbios::SmbiosFields;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `-fw_cfg`, `-acpitable` and `-smbios`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareConfig {
    /// `-fw_cfg`, in order.
    pub fw_cfg: Vec<FwCfgConfig>,
    /// `-acpitable`, in order.
    pub acpi_tables: Vec<AcpiTableConfig>,
    /// `-smbios`.
    pub smbios: SmbiosOptions,
}

/// One `-fw_cfg`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfgConfig {
    /// The option, for messages.
    pub origin: String,
    /// The file's name in fw_cfg.
    pub name: String,
    /// What it holds.
    pub content: Content,
}

/// Where bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// The command line, without a final zero.
    Text(String),
    /// A file.
    File(PathBuf),
}

/// One `-acpitable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcpiTableConfig {
    /// The option, for messages.
    pub origin: String,
    /// The files whose contents, in a row, are the table.
    pub files: Vec<PathBuf>,
    /// The files begin with a header (`file=`), or with what follows it (`data=`).
    pub has_header: bool,
    /// What the header is to say.
    pub header: HeaderFields,
}

/// All `-smbios`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmbiosOptions {
    /// `file=`: each file and its option.
    pub files: Vec<(String, PathBuf)>,
    /// Types for which fields were given, and the options.
    pub typed: Vec<(u8, String)>,
    /// The fields.
    pub fields: SmbiosFields,
    /// `type=11`: the strings.
    pub oem_strings: Vec<(String, Content)>,
}
