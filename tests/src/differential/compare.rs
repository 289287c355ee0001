//! What must be equal after an instruction, and how a difference is told.

use super::latitude::{Closeness, Open, PRECISION, UNDERFLOW, WAITS, closeness, open, undefined_status};
use super::state::{Case, DATA, Mode, Outcome, Registers, Stop};
use iced_x86::{Code, Decoder, DecoderOptions, Mnemonic};
use lockstep_cpu::state::Rflags;
use std::fmt::Write;

const NAMES: [&str; 16] =
    ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
/// What user mode may see of RFLAGS. RF is the kernel's affair, IF and IOPL do not change.
const SEEN: Rflags =
    Rflags::STATUS.union(Rflags::DF).union(Rflags::AC).union(Rflags::ID).union(Rflags::NT).union(Rflags::TF);
const PAGE_FAULT: u8 = 14;
const PF_PRESENT: u32 = 1;

/// What is compared for a row.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The row's code.
    pub code: Code,
    /// Status flags that it leaves undefined.
    pub undefined: Rflags,
}

/// The differences, one line each; none if the outcomes agree.
pub fn differences(rule: Rule, case: &Case, host: &Outcome, guest: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let open = open(rule.code, case, host, guest);
    if !open.exception && stop(host.stop, open) != stop(guest.stop, open) {
        found.push(format!("end: host {:x?}, lockstep {:x?}", host.stop, guest.stop));
    }
    registers(rule, case, open, &host.after, &guest.after, &mut found);
    if !open.data && host.data != guest.data {
        let top = host.after.gpr[4].wrapping_sub(DATA) as usize;
        let skipped = if open.pushed_half { top + 2..top + 8 } else { 0..0 };
        let data = (0..host.data.len()).filter(|i| host.data[*i] != guest.data[*i] && !skipped.contains(i));
        for at in data.take(16) {
            found.push(format!("data+{at:#x}: host {:#04x}, lockstep {:#04x}", host.data[at], guest.data[at]));
        }
    }
    found
}

fn stop(stop: Stop, open: Open) -> Stop {
    let Stop::Exception { vector: PAGE_FAULT, error, address } = stop else { return stop };
    // Linux says of every address in the kernel's half that it is present, so as not to tell its map.
    let error = if address >> 63 != 0 { error | PF_PRESENT } else { error };
    let address = if open.fault_offset { address & !0xfff } else { address };
    Stop::Exception { vector: PAGE_FAULT, error, address }
}

fn registers(rule: Rule, case: &Case, open: Open, host: &Registers, guest: &Registers, found: &mut Vec<String>) {
    if host == guest {
        return;
    }
    let mut differ = |name: &str, host: u128, guest: u128| {
        if host != guest {
            found.push(format!("{name}: host {host:#x}, lockstep {guest:#x}"));
        }
    };
    let mnemonic = rule.code.mnemonic();
    let mask = match case.mode {
        Mode::Bits64 => u64::MAX,
        Mode::Bits32 => 0xffff_ffff,
    };
    let general = match (open.general, open.upper) {
        (true, _) => 0,
        (false, true) => mask & 0xffff_ffff,
        (false, false) => mask,
    };
    for (i, name) in NAMES.into_iter().enumerate() {
        differ(name, (host.gpr[i] & general).into(), (guest.gpr[i] & general).into());
    }
    differ("rip", (host.ip & mask).into(), (guest.ip & mask).into());
    let undefined = if open.flags { Rflags::STATUS } else { rule.undefined };
    let seen = SEEN.difference(undefined).bits();
    differ("rflags", (host.flags & seen).into(), (guest.flags & seen).into());
    differ("cs", host.cs.into(), guest.cs.into());
    differ("ss", host.ss.into(), guest.ss.into());
    // A kernel's IRET leaves no RPL in a null selector.
    let selector = |value: u16| u128::from(if value < 4 { 0 } else { value });
    differ("ds", selector(host.ds), selector(guest.ds));
    differ("es", selector(host.es), selector(guest.es));
    differ("mxcsr", host.mxcsr.into(), guest.mxcsr.into());
    for i in 0..16 {
        let (a, b) = (host.xmm[i], guest.xmm[i]);
        let close = closeness(mnemonic) == Closeness::Approximate && lanes(a, b, approximate);
        if !(close || open.nan && nans(mnemonic, a, b)) {
            differ(&format!("xmm{i}"), a, b);
        }
    }
    differ("fcw", host.control.into(), guest.control.into());
    if open.stack || open.x87 {
        return;
    }
    let undefined = undefined_status(mnemonic);
    let may_wait = undefined & !case.before.control & (PRECISION | UNDERFLOW) != 0;
    let kept = !(undefined | if may_wait { WAITS } else { 0 });
    differ("fsw", (host.status & kept).into(), (guest.status & kept).into());
    differ("ftw", host.valid.into(), guest.valid.into());
    for i in 0..8 {
        if closeness(mnemonic) != Closeness::LastPlace || !last_place(host.st[i], guest.st[i]) {
            differ(&format!("st{i}"), host.st[i], guest.st[i]);
        }
    }
}

/// Whether lanes are equal or both not a number.
fn nans(mnemonic: Mnemonic, a: u128, b: u128) -> bool {
    if mnemonic == Mnemonic::Dpps {
        return lanes(a, b, |x, y| f32::from_bits(x).is_nan() && f32::from_bits(y).is_nan());
    }
    (0..2).all(|i| {
        let (x, y) = ((a >> (64 * i)) as u64, (b >> (64 * i)) as u64);
        x == y || f64::from_bits(x).is_nan() && f64::from_bits(y).is_nan()
    })
}

/// Whether all single-precision lanes are equal or alike.
fn lanes(a: u128, b: u128, alike: fn(u32, u32) -> bool) -> bool {
    (0..4).all(|i| {
        let (x, y) = ((a >> (32 * i)) as u32, (b >> (32 * i)) as u32);
        x == y || alike(x, y)
    })
}

/// At most one apart on the line of extended doubles.
fn last_place(a: u128, b: u128) -> bool {
    // Between exponents the explicit integer bit leaves a gap.
    const GAP: i128 = 1 << 63;
    const DENORMAL_GAP: i128 = 1 << 64;
    let position = |x: u128| {
        let magnitude = (x & ((1 << 79) - 1)) as i128;
        if x >> 79 & 1 != 0 { -magnitude } else { magnitude }
    };
    let distance = (position(a) - position(b)).abs();
    distance <= 1 || (GAP..=GAP + 1).contains(&distance) || (DENORMAL_GAP..=DENORMAL_GAP + 1).contains(&distance)
}

/// Within 1.5 * 2^-11. Of results at the lower end of the normal numbers, zero may come out (SDM volume 2, RCPPS).
fn approximate(a: u32, b: u32) -> bool {
    let tiny = |x: u32| x & 0x7fff_ffff <= f32::MIN_POSITIVE.to_bits() + 0x1000;
    if (a ^ b) >> 31 == 0 && tiny(a) && tiny(b) {
        return true;
    }
    let (a, b) = (f64::from(f32::from_bits(a)), f64::from(f32::from_bits(b)));
    a.is_finite() && (a - b).abs() <= a.abs() * 1.5 / 2048.0
}

/// The instruction as text, and its bytes.
pub fn describe(case: &Case) -> String {
    let mut decoder = Decoder::with_ip(case.mode.bits(), &case.bytes, case.before.ip, DecoderOptions::NONE);
    let instruction = decoder.decode();
    let mut text = format!("{:?}: {instruction}  [", instruction.code());
    for byte in &case.bytes {
        let _ = write!(text, " {byte:02x}");
    }
    text.push_str(" ]");
    text
}

/// A failing case in full: the instruction, the state before, both states after, and where they differ.
pub fn report(case: &Case, host: &Outcome, guest: &Outcome, differences: &[String]) -> String {
    let mut text = format!("{} {:?}\n", describe(case), case.mode);
    for difference in differences {
        let _ = writeln!(text, "  {difference}");
    }
    let _ = writeln!(text, "  before:\n{}", listing(&case.before));
    for poke in &case.pokes {
        let _ = writeln!(text, "    data+{:#x}: {:02x?}", poke.at, poke.bytes);
    }
    let _ = writeln!(text, "  host after: {:x?}\n{}", host.stop, listing(&host.after));
    let _ = writeln!(text, "  lockstep after: {:x?}\n{}", guest.stop, listing(&guest.after));
    text
}

fn listing(registers: &Registers) -> String {
    let mut text = String::new();
    for (i, (name, value)) in NAMES.iter().zip(registers.gpr).enumerate() {
        let _ = write!(text, "    {name:>3} {value:016x}{}", if i % 4 == 3 { "\n" } else { "" });
    }
    let _ = writeln!(
        text,
        "    rip {:x} rflags {:x} cs {:x} ss {:x} ds {:x} es {:x} mxcsr {:x} fcw {:x} fsw {:x} ftw {:02x}",
        registers.ip,
        registers.flags,
        registers.cs,
        registers.ss,
        registers.ds,
        registers.es,
        registers.mxcsr,
        registers.control,
        registers.status,
        registers.valid
    );
    for (i, xmm) in registers.xmm.iter().enumerate() {
        let _ = write!(text, "    xmm{i:<2} {xmm:032x}{}", if i % 2 == 1 { "\n" } else { "" });
    }
    for (i, st) in registers.st.iter().enumerate() {
        let _ = write!(text, "    st{i} {st:020x}{}", if i % 4 == 3 { "\n" } else { "" });
    }
    text.trim_end().to_owned()
}
