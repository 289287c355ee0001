//! Makes a random case of a table row: an encoding with random operands, and a state in which they mean something.

use super::random::Random;
use super::state::{CODE, CODE_LEN, Case, DATA, DATA_LEN, DATA_SELECTOR, Mode, Poke, Registers};
use super::{contents, latitude};
use iced_x86::{
    Code, CodeSize, Encoder, FlowControl, Instruction, MemorySize, Mnemonic, OpCodeOperandKind as Kind, OpKind,
    Register,
};

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RBX: usize = 3;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

const CF_TO_OF: u64 = 0x8d5;
const FIXED_AND_IF: u64 = 0x202;
const DF: u64 = 1 << 10;
const AC: u64 = 1 << 18;
const ID: u64 = 1 << 21;
/// The longest an instruction can be.
const LONGEST: usize = 15;
/// Selectors that mean something under Linux, and some that do not.
const SELECTORS: [u16; 12] = [0, 3, 0x2b, 0x2b, 0x28, 0x23, 0x33, 0x10, 0x18, 0x63, 0x2f, 0xfff8];

/// A case of `code`, or `None` if these operands cannot be encoded: then try again.
pub fn case(random: &mut Random, code: Code, mode: Mode) -> Option<Case> {
    let mut draft = Draft {
        registers: registers(random, mode),
        instruction: Instruction::default(),
        pokes: Vec::new(),
        start: start(random),
        mode,
        random,
    };
    draft.instruction.set_code(code);
    draft.instruction.set_code_size(if mode == Mode::Bits64 { CodeSize::Code64 } else { CodeSize::Code32 });
    draft.prepare_implicit();
    draft.operands()?;
    draft.prefixes();
    draft.stack_contents();
    draft.finish()
}

fn start(random: &mut Random) -> u64 {
    let middle = CODE_LEN as u64 / 2;
    if random.once_in(32) { CODE + middle - random.below(LONGEST as u64) } else { CODE + middle + random.below(256) }
}

fn registers(random: &mut Random, mode: Mode) -> Registers {
    let masked = !random.once_in(4);
    let mut registers = Registers {
        gpr: core::array::from_fn(|_| random.integer()),
        flags: FIXED_AND_IF | random.word() & CF_TO_OF,
        mxcsr: contents::mxcsr(random, masked),
        xmm: core::array::from_fn(|_| random.vector()),
        ..Registers::default()
    };
    registers.cs = mode.selector();
    if mode == Mode::Bits32 {
        registers.gpr[8..].fill(0);
        registers.xmm[8..].fill(0);
        // What the upper halves hold after 32-bit code is undefined.
        registers.gpr.iter_mut().for_each(|r| *r &= 0xffff_ffff);
    }
    for (flag, chance) in [(DF, 8), (AC, 40), (ID, 8)] {
        if random.once_in(chance) {
            registers.flags |= flag;
        }
    }
    contents::x87(random, &mut registers);
    registers
}

struct Draft<'a> {
    random: &'a mut Random,
    registers: Registers,
    instruction: Instruction,
    pokes: Vec<Poke>,
    start: u64,
    mode: Mode,
}

impl Draft<'_> {
    /// A place for an operand of `len` bytes: mostly aligned and whole.
    fn place(&mut self, len: usize) -> u64 {
        let len = len.max(1);
        let align = len.next_power_of_two().min(64) as u64;
        let room = (DATA_LEN - len) as u64;
        let at = match self.random.below(32) {
            0 => 0x1000 - self.random.below(len as u64),
            1 if !self.random.once_in(4) => DATA_LEN as u64 - self.random.below(len as u64 + 8),
            1 => self.random.below(len as u64 + 8).wrapping_neg(),
            2..=6 => self.random.below(room),
            _ => self.random.below(room) / align * align,
        };
        DATA.wrapping_add(at)
    }

    /// A pointer for the stack or for strings, with room on both sides.
    fn pointer(&mut self) -> u64 {
        let at = match self.random.below(32) {
            0 => self.random.below(32).wrapping_sub(16),
            1 => DATA_LEN as u64 - self.random.below(32),
            2 => 0x1000 - self.random.below(16),
            3 | 4 => 0x200 + self.random.below(0x1c00),
            _ => (0x200 + self.random.below(0x1c00)) & !15,
        };
        DATA.wrapping_add(at)
    }

    /// Where a branch may go: INT3, not the instruction itself.
    fn landing(&mut self) -> u64 {
        loop {
            let at = CODE + self.random.below(CODE_LEN as u64 - LONGEST as u64);
            if at + 1 < self.start || at > self.start + LONGEST as u64 {
                return at;
            }
        }
    }

    fn poke(&mut self, address: u64, bytes: &[u8]) {
        let Some(at) = address.checked_sub(DATA) else { return };
        let room = DATA_LEN.saturating_sub(at as usize);
        self.pokes.push(Poke { at: at as usize, bytes: bytes[..bytes.len().min(room)].to_vec() });
        if room == 0 {
            self.pokes.pop();
        }
    }

    /// Registers that the instruction uses without naming them.
    fn prepare_implicit(&mut self) {
        let stack = self.pointer();
        self.registers.gpr[RSP] = stack;
        let mnemonic = self.instruction.mnemonic();
        match mnemonic {
            Mnemonic::Enter | Mnemonic::Leave => self.registers.gpr[RBP] = self.pointer(),
            // Whether bytes that the mask leaves out can fault is the CPU's choice.
            Mnemonic::Maskmovq | Mnemonic::Maskmovdqu => {
                self.registers.gpr[RDI] = DATA + self.random.below(DATA_LEN as u64 - 16);
            }
            Mnemonic::Xlatb => {
                let table = self.pointer().wrapping_sub(self.registers.gpr[RAX] & 0xff);
                self.registers.gpr[RBX] = table;
            }
            Mnemonic::Div => match self.random.below(4) {
                0 | 1 => self.registers.gpr[RDX] = 0,
                2 => self.registers.gpr[RDX] = self.random.below(4),
                _ => {}
            },
            Mnemonic::Idiv if !self.random.once_in(4) => {
                let rax = self.registers.gpr[RAX];
                self.registers.gpr[RDX] = match self.random.below(3) {
                    0 => ((rax as i64) >> 63) as u64,
                    1 => ((rax as i32) >> 31) as u64,
                    _ => self.random.below(3).wrapping_sub(1),
                };
            }
            _ => {}
        }
    }

    fn operands(&mut self) -> Option<()> {
        let info = self.instruction.code().op_code();
        for (i, kind) in info.op_kinds().iter().enumerate() {
            self.operand(i as u32, *kind)?;
        }
        Some(())
    }

    fn wide_registers(&self) -> u64 {
        if self.mode == Mode::Bits64 { 16 } else { 8 }
    }

    fn register(&mut self, first: Register, count: u64) -> Register {
        let number = self.random.below(count);
        nth(first, number)
    }

    fn byte_register(&mut self) -> Register {
        const OLD: [Register; 8] = [
            Register::AL,
            Register::CL,
            Register::DL,
            Register::BL,
            Register::AH,
            Register::CH,
            Register::DH,
            Register::BH,
        ];
        match (self.mode, self.random.below(3)) {
            (Mode::Bits32, _) | (Mode::Bits64, 0) => self.random.one_of(&OLD),
            (Mode::Bits64, 1) => {
                let all = [Register::SPL, Register::BPL, Register::SIL, Register::DIL];
                self.random.one_of(&all)
            }
            _ => self.register(Register::R8L, 8),
        }
    }

    fn set_register(&mut self, i: u32, register: Register) {
        self.instruction.set_op_kind(i, OpKind::Register);
        self.instruction.set_op_register(i, register);
    }

    fn operand(&mut self, i: u32, kind: Kind) -> Option<()> {
        let memory = !self.random.once_in(3);
        let wide = self.wide_registers();
        let (first, count) = match kind {
            Kind::r8_or_mem | Kind::r8_reg | Kind::r8_opcode => {
                if kind == Kind::r8_or_mem && memory {
                    return self.memory(i);
                }
                let register = self.byte_register();
                self.set_register(i, register);
                return Some(());
            }
            Kind::mem | Kind::mem_mpx | Kind::mem_mib => return self.memory(i),
            Kind::mem_offs => return self.memory_offset(i),
            Kind::r16_or_mem
            | Kind::r32_or_mem
            | Kind::r32_or_mem_mpx
            | Kind::r64_or_mem
            | Kind::r64_or_mem_mpx
            | Kind::mm_or_mem
            | Kind::xmm_or_mem
                if memory =>
            {
                return self.memory(i);
            }
            Kind::r16_or_mem | Kind::r16_reg | Kind::r16_rm | Kind::r16_opcode => (Register::AX, wide),
            Kind::r32_or_mem | Kind::r32_or_mem_mpx | Kind::r32_reg | Kind::r32_rm | Kind::r32_opcode => {
                (Register::EAX, wide)
            }
            Kind::r64_or_mem | Kind::r64_or_mem_mpx | Kind::r64_reg | Kind::r64_rm | Kind::r64_opcode => {
                (Register::RAX, wide)
            }
            Kind::mm_or_mem | Kind::mm_reg | Kind::mm_rm => (Register::MM0, 8),
            Kind::xmm_or_mem | Kind::xmm_reg | Kind::xmm_rm => (Register::XMM0, wide),
            // Another FS base would take the host's thread its storage; GS goes along.
            Kind::seg_reg if i == 0 => {
                let writable = [Register::ES, Register::DS, Register::SS, Register::DS];
                let register = self.random.one_of(&writable);
                self.set_register(i, register);
                return Some(());
            }
            Kind::seg_reg => (Register::ES, 6),
            Kind::cr_reg => (Register::CR0, 9),
            Kind::dr_reg => (Register::DR0, 8),
            Kind::sti_opcode => (Register::ST0, 8),
            Kind::es => (Register::ES, 1),
            Kind::cs => (Register::CS, 1),
            Kind::ss => (Register::SS, 1),
            Kind::ds => (Register::DS, 1),
            Kind::fs => (Register::FS, 1),
            Kind::gs => (Register::GS, 1),
            Kind::al => (Register::AL, 1),
            Kind::cl => (Register::CL, 1),
            Kind::ax => (Register::AX, 1),
            Kind::dx => (Register::DX, 1),
            Kind::eax => (Register::EAX, 1),
            Kind::rax => (Register::RAX, 1),
            Kind::st0 => (Register::ST0, 1),
            _ => return self.immediate_or_implied(i, kind),
        };
        let register = self.register(first, count);
        self.set_register(i, register);
        self.prepare_register(register);
        Some(())
    }

    /// What a register operand must hold for the instruction to do something of interest.
    fn prepare_register(&mut self, register: Register) {
        let number = register.number();
        let branches =
            matches!(self.instruction.flow_control(), FlowControl::IndirectBranch | FlowControl::IndirectCall);
        if branches && register.is_gpr() && number != RSP && !self.random.once_in(8) {
            self.registers.gpr[number] = self.landing();
        }
        if self.instruction.mnemonic() == Mnemonic::Mov
            && self.instruction.op0_kind() == OpKind::Register
            && self.instruction.op0_register().is_segment_register()
        {
            let selector = self.random.one_of(&SELECTORS);
            self.registers.gpr[number] = self.registers.gpr[number] & !0xffff | u64::from(selector);
        }
    }

    fn immediate_or_implied(&mut self, i: u32, kind: Kind) -> Option<()> {
        let value = self.random.integer();
        let to = &mut self.instruction;
        match kind {
            Kind::imm8_const_1 => {
                to.set_op_kind(i, OpKind::Immediate8);
                to.set_immediate8(1);
            }
            Kind::imm8 if i > 0 && is_immediate(to.op_kind(i - 1)) => {
                let levels = if to.mnemonic() == Mnemonic::Enter { value % 9 } else { value };
                to.set_op_kind(i, OpKind::Immediate8_2nd);
                to.set_immediate8_2nd(levels as u8);
            }
            Kind::imm8 => {
                // INT 80h is a system call.
                let number = if value as u8 == 0x80 && to.mnemonic() == Mnemonic::Int { 3 } else { value as u8 };
                to.set_op_kind(i, OpKind::Immediate8);
                to.set_immediate8(number);
            }
            Kind::imm8sex16 => {
                to.set_op_kind(i, OpKind::Immediate8to16);
                to.set_immediate8to16((value as i8).into());
            }
            Kind::imm8sex32 => {
                to.set_op_kind(i, OpKind::Immediate8to32);
                to.set_immediate8to32((value as i8).into());
            }
            Kind::imm8sex64 => {
                to.set_op_kind(i, OpKind::Immediate8to64);
                to.set_immediate8to64((value as i8).into());
            }
            Kind::imm16 => {
                let small = to.mnemonic() == Mnemonic::Enter;
                to.set_op_kind(i, OpKind::Immediate16);
                to.set_immediate16(if small { value as u16 & 0x1ff } else { value as u16 });
            }
            Kind::imm32 => {
                to.set_op_kind(i, OpKind::Immediate32);
                to.set_immediate32(value as u32);
            }
            Kind::imm32sex64 => {
                to.set_op_kind(i, OpKind::Immediate32to64);
                to.set_immediate32to64((value as i32).into());
            }
            Kind::imm64 => {
                to.set_op_kind(i, OpKind::Immediate64);
                to.set_immediate64(value);
            }
            Kind::br16_1 | Kind::br32_1 | Kind::br64_1 | Kind::br16_2 | Kind::br32_4 | Kind::br64_4 => {
                return self.near_branch(i, kind);
            }
            Kind::farbr2_2 | Kind::farbr4_2 => {
                let target = self.landing();
                let selector = self.random.one_of(&SELECTORS);
                let to = &mut self.instruction;
                to.set_far_branch_selector(selector);
                if kind == Kind::farbr2_2 {
                    to.set_op_kind(i, OpKind::FarBranch16);
                    to.set_far_branch16(target as u16);
                } else {
                    to.set_op_kind(i, OpKind::FarBranch32);
                    to.set_far_branch32(target as u32);
                }
            }
            _ => return self.string_or_table(i, kind),
        }
        Some(())
    }

    fn near_branch(&mut self, i: u32, kind: Kind) -> Option<()> {
        let short = matches!(kind, Kind::br16_1 | Kind::br32_1 | Kind::br64_1);
        let target = if short {
            // Both signs, and clear of the instruction itself, which is at most eight bytes.
            let distance = 16 + self.random.below(100);
            if self.random.once_in(2) { self.start + distance } else { self.start - distance }
        } else {
            self.landing()
        };
        let to = &mut self.instruction;
        match kind {
            Kind::br16_1 | Kind::br16_2 => {
                to.set_op_kind(i, OpKind::NearBranch16);
                to.set_near_branch16(target as u16);
            }
            Kind::br32_1 | Kind::br32_4 => {
                to.set_op_kind(i, OpKind::NearBranch32);
                to.set_near_branch32(target as u32);
            }
            _ => {
                to.set_op_kind(i, OpKind::NearBranch64);
                to.set_near_branch64(target);
            }
        }
        Some(())
    }

    fn string_or_table(&mut self, i: u32, kind: Kind) -> Option<()> {
        let long = self.mode == Mode::Bits64;
        // The address size is the same for both operands of an instruction.
        let narrow = if i > 0 && is_narrow_string(self.instruction.op_kind(0)) {
            true
        } else if i > 0 && is_string(self.instruction.op_kind(0)) {
            false
        } else {
            long && self.random.once_in(8)
        };
        let wide = long && !narrow;
        let (pointer, op) = match kind {
            Kind::seg_rSI => (RSI, if wide { OpKind::MemorySegRSI } else { OpKind::MemorySegESI }),
            Kind::es_rDI => (RDI, if wide { OpKind::MemoryESRDI } else { OpKind::MemoryESEDI }),
            Kind::seg_rDI => (RDI, if wide { OpKind::MemorySegRDI } else { OpKind::MemorySegEDI }),
            Kind::seg_rBX_al => {
                self.instruction.set_op_kind(i, OpKind::Memory);
                let base = if wide { Register::RBX } else { Register::EBX };
                self.instruction.set_memory_base(base);
                self.instruction.set_memory_index(Register::AL);
                return Some(());
            }
            _ => return None,
        };
        self.instruction.set_op_kind(i, op);
        if kind != Kind::seg_rDI {
            let mut to = self.pointer();
            if i > 0 && self.random.once_in(4) {
                // Overlapping strings.
                let other = self.registers.gpr[if pointer == RSI { RDI } else { RSI }];
                to = (other & 0xffff_ffff).wrapping_add(self.random.below(40)).wrapping_sub(20);
            }
            let upper = if narrow { self.random.word() << 32 } else { 0 };
            self.registers.gpr[pointer] = to & 0xffff_ffff | upper;
            self.registers.gpr[RCX] = match self.random.below(8) {
                0 => self.random.integer(),
                1 => self.random.below(0x2000),
                _ => self.random.below(40),
            };
            if self.mode == Mode::Bits32 {
                self.registers.gpr[RCX] &= 0xffff_ffff;
            }
            if self.random.once_in(4) {
                self.registers.flags |= DF;
            }
        }
        Some(())
    }

    fn memory_offset(&mut self, i: u32) -> Option<()> {
        let to = self.place(self.instruction.memory_size().size());
        self.instruction.set_op_kind(i, OpKind::Memory);
        let wide = self.mode == Mode::Bits64 && !self.random.once_in(4);
        self.instruction.set_memory_displ_size(if wide { 8 } else { 4 });
        self.instruction.set_memory_displacement64(to);
        Some(())
    }

    /// A memory operand of any addressing form, with registers such that it lies in the data.
    fn memory(&mut self, i: u32) -> Option<()> {
        let size = self.instruction.memory_size();
        let mut target = self.place(size.size());
        if self.takes_bit_offset() {
            target = DATA + 0x800 + self.random.below(0x1000);
        }
        self.instruction.set_op_kind(i, OpKind::Memory);
        self.fill(target, size);
        let long = self.mode == Mode::Bits64;
        if !long && self.random.once_in(32) {
            return self.memory16();
        }
        if long && self.random.once_in(8) {
            let narrow = self.random.once_in(4);
            self.instruction.set_memory_base(if narrow { Register::EIP } else { Register::RIP });
            self.instruction.set_memory_displ_size(if narrow { 4 } else { 8 });
            self.instruction.set_memory_displacement64(target);
            return Some(());
        }
        let wide = long && !self.random.once_in(8);
        let first = if wide { Register::RAX } else { Register::EAX };
        let mut displacement = match self.random.below(4) {
            0 => 0,
            1 => self.random.word() as i32,
            _ => (self.random.word() as i8).into(),
        };
        let count = self.wide_registers();
        let base = (!self.random.once_in(8)).then(|| self.random.below(count));
        let index = self.random.once_in(2).then(|| self.random.below(count)).filter(|x| *x != RSP as u64);
        let scale = 1u64 << self.random.below(4);
        match (base, index) {
            (None, None) => displacement = target as i32,
            (None, Some(x)) => {
                let value = self.random.below(0x100);
                displacement = target.wrapping_sub(value.wrapping_mul(scale)) as i32;
                self.registers.gpr[x as usize] = value;
            }
            (Some(b), Some(x)) if b == x => {
                let sum = 1 + scale;
                let value = target.wrapping_sub(i64::from(displacement) as u64 & 0xffff) / sum;
                displacement = target.wrapping_sub(value.wrapping_mul(sum)) as i32;
                self.registers.gpr[b as usize] = value;
            }
            (Some(b), x) => {
                let offset = x.map_or(0, |x| self.registers.gpr[x as usize].wrapping_mul(scale));
                let value = target.wrapping_sub(offset).wrapping_sub(i64::from(displacement) as u64);
                self.registers.gpr[b as usize] = value;
            }
        }
        if let Some(b) = base {
            self.instruction.set_memory_base(nth(first, b));
        }
        if let Some(x) = index {
            self.instruction.set_memory_index(nth(first, x));
            self.instruction.set_memory_index_scale(scale as u32);
        }
        if !wide {
            self.widen(base, index);
        }
        let short = i8::try_from(displacement).is_ok() && base.is_some();
        let full = if wide { 8 } else { 4 };
        let is_zero = displacement == 0 && base.is_some();
        self.instruction.set_memory_displ_size(if is_zero {
            0
        } else if short {
            1
        } else {
            full
        });
        let displacement = i64::from(displacement) as u64;
        self.instruction.set_memory_displacement64(if wide { displacement } else { displacement & 0xffff_ffff });
        Some(())
    }

    /// With 32-bit addresses the registers' upper halves do not matter: in 64-bit mode fill them.
    fn widen(&mut self, base: Option<u64>, index: Option<u64>) {
        for number in [base, index].into_iter().flatten() {
            let upper = if self.mode == Mode::Bits64 { self.random.word() << 32 } else { 0 };
            let register = &mut self.registers.gpr[number as usize];
            *register = *register & 0xffff_ffff | upper;
        }
    }

    /// A 16-bit address: nothing is mapped that low, so it must fault at the right address.
    fn memory16(&mut self) -> Option<()> {
        let forms = [
            (Register::BX, Register::SI),
            (Register::BP, Register::DI),
            (Register::SI, Register::None),
            (Register::BX, Register::None),
        ];
        let (base, index) = self.random.one_of(&forms);
        self.instruction.set_memory_base(base);
        self.instruction.set_memory_index(index);
        let displacement = self.random.word() & 0xffff;
        self.instruction.set_memory_displ_size(2);
        self.instruction.set_memory_displacement64(displacement);
        Some(())
    }

    fn takes_bit_offset(&self) -> bool {
        matches!(self.instruction.mnemonic(), Mnemonic::Bt | Mnemonic::Btc | Mnemonic::Btr | Mnemonic::Bts)
    }

    /// Puts something of the operand's type where it lies.
    fn fill(&mut self, at: u64, size: MemorySize) {
        let branches =
            matches!(self.instruction.flow_control(), FlowControl::IndirectBranch | FlowControl::IndirectCall);
        let is_far = matches!(size, MemorySize::SegPtr16 | MemorySize::SegPtr32 | MemorySize::SegPtr64);
        if branches && !is_far {
            let target = if self.random.once_in(8) { self.random.integer() } else { self.landing() };
            self.poke(at, &target.to_le_bytes());
            return;
        }
        if is_far {
            let upper = if self.random.once_in(8) { self.random.word() << 32 } else { 0 };
            let target = self.landing() | upper;
            let selector = self.random.one_of(&SELECTORS);
            let len = size.size() - 2;
            let mut bytes = target.to_le_bytes()[..len].to_vec();
            bytes.extend(selector.to_le_bytes());
            self.poke(at, &bytes);
            return;
        }
        if self.instruction.mnemonic() == Mnemonic::Mov
            && self.instruction.op_count() == 2
            && size == MemorySize::UInt16
        {
            let selector = self.random.one_of(&SELECTORS);
            if self.random.once_in(2) {
                self.poke(at, &selector.to_le_bytes());
                return;
            }
        }
        let bytes = contents::operand(self.random, self.instruction.mnemonic(), size);
        self.poke(at, &bytes);
    }

    /// What instructions that take their next address, flags or selectors from the stack find there.
    fn stack_contents(&mut self) {
        let width = self.instruction.op_code().operand_size() as usize / 8;
        let near = self.instruction.mnemonic() == Mnemonic::Ret;
        let width = if width == 0 || near && self.mode == Mode::Bits64 {
            if self.mode == Mode::Bits64 { 8 } else { 4 }
        } else {
            width
        };
        let sp = self.registers.gpr[RSP] & if self.mode == Mode::Bits64 { u64::MAX } else { 0xffff_ffff };
        let target = if self.random.once_in(16) { self.random.integer() } else { self.landing() };
        let selector = u64::from(self.random.one_of(&[0x33u16, 0x23, 0x2b, 0, 0x10, 0x33, 0x23, 0x1234]));
        // Never the trap flag: the step after the instruction would be told from it by nothing.
        let flags = self.random.word() & 0xffff_ffff & !0x100;
        let stack = self.pointer();
        let words: Vec<u64> = match self.instruction.mnemonic() {
            Mnemonic::Ret => vec![target],
            Mnemonic::Retf => vec![target, selector],
            Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq => {
                vec![target, selector, flags & 0xffff, stack, DATA_SELECTOR.into()]
            }
            Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Popfq => vec![flags],
            Mnemonic::Pop if self.instruction.op0_register().is_segment_register() => {
                vec![u64::from(self.random.one_of(&SELECTORS))]
            }
            _ => return,
        };
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()[..width].to_vec()).collect();
        self.poke(sp, &bytes);
    }

    fn prefixes(&mut self) {
        let info = self.instruction.op_code();
        let memory_first = self.instruction.op_count() > 0 && self.instruction.op0_kind() == OpKind::Memory;
        if info.can_use_lock_prefix() && memory_first && self.random.once_in(6) {
            self.instruction.set_has_lock_prefix(true);
        }
        let strings = (0..self.instruction.op_count()).any(|i| is_string(self.instruction.op_kind(i)));
        if strings && (info.can_use_rep_prefix() || info.can_use_repne_prefix()) {
            match self.random.below(4) {
                0 | 1 if info.can_use_rep_prefix() => self.instruction.set_has_rep_prefix(true),
                2 if info.can_use_repne_prefix() => self.instruction.set_has_repne_prefix(true),
                _ => {}
            }
        }
        let has_memory = (0..self.instruction.op_count()).any(|i| self.instruction.op_kind(i) == OpKind::Memory);
        if has_memory && self.random.once_in(20) {
            let long = [Register::ES, Register::CS, Register::SS, Register::DS, Register::GS];
            let count = if self.mode == Mode::Bits64 { 5 } else { 4 };
            let segment = self.random.one_of(&long[..count]);
            self.instruction.set_segment_prefix(segment);
        }
    }

    fn finish(mut self) -> Option<Case> {
        let mut bytes = Vec::new();
        if self.random.once_in(24) && self.instruction.segment_prefix() == Register::None {
            let ignored = [0x2e, 0x36, 0x3e, 0x26];
            bytes.push(self.random.one_of(&ignored));
        } else if self.random.once_in(96) && !self.instruction.has_lock_prefix() {
            bytes.push(0xf0);
        }
        let mut encoder = Encoder::new(self.mode.bits());
        encoder.encode(&self.instruction, self.start + bytes.len() as u64).ok()?;
        bytes.extend(encoder.take_buffer());
        if bytes.len() > LONGEST {
            return None;
        }
        if self.mode == Mode::Bits32 {
            self.registers.gpr.iter_mut().for_each(|r| *r &= 0xffff_ffff);
        }
        // A far CALL to 32-bit code may push by ESP.
        if self.instruction.is_call_far_indirect() {
            self.registers.gpr[RSP] &= 0xffff_ffff;
        }
        if self.alignment_is_free() {
            self.registers.flags &= !AC;
        }
        self.registers.ip = self.start;
        Some(Case { mode: self.mode, bytes, before: self.registers, pokes: self.pokes })
    }
}

impl Draft<'_> {
    /// Where the manuals let the CPU choose what is misaligned: operands of 16 bytes and more, the place that ENTER
    /// touches below its frame, and segment registers, which may take two bytes of the stack or more.
    fn alignment_is_free(&self) -> bool {
        self.instruction.memory_size().size() >= 16
            || self.instruction.mnemonic() == Mnemonic::Enter
            || latitude::has_segment(self.instruction.code())
    }
}

fn nth(first: Register, number: u64) -> Register {
    Register::try_from(first as usize + number as usize).unwrap_or(first)
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate8 | OpKind::Immediate16)
}

fn is_narrow_string(kind: OpKind) -> bool {
    matches!(kind, OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI)
}

fn is_string(kind: OpKind) -> bool {
    is_narrow_string(kind) || matches!(kind, OpKind::MemorySegRSI | OpKind::MemorySegRDI | OpKind::MemoryESRDI)
}
