//! Tables of the user's: a file's content completed to a table with a header and a checksum.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::layout::{Layout, checksum};

/// The header that all tables share (ACPI 6.5, section 5.2.6).
const HEADER: usize = 36;
const LENGTH_AT: usize = 4;
const REVISION_AT: usize = 8;
const CHECKSUM_AT: usize = 9;
const OEM_ID_AT: usize = 10;
const OEM_TABLE_ID_AT: usize = 16;
const OEM_REVISION_AT: usize = 24;
const CREATOR_ID_AT: usize = 28;
const CREATOR_REVISION_AT: usize = 32;
/// The longest table that QEMU takes.
const LONGEST: usize = u16::MAX as usize;

/// Fields of a header. What is not there is as the file has it, or QEMU's usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderFields {
    /// Signature; longer texts are cut, shorter ones filled with zeroes, as with all texts here.
    pub signature: Option<String>,
    /// Revision of the table's kind.
    pub revision: Option<u8>,
    /// Who made it.
    pub oem_id: Option<String>,
    /// His name for it.
    pub oem_table_id: Option<String>,
    /// His revision.
    pub oem_revision: Option<u32>,
    /// What compiled it.
    pub compiler_id: Option<String>,
    /// Version of that.
    pub compiler_revision: Option<u32>,
}

/// Why a file is no table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// Not even a header.
    #[error("an ACPI table with its header has at least {HEADER} bytes, this one has {0}")]
    Short(usize),
    /// Too long.
    #[error("an ACPI table has at most {LONGEST} bytes, this one has {0}")]
    Long(usize),
}

/// A table, and what is strange about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserTable {
    /// The table, complete.
    pub bytes: Vec<u8>,
    /// What the user should know.
    pub warning: Option<String>,
}

/// Makes a table of `content`, which begins with a header or not.
///
/// # Errors
/// When it cannot be one by its length.
pub fn complete(content: &[u8], has_header: bool, fields: &HeaderFields) -> Result<UserTable, TableError> {
    let mut bytes = if has_header { content.to_vec() } else { [&usual_header()[..], content].concat() };
    if bytes.len() < HEADER {
        return Err(TableError::Short(bytes.len()));
    }
    if bytes.len() > LONGEST {
        return Err(TableError::Long(bytes.len()));
    }
    let actual = (bytes.len() as u32).to_le_bytes();
    let mut warning = None;
    if has_header && bytes[LENGTH_AT..LENGTH_AT + 4] != actual {
        let said = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        warning = Some(format!("the ACPI table's header says that it has {said} bytes, it has {}", bytes.len()));
    }
    if !has_header && *fields == HeaderFields::default() {
        warning = Some("the ACPI table has no header, and no field of one is given".into());
    }
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(LENGTH_AT, &actual);
    put(CHECKSUM_AT, &[0]);
    let texts = [
        (0, 4, &fields.signature),
        (OEM_ID_AT, 6, &fields.oem_id),
        (OEM_TABLE_ID_AT, 8, &fields.oem_table_id),
        (CREATOR_ID_AT, 4, &fields.compiler_id),
    ];
    for (at, width, text) in texts {
        if let Some(text) = text {
            let mut field = text.as_bytes().to_vec();
            field.resize(width, 0);
            put(at, &field);
        }
    }
    if let Some(revision) = fields.revision {
        put(REVISION_AT, &[revision]);
    }
    for (at, number) in [(OEM_REVISION_AT, fields.oem_revision), (CREATOR_REVISION_AT, fields.compiler_revision)] {
        if let Some(number) = number {
            put(at, &number.to_le_bytes());
        }
    }
    let sum = checksum(&bytes);
    bytes[CHECKSUM_AT] = sum;
    Ok(UserTable { bytes, warning })
}

/// What QEMU puts before a table without a header.
fn usual_header() -> Vec<u8> {
    let mut header = Layout::default();
    header.bytes(b"QEMU").u32(0).u8(1).u8(0).bytes(b"QEMUQE").bytes(b"QEMUQEMU").u32(1).bytes(b"QEMU").u32(1);
    header.0
}

/// The maker's names of a table that licences an operating system (SLIC), which FADT and RSDT must then bear too.
pub(super) fn licence_ids(tables: &[Vec<u8>]) -> Option<([u8; 6], [u8; 8])> {
    let slic = tables.iter().find(|table| table.starts_with(b"SLIC"))?;
    Some((*slic.get(OEM_ID_AT..)?.first_chunk()?, *slic.get(OEM_TABLE_ID_AT..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    fn fields() -> HeaderFields {
        HeaderFields {
            signature: Some("TEST".into()),
            oem_id: Some("LONGNAME".into()),
            oem_table_id: Some("T".into()),
            revision: Some(7),
            oem_revision: Some(0x0102_0304),
            ..HeaderFields::default()
        }
    }

    #[test]
    fn content_gets_a_header_of_the_usual_fields_and_those_given() {
        let table = complete(b"hello", false, &fields()).unwrap();
        assert_eq!((table.bytes.len(), sum(&table.bytes), table.warning), (41, 0, None));
        assert_eq!(table.bytes[..9], *b"TEST\x29\0\0\0\x07");
        assert_eq!(table.bytes[10..36], *b"LONGNAT\0\0\0\0\0\0\0\x04\x03\x02\x01QEMU\x01\0\0\0");
        assert_eq!(table.bytes[36..], *b"hello");
    }

    #[test]
    fn a_header_that_is_there_is_kept_but_for_what_is_said_and_what_is_wrong() {
        let whole = complete(b"hello", false, &fields()).unwrap().bytes;
        assert_eq!(complete(&whole, true, &HeaderFields::default()).unwrap().bytes, whole);
        let mut longer = whole.clone();
        longer.push(1);
        let table = complete(&longer, true, &HeaderFields::default()).unwrap();
        assert_eq!((table.bytes[4], sum(&table.bytes)), (42, 0));
        let warning = table.warning.unwrap_or_default();
        assert!(warning.contains("41") && warning.contains("42"), "{warning}");
    }

    #[test]
    fn what_cannot_be_a_table_is_refused() {
        assert_eq!(complete(&[0; 35], true, &fields()), Err(TableError::Short(35)));
        assert_eq!(complete(&[0; 65_500], false, &fields()), Err(TableError::Long(65_536)));
        assert!(complete(b"x", false, &HeaderFields::default()).unwrap().warning.is_some());
    }
}
