//! An encoder for ACPI Machine Language (ACPI 6.5, chapter 20). Each function is one ASL operator and returns its encoding; terms
//! nest as they do in ASL.

/// An encoded term, or several in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aml(pub Vec<u8>);

impl Aml {
    fn op(code: &[u8], operands: &[&Aml]) -> Self {
        let mut bytes = code.to_vec();
        operands.iter().for_each(|operand| bytes.extend_from_slice(&operand.0));
        Self(bytes)
    }
}

/// Opcodes, by their names in the grammar.
mod op {
    pub(super) const ZERO: u8 = 0x00;
    pub(super) const ONE: u8 = 0x01;
    pub(super) const NAME: u8 = 0x08;
    pub(super) const BYTE: u8 = 0x0a;
    pub(super) const WORD: u8 = 0x0b;
    pub(super) const DWORD: u8 = 0x0c;
    pub(super) const STRING: u8 = 0x0d;
    pub(super) const QWORD: u8 = 0x0e;
    pub(super) const SCOPE: u8 = 0x10;
    pub(super) const BUFFER: u8 = 0x11;
    pub(super) const PACKAGE: u8 = 0x12;
    pub(super) const METHOD: u8 = 0x14;
    pub(super) const DUAL_NAME: u8 = 0x2e;
    pub(super) const MULTI_NAME: u8 = 0x2f;
    pub(super) const EXT: u8 = 0x5b;
    pub(super) const LOCAL0: u8 = 0x60;
    pub(super) const ARG0: u8 = 0x68;
    pub(super) const STORE: u8 = 0x70;
    pub(super) const ADD: u8 = 0x72;
    pub(super) const SUBTRACT: u8 = 0x74;
    pub(super) const SHIFT_LEFT: u8 = 0x79;
    pub(super) const SHIFT_RIGHT: u8 = 0x7a;
    pub(super) const AND: u8 = 0x7b;
    pub(super) const OR: u8 = 0x7d;
    pub(super) const NOTIFY: u8 = 0x86;
    pub(super) const CREATE_DWORD_FIELD: u8 = 0x8a;
    pub(super) const LNOT: u8 = 0x92;
    pub(super) const LEQUAL: u8 = 0x93;
    pub(super) const LGREATER: u8 = 0x94;
    pub(super) const LLESS: u8 = 0x95;
    pub(super) const IF: u8 = 0xa0;
    pub(super) const ELSE: u8 = 0xa1;
    pub(super) const WHILE: u8 = 0xa2;
    pub(super) const RETURN: u8 = 0xa4;
    pub(super) const EXT_MUTEX: u8 = 0x01;
    pub(super) const EXT_ACQUIRE: u8 = 0x23;
    pub(super) const EXT_RELEASE: u8 = 0x27;
    pub(super) const EXT_REGION: u8 = 0x80;
    pub(super) const EXT_FIELD: u8 = 0x81;
    pub(super) const EXT_DEVICE: u8 = 0x82;
}

/// Where an operation region lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RegionSpace {
    /// Physical memory.
    SystemMemory = 0,
    /// I/O ports.
    SystemIo = 1,
    /// The configuration space of the device in whose scope it is declared.
    PciConfig = 2,
}

/// How wide a field is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FieldAccess {
    /// As its user likes.
    Any = 0,
    /// Bytes.
    Byte = 1,
    /// 16 bits.
    Word = 2,
    /// 32 bits.
    Dword = 3,
}

/// One element of a field list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldUnit<'a> {
    /// A named field of so many bits.
    Named(&'a str, u32),
    /// So many bits that are skipped.
    Skip(u32),
}

/// PkgLength: a length that counts itself, in one to four bytes.
fn package_length(content: usize) -> Vec<u8> {
    if content + 1 < 0x40 {
        return vec![(content + 1) as u8];
    }
    let follow = match content {
        _ if content + 2 < 1 << 12 => 1,
        _ if content + 3 < 1 << 20 => 2,
        _ => 3,
    };
    let total = content + follow + 1;
    let lead = (follow << 6 | total & 0xf) as u8;
    std::iter::once(lead).chain((0..follow).map(|byte| (total >> (4 + 8 * byte)) as u8)).collect()
}

/// A list of fields with its own length, which counts bits without itself.
fn field_bits(bits: u32) -> Vec<u8> {
    if bits < 0x40 {
        return vec![bits as u8];
    }
    let follow = if bits < 1 << 12 { 1 } else { 2 };
    let lead = (follow << 6 | bits & 0xf) as u8;
    std::iter::once(lead).chain((0..follow).map(|byte| (bits >> (4 + 8 * byte)) as u8)).collect()
}

fn packaged(code: &[u8], content: &[u8]) -> Aml {
    Aml([code, &package_length(content.len()), content].concat())
}

fn block(code: &[u8], head: &[u8], body: &[Aml]) -> Aml {
    let mut content = head.to_vec();
    body.iter().for_each(|term| content.extend_from_slice(&term.0));
    packaged(code, &content)
}

/// A name segment: four characters, padded with underscores.
fn segment(name: &str) -> [u8; 4] {
    let mut padded = [b'_'; 4];
    padded.iter_mut().zip(name.bytes()).for_each(|(place, letter)| *place = letter);
    padded
}

/// A name string: "\\" for the root, "^" for a parent, segments with dots between them.
#[must_use]
pub fn path(name: &str) -> Aml {
    let tail = name.trim_start_matches(['\\', '^']);
    let mut bytes = name.as_bytes()[..name.len() - tail.len()].to_vec();
    let segments: Vec<_> = tail.split('.').filter(|part| !part.is_empty()).map(segment).collect();
    match segments.len() {
        0 => bytes.push(op::ZERO),
        1 => {}
        2 => bytes.push(op::DUAL_NAME),
        count => bytes.extend_from_slice(&[op::MULTI_NAME, count as u8]),
    }
    bytes.extend(segments.concat());
    Aml(bytes)
}

/// An integer in its shortest form.
#[must_use]
pub fn int(value: u64) -> Aml {
    let bytes = value.to_le_bytes();
    Aml(match value {
        0 => vec![op::ZERO],
        1 => vec![op::ONE],
        2..=0xff => vec![op::BYTE, bytes[0]],
        0x100..=0xffff => [&[op::WORD], &bytes[..2]].concat(),
        0x1_0000..=0xffff_ffff => [&[op::DWORD], &bytes[..4]].concat(),
        _ => [&[op::QWORD], &bytes[..]].concat(),
    })
}

/// A string.
#[must_use]
pub fn string(text: &str) -> Aml {
    Aml([&[op::STRING], text.as_bytes(), &[0]].concat())
}

/// `EisaId("PNP0A03")`: a device's id packed into an integer.
#[must_use]
pub fn eisa_id(id: &str) -> Aml {
    let digit = |at: usize| id.as_bytes().get(at).map_or(0, |c| (*c as char).to_digit(16).unwrap_or(0));
    let letter = |at: usize| id.as_bytes().get(at).map_or(0, |c| u32::from(c & 0x1f));
    let packed = letter(0) << 26 | letter(1) << 21 | letter(2) << 16;
    let packed = packed | digit(3) << 12 | digit(4) << 8 | digit(5) << 4 | digit(6);
    Aml([&[op::DWORD], &packed.to_be_bytes()[..]].concat())
}

/// `Name (path, value)`.
#[must_use]
pub fn name(at: &str, value: &Aml) -> Aml {
    Aml::op(&[op::NAME], &[&path(at), value])
}

/// `Scope (path) { ... }`.
#[must_use]
pub fn scope(at: &str, body: &[Aml]) -> Aml {
    block(&[op::SCOPE], &path(at).0, body)
}

/// `Device (path) { ... }`.
#[must_use]
pub fn device(at: &str, body: &[Aml]) -> Aml {
    block(&[op::EXT, op::EXT_DEVICE], &path(at).0, body)
}

/// `Method (path, arguments) { ... }`.
#[must_use]
pub fn method(at: &str, arguments: u8, body: &[Aml]) -> Aml {
    method_with_flags(at, arguments & 7, body)
}

/// `Method (path, arguments, Serialized) { ... }`, for methods that declare names.
#[must_use]
pub fn serialized_method(at: &str, arguments: u8, body: &[Aml]) -> Aml {
    const SERIALIZED: u8 = 1 << 3;
    method_with_flags(at, arguments & 7 | SERIALIZED, body)
}

fn method_with_flags(at: &str, flags: u8, body: &[Aml]) -> Aml {
    let mut head = path(at).0;
    head.push(flags);
    block(&[op::METHOD], &head, body)
}

/// `OperationRegion (path, space, offset, length)`.
#[must_use]
pub fn region(at: &str, space: RegionSpace, offset: u64, length: u64) -> Aml {
    let head = [&[op::EXT, op::EXT_REGION], &path(at).0[..], &[space as u8]].concat();
    Aml::op(&head, &[&int(offset), &int(length)])
}

/// `Field (region, access, NoLock, Preserve) { ... }`.
#[must_use]
pub fn field(of: &str, access: FieldAccess, units: &[FieldUnit<'_>]) -> Aml {
    let mut head = path(of).0;
    head.push(access as u8);
    for unit in units {
        let (name, bits) = match unit {
            FieldUnit::Named(name, bits) => (segment(name).to_vec(), bits),
            FieldUnit::Skip(bits) => (vec![0], bits),
        };
        head.extend(name);
        head.extend(field_bits(*bits));
    }
    packaged(&[op::EXT, op::EXT_FIELD], &head)
}

/// `Package () { ... }` of at most 255 elements.
#[must_use]
pub fn package(elements: &[Aml]) -> Aml {
    block(&[op::PACKAGE], &[elements.len() as u8], elements)
}

/// `Buffer () { ... }`.
#[must_use]
pub fn buffer(bytes: &[u8]) -> Aml {
    block(&[op::BUFFER], &int(bytes.len() as u64).0, &[Aml(bytes.to_vec())])
}

/// `ArgN`.
#[must_use]
pub fn arg(number: u8) -> Aml {
    Aml(vec![op::ARG0 + number % 7])
}

/// `LocalN`.
#[must_use]
pub fn local(number: u8) -> Aml {
    Aml(vec![op::LOCAL0 + number % 8])
}

/// A call of a method.
#[must_use]
pub fn call(at: &str, arguments: &[Aml]) -> Aml {
    let mut bytes = path(at).0;
    arguments.iter().for_each(|argument| bytes.extend_from_slice(&argument.0));
    Aml(bytes)
}

/// `Store (value, target)`.
#[must_use]
pub fn store(value: &Aml, target: &Aml) -> Aml {
    Aml::op(&[op::STORE], &[value, target])
}

/// `Add (left, right, target)`.
#[must_use]
pub fn add(left: &Aml, right: &Aml, target: &Aml) -> Aml {
    Aml::op(&[op::ADD], &[left, right, target])
}

/// `Subtract (left, right, target)`.
#[must_use]
pub fn subtract(left: &Aml, right: &Aml, target: &Aml) -> Aml {
    Aml::op(&[op::SUBTRACT], &[left, right, target])
}

/// `ShiftLeft (value, count, target)`.
#[must_use]
pub fn shift_left(value: &Aml, count: &Aml, target: &Aml) -> Aml {
    Aml::op(&[op::SHIFT_LEFT], &[value, count, target])
}

/// `ShiftRight (value, count, target)`.
#[must_use]
pub fn shift_right(value: &Aml, count: &Aml, target: &Aml) -> Aml {
    Aml::op(&[op::SHIFT_RIGHT], &[value, count, target])
}

/// `And (left, right, target)`.
#[must_use]
pub fn and(left: &Aml, right: &Aml, target: &Aml) -> Aml {
    Aml::op(&[op::AND], &[left, right, target])
}

/// `Or (left, right, target)`.
#[must_use]
pub fn or(left: &Aml, right: &Aml, target: &Aml) -> Aml {
    Aml::op(&[op::OR], &[left, right, target])
}

/// No target: the result is only used in place.
#[must_use]
pub fn nowhere() -> Aml {
    Aml(vec![op::ZERO])
}

/// `LNot (value)`.
#[must_use]
pub fn not(value: &Aml) -> Aml {
    Aml::op(&[op::LNOT], &[value])
}

/// `LEqual (left, right)`.
#[must_use]
pub fn equal(left: &Aml, right: &Aml) -> Aml {
    Aml::op(&[op::LEQUAL], &[left, right])
}

/// `LGreater (left, right)`.
#[must_use]
pub fn greater(left: &Aml, right: &Aml) -> Aml {
    Aml::op(&[op::LGREATER], &[left, right])
}

/// `LLess (left, right)`.
#[must_use]
pub fn less(left: &Aml, right: &Aml) -> Aml {
    Aml::op(&[op::LLESS], &[left, right])
}

/// `If (condition) { ... }`.
#[must_use]
pub fn when(condition: &Aml, body: &[Aml]) -> Aml {
    block(&[op::IF], &condition.0, body)
}

/// `Else { ... }`, directly behind an `If`.
#[must_use]
pub fn otherwise(body: &[Aml]) -> Aml {
    block(&[op::ELSE], &[], body)
}

/// `While (condition) { ... }`.
#[must_use]
pub fn repeat_while(condition: &Aml, body: &[Aml]) -> Aml {
    block(&[op::WHILE], &condition.0, body)
}

/// `Return (value)`.
#[must_use]
pub fn give(value: &Aml) -> Aml {
    Aml::op(&[op::RETURN], &[value])
}

/// `Notify (object, value)`.
#[must_use]
pub fn notify(object: &str, value: &Aml) -> Aml {
    Aml::op(&[op::NOTIFY], &[&path(object), value])
}

/// `Mutex (path, 0)`.
#[must_use]
pub fn mutex(at: &str) -> Aml {
    const SYNC_LEVEL: u8 = 0;
    Aml::op(&[op::EXT, op::EXT_MUTEX], &[&path(at), &Aml(vec![SYNC_LEVEL])])
}

/// `Acquire (mutex, 0xFFFF)`: waits as long as it takes.
#[must_use]
pub fn acquire(of: &str) -> Aml {
    Aml::op(&[op::EXT, op::EXT_ACQUIRE], &[&path(of), &Aml(vec![0xff, 0xff])])
}

/// `Release (mutex)`.
#[must_use]
pub fn release(of: &str) -> Aml {
    Aml::op(&[op::EXT, op::EXT_RELEASE], &[&path(of)])
}

/// `CreateDWordField (buffer, byte, name)`.
#[must_use]
pub fn create_dword_field(of: &Aml, byte: u64, at: &str) -> Aml {
    Aml::op(&[op::CREATE_DWORD_FIELD], &[of, &int(byte), &path(at)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_length_counts_itself() {
        assert_eq!(package_length(0), [1]);
        assert_eq!(package_length(62), [63]);
        assert_eq!(package_length(63), [0x41, 4]);
        assert_eq!(package_length(0xffd), [0x4f, 0xff]);
        assert_eq!(package_length(0xffe), [0x81, 0x00, 0x01]);
        assert_eq!(package_length(0xf_fffc), [0x8f, 0xff, 0xff]);
        assert_eq!(package_length(0xf_fffd), [0xc1, 0x00, 0x00, 0x01]);
    }

    #[test]
    fn names_are_padded_and_prefixed() {
        assert_eq!(path("\\_SB.PCI0").0, b"\\\x2e_SB_PCI0");
        assert_eq!(path("^^ISA").0, b"^^ISA_");
        assert_eq!(path("\\_SB.PCI0.ISA").0, b"\\\x2f\x03_SB_PCI0ISA_");
        assert_eq!(path("\\").0, b"\\\0");
    }

    #[test]
    fn integers_take_their_shortest_form() {
        assert_eq!(int(1).0, [1]);
        assert_eq!(int(0x80).0, [0x0a, 0x80]);
        assert_eq!(int(0x1234).0, [0x0b, 0x34, 0x12]);
        assert_eq!(int(1 << 16).0, [0x0c, 0, 0, 1, 0]);
        assert_eq!(int(1 << 32).0, [0x0e, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn device_ids_are_packed_as_the_eisa_bus_did() {
        assert_eq!(eisa_id("PNP0A03").0, [0x0c, 0x41, 0xd0, 0x0a, 0x03]);
        assert_eq!(eisa_id("PNP0C0F").0, [0x0c, 0x41, 0xd0, 0x0c, 0x0f]);
    }

    #[test]
    fn terms_nest() {
        let body = [when(&less(&arg(0), &int(2)), &[give(&int(0))]), otherwise(&[give(&int(1))])];
        assert_eq!(method("TEST", 1, &body).0, *b"\x14\x12TEST\x01\xa0\x07\x95\x68\x0a\x02\xa4\x00\xa1\x03\xa4\x01");
    }
}
