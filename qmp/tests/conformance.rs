//! Every command, event and type of QEMU 2.11's schema is declared, with the members, types, optionality and values that it
//! has there. Newer QEMU's additions are allowed where they break no client: members that may be absent.

use lockstep_qmp::commands::FAMILIES;
use lockstep_qmp::registry::Declaration;
use lockstep_qmp::schema::{Member, Object, Type, Width};
use serde_json::Value;
use std::collections::BTreeMap;

const SCHEMA: &str = include_str!("../../tests/qmp/schema-2.11.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn commands() -> BTreeMap<&'static str, &'static Declaration> {
    FAMILIES.iter().flat_map(|family| family.commands).map(|command| (command.name, *command)).collect()
}

/// Types of other parts of QEMU's schema that the text refers to and does not define.
const ELSEWHERE: [&str; 1] = ["WatchdogAction"];

#[test]
fn every_command_of_the_schema_is_declared_as_it_is_there() {
    let schema = schema();
    let (declared, expected) = (commands(), schema["command"].as_object().unwrap());
    let mut right = 0;
    for (name, facts) in expected {
        let Some(command) = declared.get(name.as_str()) else { panic!("{name} is not declared") };
        let Type::Object(arguments) = (command.arguments)() else { panic!("the arguments of {name} are no object") };
        assert_members(name, arguments, &facts["members"]);
        if facts["open"] == true {
            assert!(arguments.open, "{name} takes further arguments");
        }
        match &facts["returns"] {
            Value::Null => assert!((command.returns)().is_nothing(), "{name} returns nothing"),
            returns => assert_type(name, (command.returns)(), returns),
        }
        right += 1;
    }
    println!("commands: {right}/{}", expected.len());
    assert_eq!((right, expected.len()), (61, 61));
}

#[test]
fn every_event_of_the_schema_is_declared_as_it_is_there() {
    let schema = schema();
    let expected = schema["event"].as_object().unwrap();
    let declared = lockstep_qmp::commands::events();
    let mut right = 0;
    for (name, facts) in expected {
        let Some(event) = declared.iter().find(|event| event.name == name) else { panic!("{name} is not declared") };
        let Type::Object(data) = (event.data)() else { panic!("the data of {name} is no object") };
        assert_members(name, data, &facts["members"]);
        right += 1;
    }
    println!("events: {right}/{}", expected.len());
    assert_eq!((right, expected.len()), (6, 6));
}

#[test]
fn every_type_of_the_schema_is_declared_as_it_is_there() {
    let schema = schema();
    let mut declared = BTreeMap::new();
    for ty in FAMILIES.iter().flat_map(|family| family.types) {
        declared.insert(name_of(ty()), ty());
    }
    let find = |name: &str| *declared.get(name).unwrap_or_else(|| panic!("{name} is not declared"));
    let mut right = 0;
    for (name, facts) in schema["enum"].as_object().unwrap() {
        let Type::Enum(enumeration) = find(name) else { panic!("{name} is no enumeration") };
        let values: Vec<_> = enumeration.values.iter().map(|value| value.name).collect();
        assert_eq!(Value::from(values), facts["values"], "{name}");
        right += 1;
    }
    for (name, facts) in schema["struct"].as_object().unwrap() {
        let Type::Object(object) = find(name) else { panic!("{name} is no object") };
        assert_members(name, object, &facts["members"]);
        if let Some(base) = facts["base"].as_str() {
            assert_members(name, object, &schema["struct"][base]["members"]);
        }
        right += 1;
    }
    for (name, facts) in schema["union"].as_object().unwrap() {
        let Type::Object(object) = find(name) else { panic!("{name} is no object") };
        let union = object.union.unwrap_or_else(|| panic!("{name} is no union"));
        assert_eq!(facts["tag"], union.tag.name, "{name}");
        assert_members(name, object, &facts["members"]);
        for branch in facts["branches"].as_array().unwrap() {
            let case = branch[0].as_str().unwrap();
            let mut of_case = object.branch(case).unwrap_or_else(|| panic!("{name} has no branch {case}"));
            if facts["simple"] == true {
                let data = of_case.members.iter().find(|member| member.name == "data").expect("a branch's data");
                let Type::Object(inner) = (data.ty)() else { panic!("the data of {name}'s {case} is no object") };
                of_case = inner;
            }
            assert_eq!(branch[1], of_case.name, "{name}, {case}");
        }
        right += 1;
    }
    println!("types: {right}");
    assert_eq!(
        right,
        ["enum", "struct", "union"].iter().map(|kind| schema[kind].as_object().unwrap().len()).sum::<usize>()
    );
}

/// The members that the schema has are there, in its order, with the types that they have there. Further ones may be absent.
fn assert_members(whose: &str, object: &'static Object, expected: &Value) {
    let declared: Vec<&Member> = object.common().collect();
    let expected = expected.as_array().unwrap();
    for member in expected {
        let (name, optional) = (member[0].as_str().unwrap(), member[2].as_bool().unwrap());
        let found = declared.iter().find(|declared| declared.name == name);
        let found = found.unwrap_or_else(|| panic!("{whose} has no {name}"));
        assert_eq!((found.optional)(), optional, "whether {whose}.{name} may be absent");
        assert_type(&format!("{whose}.{name}"), (found.ty)(), &member[1]);
    }
    // A simple union's tag goes without saying.
    let tag = object.union.map(|union| union.tag.name);
    for member in declared.iter().filter(|member| Some(member.name) != tag) {
        if !expected.iter().any(|expected| expected[0] == member.name) {
            assert!(
                (member.optional)(),
                "{whose} has {} besides, and a client cannot know that it has to be there",
                member.name
            );
        }
    }
}

fn assert_type(whose: &str, ty: Type, expected: &Value) {
    if let Some(element) = expected.get(0) {
        let Type::Array(declared) = ty else { panic!("{whose} is no array") };
        return assert_type(whose, declared(), element);
    }
    let expected = expected.as_str().unwrap();
    let name = match ty {
        Type::Int(Width::I64) => "int".into(),
        Type::Int(Width::U64) => "size".into(),
        other => name_of(other),
    };
    assert_eq!(name, expected, "the type of {whose}");
    assert!(is_known(expected), "{expected} is a type of nobody's");
}

fn is_known(name: &str) -> bool {
    let schema = schema();
    let builtin = ["int", "size", "uint8", "uint16", "uint32", "str", "bool", "any"].contains(&name);
    builtin
        || ELSEWHERE.contains(&name)
        || ["enum", "struct", "union"].iter().any(|kind| schema[kind].get(name).is_some())
}

fn name_of(ty: Type) -> String {
    match ty {
        Type::Int(width) => format!("{width:?}").replace('U', "uint").replace('I', "int"),
        Type::Number => "number".into(),
        Type::Str => "str".into(),
        Type::Bool => "bool".into(),
        Type::Null => "null".into(),
        Type::Any => "any".into(),
        Type::Enum(enumeration) => enumeration.name.into(),
        Type::Object(object) => object.name.into(),
        Type::Array(element) => format!("[{}]", name_of(element())),
        Type::Alternate(alternate) => alternate.name.into(),
    }
}
