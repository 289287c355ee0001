//! SSE's moves and integer operations: as themselves, on two of the host's vector registers that are filled from the guest's and
//! stored back. Floating-point arithmetic is left to its handlers, which have the guest's MXCSR.

use super::assembler::Condition;
use super::context::{BASE, Field, field_of_vector};
use super::native::Shape;
use super::registers::{Host, place};
use super::translate::Translation;
use crate::decode::Single;
use iced_x86::{Code, CpuidFeature, Instruction, MemoryOperand, Mnemonic, OpKind, Register};

/// What is asked of a memory operand's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alignment {
    Any,
    /// Sixteen bytes.
    Whole,
}

/// How an instruction on vector registers can be translated.
pub(super) fn shape(single: &Single) -> Shape {
    let instruction = &single.instruction;
    let operands = || (0..instruction.op_count()).filter(|i| instruction.op_kind(*i) == OpKind::Register);
    let known = operands().map(|i| instruction.op_register(i)).all(|r| r.is_xmm() || r.is_gpr32() || r.is_gpr64());
    let vector = operands().any(|i| instruction.op_register(i).is_xmm());
    if !known || !vector || !instruction.cpuid_features().iter().all(host_has) || !is_exact(instruction.mnemonic()) {
        return Shape::Handler;
    }
    let whole = instruction.memory_size().size() == 16 && !is_unaligned(instruction.code());
    Shape::Vector(if whole { Alignment::Whole } else { Alignment::Any })
}

fn host_has(feature: &CpuidFeature) -> bool {
    match feature {
        CpuidFeature::SSE | CpuidFeature::SSE2 => true,
        CpuidFeature::SSE3 => std::is_x86_feature_detected!("sse3"),
        CpuidFeature::SSSE3 => std::is_x86_feature_detected!("ssse3"),
        CpuidFeature::SSE4_1 => std::is_x86_feature_detected!("sse4.1"),
        _ => false,
    }
}

fn is_unaligned(code: Code) -> bool {
    matches!(
        code,
        Code::Movups_xmm_xmmm128
            | Code::Movupd_xmm_xmmm128
            | Code::Movdqu_xmm_xmmm128
            | Code::Movups_xmmm128_xmm
            | Code::Movupd_xmmm128_xmm
            | Code::Movdqu_xmmm128_xmm
            | Code::Lddqu_xmm_m128
    )
}

/// Whether the result is the same on every host and nothing but the operands counts: neither MXCSR nor flags.
#[rustfmt::skip]
fn is_exact(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(mnemonic,
        Movaps | Movapd | Movdqa | Movups | Movupd | Movdqu | Lddqu | Movss | Movsd | Movd | Movq | Movlps | Movlpd | Movhps
        | Movhpd | Movhlps | Movlhps | Movntdq | Movntps | Movntpd | Pmovmskb | Movmskps | Movmskpd
        | Paddb | Paddw | Paddd | Paddq | Paddsb | Paddsw | Paddusb | Paddusw | Psubb | Psubw | Psubd | Psubq | Psubsb
        | Psubsw | Psubusb | Psubusw | Pand | Pandn | Por | Pxor | Andps | Andpd | Andnps | Andnpd | Orps | Orpd | Xorps
        | Xorpd | Pcmpeqb | Pcmpeqw | Pcmpeqd | Pcmpgtb | Pcmpgtw | Pcmpgtd | Pminub | Pminsw | Pmaxub | Pmaxsw | Pminsb
        | Pminuw | Pminsd | Pminud | Pmaxsb | Pmaxuw | Pmaxsd | Pmaxud | Pmullw | Pmulhw | Pmulhuw | Pmuludq | Pmulld
        | Pmuldq | Pmaddwd | Pavgb | Pavgw | Psadbw | Psllw | Pslld | Psllq | Psrlw | Psrld | Psrlq | Psraw | Psrad
        | Pslldq | Psrldq | Punpcklbw | Punpcklwd | Punpckldq | Punpcklqdq | Punpckhbw | Punpckhwd | Punpckhdq
        | Punpckhqdq | Packsswb | Packssdw | Packuswb | Packusdw | Pshufd | Pshuflw | Pshufhw | Shufps | Shufpd | Unpcklps
        | Unpcklpd | Unpckhps | Unpckhpd | Pshufb | Palignr | Pinsrw | Pinsrd | Pinsrq
    )
}

/// Instructions that replace all of their first operand.
fn only_writes(instruction: &Instruction) -> bool {
    use Mnemonic::{Lddqu, Movapd, Movaps, Movd, Movdqa, Movdqu, Movq, Movupd, Movups, Pshufd, Pshufhw, Pshuflw};
    let replaces = matches!(
        instruction.mnemonic(),
        Lddqu | Movapd | Movaps | Movd | Movdqa | Movdqu | Movq | Movupd | Movups | Pshufd
    );
    let loads_scalar = matches!(instruction.code(), Code::Movss_xmm_xmmm32 | Code::Movsd_xmm_xmmm64)
        && instruction.op1_kind() == OpKind::Memory;
    replaces || loads_scalar || matches!(instruction.mnemonic(), Pshufhw | Pshuflw)
}

/// Stores that bypass the caches, which no guest can see, as others.
fn cached(code: Code) -> Code {
    match code {
        Code::Movntps_m128_xmm | Code::Movntpd_m128_xmm | Code::Movntdq_m128_xmm => Code::Movaps_xmmm128_xmm,
        other => other,
    }
}

impl Translation<'_> {
    fn vector_field(&mut self, code: Code, host: Register, field: Field) {
        let memory = MemoryOperand::with_base_displ(BASE.part(8), field.into());
        let made = match code {
            Code::Movups_xmm_xmmm128 => Instruction::with2(code, host, memory),
            _ => Instruction::with2(code, memory, host),
        };
        if let Ok(made) = made {
            self.asm.instruction(&made);
        }
    }

    pub(super) fn vector(&mut self, alignment: Alignment) {
        let mut instruction = self.single().instruction;
        let slow = match alignment {
            Alignment::Any => self.memory_operand(&mut instruction),
            Alignment::Whole => self.aligned_operand(&mut instruction),
        };
        instruction.set_code(cached(instruction.code()));
        let mut target = None;
        let mut general = None;
        let mut seen: Option<(usize, Register)> = None;
        for i in 0..instruction.op_count() {
            if instruction.op_kind(i) != OpKind::Register {
                continue;
            }
            let register = instruction.op_register(i);
            if !register.is_xmm() {
                let guest = register.full_register().number();
                let host = place(guest).unwrap_or(Host::R9);
                if i == 0 {
                    general = Some((guest, host));
                } else {
                    self.read_register(guest, Host::R9);
                }
                instruction.set_op_register(i, host.part(register.size()));
                continue;
            }
            let guest = register.number();
            let host = match seen {
                Some((other, host)) if other == guest => host,
                _ => {
                    let host = if seen.is_none() { Register::XMM0 } else { Register::XMM1 };
                    let source = instruction.op_count() > 1 && instruction.op1_kind() == OpKind::Register;
                    let same = source && instruction.op1_register() == register;
                    if i != 0 || same || !only_writes(&instruction) {
                        self.vector_field(Code::Movups_xmm_xmmm128, host, field_of_vector(guest));
                    }
                    host
                }
            };
            seen = seen.or(Some((guest, host)));
            if i == 0 {
                target = Some((guest, host));
            }
            instruction.set_op_register(i, host);
        }
        self.asm.instruction(&instruction);
        if let Some((guest, host)) = target {
            self.vector_field(Code::Movups_xmmm128_xmm, host, field_of_vector(guest));
        }
        if let Some((guest, host)) = general {
            self.write_register(guest, host);
        }
        if let Some(slow) = slow {
            self.after_slow(slow);
        }
    }

    /// As [`Translation::memory_operand`], for one whose handler refuses addresses that are no multiple of sixteen.
    fn aligned_operand(&mut self, instruction: &mut Instruction) -> Option<super::assembler::Label> {
        self.memory_operand_checked(instruction, |this, slow| {
            // TEST R8B, 15
            this.asm.raw(&[0x41, 0xf6, 0xc0, 0x0f]);
            this.asm.branch(Condition::NOT_ZERO, slow);
        })
    }
}
