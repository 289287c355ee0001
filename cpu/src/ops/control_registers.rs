//! MOV to and from control and debug registers, LMSW, SMSW, INVLPG, INVPCID, XGETBV, XSETBV, cache control.

use crate::deliver::DR7_GENERAL_DETECT;
use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot};
use crate::state::{Cr0, Cr4, DR6_FIXED, DR7_FIXED, Efer, Pending, Rights, Vcpu, seg};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::{Bus, Cpu, Space, Width};

/// Where a vCPU's task-priority register lies in its private space.
const CR8_ADDRESS: u64 = 0x1_0000_0008;
/// CR3: keep what is cached of the context (written, never stored).
const CR3_KEEP: u64 = 1 << 63;
/// CR3: the process-context identifier.
const CR3_CONTEXT: u64 = 0xfff;
/// DR6: debug-register access detected.
const DR6_ACCESS: u64 = 1 << 13;
/// DR6's writable bits: B0..B3, BD, BS, BT.
const DR6_WRITABLE: u64 = 0xe00f;
/// DR7's writable bits.
const DR7_WRITABLE: u64 = 0xffff_23ff;

impl Vcpu {
    /// The context whose translations are in use.
    fn context(&self) -> u16 {
        if self.cr4.contains(Cr4::PCIDE) { (self.cr3 & CR3_CONTEXT) as u16 } else { 0 }
    }

    /// Forgets every translation, global ones and those of other contexts too.
    pub(crate) fn flush_tlb(&mut self) {
        self.tlb.flush_all();
        let context = self.context();
        if context != 0 {
            self.tlb.switch_context(context);
        }
    }

    /// #GP(0) if one of the four PAE page-directory pointers at `cr3` has reserved bits set (SDM volume 3, section 4.4.1).
    fn check_pdptes(&mut self, bus: &mut Bus, cr3: u64) -> Result<(), Fault> {
        const RESERVED: u64 = 0x1e6;
        let high = u64::MAX << self.model.physical_bits;
        for i in 0..4 {
            let mut bytes = [0; 8];
            bus.memory.read_bytes((cr3 & 0xffff_ffe0) + 8 * i, &mut bytes);
            let entry = u64::from_le_bytes(bytes);
            if entry & 1 != 0 && entry & (RESERVED | high) != 0 {
                return Err(Fault::GP0);
            }
        }
        Ok(())
    }

    fn legacy_pae(&self, cr0: Cr0, cr4: Cr4) -> bool {
        cr0.contains(Cr0::PG) && cr4.contains(Cr4::PAE) && !self.efer.contains(Efer::LME)
    }

    fn set_cr0(&mut self, bus: &mut Bus, value: u64) -> Result<(), Fault> {
        if value >> 32 != 0 {
            return Err(Fault::GP0);
        }
        let new = Cr0::from_bits_truncate(value) | Cr0::ET;
        let old = self.cr0;
        let impossible = new.contains(Cr0::PG) && !new.contains(Cr0::PE)
            || new.contains(Cr0::NW) && !new.contains(Cr0::CD)
            || !new.contains(Cr0::PG) && old.contains(Cr0::PG) && (self.code64() || self.cr4.contains(Cr4::PCIDE));
        if impossible {
            return Err(Fault::GP0);
        }
        let paging_starts = new.contains(Cr0::PG) && !old.contains(Cr0::PG);
        if paging_starts && self.efer.contains(Efer::LME) {
            if !self.cr4.contains(Cr4::PAE) || self.seg[seg::CS].rights.has(Rights::LONG) {
                return Err(Fault::GP0);
            }
        } else if paging_starts && self.legacy_pae(new, self.cr4) {
            self.check_pdptes(bus, self.cr3)?;
        }
        self.cr0 = new;
        self.efer.set(Efer::LMA, new.contains(Cr0::PG) && self.efer.contains(Efer::LME));
        if (old ^ new).intersects(Cr0::PG | Cr0::PE | Cr0::WP) {
            self.flush_tlb();
        }
        self.refresh();
        Ok(())
    }

    fn set_cr3(&mut self, bus: &mut Bus, value: u64) -> Result<(), Fault> {
        let contexts = self.cr4.contains(Cr4::PCIDE);
        let keep = contexts && value & CR3_KEEP != 0;
        let value = if contexts { value & !CR3_KEEP } else { value };
        if self.long_mode() {
            if value >> self.model.physical_bits != 0 {
                return Err(Fault::GP0);
            }
        } else if self.legacy_pae(self.cr0, self.cr4) {
            self.check_pdptes(bus, value)?;
        }
        self.cr3 = value;
        let context = self.context();
        if keep {
            self.tlb.switch_context(context);
        } else {
            self.tlb.flush_context(context);
        }
        // The next instruction is fetched through the new tables.
        self.pending |= Pending::EVENTS;
        Ok(())
    }

    fn set_cr4(&mut self, bus: &mut Bus, value: u64) -> Result<(), Fault> {
        let allowed = self.model.cr4();
        if value & !allowed.bits() != 0 {
            return Err(Fault::GP0);
        }
        let new = Cr4::from_bits_truncate(value);
        let old = self.cr4;
        let changed = old ^ new;
        let long = self.long_mode();
        let contexts_start = changed.contains(Cr4::PCIDE) && new.contains(Cr4::PCIDE);
        let impossible = if long {
            !new.contains(Cr4::PAE) || changed.contains(Cr4::LA57) || contexts_start && self.cr3 & CR3_CONTEXT != 0
        } else {
            contexts_start
        };
        if impossible {
            return Err(Fault::GP0);
        }
        if self.legacy_pae(self.cr0, new) && changed.intersects(Cr4::PAE | Cr4::PSE | Cr4::PGE | Cr4::SMEP) {
            self.check_pdptes(bus, self.cr3)?;
        }
        self.cr4 = new;
        if changed.intersects(Cr4::PSE | Cr4::PAE | Cr4::PGE | Cr4::LA57 | Cr4::SMEP | Cr4::SMAP | Cr4::PCIDE) {
            self.flush_tlb();
        }
        self.refresh();
        Ok(())
    }

    fn debug_register(&self, number: usize) -> Result<usize, Fault> {
        match number {
            4 | 5 if self.cr4.contains(Cr4::DE) => Err(Fault::UD),
            4 | 5 => Ok(number + 2),
            0..=7 => Ok(number),
            _ => Err(Fault::UD),
        }
    }

    /// What comes before any access to a debug register.
    fn before_debug_access(&mut self, number: usize) -> Result<usize, Fault> {
        self.check_supervisor()?;
        let number = self.debug_register(number)?;
        if self.dr[7] & DR7_GENERAL_DETECT != 0 {
            self.dr[6] |= DR6_ACCESS;
            return Err(Fault::DB);
        }
        Ok(number)
    }
}

fn mov_from_cr<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.check_supervisor()?;
    let value = match op.src.number() {
        0 => cpu.cr0.bits(),
        2 => cpu.cr2,
        3 => cpu.cr3,
        4 => cpu.cr4.bits(),
        8 => cpu.read_private(bus, CR8_ADDRESS)?,
        _ => return Err(Fault::UD),
    };
    cpu.write_dst(op, T::truncate(value));
    Ok(())
}

fn mov_to_cr<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.check_supervisor()?;
    let value = cpu.read_src::<T>(op).zero_extend();
    match op.dst.number() {
        0 => cpu.set_cr0(bus, value),
        2 => {
            cpu.cr2 = value;
            Ok(())
        }
        3 => cpu.set_cr3(bus, value),
        4 => cpu.set_cr4(bus, value),
        8 if value > 15 => Err(Fault::GP0),
        8 => cpu.write_private(bus, CR8_ADDRESS, value),
        _ => Err(Fault::UD),
    }
}

fn mov_from_dr<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let number = cpu.before_debug_access(op.src.number())?;
    cpu.write_dst(op, T::truncate(cpu.dr[number & 7]));
    Ok(())
}

fn mov_to_dr<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let number = cpu.before_debug_access(op.dst.number())?;
    let value = cpu.read_src::<T>(op).zero_extend();
    cpu.dr[number & 7] = match number {
        6 | 7 if value >> 32 != 0 => return Err(Fault::GP0),
        6 => value & DR6_WRITABLE | DR6_FIXED,
        7 => value & DR7_WRITABLE | DR7_FIXED,
        _ => value,
    };
    if number != 6 {
        // Which pages are watched may have changed.
        cpu.tlb.slow_all();
        cpu.pending |= Pending::EVENTS;
    }
    Ok(())
}

fn lmsw<const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    const WRITABLE: u64 = 0xf;
    cpu.check_supervisor()?;
    let value: u16 = if MEMORY { cpu.load_operand(bus, op)? } else { cpu.read_dst(op) };
    // PE can be set by LMSW but not cleared.
    let kept = cpu.cr0.bits() & !(WRITABLE & !Cr0::PE.bits());
    cpu.set_cr0(bus, kept | u64::from(value) & WRITABLE)
}

fn smsw<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.check_umip()?;
    cpu.write_dst(op, T::truncate(cpu.cr0.bits()));
    Ok(())
}

fn smsw_memory(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.check_umip()?;
    cpu.store_operand(bus, op, cpu.cr0.bits() as u16)
}

fn invlpg(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.check_supervisor()?;
    let segment = usize::from(op.seg) & 7;
    let base = if !cpu.code64() || segment == seg::FS || segment == seg::GS { cpu.seg[segment].base } else { 0 };
    let linear = cpu.wrapped(base.wrapping_add(cpu.effective_address(op)));
    if cpu.canonical(linear) {
        cpu.tlb.flush_page(linear);
        // It may be the page that the next instruction is on.
        cpu.pending |= Pending::EVENTS;
    }
    Ok(())
}

fn invpcid<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    if !cpu.protected() {
        return Err(if cpu.v86() { Fault::GP0 } else { Fault::UD });
    }
    cpu.check_supervisor()?;
    let at = cpu.linear(op, 16, Access::Read)?;
    let descriptor = cpu.load128(bus, at)?;
    let (low, linear) = (descriptor as u64, (descriptor >> 64) as u64);
    let context = (low & CR3_CONTEXT) as u16;
    let named = low >> 12 == 0 && (context == 0 || cpu.cr4.contains(Cr4::PCIDE));
    match cpu.read_dst::<T>(op).zero_extend() {
        0 if named && cpu.canonical(linear) => cpu.tlb.flush_page(linear),
        1 if named => cpu.tlb.forget_context(context),
        2 | 3 => cpu.flush_tlb(),
        _ => return Err(Fault::GP0),
    }
    cpu.pending |= Pending::EVENTS;
    Ok(())
}

fn xgetbv(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    if !cpu.cr4.contains(Cr4::OSXSAVE) {
        return Err(Fault::UD);
    }
    match cpu.gpr[Slot::RCX.number()] as u32 {
        0 | 1 => {
            // What is in use, register 1, is all that is enabled.
            cpu.gpr[Slot::RAX.number()] = cpu.xcr0 & 0xffff_ffff;
            cpu.gpr[Slot::RDX.number()] = cpu.xcr0 >> 32;
            Ok(())
        }
        _ => Err(Fault::GP0),
    }
}

fn xsetbv(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    if !cpu.cr4.contains(Cr4::OSXSAVE) {
        return Err(Fault::UD);
    }
    cpu.check_supervisor()?;
    let value = cpu.gpr[Slot::RDX.number()] << 32 | cpu.gpr[Slot::RAX.number()] & 0xffff_ffff;
    let register = cpu.gpr[Slot::RCX.number()] as u32;
    if register != 0 || value & 1 == 0 || value & !cpu.model.xcr0() != 0 {
        return Err(Fault::GP0);
    }
    cpu.xcr0 = value;
    cpu.refresh();
    Ok(())
}

/// INVD, WBINVD: there is no cache to write back.
fn cache_control(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.check_supervisor()
}

impl Vcpu {
    /// Reads one of this vCPU's registers that live outside of it; #GP(0) if it is refused.
    pub(crate) fn read_private(&mut self, bus: &mut Bus, address: u64) -> Result<u64, Fault> {
        bus.clock.set_now(self.tick);
        let value = bus.read(Space::Private, address, Width::Qword, Cpu(self.index)).map_err(|_| Fault::GP0)?;
        self.pending |= Pending::ACCESS;
        Ok(value)
    }

    /// Writes one of this vCPU's registers that live outside of it; #GP(0) if it is refused.
    pub(crate) fn write_private(&mut self, bus: &mut Bus, address: u64, value: u64) -> Result<(), Fault> {
        bus.clock.set_now(self.tick);
        bus.write(Space::Private, address, Width::Qword, value, Cpu(self.index)).map_err(|_| Fault::GP0)?;
        self.pending |= Pending::ACCESS;
        Ok(())
    }
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let rows = vec![
        Row::single(Code::Mov_r32_cr, mov_from_cr::<u32>),
        Row::single(Code::Mov_r64_cr, mov_from_cr::<u64>),
        Row::single(Code::Mov_cr_r32, mov_to_cr::<u32>).ends(),
        Row::single(Code::Mov_cr_r64, mov_to_cr::<u64>).ends(),
        Row::single(Code::Mov_r32_dr, mov_from_dr::<u32>),
        Row::single(Code::Mov_r64_dr, mov_from_dr::<u64>),
        Row::single(Code::Mov_dr_r32, mov_to_dr::<u32>).ends(),
        Row::single(Code::Mov_dr_r64, mov_to_dr::<u64>).ends(),
        Row::new(Code::Lmsw_rm16, lmsw::<false>, lmsw::<true>).ends(),
        Row::new(Code::Lmsw_r32m16, lmsw::<false>, lmsw::<true>).ends(),
        Row::new(Code::Lmsw_r64m16, lmsw::<false>, lmsw::<true>).ends(),
        Row::new(Code::Smsw_rm16, smsw::<u16>, smsw_memory),
        Row::new(Code::Smsw_r32m16, smsw::<u32>, smsw_memory),
        Row::new(Code::Smsw_r64m16, smsw::<u64>, smsw_memory),
        Row::single(Code::Invlpg_m, invlpg).ends(),
        Row::single(Code::Invpcid_r32_m128, invpcid::<u32>).ends(),
        Row::single(Code::Invpcid_r64_m128, invpcid::<u64>).ends(),
        Row::single(Code::Xgetbv, xgetbv),
        Row::single(Code::Xsetbv, xsetbv).ends(),
        Row::single(Code::Invd, cache_control),
        Row::single(Code::Wbinvd, cache_control),
    ];
    rows.into_iter().map(Row::system).collect()
}
