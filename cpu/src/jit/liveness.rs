//! Which status flags are read before they are written again.

use crate::decode::Single;
use iced_x86::{Code, Instruction, Mnemonic, OpKind, RflagsBits};

/// A set of status flags, as `RflagsBits`.
pub(super) type FlagSet = u32;

/// The six status flags.
pub(super) const ALL: FlagSet =
    RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::CF | RflagsBits::PF;

/// What an instruction does to the status flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// It depends on them.
    pub(super) reads: FlagSet,
    /// It may change them, undefined ones included.
    pub(super) writes: FlagSet,
    /// Of those, the ones that it changes whatever the operands are.
    pub(super) kills: FlagSet,
    /// The manual does not say what it leaves in them.
    pub(super) undefined: FlagSet,
}

/// What `instruction` does to the status flags.
pub(super) fn effect(instruction: &Instruction) -> Effect {
    let writes = instruction.rflags_modified() & ALL;
    let mut effect = Effect {
        reads: instruction.rflags_read() & ALL,
        writes,
        kills: writes,
        undefined: instruction.rflags_undefined() & ALL,
    };
    if count_may_be_zero(instruction) {
        effect.kills = 0;
    }
    if is_bit_test(instruction) {
        // What the manual leaves undefined, Lockstep leaves as it was.
        effect.writes = RflagsBits::CF;
        effect.kills = RflagsBits::CF;
    }
    effect
}

fn is_bit_test(instruction: &Instruction) -> bool {
    use Mnemonic::{Bt, Btc, Btr, Bts};
    matches!(instruction.mnemonic(), Bt | Btc | Btr | Bts)
}

/// Shifts and rotates by a count in CL, or a constant one of zero, leave the flags where the count is zero.
fn count_may_be_zero(instruction: &Instruction) -> bool {
    use Mnemonic::{Rcl, Rcr, Rol, Ror, Sal, Sar, Shl, Shld, Shr, Shrd};
    let last = instruction.op_count().saturating_sub(1);
    matches!(instruction.mnemonic(), Rcl | Rcr | Rol | Ror | Sal | Sar | Shl | Shld | Shr | Shrd)
        && (instruction.op_kind(last) != OpKind::Immediate8 || instruction.immediate8() & 0x3f == 0)
}

/// Whether the guest's state may be looked at before the instruction is through: it touches memory, may fault, or leaves.
fn shows_state(single: &Single, native: bool) -> bool {
    let instruction = &single.instruction;
    !native || single.ends || instruction.is_jcc_short_or_near() || touches_memory(instruction)
}

/// Whether it has an operand in memory, named or implied.
pub(super) fn touches_memory(instruction: &Instruction) -> bool {
    let named = (0..instruction.op_count()).any(|i| instruction.op_kind(i) == OpKind::Memory);
    named && !matches!(instruction.code(), Code::Lea_r32_m | Code::Lea_r64_m) || instruction.is_stack_instruction()
}

/// For each instruction the flags that are live after it. All are at the end, and wherever the state shows. `native` says of
/// an instruction whether it runs as itself.
pub(super) fn live_after(singles: &[Single], effects: &[Effect], native: &[bool]) -> Vec<FlagSet> {
    let mut live = vec![ALL; singles.len()];
    let mut after = ALL;
    for (i, single) in singles.iter().enumerate().rev() {
        live[i] = after;
        after = if shows_state(single, native[i]) { ALL } else { after & !effects[i].kills | effects[i].reads };
    }
    live
}
