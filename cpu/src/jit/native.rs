//! Which instructions run as themselves, and how: re-encoded with the registers and addresses that they have here.

use super::assembler::{Label, Opcode};
use super::flags::Patch;
use super::liveness::touches_memory;
use super::operands::{OPERAND, Reach, addressable};
use super::registers::{GUEST_RAX, Host, place};
use super::translate::Translation;
use super::vectors::{self, Alignment};
use crate::decode::Single;
use crate::op::Traits;
use iced_x86::{Code, Instruction, MemoryOperand, Mnemonic, OpKind, Register};

/// How an instruction is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Its handler is called.
    Handler,
    /// Itself, with registers and memory operand replaced.
    Plain,
    /// XCHG of a register of 4 or 8 bytes with memory: loads and stores, since nobody is there to lock out.
    Exchange,
    /// CMPXCHG with memory.
    CompareExchange,
    /// MUL and IMUL into RDX:RAX.
    MultiplyWide,
    /// CWDE to CQO: these bytes, on the accumulator.
    Widen(&'static [u8]),
    /// Itself, on vector registers.
    Vector(Alignment),
    Lea,
    Nothing,
    Jcc,
    Jump,
    JumpIndirect,
    Call,
    CallIndirect,
    Return,
    Push,
    PushImmediate,
    Pop,
    Leave,
}

/// How the instruction can be translated. Only what its row and the CPU's model let run as itself comes into question: what is
/// refused by them ends its block.
pub(super) fn shape(single: &Single) -> Shape {
    let instruction = &single.instruction;
    let memory = touches_memory(instruction);
    let transfer = match instruction.code() {
        Code::Jmp_rel8_64 | Code::Jmp_rel32_64 => Shape::Jump,
        Code::Jmp_rm64 if !memory || addressable(&single.op) => Shape::JumpIndirect,
        Code::Call_rel32_64 => Shape::Call,
        Code::Call_rm64 if instruction.op0_kind() == OpKind::Register || addressable(&single.op) => Shape::CallIndirect,
        Code::Retnq | Code::Retnq_imm16 => Shape::Return,
        _ => Shape::Handler,
    };
    // These are rows that always run; any other that ends its block is for its handler.
    if transfer != Shape::Handler || single.ends {
        return transfer;
    }
    if single.op.is(Traits::HIGH_DST | Traits::HIGH_SRC) {
        return Shape::Handler;
    }
    match instruction.code() {
        Code::Push_r64 => Shape::Push,
        Code::Push_rm64 if instruction.op0_kind() == OpKind::Register => Shape::Push,
        Code::Pushq_imm8 | Code::Pushq_imm32 => Shape::PushImmediate,
        Code::Pop_r64 => Shape::Pop,
        Code::Pop_rm64 if instruction.op0_kind() == OpKind::Register => Shape::Pop,
        Code::Leaveq => Shape::Leave,
        Code::Cwde => Shape::Widen(&[0x98]),
        Code::Cdqe => Shape::Widen(&[0x48, 0x98]),
        Code::Cdq => Shape::Widen(&[0x99]),
        Code::Cqo => Shape::Widen(&[0x48, 0x99]),
        Code::Lea_r32_m | Code::Lea_r64_m if addressable(&single.op) => Shape::Lea,
        _ if memory && !addressable(&single.op) => Shape::Handler,
        code if code.is_jcc_short_or_near() && instruction.op0_kind() == OpKind::NearBranch64 => Shape::Jcc,
        code => match by_mnemonic(instruction, code, memory) {
            Shape::Handler => vectors::shape(single),
            shape => shape,
        },
    }
}

fn by_mnemonic(instruction: &Instruction, code: Code, memory: bool) -> Shape {
    use Mnemonic as M;
    let registers = (0..instruction.op_count()).filter(|i| instruction.op_kind(*i) == OpKind::Register);
    if !registers.map(|i| instruction.op_register(i)).all(Register::is_gpr) || is_absolute(code) {
        return Shape::Handler;
    }
    let wide = instruction.op_count() == 1 && matches!(instruction.mnemonic(), M::Mul | M::Imul);
    match instruction.mnemonic() {
        M::Mov
        | M::Movzx
        | M::Movsx
        | M::Movsxd
        | M::Add
        | M::Adc
        | M::Sub
        | M::Sbb
        | M::And
        | M::Or
        | M::Xor
        | M::Cmp
        | M::Test
        | M::Inc
        | M::Dec
        | M::Neg
        | M::Not
        | M::Shl
        | M::Sal
        | M::Shr
        | M::Sar
        | M::Rol
        | M::Ror
        | M::Shld
        | M::Shrd
        | M::Xadd => Shape::Plain,
        M::Mul | M::Imul if wide => match operand_bytes(instruction) {
            4 | 8 => Shape::MultiplyWide,
            _ => Shape::Handler,
        },
        M::Imul => Shape::Plain,
        M::Bswap if code != Code::Bswap_r16 => Shape::Plain,
        // A bit number in a register reaches beyond the operand.
        M::Bt | M::Bts | M::Btr | M::Btc if !memory || instruction.op1_kind() != OpKind::Register => Shape::Plain,
        M::Popcnt if has("popcnt") => Shape::Plain,
        M::Tzcnt if has("bmi1") => Shape::Plain,
        M::Lzcnt if has("lzcnt") => Shape::Plain,
        M::Xchg if memory => match operand_bytes(instruction) {
            4 | 8 => Shape::Exchange,
            _ => Shape::Plain,
        },
        M::Xchg => Shape::Plain,
        M::Cmpxchg if memory => Shape::CompareExchange,
        M::Nop | M::Endbr64 | M::Endbr32 => Shape::Nothing,
        M::Seto
        | M::Setno
        | M::Setb
        | M::Setae
        | M::Sete
        | M::Setne
        | M::Setbe
        | M::Seta
        | M::Sets
        | M::Setns
        | M::Setp
        | M::Setnp
        | M::Setl
        | M::Setge
        | M::Setle
        | M::Setg
        | M::Cmovo
        | M::Cmovno
        | M::Cmovb
        | M::Cmovae
        | M::Cmove
        | M::Cmovne
        | M::Cmovbe
        | M::Cmova
        | M::Cmovs
        | M::Cmovns
        | M::Cmovp
        | M::Cmovnp
        | M::Cmovl
        | M::Cmovge
        | M::Cmovle
        | M::Cmovg => Shape::Plain,
        _ => Shape::Handler,
    }
}

/// Whether the host has an instruction that not every x86-64 has.
fn has(feature: &str) -> bool {
    match feature {
        "popcnt" => std::is_x86_feature_detected!("popcnt"),
        "bmi1" => std::is_x86_feature_detected!("bmi1"),
        "lzcnt" => std::is_x86_feature_detected!("lzcnt"),
        _ => false,
    }
}

/// MOV between the accumulator and an absolute address.
fn is_absolute(code: Code) -> bool {
    matches!(
        code,
        Code::Mov_AL_moffs8
            | Code::Mov_AX_moffs16
            | Code::Mov_EAX_moffs32
            | Code::Mov_RAX_moffs64
            | Code::Mov_moffs8_AL
            | Code::Mov_moffs16_AX
            | Code::Mov_moffs32_EAX
            | Code::Mov_moffs64_RAX
    )
}

/// Bytes of the first operand.
fn operand_bytes(instruction: &Instruction) -> usize {
    match instruction.op0_kind() {
        OpKind::Register => instruction.op0_register().size(),
        _ => instruction.memory_size().size(),
    }
}

/// The form with a ModRM byte of an instruction whose encoding names the accumulator.
fn without_accumulator(code: Code) -> Code {
    macro_rules! forms {
        ($($from:ident $to:ident)*) => { match code { $(Code::$from => Code::$to,)* other => other } };
    }
    forms!(
        Add_AL_imm8 Add_rm8_imm8 Add_AX_imm16 Add_rm16_imm16 Add_EAX_imm32 Add_rm32_imm32 Add_RAX_imm32 Add_rm64_imm32
        Adc_AL_imm8 Adc_rm8_imm8 Adc_AX_imm16 Adc_rm16_imm16 Adc_EAX_imm32 Adc_rm32_imm32 Adc_RAX_imm32 Adc_rm64_imm32
        Sub_AL_imm8 Sub_rm8_imm8 Sub_AX_imm16 Sub_rm16_imm16 Sub_EAX_imm32 Sub_rm32_imm32 Sub_RAX_imm32 Sub_rm64_imm32
        Sbb_AL_imm8 Sbb_rm8_imm8 Sbb_AX_imm16 Sbb_rm16_imm16 Sbb_EAX_imm32 Sbb_rm32_imm32 Sbb_RAX_imm32 Sbb_rm64_imm32
        And_AL_imm8 And_rm8_imm8 And_AX_imm16 And_rm16_imm16 And_EAX_imm32 And_rm32_imm32 And_RAX_imm32 And_rm64_imm32
        Or_AL_imm8 Or_rm8_imm8 Or_AX_imm16 Or_rm16_imm16 Or_EAX_imm32 Or_rm32_imm32 Or_RAX_imm32 Or_rm64_imm32
        Xor_AL_imm8 Xor_rm8_imm8 Xor_AX_imm16 Xor_rm16_imm16 Xor_EAX_imm32 Xor_rm32_imm32 Xor_RAX_imm32 Xor_rm64_imm32
        Cmp_AL_imm8 Cmp_rm8_imm8 Cmp_AX_imm16 Cmp_rm16_imm16 Cmp_EAX_imm32 Cmp_rm32_imm32 Cmp_RAX_imm32 Cmp_rm64_imm32
        Test_AL_imm8 Test_rm8_imm8 Test_AX_imm16 Test_rm16_imm16 Test_EAX_imm32 Test_rm32_imm32 Test_RAX_imm32 Test_rm64_imm32
        Xchg_r16_AX Xchg_rm16_r16 Xchg_r32_EAX Xchg_rm32_r32 Xchg_r64_RAX Xchg_rm64_r64
    )
}

/// What must be done to the flags after an instruction that leaves some of the live ones undefined.
enum Undefined {
    /// None is, or what is has one value on every host ([`super::probe`]).
    Nothing,
    /// Seen to when they are taken from the host.
    Patched(Patch),
    /// By the result, as a bitwise operation's; CF and OF by the instruction.
    Product,
    /// By the result, as a bitwise operation's; CF by the instruction.
    Count,
    /// Left, but for CF.
    Bit,
    /// Its handler knows.
    Handler,
}

impl Translation<'_> {
    fn undefined(&self) -> Undefined {
        use Mnemonic as M;
        let instruction = &self.single().instruction;
        let effect = self.effect();
        if effect.undefined & self.live() == 0 && (effect.kills == effect.writes || effect.writes & self.live() == 0) {
            return Undefined::Nothing;
        }
        let constant = instruction.op1_kind() == OpKind::Immediate8;
        let count = if constant { u32::from(instruction.immediate8()) & 0x3f } else { 0 };
        let in_range = constant && count > 0 && (count as usize) < 8 * operand_bytes(instruction);
        match instruction.mnemonic() {
            M::And | M::Or | M::Xor | M::Test => Undefined::Nothing,
            M::Shl | M::Sal | M::Shr | M::Sar if in_range && count == 1 => Undefined::Patched(Patch::Adjust),
            M::Shl | M::Sal if in_range => Undefined::Patched(Patch::ShiftedLeft),
            M::Shr | M::Sar if in_range => Undefined::Patched(Patch::AdjustOverflow),
            M::Imul => Undefined::Product,
            M::Tzcnt | M::Lzcnt => Undefined::Count,
            M::Bt | M::Bts | M::Btr | M::Btc => Undefined::Bit,
            _ => Undefined::Handler,
        }
    }

    /// Translates the instruction in hand; false if its handler must be called after all, and nothing is written yet.
    pub(super) fn native(&mut self, shape: Shape) -> bool {
        match shape {
            Shape::Handler => return false,
            Shape::Plain => return self.plain(),
            Shape::Exchange => self.exchange(),
            Shape::CompareExchange => self.compare_exchange(),
            Shape::MultiplyWide => self.multiply_wide(),
            Shape::Widen(bytes) => {
                self.asm.copy(Host::RAX, GUEST_RAX);
                self.asm.raw(bytes);
                self.asm.copy(GUEST_RAX, Host::RAX);
            }
            Shape::Vector(alignment) => self.vector(alignment),
            Shape::Lea => self.lea(),
            Shape::Nothing => {}
            Shape::Jcc => self.jcc(),
            Shape::Jump => self.jump(),
            Shape::JumpIndirect => self.jump_indirect(),
            Shape::Call => self.call(),
            Shape::CallIndirect => self.call_indirect(),
            Shape::Return => self.ret(),
            Shape::Push => self.push(),
            Shape::PushImmediate => self.push_immediate(),
            Shape::Pop => self.pop(),
            Shape::Leave => self.leave(),
        }
        true
    }

    fn plain(&mut self) -> bool {
        let undefined = self.undefined();
        match undefined {
            Undefined::Handler => return false,
            Undefined::Bit => self.keep_all_flags(),
            Undefined::Nothing | Undefined::Patched(_) | Undefined::Product | Undefined::Count => {}
        }
        let mut instruction = self.single().instruction;
        let slow = self.memory_operand(&mut instruction);
        instruction.set_code(without_accumulator(instruction.code()));
        let written = self.replace_registers(&mut instruction, slow.is_some());
        let effect = self.effect();
        let kept = if effect.writes & self.live() == 0 { 0 } else { self.live() & !effect.writes };
        if !matches!(undefined, Undefined::Bit) {
            self.need_host_flags(effect.reads | kept);
        }
        self.asm.instruction(&instruction);
        for (guest, from) in written.into_iter().flatten() {
            self.write_register(guest, from);
        }
        self.settle_flags(&undefined, &instruction);
        if let Some(slow) = slow {
            self.after_slow(slow);
        }
        true
    }

    fn settle_flags(&mut self, undefined: &Undefined, instruction: &Instruction) {
        match undefined {
            Undefined::Nothing | Undefined::Handler => self.flags_written(Patch::None),
            Undefined::Patched(patch) => self.flags_written(*patch),
            Undefined::Product => self.flags_of_product(instruction.op0_register()),
            Undefined::Count => self.flags_of_count(instruction.op0_register()),
            Undefined::Bit => self.flag_of_bit(),
        }
    }

    /// AH becomes what LAHF gives for a bitwise operation with this result, but with CF from AL, zero or one.
    fn flags_by_result(&mut self, result: Register) {
        let test = match result.size() {
            2 => Code::Test_rm16_r16,
            4 => Code::Test_rm32_r32,
            _ => Code::Test_rm64_r64,
        };
        if let Ok(test) = Instruction::with2(test, result, result) {
            self.asm.instruction(&test);
        }
        // LAHF; AND AH, ~(AF | CF); OR AH, AL
        self.asm.raw(&[0x9f, 0x80, 0xe4, 0xee, 0x08, 0xc4]);
    }

    fn flags_of_product(&mut self, result: Register) {
        // SETO AL: CF and OF are the same.
        self.asm.raw(&[0x0f, 0x90, 0xc0]);
        self.flags_by_result(result);
        self.store_flags();
        self.flags_stored();
    }

    fn flags_of_count(&mut self, result: Register) {
        // SETC AL
        self.asm.raw(&[0x0f, 0x92, 0xc0]);
        self.flags_by_result(result);
        // MOV AL, 0
        self.asm.raw(&[0xb0, 0x00]);
        self.store_flags();
        self.flags_stored();
    }

    fn flag_of_bit(&mut self) {
        let high = super::context::FLAGS_HIGH.to_le_bytes();
        // SETC AL; AND byte [RBP + disp32], ~CF; OR byte [RBP + disp32], AL
        self.asm.raw(&[0x0f, 0x92, 0xc0, 0x80, 0xa5]);
        self.asm.raw(&high);
        self.asm.raw(&[0xfe, 0x08, 0x85]);
        self.asm.raw(&high);
        self.flags_stored();
    }

    /// Puts the host's address in place of the memory operand, if there is one; the answer is where the handler is called.
    pub(super) fn memory_operand(&mut self, instruction: &mut Instruction) -> Option<Label> {
        self.memory_operand_checked(instruction, |_, _| {})
    }

    /// As [`Translation::memory_operand`]; `check` may refuse the linear address in R8, with the host's flags and R9 free.
    pub(super) fn memory_operand_checked(
        &mut self,
        instruction: &mut Instruction,
        check: impl FnOnce(&mut Self, Label),
    ) -> Option<Label> {
        let at = (0..instruction.op_count()).find(|i| instruction.op_kind(*i) == OpKind::Memory)?;
        let only_read = matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Bt) || at > 0;
        let reach = if only_read { Reach::Read } else { Reach::Write };
        let slow = self.slow();
        self.find_operand_checked(instruction.memory_size().size(), reach, slow, check);
        instruction.set_memory_base(Register::R8);
        instruction.set_memory_index(Register::None);
        instruction.set_memory_index_scale(1);
        instruction.set_memory_displacement64(0);
        instruction.set_memory_displ_size(0);
        instruction.set_segment_prefix(Register::None);
        instruction.set_has_lock_prefix(false);
        instruction.set_has_xacquire_prefix(false);
        instruction.set_has_xrelease_prefix(false);
        Some(slow)
    }

    /// Puts the host's registers in place of the guest's. The answer: which of the guest's must be stored afterwards, from where.
    fn replace_registers(&mut self, instruction: &mut Instruction, memory: bool) -> [Option<(usize, Host)>; 2] {
        use Mnemonic as M;
        let mnemonic = instruction.mnemonic();
        // R8 is the address of a memory operand; with one of those, one register at most has no place of its own.
        let mut spares = [Host::R9, Host::R8].into_iter().take(if memory { 1 } else { 2 });
        let mut written = [None; 2];
        let mut seen: [Option<(usize, Host)>; 2] = [None; 2];
        for i in 0..instruction.op_count() {
            if instruction.op_kind(i) != OpKind::Register {
                continue;
            }
            let register = instruction.op_register(i);
            let guest = register.full_register().number();
            let bytes = register.size();
            let host = match (place(guest), seen.into_iter().flatten().find(|(g, _)| *g == guest)) {
                (Some(host), _) => host,
                (None, Some((_, host))) => host,
                (None, None) => {
                    let spare = spares.next().unwrap_or(Host::R9);
                    let only_written = i == 0
                        && bytes >= 4
                        && matches!(mnemonic, M::Mov | M::Movzx | M::Movsx | M::Movsxd)
                        && !has_register_source(instruction);
                    if !only_written {
                        self.read_register(guest, spare);
                    }
                    spare
                }
            };
            if place(guest).is_none() {
                if let Some(slot) = seen.iter_mut().find(|slot| slot.is_none()) {
                    *slot = Some((guest, host));
                }
                let changes = match mnemonic {
                    M::Xchg | M::Xadd => true,
                    M::Cmp | M::Test | M::Bt => false,
                    _ => i == 0,
                };
                if changes && let Some(slot) = written.iter_mut().find(|slot| slot.is_none()) {
                    *slot = Some((guest, host));
                }
            }
            instruction.set_op_register(i, host.part(bytes));
        }
        written
    }

    fn exchange(&mut self) {
        let mut instruction = self.single().instruction;
        let bytes = operand_bytes(&instruction);
        let guest = self.single().op.dst.number();
        let Some(slow) = self.memory_operand(&mut instruction) else { return };
        let host = self.read_register(guest, Host::R9);
        if bytes == 8 {
            self.asm.memory(Opcode::Load, Host::RAX, OPERAND);
            self.asm.memory(Opcode::Store, host, OPERAND);
        } else {
            self.asm.memory32(Opcode::Load, Host::RAX, OPERAND);
            self.asm.memory32(Opcode::Store, host, OPERAND);
        }
        self.write_register(guest, Host::RAX);
        self.after_slow(slow);
    }

    fn compare_exchange(&mut self) {
        let mut instruction = self.single().instruction;
        let Some(slow) = self.memory_operand(&mut instruction) else { return };
        self.replace_registers(&mut instruction, true);
        self.asm.copy(Host::RAX, GUEST_RAX);
        self.asm.instruction(&instruction);
        self.asm.copy(GUEST_RAX, Host::RAX);
        self.flags_written(Patch::None);
        self.after_slow(slow);
    }

    fn multiply_wide(&mut self) {
        let mut instruction = self.single().instruction;
        let bytes = operand_bytes(&instruction);
        let slow = self.memory_operand(&mut instruction);
        self.replace_registers(&mut instruction, slow.is_some());
        self.asm.copy(Host::RAX, GUEST_RAX);
        self.asm.instruction(&instruction);
        self.asm.copy(GUEST_RAX, Host::RAX);
        if self.live() != 0 {
            self.flags_of_product(GUEST_RAX.part(bytes));
        } else {
            self.flags_written(Patch::None);
        }
        if let Some(slow) = slow {
            self.after_slow(slow);
        }
    }

    fn lea(&mut self) {
        let op = &self.single().op;
        let (guest, wide) = (op.dst.number(), self.single().instruction.code() == Code::Lea_r64_m);
        let to = place(guest).unwrap_or(Host::R8);
        self.effective_address(to, wide);
        self.write_register(guest, to);
    }

    /// `mov qword [R8], immediate`.
    pub(super) fn store_constant(&mut self, value: i32) {
        let memory = MemoryOperand::with_base(Register::R8);
        if let Ok(store) = Instruction::with2(Code::Mov_rm64_imm32, memory, value) {
            self.asm.instruction(&store);
        }
    }
}

/// Whether its second operand is a register, which may be the first one too.
fn has_register_source(instruction: &Instruction) -> bool {
    instruction.op_count() > 1 && instruction.op1_kind() == OpKind::Register
}
