//! CPU models: what CPUID announces, and so what exists. One table; everything else asks it.

use iced_x86::{Code, CpuidFeature};
use serde::{Deserialize, Serialize};

/// A CPU model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuModel {
    /// The name that `-cpu` takes.
    pub name: String,
    /// Family, model, stepping as CPUID leaf 1 gives them in EAX, and as EDX holds after reset.
    pub signature: u32,
    /// Physical address bits.
    pub physical_bits: u32,
}

impl CpuModel {
    /// All that is implemented.
    pub fn max() -> Self {
        Self { name: "max".into(), signature: 0x0006_0fb1, physical_bits: 40 }
    }

    /// 1-GiB pages.
    pub fn huge_pages(&self) -> bool {
        true
    }

    /// Whether the features that an instruction needs are announced.
    pub fn announces(&self, code: Code) -> bool {
        code.cpuid_features().iter().all(|f| !matches!(f, CpuidFeature::AVX))
    }
}
