//! The linker script that puts ACPI tables in their place, as firmware reads it from the fw_cfg file "etc/table-loader": a list of
//! 128-byte commands over other fw_cfg files. (Format: SeaBIOS, src/fw/romfile_loader.h.)

use crate::layout::{Layout, checksum};
use crate::platform::FwCfgFile;

/// Length of one command.
pub const COMMAND_SIZE: usize = 128;
const NAME_SIZE: usize = 56;

const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;
const WRITE_POINTER: u32 = 4;

/// In which part of memory a file goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Zone {
    /// Anywhere below 4 GiB.
    High = 1,
    /// In the F segment, where operating systems search.
    FSegment = 2,
}

/// One step of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read a file into memory.
    Allocate {
        /// The file.
        file: &'static str,
        /// Alignment in bytes, a power of two.
        align: u32,
        /// Where.
        zone: Zone,
    },
    /// Add the address of one file to a pointer in another, which holds an offset.
    AddPointer {
        /// The file with the pointer.
        file: &'static str,
        /// The file that is pointed to.
        target: &'static str,
        /// Where the pointer is.
        offset: u32,
        /// Its length: 4 or 8 bytes.
        size: u8,
    },
    /// Fill in a checksum over a range.
    AddChecksum {
        /// The file.
        file: &'static str,
        /// Where the checksum is.
        offset: u32,
        /// Where the range begins.
        start: u32,
        /// How long it is.
        length: u32,
    },
    /// Write the address of one file back to another one of fw_cfg.
    WritePointer {
        /// The file that is written to.
        file: &'static str,
        /// The file that is pointed to.
        target: &'static str,
        /// Where the pointer is.
        offset: u32,
        /// What in the target it points to.
        target_offset: u32,
        /// Its length: 4 or 8 bytes.
        size: u8,
    },
}

impl Command {
    fn to_bytes(&self) -> Vec<u8> {
        let name = |text: &str| {
            let mut field = text.as_bytes().to_vec();
            field.resize(NAME_SIZE, 0);
            field
        };
        let mut command = Layout::default();
        match self {
            Self::Allocate { file, align, zone } => {
                command.u32(ALLOCATE).bytes(&name(file)).u32(*align).u8(*zone as u8);
            }
            Self::AddPointer { file, target, offset, size } => {
                command.u32(ADD_POINTER).bytes(&name(file)).bytes(&name(target)).u32(*offset).u8(*size);
            }
            Self::AddChecksum { file, offset, start, length } => {
                command.u32(ADD_CHECKSUM).bytes(&name(file)).u32(*offset).u32(*start).u32(*length);
            }
            Self::WritePointer { file, target, offset, target_offset, size } => {
                command.u32(WRITE_POINTER).bytes(&name(file)).bytes(&name(target));
                command.u32(*offset).u32(*target_offset).u8(*size);
            }
        }
        command.0.resize(COMMAND_SIZE, 0);
        command.0
    }
}

/// Commands in the order they are to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkerScript {
    /// The steps.
    pub commands: Vec<Command>,
}

/// The next free address of each zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zones {
    /// For [`Zone::High`].
    pub high: u64,
    /// For [`Zone::FSegment`].
    pub f_segment: u64,
}

impl Zones {
    fn take(&mut self, zone: Zone, size: u64, align: u64) -> u64 {
        let next = match zone {
            Zone::High => &mut self.high,
            Zone::FSegment => &mut self.f_segment,
        };
        let start = next.next_multiple_of(align.max(1));
        *next = start + size;
        start
    }
}

/// A file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedFile {
    /// Its name.
    pub name: &'static str,
    /// Guest physical address.
    pub address: u64,
    /// Its content, pointers and checksums filled in.
    pub bytes: Vec<u8>,
}

impl LinkerScript {
    /// The content of "etc/table-loader".
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.commands.iter().flat_map(Command::to_bytes).collect()
    }

    /// Does what firmware would do: places `files` from the free addresses on, and fills in pointers and checksums. A command that
    /// names something unknown does nothing, as in firmware.
    #[must_use]
    pub fn execute(&self, files: &[FwCfgFile], zones: &mut Zones) -> Vec<PlacedFile> {
        let mut placed: Vec<PlacedFile> = Vec::new();
        for command in &self.commands {
            // A step that finds nothing to work on yields None.
            let _done: Option<()> = match command {
                Command::Allocate { file, align, zone } => files.iter().find(|f| f.name == *file).map(|found| {
                    let address = zones.take(*zone, found.bytes.len() as u64, u64::from(*align));
                    placed.push(PlacedFile { name: file, address, bytes: found.bytes.clone() });
                }),
                Command::AddPointer { file, target, offset, size } => {
                    let base = placed.iter().find(|f| f.name == *target).map(|f| f.address);
                    base.and_then(|base| add_pointer(field(&mut placed, file, *offset, u32::from(*size))?, base))
                }
                Command::AddChecksum { file, offset, start, length } => {
                    let sum = field(&mut placed, file, *start, *length).map(|range| checksum(range));
                    sum.and_then(|sum| {
                        field(&mut placed, file, *offset, 1)?.first_mut().map(|byte| *byte = byte.wrapping_add(sum))
                    })
                }
                // That file is not in memory: whoever has the machine writes it.
                Command::WritePointer { .. } => None,
            };
        }
        placed
    }
}

/// A part of a placed file.
fn field<'a>(placed: &'a mut [PlacedFile], file: &str, offset: u32, length: u32) -> Option<&'a mut [u8]> {
    let file = placed.iter_mut().find(|placed| placed.name == file)?;
    let start = offset as usize;
    file.bytes.get_mut(start..start.checked_add(length as usize)?)
}

/// Adds to a little-endian number of any length up to eight bytes.
fn add_pointer(pointer: &mut [u8], base: u64) -> Option<()> {
    let mut wide = [0; 8];
    wide.get_mut(..pointer.len())?.copy_from_slice(pointer);
    let sum = u64::from_le_bytes(wide).wrapping_add(base).to_le_bytes();
    pointer.copy_from_slice(sum.get(..pointer.len())?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> (Vec<FwCfgFile>, LinkerScript) {
        let files = vec![FwCfgFile::new("a", vec![8, 0, 0, 0, 0, 9]), FwCfgFile::new("b", vec![0; 100])];
        let commands = vec![
            Command::Allocate { file: "b", align: 64, zone: Zone::High },
            Command::Allocate { file: "a", align: 16, zone: Zone::FSegment },
            Command::AddPointer { file: "a", target: "b", offset: 0, size: 4 },
            Command::AddChecksum { file: "a", offset: 4, start: 0, length: 6 },
            Command::AddPointer { file: "a", target: "nothing", offset: 0, size: 4 },
            Command::AddPointer { file: "a", target: "b", offset: 4, size: 8 },
        ];
        (files, LinkerScript { commands })
    }

    #[test]
    fn a_script_is_executed_as_firmware_would() {
        let (files, script) = script();
        let mut zones = Zones { high: 0x7001, f_segment: 0xf_0000 };
        let placed = script.execute(&files, &mut zones);
        assert_eq!((placed[0].address, placed[1].address), (0x7040, 0xf_0000));
        assert_eq!(placed[1].bytes[..4], 0x7048_u32.to_le_bytes());
        assert_eq!(placed[1].bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        assert_eq!(zones, Zones { high: 0x70a4, f_segment: 0xf_0006 });
    }

    #[test]
    fn a_command_is_128_bytes_with_its_fields_where_firmware_looks() {
        let bytes = script().1.to_bytes();
        assert_eq!(bytes.len(), 6 * COMMAND_SIZE);
        assert_eq!((bytes[0], bytes[4], bytes[60], bytes[64]), (1, b'b', 64, 1));
        let pointer = &bytes[2 * COMMAND_SIZE..];
        assert_eq!((pointer[0], pointer[4], pointer[60], pointer[116], pointer[120]), (2, b'a', b'b', 0, 4));
        let sum = &bytes[3 * COMMAND_SIZE..];
        assert_eq!((sum[0], sum[60], sum[64], sum[68]), (3, 4, 0, 6));
    }
}
