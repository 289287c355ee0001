//! IN, OUT, INS, OUTS.

use super::string::{StringOp, advance, destination, source, string};
use crate::fault::Fault;
use crate::mmu::{Access, Bank, Int};
use crate::op::{Op, Slot};
use crate::state::{Cr0, Pending, Rights, Vcpu};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::{Bus, Cpu, Space, Width};

/// Offset of the I/O map's base in a task-state segment (SDM volume 3, figures 9-2 and 9-11).
const TSS_IO_MAP_BASE: u64 = 0x66;
/// Type of an available 32- or 64-bit TSS; a busy one has bit 1 as well.
const TSS_AVAILABLE: u8 = 9;
const TSS_BUSY: u8 = 1 << 1;

impl Vcpu {
    /// #GP(0) unless the current task may access `len` ports from `port` on (SDM volume 1, section 19.5).
    #[inline(always)]
    fn may_access_ports(&mut self, bus: &mut Bus, port: u16, len: u64) -> Result<(), Fault> {
        let free = !self.cr0.contains(Cr0::PE) || self.cpl <= self.flags.iopl() && !self.v86();
        if free { Ok(()) } else { self.check_io_map(bus, port, len) }
    }

    #[cold]
    #[inline(never)]
    fn check_io_map(&mut self, bus: &mut Bus, port: u16, len: u64) -> Result<(), Fault> {
        let limit = u64::from(self.tr.limit);
        let usable = self.tr.rights.has(Rights::PRESENT) && self.tr.rights.kind() & !TSS_BUSY == TSS_AVAILABLE;
        if !usable || limit < TSS_IO_MAP_BASE + 1 {
            return Err(Fault::GP0);
        }
        let base: u16 = self.load_system(bus, self.tr.base.wrapping_add(TSS_IO_MAP_BASE))?;
        // Two bytes are looked at whatever the width.
        let at = u64::from(base) + u64::from(port / 8);
        if at + 1 > limit {
            return Err(Fault::GP0);
        }
        let map: u16 = self.load_system(bus, self.tr.base.wrapping_add(at))?;
        let wanted = ((1u16 << len) - 1) << (port % 8);
        if map & wanted == 0 { Ok(()) } else { Err(Fault::GP0) }
    }

    fn read_port<T: Int>(&mut self, bus: &mut Bus, port: u16) -> T {
        let width = width::<T>();
        bus.clock.set_now(self.tick);
        self.pending |= Pending::ACCESS;
        let value = bus.read(Space::Io, port.into(), width, Cpu(self.index)).unwrap_or(width.mask());
        T::truncate(value)
    }

    fn write_port<T: Int>(&mut self, bus: &mut Bus, port: u16, value: T) {
        bus.clock.set_now(self.tick);
        self.pending |= Pending::ACCESS;
        // What nothing claims is dropped, as on the real bus.
        let _ = bus.write(Space::Io, port.into(), width::<T>(), value.zero_extend(), Cpu(self.index));
        if bus.memory.has_stale() {
            self.pending |= Pending::STALE;
        }
    }
}

fn width<T: Int>() -> Width {
    match T::BITS {
        8 => Width::Byte,
        16 => Width::Word,
        32 => Width::Dword,
        _ => Width::Qword,
    }
}

fn dx(cpu: &Vcpu) -> u16 {
    cpu.read_gpr(Slot::RDX, 0)
}

fn input<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, port: u16) -> Result<(), Fault> {
    cpu.may_access_ports(bus, port, T::BYTES)?;
    let value: T = cpu.read_port(bus, port);
    cpu.write_gpr(Slot::RAX, 0, value);
    Ok(())
}

fn output<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, port: u16) -> Result<(), Fault> {
    cpu.may_access_ports(bus, port, T::BYTES)?;
    cpu.write_port::<T>(bus, port, cpu.read_gpr(Slot::RAX, 0));
    Ok(())
}

fn in_imm<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    input::<T>(cpu, bus, (op.imm & 0xff) as u16)
}

fn in_dx<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    input::<T>(cpu, bus, dx(cpu))
}

fn out_imm<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    output::<T>(cpu, bus, (op.imm & 0xff) as u16)
}

fn out_dx<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, _: &Op) -> Result<(), Fault> {
    output::<T>(cpu, bus, dx(cpu))
}

struct Ins;
impl StringOp for Ins {
    /// All that can fault comes before the port is read, which a device may not forget.
    fn once<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        let port = dx(cpu);
        cpu.may_access_ports(bus, port, T::BYTES)?;
        let to = destination::<T>(cpu, op, Access::Write)?;
        cpu.probe_write(bus, to, T::BYTES)?;
        if cpu.bank == Bank::Checked && to & (T::BYTES - 1) != 0 {
            return Err(Fault::AC0);
        }
        let value: T = cpu.read_port(bus, port);
        cpu.store(bus, to, value)?;
        advance::<T>(cpu, op, Slot::RDI, 1);
        Ok(())
    }
}

struct Outs;
impl StringOp for Outs {
    fn once<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
        let port = dx(cpu);
        cpu.may_access_ports(bus, port, T::BYTES)?;
        let from = source::<T>(cpu, op)?;
        let value: T = cpu.load(bus, from)?;
        cpu.write_port(bus, port, value);
        advance::<T>(cpu, op, Slot::RSI, 1);
        Ok(())
    }
}

/// Permission comes before the count: even a REP with nothing to do faults without it.
fn string_io<S: StringOp, T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.may_access_ports(bus, dx(cpu), T::BYTES)?;
    string::<S, T>(cpu, bus, op)
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::single(Code::In_AL_imm8, in_imm::<u8>).system(),
        Row::single(Code::In_AX_imm8, in_imm::<u16>).system(),
        Row::single(Code::In_EAX_imm8, in_imm::<u32>).system(),
        Row::single(Code::In_AL_DX, in_dx::<u8>).system(),
        Row::single(Code::In_AX_DX, in_dx::<u16>).system(),
        Row::single(Code::In_EAX_DX, in_dx::<u32>).system(),
        Row::single(Code::Out_imm8_AL, out_imm::<u8>).system(),
        Row::single(Code::Out_imm8_AX, out_imm::<u16>).system(),
        Row::single(Code::Out_imm8_EAX, out_imm::<u32>).system(),
        Row::single(Code::Out_DX_AL, out_dx::<u8>).system(),
        Row::single(Code::Out_DX_AX, out_dx::<u16>).system(),
        Row::single(Code::Out_DX_EAX, out_dx::<u32>).system(),
        Row::single(Code::Insb_m8_DX, string_io::<Ins, u8>).system().repeats(),
        Row::single(Code::Insw_m16_DX, string_io::<Ins, u16>).system().repeats(),
        Row::single(Code::Insd_m32_DX, string_io::<Ins, u32>).system().repeats(),
        Row::single(Code::Outsb_DX_m8, string_io::<Outs, u8>).system().repeats(),
        Row::single(Code::Outsw_DX_m16, string_io::<Outs, u16>).system().repeats(),
        Row::single(Code::Outsd_DX_m32, string_io::<Outs, u32>).system().repeats(),
    ]
}
