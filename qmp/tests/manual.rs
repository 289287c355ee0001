//! `docs/qmp.md` says what the declarations say, and the declarations leave nothing out.

use lockstep_qmp::commands::{FAMILIES, events};
use lockstep_qmp::registry::Catalog;
use lockstep_qmp::schema::{Type, introspect, manual};
use lockstep_qmp::wire::{Layout, to_line};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn the_manual_is_what_the_declarations_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/qmp.md");
    let made = manual();
    if std::env::var_os("UPDATE_MANUAL").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(made == kept, "docs/qmp.md is out of date (UPDATE_MANUAL=1 makes it anew): {differs:?}");
}

#[test]
fn everything_is_documented_and_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for family in FAMILIES {
        for command in family.commands {
            assert!(!command.docs.is_empty(), "{}", command.name);
            assert!(names.insert(command.name), "{} twice", command.name);
        }
        for event in family.events {
            assert!(!event.docs.is_empty(), "{}", event.name);
            assert!(names.insert(event.name), "{} twice", event.name);
        }
        for ty in family.types {
            let (name, docs) = match ty() {
                Type::Object(object) => (object.name, object.docs),
                Type::Enum(enumeration) => (enumeration.name, enumeration.docs),
                Type::Alternate(alternate) => (alternate.name, alternate.docs),
                other => panic!("{other:?}"),
            };
            assert!(!docs.is_empty(), "{name}");
            assert!(names.insert(name), "{name} twice");
        }
    }
    println!("{} commands", FAMILIES.iter().map(|family| family.commands.len()).sum::<usize>());
    println!("{} events", events().len());
}

/// What clients build on when they read `query-qmp-schema`: names are unique, and every type that is referred to is there.
#[test]
fn the_schema_holds_together() {
    let catalog = Catalog::new(FAMILIES.iter().flat_map(|family| family.commands).copied());
    let schema = introspect::schema(&catalog, &events());
    let entries = schema.as_array().unwrap();
    let is_type = |entry: &&Value| !matches!(entry["meta-type"].as_str().unwrap(), "command" | "event");
    let types: Vec<&str> = entries.iter().filter(is_type).map(|entry| entry["name"].as_str().unwrap()).collect();
    let unique: BTreeSet<_> = types.iter().collect();
    assert_eq!(unique.len(), types.len());
    let mut referred = BTreeSet::new();
    for entry in entries {
        refer(entry, &mut referred);
    }
    for name in &referred {
        assert!(types.contains(&name.as_str()), "{name} is not described");
    }
    for name in types {
        assert!(referred.contains(name), "nothing refers to {name}");
    }
    let line = to_line(&json!({ "return": schema }), Layout::Compact).len();
    println!("query-qmp-schema: {} entries, a line of {line} bytes", entries.len());
    assert!(line <= 64 << 10, "a reader of lines up to 64 KiB has {line} bytes to take");
}

/// All types that an entry names.
fn refer(entry: &Value, into: &mut BTreeSet<String>) {
    match entry {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(ty) if matches!(name.as_str(), "arg-type" | "ret-type" | "element-type" | "type") => {
                        into.insert(ty.clone());
                    }
                    _ => refer(value, into),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| refer(element, into)),
        _ => {}
    }
}
