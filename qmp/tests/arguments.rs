//! Any arguments to any command: what the check lets through, the handler's type takes, and what it takes is what was sent.

use lockstep_qmp::commands::FAMILIES;
use lockstep_qmp::registry::{Command, Declaration};
use lockstep_qmp::schema::check::{check, check_value};
use lockstep_qmp::schema::{Member, Object, Qapi, Type, Width};
use lockstep_qmp::{Error, commands};
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

/// Any value, small.
fn anything() -> BoxedStrategy<Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-4.0f64..4.0).prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!({ "a": [null] })),
    ]
    .boxed()
}

/// Values of a type, and now and then one that is not.
fn value_of(ty: Type, depth: usize) -> BoxedStrategy<Value> {
    if depth == 0 {
        return anything();
    }
    let right = match ty {
        Type::Int(Width::U64) => any::<u64>().prop_map(Value::from).boxed(),
        Type::Int(Width::I64) => any::<i64>().prop_map(Value::from).boxed(),
        Type::Int(_) => (-300..70_000i64).prop_map(Value::from).boxed(),
        Type::Number => (-4.0f64..4.0).prop_map(Value::from).boxed(),
        Type::Str => "[a-z]{0,3}".prop_map(Value::from).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Type::Null => Just(Value::Null).boxed(),
        Type::Any => anything(),
        Type::Enum(enumeration) => {
            let names: Vec<_> = enumeration.values.iter().map(|value| Value::from(value.name)).collect();
            prop::sample::select(names).boxed()
        }
        Type::Array(element) => {
            prop::collection::vec(value_of(element(), depth - 1), 0..3).prop_map(Value::from).boxed()
        }
        Type::Object(object) => members_of(object, depth - 1).prop_map(Value::Object).boxed(),
        Type::Alternate(alternate) => Union::new(alternate.types.iter().map(|ty| value_of(ty(), depth - 1))).boxed(),
    };
    prop_oneof![30 => right, 1 => anything()].boxed()
}

fn members_of(object: &'static Object, depth: usize) -> BoxedStrategy<Map<String, Value>> {
    let branches = object.union.map(|union| union.branches).unwrap_or_default();
    let cases = branches.iter().filter_map(|branch| Some((Some(branch.case), object.branch(branch.case)?)));
    let cases: Vec<_> = if branches.is_empty() { vec![(None, object)] } else { cases.collect() };
    Union::new(cases.into_iter().map(move |(case, branch)| {
        let mut members: Vec<&'static Member> = object.common().collect();
        if case.is_some() {
            members.extend(branch.common());
        }
        let tag = object.union.map(|union| union.tag.name);
        let one = move |member: &'static Member| {
            let chance = if (member.optional)() { 0.5 } else { 0.97 };
            let value = match case {
                Some(case) if Some(member.name) == tag => Just(Value::from(case)).boxed(),
                _ => value_of((member.ty)(), depth),
            };
            (Just(member.name.to_owned()), prop::option::weighted(chance, value))
        };
        let extra = (Just("quux".to_owned()), prop::option::weighted(0.05, anything()));
        let members = members.into_iter().map(|member| one(member).boxed()).chain([extra.boxed()]).collect::<Vec<_>>();
        members.prop_map(|members| members.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }))
    .boxed()
}

fn arguments_of(command: &'static Declaration) -> BoxedStrategy<Map<String, Value>> {
    match (command.arguments)() {
        Type::Object(object) => members_of(object, 4),
        other => panic!("{other:?}"),
    }
}

fn any_order() -> impl Strategy<Value = (&'static Declaration, Map<String, Value>)> {
    let all: Vec<&'static Declaration> = FAMILIES.iter().flat_map(|family| family.commands).copied().collect();
    prop::sample::select(all).prop_flat_map(|command| (Just(command), arguments_of(command)))
}

/// A value that the check lets through comes back from the Rust type as it went in.
fn there_and_back<C: Command>(arguments: &Map<String, Value>) -> Result<(), TestCaseError> {
    if check(C::ty(), arguments).is_err() {
        return Ok(());
    }
    let command: C = serde_json::from_value(Value::Object(arguments.clone()))
        .map_err(|error| TestCaseError::fail(format!("{}: {error}: {arguments:?}", C::DECLARATION.name)))?;
    prop_assert_eq!(serde_json::to_value(&command).unwrap(), Value::Object(arguments.clone()));
    Ok(())
}

macro_rules! both_ways {
    ($($test:ident: $command:ty),* $(,)?) => { proptest! { $(
        #[test]
        fn $test(arguments in arguments_of(<$command>::DECLARATION)) {
            there_and_back::<$command>(&arguments)?;
        }
    )* } };
}

// One of each shape: integers, enumerations, unions in unions, alternates, null or absent, undeclared arguments.
both_ways! {
    memsave: commands::dump::Memsave,
    dump_guest_memory: commands::dump::DumpGuestMemory,
    device_add: commands::qdev::DeviceAdd,
    set_action: commands::run_state::SetAction,
    expansion: commands::processors::QueryCpuModelExpansion,
    chardev_add: commands::char::ChardevAdd,
    blockdev_add: commands::nodes::BlockdevOptions,
    input_send_event: commands::ui::InputSendEvent,
    qom_set: commands::qom::QomSet,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The check ends, does not panic, and names an argument when it refuses.
    #[test]
    fn any_arguments_to_any_command((command, arguments) in any_order()) {
        if let Err(Error { desc, .. }) = check((command.arguments)(), &arguments) {
            prop_assert!(desc.contains('\''), "{}", desc);
        }
    }
}

#[allow(clippy::needless_pass_by_value)]
fn refusal<T: Qapi>(value: Value) -> String {
    check_value(T::ty(), &value).unwrap_err().desc
}

/// In QEMU 7.2's words.
#[test]
fn what_is_wrong_is_named() {
    use commands::ui::SendKey;
    let keys = |keys: Value| refusal::<SendKey>(json!({ "keys": keys }));
    assert_eq!(keys(json!(5)), "Invalid parameter type for 'keys', expected: array");
    assert_eq!(keys(json!(["a"])), "Invalid parameter type for 'keys[0]', expected: object");
    assert_eq!(keys(json!([{ "data": "a" }])), "Parameter 'keys[0].type' is missing");
    assert_eq!(keys(json!([{ "type": "qc", "data": "a" }])), "Parameter 'type' does not accept value 'qc'");
    assert_eq!(keys(json!([{ "type": "qcode", "data": "zz" }])), "Parameter 'data' does not accept value 'zz'");
    let numa = refusal::<commands::memory::NumaOptions>;
    assert_eq!(numa(json!({ "type": "dist", "src": 70_000, "dst": 0, "val": 10 })), "Parameter 'src' expects uint16_t");
    assert_eq!(numa(json!({ "type": "dist", "src": -1, "dst": 0, "val": 10 })), "Parameter 'src' expects uint16_t");
    assert_eq!(numa(json!({ "type": "dist", "src": 0, "dst": 0, "val": 256 })), "Parameter 'val' expects uint8_t");
    assert_eq!(numa(json!({ "type": "node", "mem": "x" })), "Parameter 'mem' expects uint64");
    assert_eq!(numa(json!({ "type": "cpu", "mem": 1 })), "Parameter 'mem' is unexpected");
    let blockdev = refusal::<commands::nodes::BlockdevOptions>;
    assert_eq!(
        blockdev(json!({ "driver": "raw", "file": { "driver": "file" } })),
        "Parameter 'file.filename' is missing"
    );
    assert_eq!(
        blockdev(json!({ "driver": "raw", "file": 1 })),
        "Invalid parameter type for 'file', expected: BlockdevRef"
    );
}

#[test]
fn null_and_absent_are_not_the_same() {
    use commands::nodes::{BlockdevOptions, BlockdevOptionsOf, BlockdevRefOrNull};
    let backing = |options: Value| {
        check_value(BlockdevOptions::ty(), &options).unwrap();
        match serde_json::from_value::<BlockdevOptions>(options).unwrap().driver {
            BlockdevOptionsOf::Qcow2(qcow2) => qcow2.backing,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(backing(json!({ "driver": "qcow2", "file": "a" })), None);
    let null = backing(json!({ "driver": "qcow2", "file": "a", "backing": null }));
    assert!(matches!(null, Some(BlockdevRefOrNull::Null(_))));
    let named = backing(json!({ "driver": "qcow2", "file": "a", "backing": "b" }));
    assert_eq!(named, Some(BlockdevRefOrNull::Reference("b".into())));
}
