//! `struct elf_prstatus` as Linux has it for x86-64 and i386 (include/uapi/linux/elfcore.h, asm/user_64.h, asm/user_32.h).

use crate::guest::general::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP};
use crate::guest::segment::{CS, DS, ES, FS, GS, SS};
use crate::record::Record;
use crate::{Architecture, Registers};

/// Signal information, up to `pr_pid`.
const BEFORE_PID: [usize; 2] = [24, 32];
/// `pr_ppid` and times, between `pr_pid` and `pr_reg`.
const AFTER_PID: [usize; 2] = [44, 76];
/// `pr_fpvalid` and padding.
const AFTER_REGISTERS: [usize; 2] = [4, 8];

/// The status of the processor with a number, which readers take for a process number and which begins at 1.
pub(super) fn status(architecture: Architecture, number: u32, registers: &Registers) -> Vec<u8> {
    let long = architecture.long_mode();
    let width = usize::from(long);
    let mut record = Record::default();
    record.zeroes(BEFORE_PID[width]).u32(number).zeroes(AFTER_PID[width]);
    if long {
        x86_64(&mut record, registers);
    } else {
        i386(&mut record, registers);
    }
    record.zeroes(AFTER_REGISTERS[width]);
    record.finish()
}

/// `struct user_regs_struct` of x86-64.
fn x86_64(record: &mut Record, registers: &Registers) {
    let general = registers.general;
    let selector = |number: usize| u64::from(registers.segments[number].selector);
    for number in [15, 14, 13, 12, RBP, RBX, 11, 10, 9, 8, RAX, RCX, RDX, RSI, RDI] {
        record.u64(general[number]);
    }
    // orig_rax: no system call is being restarted.
    record.u64(0).u64(registers.rip).u64(selector(CS)).u64(registers.rflags).u64(general[RSP]).u64(selector(SS));
    record.u64(registers.segments[FS].base).u64(registers.segments[GS].base);
    for number in [DS, ES, FS, GS] {
        record.u64(selector(number));
    }
}

/// `struct user_regs_struct` of i386.
fn i386(record: &mut Record, registers: &Registers) {
    let general = |number: usize| registers.general[number] as u32;
    let selector = |number: usize| u32::from(registers.segments[number].selector);
    for number in [RBX, RCX, RDX, RSI, RDI, RBP, RAX] {
        record.u32(general(number));
    }
    for number in [DS, ES, FS, GS] {
        record.u32(selector(number));
    }
    record.u32(0).u32(registers.rip as u32).u32(selector(CS)).u32(registers.rflags as u32);
    record.u32(general(RSP)).u32(selector(SS));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SegmentRegister;
    use crate::record::{u32_at, u64_at};

    fn numbered() -> Registers {
        let segment = |n: u16| SegmentRegister { selector: n, base: u64::from(n) << 32, ..SegmentRegister::default() };
        Registers {
            general: std::array::from_fn(|n| 0x100 + n as u64),
            rip: 0x200,
            rflags: 0x202,
            segments: std::array::from_fn(|n| segment(0x10 + n as u16)),
            ..Registers::default()
        }
    }

    #[test]
    fn on_x86_64_registers_lie_where_gdb_looks_for_them() {
        let status = status(Architecture::X86_64, 3, &numbered());
        assert_eq!(status.len(), 336);
        assert_eq!(u32_at(&status, 32), Some(3));
        let register = |index: usize| u64_at(&status, 112 + 8 * index).unwrap();
        assert_eq!((register(0), register(10), register(14)), (0x10f, 0x100, 0x107), "r15, rax, rdi");
        assert_eq!((register(16), register(17), register(18)), (0x200, 0x11, 0x202), "rip, cs, rflags");
        assert_eq!((register(19), register(20)), (0x104, 0x12), "rsp, ss");
        assert_eq!((register(21), register(22)), (0x14 << 32, 0x15 << 32), "fs_base, gs_base");
        assert_eq!((register(23), register(26)), (0x13, 0x15), "ds, gs");
    }

    #[test]
    fn on_i386_registers_lie_where_gdb_looks_for_them() {
        let status = status(Architecture::I386, 1, &numbered());
        assert_eq!(status.len(), 144);
        assert_eq!(u32_at(&status, 24), Some(1));
        let register = |index: usize| u32_at(&status, 72 + 4 * index).unwrap();
        assert_eq!((register(0), register(6), register(7)), (0x103, 0x100, 0x13), "ebx, eax, ds");
        assert_eq!((register(12), register(15), register(16)), (0x200, 0x104, 0x12), "eip, esp, ss");
    }
}
