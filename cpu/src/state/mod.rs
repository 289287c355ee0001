//! The state of one vCPU.

mod control;
mod flags;
mod fpu;
mod general;
mod segment;

pub use control::{CodeMode, CodeSize, Cr0, Cr4, Efer, Usable};
pub use flags::{Flags, Rflags};
pub use fpu::{Fpu, MXCSR_RESET, Vector};
pub use segment::{Rights, Segment, TableRegister, seg};

use crate::cpuid::CpuModel;
use crate::mmu::{Bank, Tlb};
use crate::op::Slot;
use crate::watch::Watches;
use bitflags::bitflags;
use lockstep_fabric::{Clock, Tick};
use serde::{Deserialize, Serialize};

bitflags! {
    /// Why the run of a block must stop after the instruction in hand.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Pending: u8 {
        /// A device was accessed: the engine returns to the machine.
        const ACCESS = 1 << 0;
        /// A store hit decoded code.
        const STALE = 1 << 1;
        /// What interrupts, traps or the mode depend on has changed.
        const EVENTS = 1 << 2;
        /// The vCPU is no longer running (see `Vcpu::activity`).
        const STOPPED = 1 << 3;
        /// A handler has been entered, with TF masked before the trap that the instruction would have ended with.
        const NO_STEP = 1 << 4;
        /// The vCPU gives up the rest of its turn: the engine returns to the machine.
        const YIELD = 1 << 5;
    }
}

/// What the vCPU is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executing instructions.
    #[default]
    Running,
    /// HLT: until an interrupt.
    Halted,
    /// After INIT: until a start-up IPI.
    WaitForStartup,
    /// Triple fault.
    Shutdown,
}

/// Model-specific registers that are plain storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msrs {
    /// IA32_STAR.
    pub star: u64,
    /// IA32_LSTAR.
    pub lstar: u64,
    /// IA32_CSTAR.
    pub cstar: u64,
    /// IA32_FMASK.
    pub fmask: u64,
    /// IA32_KERNEL_GS_BASE.
    pub kernel_gs_base: u64,
    /// IA32_SYSENTER_CS.
    pub sysenter_cs: u64,
    /// IA32_SYSENTER_ESP.
    pub sysenter_esp: u64,
    /// IA32_SYSENTER_EIP.
    pub sysenter_eip: u64,
    /// IA32_TSC_AUX.
    pub tsc_aux: u64,
    /// Added to guest time to make the time-stamp counter.
    pub tsc_offset: u64,
    /// IA32_TSC_ADJUST.
    pub tsc_adjust: u64,
    /// IA32_PAT.
    pub pat: u64,
    /// IA32_MISC_ENABLE.
    pub misc_enable: u64,
    /// IA32_MTRR_DEF_TYPE.
    pub mtrr_def_type: u64,
    /// Fixed-range MTRRs, in the order of their numbers.
    pub mtrr_fixed: [u64; 11],
    /// Variable-range MTRRs: base and mask in turn.
    pub mtrr_variable: [u64; 16],
    /// IA32_MCG_STATUS.
    pub mcg_status: u64,
    /// IA32_MCG_CTL.
    pub mcg_ctl: u64,
    /// AMD's SYSCFG.
    pub amd_syscfg: u64,
    /// AMD's HWCR.
    pub amd_hwcr: u64,
    /// IA32_SPEC_CTRL.
    pub spec_ctrl: u64,
    /// Machine-check banks: control, status, address, misc of each.
    pub mc_banks: Vec<u64>,
}

/// One vCPU. All of it is its snapshot; what is derived is skipped and made anew by [`Vcpu::refresh`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vcpu {
    /// General registers in the encoding's order; see [`Slot`] for what lies above the sixteen.
    #[serde(with = "general")]
    pub gpr: [u64; 32],
    /// RFLAGS.
    pub flags: Flags,
    /// RIP: the next instruction's offset in the code segment, valid between instructions.
    pub ip: u64,
    /// Tick of the instruction in hand.
    #[serde(skip)]
    pub tick: Tick,
    /// Tick at which the run in hand ends.
    #[serde(skip)]
    pub tick_end: Tick,
    /// What translated code works with.
    #[serde(skip)]
    pub(crate) jit: crate::jit::Context,
    /// Why the block in hand must stop.
    #[serde(skip)]
    pub pending: Pending,
    /// The vCPU has given up the rest of its turn since the machine last asked, however its run ended.
    #[serde(skip)]
    pub yields: bool,
    /// What a debugger watches.
    #[serde(skip)]
    pub(crate) watches: Watches,
    /// Which bank of the TLB data accesses use (derived: CPL, SMAP, alignment checks).
    #[serde(skip)]
    pub(crate) bank: Bank,
    /// Current privilege level.
    pub cpl: u8,
    /// What decoding depends on (derived).
    #[serde(skip)]
    pub mode: CodeMode,
    /// Soft TLBs.
    pub tlb: Tlb,
    /// ES, CS, SS, DS, FS, GS (see [`seg`]); two spare.
    pub seg: [Segment; 8],
    /// LDTR.
    pub ldtr: Segment,
    /// TR.
    pub tr: Segment,
    /// GDTR.
    pub gdtr: TableRegister,
    /// IDTR.
    pub idtr: TableRegister,
    /// CR0.
    pub cr0: Cr0,
    /// CR2.
    pub cr2: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: Cr4,
    /// IA32_EFER.
    pub efer: Efer,
    /// XCR0.
    pub xcr0: u64,
    /// DR0..DR7.
    pub dr: [u64; 8],
    /// Vector registers.
    pub vec: [Vector; 32],
    /// MXCSR.
    pub mxcsr: u32,
    /// x87 and MMX.
    pub fpu: Fpu,
    /// Model-specific registers.
    pub msrs: Msrs,
    /// What the vCPU is doing.
    pub activity: Activity,
    /// The last instruction blocks interrupts for one more (STI, MOV SS).
    pub shadow: bool,
    /// DR6 bits of a debug trap to be taken before the next instruction.
    pub debug_trap: u64,
    /// An NMI is waiting.
    pub nmi_pending: bool,
    /// NMIs are blocked until IRET.
    pub nmi_blocked: bool,
    /// Level of the maskable interrupt line.
    pub interrupt_line: bool,
    /// Linear address of the last page fault, moved to CR2 on delivery.
    pub fault_address: u64,
    /// Tick at which the last exception was delivered.
    pub last_exception: Option<Tick>,
    /// State of the RDRAND and RDSEED generator.
    pub random: u64,
    /// Which vCPU this is, from zero; its initial local APIC ID.
    pub index: u8,
    /// What CPUID says and so what exists.
    pub model: CpuModel,
}

impl Vcpu {
    /// A vCPU as it leaves power-on reset; `seed` starts its random numbers.
    pub fn new(index: u8, model: CpuModel, seed: u64) -> Self {
        let mut cpu = Self {
            gpr: [0; 32],
            flags: Flags::default(),
            ip: 0,
            tick: 0,
            tick_end: 0,
            jit: crate::jit::Context::default(),
            pending: Pending::empty(),
            yields: false,
            watches: Watches::default(),
            bank: Bank::User,
            cpl: 0,
            mode: CodeMode::default(),
            tlb: Tlb::default(),
            seg: [Segment::default(); 8],
            ldtr: Segment::default(),
            tr: Segment::default(),
            gdtr: TableRegister::default(),
            idtr: TableRegister::default(),
            cr0: Cr0::empty(),
            cr2: 0,
            cr3: 0,
            cr4: Cr4::empty(),
            efer: Efer::empty(),
            xcr0: 1,
            dr: [0; 8],
            vec: [Vector::default(); 32],
            mxcsr: MXCSR_RESET,
            fpu: Fpu::default(),
            msrs: Msrs::default(),
            activity: Activity::Running,
            shadow: false,
            debug_trap: 0,
            nmi_pending: false,
            nmi_blocked: false,
            interrupt_line: false,
            fault_address: 0,
            last_exception: None,
            random: seed ^ u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            index,
            model,
        };
        cpu.reset();
        cpu
    }

    /// RESET# (SDM volume 3, table 10-1). Random numbers and the interrupt line go on.
    pub fn reset(&mut self) {
        self.vec = [Vector::default(); 32];
        self.mxcsr = MXCSR_RESET;
        self.fpu = Fpu { control: 0x0040, ..Fpu::default() };
        self.xcr0 = 1;
        self.msrs = Msrs { pat: PAT_RESET, misc_enable: MISC_ENABLE_RESET, ..Msrs::default() };
        self.cr0 = Cr0::CD | Cr0::NW | Cr0::ET;
        self.init();
    }

    /// INIT: what RESET# does but for x87, SSE, MSRs and the caches.
    pub fn init(&mut self) {
        self.gpr = [0; 32];
        self.gpr[Slot::RDX.number()] = self.model.signature.into();
        self.flags = Flags::default();
        self.ip = 0xfff0;
        let data = Rights(Rights::PRESENT | Rights::MEMORY | Rights::WRITABLE | Rights::ACCESSED);
        self.seg = [Segment { selector: 0, rights: data, limit: 0xffff, base: 0 }; 8];
        self.seg[seg::CS] =
            Segment { selector: 0xf000, rights: Rights(data.0 | Rights::CODE), limit: 0xffff, base: 0xffff_0000 };
        let system = |kind| Segment { rights: Rights(Rights::PRESENT | kind), limit: 0xffff, ..Segment::default() };
        self.ldtr = system(2);
        self.tr = system(11);
        self.gdtr = TableRegister { base: 0, limit: 0xffff };
        self.idtr = TableRegister { base: 0, limit: 0xffff };
        self.cr0 = (self.cr0 & (Cr0::CD | Cr0::NW)) | Cr0::ET;
        self.cr2 = 0;
        self.cr3 = 0;
        self.cr4 = Cr4::empty();
        self.efer = Efer::empty();
        self.dr = [0; 8];
        self.dr[6] = DR6_FIXED;
        self.dr[7] = DR7_FIXED;
        self.cpl = 0;
        self.activity = Activity::Running;
        self.shadow = false;
        self.debug_trap = 0;
        self.nmi_pending = false;
        self.nmi_blocked = false;
        self.tlb.flush_all();
        self.refresh();
    }

    /// A start-up IPI's page number: real mode at `page << 12`. Ignored unless waiting for it.
    pub fn startup(&mut self, page: u8) {
        if self.activity == Activity::WaitForStartup {
            self.seg[seg::CS] = self.seg[seg::CS].real(u16::from(page) << 8);
            self.ip = 0;
            self.activity = Activity::Running;
        }
    }

    /// Makes anew what is derived from the rest: after loading a state, and after any change of CR0, CR4, EFER, CPL, CS, SS,
    /// RFLAGS.AC or RFLAGS.VM.
    pub fn refresh(&mut self) {
        self.gpr[Slot::Zero.number()] = 0;
        self.pending |= Pending::EVENTS;
        let cs = self.seg[seg::CS].rights;
        let size = if self.efer.contains(Efer::LMA) && cs.has(Rights::LONG) {
            CodeSize::Bits64
        } else if cs.has(Rights::BIG) {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        };
        let sse = if self.cr0.contains(Cr0::EM) || !self.cr4.contains(Cr4::OSFXSR) {
            Usable::Undefined
        } else if self.cr0.contains(Cr0::TS) {
            Usable::NotAvailable
        } else {
            Usable::Yes
        };
        let x87_blocked = self.cr0.intersects(Cr0::EM | Cr0::TS);
        // 64-bit code has one stack size; blocks would be decoded twice if SS.B counted.
        let stack32 = size != CodeSize::Bits64 && self.seg[seg::SS].rights.has(Rights::BIG);
        self.mode = CodeMode::new(size, stack32, sse, x87_blocked, self.protected());
        self.bank = self.tlb_bank();
    }

    /// Makes anew what is derived from RFLAGS.AC alone; nothing decoded depends on it.
    #[inline]
    pub(crate) fn refresh_bank(&mut self) {
        self.bank = self.tlb_bank();
    }

    fn tlb_bank(&self) -> Bank {
        let ac = self.flags.has(Rflags::AC);
        if self.cpl == 3 {
            if ac && self.cr0.contains(Cr0::AM) { Bank::Checked } else { Bank::User }
        } else if ac && self.cr4.contains(Cr4::SMAP) {
            Bank::SmapLifted
        } else {
            Bank::Supervisor
        }
    }

    /// Bank of the TLB for accesses that the processor itself makes at a privilege level: never alignment-checked.
    pub(crate) fn bank_at(&self, cpl: u8) -> Bank {
        if cpl == 3 {
            Bank::User
        } else if self.flags.has(Rflags::AC) && self.cr4.contains(Cr4::SMAP) {
            Bank::SmapLifted
        } else {
            Bank::Supervisor
        }
    }

    /// Sets the privilege level and what hangs on it.
    pub fn set_cpl(&mut self, cpl: u8) {
        self.cpl = cpl;
        self.refresh();
    }

    /// Protected mode proper: neither real-address nor virtual-8086 mode.
    #[inline]
    pub fn protected(&self) -> bool {
        self.cr0.contains(Cr0::PE) && !self.flags.has(Rflags::VM)
    }

    /// Virtual-8086 mode.
    #[inline]
    pub fn v86(&self) -> bool {
        self.cr0.contains(Cr0::PE) && self.flags.has(Rflags::VM)
    }

    /// Long mode is active (64-bit or compatibility code).
    #[inline]
    pub fn long_mode(&self) -> bool {
        self.efer.contains(Efer::LMA)
    }

    /// 64-bit mode.
    #[inline]
    pub fn code64(&self) -> bool {
        self.mode.size() == CodeSize::Bits64
    }

    /// The time-stamp counter at the instruction in hand: guest nanoseconds plus this vCPU's offset.
    pub fn tsc(&self, clock: &Clock) -> u64 {
        clock.nanos(self.tick).wrapping_add(self.msrs.tsc_offset)
    }

    /// The next of this vCPU's random numbers (SplitMix64).
    pub fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// IA32_PAT after reset.
pub const PAT_RESET: u64 = 0x0007_0406_0007_0406;
/// IA32_MISC_ENABLE after reset: fast strings.
pub const MISC_ENABLE_RESET: u64 = 1;
/// DR6's bits that read as one.
pub const DR6_FIXED: u64 = 0xffff_0ff0;
/// DR7's bit that reads as one.
pub const DR7_FIXED: u64 = 0x400;
