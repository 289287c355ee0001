//! Segment registers and descriptor tables: MOV, PUSH, POP, LDS and the like, LGDT, LTR, LAR, VERR, WRFSBASE, SWAPGS.

use crate::descriptor::{Descriptor, is_null, rpl, system};
use crate::fault::Fault;
use crate::mmu::{Access, Int};
use crate::op::{Op, Slot};
use crate::state::{Cr0, Cr4, Pending, Rights, Segment, TableRegister, Vcpu, seg};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

impl Vcpu {
    /// Puts a segment that [`Vcpu::data_segment`] made into its register.
    fn set_segment(&mut self, index: usize, segment: Segment) {
        self.seg[index & 7] = segment;
        if index == seg::SS {
            self.refresh();
        }
    }

    /// #GP(0) for SGDT, SIDT, SLDT, SMSW and STR outside of CPL 0 with CR4.UMIP.
    pub(crate) fn check_umip(&self) -> Result<(), Fault> {
        if self.cr4.contains(Cr4::UMIP) && self.cpl > 0 { Err(Fault::GP0) } else { Ok(()) }
    }

    /// #GP(0) outside of CPL 0.
    #[inline]
    pub(crate) fn check_supervisor(&self) -> Result<(), Fault> {
        if self.cpl == 0 { Ok(()) } else { Err(Fault::GP0) }
    }
}

/// A 16-bit operand that is a register (the first or second of the instruction) or memory.
fn word_operand(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, register: Slot, memory: bool) -> Result<u16, Fault> {
    if memory { cpu.load_operand(bus, op) } else { Ok(cpu.read_gpr(register, 0)) }
}

fn mov_from_register<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let selector = cpu.seg[op.src.number() & 7].selector;
    cpu.write_gpr(op.dst, 0, T::truncate(selector.into()));
    Ok(())
}

fn mov_from_memory(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let selector = cpu.seg[op.dst.number() & 7].selector;
    cpu.store_operand(bus, op, selector)
}

fn mov_to<const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let index = op.dst.number();
    if index == seg::CS {
        return Err(Fault::UD);
    }
    let selector = word_operand(cpu, bus, op, op.src, MEMORY)?;
    let segment = cpu.data_segment(bus, index, selector)?;
    cpu.set_segment(index, segment);
    if index == seg::SS {
        shadow(cpu);
    }
    Ok(())
}

/// Interrupts and traps wait for one more instruction, so that SS and the stack pointer can change together.
fn shadow(cpu: &mut Vcpu) {
    cpu.shadow = true;
    cpu.pending |= Pending::EVENTS;
}

fn push<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let selector = cpu.seg[op.dst.number() & 7].selector;
    cpu.push(bus, T::truncate(selector.into()))
}

fn pop<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let index = op.dst.number();
    // Only two bytes are read, as Intel's CPUs do.
    let selector = cpu.peek::<u16>(bus, 0)?;
    let segment = cpu.data_segment(bus, index, selector)?;
    cpu.set_stack_pointer(cpu.stack_pointer().wrapping_add(T::BYTES));
    cpu.set_segment(index, segment);
    if index == seg::SS {
        shadow(cpu);
    }
    Ok(())
}

/// LDS, LES, LFS, LGS, LSS.
fn load_far<T: Int, const INDEX: usize>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    let at = cpu.linear(op, T::BYTES + 2, Access::Read)?;
    let offset: T = cpu.load(bus, at)?;
    let selector: u16 = cpu.load(bus, cpu.wrapped(at.wrapping_add(T::BYTES)))?;
    let segment = cpu.data_segment(bus, INDEX, selector)?;
    cpu.write_dst(op, offset);
    cpu.set_segment(INDEX, segment);
    Ok(())
}

/// Base masks of LGDT's operand sizes: a 16-bit operand has 24 bits of base.
const BASE24: u64 = 0xff_ffff;
const BASE32: u64 = 0xffff_ffff;

fn load_table(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, mask: u64) -> Result<TableRegister, Fault> {
    cpu.check_supervisor()?;
    let wide = mask == u64::MAX;
    let at = cpu.linear(op, if wide { 10 } else { 6 }, Access::Read)?;
    let limit: u16 = cpu.load(bus, at)?;
    let at = cpu.wrapped(at.wrapping_add(2));
    let base = if wide { cpu.load::<u64>(bus, at)? } else { cpu.load::<u32>(bus, at)?.into() };
    if wide && !cpu.canonical(base) {
        return Err(Fault::GP0);
    }
    Ok(TableRegister { base: base & mask, limit })
}

fn lgdt<const MASK: u64>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.gdtr = load_table(cpu, bus, op, MASK)?;
    Ok(())
}

fn lidt<const MASK: u64>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    cpu.idtr = load_table(cpu, bus, op, MASK)?;
    Ok(())
}

fn store_table<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op, table: TableRegister) -> Result<(), Fault> {
    cpu.check_umip()?;
    let at = cpu.linear(op, T::BYTES + 2, Access::Write)?;
    cpu.probe_write(bus, at, T::BYTES + 2)?;
    cpu.store(bus, at, table.limit)?;
    cpu.store(bus, cpu.wrapped(at.wrapping_add(2)), T::truncate(table.base))
}

fn sgdt<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    store_table::<T>(cpu, bus, op, cpu.gdtr)
}

fn sidt<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    store_table::<T>(cpu, bus, op, cpu.idtr)
}

/// A 16-byte descriptor in long mode, an 8-byte one outside of it.
fn system_segment(cpu: &mut Vcpu, bus: &mut Bus, selector: u16, found: Descriptor) -> Result<Segment, Fault> {
    let mut segment = found.segment(selector);
    if cpu.long_mode() {
        let high = cpu.descriptor_high(bus, selector, Fault::gp)?;
        segment.base |= high << 32;
        if high >> 40 & 0x1f != 0 || !cpu.canonical(segment.base) {
            return Err(Fault::gp(selector));
        }
    }
    Ok(segment)
}

fn lldt<const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    cpu.check_supervisor()?;
    let selector = word_operand(cpu, bus, op, op.dst, MEMORY)?;
    if is_null(selector) {
        cpu.ldtr = Segment { selector, ..Segment::default() };
        return Ok(());
    }
    if selector & 4 != 0 {
        return Err(Fault::gp(selector));
    }
    let found = cpu.descriptor(bus, selector, Fault::gp)?;
    if found.kind() != system::LDT {
        return Err(Fault::gp(selector));
    }
    if !found.present() {
        return Err(Fault::np(selector));
    }
    cpu.ldtr = system_segment(cpu, bus, selector, found)?;
    Ok(())
}

fn ltr<const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    cpu.check_supervisor()?;
    let selector = word_operand(cpu, bus, op, op.dst, MEMORY)?;
    if is_null(selector) {
        return Err(Fault::GP0);
    }
    if selector & 4 != 0 {
        return Err(Fault::gp(selector));
    }
    let found = cpu.descriptor(bus, selector, Fault::gp)?;
    let available = found.kind() == system::TSS32 || found.kind() == system::TSS16 && !cpu.long_mode();
    if !available {
        return Err(Fault::gp(selector));
    }
    if !found.present() {
        return Err(Fault::np(selector));
    }
    let mut segment = system_segment(cpu, bus, selector, found)?;
    cpu.mark_busy(bus, selector, true)?;
    segment.rights.0 |= system::BUSY;
    cpu.tr = segment;
    Ok(())
}

fn require_protected(cpu: &Vcpu) -> Result<(), Fault> {
    if cpu.protected() { Ok(()) } else { Err(Fault::UD) }
}

/// SLDT and STR: memory always takes 16 bits.
fn store_selector<T: Int, const MEMORY: bool>(
    cpu: &mut Vcpu,
    bus: &mut Bus,
    op: &Op,
    selector: u16,
) -> Result<(), Fault> {
    require_protected(cpu)?;
    cpu.check_umip()?;
    if MEMORY {
        return cpu.store_operand(bus, op, selector);
    }
    cpu.write_dst(op, T::truncate(selector.into()));
    Ok(())
}

fn sldt<T: Int, const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    store_selector::<T, MEMORY>(cpu, bus, op, cpu.ldtr.selector)
}

fn str<T: Int, const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    store_selector::<T, MEMORY>(cpu, bus, op, cpu.tr.selector)
}

/// The descriptor of a selector that LAR, LSL, VERR or VERW may look at, or `None`.
fn visible(cpu: &mut Vcpu, bus: &mut Bus, selector: u16) -> Result<Option<Descriptor>, Fault> {
    if is_null(selector) || cpu.descriptor_address(selector, 8).is_none() {
        return Ok(None);
    }
    let found = cpu.descriptor(bus, selector, Fault::gp)?;
    let open = found.conforming() || found.dpl() >= cpu.cpl.max(rpl(selector));
    Ok(open.then_some(found))
}

fn lar<T: Int, const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let selector = word_operand(cpu, bus, op, op.src, MEMORY)?;
    let long = cpu.long_mode();
    let found = visible(cpu, bus, selector)?.filter(|d| match d.kind() {
        system::TSS16 | system::CALL16 | system::TASK | 3 => !long,
        system::LDT | system::TSS32 | 11 | system::CALL32 => true,
        kind => kind & Rights::MEMORY != 0,
    });
    cpu.flags.set_zero(found.is_some());
    if let Some(found) = found {
        cpu.write_dst(op, T::truncate(found.0 >> 32 & 0x00ff_ff00));
    }
    Ok(())
}

fn lsl<T: Int, const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let selector = word_operand(cpu, bus, op, op.src, MEMORY)?;
    let long = cpu.long_mode();
    let found = visible(cpu, bus, selector)?.filter(|d| match d.kind() {
        system::TSS16 | 3 => !long,
        system::LDT | system::TSS32 | 11 => true,
        kind => kind & Rights::MEMORY != 0,
    });
    cpu.flags.set_zero(found.is_some());
    if let Some(found) = found {
        cpu.write_dst(op, T::truncate(found.limit().into()));
    }
    Ok(())
}

fn verify<const WRITE: bool, const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let selector = word_operand(cpu, bus, op, op.dst, MEMORY)?;
    let allowed = |d: Descriptor| if WRITE { d.rights().writable() } else { d.rights().readable() };
    let found = visible(cpu, bus, selector)?.filter(|d| d.rights().has(Rights::MEMORY) && allowed(*d));
    cpu.flags.set_zero(found.is_some());
    Ok(())
}

fn arpl<const MEMORY: bool>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let source: u16 = if MEMORY { cpu.read_dst(op) } else { cpu.read_src(op) };
    let old = word_operand(cpu, bus, op, op.dst, MEMORY)?;
    let raise = rpl(old) < rpl(source);
    if raise {
        let new = old & !3 | source & 3;
        if MEMORY {
            cpu.store_operand(bus, op, new)?;
        } else {
            cpu.write_dst(op, new);
        }
    }
    cpu.flags.set_zero(raise);
    Ok(())
}

fn read_base<T: Int, const INDEX: usize>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    if !cpu.cr4.contains(Cr4::FSGSBASE) {
        return Err(Fault::UD);
    }
    cpu.write_dst(op, T::truncate(cpu.seg[INDEX].base));
    Ok(())
}

fn write_base<T: Int, const INDEX: usize>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    if !cpu.cr4.contains(Cr4::FSGSBASE) {
        return Err(Fault::UD);
    }
    let base = cpu.read_dst::<T>(op).zero_extend();
    if !cpu.canonical(base) {
        return Err(Fault::GP0);
    }
    cpu.seg[INDEX].base = base;
    Ok(())
}

fn swapgs(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.check_supervisor()?;
    std::mem::swap(&mut cpu.seg[seg::GS].base, &mut cpu.msrs.kernel_gs_base);
    Ok(())
}

/// CLTS, here since it too is two lines of privileged state.
fn clts(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    cpu.check_supervisor()?;
    cpu.cr0.remove(Cr0::TS);
    cpu.refresh();
    Ok(())
}

fn register_rows(rows: &mut Vec<Row>) {
    rows.extend([
        Row::new(Code::Mov_rm16_Sreg, mov_from_register::<u16>, mov_from_memory),
        Row::new(Code::Mov_r32m16_Sreg, mov_from_register::<u32>, mov_from_memory),
        Row::new(Code::Mov_r64m16_Sreg, mov_from_register::<u64>, mov_from_memory),
        Row::new(Code::Mov_Sreg_rm16, mov_to::<false>, mov_to::<true>),
        Row::new(Code::Mov_Sreg_r32m16, mov_to::<false>, mov_to::<true>),
        Row::new(Code::Mov_Sreg_r64m16, mov_to::<false>, mov_to::<true>),
        Row::single(Code::Lds_r16_m1616, load_far::<u16, { seg::DS }>),
        Row::single(Code::Lds_r32_m1632, load_far::<u32, { seg::DS }>),
        Row::single(Code::Les_r16_m1616, load_far::<u16, { seg::ES }>),
        Row::single(Code::Les_r32_m1632, load_far::<u32, { seg::ES }>),
        Row::single(Code::Lss_r16_m1616, load_far::<u16, { seg::SS }>).ends(),
        Row::single(Code::Lss_r32_m1632, load_far::<u32, { seg::SS }>).ends(),
        Row::single(Code::Lss_r64_m1664, load_far::<u64, { seg::SS }>).ends(),
        Row::single(Code::Lfs_r16_m1616, load_far::<u16, { seg::FS }>),
        Row::single(Code::Lfs_r32_m1632, load_far::<u32, { seg::FS }>),
        Row::single(Code::Lfs_r64_m1664, load_far::<u64, { seg::FS }>),
        Row::single(Code::Lgs_r16_m1616, load_far::<u16, { seg::GS }>),
        Row::single(Code::Lgs_r32_m1632, load_far::<u32, { seg::GS }>),
        Row::single(Code::Lgs_r64_m1664, load_far::<u64, { seg::GS }>),
    ]);
    for code in [Code::Pushw_ES, Code::Pushw_CS, Code::Pushw_SS, Code::Pushw_DS, Code::Pushw_FS, Code::Pushw_GS] {
        rows.push(Row::single(code, push::<u16>));
    }
    for code in [Code::Pushd_ES, Code::Pushd_CS, Code::Pushd_SS, Code::Pushd_DS, Code::Pushd_FS, Code::Pushd_GS] {
        rows.push(Row::single(code, push::<u32>));
    }
    for code in [Code::Popw_ES, Code::Popw_SS, Code::Popw_DS, Code::Popw_FS, Code::Popw_GS] {
        rows.push(Row::single(code, pop::<u16>));
    }
    for code in [Code::Popd_ES, Code::Popd_SS, Code::Popd_DS, Code::Popd_FS, Code::Popd_GS] {
        rows.push(Row::single(code, pop::<u32>));
    }
    rows.extend([
        Row::single(Code::Pushq_FS, push::<u64>),
        Row::single(Code::Pushq_GS, push::<u64>),
        Row::single(Code::Popq_FS, pop::<u64>),
        Row::single(Code::Popq_GS, pop::<u64>),
    ]);
}

fn table_rows(rows: &mut Vec<Row>) {
    rows.extend([
        Row::single(Code::Lgdt_m1632_16, lgdt::<BASE24>),
        Row::single(Code::Lgdt_m1632, lgdt::<BASE32>),
        Row::single(Code::Lgdt_m1664, lgdt::<{ u64::MAX }>),
        Row::single(Code::Lidt_m1632_16, lidt::<BASE24>),
        Row::single(Code::Lidt_m1632, lidt::<BASE32>),
        Row::single(Code::Lidt_m1664, lidt::<{ u64::MAX }>),
        Row::single(Code::Sgdt_m1632_16, sgdt::<u32>),
        Row::single(Code::Sgdt_m1632, sgdt::<u32>),
        Row::single(Code::Sgdt_m1664, sgdt::<u64>),
        Row::single(Code::Sidt_m1632_16, sidt::<u32>),
        Row::single(Code::Sidt_m1632, sidt::<u32>),
        Row::single(Code::Sidt_m1664, sidt::<u64>),
        Row::new(Code::Lldt_rm16, lldt::<false>, lldt::<true>),
        Row::new(Code::Lldt_r32m16, lldt::<false>, lldt::<true>),
        Row::new(Code::Lldt_r64m16, lldt::<false>, lldt::<true>),
        Row::new(Code::Ltr_rm16, ltr::<false>, ltr::<true>),
        Row::new(Code::Ltr_r32m16, ltr::<false>, ltr::<true>),
        Row::new(Code::Ltr_r64m16, ltr::<false>, ltr::<true>),
        Row::new(Code::Sldt_rm16, sldt::<u16, false>, sldt::<u16, true>),
        Row::new(Code::Sldt_r32m16, sldt::<u32, false>, sldt::<u32, true>),
        Row::new(Code::Sldt_r64m16, sldt::<u64, false>, sldt::<u64, true>),
        Row::new(Code::Str_rm16, str::<u16, false>, str::<u16, true>),
        Row::new(Code::Str_r32m16, str::<u32, false>, str::<u32, true>),
        Row::new(Code::Str_r64m16, str::<u64, false>, str::<u64, true>),
        Row::new(Code::Lar_r16_rm16, lar::<u16, false>, lar::<u16, true>),
        Row::new(Code::Lar_r32_r32m16, lar::<u32, false>, lar::<u32, true>),
        Row::new(Code::Lar_r64_r64m16, lar::<u64, false>, lar::<u64, true>),
        Row::new(Code::Lsl_r16_rm16, lsl::<u16, false>, lsl::<u16, true>),
        Row::new(Code::Lsl_r32_r32m16, lsl::<u32, false>, lsl::<u32, true>),
        Row::new(Code::Lsl_r64_r64m16, lsl::<u64, false>, lsl::<u64, true>),
        Row::new(Code::Verr_rm16, verify::<false, false>, verify::<false, true>),
        Row::new(Code::Verr_r32m16, verify::<false, false>, verify::<false, true>),
        Row::new(Code::Verr_r64m16, verify::<false, false>, verify::<false, true>),
        Row::new(Code::Verw_rm16, verify::<true, false>, verify::<true, true>),
        Row::new(Code::Verw_r32m16, verify::<true, false>, verify::<true, true>),
        Row::new(Code::Verw_r64m16, verify::<true, false>, verify::<true, true>),
        Row::new(Code::Arpl_rm16_r16, arpl::<false>, arpl::<true>),
        Row::new(Code::Arpl_r32m16_r32, arpl::<false>, arpl::<true>),
    ]);
}

/// The family's rows.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    register_rows(&mut rows);
    table_rows(&mut rows);
    rows.extend([
        Row::single(Code::Rdfsbase_r32, read_base::<u32, { seg::FS }>),
        Row::single(Code::Rdfsbase_r64, read_base::<u64, { seg::FS }>),
        Row::single(Code::Rdgsbase_r32, read_base::<u32, { seg::GS }>),
        Row::single(Code::Rdgsbase_r64, read_base::<u64, { seg::GS }>),
        Row::single(Code::Wrfsbase_r32, write_base::<u32, { seg::FS }>),
        Row::single(Code::Wrfsbase_r64, write_base::<u64, { seg::FS }>),
        Row::single(Code::Wrgsbase_r32, write_base::<u32, { seg::GS }>),
        Row::single(Code::Wrgsbase_r64, write_base::<u64, { seg::GS }>),
        Row::single(Code::Swapgs, swapgs),
        Row::single(Code::Clts, clts).ends(),
    ]);
    // What segment registers hold is up to the operating system below, so none of this is tried on the host.
    rows.into_iter().map(Row::system).collect()
}
