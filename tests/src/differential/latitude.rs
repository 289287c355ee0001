//! What the manuals leave open, or the host keeps to itself, beyond the status flags that a table row names.

use super::state::Mode;
use iced_x86::{Code, CpuidFeature, Mnemonic, OpCodeOperandKind, Register};
use lockstep_cpu::state::Rflags;

/// x87 status word: C0 to C3.
pub const CONDITIONS: u16 = 0x4700;
/// C1.
const C1: u16 = 0x200;
/// The precision exception.
const PRECISION: u16 = 0x20;

/// Why a row is not tried on the host although user mode may execute it.
pub fn untried(code: Code, mode: Mode) -> Option<&'static str> {
    let info = code.op_code();
    let available = match mode {
        Mode::Bits64 => info.mode64(),
        Mode::Bits32 => info.mode32() && info.compatibility_mode(),
    };
    if !available {
        return Some("does not exist in this mode");
    }
    let loads = |register| code_loads(code, register);
    if loads(Register::FS) || loads(Register::GS) {
        return Some("would take the host thread's own storage");
    }
    Some(match code.mnemonic() {
        Mnemonic::Wrfsbase | Mnemonic::Wrgsbase => "would take the host thread's own storage",
        Mnemonic::Syscall | Mnemonic::Sysenter => "calls the host's kernel",
        Mnemonic::Sgdt | Mnemonic::Sidt | Mnemonic::Sldt | Mnemonic::Str | Mnemonic::Smsw => {
            "the host's kernel may answer instead of the CPU"
        }
        Mnemonic::Lar | Mnemonic::Lsl | Mnemonic::Verr | Mnemonic::Verw => "depends on the host's descriptor tables",
        Mnemonic::Xgetbv
        | Mnemonic::Xsave
        | Mnemonic::Xsave64
        | Mnemonic::Xsaveopt
        | Mnemonic::Xsaveopt64
        | Mnemonic::Xsavec
        | Mnemonic::Xsavec64
        | Mnemonic::Xrstor
        | Mnemonic::Xrstor64 => "depends on the states that the host has",
        Mnemonic::Cpuid
        | Mnemonic::Rdtsc
        | Mnemonic::Rdtscp
        | Mnemonic::Rdpmc
        | Mnemonic::Rdpid
        | Mnemonic::Rdrand
        | Mnemonic::Rdseed => "depends on the host",
        Mnemonic::Xbegin | Mnemonic::Xabort | Mnemonic::Xend => "transactions end as the host likes",
        _ => return missing_on_host(code),
    })
}

/// Whether it loads FS or GS (MOV to a segment register is made without them).
fn code_loads(code: Code, register: Register) -> bool {
    let (pop, kind) = match register {
        Register::FS => (matches!(code, Code::Popw_FS | Code::Popd_FS | Code::Popq_FS), Mnemonic::Lfs),
        _ => (matches!(code, Code::Popw_GS | Code::Popd_GS | Code::Popq_GS), Mnemonic::Lgs),
    };
    pop || code.mnemonic() == kind
}

#[cfg(target_arch = "x86_64")]
fn missing_on_host(code: Code) -> Option<&'static str> {
    code.cpuid_features().iter().all(|f| host_has(*f)).then_some(()).map_or(Some("the host's CPU lacks it"), |()| None)
}

#[cfg(not(target_arch = "x86_64"))]
fn missing_on_host(_: Code) -> Option<&'static str> {
    Some("the host is no x86-64")
}

/// What is not asked for here counts as missing: better listed as not tried than a process that dies.
#[cfg(target_arch = "x86_64")]
fn host_has(feature: CpuidFeature) -> bool {
    use CpuidFeature as F;
    match feature {
        F::INTEL8086
        | F::INTEL8086_ONLY
        | F::INTEL186
        | F::INTEL286
        | F::INTEL286_ONLY
        | F::INTEL386
        | F::INTEL386_ONLY
        | F::INTEL486
        | F::X64
        | F::CMOV
        | F::CPUID
        | F::CX8
        | F::FPU
        | F::FPU287
        | F::FPU287XL_ONLY
        | F::FPU387
        | F::MMX
        | F::MULTIBYTENOP
        | F::PAUSE
        | F::SSE
        | F::SSE2
        | F::CLFSH
        | F::PREFETCHW
        | F::MSR
        | F::TSC => true,
        F::FXSR => is_x86_feature_detected!("fxsr"),
        F::SSE3 => is_x86_feature_detected!("sse3"),
        F::SSSE3 => is_x86_feature_detected!("ssse3"),
        F::SSE4_1 => is_x86_feature_detected!("sse4.1"),
        F::SSE4_2 => is_x86_feature_detected!("sse4.2"),
        F::POPCNT => is_x86_feature_detected!("popcnt"),
        F::CMPXCHG16B => is_x86_feature_detected!("cmpxchg16b"),
        F::MOVBE => is_x86_feature_detected!("movbe"),
        F::LZCNT => is_x86_feature_detected!("lzcnt"),
        F::BMI1 => is_x86_feature_detected!("bmi1"),
        F::BMI2 => is_x86_feature_detected!("bmi2"),
        F::ADX => is_x86_feature_detected!("adx"),
        F::AES => is_x86_feature_detected!("aes"),
        F::PCLMULQDQ => is_x86_feature_detected!("pclmulqdq"),
        F::SHA => is_x86_feature_detected!("sha"),
        // The kernel must have enabled it too; every one since 5.9 does, and then user mode may ask.
        F::FSGSBASE => host_fsgsbase(),
        F::CLFLUSHOPT | F::CLWB | F::CLDEMOTE => leaf7_has(feature),
        _ => false,
    }
}

#[cfg(target_arch = "x86_64")]
fn leaf7_has(feature: CpuidFeature) -> bool {
    let leaf = core::arch::x86_64::__cpuid_count(7, 0);
    match feature {
        CpuidFeature::CLFLUSHOPT => leaf.ebx >> 23 & 1 != 0,
        CpuidFeature::CLWB => leaf.ebx >> 24 & 1 != 0,
        CpuidFeature::CLDEMOTE => leaf.ecx >> 25 & 1 != 0,
        _ => false,
    }
}

/// AT_HWCAP2's bit 1 says that the kernel lets user mode use them.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn host_fsgsbase() -> bool {
    let auxv = std::fs::read("/proc/self/auxv").unwrap_or_default();
    const AT_HWCAP2: u64 = 26;
    auxv.chunks_exact(16).any(|entry| {
        let word = |at: usize| entry[at..at + 8].iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b));
        word(0) == AT_HWCAP2 && word(8) & 2 != 0
    })
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn host_fsgsbase() -> bool {
    false
}

/// How far results may be apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closeness {
    /// Not at all.
    Equal,
    /// x87 registers by one unit in the last place (transcendental functions).
    LastPlace,
    /// Single-precision lanes by 1.5 * 2^-11 of their value (RCPPS and RSQRTPS: each CPU is off by up to 1.5 * 2^-12).
    Approximate,
}

/// How far the results of an instruction may be apart.
pub fn closeness(mnemonic: Mnemonic) -> Closeness {
    match mnemonic {
        Mnemonic::Fsin
        | Mnemonic::Fcos
        | Mnemonic::Fsincos
        | Mnemonic::Fptan
        | Mnemonic::Fpatan
        | Mnemonic::F2xm1
        | Mnemonic::Fyl2x
        | Mnemonic::Fyl2xp1 => Closeness::LastPlace,
        Mnemonic::Rcpps | Mnemonic::Rcpss | Mnemonic::Rsqrtps | Mnemonic::Rsqrtss => Closeness::Approximate,
        _ => Closeness::Equal,
    }
}

/// Bits of the x87 status word that an instruction leaves undefined (SDM volume 1, section 8.1.3, and each instruction's
/// page).
pub fn undefined_status(mnemonic: Mnemonic) -> u16 {
    match mnemonic {
        // They set C1 by the direction of rounding, which no manual promises for these.
        Mnemonic::Fsin
        | Mnemonic::Fcos
        | Mnemonic::Fsincos
        | Mnemonic::Fptan
        | Mnemonic::Fpatan
        | Mnemonic::F2xm1
        | Mnemonic::Fyl2x
        | Mnemonic::Fyl2xp1 => CONDITIONS & !C2 | PRECISION,
        Mnemonic::Fcom
        | Mnemonic::Fcomp
        | Mnemonic::Fcompp
        | Mnemonic::Fucom
        | Mnemonic::Fucomp
        | Mnemonic::Fucompp
        | Mnemonic::Ficom
        | Mnemonic::Ficomp
        | Mnemonic::Ftst
        | Mnemonic::Fxam
        | Mnemonic::Fprem
        | Mnemonic::Fprem1 => 0,
        _ => CONDITIONS & !C1,
    }
}

const C2: u16 = 0x400;

/// Flags that a case leaves undefined although the row in general does not.
pub fn undefined_flags(_code: Code) -> Rflags {
    Rflags::empty()
}

/// Whether the instruction has an operand of this kind.
pub fn has_operand(code: Code, kind: OpCodeOperandKind) -> bool {
    code.op_code().op_kinds().contains(&kind)
}
