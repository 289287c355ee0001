//! The manual, made from the declarations.

use super::{Member, Object, Type};
use crate::commands::FAMILIES;
use crate::event::{EventDeclaration, Limit};
use crate::registry::{Declaration, Family, Kind, Way};
use std::fmt::Write;

const PREFACE: &str = "\
# QMP in Lockstep

This page is made from the declarations in `qmp/src/commands`. Regenerate it with
`UPDATE_MANUAL=1 cargo test -p lockstep-qmp --test manual`.

A member or argument that is marked *optional* may be absent. Commands marked *steers* change the machine: they pass its
gate and are part of a recording.
";

/// The text of `docs/qmp.md`.
pub fn manual() -> String {
    let mut text = String::from(PREFACE);
    for family in FAMILIES {
        describe_family(&mut text, family);
    }
    text
}

fn describe_family(text: &mut String, family: &Family) {
    let _ = writeln!(text, "\n## {}", family.title);
    for command in family.commands {
        describe_command(text, command);
    }
    for event in family.events {
        describe_event(text, event);
    }
    for ty in family.types {
        describe_type(text, ty());
    }
}

fn describe_command(text: &mut String, command: &Declaration) {
    let steers = if command.kind == Kind::Steers { ", steers" } else { "" };
    let way = match command.way {
        Way::Plain => "",
        Way::OutOfBand => ", may run out-of-band",
        Way::WithDescriptor => ", takes a file descriptor",
    };
    let _ = writeln!(text, "\n### {} (command{steers}{way})\n\n{}", command.name, prose(command.docs));
    if let Type::Object(arguments) = (command.arguments)() {
        describe_members(text, "Arguments", arguments);
    }
    let returns = (command.returns)();
    if !returns.is_nothing() {
        let _ = writeln!(text, "\nReturns {}.", name(returns));
    }
}

fn describe_event(text: &mut String, event: &EventDeclaration) {
    let limit = match event.limit {
        Limit::None => String::new(),
        Limit::Together => ", once a second at most".into(),
        Limit::ForEach(member) => format!(", once a second at most for each `{member}`"),
    };
    let _ = writeln!(text, "\n### {} (event{limit})\n\n{}", event.name, prose(event.docs));
    if let Type::Object(data) = (event.data)() {
        describe_members(text, "Data", data);
    }
}

fn describe_type(text: &mut String, ty: Type) {
    match ty {
        Type::Object(object) => {
            let _ = writeln!(text, "\n### {} (object)\n\n{}", object.name, prose(object.docs));
            describe_members(text, "Members", object);
        }
        Type::Enum(enumeration) => {
            let _ = writeln!(text, "\n### {} (enumeration)\n\n{}\n", enumeration.name, prose(enumeration.docs));
            if enumeration.values.iter().all(|value| value.docs.is_empty()) {
                let names: Vec<String> = enumeration.values.iter().map(|value| format!("`{}`", value.name)).collect();
                let _ = writeln!(text, "{}", names.join(", "));
                return;
            }
            for value in enumeration.values {
                let _ = writeln!(text, "- `{}`: {}", value.name, prose(value.docs));
            }
        }
        Type::Alternate(alternate) => {
            let types: Vec<String> = alternate.types.iter().map(|ty| name(ty())).collect();
            let _ = writeln!(text, "\n### {} (alternate)\n\n{}", alternate.name, prose(alternate.docs));
            let _ = writeln!(text, "\nOne of {}.", types.join(", "));
        }
        Type::Int(_) | Type::Number | Type::Str | Type::Bool | Type::Null | Type::Any | Type::Array(_) => {}
    }
}

fn describe_members(text: &mut String, title: &str, object: &Object) {
    if object.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:\n");
    for member in object.common() {
        describe_member(text, member);
    }
    if object.open {
        text.push_str("- and others, which depend on these\n");
    }
    let Some(union) = object.union else { return };
    for branch in union.branches {
        let ty = (branch.ty)();
        if !ty.is_nothing() {
            let _ = writeln!(text, "- if `{}` is `{}`: the members of {}", union.tag.name, branch.case, name(ty));
        }
    }
}

fn describe_member(text: &mut String, member: &Member) {
    let optional = if (member.optional)() { ", optional" } else { "" };
    let _ = writeln!(text, "- `{}` ({}{optional}): {}", member.name, name((member.ty)()), prose(member.docs));
}

/// A type's name, and where it is described.
fn name(ty: Type) -> String {
    let link = |name: &str, kind: &str| format!("[{name}](#{}-{kind})", name.to_lowercase());
    match ty {
        Type::Int(_) => "integer".into(),
        Type::Number => "number".into(),
        Type::Str => "string".into(),
        Type::Bool => "boolean".into(),
        Type::Null => "null".into(),
        Type::Any => "any value".into(),
        Type::Enum(enumeration) => link(enumeration.name, "enumeration"),
        Type::Object(object) => link(object.name, "object"),
        Type::Alternate(alternate) => link(alternate.name, "alternate"),
        Type::Array(element) => format!("list of {}", name(element())),
    }
}

/// Documentation as one paragraph.
fn prose(docs: &[&str]) -> String {
    docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}
