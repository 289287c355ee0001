//! Processor models: what is in them and how they compare.

use crate::run::Control;
use lockstep_cpu::cpuid::{CpuModel, Features, Vendor};
use lockstep_qmp::Error;
use lockstep_qmp::commands::processors::{
    CpuDefinitionInfo, CpuModelBaselineInfo, CpuModelCompareInfo, CpuModelCompareResult, CpuModelExpansionInfo,
    CpuModelExpansionType, CpuModelInfo, QueryCpuDefinitions, QueryCpuModelBaseline, QueryCpuModelComparison,
    QueryCpuModelExpansion,
};
use lockstep_qmp::registry::{Answer, Registry};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

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
pub(crate) fn type_name(model: &str) -> String {
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
            unavailable_features: Some(CpuModel::lacking(name).iter().map(|name| (*name).to_owned()).collect()),
            typename: type_name(name),
            alias_of: CpuModel::alias_of(name).map(str::to_owned),
            deprecated: Some(false),
        })
        .collect())
}

fn query_cpu_model_expansion(_: &mut Control, command: QueryCpuModelExpansion) -> Answer<CpuModelExpansionInfo> {
    let described = described(&command.model, "model")?;
    let expanded = match command.ty {
        CpuModelExpansionType::Static => on_base(&described.features),
        CpuModelExpansionType::Full => {
            let built = Features::names().iter().map(|name| (*name).to_owned());
            let all: BTreeSet<String> = built.chain(described.features.iter().cloned()).collect();
            let props: Map<_, _> =
                all.into_iter().map(|name| (name.clone(), described.features.contains(&name).into())).collect();
            CpuModelInfo { name: command.model.name, props: Some(Value::Object(props)) }
        }
    };
    Ok(CpuModelExpansionInfo { model: expanded })
}

/// A runs where B does if B has all that A has, and both are of one vendor: software looks at that. What is not implemented counts
/// too, since it is part of what the models are.
fn query_cpu_model_comparison(_: &mut Control, command: QueryCpuModelComparison) -> Answer<CpuModelCompareInfo> {
    let (a, b) = (described(&command.modela, "modela")?, described(&command.modelb, "modelb")?);
    let differ = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>();
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
    let (a, b) = (described(&command.modela, "modela")?, described(&command.modelb, "modelb")?);
    let common = a.features.intersection(&b.features).cloned().collect();
    Ok(CpuModelBaselineInfo { model: on_base(&common) })
}

/// A set of features as a model that never changes its meaning.
fn on_base(features: &BTreeSet<String>) -> CpuModelInfo {
    let props: Map<_, _> = features.iter().map(|name| (name.clone(), Value::Bool(true))).collect();
    CpuModelInfo { name: BASE.into(), props: Some(Value::Object(props)) }
}

/// A model as a client describes it.
struct Described {
    vendor: Vendor,
    /// All its features, those among them that are not implemented.
    features: BTreeSet<String>,
}

fn described(info: &CpuModelInfo, parameter: &str) -> Answer<Described> {
    let model = match info.name.as_str() {
        BASE => CpuModel { features: Features::default(), ..CpuModel::max() },
        HOST => CpuModel::max(),
        name => CpuModel::named(name).ok_or_else(|| Error::new(format!("CPU model '{name}' not found")))?,
    };
    let there = Features::names().iter().filter(|name| model.features.has(name) == Some(true));
    let mut features: BTreeSet<String> =
        there.chain(CpuModel::lacking(&info.name)).map(|name| (*name).to_owned()).collect();
    let props = match &info.props {
        None => None,
        Some(Value::Object(props)) => Some(props),
        Some(_) => return Err(Error::mistyped(&format!("{parameter}.props"), "dict")),
    };
    for (name, value) in props.into_iter().flatten().filter(|(name, _)| !HARMLESS.contains(&name.as_str())) {
        let on = match value {
            Value::Bool(on) => *on,
            Value::String(word) if word == "on" => true,
            Value::String(word) if word == "off" => false,
            _ => return Err(Error::mistyped(&format!("{parameter}.props.{name}"), "boolean")),
        };
        let feature = CpuModel::feature(name);
        let feature =
            feature.ok_or_else(|| Error::new(format!("Property '{}.{name}' not found", type_name(&info.name))))?;
        if on {
            features.insert(feature);
        } else {
            features.remove(&feature);
        }
    }
    Ok(Described { vendor: model.vendor, features })
}
