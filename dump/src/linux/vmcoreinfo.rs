//! VMCOREINFO: what a Linux kernel writes down for readers of its memory (the kernel's
//! Documentation/admin-guide/kdump/vmcoreinfo.rst), as an ELF note with lines `NAME=value`.

use crate::record::u32_at;

/// What the note begins with: the length of its name; the length of its text comes next, then the type, which is 0.
const NAME: &[u8; 12] = b"VMCOREINFO\0\0";
/// With or without the terminating zero counted.
const NAME_LENGTHS: [u32; 2] = [11, 10];
/// Where the text begins.
pub(super) const TEXT_AT: usize = 24;
/// Where the name begins.
pub(super) const NAME_AT: usize = 12;
/// Kernels keep a page of text at most, of whatever size their pages are.
const MOST_TEXT: u32 = 1 << 16;
/// What every version of the text begins with.
const FIRST_LINE: &str = "OSRELEASE=";

/// A VMCOREINFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmcoreinfo {
    text: String,
}

impl Vmcoreinfo {
    /// How long a note is that begins with these bytes, if they can be its beginning.
    pub(super) fn note_len(bytes: &[u8]) -> Option<usize> {
        let len = u32_at(bytes, 4)?;
        let right = NAME_LENGTHS.contains(&u32_at(bytes, 0)?)
            && u32_at(bytes, 8)? == 0
            && bytes.get(NAME_AT..TEXT_AT)? == NAME
            && (FIRST_LINE.len() as u32..=MOST_TEXT).contains(&len);
        right.then_some(TEXT_AT + len as usize)
    }

    /// The note that `bytes` begin with.
    pub fn of_note(bytes: &[u8]) -> Option<Self> {
        let end = Self::note_len(bytes)?;
        Self::of_text(bytes.get(TEXT_AT..end)?)
    }

    /// A note's text.
    pub fn of_text(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(bytes).ok()?;
        let printable = |c: char| c == '\n' || c == '\t' || (' '..='~').contains(&c);
        (text.starts_with(FIRST_LINE) && text.chars().all(printable)).then(|| Self { text: text.to_owned() })
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of a line.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// The address of a symbol.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.value(&format!("SYMBOL({name})"))?, 16).ok()
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.value(&format!("NUMBER({name})"))?.parse().ok()
    }

    /// The offset of a structure's field.
    pub fn offset(&self, name: &str) -> Option<u64> {
        self.value(&format!("OFFSET({name})"))?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    pub(crate) fn note(text: &str) -> Vec<u8> {
        let mut record = Record::default();
        record.u32(11).u32(text.len() as u32).u32(0).bytes(NAME).bytes(text.as_bytes());
        record.finish()
    }

    #[test]
    fn lines_have_names_and_values() {
        let text = "OSRELEASE=6.1.0\nSYMBOL(init_uts_ns)=ffffffff82613a00\nNUMBER(phys_base)=-1048576\n\
            OFFSET(uts_namespace.name)=4\nKERNELOFFSET=1000000\n";
        let found = Vmcoreinfo::of_note(&note(text)).unwrap();
        assert_eq!(found.text(), text);
        assert_eq!(found.value("OSRELEASE"), Some("6.1.0"));
        assert_eq!(found.symbol("init_uts_ns"), Some(0xffff_ffff_8261_3a00));
        assert_eq!(found.number("phys_base"), Some(-0x10_0000));
        assert_eq!(found.offset("uts_namespace.name"), Some(4));
        assert_eq!(found.symbol("swapper_pg_dir"), None);
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        let good = note("OSRELEASE=6.1.0\n");
        for cut in 0..good.len() {
            assert_eq!(Vmcoreinfo::of_note(&good[..cut]), None, "{cut}");
        }
        for (at, value) in [(0, 12), (6, 1), (8, 1), (12, b'v'), (24, b'o'), (33, 7), (33, 0x80)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(Vmcoreinfo::of_note(&bad), None, "{at}");
        }
    }
}
