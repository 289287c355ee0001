//! Notes of a file, and registers in them.

use crate::guest::general::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP};
use crate::guest::segment::{CS, DS, ES, FS, GS, SS};
use crate::notes::{CORE, NT_PRSTATUS, QEMU, VMCOREINFO};
use crate::record::{u32_at, u64_at};
use crate::{Registers, SegmentRegister, TableRegister};

/// A note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whose.
    pub name: String,
    /// Of what kind; numbers are the owner's.
    pub kind: u32,
    /// What it says.
    pub descriptor: Vec<u8>,
}

/// Notes that a file may have: two of each processor, and a few.
const MOST_NOTES: usize = 1 << 17;

/// Length of `struct elf_prstatus` on x86-64 and on i386.
const STATUS_LEN: [usize; 2] = [144, 336];

/// The notes in some bytes, up to the first that is none.
pub(super) fn parse(bytes: &[u8]) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut at = 0;
    while notes.len() < MOST_NOTES {
        let Some((note, next)) = one(bytes, at) else { break };
        notes.push(note);
        at = next;
    }
    notes
}

fn one(bytes: &[u8], at: usize) -> Option<(Note, usize)> {
    let (name_len, len, kind) = (u32_at(bytes, at)?, u32_at(bytes, at + 4)?, u32_at(bytes, at + 8)?);
    if name_len == 0 {
        return None;
    }
    let name_at = at + 12;
    let name = bytes.get(name_at..name_at.checked_add(name_len as usize)?)?;
    let descriptor_at = (name_at + name.len()).checked_next_multiple_of(4)?;
    let descriptor = bytes.get(descriptor_at..descriptor_at.checked_add(len as usize)?)?.to_vec();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    let next = (descriptor_at + descriptor.len()).checked_next_multiple_of(4)?;
    Some((Note { name, kind, descriptor }, next))
}

impl Note {
    /// The text of VMCOREINFO.
    pub fn vmcoreinfo(&self) -> Option<&str> {
        if self.name != VMCOREINFO {
            return None;
        }
        std::str::from_utf8(&self.descriptor).ok().map(|text| text.trim_end_matches('\0'))
    }

    /// Whether it is an `NT_PRSTATUS`.
    pub fn is_status(&self) -> bool {
        self.name == CORE && self.kind == NT_PRSTATUS && STATUS_LEN.contains(&self.descriptor.len())
    }

    /// The registers in an `NT_PRSTATUS` of x86-64 or i386.
    pub fn status(&self) -> Option<Registers> {
        if !self.is_status() {
            return None;
        }
        let mut registers = Registers::default();
        if self.descriptor.len() == STATUS_LEN[1] {
            let field = |index: usize| u64_at(&self.descriptor, 112 + 8 * index).unwrap_or(0);
            for (index, number) in (0..).zip([15, 14, 13, 12, RBP, RBX, 11, 10, 9, 8, RAX, RCX, RDX, RSI, RDI]) {
                registers.general[number] = field(index);
            }
            registers.rip = field(16);
            registers.rflags = field(18);
            registers.general[RSP] = field(19);
            for (index, number) in [(17, CS), (20, SS), (23, DS), (24, ES), (25, FS), (26, GS)] {
                registers.segments[number].selector = field(index) as u16;
            }
            registers.segments[FS].base = field(21);
            registers.segments[GS].base = field(22);
        } else {
            let field = |index: usize| u32_at(&self.descriptor, 72 + 4 * index).unwrap_or(0);
            for (index, number) in (0..).zip([RBX, RCX, RDX, RSI, RDI, RBP, RAX]) {
                registers.general[number] = field(index).into();
            }
            registers.rip = field(12).into();
            registers.rflags = field(14).into();
            registers.general[RSP] = field(15).into();
            for (index, number) in [(7, DS), (8, ES), (9, FS), (10, GS), (13, CS), (16, SS)] {
                registers.segments[number].selector = field(index) as u16;
            }
        }
        Some(registers)
    }

    /// The registers in a note of QEMU's.
    pub fn qemu_state(&self) -> Option<Registers> {
        if self.name != QEMU || u32_at(&self.descriptor, 0)? != 1 {
            return None;
        }
        let wide = |at: usize| u64_at(&self.descriptor, at);
        let segment = |index: usize| {
            let at = 152 + 24 * index;
            Some(SegmentRegister {
                selector: u32_at(&self.descriptor, at)? as u16,
                limit: u32_at(&self.descriptor, at + 4)?,
                flags: u32_at(&self.descriptor, at + 8)?,
                base: wide(at + 16)?,
            })
        };
        let table = |index| segment(index).map(|s| TableRegister { limit: s.limit, base: s.base });
        let mut registers = Registers { rip: wide(136)?, rflags: wide(144)?, ..Registers::default() };
        for (index, number) in [RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, 8, 9, 10, 11, 12, 13, 14, 15].iter().enumerate()
        {
            registers.general[*number] = wide(8 + 8 * index)?;
        }
        for (index, number) in [CS, DS, ES, FS, GS, SS].iter().enumerate() {
            registers.segments[*number] = segment(index)?;
        }
        (registers.ldt, registers.tr) = (segment(6)?, segment(7)?);
        (registers.gdt, registers.idt) = (table(8)?, table(9)?);
        for (index, control) in registers.cr.iter_mut().enumerate() {
            *control = wide(392 + 8 * index)?;
        }
        registers.kernel_gs_base = wide(432)?;
        // The note leaves out EFER. Long mode shows in the code segment's L bit, and in 4-level addresses it must be on
        // with CR4.PAE where RIP or CR3 need more than 32 bits.
        let long = registers.segments[CS].flags & 1 << 21 != 0
            || registers.rip >> 32 != 0
            || registers.gdt.base >> 32 != 0
            || registers.idt.base >> 32 != 0;
        registers.efer = if long && registers.pages() { 1 << 8 | 1 << 10 } else { 0 };
        Some(registers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Architecture;
    use crate::fixture::Noise;
    use crate::notes::Notes;

    fn noisy(seed: u64) -> Registers {
        let mut noise = Noise::new(seed);
        let mut segment = || SegmentRegister {
            selector: noise.next() as u16,
            limit: noise.next() as u32,
            flags: noise.next() as u32 & 0xf0_ff00 | 1 << 21,
            base: noise.next(),
        };
        let segments = std::array::from_fn(|_| segment());
        let (ldt, tr) = (segment(), segment());
        let table = |noise: &mut Noise| TableRegister { limit: noise.next() as u32, base: noise.next() };
        Registers {
            segments,
            ldt,
            tr,
            general: std::array::from_fn(|_| noise.next()),
            rip: noise.next(),
            rflags: noise.next(),
            gdt: table(&mut noise),
            idt: table(&mut noise),
            cr: [1 << 31, 0, noise.next(), noise.next(), noise.next()],
            efer: 1 << 8 | 1 << 10,
            kernel_gs_base: noise.next(),
        }
    }

    #[test]
    fn registers_come_back_from_their_notes() {
        let processors = [noisy(1), noisy(2)];
        let notes = parse(&Notes::of(Architecture::X86_64, &processors, Some(b"OSRELEASE=1\n")).bytes);
        let names: Vec<_> = notes.iter().map(|note| (note.name.as_str(), note.kind)).collect();
        assert_eq!(names, [("CORE", 1), ("CORE", 1), ("QEMU", 0), ("QEMU", 0), ("VMCOREINFO", 0)]);
        let states: Vec<_> = notes.iter().filter_map(Note::qemu_state).collect();
        assert_eq!(states, processors);
        for (status, registers) in notes.iter().filter_map(Note::status).zip(&processors) {
            assert_eq!(
                (status.general, status.rip, status.rflags),
                (registers.general, registers.rip, registers.rflags)
            );
            assert_eq!(status.segments.map(|s| s.selector), registers.segments.map(|s| s.selector));
        }
        assert_eq!(notes[4].vmcoreinfo(), Some("OSRELEASE=1\n"));
    }

    #[test]
    fn i386_registers_come_back_cut_to_32_bits() {
        let registers = noisy(3);
        let notes = parse(&Notes::of(Architecture::I386, std::slice::from_ref(&registers), None).bytes);
        let status = notes[0].status().unwrap();
        assert_eq!(status.general[..8], registers.general.map(|r| r & 0xffff_ffff)[..8]);
        assert_eq!((status.rip, status.rflags), (registers.rip & 0xffff_ffff, registers.rflags & 0xffff_ffff));
    }
}
