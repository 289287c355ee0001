//! CPU models: what CPUID announces, and so what exists. One table; everything else asks it.

mod feature;
mod leaf;
mod models;
mod topology;

pub use feature::{
    ExtendedEcx, ExtendedEdx, Features, Leaf1Ecx, Leaf1Edx, Leaf6Eax, Leaf7Ebx, Leaf7Ecx, Leaf7Edx, LeafDEax, PowerEdx,
};

pub use topology::Topology;

use crate::state::{Cr4, Efer};
use iced_x86::{Code, CpuidFeature};
use models::MODELS;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Whose manual decides where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vendor {
    /// AuthenticAMD.
    Amd,
    /// GenuineIntel.
    Intel,
}

/// Why a `-cpu` argument names no model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelError {
    /// No model of this name.
    #[error("unknown CPU model '{0}'")]
    Model(String),
    /// No feature of this name.
    #[error("unknown CPU feature '{0}'")]
    Feature(String),
    /// A feature that processors have and that is not implemented; it can be switched off.
    #[error("CPU feature '{0}' is not built in this version of Lockstep")]
    NotBuilt(String),
    /// A value that is neither on nor off.
    #[error("CPU feature '{0}' takes on or off, not '{1}'")]
    Value(String, String),
}

/// A CPU model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuModel {
    /// The name that `-cpu` takes.
    pub name: String,
    /// The brand string, at most 48 bytes.
    pub brand: String,
    /// Whose rules.
    pub vendor: Vendor,
    /// Family, model, stepping as CPUID leaf 1 gives them in EAX, and as EDX holds after reset.
    pub signature: u32,
    /// Physical address bits.
    pub physical_bits: u32,
    /// Highest basic leaf.
    pub level: u32,
    /// Highest extended leaf.
    pub extended_level: u32,
    /// What is announced.
    pub features: Features,
    /// How the machine's vCPUs are arranged.
    pub topology: Topology,
}

impl CpuModel {
    /// All that is implemented.
    pub fn max() -> Self {
        MODELS[0].model("max")
    }

    /// The model of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::entry(name).map(|entry| entry.model(name))
    }

    fn entry(name: &str) -> Option<&'static models::Entry> {
        MODELS.iter().find(|entry| entry.names.contains(&name))
    }

    /// What the model of this name has where it is whole, and lacks here since it is not implemented.
    pub fn lacking(name: &str) -> &'static [&'static str] {
        Self::entry(name).map_or(&[], |entry| &entry.lacking)
    }

    /// The version of a model that a name without a version stands for.
    pub fn alias_of(name: &str) -> Option<&'static str> {
        Self::entry(name)?.names.first().copied().filter(|version| *version != name)
    }

    /// The names of all models.
    pub fn names() -> impl Iterator<Item = &'static str> {
        MODELS.iter().flat_map(|entry| entry.names.iter().copied())
    }

    /// The model of a `-cpu` argument: a name, then `+feature`, `-feature` or `feature=on|off`, separated by commas.
    pub fn parse(argument: &str) -> Result<Self, ModelError> {
        let mut parts = argument.split(',');
        let name = parts.next().unwrap_or_default();
        let mut model = Self::named(name).ok_or_else(|| ModelError::Model(name.into()))?;
        for part in parts.filter(|p| !p.is_empty()) {
            let (feature, on) = if let Some(feature) = part.strip_prefix('+') {
                (feature, true)
            } else if let Some(feature) = part.strip_prefix('-') {
                (feature, false)
            } else {
                match part.split_once('=') {
                    None => (part, true),
                    Some((feature, "on" | "true" | "yes")) => (feature, true),
                    Some((feature, "off" | "false" | "no")) => (feature, false),
                    Some((feature, value)) => return Err(ModelError::Value(feature.into(), value.into())),
                }
            };
            model.set(feature, on)?;
        }
        Ok(model)
    }

    /// The name that a feature goes by among all the spellings that QEMU takes, built or not; `None` if there is no such feature.
    pub fn feature(spelled: &str) -> Option<String> {
        let name = match spelled {
            "sse3" => "pni".to_owned(),
            "sse4-1" | "sse4_1" => "sse4.1".to_owned(),
            "sse4-2" | "sse4_2" => "sse4.2".to_owned(),
            "xd" => "nx".to_owned(),
            "i64" => "lm".to_owned(),
            name => name.replace('_', "-"),
        };
        (Features::names().contains(&name.as_str()) || feature::NOT_BUILT.contains(&name.as_str())).then_some(name)
    }

    /// Announces a feature or not. Switching off what is not implemented is fine.
    pub fn set(&mut self, feature: &str, on: bool) -> Result<(), ModelError> {
        let name = Self::feature(feature).ok_or_else(|| ModelError::Feature(feature.into()))?;
        if self.features.set(&name, on) {
            // Leaves beyond the model's own are needed to tell of what was added.
            if on && self.level < 0xd {
                self.level = 0xd;
            }
            return Ok(());
        }
        if on { Err(ModelError::NotBuilt(feature.into())) } else { Ok(()) }
    }

    /// 1-GiB pages.
    pub fn huge_pages(&self) -> bool {
        self.features.extended_edx.contains(ExtendedEdx::PDPE1GB)
    }

    /// The CR4 bits that may be set.
    pub(crate) fn cr4(&self) -> Cr4 {
        let f = &self.features;
        let mut cr4 = Cr4::TSD | Cr4::PCE;
        cr4.set(Cr4::VME | Cr4::PVI, f.leaf1_edx.contains(Leaf1Edx::VME));
        cr4.set(Cr4::DE, f.leaf1_edx.contains(Leaf1Edx::DE));
        cr4.set(Cr4::PSE, f.leaf1_edx.contains(Leaf1Edx::PSE));
        cr4.set(Cr4::PAE, f.leaf1_edx.contains(Leaf1Edx::PAE));
        cr4.set(Cr4::MCE, f.leaf1_edx.contains(Leaf1Edx::MCE));
        cr4.set(Cr4::PGE, f.leaf1_edx.contains(Leaf1Edx::PGE));
        cr4.set(Cr4::OSFXSR, f.leaf1_edx.contains(Leaf1Edx::FXSR));
        cr4.set(Cr4::OSXMMEXCPT, f.leaf1_edx.contains(Leaf1Edx::SSE));
        cr4.set(Cr4::UMIP, f.leaf7_ecx.contains(Leaf7Ecx::UMIP));
        cr4.set(Cr4::LA57, f.leaf7_ecx.contains(Leaf7Ecx::LA57));
        cr4.set(Cr4::FSGSBASE, f.leaf7_ebx.contains(Leaf7Ebx::FSGSBASE));
        cr4.set(Cr4::PCIDE, f.leaf1_ecx.contains(Leaf1Ecx::PCID));
        cr4.set(Cr4::OSXSAVE, f.leaf1_ecx.contains(Leaf1Ecx::XSAVE));
        cr4.set(Cr4::SMEP, f.leaf7_ebx.contains(Leaf7Ebx::SMEP));
        cr4.set(Cr4::SMAP, f.leaf7_ebx.contains(Leaf7Ebx::SMAP));
        cr4
    }

    /// The EFER bits that may be set.
    pub(crate) fn efer(&self) -> Efer {
        let f = self.features.extended_edx;
        let mut efer = Efer::empty();
        efer.set(Efer::SCE, f.contains(ExtendedEdx::SYSCALL));
        efer.set(Efer::LME | Efer::LMA, f.contains(ExtendedEdx::LM));
        efer.set(Efer::NXE, f.contains(ExtendedEdx::NX));
        efer
    }

    /// The XCR0 bits that may be set: x87 and SSE.
    pub(crate) fn xcr0(&self) -> u64 {
        if self.features.leaf1_ecx.contains(Leaf1Ecx::XSAVE) { 3 } else { 0 }
    }

    /// Whether the features that an instruction needs are announced.
    pub fn announces(&self, code: Code) -> bool {
        code.cpuid_features().iter().all(|f| self.has(*f))
    }

    fn has(&self, feature: CpuidFeature) -> bool {
        use CpuidFeature as F;
        let f = &self.features;
        match feature {
            F::INTEL8086
            | F::INTEL8086_ONLY
            | F::INTEL186
            | F::INTEL286
            | F::INTEL386
            | F::INTEL486
            | F::CPUID
            | F::PAUSE
            | F::RDPMC
            | F::MULTIBYTENOP
            | F::SMM => true,
            // Without these features, their instructions are the no-operations that they were made of.
            F::CET_IBT | F::CET_SS | F::CLDEMOTE | F::PREFETCHW | F::PREFETCHWT1 => true,
            F::FPU | F::FPU287 | F::FPU387 => f.leaf1_edx.contains(Leaf1Edx::FPU),
            F::X64 => f.extended_edx.contains(ExtendedEdx::LM),
            F::TSC => f.leaf1_edx.contains(Leaf1Edx::TSC),
            F::MSR => f.leaf1_edx.contains(Leaf1Edx::MSR),
            F::CX8 => f.leaf1_edx.contains(Leaf1Edx::CX8),
            F::SEP => f.leaf1_edx.contains(Leaf1Edx::SEP),
            F::CMOV => f.leaf1_edx.contains(Leaf1Edx::CMOV),
            F::CLFSH => f.leaf1_edx.contains(Leaf1Edx::CLFLUSH),
            F::MMX => f.leaf1_edx.contains(Leaf1Edx::MMX),
            F::FXSR => f.leaf1_edx.contains(Leaf1Edx::FXSR),
            F::SSE => f.leaf1_edx.contains(Leaf1Edx::SSE),
            F::SSE2 => f.leaf1_edx.contains(Leaf1Edx::SSE2),
            F::SSE3 => f.leaf1_ecx.contains(Leaf1Ecx::SSE3),
            F::SSSE3 => f.leaf1_ecx.contains(Leaf1Ecx::SSSE3),
            F::CMPXCHG16B => f.leaf1_ecx.contains(Leaf1Ecx::CX16),
            F::SSE4_1 => f.leaf1_ecx.contains(Leaf1Ecx::SSE41),
            F::SSE4_2 => f.leaf1_ecx.contains(Leaf1Ecx::SSE42),
            F::POPCNT => f.leaf1_ecx.contains(Leaf1Ecx::POPCNT),
            F::XSAVE => f.leaf1_ecx.contains(Leaf1Ecx::XSAVE),
            F::XSAVEOPT => f.leaf_d_eax.contains(LeafDEax::XSAVEOPT),
            F::RDRAND => f.leaf1_ecx.contains(Leaf1Ecx::RDRAND),
            F::FSGSBASE => f.leaf7_ebx.contains(Leaf7Ebx::FSGSBASE),
            F::INVPCID => f.leaf7_ebx.contains(Leaf7Ebx::INVPCID),
            F::RDSEED => f.leaf7_ebx.contains(Leaf7Ebx::RDSEED),
            F::SMAP => f.leaf7_ebx.contains(Leaf7Ebx::SMAP),
            F::CLFLUSHOPT => f.leaf7_ebx.contains(Leaf7Ebx::CLFLUSHOPT),
            F::RDPID => f.leaf7_ecx.contains(Leaf7Ecx::RDPID),
            F::SYSCALL => f.extended_edx.contains(ExtendedEdx::SYSCALL),
            F::RDTSCP => f.extended_edx.contains(ExtendedEdx::RDTSCP),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_can_be_parsed_and_changed() {
        for name in CpuModel::names() {
            assert_eq!(CpuModel::parse(name).map(|m| m.name), Ok(name.to_owned()));
        }
        let model = CpuModel::parse("qemu64,+smep,-nx,sse4.1=on,lahf_lm=off").expect("all of these exist");
        assert_eq!(model.features.has("smep"), Some(true));
        assert_eq!(model.features.has("nx"), Some(false));
        assert_eq!(model.features.has("sse4.1"), Some(true));
        assert_eq!(model.features.has("lahf-lm"), Some(false));
    }

    #[test]
    fn what_is_not_implemented_cannot_be_announced() {
        assert_eq!(CpuModel::parse("max,+avx2"), Err(ModelError::NotBuilt("avx2".into())));
        assert_eq!(CpuModel::parse("max,-warp"), Err(ModelError::Feature("warp".into())));
        assert!(CpuModel::parse("max,-avx2").is_ok());
        assert_eq!(CpuModel::parse("486DX9"), Err(ModelError::Model("486DX9".into())));
        assert!(CpuModel::parse("max,nx=maybe").is_err());
    }

    #[test]
    fn an_instruction_exists_if_its_features_are_announced() {
        let max = CpuModel::max();
        let old = CpuModel::parse("qemu64").expect("a model");
        for code in [Code::Pshufb_xmm_xmmm128, Code::Popcnt_r32_rm32, Code::Rdtscp, Code::Rdfsbase_r64] {
            assert!(max.announces(code) && !old.announces(code), "{code:?}");
        }
        for code in [
            Code::VEX_Vaddps_xmm_xmm_xmmm128,
            Code::VEX_Andn_r32_r32_rm32,
            Code::Aesenc_xmm_xmmm128,
            Code::Adcx_r32_rm32,
        ] {
            assert!(!max.announces(code), "{code:?}");
        }
        assert!(old.announces(Code::Syscall) && old.announces(Code::Endbr64) && old.announces(Code::Addps_xmm_xmmm128));
    }

    #[test]
    fn a_32_bit_model_has_no_long_mode() {
        let model = CpuModel::named("qemu32").expect("a model");
        assert!(!model.efer().contains(Efer::LME));
        assert!(!model.announces(Code::Syscall));
    }
}
