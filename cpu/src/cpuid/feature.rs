//! Features as CPUID lays them out, one set of bits for each word, under the names that `-cpu` takes.

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $word:ident as $field:ident { $($name:ident = $bit:literal $text:literal),* $(,)? })*) => {
        bitflags! {$(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $word: u32 {
                $(#[doc = concat!("`", $text, "`")] const $name = 1 << $bit;)*
            }
        )*}

        /// Everything that a model announces.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Features {
            $($(#[$doc])* pub $field: $word,)*
        }

        impl Features {
            /// Sets or clears a feature by its name; `false` if there is none of this name.
            pub fn set(&mut self, name: &str, on: bool) -> bool {
                match name {
                    $($($text => self.$field.set($word::$name, on),)*)*
                    _ => return false,
                }
                true
            }

            /// Whether the feature of this name is announced; `None` if there is none of this name.
            pub fn has(&self, name: &str) -> Option<bool> {
                match name {
                    $($($text => Some(self.$field.contains($word::$name)),)*)*
                    _ => None,
                }
            }

            /// The names of all features that there are.
            pub fn names() -> &'static [&'static str] {
                &[$($($text,)*)*]
            }
        }
    };
}

words! {
    /// Leaf 1, EDX.
    Leaf1Edx as leaf1_edx {
        FPU = 0 "fpu", VME = 1 "vme", DE = 2 "de", PSE = 3 "pse", TSC = 4 "tsc", MSR = 5 "msr", PAE = 6 "pae", MCE = 7 "mce",
        CX8 = 8 "cx8", APIC = 9 "apic", SEP = 11 "sep", MTRR = 12 "mtrr", PGE = 13 "pge", MCA = 14 "mca", CMOV = 15 "cmov",
        PAT = 16 "pat", PSE36 = 17 "pse36", CLFLUSH = 19 "clflush", MMX = 23 "mmx", FXSR = 24 "fxsr", SSE = 25 "sse",
        SSE2 = 26 "sse2",
    }
    /// Leaf 1, ECX.
    Leaf1Ecx as leaf1_ecx {
        SSE3 = 0 "pni", SSSE3 = 9 "ssse3", CX16 = 13 "cx16", PCID = 17 "pcid", SSE41 = 19 "sse4.1", SSE42 = 20 "sse4.2",
        X2APIC = 21 "x2apic", POPCNT = 23 "popcnt", TSC_DEADLINE = 24 "tsc-deadline", XSAVE = 26 "xsave",
        RDRAND = 30 "rdrand", HYPERVISOR = 31 "hypervisor",
    }
    /// Leaf 6, EAX.
    Leaf6Eax as leaf6_eax { ARAT = 2 "arat" }
    /// Leaf 7, EBX.
    Leaf7Ebx as leaf7_ebx {
        FSGSBASE = 0 "fsgsbase", TSC_ADJUST = 1 "tsc-adjust", SMEP = 7 "smep", ERMS = 9 "erms", INVPCID = 10 "invpcid",
        RDSEED = 18 "rdseed", SMAP = 20 "smap", CLFLUSHOPT = 23 "clflushopt",
    }
    /// Leaf 7, ECX.
    Leaf7Ecx as leaf7_ecx { UMIP = 2 "umip", LA57 = 16 "la57", RDPID = 22 "rdpid" }
    /// Leaf 7, EDX.
    Leaf7Edx as leaf7_edx { SPEC_CTRL = 26 "spec-ctrl", ARCH_CAPABILITIES = 29 "arch-capabilities" }
    /// Leaf 0xD sub-leaf 1, EAX.
    LeafDEax as leaf_d_eax { XSAVEOPT = 0 "xsaveopt", XGETBV1 = 2 "xgetbv1" }
    /// Leaf 0x80000001, EDX.
    ExtendedEdx as extended_edx {
        SYSCALL = 11 "syscall", NX = 20 "nx", PDPE1GB = 26 "pdpe1gb", RDTSCP = 27 "rdtscp", LM = 29 "lm",
    }
    /// Leaf 0x80000001, ECX.
    ExtendedEcx as extended_ecx { LAHF_LM = 0 "lahf-lm", CMP_LEGACY = 1 "cmp-legacy", CR8_LEGACY = 4 "cr8legacy", PREFETCH = 8 "3dnowprefetch" }
    /// Leaf 0x80000007, EDX.
    PowerEdx as power_edx { INVTSC = 8 "invtsc" }
}

/// Features that processors have and that are not implemented, under QEMU's names: they can be switched off.
pub(super) const NOT_BUILT: &[&str] = &[
    "3dnow",
    "3dnowext",
    "abm",
    "acpi",
    "adx",
    "aes",
    "amd-ssbd",
    "amd-stibp",
    "amx-bf16",
    "amx-int8",
    "amx-tile",
    "avx",
    "avx-vnni",
    "avx2",
    "avx512-4fmaps",
    "avx512-4vnniw",
    "avx512-bf16",
    "avx512-fp16",
    "avx512-vpopcntdq",
    "avx512bitalg",
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512er",
    "avx512f",
    "avx512ifma",
    "avx512pf",
    "avx512vbmi",
    "avx512vbmi2",
    "avx512vl",
    "avx512vnni",
    "bmi1",
    "bmi2",
    "cldemote",
    "clwb",
    "clzero",
    "core-capability",
    "dca",
    "ds",
    "ds-cpl",
    "dtes64",
    "est",
    "extapic",
    "f16c",
    "fma",
    "fma4",
    "fsrm",
    "fxsr-opt",
    "gfni",
    "hle",
    "ht",
    "ia64",
    "ibpb",
    "ibrs",
    "ibrs-all",
    "ibs",
    "lwp",
    "mds-no",
    "misalignsse",
    "mmxext",
    "monitor",
    "movbe",
    "movdir64b",
    "movdiri",
    "mpx",
    "npt",
    "nrip-save",
    "osvw",
    "pbe",
    "pclmulqdq",
    "pdcm",
    "perfctr-core",
    "pku",
    "pmu",
    "pn",
    "pschange-mc-no",
    "rdctl-no",
    "rtm",
    "sha-ni",
    "skinit",
    "skip-l1dfl-vmentry",
    "smx",
    "split-lock-detect",
    "ss",
    "ssbd",
    "sse4a",
    "stibp",
    "svm",
    "svme-addr-chk",
    "taa-no",
    "tbm",
    "tm",
    "tm2",
    "topoext",
    "vaes",
    "vmx",
    "vpclmulqdq",
    "waitpkg",
    "wbnoinvd",
    "wdt",
    "xop",
    "xsavec",
    "xsaveerptr",
    "xsaves",
    "xtpr",
];
