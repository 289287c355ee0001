//! The vCPUs that `-cpu` and `-smp` ask for.

use super::{BoardError, processor_places};
use crate::commandline::{Config, CpuConfig, CpuProperty, OptionError, number};
use crate::plug::Processor;
use lockstep_cpu::Vcpu;
use lockstep_cpu::cpuid::{CpuModel, ModelError, Topology, Vendor};
use std::collections::BTreeMap;

/// What QEMU's own processors take and nothing here depends on: how strict it is about the host, and what KVM does.
const WITHOUT_EFFECT: &[&str] = &["check", "migratable", "kvm", "host-phys-bits", "host-cache-info", "l3-cache"];

/// Makes the vCPUs.
pub(super) fn build(config: &Config) -> Result<Vec<Vcpu>, BoardError> {
    let mut model = model(&config.cpu)?;
    let smp = &config.smp;
    model.topology = Topology { sockets: smp.sockets, dies: smp.dies, cores: smp.cores, threads: smp.threads };
    let seed = config.seed.unwrap_or_default();
    let mut numbers: Vec<_> = (0..smp.cpus).map(|number| number as u8).collect();
    numbers.extend(of_devices(config)?.into_keys());
    numbers.sort_unstable();
    Ok(numbers.into_iter().map(|number| Vcpu::new(number, model.clone(), seed)).collect())
}

/// The processors that `-device` adds, by their numbers.
pub(super) fn of_devices(config: &Config) -> Result<BTreeMap<u8, Processor>, OptionError> {
    let mut all = BTreeMap::new();
    for device in config.devices.iter().filter(|device| processor_places::is_processor(device)) {
        let refused = |why: String| OptionError::refused(&device.origin, why);
        let cpu = processor_places::number_of(config, device).map_err(refused)?;
        let taken = u32::from(cpu) < config.smp.cpus || all.contains_key(&cpu);
        if taken {
            return Err(refused(processor_places::exists(config, cpu)));
        }
        all.insert(cpu, Processor { device: device.clone(), cpu, hotplugged: false });
    }
    Ok(all)
}

/// The APIC IDs of the vCPUs, in their order.
pub(super) fn apic_ids(cpus: &[Vcpu]) -> Vec<u8> {
    cpus.iter().map(|cpu| cpu.model.topology.apic_id(cpu.index.into()) as u8).collect()
}

/// The first number above every APIC ID that the machine can have.
pub(super) fn apic_id_limit(config: &Config) -> u16 {
    let smp = &config.smp;
    let topology = Topology { sockets: smp.sockets, dies: smp.dies, cores: smp.cores, threads: smp.threads };
    (topology.apic_id(smp.maxcpus.saturating_sub(1)) + 1) as u16
}

/// The model that `-cpu` describes.
fn model(asked: &CpuConfig) -> Result<CpuModel, OptionError> {
    let blame = |option: String, why: &dyn std::fmt::Display| OptionError::refused(option, why.to_string());
    let mut model = CpuModel::named(&asked.model)
        .ok_or_else(|| blame(format!("-cpu {}", asked.model), &ModelError::Model(asked.model.clone())))?;
    if let Some(why) = lacking(asked).filter(|_| asked.feature("enforce") == Some(true)) {
        return Err(blame(format!("-cpu {},enforce", asked.model), &why));
    }
    for property in &asked.properties {
        let typed = || match property {
            CpuProperty::Plus(name) => format!("-cpu {},+{name}", asked.model),
            CpuProperty::Minus(name) => format!("-cpu {},-{name}", asked.model),
            CpuProperty::Set(name, value) => format!("-cpu {},{name}={value}", asked.model),
        };
        let (name, value) = match property {
            CpuProperty::Plus(name) | CpuProperty::Minus(name) => (name, None),
            CpuProperty::Set(name, value) => (name, Some(value.as_str())),
        };
        if name == "enforce" || WITHOUT_EFFECT.contains(&name.as_str()) {
            continue;
        }
        if value.is_some_and(|value| set_value(&mut model, name, value)) {
            continue;
        }
        // Which of several mentions counts does not depend on their order alone.
        let on = asked.feature(name).ok_or_else(|| {
            let why = match model.set(name, false) {
                Ok(()) | Err(ModelError::NotBuilt(_)) => ModelError::Value(name.clone(), value.unwrap_or("").into()),
                Err(unknown) => unknown,
            };
            blame(typed(), &why)
        })?;
        model.set(name, on).map_err(|why| blame(typed(), &why))?;
    }
    Ok(model)
}

/// What the model that is asked for would have and has not here, unless that is switched off.
fn lacking(asked: &CpuConfig) -> Option<String> {
    let lacking = CpuModel::lacking(&asked.model).iter().filter(|name| asked.feature(name) != Some(false));
    let names: Vec<_> = lacking.copied().collect();
    (!names.is_empty())
        .then(|| format!("these features are not built in this version of Lockstep: {}", names.join(", ")))
}

/// What a user should know of the processors that are asked for, unless he says that he does not care (`check=off`).
pub(super) fn warning(asked: &CpuConfig) -> Option<String> {
    let wanted = asked.feature("check") != Some(false);
    lacking(asked).filter(|_| wanted).map(|why| format!("-cpu {}: {why}", asked.model))
}

/// Sets a property that is no feature; false if there is none of this name or it does not take this value.
fn set_value(model: &mut CpuModel, name: &str, value: &str) -> bool {
    let within = |least: u32, most: u32| {
        number(value).and_then(|n| u32::try_from(n).ok()).filter(|n| (least..=most).contains(n))
    };
    match name {
        "phys-bits" => within(32, 52).map(|bits| model.physical_bits = bits),
        "level" => within(1, 0x1f).map(|level| model.level = level),
        "xlevel" => within(0x8000_0000, 0x8000_001f).map(|level| model.extended_level = level),
        "stepping" => within(0, 15).map(|stepping| model.signature = model.signature & !0xf | stepping),
        "model-id" => (value.len() <= BRAND_MAX).then(|| value.clone_into(&mut model.brand)),
        "vendor" => vendor(value).map(|vendor| model.vendor = vendor),
        _ => None,
    }
    .is_some()
}

/// Bytes of a brand string.
const BRAND_MAX: usize = 48;
const VENDORS: [(Vendor, &str); 2] = [(Vendor::Amd, "AuthenticAMD"), (Vendor::Intel, "GenuineIntel")];

fn vendor(name: &str) -> Option<Vendor> {
    VENDORS.iter().find(|(_, text)| *text == name).map(|(vendor, _)| *vendor)
}

/// The vendor's name as CPUID gives it.
pub(super) fn vendor_name(vendor: Vendor) -> &'static str {
    VENDORS.iter().find(|(known, _)| *known == vendor).map_or("", |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commandline::{Invocation, Vocabulary, parse};

    fn cpus(line: &str) -> Result<Vec<Vcpu>, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match parse(&words, &Vocabulary::default()) {
            Ok(Invocation::Run(config)) => build(&config).map_err(|e| e.to_string()),
            Ok(Invocation::Print(text)) => panic!("only prints {text}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_model_is_what_was_asked_for() {
        let cpus =
            cpus("-cpu qemu64,+smep,-nx,sse4_1=on,phys-bits=36,enforce -smp 4,sockets=2,cores=1,threads=2").unwrap();
        assert_eq!(cpus.len(), 4);
        let model = &cpus[3].model;
        assert_eq!((model.name.as_str(), model.physical_bits), ("qemu64", 36));
        assert_eq!(["smep", "nx", "sse4.1"].map(|name| model.features.has(name)), [true, false, true].map(Some));
        assert_eq!(model.topology, Topology { sockets: 2, dies: 1, cores: 1, threads: 2 });
    }

    #[test]
    fn what_a_model_lacks_is_told_or_refused() {
        let asked = |line: &str| match parse(&["-cpu".to_owned(), line.to_owned()], &Vocabulary::default()) {
            Ok(Invocation::Run(config)) => warning(&config.cpu),
            other => panic!("{other:?}"),
        };
        let told = asked("Westmere,-aes").expect("a warning");
        assert_eq!(told, "-cpu Westmere: these features are not built in this version of Lockstep: pclmulqdq");
        assert_eq!(
            (asked("Westmere,check=off"), asked("Westmere,-aes,-pclmulqdq"), asked("qemu64")),
            (None, None, None)
        );
        assert!(
            cpus("-cpu Westmere,-aes,enforce").unwrap_err().contains("not built in this version of Lockstep: pclmul")
        );
        assert!(cpus("-cpu Westmere-v1,-aes,-pclmulqdq,enforce").is_ok());
    }

    #[test]
    fn removal_beats_addition_whatever_the_order() {
        for line in ["-cpu max,-nx,+nx", "-cpu max,+nx,-nx", "-cpu max,-nx,nx=on"] {
            assert_eq!(cpus(line).unwrap()[0].model.features.has("nx"), Some(false), "{line}");
        }
    }

    #[test]
    fn what_is_unknown_or_not_built_is_refused_by_name() {
        let error = |line| cpus(line).err().unwrap_or_default();
        assert_eq!(error("-cpu max,+warp"), "-cpu max,+warp: unknown CPU feature 'warp'");
        assert_eq!(error("-cpu max,warp=7"), "-cpu max,warp=7: unknown CPU feature 'warp'");
        assert_eq!(
            error("-cpu max,+avx2"),
            "-cpu max,+avx2: CPU feature 'avx2' is not built in this version of Lockstep"
        );
        assert!(error("-cpu max,nx=maybe").contains("takes on or off, not 'maybe'"));
        assert!(cpus("-cpu max,-avx2").is_ok());
    }
}
