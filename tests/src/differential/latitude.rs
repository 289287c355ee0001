//! What the manuals leave open, or the host keeps to itself, beyond the status flags that a table row names.

use super::state::{Case, Mode, Outcome, Stop};
use iced_x86::{Code, CpuidFeature, Mnemonic, OpCodeOperandKind, Register};
use lockstep_cpu::cpuid::CpuModel;

/// x87 status word: C0 to C3.
pub const CONDITIONS: u16 = 0x4700;
/// C1.
const C1: u16 = 0x200;
/// The precision exception.
pub const PRECISION: u16 = 0x20;
/// The underflow exception.
pub const UNDERFLOW: u16 = 0x10;
/// ES and B: an unmasked exception waits.
pub const WAITS: u16 = 0x8080;

/// Why a row is not tried on this host.
pub fn untried(code: Code, mode: Mode) -> Option<&'static str> {
    excluded(code, mode).or_else(|| missing_on_host(code))
}

/// Why a row cannot be tried on any host.
pub fn excluded(code: Code, mode: Mode) -> Option<&'static str> {
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
        _ if !CpuModel::max().announces(code) => "no model announces it",
        _ => return None,
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
    let has_all = code.cpuid_features().iter().all(|f| host_has(*f));
    (!has_all).then_some("the host's CPU is not known to have it")
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
        | Mnemonic::Fyl2xp1 => CONDITIONS & !C2 | PRECISION | UNDERFLOW,
        Mnemonic::Fcom
        | Mnemonic::Fcomp
        | Mnemonic::Fcompp
        | Mnemonic::Fucom
        | Mnemonic::Fucomp
        | Mnemonic::Fucompp
        | Mnemonic::Ficom
        | Mnemonic::Ficomp
        | Mnemonic::Ftst
        | Mnemonic::Fxam => 0,
        _ => CONDITIONS & !C1,
    }
}

const C2: u16 = 0x400;

/// What may differ between two outcomes of a case, each for a reason that the manuals give or leave open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Which of two exceptions of equal priority is raised.
    pub exception: bool,
    /// Where within its page a fault is reported, for operands that are accessed in pieces.
    pub fault_offset: bool,
    /// Memory, where a faulting instruction may have written part of its operand.
    pub data: bool,
    /// General registers, where a faulting instruction may have loaded some.
    pub general: bool,
    /// Status flags.
    pub flags: bool,
    /// Upper halves of general registers.
    pub upper: bool,
    /// The x87 registers' order and tags.
    pub stack: bool,
    /// All of x87's results.
    pub x87: bool,
    /// Bytes above the two that a push of a segment register stores.
    pub pushed_half: bool,
    /// Which NaN a NaN is.
    pub nan: bool,
}

const ALIGNMENT: u8 = 17;
const PROTECTION: u8 = 13;
const STACK: u8 = 12;
const PAGE: u8 = 14;
const AC: u64 = 1 << 18;
/// Extended doubles: 1 and 1 - sqrt(2) / 2.
const ONE: u128 = 0x3fff_8000_0000_0000_0000;
const ONE_LESS_HALF_ROOT: u128 = 0x3ffd_95f6_1998_0c43_36f7;
const RCX: usize = 1;
const ADDRESS_SIZE: u8 = 0x67;

fn vector(outcome: &Outcome) -> Option<u8> {
    match outcome.stop {
        Stop::Exception { vector, .. } => Some(vector),
        Stop::Retired | Stop::Shutdown | Stop::Endless => None,
    }
}

/// What is left open for a case that came out so on the two CPUs.
pub fn open(code: Code, case: &Case, host: &Outcome, guest: &Outcome) -> Open {
    use Mnemonic as M;
    let mnemonic = code.mnemonic();
    // DPPS and DPPD may add their products in any order, so any of several NaNs may come out (SDM volume 2, DPPS).
    let mut open = Open { nan: matches!(mnemonic, M::Dpps | M::Dppd), ..Open::default() };
    let strings = has_string(code);
    let narrow = case.bytes.contains(&ADDRESS_SIZE);
    // With 32-bit address size and nothing to repeat, some CPUs clear the counters' upper halves and some do not.
    open.upper = strings && narrow && case.before.gpr[RCX] as u32 == 0;
    // PUSH of a segment register may store two bytes of the four or eight (SDM volume 2, PUSH).
    open.pushed_half = code.mnemonic() == M::Push && has_segment(code);
    // Leaving 64-bit mode leaves the upper halves undefined (SDM volume 1, section 3.4.1.1).
    open.upper |= case.mode == Mode::Bits64 && host.after.cs == Mode::Bits32.selector();
    // Beyond these arguments the result is undefined (SDM volume 2, F2XM1 and FYL2XP1).
    open.x87 = out_of_range(mnemonic, case.before.st[0]) || underflows(mnemonic, case);
    let (Some(on_host), Some(on_guest)) = (vector(host), vector(guest)) else { return open };
    // All faults of executing an instruction are one class (SDM volume 3, table 6-2).
    let access = [ALIGNMENT, PROTECTION, STACK, PAGE];
    let misaligned = case.before.flags & AC != 0 && [on_host, on_guest].contains(&ALIGNMENT);
    // Several accesses of which more than one would fault: CMPS may read either operand first, ENTER may touch its new top
    // first, far returns may read CS first, and CALL may push before it finds its target bad.
    let in_pieces = matches!(
        mnemonic,
        M::Fldenv | M::Frstor | M::Fnstenv | M::Fnsave | M::Fxsave | M::Fxsave64 | M::Fxrstor | M::Fxrstor64 | M::Enter
    );
    let calls = mnemonic == M::Call;
    let returns = matches!(mnemonic, M::Retf | M::Iret | M::Iretd | M::Iretq);
    let either_first =
        compares_strings(code) || mnemonic == M::Enter || returns || pops_segment(code) || calls || in_pieces;
    // An operand that wraps round 4 GiB may or may not break a 4-GiB limit (SDM volume 3, section 5.3).
    let wraps = case.mode == Mode::Bits32 && matches!(host.stop, Stop::Exception { address: 0xffff_fff0.., .. });
    open.exception = (misaligned || wraps || either_first) && access.contains(&on_host) && access.contains(&on_guest);
    let masked = matches!(mnemonic, M::Maskmovq | M::Maskmovdqu);
    let all_registers = matches!(mnemonic, M::Popa | M::Popad | M::Pusha | M::Pushad);

    open.fault_offset = in_pieces || masked || all_registers || returns;
    open.data = in_pieces || masked || calls || all_registers || matches!(mnemonic, M::Fbstp | M::Fstp);
    open.general = matches!(mnemonic, M::Popa | M::Popad);
    // A fault takes the flags back to those before the instruction, which is where it was last resumed (SDM volume 2, REP).
    open.flags = strings;
    // The same if the first iteration faults.
    open.upper |= strings && narrow;
    // MMX state may be entered before the fault is found.
    open.stack = has_mmx(code);
    open
}

fn out_of_range(mnemonic: Mnemonic, st0: u128) -> bool {
    let magnitude = st0 & ((1 << 79) - 1);
    match mnemonic {
        Mnemonic::F2xm1 => magnitude > ONE,
        Mnemonic::Fyl2xp1 => magnitude > ONE_LESS_HALF_ROOT,
        _ => false,
    }
}

/// Whether a tiny result is scaled or not depends on its last place.
fn underflows(mnemonic: Mnemonic, case: &Case) -> bool {
    let tiny = case.before.st[0] >> 64 & 0x7fff <= 1;
    closeness(mnemonic) == Closeness::LastPlace && tiny && case.before.control & UNDERFLOW == 0
}

/// Whether it pushes or pops a segment register.
pub fn has_segment(code: Code) -> bool {
    use OpCodeOperandKind as Kind;
    let kinds = [Kind::es, Kind::cs, Kind::ss, Kind::ds, Kind::fs, Kind::gs];
    code.op_code().op_kinds().iter().any(|k| kinds.contains(k))
}

fn pops_segment(code: Code) -> bool {
    code.mnemonic() == Mnemonic::Pop && has_segment(code)
}

fn compares_strings(code: Code) -> bool {
    code.op_code().op_kinds() == [OpCodeOperandKind::seg_rSI, OpCodeOperandKind::es_rDI]
}

fn has_string(code: Code) -> bool {
    use OpCodeOperandKind as Kind;
    code.op_code().op_kinds().iter().any(|k| matches!(k, Kind::seg_rSI | Kind::es_rDI))
}

fn has_mmx(code: Code) -> bool {
    use OpCodeOperandKind as Kind;
    code.op_code().op_kinds().iter().any(|k| matches!(k, Kind::mm_reg | Kind::mm_rm | Kind::mm_or_mem))
}
