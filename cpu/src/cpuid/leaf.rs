//! The CPUID instruction's answers (SDM volume 2, CPUID; AMD64 manual volume 3, appendix E).

use super::{CpuModel, Features, Leaf1Ecx, Leaf1Edx, Leaf7Ecx, Vendor};
use crate::state::{Cr4, Vcpu};

/// EAX, EBX, ECX, EDX.
pub(crate) type Answer = [u32; 4];

const HYPERVISOR_BASE: u32 = 0x4000_0000;
const EXTENDED_BASE: u32 = 0x8000_0000;
/// Bytes of the XSAVE area with x87 and SSE state: legacy region and header.
const XSAVE_BYTES: u32 = 576;

/// Four bytes of text as a register holds them.
fn word(text: &[u8], at: usize) -> u32 {
    (0..4).fold(0, |value, i| value | u32::from(text.get(at + i).copied().unwrap_or(0)) << (8 * i))
}
impl Vcpu {
    /// What CPUID answers for a leaf and sub-leaf.
    pub(crate) fn cpuid(&self, leaf: u32, sub_leaf: u32) -> Answer {
        let model = &self.model;
        match leaf {
            0..HYPERVISOR_BASE if leaf <= model.level => self.basic(leaf, sub_leaf),
            HYPERVISOR_BASE..EXTENDED_BASE => hypervisor(leaf, &model.features),
            EXTENDED_BASE.. if leaf <= model.extended_level => model.extended(leaf),
            // Beyond the last: what the last basic leaf answers, on Intel; nothing, on AMD.
            _ if model.vendor == Vendor::Intel => self.basic(model.level, sub_leaf),
            _ => [0; 4],
        }
    }

    fn basic(&self, leaf: u32, sub_leaf: u32) -> Answer {
        let model = &self.model;
        let features = &model.features;
        let topology = model.topology;
        let (per_socket, ids) = (topology.per_socket(), topology.ids_per_socket());
        let apic_id = topology.apic_id(self.index.into());
        match leaf {
            0 => {
                let vendor: &[u8; 12] = match model.vendor {
                    Vendor::Amd => b"AuthenticAMD",
                    Vendor::Intel => b"GenuineIntel",
                };
                [model.level, word(vendor, 0), word(vendor, 8), word(vendor, 4)]
            }
            1 => {
                const HYPER_THREADING: u32 = 1 << 28;
                const OSXSAVE: u32 = 1 << 27;
                const CLFLUSH_LINE: u32 = 8 << 8;
                let os_xsave = if self.cr4.contains(Cr4::OSXSAVE) { OSXSAVE } else { 0 };
                let (count, many) = if per_socket > 1 { (ids << 16, HYPER_THREADING) } else { (0, 0) };
                [
                    model.signature,
                    apic_id << 24 | count | CLFLUSH_LINE,
                    features.leaf1_ecx.bits() | os_xsave,
                    features.leaf1_edx.bits() | many,
                ]
            }
            // A cache descriptor list such as QEMU's: 2 MiB L2, 32 KiB L1.
            2 => [1, 0, 0x4d, 0x002c_307d],
            4 if model.vendor == Vendor::Intel => intel_cache(sub_leaf, ids >> topology.thread_bits(), ids),
            6 => [features.leaf6_eax.bits(), 0, 0, 0],
            7 if sub_leaf == 0 => [0, features.leaf7_ebx.bits(), features.leaf7_ecx.bits(), features.leaf7_edx.bits()],
            0xb => {
                let (thread_bits, core_bits) = (topology.thread_bits(), topology.package_shift());
                match sub_leaf {
                    0 => [thread_bits, topology.threads, 1 << 8, apic_id],
                    1 => [core_bits, per_socket, 2 << 8 | 1, apic_id],
                    _ => [0, 0, sub_leaf & 0xff, apic_id],
                }
            }
            0xd if features.leaf1_ecx.contains(Leaf1Ecx::XSAVE) => match sub_leaf {
                0 => [model.xcr0() as u32, XSAVE_BYTES, XSAVE_BYTES, 0],
                1 => [features.leaf_d_eax.bits(), 0, 0, 0],
                _ => [0; 4],
            },
            _ => [0; 4],
        }
    }
}

/// Deterministic cache parameters (leaf 4), which count the IDs of cores and threads, unused ones among them.
fn intel_cache(sub_leaf: u32, cores: u32, per_socket: u32) -> Answer {
    let kind = |level: u32, kind: u32, sharing: u32| {
        kind | level << 5 | 1 << 8 | (sharing.max(1) - 1) << 14 | (cores.max(1) - 1) << 26
    };
    let shape = |ways: u32| 63 | (ways - 1) << 22;
    match sub_leaf {
        0 => [kind(1, 1, 1), shape(8), 63, 1],
        1 => [kind(1, 2, 1), shape(8), 63, 1],
        2 => [kind(2, 3, 1), shape(16), 4095, 1],
        3 => [kind(3, 3, per_socket), shape(16), 16383, 6],
        _ => [0; 4],
    }
}

fn hypervisor(leaf: u32, features: &Features) -> Answer {
    if !features.leaf1_ecx.contains(Leaf1Ecx::HYPERVISOR) {
        return [0; 4];
    }
    // Guests know this signature, and that nothing paravirtual comes with it.
    const SIGNATURE: &[u8; 12] = b"TCGTCGTCGTCG";
    match leaf {
        HYPERVISOR_BASE => [HYPERVISOR_BASE + 1, word(SIGNATURE, 0), word(SIGNATURE, 4), word(SIGNATURE, 8)],
        _ => [0; 4],
    }
}

impl CpuModel {
    fn extended(&self, leaf: u32) -> Answer {
        let features = &self.features;
        let amd = self.vendor == Vendor::Amd;
        match leaf - EXTENDED_BASE {
            0 if amd => {
                let vendor = b"AuthenticAMD";
                [self.extended_level, word(vendor, 0), word(vendor, 8), word(vendor, 4)]
            }
            0 => [self.extended_level, 0, 0, 0],
            1 => {
                // AMD repeats leaf 1's features here, all but what only Intel has.
                let repeated =
                    Leaf1Edx::all().difference(Leaf1Edx::SEP | Leaf1Edx::CLFLUSH | Leaf1Edx::SSE | Leaf1Edx::SSE2);
                let repeated = if amd { (features.leaf1_edx & repeated).bits() } else { 0 };
                let many = self.topology.per_socket() > 1;
                let legacy = if amd && many { super::ExtendedEcx::CMP_LEGACY.bits() } else { 0 };
                let signature = if amd { self.signature } else { 0 };
                [signature, 0, features.extended_ecx.bits() | legacy, features.extended_edx.bits() | repeated]
            }
            n @ 2..=4 => {
                let at = 16 * (n as usize - 2);
                let brand = self.brand.as_bytes();
                [word(brand, at), word(brand, at + 4), word(brand, at + 8), word(brand, at + 12)]
            }
            // L1: 64 KiB each, two ways, 64-byte lines.
            5 if amd => [0x01ff_01ff, 0x01ff_01ff, 0x4002_0140, 0x4002_0140],
            // L2: 512 KiB, 16 ways.
            6 if amd => [0, 0x4200_4200, 0x0200_8140, 0],
            6 => [0, 0, 0x0200_8040, 0],
            7 => [0, 0, 0, features.power_edx.bits()],
            8 => {
                let linear = if features.leaf7_ecx.contains(Leaf7Ecx::LA57) { 57 } else { 48 };
                let (per_socket, width) = (self.topology.per_socket(), self.topology.package_shift());
                let cores = if amd && per_socket > 1 { (per_socket - 1) | width << 12 } else { 0 };
                [linear << 8 | self.physical_bits, 0, cores, 0]
            }
            _ => [0; 4],
        }
    }
}
