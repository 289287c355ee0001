//! Processor models: what is in them and how they compare.

use crate::run::Control;
use lockstep_cpu::cpuid::{CpuModel, Features, ModelError};
use lockstep_qmp::Error;
use lockstep_qmp::commands::processors::{
    CpuDefinitionInfo, CpuModelBaselineInfo, CpuModelCompareInfo, CpuModelCompareResult, CpuModelExpansionInfo,
    CpuModelExpansionType, CpuModelInfo, QueryCpuDefinitions, QueryCpuModelBaseline, QueryCpuModelComparison,
    QueryCpuModelExpansion,
};
use lockstep_qmp::registry::{Answer, Registry};
use serde_json::{Map, Value};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_cpu_definitions).on(query_cpu_model_expansion);
    registry.on(query_cpu_model_comparison).on(query_cpu_model_baseline);
}

/// The model with no feature at all, on which static models are built.
const BASE: &str = "base";

/// The best that there can be on this host, which here is the best that this program has.
const HOST: &str = "host";

/// Properties of QEMU's models that change nothing without a hypervisor.
const HARMLESS: [&str; 2] = ["migratable", "hv-passthrough"];

/// The type of a model's processors in the object model.
pub(super) fn type_name(model: &str) -> String {
    format!("{model}-x86_64-cpu")
}

fn query_cpu_definitions(_: &mut Control, _: QueryCpuDefinitions) -> Answer<Vec<CpuDefinitionInfo>> {
    let names = CpuModel::names().chain([BASE]);
    Ok(names
        .map(|name| CpuDefinitionInfo {
            name: name.into(),
            // What a model means is in this program's table and nowhere else, but for `max`, which grows with it.
            migration_safe: Some(name != "max"),
            is_static: name == BASE,
            unavailable_features: Some(Vec::new()),
            typename: type_name(name),
            alias_of: None,
            deprecated: Some(false),
        })
        .collect())
}

fn query_cpu_model_expansion(_: &mut Control, command: QueryCpuModelExpansion) -> Answer<CpuModelExpansionInfo> {
    let model = model_of(&command.model, "model")?;
    let expanded = match command.ty {
        CpuModelExpansionType::Static => on_base(&model.features),
        CpuModelExpansionType::Full => {
            let all = Features::names().iter().map(|name| (*name).to_owned());
            let props: Map<_, _> =
                all.map(|name| (name.clone(), Value::Bool(announces(&model.features, &name)))).collect();
            CpuModelInfo { name: command.model.name, props: Some(Value::Object(props)) }
        }
    };
    Ok(CpuModelExpansionInfo { model: expanded })
}

/// A runs where B does if B has all that A has, and both are of one vendor: software looks at that.
fn query_cpu_model_comparison(_: &mut Control, command: QueryCpuModelComparison) -> Answer<CpuModelCompareInfo> {
    let (a, b) = (model_of(&command.modela, "modela")?, model_of(&command.modelb, "modelb")?);
    let differ = |one: &Features, other: &Features| -> Vec<String> {
        let only = Features::names().iter().filter(|name| announces(one, name) && !announces(other, name));
        only.map(|name| (*name).to_owned()).collect()
    };
    let (only_a, only_b) = (differ(&a.features, &b.features), differ(&b.features, &a.features));
    let same_kind = a.vendor == b.vendor || command.modela.name == BASE || command.modelb.name == BASE;
    let result = match (same_kind, only_a.is_empty(), only_b.is_empty()) {
        (false, ..) | (true, false, false) => CpuModelCompareResult::Incompatible,
        (true, true, true) => CpuModelCompareResult::Identical,
        (true, false, true) => CpuModelCompareResult::Superset,
        (true, true, false) => CpuModelCompareResult::Subset,
    };
    let kind = (!same_kind).then(|| "type".to_owned());
    let responsible_properties = kind.into_iter().chain(only_a).chain(only_b).collect();
    Ok(CpuModelCompareInfo { result, responsible_properties })
}

fn query_cpu_model_baseline(_: &mut Control, command: QueryCpuModelBaseline) -> Answer<CpuModelBaselineInfo> {
    let (a, b) = (model_of(&command.modela, "modela")?, model_of(&command.modelb, "modelb")?);
    let mut common = Features::default();
    for name in Features::names() {
        common.set(name, announces(&a.features, name) && announces(&b.features, name));
    }
    Ok(CpuModelBaselineInfo { model: on_base(&common) })
}

fn announces(features: &Features, name: &str) -> bool {
    features.has(name).unwrap_or(false)
}

/// A set of features as a model that never changes its meaning.
fn on_base(features: &Features) -> CpuModelInfo {
    let there = Features::names().iter().filter(|name| announces(features, name));
    let props: Map<_, _> = there.map(|name| ((*name).to_owned(), Value::Bool(true))).collect();
    CpuModelInfo { name: BASE.into(), props: Some(Value::Object(props)) }
}

/// The model that a client describes.
fn model_of(info: &CpuModelInfo, parameter: &str) -> Answer<CpuModel> {
    let mut model = if info.name == BASE {
        CpuModel { name: BASE.into(), features: Features::default(), ..CpuModel::max() }
    } else if info.name == HOST {
        CpuModel { name: HOST.into(), ..CpuModel::max() }
    } else {
        CpuModel::named(&info.name)
            .ok_or_else(|| Error::new(format!("The CPU definition '{}' is unknown.", info.name)))?
    };
    let props = match &info.props {
        None => return Ok(model),
        Some(Value::Object(props)) => props,
        Some(_) => return Err(Error::mistyped(&format!("{parameter}.props"), "dict")),
    };
    for (name, value) in props {
        let on = match value {
            Value::Bool(on) => *on,
            Value::String(word) if word == "on" => true,
            Value::String(word) if word == "off" => false,
            _ => return Err(Error::mistyped(&format!("{parameter}.props.{name}"), "boolean")),
        };
        if HARMLESS.contains(&name.as_str()) {
            continue;
        }
        model.set(name, on).map_err(|why| match why {
            ModelError::Feature(_) => Error::new(format!("Property '{}.{name}' not found", type_name(&info.name))),
            why => Error::new(why.to_string()),
        })?;
    }
    Ok(model)
}
