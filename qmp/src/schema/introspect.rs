//! `query-qmp-schema`: the declarations as QEMU's introspection shows them.
//!
//! Types other than the builtin ones go by numbers there, given in the order in which commands and events first need them;
//! their names are nobody's business but this crate's.

use super::{Object, Type};
use crate::event::EventDeclaration;
use crate::registry::{Catalog, Way};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The answer to `query-qmp-schema`: a list of `SchemaInfo`.
pub fn schema(catalog: &Catalog, events: &[&'static EventDeclaration]) -> Value {
    let mut introspection = Introspection::default();
    let mut entries: Vec<Value> = catalog
        .commands()
        .map(|command| {
            let mut entry = json!({
                "meta-type": "command",
                "name": command.name,
                "arg-type": introspection.refer((command.arguments)()),
                "ret-type": introspection.refer((command.returns)()),
            });
            if command.way == Way::OutOfBand {
                entry["allow-oob"] = json!(true);
            }
            entry
        })
        .collect();
    entries.extend(events.iter().map(
        |event| json!({ "meta-type": "event", "name": event.name, "arg-type": introspection.refer((event.data)()) }),
    ));
    introspection.describe(&mut entries);
    Value::Array(entries)
}

#[derive(Default)]
struct Introspection {
    /// The types that entries refer to, and what they are called there.
    names: BTreeMap<String, String>,
    /// Those that are not described yet.
    open: Vec<(String, Type)>,
    numbers: usize,
}

impl Introspection {
    /// The name under which `ty` is found.
    fn refer(&mut self, ty: Type) -> String {
        let key = key(ty);
        if let Some(name) = self.names.get(&key) {
            return name.clone();
        }
        let name = match ty {
            Type::Array(element) => format!("[{}]", self.refer(element())),
            Type::Enum(_) | Type::Object(_) | Type::Alternate(_) => {
                self.numbers += 1;
                (self.numbers - 1).to_string()
            }
            Type::Int(_) | Type::Number | Type::Str | Type::Bool | Type::Null | Type::Any => key.clone(),
        };
        self.names.insert(key, name.clone());
        self.open.push((name.clone(), ty));
        name
    }

    fn describe(&mut self, entries: &mut Vec<Value>) {
        while let Some((name, ty)) = self.open.pop() {
            let mut entry = self.describe_one(ty);
            entry["name"] = json!(name);
            entries.push(entry);
        }
    }

    fn describe_one(&mut self, ty: Type) -> Value {
        let builtin = |json_type: &str| json!({ "meta-type": "builtin", "json-type": json_type });
        match ty {
            Type::Int(_) => builtin("int"),
            Type::Number => builtin("number"),
            Type::Str => builtin("string"),
            Type::Bool => builtin("boolean"),
            Type::Null => builtin("null"),
            Type::Any => builtin("value"),
            Type::Enum(enumeration) => {
                let values: Vec<&str> = enumeration.values.iter().map(|value| value.name).collect();
                // QEMU 7.2 gives the strings once more as `members`, for which there is nothing to add.
                json!({ "meta-type": "enum", "values": values })
            }
            Type::Array(element) => json!({ "meta-type": "array", "element-type": self.refer(element()) }),
            Type::Alternate(alternate) => {
                let members: Vec<Value> =
                    alternate.types.iter().map(|ty| json!({ "type": self.refer(ty()) })).collect();
                json!({ "meta-type": "alternate", "members": members })
            }
            Type::Object(object) => self.describe_object(object),
        }
    }

    fn describe_object(&mut self, object: &'static Object) -> Value {
        let members: Vec<Value> = object
            .common()
            .map(|member| {
                let mut entry = json!({ "name": member.name, "type": self.refer((member.ty)()) });
                if (member.optional)() {
                    entry["default"] = Value::Null;
                }
                entry
            })
            .collect();
        let mut entry = json!({ "meta-type": "object", "members": members });
        if let Some(union) = object.union {
            let case = |branch: &super::Branch| json!({ "case": branch.case, "type": self.refer((branch.ty)()) });
            entry["variants"] = union.branches.iter().map(case).collect();
            entry["tag"] = json!(union.tag.name);
        }
        entry
    }
}

/// What tells a type from all others. Integers of all widths are one type to JSON.
fn key(ty: Type) -> String {
    match ty {
        Type::Int(_) => "int".into(),
        Type::Number => "number".into(),
        Type::Str => "str".into(),
        Type::Bool => "bool".into(),
        Type::Null => "null".into(),
        Type::Any => "any".into(),
        Type::Enum(enumeration) => format!("enum {}", enumeration.name),
        Type::Object(object) if object.is_empty() => "object".into(),
        Type::Object(object) => format!("object {}", object.name),
        Type::Array(element) => format!("[{}]", key(element())),
        Type::Alternate(alternate) => format!("alternate {}", alternate.name),
    }
}
