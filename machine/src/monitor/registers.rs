//! A vCPU's registers: by name in expressions, and all at once for `info registers`.

use crate::run::Control;
use lockstep_cpu::Vcpu;
use lockstep_cpu::state::{Activity, Rflags, Segment, TableRegister, seg};
use std::fmt::Write;

/// The general registers' names after their R or E, in the encoding's order.
const GENERAL: [&str; 8] = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
/// The segment registers with their places in [`Vcpu::seg`], in the order shown.
const SEGMENTS: [(&str, usize); 6] =
    [("es", seg::ES), ("cs", seg::CS), ("ss", seg::SS), ("ds", seg::DS), ("fs", seg::FS), ("gs", seg::GS)];

/// The value that `$name` stands for.
///
/// As in QEMU, `$pc` is a linear address, with the code segment's base in it, so that `x/i $pc` works in every mode; `$eip`
/// and `$rip` are the register as it is.
pub(super) fn value(control: &Control, cpu: &Vcpu, name: &str) -> Option<u64> {
    let name = name.to_ascii_lowercase();
    if let Some((segment, part)) = name.split_once('.') {
        let segment = segment_of(cpu, segment)?;
        return match part {
            "base" => Some(segment.base),
            "limit" => Some(segment.limit.into()),
            _ => None,
        };
    }
    if let Some(value) = general(cpu, &name) {
        return Some(value);
    }
    match name.as_str() {
        "pc" => Some(program_counter(cpu)),
        "rip" | "eip" => Some(cpu.ip),
        "ip" => Some(cpu.ip & 0xffff),
        "rflags" | "eflags" => Some(flags(cpu)),
        "cr0" => Some(cpu.cr0.bits()),
        "cr2" => Some(cpu.cr2),
        "cr3" => Some(cpu.cr3),
        "cr4" => Some(cpu.cr4.bits()),
        "efer" => Some(cpu.efer.bits()),
        "fs_base" => Some(cpu.seg[seg::FS].base),
        "gs_base" => Some(cpu.seg[seg::GS].base),
        "k_gs_base" => Some(cpu.msrs.kernel_gs_base),
        "tick" => Some(control.board.machine.now()),
        _ => match name.strip_prefix("dr") {
            Some(number) => number.parse().ok().and_then(|n: usize| cpu.dr.get(n)).copied(),
            None => Some(segment_of(cpu, &name)?.selector.into()),
        },
    }
}

/// The linear address of the next instruction.
pub(super) fn program_counter(cpu: &Vcpu) -> u64 {
    if cpu.code64() { cpu.ip } else { cpu.seg[seg::CS].base.wrapping_add(cpu.ip) & 0xffff_ffff }
}

/// `rax`, `eax`, `ax`, `r8`...
fn general(cpu: &Vcpu, name: &str) -> Option<u64> {
    let place = |name: &str| GENERAL.iter().position(|known| *known == name);
    if let Some(at) = place(name) {
        return Some(cpu.gpr[at] & 0xffff);
    }
    if let Some(at) = name.strip_prefix('e').and_then(place) {
        return Some(cpu.gpr[at] & 0xffff_ffff);
    }
    let rest = name.strip_prefix('r')?;
    let numbered = || rest.parse().ok().filter(|n| (8..16).contains(n));
    place(rest).or_else(numbered).map(|at| cpu.gpr[at])
}

fn segment_of<'a>(cpu: &'a Vcpu, name: &str) -> Option<&'a Segment> {
    match name {
        "ldtr" => Some(&cpu.ldtr),
        "tr" => Some(&cpu.tr),
        _ => SEGMENTS.iter().find(|(known, _)| *known == name).map(|(_, at)| &cpu.seg[*at]),
    }
}

fn flags(cpu: &Vcpu) -> u64 {
    cpu.flags.get().bits()
}

/// Everything, laid out as QEMU does: 64-bit registers in long mode, 32-bit ones otherwise.
pub(super) fn show(cpu: &Vcpu, a20: bool) -> String {
    let mut text = format!("CPU#{}\n", cpu.index);
    let long = cpu.long_mode();
    // Writing to a string cannot fail; the results are dropped below for that reason.
    let _ = show_general(&mut text, cpu, long, a20);
    let _ = show_system(&mut text, cpu, long);
    let _ = show_floating(&mut text, cpu);
    text
}

fn show_general(text: &mut String, cpu: &Vcpu, long: bool, a20: bool) -> std::fmt::Result {
    /// QEMU's order.
    const ORDER: [usize; 8] = [0, 3, 1, 2, 6, 7, 5, 4];
    for (i, at) in ORDER.iter().enumerate() {
        let name = GENERAL[*at].to_ascii_uppercase();
        let end = if i % 4 == 3 { '\n' } else { ' ' };
        match long {
            true => write!(text, "R{name}={:016x}{end}", cpu.gpr[*at])?,
            false => write!(text, "E{name}={:08x}{end}", cpu.gpr[*at] as u32)?,
        }
    }
    if long {
        for number in 8..16 {
            let end = if number % 4 == 3 { '\n' } else { ' ' };
            write!(text, "R{number:<2}={:016x}{end}", cpu.gpr[number])?;
        }
        write!(text, "RIP={:016x} RFL={:08x} ", cpu.ip, flags(cpu))?;
    } else {
        write!(text, "EIP={:08x} EFL={:08x} ", cpu.ip as u32, flags(cpu))?;
    }
    let letters = [
        (Rflags::DF, 'D'),
        (Rflags::OF, 'O'),
        (Rflags::SF, 'S'),
        (Rflags::ZF, 'Z'),
        (Rflags::AF, 'A'),
        (Rflags::PF, 'P'),
        (Rflags::CF, 'C'),
    ];
    let held = cpu.flags.get();
    let letters: String =
        letters.iter().map(|(flag, letter)| if held.contains(*flag) { *letter } else { '-' }).collect();
    let halted = u8::from(cpu.activity == Activity::Halted);
    let (shadow, a20) = (u8::from(cpu.shadow), u8::from(a20));
    writeln!(text, "[{letters}] CPL={} II={shadow} A20={a20} SMM=0 HLT={halted}", cpu.cpl)
}

fn show_system(text: &mut String, cpu: &Vcpu, long: bool) -> std::fmt::Result {
    let address = |value: u64| if long { format!("{value:016x}") } else { format!("{:08x}", value as u32) };
    let segment = |name: &str, held: &Segment| {
        let (selector, base) = (held.selector, address(held.base));
        format!("{name:<3}={selector:04x} {base} {:08x} {:04x}\n", held.limit, held.rights.0)
    };
    for (name, at) in SEGMENTS {
        text.push_str(&segment(&name.to_ascii_uppercase(), &cpu.seg[at]));
    }
    text.push_str(&segment("LDT", &cpu.ldtr));
    text.push_str(&segment("TR", &cpu.tr));
    let table = |name: &str, held: &TableRegister| format!("{name}=     {} {:08x}\n", address(held.base), held.limit);
    text.push_str(&table("GDT", &cpu.gdtr));
    text.push_str(&table("IDT", &cpu.idtr));
    let (cr0, cr4) = (cpu.cr0.bits(), cpu.cr4.bits());
    writeln!(text, "CR0={cr0:08x} CR2={} CR3={} CR4={cr4:08x}", address(cpu.cr2), address(cpu.cr3))?;
    for (number, value) in cpu.dr.iter().enumerate().take(4) {
        write!(text, "DR{number}={}{}", address(*value), if number == 3 { '\n' } else { ' ' })?;
    }
    writeln!(text, "DR6={} DR7={}", address(cpu.dr[6]), address(cpu.dr[7]))?;
    writeln!(text, "EFER={:016x}", cpu.efer.bits())
}

fn show_floating(text: &mut String, cpu: &Vcpu) -> std::fmt::Result {
    let fpu = &cpu.fpu;
    let status = fpu.status | u16::from(fpu.top & 7) << 11;
    writeln!(
        text,
        "FCW={:04x} FSW={status:04x} [ST={}] FTW={:02x} MXCSR={:08x}",
        fpu.control,
        fpu.top & 7,
        fpu.valid,
        cpu.mxcsr
    )?;
    let registers = fpu.significand.iter().zip(fpu.sign_exponent).enumerate();
    for (number, (significand, sign_exponent)) in registers {
        let end = if number % 2 == 1 { '\n' } else { ' ' };
        write!(text, "FPR{number}={significand:016x} {sign_exponent:04x}{end}")?;
    }
    let count = if cpu.code64() { 16 } else { 8 };
    for (number, vector) in cpu.vec.iter().enumerate().take(count) {
        let end = match number % 2 {
            _ if number + 1 == count => "",
            1 => "\n",
            _ => " ",
        };
        write!(text, "XMM{number:02}={:032x}{end}", vector.xmm())?;
    }
    Ok(())
}
