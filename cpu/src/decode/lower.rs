//! Lowers decoded instructions: iced decodes once, and what runs is compact.

use crate::cpuid::CpuModel;
use crate::fault::Fault;
use crate::op::{Handler, Op, Slot, Traits};
use crate::ops::{Part, fused, paired};
use crate::state::{CodeMode, CodeSize, Usable, Vcpu, seg};
use crate::table::{Row, TABLE, Unit};
use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, Instruction, OpKind, Register};
use lockstep_fabric::Bus;

/// The most instructions of a block.
const LONGEST_BLOCK: usize = 64;
/// The most bytes of an instruction.
pub(crate) const LONGEST_INSTRUCTION: usize = 15;

/// Lowered instructions from one place.
pub(crate) struct Lowered {
    /// The instructions; empty if the first does not fit the bytes given.
    pub(crate) ops: Vec<Op>,
    /// Their length in bytes.
    pub(crate) bytes: u16,
}

/// One instruction, as iced decoded it and as it runs.
pub(crate) struct Single {
    /// As decoded; invalid if it has no end within fifteen bytes.
    pub(crate) instruction: Instruction,
    /// As it runs.
    pub(crate) op: Op,
    /// Nothing after it belongs to its block.
    pub(crate) ends: bool,
}

/// Lowers one instruction after the other.
struct Singles<'a> {
    bytes: &'a [u8],
    decoder: Decoder<'a>,
    /// What `bytes` begins at: offsets count from zero there.
    start: u16,
    /// Bytes lowered.
    done: usize,
    mode: CodeMode,
    model: &'a CpuModel,
}

impl<'a> Singles<'a> {
    fn new(bytes: &'a [u8], start: u16, mode: CodeMode, model: &'a CpuModel) -> Self {
        let decoder = Decoder::with_ip(mode.size().bits(), bytes, start.into(), options(model));
        Self { bytes, decoder, start, done: 0, mode, model }
    }

    /// Offset of the next.
    fn end(&self) -> u16 {
        self.start + self.done as u16
    }
}

impl Iterator for Singles<'_> {
    type Item = Single;

    /// The next, or nothing if `bytes` does not hold it whole.
    fn next(&mut self) -> Option<Single> {
        if !self.decoder.can_decode() {
            return None;
        }
        let mut instruction = Instruction::default();
        self.decoder.decode_out(&mut instruction);
        if self.decoder.last_error() == DecoderError::NoMoreBytes {
            if self.bytes.len() - self.done < LONGEST_INSTRUCTION {
                return None;
            }
            // Fifteen bytes and no end: too long.
            self.done += LONGEST_INSTRUCTION;
            let op = faulting(too_long, self.end(), LONGEST_INSTRUCTION as u8, self.mode);
            return Some(Single { instruction: Instruction::default(), op, ends: true });
        }
        let begin = self.done;
        self.done += instruction.len();
        let (mut op, ends) = lower(&instruction, self.end(), self.mode, self.model);
        if let Some(opcode) = x87_opcode(&self.bytes[begin..self.done], self.mode) {
            op.imm = opcode.into();
        }
        Some(Single { instruction, op, ends })
    }
}

/// Lowers each of the instructions in `bytes` by itself, `start` bytes into their page: what [`Op`] says of a block's first
/// byte is true of the page's.
pub(crate) fn lower_singly(bytes: &[u8], start: u16, mode: CodeMode, model: &CpuModel) -> Vec<Single> {
    Singles::new(bytes, start, mode, model).collect()
}

/// Lowers instructions from `bytes` up to the first that ends a block, or that `bytes` does not hold whole.
pub(crate) fn lower_block(bytes: &[u8], mode: CodeMode, model: &CpuModel, most: usize) -> Lowered {
    let mut singles = Singles::new(bytes, 0, mode, model);
    let mut ops: Vec<Op> = Vec::with_capacity(8);
    // What each of them can be in a pair.
    let mut parts = Vec::with_capacity(8);
    // The instruction before, if it may be fused with the one in hand.
    let mut before = Code::INVALID;
    while ops.len() < most.min(LONGEST_BLOCK) {
        let Some(Single { instruction, op, ends }) = singles.next() else { break };
        if let Some(run) = fused(before, instruction.code())
            && let Some(first) = ops.last_mut()
        {
            fuse(first, &op, run);
            before = Code::INVALID;
            if let Some(part) = parts.last_mut() {
                *part = None;
            }
            continue;
        }
        let memory = has_memory_operand(&instruction);
        before = if mode.size() == CodeSize::Bits64 && !memory { instruction.code() } else { Code::INVALID };
        parts.push(Part::of(instruction.code(), memory, &op));
        ops.push(op);
        if ends {
            break;
        }
    }
    Lowered { ops: in_pairs(ops, &parts), bytes: singles.end() }
}

/// Makes one of each two neighbours that can be paired, from the first on.
fn in_pairs(ops: Vec<Op>, parts: &[Option<Part>]) -> Vec<Op> {
    let mut pairs = Vec::with_capacity(ops.len());
    // The one before, as long as it is single.
    let mut single = None;
    for (op, part) in ops.into_iter().zip(parts.iter().copied().chain(std::iter::repeat(None))) {
        let pair = match (pairs.last(), single, part) {
            (Some(before), Some(what), Some(part)) => paired((before, what), (&op, part)),
            _ => None,
        };
        match (pair, pairs.last_mut()) {
            (Some(pair), Some(last)) => {
                *last = pair;
                single = None;
            }
            _ => {
                pairs.push(op);
                single = part;
            }
        }
    }
    pairs
}

/// Makes one of an operation without memory operand and the conditional branch after it. Only the branch can be what the
/// instruction pointer goes back to: the operation never faults.
fn fuse(first: &mut Op, branch: &Op, run: Handler) {
    first.run = run;
    first.disp = branch.imm;
    first.next = branch.next;
    first.len = branch.len;
    first.ticks += branch.ticks;
}

fn has_memory_operand(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory)
}

/// Where TZCNT, LZCNT and WBNOINVD are not announced, their prefix means nothing: BSF, BSR and WBINVD.
fn options(model: &CpuModel) -> u32 {
    let without = |code, option| if model.announces(code) { DecoderOptions::NONE } else { option };
    without(Code::Tzcnt_r32_rm32, DecoderOptions::NO_MPFX_0FBC)
        | without(Code::Lzcnt_r32_rm32, DecoderOptions::NO_MPFX_0FBD)
        | without(Code::Wbnoinvd, DecoderOptions::NO_WBNOINVD)
}

fn lower(instruction: &Instruction, next: u16, mode: CodeMode, model: &CpuModel) -> (Op, bool) {
    let len = instruction.len() as u8;
    let code = instruction.code();
    let row = TABLE.row(code).filter(|row| row.hint || model.announces(code));
    let Some(row) = row else {
        return (faulting(undefined, next, len, mode), true);
    };
    if let Some(handler) = blocked(row, mode) {
        return (faulting(handler, next, len, mode), true);
    }
    let mut op = faulting(row.reg, next, len, mode);
    let mut registers = [Slot::Zero; 3];
    let mut found = 0;
    let mut immediates = 0;
    for i in 0..instruction.op_count() {
        match instruction.op_kind(i) {
            OpKind::Register => {
                let register = instruction.op_register(i);
                let high = match found {
                    0 => Traits::HIGH_DST,
                    1 => Traits::HIGH_SRC,
                    _ => Traits::empty(),
                };
                let (slot, is_high) = slot_of(register);
                if is_high {
                    op.traits |= high;
                }
                if let Some(place) = registers.get_mut(found) {
                    *place = slot;
                }
                found += 1;
            }
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                op.imm = instruction.near_branch_target();
            }
            OpKind::FarBranch16 => {
                op.imm = instruction.far_branch16().into();
                op.disp = instruction.far_branch_selector().into();
            }
            OpKind::FarBranch32 => {
                op.imm = instruction.far_branch32().into();
                op.disp = instruction.far_branch_selector().into();
            }
            OpKind::Memory => {
                lower_memory(instruction, &mut op, mode);
                op.run = row.mem;
                if i == 0 {
                    op.traits |= Traits::MEMORY;
                }
            }
            OpKind::Immediate8_2nd => {
                op.imm = op.imm & 0xffff
                    | u64::from(instruction.immediate8_2nd()) << if code_is_enter(code) { 16 } else { 8 }
            }
            OpKind::MemorySegSI
            | OpKind::MemorySegESI
            | OpKind::MemorySegRSI
            | OpKind::MemorySegDI
            | OpKind::MemorySegEDI
            | OpKind::MemorySegRDI
            | OpKind::MemoryESDI
            | OpKind::MemoryESEDI
            | OpKind::MemoryESRDI => {
                op.seg = segment_index(instruction.memory_segment());
                string_address_size(instruction.op_kind(i), &mut op);
            }
            _ => {
                immediates += 1;
                debug_assert_eq!(immediates, 1, "{code:?}");
                op.imm = instruction.immediate(i);
            }
        }
    }
    [op.dst, op.src, op.third] = registers;
    let prefix = |on: bool, what| if on { what } else { Traits::empty() };
    op.traits |= prefix(instruction.has_lock_prefix(), Traits::LOCK)
        | prefix(instruction.has_rep_prefix(), Traits::REP)
        | prefix(instruction.has_repne_prefix(), Traits::REPNE);
    let repeats = row.repeats && op.is(Traits::REP | Traits::REPNE);
    (op, row.ends || repeats)
}

/// The eleven bits that the x87 remembers of an instruction: the low three of the escape byte, then the ModRM byte.
/// x87 instructions have no immediate, so the op has room for it.
fn x87_opcode(instruction: &[u8], mode: CodeMode) -> Option<u16> {
    let is_prefix = |byte: &u8| {
        matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
            || mode.size() == CodeSize::Bits64 && byte & 0xf0 == 0x40
    };
    let start = instruction.iter().position(|byte| !is_prefix(byte))?;
    match instruction.get(start..start + 2)? {
        [escape @ 0xd8..=0xdf, modrm] => Some(u16::from(escape & 7) << 8 | u16::from(*modrm)),
        _ => None,
    }
}

fn code_is_enter(code: Code) -> bool {
    matches!(code, Code::Enterw_imm16_imm8 | Code::Enterd_imm16_imm8 | Code::Enterq_imm16_imm8)
}

/// The fault that the instruction's unit raises in this mode, if any.
fn blocked(row: &Row, mode: CodeMode) -> Option<Handler> {
    let sse = |usable| match usable {
        Usable::Yes => None,
        Usable::Undefined => Some(undefined as Handler),
        Usable::NotAvailable => Some(not_available as Handler),
    };
    match row.unit {
        Unit::Integer => None,
        Unit::X87 => mode.x87_blocked().then_some(not_available as Handler),
        Unit::Sse => sse(mode.sse()),
        Unit::Mmx => mode.x87_blocked().then_some(mmx_blocked as Handler),
    }
}

fn undefined(_: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    Err(Fault::UD)
}

fn not_available(_: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    Err(Fault::NM)
}

fn mmx_blocked(cpu: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    Err(if cpu.cr0.contains(crate::state::Cr0::EM) { Fault::UD } else { Fault::NM })
}

fn too_long(_: &mut Vcpu, _: &mut Bus, _: &Op) -> Result<(), Fault> {
    Err(Fault::GP0)
}

fn faulting(run: Handler, next: u16, len: u8, mode: CodeMode) -> Op {
    let mut traits = match mode.size() {
        CodeSize::Bits64 => Traits::CODE64,
        CodeSize::Bits32 => Traits::empty(),
        CodeSize::Bits16 => Traits::CODE16,
    };
    if mode.stack32() {
        traits |= Traits::STACK32;
    }
    Op {
        run,
        imm: 0,
        disp: 0,
        next,
        traits,
        dst: Slot::Zero,
        src: Slot::Zero,
        third: Slot::Zero,
        base: Slot::Zero,
        index: Slot::Zero,
        scale: 0,
        seg: seg::DS as u8,
        len,
        ticks: 1,
    }
}

fn lower_memory(instruction: &Instruction, op: &mut Op, mode: CodeMode) {
    let base = instruction.memory_base();
    let index = instruction.memory_index();
    op.disp = instruction.memory_displacement64();
    op.seg = segment_index(effective_segment(instruction, mode));
    op.scale = instruction.memory_index_scale().trailing_zeros() as u8;
    op.index = if index == Register::None { Slot::Zero } else { slot_of(index).0 };
    let address_bits = match base {
        Register::None => match index {
            Register::None => absolute_address_bits(instruction, mode),
            r => register_bits(r),
        },
        r => register_bits(r),
    };
    op.base = match base {
        Register::None => Slot::Zero,
        Register::RIP | Register::EIP => Slot::Ip,
        r => slot_of(r).0,
    };
    match address_bits {
        16 => op.traits |= Traits::ADDRESS16,
        32 => op.traits |= Traits::ADDRESS32,
        _ => {
            if mode.size() == CodeSize::Bits64 && usize::from(op.seg) != seg::FS && usize::from(op.seg) != seg::GS {
                op.traits |= Traits::FLAT;
            }
        }
    }
}

/// In 64-bit mode, prefixes that name ES, CS, SS or DS mean nothing: not even which fault a bad address raises.
fn effective_segment(instruction: &Instruction, mode: CodeMode) -> Register {
    let ignored = matches!(instruction.segment_prefix(), Register::ES | Register::CS | Register::SS | Register::DS);
    if mode.size() != CodeSize::Bits64 || !ignored {
        return instruction.memory_segment();
    }
    match instruction.memory_base() {
        Register::RSP | Register::RBP | Register::ESP | Register::EBP => Register::SS,
        _ => Register::DS,
    }
}

fn absolute_address_bits(instruction: &Instruction, mode: CodeMode) -> u32 {
    match instruction.memory_displ_size() {
        2 => 16,
        4 if mode.size() != CodeSize::Bits64 => 32,
        // A 32-bit displacement in 64-bit code: iced has sign-extended it if the address size is 64.
        4 => 32,
        8 => 64,
        _ => mode.size().bits(),
    }
}

fn register_bits(register: Register) -> u32 {
    match register {
        Register::RIP => 64,
        Register::EIP => 32,
        r => r.size() as u32 * 8,
    }
}

fn string_address_size(kind: OpKind, op: &mut Op) {
    match kind {
        OpKind::MemorySegSI | OpKind::MemorySegDI | OpKind::MemoryESDI => op.traits |= Traits::ADDRESS16,
        OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI => op.traits |= Traits::ADDRESS32,
        _ => {}
    }
}

/// Index into `Vcpu::seg`.
fn segment_index(register: Register) -> u8 {
    match register {
        Register::ES => seg::ES as u8,
        Register::CS => seg::CS as u8,
        Register::SS => seg::SS as u8,
        Register::FS => seg::FS as u8,
        Register::GS => seg::GS as u8,
        _ => seg::DS as u8,
    }
}

/// A register operand's slot, and whether it is a high byte register.
fn slot_of(register: Register) -> (Slot, bool) {
    let high = matches!(register, Register::AH | Register::CH | Register::DH | Register::BH);
    // Byte registers are numbered in an order of their own.
    let number = if register.is_gpr8() { register.full_register().number() } else { register.number() };
    (Slot::of(number), high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::CodeMode;

    fn lowered(bytes: &[u8], size: CodeSize) -> Op {
        let mode = CodeMode::new(size, true, Usable::Yes, false, true);
        lower_block(bytes, mode, &CpuModel::max(), 1).ops.remove(0)
    }

    #[test]
    fn byte_registers_are_named_by_slot_and_half() {
        let op = lowered(&[0x00, 0xe1], CodeSize::Bits64); // add cl, ah
        assert_eq!((op.dst, op.src), (Slot::RCX, Slot::RAX));
        assert!(op.is(Traits::HIGH_SRC) && !op.is(Traits::HIGH_DST));
        let op = lowered(&[0x40, 0x00, 0xe1], CodeSize::Bits64); // add cl, spl
        assert_eq!(op.src, Slot::RSP);
        assert!(!op.is(Traits::HIGH_SRC));
    }

    #[test]
    fn rip_relative_operands_hang_on_the_block_s_first_byte() {
        let op = lowered(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0], CodeSize::Bits64); // mov rax, [rip+0x10]
        assert_eq!((op.base, op.disp), (Slot::Ip, 0x17));
        assert!(op.is(Traits::FLAT));
    }

    #[test]
    fn absolute_addresses_have_the_width_of_their_encoding() {
        let op = lowered(&[0x8b, 0x04, 0x25, 0, 0, 0, 0x80], CodeSize::Bits64); // mov eax, [0xffffffff80000000]
        assert_eq!(op.disp, 0xffff_ffff_8000_0000);
        assert!(op.is(Traits::FLAT));
        let op = lowered(&[0x67, 0x8b, 0x04, 0x25, 0, 0, 0, 0x80], CodeSize::Bits64); // mov eax, [0x80000000], a32
        assert!(op.is(Traits::ADDRESS32));
    }

    #[test]
    fn segment_overrides_are_kept_and_take_the_slow_path() {
        let op = lowered(&[0x65, 0x8b, 0x00], CodeSize::Bits64); // mov eax, gs:[rax]
        assert_eq!(usize::from(op.seg), seg::GS);
        assert!(!op.is(Traits::FLAT));
    }

    #[test]
    fn an_instruction_over_fifteen_bytes_is_a_protection_fault_not_an_endless_wait() {
        let bytes = [0x66; 32];
        let mode = CodeMode::new(CodeSize::Bits64, true, Usable::Yes, false, true);
        assert!(!lower_block(&bytes, mode, &CpuModel::max(), 8).ops.is_empty());
        assert!(lower_block(&bytes[..10], mode, &CpuModel::max(), 8).ops.is_empty(), "more bytes are needed");
    }
}
