//! AND, OR, XOR, NOT, TEST.

use super::arith::{Binary, flags, mem_imm, mem_reg, reg_imm, reg_mem, reg_reg, rows_of};
use super::operand::change_operand;
use crate::fault::Fault;
use crate::mmu::Int;
use crate::op::Op;
use crate::state::{Rflags, Vcpu};
use crate::table::Row;
use iced_x86::Code;
use lockstep_fabric::Bus;

macro_rules! bitwise {
    ($name:ident, |$a:ident, $b:ident| $result:expr $(, $stores:expr)?) => {
        pub(crate) struct $name;
        impl Binary for $name {
            $(const STORES: bool = $stores;)?
            #[inline(always)]
            fn apply<T: Int>(cpu: &mut Vcpu, a: T, b: T) -> T {
                let ($a, $b) = (a.zero_extend(), b.zero_extend());
                let result = T::truncate($result);
                flags!(cpu, T, after_logic(result.zero_extend()));
                result
            }
        }
    };
}

bitwise!(And, |a, b| a & b);
bitwise!(Or, |a, b| a | b);
bitwise!(Xor, |a, b| a ^ b);
bitwise!(Test, |a, b| a & b, false);

fn not_reg<T: Int>(cpu: &mut Vcpu, _: &mut Bus, op: &Op) -> Result<(), Fault> {
    let a: T = cpu.read_dst(op);
    cpu.write_dst(op, T::truncate(!a.zero_extend()));
    Ok(())
}

fn not_mem<T: Int>(cpu: &mut Vcpu, bus: &mut Bus, op: &Op) -> Result<(), Fault> {
    change_operand(cpu, bus, op, |_, _, a: T| T::truncate(!a.zero_extend()))
}

macro_rules! test_rows {
    ($rows:ident; $($reg:ident: $rt:ty),*; $($imm:ident: $it:ty),*) => {
        $rows.extend([
            $(Row::new(Code::$reg, reg_reg::<Test, $rt>, mem_reg::<Test, $rt>),)*
            $(Row::new(Code::$imm, reg_imm::<Test, $it>, mem_imm::<Test, $it>),)*
        ]);
    };
}

/// The family's rows. AF, which the manual leaves undefined, is cleared.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows_of!(rows, And; And_rm8_r8 And_rm16_r16 And_rm32_r32 And_rm64_r64;
        And_r8_rm8 And_r16_rm16 And_r32_rm32 And_r64_rm64;
        And_AL_imm8: u8, And_AX_imm16: u16, And_EAX_imm32: u32, And_RAX_imm32: u64, And_rm8_imm8: u8,
        And_rm8_imm8_82: u8, And_rm16_imm16: u16, And_rm32_imm32: u32, And_rm64_imm32: u64, And_rm16_imm8: u16,
        And_rm32_imm8: u32, And_rm64_imm8: u64);
    rows_of!(rows, Or; Or_rm8_r8 Or_rm16_r16 Or_rm32_r32 Or_rm64_r64;
        Or_r8_rm8 Or_r16_rm16 Or_r32_rm32 Or_r64_rm64;
        Or_AL_imm8: u8, Or_AX_imm16: u16, Or_EAX_imm32: u32, Or_RAX_imm32: u64, Or_rm8_imm8: u8,
        Or_rm8_imm8_82: u8, Or_rm16_imm16: u16, Or_rm32_imm32: u32, Or_rm64_imm32: u64, Or_rm16_imm8: u16,
        Or_rm32_imm8: u32, Or_rm64_imm8: u64);
    rows_of!(rows, Xor; Xor_rm8_r8 Xor_rm16_r16 Xor_rm32_r32 Xor_rm64_r64;
        Xor_r8_rm8 Xor_r16_rm16 Xor_r32_rm32 Xor_r64_rm64;
        Xor_AL_imm8: u8, Xor_AX_imm16: u16, Xor_EAX_imm32: u32, Xor_RAX_imm32: u64, Xor_rm8_imm8: u8,
        Xor_rm8_imm8_82: u8, Xor_rm16_imm16: u16, Xor_rm32_imm32: u32, Xor_rm64_imm32: u64, Xor_rm16_imm8: u16,
        Xor_rm32_imm8: u32, Xor_rm64_imm8: u64);
    test_rows!(rows; Test_rm8_r8: u8, Test_rm16_r16: u16, Test_rm32_r32: u32, Test_rm64_r64: u64;
        Test_AL_imm8: u8, Test_AX_imm16: u16, Test_EAX_imm32: u32, Test_RAX_imm32: u64,
        Test_rm8_imm8: u8, Test_rm16_imm16: u16, Test_rm32_imm32: u32, Test_rm64_imm32: u64,
        Test_rm8_imm8_F6r1: u8, Test_rm16_imm16_F7r1: u16, Test_rm32_imm32_F7r1: u32, Test_rm64_imm32_F7r1: u64);
    let mut rows: Vec<Row> = rows.into_iter().map(|row: Row| row.undefined(Rflags::AF)).collect();
    rows.extend([
        Row::new(Code::Not_rm8, not_reg::<u8>, not_mem::<u8>),
        Row::new(Code::Not_rm16, not_reg::<u16>, not_mem::<u16>),
        Row::new(Code::Not_rm32, not_reg::<u32>, not_mem::<u32>),
        Row::new(Code::Not_rm64, not_reg::<u64>, not_mem::<u64>),
    ]);
    rows
}
