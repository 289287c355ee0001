//! What a user can say about the structures: whole ones, and single fields (DMTF DSP0134 2.8.0, chapter 7).

use serde::{Deserialize, Serialize};

/// All that was said. A field that was not has the machine's own value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmbiosConfig {
    /// Whole structures, each with its strings. They stand in the place of the machine's own of the same type.
    pub structures: Vec<Vec<u8>>,
    /// Single fields.
    pub fields: SmbiosFields,
    /// Type 11: strings of the maker's, none of which has a zero in it.
    pub oem_strings: Vec<String>,
}

/// Single fields of the machine's own structures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmbiosFields {
    /// Type 0.
    pub firmware: Option<FirmwareFields>,
    /// Type 1.
    pub system: SystemFields,
    /// Type 2.
    pub board: BoardFields,
    /// Type 3.
    pub chassis: ChassisFields,
    /// Type 4, for all sockets.
    pub processor: ProcessorFields,
    /// Type 8: one structure each.
    pub ports: Vec<PortFields>,
    /// Type 17, for all devices.
    pub memory: MemoryFields,
}

/// Type 0, which foreign firmware otherwise makes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareFields {
    /// Vendor.
    pub vendor: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Release date.
    pub date: Option<String>,
    /// Major and minor release.
    pub release: Option<(u8, u8)>,
    /// UEFI is supported.
    pub uefi: bool,
}

/// Type 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemFields {
    /// Manufacturer.
    pub manufacturer: Option<String>,
    /// Product name.
    pub product: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// SKU number.
    pub sku: Option<String>,
    /// Family.
    pub family: Option<String>,
}

/// Type 2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardFields {
    /// Manufacturer.
    pub manufacturer: Option<String>,
    /// Product.
    pub product: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Asset tag.
    pub asset: Option<String>,
    /// Location in the chassis.
    pub location: Option<String>,
}

/// Type 3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChassisFields {
    /// Manufacturer.
    pub manufacturer: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Asset tag.
    pub asset: Option<String>,
    /// SKU number.
    pub sku: Option<String>,
}

/// Type 4.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessorFields {
    /// What socket designations begin with.
    pub socket_prefix: Option<String>,
    /// Manufacturer.
    pub manufacturer: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Asset tag.
    pub asset: Option<String>,
    /// Part number.
    pub part: Option<String>,
    /// Highest speed in MHz.
    pub max_speed: Option<u16>,
    /// Speed in MHz.
    pub current_speed: Option<u16>,
    /// Processor ID: EAX and EDX of CPUID leaf 1.
    pub id: Option<u64>,
}

/// Type 8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFields {
    /// Internal reference designator.
    pub internal: String,
    /// External reference designator.
    pub external: String,
    /// Connector type, of both.
    pub connector_type: u8,
    /// Port type.
    pub port_type: u8,
}

/// Type 17.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFields {
    /// What device locators begin with.
    pub locator_prefix: Option<String>,
    /// Bank locator.
    pub bank: Option<String>,
    /// Manufacturer.
    pub manufacturer: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Asset tag.
    pub asset: Option<String>,
    /// Part number.
    pub part: Option<String>,
    /// Speed in MT/s, 0 for unknown.
    pub speed: u16,
}

/// Why a file is no structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    /// It ends within the formatted part.
    #[error("not an SMBIOS structure: its header wants {wanted} bytes, there are {found}")]
    Short {
        /// How long the formatted part is to be.
        wanted: usize,
        /// How much there is.
        found: usize,
    },
    /// The strings do not end.
    #[error("not an SMBIOS structure: it does not end in two zero bytes")]
    Unterminated,
}

const HEADER: usize = 4;

/// The types of the structures in a row of them.
///
/// # Errors
/// When it is not a row of whole structures: whatever came behind it in the tables would be lost.
pub fn structure_types(mut bytes: &[u8]) -> Result<Vec<u8>, StructureError> {
    let mut types = Vec::new();
    loop {
        let wanted = bytes.get(1).map_or(HEADER, |length| usize::from(*length).max(HEADER));
        let short = StructureError::Short { wanted, found: bytes.len() };
        let strings = bytes.get(wanted..).ok_or(short)?;
        let end = strings.windows(2).position(|pair| pair == [0, 0]).ok_or(StructureError::Unterminated)?;
        types.extend(bytes.first());
        bytes = strings.get(end + 2..).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(types);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_structures_is_recognised_and_nothing_else() {
        assert_eq!(structure_types(&[11, 5, 0, 0, 1, b'x', 0, 0, 127, 4, 0, 0, 0, 0]), Ok(vec![11, 127]));
        assert_eq!(structure_types(&[]), Err(StructureError::Short { wanted: 4, found: 0 }));
        assert_eq!(structure_types(&[1, 27, 0, 0]), Err(StructureError::Short { wanted: 27, found: 4 }));
        assert_eq!(structure_types(&[11, 5, 0, 0, 1, b'x', 0]), Err(StructureError::Unterminated));
    }
}
