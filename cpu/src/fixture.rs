//! A small machine for tests: RAM and one vCPU that runs assembled code in a mode of choice.

use crate::cpuid::CpuModel;
use crate::engine::{Engine, Exit};
use crate::state::{Activity, Cr0, Cr4, Efer, Pending, Rights, Segment, TableRegister, Vcpu, seg};
use iced_x86::code_asm::CodeAssembler;
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Bus, Clock, DeviceId, Memory};

/// Where code is put and where it starts.
pub(crate) const CODE: u64 = 0x1000;
/// Top of the stack that code starts with.
pub(crate) const STACK: u64 = 0x8000;
/// Top of the stack that a TSS gives for CPL 0.
pub(crate) const INNER_STACK: u64 = 0x9000;
/// Top of IST1.
pub(crate) const INTERRUPT_STACK: u64 = 0xa000;
/// Where the GDT lies.
pub(crate) const GDT: u64 = 0x2000;
/// Where the IDT lies.
pub(crate) const IDT: u64 = 0x3000;
/// Where the current TSS lies.
pub(crate) const TSS: u64 = 0x4000;
/// Where the outermost page table lies; inner ones follow, a page each.
pub(crate) const TABLES: u64 = 0x2_0000;
/// Handlers: vector `v` goes to `HANDLERS + 16 * v`, each of them a HLT.
pub(crate) const HANDLERS: u64 = 0x6000;
/// Bytes of RAM.
pub(crate) const RAM: u64 = 0x40_0000;

/// 32-bit code, level 0; its level-3 twin; data of both; 64-bit code of both levels.
pub(crate) const CODE32: u16 = 0x08;
pub(crate) const DATA: u16 = 0x10;
pub(crate) const USER_CODE32: u16 = 0x18 | 3;
pub(crate) const USER_DATA: u16 = 0x20 | 3;
pub(crate) const CODE64: u16 = 0x28;
pub(crate) const USER_CODE64: u16 = 0x30 | 3;
pub(crate) const TSS_SELECTOR: u16 = 0x40;
/// The first of the GDT's entries that tests may fill.
pub(crate) const FREE: u16 = 0x50;

/// Flat descriptors by the selectors above.
const FLAT: [u64; 8] = [
    0,
    0x00cf_9b00_0000_ffff,
    0x00cf_9300_0000_ffff,
    0x00cf_fb00_0000_ffff,
    0x00cf_f300_0000_ffff,
    0x00af_9b00_0000_ffff,
    0x00af_fb00_0000_ffff,
    0x000f_9b00_0000_ffff,
];

/// The mode that code starts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Real-address.
    Real,
    /// 32-bit protected, no paging.
    Protected,
    /// Long mode, 64-bit code, everything mapped to itself by 2-MiB user pages.
    Long,
}

/// The machine.
pub(crate) struct Machine {
    pub(crate) bus: Bus,
    pub(crate) cpu: Vcpu,
    pub(crate) engine: Engine,
}

impl Machine {
    /// A machine in a mode, with descriptor tables, handlers and a TSS, at level 0.
    pub(crate) fn new(mode: Mode) -> Self {
        let mut memory = Memory::new(2 * RAM).expect("the host has memory");
        let at = memory.allocate(RAM).expect("it fits");
        memory.add_region(Region {
            owner: DeviceId(u16::MAX),
            index: 0,
            base: Some(0),
            len: RAM,
            priority: 0,
            reads: true,
            writes: true,
            backing: Backing::Ram(at),
        });
        let cpu = Vcpu::new(0, CpuModel::max(), 1);
        let mut machine = Self { bus: Bus::new(memory, Clock::new(0)), cpu, engine: Engine::default() };
        for vector in 0..=255 {
            machine.write(HANDLERS + 16 * vector, &[0xf4]);
        }
        machine.cpu.gpr[4] = STACK;
        machine.cpu.seg[seg::CS] = machine.cpu.seg[seg::CS].real(0);
        match mode {
            Mode::Real => machine.enter_real(),
            Mode::Protected => machine.enter_protected(),
            Mode::Long => machine.enter_long(),
        }
        machine.cpu.ip = CODE;
        machine.cpu.refresh();
        machine
    }

    fn enter_real(&mut self) {
        for vector in 0..256u64 {
            self.write32(4 * vector, (HANDLERS + 16 * vector) as u32);
        }
    }

    fn set_up_tables(&mut self, tss_type: u64, tss_limit: u64) {
        for (i, descriptor) in FLAT.iter().enumerate() {
            self.write64(GDT + 8 * i as u64, *descriptor);
        }
        self.write64(GDT + u64::from(TSS_SELECTOR), (0x80 | tss_type | 2) << 40 | TSS << 16 | tss_limit);
        self.cpu.gdtr = TableRegister { base: GDT, limit: 0xff };
        self.cpu.tr = Segment {
            selector: TSS_SELECTOR,
            rights: Rights(0x80 | tss_type as u16 | 2),
            limit: tss_limit as u32,
            base: TSS,
        };
    }

    fn enter_protected(&mut self) {
        self.set_up_tables(9, 0x67);
        self.write32(TSS + 4, INNER_STACK as u32);
        self.write32(TSS + 8, DATA.into());
        for vector in 0..=255 {
            self.gate32(vector, CODE32, HANDLERS + 16 * u64::from(vector), 0xee);
        }
        self.cpu.idtr = TableRegister { base: IDT, limit: 8 * 256 - 1 };
        self.cpu.cr0 = Cr0::PE | Cr0::ET;
        self.use_segments(CODE32, DATA, 0);
    }

    fn enter_long(&mut self) {
        self.set_up_tables(9, 0x67);
        self.write64(TSS + 4, INNER_STACK);
        self.write64(TSS + 0x24, INTERRUPT_STACK);
        for vector in 0..=255 {
            self.gate64(vector, CODE64, HANDLERS + 16 * u64::from(vector), 0xee, 0);
        }
        self.cpu.idtr = TableRegister { base: IDT, limit: 16 * 256 - 1 };
        self.write64(TABLES, (TABLES + 0x1000) | 7);
        self.write64(TABLES + 0x1000, (TABLES + 0x2000) | 7);
        for i in 0..512 {
            self.write64(TABLES + 0x2000 + 8 * i, i << 21 | 0xe7);
        }
        self.cpu.cr3 = TABLES;
        self.cpu.cr4 = Cr4::PAE | Cr4::OSFXSR;
        self.cpu.efer = Efer::LME | Efer::LMA | Efer::SCE | Efer::NXE;
        self.cpu.cr0 = Cr0::PE | Cr0::ET | Cr0::PG | Cr0::WP;
        self.use_segments(CODE64, DATA, 0);
    }

    /// A descriptor of the GDT as a segment register holds it.
    fn segment(&self, selector: u16) -> Segment {
        crate::descriptor::Descriptor(self.read64(GDT + u64::from(selector & !7))).segment(selector)
    }

    /// Puts code and stack segments in force, with the privilege level of the code's selector.
    pub(crate) fn use_segments(&mut self, code: u16, data: u16, level: u8) {
        self.cpu.seg[seg::CS] = self.segment(code);
        for index in [seg::ES, seg::SS, seg::DS, seg::FS, seg::GS] {
            self.cpu.seg[index] = self.segment(data);
        }
        self.cpu.set_cpl(level);
    }

    /// An IDT entry outside of long mode.
    pub(crate) fn gate32(&mut self, vector: u8, selector: u16, offset: u64, kind: u64) {
        let low = offset & 0xffff | u64::from(selector) << 16 | kind << 40 | (offset >> 16) << 48;
        self.write64(IDT + 8 * u64::from(vector), low);
    }

    /// An IDT entry of long mode.
    pub(crate) fn gate64(&mut self, vector: u8, selector: u16, offset: u64, kind: u64, stack: u64) {
        let low =
            offset & 0xffff | u64::from(selector) << 16 | stack << 32 | kind << 40 | (offset >> 16 & 0xffff) << 48;
        self.write64(IDT + 16 * u64::from(vector), low);
        self.write64(IDT + 16 * u64::from(vector) + 8, offset >> 32);
    }

    /// Puts bytes in memory, as a debugger would.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        self.bus.memory.write_bytes(at, bytes);
    }

    pub(crate) fn write32(&mut self, at: u64, value: u32) {
        self.write(at, &value.to_le_bytes());
    }

    pub(crate) fn write64(&mut self, at: u64, value: u64) {
        self.write(at, &value.to_le_bytes());
    }

    pub(crate) fn read16(&self, at: u64) -> u16 {
        self.read64(at) as u16
    }

    pub(crate) fn read32(&self, at: u64) -> u32 {
        self.read64(at) as u32
    }

    pub(crate) fn read64(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.bus.memory.read_bytes(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Puts code at [`CODE`].
    pub(crate) fn assemble(&mut self, bits: u32, code: impl FnOnce(&mut CodeAssembler)) {
        self.assemble_at(CODE, bits, code);
    }

    /// Puts code anywhere.
    pub(crate) fn assemble_at(&mut self, at: u64, bits: u32, code: impl FnOnce(&mut CodeAssembler)) {
        let mut assembler = CodeAssembler::new(bits).expect("16, 32 or 64");
        code(&mut assembler);
        let bytes = assembler.assemble(at).expect("the test's code can be encoded");
        self.write(at, &bytes);
    }

    /// Runs until the vCPU stops, at most a thousand instructions; panics if it does not.
    pub(crate) fn run(&mut self) {
        for _ in 0..1000 {
            if self.step(1000).why == crate::engine::Why::Stopped {
                return;
            }
        }
        panic!("still running at {:#x}", self.cpu.ip);
    }

    /// Runs for at most `budget` ticks.
    pub(crate) fn step(&mut self, budget: u64) -> Exit {
        let exit = self.engine.run(&mut self.cpu, &mut self.bus, budget);
        let now = self.cpu.tick;
        self.bus.clock.set_now(now);
        exit
    }

    /// Which handler's HLT has stopped the vCPU.
    pub(crate) fn vector(&self) -> Option<u8> {
        let at = self.cpu.ip.checked_sub(HANDLERS + 1)?;
        let halted = self.cpu.activity == Activity::Halted && at % 16 == 0 && at / 16 < 256;
        halted.then_some((at / 16) as u8)
    }

    /// Wakes the vCPU and lets it go on elsewhere.
    pub(crate) fn resume_at(&mut self, ip: u64) {
        self.cpu.activity = Activity::Running;
        self.cpu.pending = Pending::empty();
        self.cpu.ip = ip;
    }

    /// Nth 8-byte word from the stack's top.
    pub(crate) fn stack64(&self, n: u64) -> u64 {
        self.read64(self.cpu.gpr[4] + 8 * n)
    }

    /// Nth 4-byte word from the stack's top.
    pub(crate) fn stack32(&self, n: u64) -> u32 {
        self.read32(self.cpu.gpr[4] + 4 * n)
    }
}
