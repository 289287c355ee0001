//! CLC, STC, CMC, CLD, STD, CLI, STI, LAHF, SAHF, PUSHF, POPF, CLAC, STAC.

use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::{Op, Slot};
use crate::state::{Cr0, Cr4, Pending, Rflags, Vcpu};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

fn carry<const ON: bool>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.flags.set_carry(ON);
    Ok(())
}

fn cmc(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.flags.set_carry(!cpu.flags.cf());
    Ok(())
}

fn direction<const DOWN: bool>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.flags.set(Rflags::DF, DOWN);
    Ok(())
}

const BY_SAHF: Rflags = Rflags::SF.union(Rflags::ZF).union(Rflags::AF).union(Rflags::PF).union(Rflags::CF);

fn lahf(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let low = (cpu.flags.get() & BY_SAHF | Rflags::FIXED).bits() as u8;
    cpu.write_gpr(Slot::RAX, 8, low);
    Ok(())
}

fn sahf(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let ah: u8 = cpu.read_gpr(Slot::RAX, 8);
    let of = cpu.flags.get() & Rflags::OF;
    cpu.flags.put_status(Rflags::from_bits_retain(ah.into()) & BY_SAHF | of);
    Ok(())
}

/// Which of the interrupt flags CLI and STI change.
enum Interrupts {
    /// IF.
    Real,
    /// VIF, under CR4.VME or CR4.PVI.
    Virtual,
}

/// Decides by mode and privilege (SDM volume 2, tables of CLI and STI).
fn interrupts(cpu: &Vcpu) -> Result<Interrupts, Fault> {
    if !cpu.cr0.contains(Cr0::PE) || cpu.flags.iopl() >= cpu.cpl {
        Ok(Interrupts::Real)
    } else if cpu.cpl == 3 && cpu.cr4.contains(if cpu.v86() { Cr4::VME } else { Cr4::PVI }) {
        Ok(Interrupts::Virtual)
    } else {
        Err(Fault::GP0)
    }
}

fn cli(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    match interrupts(cpu)? {
        Interrupts::Real => cpu.flags.set(Rflags::IF, false),
        Interrupts::Virtual => cpu.flags.set(Rflags::VIF, false),
    }
    Ok(())
}

/// Interrupts stay blocked for one instruction if they were before.
fn sti(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    match interrupts(cpu)? {
        Interrupts::Real => {
            if !cpu.flags.has(Rflags::IF) {
                cpu.flags.set(Rflags::IF, true);
                cpu.shadow = true;
                cpu.pending |= Pending::EVENTS;
            }
        }
        Interrupts::Virtual if cpu.flags.has(Rflags::VIP) => return Err(Fault::GP0),
        Interrupts::Virtual => cpu.flags.set(Rflags::VIF, true),
    }
    Ok(())
}

fn access_lifted<const ON: bool>(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    if cpu.cpl != 0 {
        return Err(Fault::UD);
    }
    cpu.flags.set(Rflags::AC, ON);
    cpu.refresh_bank();
    Ok(())
}

/// Virtual-8086 mode with an I/O privilege level below 3.
fn restricted_v86(cpu: &Vcpu) -> bool {
    cpu.v86() && cpu.flags.iopl() < 3
}

fn pushf<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    let mut image = cpu.flags.get().difference(Rflags::VM | Rflags::RF);
    if restricted_v86(cpu) {
        if T::BITS != 16 || !cpu.cr4.contains(Cr4::VME) {
            return Err(Fault::GP0);
        }
        // The virtual flag stands in for the real one.
        image.set(Rflags::IF, image.contains(Rflags::VIF));
        image |= Rflags::IOPL;
    }
    if T::BITS == 64 {
        return cpu.push64(bus, image.bits());
    }
    cpu.push(bus, T::truncate(image.bits()))
}

/// What POPF may change where nothing restricts it.
const BY_POPF: Rflags = Rflags::STATUS
    .union(Rflags::TF)
    .union(Rflags::IF)
    .union(Rflags::DF)
    .union(Rflags::IOPL)
    .union(Rflags::NT)
    .union(Rflags::AC)
    .union(Rflags::ID);

fn popf<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    let popped: T = if T::BITS == 64 { T::truncate(cpu.peek64(bus)?) } else { cpu.peek(bus, 0)? };
    let popped = Rflags::from_bits_retain(popped.zero_extend());
    let mut changes = BY_POPF;
    let mut virtual_if = None;
    if restricted_v86(cpu) {
        let pending = cpu.flags.has(Rflags::VIP) && popped.contains(Rflags::IF);
        if T::BITS != 16 || !cpu.cr4.contains(Cr4::VME) || pending || popped.contains(Rflags::TF) {
            return Err(Fault::GP0);
        }
        changes = changes.difference(Rflags::IF | Rflags::IOPL);
        virtual_if = Some(popped.contains(Rflags::IF));
    } else if cpu.cr0.contains(Cr0::PE) && cpu.cpl != 0 {
        changes = changes.difference(Rflags::IOPL);
        if cpu.cpl > cpu.flags.iopl() {
            changes = changes.difference(Rflags::IF);
        }
    }
    if T::BITS == 16 {
        changes &= Rflags::from_bits_retain(0xffff);
    }
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(T::BYTES));
    let before = cpu.flags.get();
    let mut after = before.difference(changes) | popped & changes;
    if let Some(on) = virtual_if {
        after.set(Rflags::VIF, on);
    }
    cpu.flags.put(after);
    let changed = before ^ after;
    if changed.contains(Rflags::AC) {
        cpu.refresh_bank();
    }
    if changed.intersects(Rflags::IF | Rflags::TF) {
        cpu.pending |= Pending::EVENTS;
    }
    Ok(())
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::single(Code::Clc, carry::<false>),
        Row::single(Code::Stc, carry::<true>),
        Row::single(Code::Cmc, cmc),
        Row::single(Code::Cld, direction::<false>),
        Row::single(Code::Std, direction::<true>),
        Row::single(Code::Lahf, lahf),
        Row::single(Code::Sahf, sahf),
        Row::single(Code::Cli, cli).system(),
        Row::single(Code::Sti, sti).system().ends(),
        Row::single(Code::Clac, access_lifted::<false>).system(),
        Row::single(Code::Stac, access_lifted::<true>).system(),
        Row::single(Code::Pushfw, pushf::<u16>),
        Row::single(Code::Pushfd, pushf::<u32>),
        Row::single(Code::Pushfq, pushf::<u64>),
        // POPF can set TF, AC and NT: tried with a host only by those who know what is on the stack.
        Row::single(Code::Popfw, popf::<u16>).system().ends(),
        Row::single(Code::Popfd, popf::<u32>).system().ends(),
        Row::single(Code::Popfq, popf::<u64>).system().ends(),
    ]
}
