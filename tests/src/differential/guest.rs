//! Runs one instruction on Lockstep's CPU, in a machine that looks to user mode as Linux does: the same selectors, the same
//! pages, interrupts that user mode may and may not raise.

use super::state::{CODE, CODE_LEN, Case, DATA, DATA_LEN, Mode, Outcome, Registers, Stop};
use lockstep_cpu::cpuid::CpuModel;
use lockstep_cpu::state::{Activity, Cr0, Cr4, Efer, Fpu, Rflags, Rights, Segment, TableRegister, seg};
use lockstep_cpu::{Engine, Vcpu, Why};
use lockstep_fabric::memory::{Backing, Memory, Region};
use lockstep_fabric::{Bus, Clock, DeviceId};
use std::io;

/// Where the system's pages are for the CPU; user mode has no access.
const SYSTEM: u64 = 0xffff_9000_0000_0000;
const RAM_LEN: u64 = 0x20_0000;

/// Physical addresses.
mod at {
    pub const PML4: u64 = 0x1000;
    pub const LOW_POINTERS: u64 = 0x2000;
    pub const LOW_DIRECTORY: u64 = 0x3000;
    pub const DATA_TABLE: u64 = 0x4000;
    pub const CODE_TABLE: u64 = 0x5000;
    pub const HIGH_POINTERS: u64 = 0x6000;
    pub const HIGH_DIRECTORY: u64 = 0x7000;
    pub const HIGH_TABLE: u64 = 0x8000;
    /// The system's four pages: descriptors, gates, handlers, stack.
    pub const SYSTEM: u64 = 0x1_0000;
    pub const DATA: u64 = 0x2_0000;
    pub const CODE: u64 = 0x3_0000;
}

const GDT: u64 = SYSTEM;
const TSS: u64 = SYSTEM + 0x800;
const IDT: u64 = SYSTEM + 0x1000;
const HANDLERS: u64 = SYSTEM + 0x2000;
const HANDLER_LEN: u64 = 16;
const STACK_TOP: u64 = SYSTEM + 0x4000;
const STACK_TOP_PHYSICAL: u64 = at::SYSTEM + 0x4000;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const USER: u64 = 4;
const USED: u64 = 0x60;
const NO_EXECUTE: u64 = 1 << 63;
const HLT: u8 = 0xf4;
const INT3: u8 = 0xcc;
const BREAKPOINT: u8 = 3;
const OVERFLOW: u8 = 4;
const KERNEL_CODE: u16 = 0x10;
const TASK: u16 = 0x40;
const TSS_LEN: u16 = 0x68;

/// Linux's descriptors: kernel 32-bit code, kernel code, kernel data, user 32-bit code, user data, user code.
const DESCRIPTORS: [u64; 7] = [
    0,
    0x00cf_9b00_0000_ffff,
    0x00af_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_fb00_0000_ffff,
];

/// Linux keeps the CPU's number in the limit of this one, readable by user mode.
const PER_CPU: u16 = 0x78;
const PER_CPU_DESCRIPTOR: u64 = 0x0040_f500_0000_0000;

/// The most iterations of a REP instruction.
const ITERATIONS: u64 = 4 * DATA_LEN as u64;

/// Lockstep's CPU and just enough of a machine.
pub struct Guest {
    cpu: Vcpu,
    bus: Bus,
    engine: Engine,
}

fn user_segment(selector: u16) -> Segment {
    let descriptor = DESCRIPTORS[usize::from(selector >> 3)];
    Segment { selector, rights: Rights((descriptor >> 40) as u16 & 0xf0ff), limit: u32::MAX, base: 0 }
}

impl Guest {
    /// A machine that interprets all; `fs_base` is the base that FS has in user mode.
    pub fn new(fs_base: u64) -> io::Result<Self> {
        Self::with(Engine::interpreter(), fs_base)
    }

    /// A machine that translates all that it can, where the host has a translator.
    pub fn translating(fs_base: u64) -> io::Result<Self> {
        Self::with(Engine::translating_after(1), fs_base)
    }

    fn with(engine: Engine, fs_base: u64) -> io::Result<Self> {
        let mut memory = Memory::new(RAM_LEN)?;
        let ram = memory.allocate(RAM_LEN).ok_or(io::ErrorKind::OutOfMemory)?;
        memory.add_region(Region {
            owner: DeviceId(0),
            index: 0,
            base: Some(0),
            len: RAM_LEN,
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(ram),
        });
        let mut guest = Self { cpu: Vcpu::new(0, CpuModel::max(), 1), bus: Bus::new(memory, Clock::new(0)), engine };
        guest.lay_out_pages();
        guest.lay_out_system();
        guest.enter_long_mode(fs_base);
        Ok(guest)
    }

    fn put(&mut self, at: u64, value: u64) {
        self.bus.memory.write_bytes(at, &value.to_le_bytes());
    }

    fn lay_out_pages(&mut self) {
        let user = PRESENT | WRITABLE | USER | USED;
        let system = PRESENT | WRITABLE | USED;
        let index = |linear: u64, level: u64| (linear >> (12 + 9 * level) & 0x1ff) * 8;
        self.put(at::PML4 + index(DATA, 3), at::LOW_POINTERS | user);
        self.put(at::LOW_POINTERS + index(DATA, 2), at::LOW_DIRECTORY | user);
        self.put(at::LOW_DIRECTORY + index(DATA, 1), at::DATA_TABLE | user);
        self.put(at::LOW_DIRECTORY + index(CODE, 1), at::CODE_TABLE | user);
        for page in (0..DATA_LEN as u64).step_by(0x1000) {
            self.put(at::DATA_TABLE + index(DATA + page, 0), (at::DATA + page) | user | NO_EXECUTE);
        }
        for page in (0..CODE_LEN as u64).step_by(0x1000) {
            self.put(at::CODE_TABLE + index(CODE + page, 0), (at::CODE + page) | user);
        }
        self.put(at::PML4 + index(SYSTEM, 3), at::HIGH_POINTERS | system);
        self.put(at::HIGH_POINTERS + index(SYSTEM, 2), at::HIGH_DIRECTORY | system);
        self.put(at::HIGH_DIRECTORY + index(SYSTEM, 1), at::HIGH_TABLE | system);
        for page in (0..0x4000).step_by(0x1000) {
            self.put(at::HIGH_TABLE + index(SYSTEM + page, 0), (at::SYSTEM + page) | system);
        }
    }

    fn lay_out_system(&mut self) {
        let physical = |linear: u64| linear - SYSTEM + at::SYSTEM;
        for (i, descriptor) in DESCRIPTORS.into_iter().enumerate() {
            self.put(physical(GDT) + 8 * i as u64, descriptor);
        }
        self.put(physical(GDT) + u64::from(PER_CPU), PER_CPU_DESCRIPTOR);
        let limit = u64::from(TSS_LEN) - 1;
        let low = limit | (TSS & 0xff_ffff) << 16 | 0x8b << 40 | (TSS >> 24 & 0xff) << 56;
        self.put(physical(GDT) + u64::from(TASK), low);
        self.put(physical(GDT) + u64::from(TASK) + 8, TSS >> 32);
        self.put(physical(TSS) + 4, STACK_TOP);
        // No I/O bitmap.
        self.put(physical(TSS) + 0x60, u64::from(TSS_LEN) << 48);
        for vector in 0..256 {
            let handler = HANDLERS + (vector & 0xff) * HANDLER_LEN;
            let dpl = if [u64::from(BREAKPOINT), u64::from(OVERFLOW)].contains(&vector) { 3 } else { 0 };
            let gate = u64::from(KERNEL_CODE) << 16 | handler & 0xffff | (handler >> 16 & 0xffff) << 48;
            self.put(physical(IDT) + vector * 16, gate | (0x8e | dpl << 5) << 40);
            self.put(physical(IDT) + vector * 16 + 8, handler >> 32);
            self.bus.memory.write_bytes(physical(handler), &[HLT; HANDLER_LEN as usize]);
        }
        self.bus.memory.write_bytes(at::CODE, &[INT3; CODE_LEN]);
    }

    fn enter_long_mode(&mut self, fs_base: u64) {
        let cpu = &mut self.cpu;
        cpu.cr0 = Cr0::PE | Cr0::MP | Cr0::ET | Cr0::NE | Cr0::WP | Cr0::AM | Cr0::PG;
        cpu.cr3 = at::PML4;
        cpu.cr4 = Cr4::PAE | Cr4::PGE | Cr4::OSFXSR | Cr4::OSXMMEXCPT | Cr4::UMIP | Cr4::FSGSBASE | Cr4::OSXSAVE;
        cpu.efer = Efer::SCE | Efer::LME | Efer::LMA | Efer::NXE;
        cpu.xcr0 = 3;
        cpu.gdtr = TableRegister { base: GDT, limit: 0x7f };
        cpu.idtr = TableRegister { base: IDT, limit: 0xfff };
        cpu.tr = Segment { selector: TASK, rights: Rights(0x8b), limit: u32::from(TSS_LEN) - 1, base: TSS };
        cpu.ldtr = Segment::default();
        cpu.seg[seg::FS] = Segment { base: fs_base, ..Segment::default() };
        cpu.seg[seg::GS] = Segment::default();
        cpu.activity = Activity::Running;
    }

    /// Runs a case's instruction.
    pub fn run(&mut self, case: &Case) -> Outcome {
        let fs = self.cpu.seg[seg::FS];
        self.set(case);
        let code = at::CODE + (case.before.ip - CODE);
        let mut data = vec![0; DATA_LEN];
        case.data(&mut data);
        self.bus.memory.write_bytes(at::DATA, &data);
        self.bus.memory.write_bytes(code, &case.bytes);
        let stop = self.run_on(case);
        self.bus.memory.write_bytes(code, &vec![INT3; case.bytes.len()]);
        self.bus.memory.read_bytes(at::DATA, &mut data);
        let after = self.get(stop);
        self.cpu.seg[seg::FS] = fs;
        self.cpu.seg[seg::GS] = Segment::default();
        Outcome { stop, after, data }
    }

    /// One tick at first; a REP instruction may need more, in slices that end anywhere.
    fn run_on(&mut self, case: &Case) -> Stop {
        let mut budget = 1;
        let mut used = 0;
        loop {
            let exit = self.engine.run(&mut self.cpu, &mut self.bus, budget);
            used += exit.retired;
            if self.cpu.activity == Activity::Shutdown {
                return Stop::Shutdown;
            }
            if self.cpu.cpl == 0 {
                return self.exception(case);
            }
            if self.cpu.ip != case.before.ip || exit.why != Why::Budget {
                return Stop::Retired;
            }
            if used > ITERATIONS {
                return Stop::Endless;
            }
            budget = budget * 3 + 1;
        }
    }

    fn exception(&self, case: &Case) -> Stop {
        let vector = (self.cpu.ip.wrapping_sub(HANDLERS) / HANDLER_LEN) as u8;
        let has_error = matches!(vector, 8 | 10..=14 | 17);
        let page_fault = vector == 14;
        let frame = self.frame(has_error);
        let is_own = case.bytes.ends_with(&[INT3]) || case.bytes.ends_with(&[0xcd, BREAKPOINT]);
        if vector == BREAKPOINT && !(is_own && frame[1] == case.next()) {
            // The budget reached beyond a REP instruction.
            return Stop::Retired;
        }
        Stop::Exception {
            vector,
            error: if has_error { frame[0] as u32 } else { 0 },
            address: if page_fault { self.cpu.cr2 } else { 0 },
        }
    }

    /// Error code, RIP, CS, RFLAGS, RSP and SS as pushed.
    fn frame(&self, has_error: bool) -> [u64; 6] {
        let mut bytes = [0; 48];
        let len = if has_error { 48 } else { 40 };
        self.bus.memory.read_bytes(STACK_TOP_PHYSICAL - len, &mut bytes[48 - len as usize..]);
        core::array::from_fn(|i| bytes[8 * i..8 * i + 8].iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    fn set(&mut self, case: &Case) {
        let cpu = &mut self.cpu;
        let before = &case.before;
        cpu.activity = Activity::Running;
        cpu.shadow = false;
        cpu.debug_trap = 0;
        cpu.gpr[..16].copy_from_slice(&before.gpr);
        cpu.ip = before.ip;
        cpu.flags.put(Rflags::from_bits_retain(before.flags));
        cpu.seg[seg::CS] = user_segment(case.mode.selector());
        cpu.seg[seg::SS] = user_segment(super::state::DATA_SELECTOR);
        cpu.seg[seg::DS] = user_segment(before.ds);
        cpu.seg[seg::ES] = user_segment(before.es);
        cpu.mxcsr = before.mxcsr;
        for (vector, xmm) in cpu.vec.iter_mut().zip(before.xmm) {
            vector.set_xmm(xmm);
        }
        cpu.fpu = fpu(before);
        cpu.set_cpl(3);
    }

    fn get(&self, stop: Stop) -> Registers {
        let cpu = &self.cpu;
        let mut after = Registers {
            gpr: core::array::from_fn(|i| cpu.gpr[i]),
            ip: cpu.ip,
            flags: cpu.flags.get().bits(),
            cs: cpu.seg[seg::CS].selector,
            ss: cpu.seg[seg::SS].selector,
            ds: cpu.seg[seg::DS].selector,
            es: cpu.seg[seg::ES].selector,
            mxcsr: cpu.mxcsr,
            xmm: core::array::from_fn(|i| cpu.vec[i].xmm()),
            control: cpu.fpu.control,
            status: cpu.fpu.status & !TOP_MASK | u16::from(cpu.fpu.top & 7) << TOP_SHIFT,
            valid: cpu.fpu.valid,
            st: core::array::from_fn(|i| {
                let physical = (usize::from(cpu.fpu.top) + i) & 7;
                u128::from(cpu.fpu.sign_exponent[physical]) << 64 | u128::from(cpu.fpu.significand[physical])
            }),
        };
        if cpu.cpl == 0 {
            let vector = (cpu.ip.wrapping_sub(HANDLERS) / HANDLER_LEN) as u8;
            let [_, ip, cs, flags, sp, ss] = self.frame(matches!(vector, 8 | 10..=14 | 17));
            (after.ip, after.flags, after.gpr[4]) = (ip, flags, sp);
            (after.cs, after.ss) = (cs as u16, ss as u16);
            if stop == Stop::Retired {
                after.ip -= 1;
            }
        }
        after
    }
}

const TOP_SHIFT: u32 = 11;
const TOP_MASK: u16 = 7 << TOP_SHIFT;

fn fpu(before: &Registers) -> Fpu {
    let mut fpu = Fpu {
        valid: before.valid,
        top: (before.status >> TOP_SHIFT & 7) as u8,
        control: before.control,
        status: before.status & !TOP_MASK,
        ..Fpu::default()
    };
    for (i, st) in before.st.iter().enumerate() {
        let physical = (usize::from(fpu.top) + i) & 7;
        fpu.significand[physical] = *st as u64;
        fpu.sign_exponent[physical] = (*st >> 64) as u16;
    }
    fpu
}

/// Whether Lockstep's CPU runs this mode.
pub fn runs(guest: &mut Guest, mode: Mode) -> bool {
    let nop = Case { mode, bytes: vec![0x90], before: Registers::default(), pokes: Vec::new() };
    let outcome = guest.run(&nop);
    outcome.stop == Stop::Retired && outcome.after.ip == nop.next()
}
