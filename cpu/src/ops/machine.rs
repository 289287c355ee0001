//! CPUID, RDMSR, WRMSR, RDTSC, RDPMC, RDRAND, RDPID, fences and cache-line control.

use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot};
use crate::state::{Cr4, Rflags, Vcpu};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

fn edx_eax(cpu: &Vcpu) -> u64 {
    cpu.gpr[Slot::RDX.number()] << 32 | cpu.gpr[Slot::RAX.number()] & 0xffff_ffff
}

fn set_edx_eax(cpu: &mut Vcpu, value: u64) {
    cpu.gpr[Slot::RAX.number()] = value & 0xffff_ffff;
    cpu.gpr[Slot::RDX.number()] = value >> 32;
}

fn cpuid(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    let answer = cpu.cpuid(cpu.gpr[Slot::RAX.number()] as u32, cpu.gpr[Slot::RCX.number()] as u32);
    for (slot, value) in [Slot::RAX, Slot::RBX, Slot::RCX, Slot::RDX].into_iter().zip(answer) {
        cpu.gpr[slot.number()] = value.into();
    }
    Ok(())
}

fn rdmsr(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.check_supervisor()?;
    let value = cpu.read_msr(bus, cpu.gpr[Slot::RCX.number()] as u32)?;
    set_edx_eax(cpu, value);
    Ok(())
}

fn wrmsr(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.check_supervisor()?;
    cpu.write_msr(bus, cpu.gpr[Slot::RCX.number()] as u32, edx_eax(cpu))
}

fn check_tsc(cpu: &Vcpu) -> Result<(), Fault> {
    if cpu.cr4.contains(Cr4::TSD) && cpu.cpl > 0 { Err(Fault::GP0) } else { Ok(()) }
}

fn rdtsc(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    check_tsc(cpu)?;
    let value = cpu.tsc(&bus.clock);
    set_edx_eax(cpu, value);
    Ok(())
}

fn rdtscp(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    rdtsc(cpu, bus, op)?;
    cpu.gpr[Slot::RCX.number()] = cpu.msrs.tsc_aux & 0xffff_ffff;
    Ok(())
}

fn rdpid<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.write_dst(op, T::truncate(cpu.msrs.tsc_aux & 0xffff_ffff));
    Ok(())
}

/// The four counters of the K7 exist and stand still.
fn rdpmc(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    const COUNTERS: u64 = 4;
    if cpu.cpl > 0 && !cpu.cr4.contains(Cr4::PCE) || cpu.gpr[Slot::RCX.number()] & 0xffff_ffff >= COUNTERS {
        return Err(Fault::GP0);
    }
    set_edx_eax(cpu, 0);
    Ok(())
}

/// RDRAND and RDSEED always have a number: it comes from the machine's seed.
fn random<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let value = cpu.next_random();
    cpu.write_dst(op, T::truncate(value));
    cpu.flags.put_status(Rflags::CF);
    Ok(())
}

/// Everything is in order already.
fn fence(_: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    Ok(())
}

/// CLFLUSH faults as a load does, and there is no cache.
fn flush_line(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let linear = cpu.linear(op, 1, Access::Read)?;
    cpu.probe_read(bus, linear, 1)
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::single(Code::Cpuid, cpuid),
        Row::single(Code::Rdmsr, rdmsr),
        Row::single(Code::Wrmsr, wrmsr),
        Row::single(Code::Rdtsc, rdtsc),
        Row::single(Code::Rdtscp, rdtscp),
        Row::single(Code::Rdpmc, rdpmc),
        Row::single(Code::Rdpid_r32, rdpid::<u32>),
        Row::single(Code::Rdpid_r64, rdpid::<u64>),
        Row::single(Code::Rdrand_r16, random::<u16>),
        Row::single(Code::Rdrand_r32, random::<u32>),
        Row::single(Code::Rdrand_r64, random::<u64>),
        Row::single(Code::Rdseed_r16, random::<u16>),
        Row::single(Code::Rdseed_r32, random::<u32>),
        Row::single(Code::Rdseed_r64, random::<u64>),
        Row::single(Code::Clflush_m8, flush_line),
        Row::single(Code::Clflushopt_m8, flush_line),
    ];
    let fences = [
        Code::Lfence,
        Code::Lfence_E9,
        Code::Lfence_EA,
        Code::Lfence_EB,
        Code::Lfence_EC,
        Code::Lfence_ED,
        Code::Lfence_EE,
        Code::Lfence_EF,
        Code::Mfence,
        Code::Mfence_F1,
        Code::Mfence_F2,
        Code::Mfence_F3,
        Code::Mfence_F4,
        Code::Mfence_F5,
        Code::Mfence_F6,
        Code::Mfence_F7,
        Code::Sfence,
        Code::Sfence_F9,
        Code::Sfence_FA,
        Code::Sfence_FB,
        Code::Sfence_FC,
        Code::Sfence_FD,
        Code::Sfence_FE,
        Code::Sfence_FF,
    ];
    rows.extend(fences.map(|code| Row::single(code, fence)));
    rows.into_iter().map(Row::system).collect()
}
