//! The models that `-cpu` knows, each as far as its features are implemented.

use super::feature::{
    ExtendedEcx, ExtendedEdx, Features, Leaf1Ecx, Leaf1Edx, Leaf6Eax, Leaf7Ebx, Leaf7Ecx, Leaf7Edx, LeafDEax, PowerEdx,
};
use super::{CpuModel, Topology, Vendor};

/// One row of the table.
pub(super) struct Entry {
    pub(super) name: &'static str,
    about: &'static str,
    vendor: Vendor,
    signature: u32,
    level: u32,
    extended_level: u32,
    features: Features,
}

/// What a Pentium Pro has.
const PPRO: Leaf1Edx = Leaf1Edx::FPU
    .union(Leaf1Edx::DE)
    .union(Leaf1Edx::PSE)
    .union(Leaf1Edx::TSC)
    .union(Leaf1Edx::MSR)
    .union(Leaf1Edx::PAE)
    .union(Leaf1Edx::MCE)
    .union(Leaf1Edx::CX8)
    .union(Leaf1Edx::APIC)
    .union(Leaf1Edx::SEP)
    .union(Leaf1Edx::PGE)
    .union(Leaf1Edx::CMOV)
    .union(Leaf1Edx::PAT)
    .union(Leaf1Edx::MMX)
    .union(Leaf1Edx::FXSR)
    .union(Leaf1Edx::SSE)
    .union(Leaf1Edx::SSE2);
/// And what the 64-bit models add.
const PC64: Leaf1Edx = PPRO.union(Leaf1Edx::MTRR).union(Leaf1Edx::CLFLUSH).union(Leaf1Edx::MCA).union(Leaf1Edx::PSE36);
const PC64_VME: Leaf1Edx = PC64.union(Leaf1Edx::VME);
/// What every model has, since this is no hardware and its APIC timer does not stop.
const HYPERVISOR: Leaf1Ecx = Leaf1Ecx::HYPERVISOR.union(Leaf1Ecx::X2APIC);
const LONG: ExtendedEdx = ExtendedEdx::LM.union(ExtendedEdx::SYSCALL).union(ExtendedEdx::NX);

const NOTHING: Features = Features {
    leaf1_edx: Leaf1Edx::empty(),
    leaf1_ecx: HYPERVISOR,
    leaf6_eax: Leaf6Eax::ARAT,
    leaf7_ebx: Leaf7Ebx::empty(),
    leaf7_ecx: Leaf7Ecx::empty(),
    leaf7_edx: Leaf7Edx::empty(),
    leaf_d_eax: LeafDEax::empty(),
    extended_edx: ExtendedEdx::empty(),
    extended_ecx: ExtendedEcx::empty(),
    power_edx: PowerEdx::empty(),
};

const EVERYTHING: Features = Features {
    leaf1_edx: Leaf1Edx::all(),
    leaf1_ecx: Leaf1Ecx::all(),
    leaf6_eax: Leaf6Eax::all(),
    leaf7_ebx: Leaf7Ebx::all(),
    leaf7_ecx: Leaf7Ecx::all(),
    leaf7_edx: Leaf7Edx::all(),
    leaf_d_eax: LeafDEax::all(),
    extended_edx: ExtendedEdx::all(),
    extended_ecx: ExtendedEcx::LAHF_LM.union(ExtendedEcx::CR8_LEGACY).union(ExtendedEcx::PREFETCH),
    power_edx: PowerEdx::all(),
};

const SSE4: Leaf1Ecx = CORE2.union(Leaf1Ecx::SSE41).union(Leaf1Ecx::SSE42).union(Leaf1Ecx::POPCNT);
const CORE2: Leaf1Ecx = HYPERVISOR.union(Leaf1Ecx::SSE3).union(Leaf1Ecx::SSSE3).union(Leaf1Ecx::CX16);
const SSE3_CX16: Leaf1Ecx = HYPERVISOR.union(Leaf1Ecx::SSE3).union(Leaf1Ecx::CX16);

/// CPUID leaf 1's EAX (SDM volume 2, CPUID, figure 3-6).
const fn signature(family: u32, model: u32, stepping: u32) -> u32 {
    let (base, extended) = if family > 15 { (15, family - 15) } else { (family, 0) };
    extended << 20 | (model >> 4) << 16 | base << 8 | (model & 15) << 4 | stepping
}

pub(super) const MODELS: &[Entry] = &[
    Entry {
        name: "qemu64",
        about: "QEMU Virtual CPU version 2.5+",
        vendor: Vendor::Amd,
        signature: signature(15, 107, 1),
        level: 0xd,
        extended_level: 0x8000_000a,
        features: Features {
            leaf1_edx: PC64,
            leaf1_ecx: SSE3_CX16,
            extended_edx: LONG,
            extended_ecx: ExtendedEcx::LAHF_LM,
            ..NOTHING
        },
    },
    Entry {
        name: "max",
        about: "QEMU TCG CPU version 2.5+",
        vendor: Vendor::Amd,
        signature: signature(15, 107, 1),
        level: 0xd,
        extended_level: 0x8000_000a,
        features: EVERYTHING,
    },
    Entry {
        name: "qemu32",
        about: "QEMU Virtual CPU version 2.5+",
        vendor: Vendor::Intel,
        signature: signature(6, 6, 3),
        level: 4,
        extended_level: 0x8000_0004,
        features: Features { leaf1_edx: PPRO, leaf1_ecx: HYPERVISOR.union(Leaf1Ecx::SSE3), ..NOTHING },
    },
    Entry {
        name: "kvm64",
        about: "Common KVM processor",
        vendor: Vendor::Intel,
        signature: signature(15, 6, 1),
        level: 0xd,
        extended_level: 0x8000_0008,
        features: Features { leaf1_edx: PC64_VME, leaf1_ecx: SSE3_CX16, extended_edx: LONG, ..NOTHING },
    },
    Entry {
        name: "Conroe",
        about: "Intel Celeron_4x0 (Conroe/Merom Class Core 2)",
        vendor: Vendor::Intel,
        signature: signature(6, 15, 3),
        level: 10,
        extended_level: 0x8000_0008,
        features: Features {
            leaf1_edx: PC64_VME,
            leaf1_ecx: CORE2,
            extended_edx: LONG,
            extended_ecx: ExtendedEcx::LAHF_LM,
            ..NOTHING
        },
    },
    Entry {
        name: "Penryn",
        about: "Intel Core 2 Duo P9xxx (Penryn Class Core 2)",
        vendor: Vendor::Intel,
        signature: signature(6, 23, 3),
        level: 10,
        extended_level: 0x8000_0008,
        features: Features {
            leaf1_edx: PC64_VME,
            leaf1_ecx: CORE2.union(Leaf1Ecx::SSE41),
            extended_edx: LONG,
            extended_ecx: ExtendedEcx::LAHF_LM,
            ..NOTHING
        },
    },
    Entry {
        name: "Nehalem",
        about: "Intel Core i7 9xx (Nehalem Class Core i7)",
        vendor: Vendor::Intel,
        signature: signature(6, 26, 3),
        level: 11,
        extended_level: 0x8000_0008,
        features: Features {
            leaf1_edx: PC64_VME,
            leaf1_ecx: SSE4,
            extended_edx: LONG,
            extended_ecx: ExtendedEcx::LAHF_LM,
            ..NOTHING
        },
    },
    Entry {
        name: "Opteron_G1",
        about: "AMD Opteron 240 (Gen 1 Class Opteron)",
        vendor: Vendor::Amd,
        signature: signature(15, 6, 1),
        level: 5,
        extended_level: 0x8000_0008,
        features: Features {
            leaf1_edx: PC64_VME,
            leaf1_ecx: HYPERVISOR.union(Leaf1Ecx::SSE3),
            extended_edx: LONG,
            ..NOTHING
        },
    },
    Entry {
        name: "Opteron_G2",
        about: "AMD Opteron 22xx (Gen 2 Class Opteron)",
        vendor: Vendor::Amd,
        signature: signature(15, 6, 1),
        level: 5,
        extended_level: 0x8000_0008,
        features: Features {
            leaf1_edx: PC64_VME,
            leaf1_ecx: SSE3_CX16,
            extended_edx: LONG.union(ExtendedEdx::RDTSCP),
            extended_ecx: ExtendedEcx::LAHF_LM,
            ..NOTHING
        },
    },
];

impl Entry {
    pub(super) fn model(&self) -> CpuModel {
        CpuModel {
            name: self.name.into(),
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
