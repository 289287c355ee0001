//! The models that `-cpu` knows: QEMU's, each as far as its features are implemented, and `max`.

use super::feature::{ExtendedEcx, Features, Leaf1Ecx, Leaf6Eax};
use super::{CpuModel, Topology, Vendor};
use std::sync::LazyLock;

/// QEMU's models, a row each.
const TABLE: &str = include_str!("models.txt");

/// One model.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its names; the first one says which version of the model it is.
    pub(super) names: Vec<&'static str>,
    about: &'static str,
    vendor: Vendor,
    signature: u32,
    level: u32,
    extended_level: u32,
    features: Features,
    /// What it would have and has not, since it is not implemented.
    pub(super) lacking: Vec<&'static str>,
}

/// CPUID leaf 1's EAX (SDM volume 2, CPUID, figure 3-6).
const fn signature(family: u32, model: u32, stepping: u32) -> u32 {
    let (base, extended) = if family > 15 { (15, family - 15) } else { (family, 0) };
    extended << 20 | (model >> 4) << 16 | base << 8 | (model & 15) << 4 | stepping
}

/// What every model has, since this is no hardware and its APIC timer does not stop.
fn hypervisor() -> Features {
    Features { leaf1_ecx: Leaf1Ecx::HYPERVISOR | Leaf1Ecx::X2APIC, leaf6_eax: Leaf6Eax::ARAT, ..Features::default() }
}

fn everything() -> Features {
    let mut all = Features::default();
    for name in Features::names() {
        all.set(name, true);
    }
    // That the threads of a core are cores (CMP_LEGACY) depends on the topology.
    all.extended_ecx.remove(ExtendedEcx::CMP_LEGACY);
    all
}

/// All models, `max` first.
pub(super) static MODELS: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let max = Entry {
        names: vec!["max"],
        about: "QEMU TCG CPU version 2.5+",
        vendor: Vendor::Amd,
        signature: signature(15, 107, 1),
        level: 0xd,
        extended_level: 0x8000_000a,
        features: everything(),
        lacking: Vec::new(),
    };
    std::iter::once(max).chain(TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(entry)).collect()
});

/// Reads a row.
fn entry(line: &'static str) -> Option<Entry> {
    let mut columns = line.split('|').map(str::trim);
    let names = columns.next()?.split(' ').collect();
    let vendor = if columns.next()? == "AuthenticAMD" { Vendor::Amd } else { Vendor::Intel };
    let mut version = columns.next()?.split(' ').map_while(|number| number.parse().ok());
    let signature = signature(version.next()?, version.next()?, version.next()?);
    let (level, extended_level) = columns.next()?.split_once(' ')?;
    let about = columns.next()?;
    let mut features = hypervisor();
    let lacking = columns.next()?.split(' ').filter(|name| !features.set(name, true)).collect();
    let extended_level = u32::from_str_radix(extended_level.strip_prefix("0x")?, 16).ok()?;
    Some(Entry { names, about, vendor, signature, level: level.parse().ok()?, extended_level, features, lacking })
}

impl Entry {
    /// The model under one of its names.
    pub(super) fn model(&self, name: &str) -> CpuModel {
        CpuModel {
            name: name.into(),
            brand: self.about.into(),
            vendor: self.vendor,
            signature: self.signature,
            physical_bits: 40,
            level: self.level,
            extended_level: self.extended_level,
            features: self.features,
            topology: Topology::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn find(name: &str) -> &'static Entry {
        MODELS.iter().find(|entry| entry.names.contains(&name)).expect("a model")
    }

    #[test]
    fn every_row_is_a_model_and_no_name_stands_for_two() {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(MODELS.len(), rows + 1);
        let names: Vec<_> = MODELS.iter().flat_map(|entry| &entry.names).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(names.len() > 120);
    }

    #[test]
    fn a_model_has_what_is_implemented_of_it_and_lacks_the_rest() {
        let haswell = find("Haswell");
        assert_eq!(haswell.names, ["Haswell-v1", "Haswell"]);
        assert_eq!((haswell.signature, haswell.level, haswell.extended_level), (0x306c4, 13, 0x8000_0008));
        for (name, there) in [("smep", true), ("popcnt", true), ("x2apic", true), ("la57", false)] {
            assert_eq!(haswell.features.has(name), Some(there), "{name}");
        }
        assert!(haswell.lacking.contains(&"avx2") && !haswell.lacking.contains(&"smep"));
        assert!(find("qemu64").lacking.is_empty() && find("EPYC").lacking.contains(&"svm"));
        assert_eq!(find("qemu64").features.has("vme"), Some(false));
    }

    #[test]
    fn what_is_lacking_is_known_to_be_a_feature() {
        for name in MODELS.iter().flat_map(|entry| &entry.lacking) {
            assert!(super::super::feature::NOT_BUILT.contains(name), "{name}");
        }
    }
}
