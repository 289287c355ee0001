//! Checking arguments against their type, before anything is done with them. The words are QEMU's.

use super::{Alternate, Member, Object, Type, Width};
use crate::error::Error;
use serde_json::{Map, Value};
use std::fmt;

/// Checks a command's arguments.
///
/// # Errors
/// The first argument, in the order of declaration, that is missing, of another type or out of range; or else one that is unexpected.
pub fn check(ty: Type, arguments: &Map<String, Value>) -> Result<(), Error> {
    match ty {
        Type::Object(object) => check_object(object, arguments, Path::Root),
        _ => Ok(()),
    }
}

/// Checks any value, such as an answer, against a type.
///
/// # Errors
/// Where it first differs.
pub fn check_value(ty: Type, value: &Value) -> Result<(), Error> {
    check_at(ty, value, Path::Root)
}

/// Where in the arguments: `model.props.x`, `keys[3].type`.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Element(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// The innermost name, which is all that some of QEMU's messages give.
    fn leaf(&self) -> &str {
        match self {
            Self::Member(_, name) => name,
            Self::Root | Self::Element(..) => "null",
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Path::Root, name) => f.write_str(name),
            Self::Member(outer, name) => write!(f, "{outer}.{name}"),
            Self::Element(outer, index) => write!(f, "{outer}[{index}]"),
        }
    }
}

fn check_at(ty: Type, value: &Value, path: Path<'_>) -> Result<(), Error> {
    let mistyped = |expected| Err(Error::mistyped(&path.to_string(), expected));
    match ty {
        Type::Any => Ok(()),
        Type::Int(width) => check_integer(width, value, path),
        Type::Number if value.is_number() => Ok(()),
        Type::Number => mistyped("number"),
        Type::Str if value.is_string() => Ok(()),
        Type::Str => mistyped("string"),
        Type::Bool if value.is_boolean() => Ok(()),
        Type::Bool => mistyped("boolean"),
        Type::Null if value.is_null() => Ok(()),
        Type::Null => mistyped("null"),
        Type::Enum(enumeration) => match value.as_str() {
            Some(name) if enumeration.values.iter().any(|known| known.name == name) => Ok(()),
            Some(name) => Err(Error::not_accepted(path.leaf(), name)),
            None => mistyped("string"),
        },
        Type::Object(object) => match value {
            Value::Object(members) => check_object(object, members, path),
            _ => mistyped("object"),
        },
        Type::Array(element) => match value {
            Value::Array(elements) => elements
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| check_at(element(), value, Path::Element(&path, index))),
            _ => mistyped("array"),
        },
        Type::Alternate(alternate) => check_alternate(alternate, value, path),
    }
}

fn check_integer(width: Width, value: &Value, path: Path<'_>) -> Result<(), Error> {
    let (name, min, max) = match width {
        Width::I64 if value.as_i64().is_some() => return Ok(()),
        Width::I64 => return Err(Error::mistyped(&path.to_string(), "integer")),
        Width::U64 if value.as_u64().is_some() => return Ok(()),
        Width::U64 => return Err(Error::expects(&path.to_string(), "uint64")),
        Width::U8 => ("uint8_t", 0, i64::from(u8::MAX)),
        Width::U16 => ("uint16_t", 0, i64::from(u16::MAX)),
        Width::U32 => ("uint32_t", 0, i64::from(u32::MAX)),
        Width::I8 => ("int8_t", i64::from(i8::MIN), i64::from(i8::MAX)),
        Width::I16 => ("int16_t", i64::from(i16::MIN), i64::from(i16::MAX)),
        Width::I32 => ("int32_t", i64::from(i32::MIN), i64::from(i32::MAX)),
    };
    match value.as_i64() {
        Some(integer) if (min..=max).contains(&integer) => Ok(()),
        Some(_) => Err(Error::expects(path.leaf(), name)),
        None if value.is_u64() => Err(Error::expects(path.leaf(), name)),
        None => Err(Error::mistyped(&path.to_string(), "integer")),
    }
}

fn check_object(object: &'static Object, members: &Map<String, Value>, path: Path<'_>) -> Result<(), Error> {
    let declared = check_members(object, members, path)?;
    if object.open {
        return Ok(());
    }
    let known = |name: &str| declared.iter().any(|member| member.name == name);
    match members.keys().find(|name| !known(name)) {
        Some(name) => Err(Error::unexpected(&Path::Member(&path, name).to_string())),
        None => Ok(()),
    }
}

/// Checks the declared members, those of the selected branch too, and says which they are.
fn check_members(
    object: &'static Object,
    members: &Map<String, Value>,
    path: Path<'_>,
) -> Result<Vec<&'static Member>, Error> {
    let mut declared: Vec<_> = object.common().collect();
    for member in &declared {
        let at = Path::Member(&path, member.name);
        match members.get(member.name) {
            Some(value) => check_at((member.ty)(), value, at)?,
            None if (member.optional)() => {}
            None => return Err(Error::missing(&at.to_string())),
        }
    }
    let case = object.union.and_then(|union| members.get(union.tag.name)).and_then(Value::as_str);
    if let Some(branch) = case.and_then(|case| object.branch(case)) {
        declared.extend(check_members(branch, members, path)?);
    }
    Ok(declared)
}

fn check_alternate(alternate: &'static Alternate, value: &Value, path: Path<'_>) -> Result<(), Error> {
    let fits = |ty: &Type| match ty {
        Type::Any => true,
        Type::Int(_) => value.is_i64() || value.is_u64(),
        Type::Number => value.is_number(),
        Type::Str | Type::Enum(_) => value.is_string(),
        Type::Bool => value.is_boolean(),
        Type::Null => value.is_null(),
        Type::Object(_) => value.is_object(),
        Type::Array(_) => value.is_array(),
        Type::Alternate(_) => false,
    };
    match alternate.types.iter().map(|ty| ty()).find(fits) {
        Some(ty) => check_at(ty, value, path),
        None => Err(Error::mistyped(&path.to_string(), alternate.name)),
    }
}
