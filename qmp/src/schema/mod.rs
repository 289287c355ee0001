//! What QMP's types are, at run time: the facts behind argument checking, `query-qmp-schema` and the manual.
//!
//! They are declared in [`crate::commands`] with `declare!`, which makes a Rust type and its [`Type`] from one text.
//! The vocabulary is QAPI's (QEMU, docs/devel/qapi-code-gen): builtin types, enumerations, objects, which may be unions
//! that a tag selects the branch of, arrays, and alternates, whose branch the value's own JSON type selects.

pub mod check;
pub(crate) mod declare;
pub mod introspect;
mod manual;

pub use manual::manual;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The type of a member, an argument or an answer.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// An integer; the widths differ in range only.
    Int(Width),
    /// A JSON number.
    Number,
    /// A JSON string.
    Str,
    /// A JSON boolean.
    Bool,
    /// The JSON value `null`.
    Null,
    /// Any JSON value.
    Any,
    /// One of a set of strings.
    Enum(&'static Enumeration),
    /// A JSON object.
    Object(&'static Object),
    /// A JSON array whose elements are all of one type.
    Array(fn() -> Type),
    /// One of several types with different JSON representations.
    Alternate(&'static Alternate),
}

/// How wide an integer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// QAPI's `uint8`.
    U8,
    /// QAPI's `uint16`.
    U16,
    /// QAPI's `uint32`.
    U32,
    /// QAPI's `uint64` and `size`.
    U64,
    /// QAPI's `int8`.
    I8,
    /// QAPI's `int16`.
    I16,
    /// QAPI's `int32`.
    I32,
    /// QAPI's `int` and `int64`.
    I64,
}

/// A set of strings.
#[derive(Debug)]
pub struct Enumeration {
    /// The type's name.
    pub name: &'static str,
    /// Documentation, a line each.
    pub docs: &'static [&'static str],
    /// The strings.
    pub values: &'static [EnumValue],
}

/// One string of an [`Enumeration`].
#[derive(Debug)]
pub struct EnumValue {
    /// The string.
    pub name: &'static str,
    /// Documentation, a line each.
    pub docs: &'static [&'static str],
}

/// A JSON object with named members.
#[derive(Debug)]
pub struct Object {
    /// The type's name.
    pub name: &'static str,
    /// Documentation, a line each.
    pub docs: &'static [&'static str],
    /// The members that it has whatever its tag says.
    pub members: &'static [Member],
    /// The members that depend on a tag.
    pub union: Option<&'static Union>,
    /// Members that are not declared are accepted, and left to the command.
    pub open: bool,
}

/// One member of an [`Object`], one argument of a command.
#[derive(Debug)]
pub struct Member {
    /// The name in JSON.
    pub name: &'static str,
    /// Documentation, a line each.
    pub docs: &'static [&'static str],
    /// The type; an optional member's when it is there.
    pub ty: fn() -> Type,
    /// It may be absent.
    pub optional: fn() -> bool,
}

/// The tag of an object, and what members each of its values adds.
#[derive(Debug)]
pub struct Union {
    /// The tag, a member whose type is an enumeration.
    pub tag: Member,
    /// The branches; a value of the tag without one adds nothing.
    pub branches: &'static [Branch],
}

/// What one value of a tag adds.
#[derive(Debug)]
pub struct Branch {
    /// The tag's value.
    pub case: &'static str,
    /// An object type.
    pub ty: fn() -> Type,
}

/// A value of one of several types, told apart by its JSON type.
#[derive(Debug)]
pub struct Alternate {
    /// The type's name.
    pub name: &'static str,
    /// Documentation, a line each.
    pub docs: &'static [&'static str],
    /// The types, in the order in which they are tried.
    pub types: &'static [fn() -> Type],
}

impl Object {
    /// The branch that a value of the tag selects.
    pub fn branch(&self, case: &str) -> Option<&'static Object> {
        let branches = self.union?.branches;
        match (branches.iter().find(|branch| branch.case == case)?.ty)() {
            Type::Object(object) => Some(object),
            _ => None,
        }
    }

    /// All members, the tag last, without those that its value adds.
    pub fn common(&self) -> impl Iterator<Item = &'static Member> + use<> {
        self.members.iter().chain(self.union.map(|union| &union.tag))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.common().next().is_none() && !self.open
    }
}

impl Type {
    /// Whether it is an object without members: what a command without a result returns.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Object(object) if object.is_empty())
    }
}

/// A Rust type that has a QAPI type.
pub trait Qapi {
    /// Its QAPI type.
    fn ty() -> Type;

    /// Whether a member of this type may be absent: only an `Option` may.
    fn is_optional() -> bool {
        false
    }

    /// Whether this value is not sent at all.
    fn is_absent(&self) -> bool {
        false
    }
}

/// Leaves absent members out of JSON.
pub(crate) fn is_absent<T: Qapi>(value: &T) -> bool {
    value.is_absent()
}

/// Takes null for a value and not for absence, of a member that may be either; for `#[serde(default, deserialize_with)]`.
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

macro_rules! builtin {
    ($($rust:ty => $ty:expr),* $(,)?) => { $(
        impl Qapi for $rust {
            fn ty() -> Type {
                $ty
            }
        }
    )* };
}

builtin! {
    i8 => Type::Int(Width::I8),
    i16 => Type::Int(Width::I16),
    i32 => Type::Int(Width::I32),
    i64 => Type::Int(Width::I64),
    u8 => Type::Int(Width::U8),
    u16 => Type::Int(Width::U16),
    u32 => Type::Int(Width::U32),
    u64 => Type::Int(Width::U64),
    f64 => Type::Number,
    bool => Type::Bool,
    String => Type::Str,
    Value => Type::Any,
    Map<String, Value> => Type::Object(&OPEN),
    () => Type::Object(&NOTHING),
    Nothing => Type::Object(&NOTHING),
    Null => Type::Null,
}

static NOTHING: Object = Object { name: "Nothing", docs: &["No members."], members: &[], union: None, open: false };
static OPEN: Object = Object { name: "Dictionary", docs: &["Any members."], members: &[], union: None, open: true };

/// An object without members, for the branch of a union that adds none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// JSON's null, for an alternate that it is a value of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Null;

impl<T: Qapi> Qapi for Option<T> {
    fn ty() -> Type {
        T::ty()
    }

    fn is_optional() -> bool {
        true
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Qapi> Qapi for Vec<T> {
    fn ty() -> Type {
        Type::Array(T::ty)
    }
}

impl<T: Qapi> Qapi for Box<T> {
    fn ty() -> Type {
        T::ty()
    }
}
