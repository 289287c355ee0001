//! INT n, INT3, INTO, INT1, BOUND, IRET, HLT.

use crate::deliver::Origin;
use crate::descriptor::rpl;
use crate::fault::{Fault, vector};
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot};
use crate::state::{Activity, Cr0, Cr4, Pending, Rflags, Vcpu, seg};
use crate::table::Row;
use crate::task::{Nesting, Switch};
use iced_x86::Code;
use lockstep_fabric::Bus;

fn int_n(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.software_interrupt(bus, op.imm as u8, Origin::Interrupt, cpu.next_ip(op))
}

fn int3(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.software_interrupt(bus, vector::BP, Origin::Trap, cpu.next_ip(op))
}

fn into(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    if !cpu.flags.of() {
        return Ok(());
    }
    cpu.software_interrupt(bus, vector::OF, Origin::Trap, cpu.next_ip(op))
}

fn int1(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.software_interrupt(bus, vector::DB, Origin::Exception, cpu.next_ip(op))
}

/// BOUND: the index must lie between the two signed bounds in memory.
fn bound<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let at = cpu.linear(op, 2 * T::BYTES, Access::Read)?;
    let index = cpu.read_dst::<T>(op).sign_extend() as i64;
    if index < cpu.load::<T>(bus, at)?.sign_extend() as i64 {
        return Err(Fault::BR);
    }
    let upper = cpu.load::<T>(bus, cpu.wrapped(at.wrapping_add(T::BYTES)))?.sign_extend() as i64;
    if index <= upper { Ok(()) } else { Err(Fault::BR) }
}

fn hlt(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    if cpu.cpl != 0 {
        return Err(Fault::GP0);
    }
    cpu.activity = Activity::Halted;
    cpu.pending |= Pending::STOPPED;
    Ok(())
}

/// PAUSE: who spins has no use for the rest of its turn, and what it waits for may need one.
fn pause(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.yields = true;
    cpu.pending |= Pending::YIELD;
    Ok(())
}

/// Flags that any IRET may change, by operand width.
fn image_mask<T: Int>() -> Rflags {
    let narrow = Rflags::STATUS | Rflags::TF | Rflags::DF | Rflags::NT;
    if T::BITS == 16 { narrow } else { narrow | Rflags::RF | Rflags::AC | Rflags::ID }
}

fn replace_flags(cpu: &mut Vcpu, image: u64, mask: Rflags) {
    let kept = cpu.flags.get().difference(mask);
    cpu.flags.put(kept | Rflags::from_bits_retain(image) & mask);
}

fn iret<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    if !cpu.cr0.contains(Cr0::PE) || cpu.v86() {
        iret_real::<T>(cpu, bus)?;
    } else if cpu.flags.has(Rflags::NT) {
        iret_task(cpu, bus, op)?;
    } else {
        iret_protected::<T>(cpu, bus)?;
    }
    cpu.nmi_blocked = false;
    Ok(())
}

fn iret_real<T: Int>(cpu: &mut Vcpu, bus: &mut Bus) -> Result<(), Fault> {
    let virtual_if = cpu.v86() && cpu.flags.iopl() < 3;
    if virtual_if && (!cpu.cr4.contains(Cr4::VME) || T::BITS != 16) {
        return Err(Fault::GP0);
    }
    let ip = cpu.peek::<T>(bus, 0)?.zero_extend();
    let cs = cpu.peek::<T>(bus, T::BYTES)?.zero_extend() as u16;
    let image = cpu.peek::<T>(bus, 2 * T::BYTES)?.zero_extend();
    if ip > cpu.seg[seg::CS].limit.into() {
        return Err(Fault::GP0);
    }
    let mut mask = image_mask::<T>();
    if virtual_if {
        let image = Rflags::from_bits_retain(image);
        let wants = image.contains(Rflags::IF);
        if image.contains(Rflags::TF) || wants && cpu.flags.has(Rflags::VIP) {
            return Err(Fault::GP0);
        }
        cpu.flags.set(Rflags::VIF, wants);
    } else {
        mask |= Rflags::IF;
    }
    if !cpu.v86() {
        mask |= Rflags::IOPL;
    }
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(3 * T::BYTES));
    replace_flags(cpu, image, mask);
    cpu.seg[seg::CS] = cpu.seg[seg::CS].real(cs);
    cpu.ip = ip;
    cpu.refresh();
    Ok(())
}

fn iret_task(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    if cpu.long_mode() {
        return Err(Fault::GP0);
    }
    let link: u16 = cpu.load_tss(bus, 0)?;
    let found = cpu.task_descriptor(bus, link, Fault::ts, true)?;
    let switch = Switch {
        ip: cpu.next_ip(op),
        image: cpu.flags.get().bits(),
        nesting: Nesting::Out,
        error: None,
        external: false,
    };
    cpu.switch_task(bus, link, found, &switch)
}

fn iret_protected<T: Int>(cpu: &mut Vcpu, bus: &mut Bus) -> Result<(), Fault> {
    let ip = cpu.peek::<T>(bus, 0)?.zero_extend();
    // Only two bytes of a selector's place are read.
    let cs = cpu.peek::<u16>(bus, T::BYTES)?;
    let image = cpu.peek::<T>(bus, 2 * T::BYTES)?.zero_extend();
    let to_v86 = T::BITS == 32 && image & Rflags::VM.bits() != 0 && cpu.cpl == 0 && !cpu.long_mode();
    if to_v86 {
        return iret_to_v86(cpu, bus, ip, cs, image);
    }
    let code = cpu.return_segment(bus, cs)?;
    let ip = cpu.far_offset(&code, ip);
    cpu.check_target(&code, ip)?;
    let level = rpl(cs);
    // 64-bit mode pops SS:RSP whatever the privilege level returned to.
    let stack = if level > cpu.cpl || cpu.code64() {
        let pointer = cpu.peek::<T>(bus, 3 * T::BYTES)?.zero_extend();
        let ss = cpu.peek::<u16>(bus, 4 * T::BYTES)?;
        Some((cpu.return_stack(bus, ss, &code, level)?, pointer))
    } else {
        None
    };
    let mut mask = image_mask::<T>();
    if cpu.cpl <= cpu.flags.iopl() {
        mask |= Rflags::IF;
    }
    if cpu.cpl == 0 {
        mask |= Rflags::IOPL;
        if T::BITS != 16 {
            mask |= Rflags::VIF | Rflags::VIP;
        }
    }
    replace_flags(cpu, image, mask);
    match stack {
        Some((segment, pointer)) => cpu.return_to(ip, code, level, Some((segment, pointer))),
        None => {
            cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(3 * T::BYTES));
            cpu.return_to(ip, code, level, None);
        }
    }
    Ok(())
}

fn iret_to_v86(cpu: &mut Vcpu, bus: &mut Bus, ip: u64, cs: u16, image: u64) -> Result<(), Fault> {
    if ip > 0xffff {
        return Err(Fault::GP0);
    }
    let mut words = [0u32; 6];
    for (i, word) in words.iter_mut().enumerate() {
        *word = cpu.peek(bus, 12 + 4 * i as u64)?;
    }
    let [esp, ss, es, ds, fs, gs] = words;
    let settable = Rflags::all().difference(Rflags::FIXED);
    replace_flags(cpu, image, settable);
    cpu.gpr[Slot::RSP.number()] = esp.into();
    cpu.ip = ip;
    cpu.set_v86_segments([es as u16, cs, ss as u16, ds as u16, fs as u16, gs as u16]);
    Ok(())
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::single(Code::Int_imm8, int_n).ends().system(),
        Row::single(Code::Int3, int3).ends().system(),
        Row::single(Code::Into, into).ends().system(),
        Row::single(Code::Bound_r16_m1616, bound::<u16>),
        Row::single(Code::Bound_r32_m3232, bound::<u32>),
        Row::single(Code::Int1, int1).ends().system(),
        Row::single(Code::Iretw, iret::<u16>).ends().system(),
        Row::single(Code::Iretd, iret::<u32>).ends().system(),
        Row::single(Code::Iretq, iret::<u64>).ends().system(),
        Row::single(Code::Hlt, hlt).ends().system(),
        Row::single(Code::Pause, pause),
    ]
}
