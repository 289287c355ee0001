//! The registers that debuggers name, as in the GDB target description of QEMU's x86-64 (`i386-64bit.xml`): in its order,
//! under its names, and as wide.

use crate::descriptor::{Descriptor, is_null};
use crate::float::F80;
use crate::state::{Cr0, Cr4, Efer, Rflags, Rights, Segment, Vcpu, seg};
use lockstep_fabric::{Bus, Cpu, Space, Width};

/// MXCSR bits that exist.
const MXCSR_MASK: u32 = 0xffff;

/// A vCPU's task-priority register in its private space.
const CR8_ADDRESS: u64 = 0x1_0000_0008;

/// One register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// As debuggers spell it.
    pub name: &'static str,
    /// Bytes.
    pub width: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    General(usize),
    Ip,
    Flags,
    Selector(usize),
    Base(usize),
    KernelGsBase,
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    Cr8,
    Efer,
    Stack(u8),
    Control,
    Status,
    Tags,
    InstructionSegment,
    Instruction,
    OperandSegment,
    Operand,
    Opcode,
    Xmm(usize),
    Mxcsr,
}

const fn row(name: &'static str, width: usize, what: What) -> Register {
    Register { name, width, what }
}

/// All of them.
#[rustfmt::skip]
pub const REGISTERS: &[Register] = &[
    row("rax", 8, What::General(0)), row("rbx", 8, What::General(3)), row("rcx", 8, What::General(1)),
    row("rdx", 8, What::General(2)), row("rsi", 8, What::General(6)), row("rdi", 8, What::General(7)),
    row("rbp", 8, What::General(5)), row("rsp", 8, What::General(4)), row("r8", 8, What::General(8)),
    row("r9", 8, What::General(9)), row("r10", 8, What::General(10)), row("r11", 8, What::General(11)),
    row("r12", 8, What::General(12)), row("r13", 8, What::General(13)), row("r14", 8, What::General(14)),
    row("r15", 8, What::General(15)), row("rip", 8, What::Ip), row("eflags", 4, What::Flags),
    row("cs", 4, What::Selector(seg::CS)), row("ss", 4, What::Selector(seg::SS)), row("ds", 4, What::Selector(seg::DS)),
    row("es", 4, What::Selector(seg::ES)), row("fs", 4, What::Selector(seg::FS)), row("gs", 4, What::Selector(seg::GS)),
    row("fs_base", 8, What::Base(seg::FS)), row("gs_base", 8, What::Base(seg::GS)),
    row("k_gs_base", 8, What::KernelGsBase), row("cr0", 8, What::Cr0), row("cr2", 8, What::Cr2),
    row("cr3", 8, What::Cr3), row("cr4", 8, What::Cr4), row("cr8", 8, What::Cr8), row("efer", 8, What::Efer),
    row("st0", 10, What::Stack(0)), row("st1", 10, What::Stack(1)), row("st2", 10, What::Stack(2)),
    row("st3", 10, What::Stack(3)), row("st4", 10, What::Stack(4)), row("st5", 10, What::Stack(5)),
    row("st6", 10, What::Stack(6)), row("st7", 10, What::Stack(7)), row("fctrl", 4, What::Control),
    row("fstat", 4, What::Status), row("ftag", 4, What::Tags), row("fiseg", 4, What::InstructionSegment),
    row("fioff", 4, What::Instruction), row("foseg", 4, What::OperandSegment), row("fooff", 4, What::Operand),
    row("fop", 4, What::Opcode), row("xmm0", 16, What::Xmm(0)), row("xmm1", 16, What::Xmm(1)),
    row("xmm2", 16, What::Xmm(2)), row("xmm3", 16, What::Xmm(3)), row("xmm4", 16, What::Xmm(4)),
    row("xmm5", 16, What::Xmm(5)), row("xmm6", 16, What::Xmm(6)), row("xmm7", 16, What::Xmm(7)),
    row("xmm8", 16, What::Xmm(8)), row("xmm9", 16, What::Xmm(9)), row("xmm10", 16, What::Xmm(10)),
    row("xmm11", 16, What::Xmm(11)), row("xmm12", 16, What::Xmm(12)), row("xmm13", 16, What::Xmm(13)),
    row("xmm14", 16, What::Xmm(14)), row("xmm15", 16, What::Xmm(15)), row("mxcsr", 4, What::Mxcsr),
];

impl Register {
    /// The register called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        REGISTERS.iter().find(|register| register.name == name)
    }

    /// Whether it holds a selector.
    pub fn is_selector(&self) -> bool {
        matches!(self.what, What::Selector(_))
    }
}

/// Outside of 64-bit code the upper halves are not the guest's to see: 0, as QEMU shows them.
fn as_seen(cpu: &Vcpu, value: u64) -> u64 {
    if cpu.code64() { value } else { value & 0xffff_ffff }
}

impl Vcpu {
    /// The linear address of the next instruction.
    pub fn program_counter(&self) -> u64 {
        if self.code64() { self.ip } else { self.seg[seg::CS].base.wrapping_add(self.ip) & 0xffff_ffff }
    }

    /// A register's value. Between two runs.
    pub fn register(&self, bus: &mut Bus, register: &Register) -> u128 {
        let value = match register.what {
            What::General(number) if number >= 8 && !self.code64() => 0,
            What::General(number) => as_seen(self, self.gpr[number]),
            What::Ip => as_seen(self, self.ip),
            What::Flags => self.flags.get().bits(),
            What::Selector(index) => self.seg[index].selector.into(),
            What::Base(index) => self.seg[index].base,
            What::KernelGsBase => self.msrs.kernel_gs_base,
            What::Cr0 => self.cr0.bits(),
            What::Cr2 => self.cr2,
            What::Cr3 => self.cr3,
            What::Cr4 => self.cr4.bits(),
            // Reading it changes nothing.
            What::Cr8 => bus.read(Space::Private, CR8_ADDRESS, Width::Qword, Cpu(self.index)).unwrap_or(0),
            What::Efer => self.efer.bits(),
            What::Stack(number) => {
                let F80 { sign_exp, sig } = self.fpu.st(number);
                return u128::from(sign_exp) << 64 | u128::from(sig);
            }
            What::Control => self.fpu.control.into(),
            What::Status => self.fpu.status_word().into(),
            What::Tags => self.fpu.tag_word().into(),
            What::InstructionSegment => self.fpu.instruction_segment.into(),
            What::Instruction => self.fpu.instruction & 0xffff_ffff,
            What::OperandSegment => self.fpu.operand_segment.into(),
            What::Operand => self.fpu.operand & 0xffff_ffff,
            What::Opcode => self.fpu.opcode.into(),
            What::Xmm(number) => return self.vec[number].xmm(),
            What::Mxcsr => self.mxcsr.into(),
        };
        value.into()
    }

    /// Puts a value into a register, as no instruction could fail to: what does not exist is dropped. False if it is a selector of
    /// no segment, and then nothing has changed. Between two runs.
    pub fn set_register(&mut self, bus: &mut Bus, register: &Register, value: u128) -> bool {
        let low = value as u64;
        match register.what {
            What::General(number) if number >= 8 && !self.code64() => {}
            What::General(number) => self.gpr[number] = as_seen(self, low),
            What::Ip => self.ip = as_seen(self, low),
            What::Flags => {
                const FIXED: u64 = 2;
                self.flags.put(Rflags::from_bits_truncate(low | FIXED));
            }
            What::Selector(index) => {
                let Some(segment) = self.segment_for(bus, index, low as u16) else { return false };
                self.seg[index] = segment;
            }
            What::Base(index) => self.seg[index].base = low,
            What::KernelGsBase => self.msrs.kernel_gs_base = low,
            What::Cr0 => self.cr0 = Cr0::from_bits_truncate(low) | Cr0::ET,
            What::Cr2 => self.cr2 = low,
            What::Cr3 => self.cr3 = low & !(u64::MAX << self.model.physical_bits),
            What::Cr4 => self.cr4 = Cr4::from_bits_truncate(low) & self.model.cr4(),
            What::Cr8 => {
                // A value that does not exist is refused there.
                let _ = bus.write(Space::Private, CR8_ADDRESS, Width::Qword, low, Cpu(self.index));
            }
            What::Efer => self.efer = Efer::from_bits_truncate(low),
            What::Stack(number) => self.fpu.put(number, F80::new((value >> 64) as u16, low)),
            What::Control => self.fpu.set_control_word(low as u16),
            What::Status => self.fpu.set_status_word(low as u16),
            What::Tags => self.fpu.set_tag_word(low as u16),
            What::InstructionSegment => self.fpu.instruction_segment = low as u16,
            What::Instruction => self.fpu.instruction = low,
            What::OperandSegment => self.fpu.operand_segment = low as u16,
            What::Operand => self.fpu.operand = low,
            What::Opcode => self.fpu.opcode = low as u16 & 0x7ff,
            What::Xmm(number) => self.vec[number].set_xmm(value),
            What::Mxcsr => self.mxcsr = low as u32 & MXCSR_MASK,
        }
        if matches!(register.what, What::Cr0 | What::Cr3 | What::Cr4 | What::Efer) {
            self.flush_tlb();
        }
        self.refresh();
        true
    }

    /// What loading `selector` would leave in a segment register, without any check of rights; `None` if its table holds
    /// nothing for it.
    fn segment_for(&self, bus: &Bus, index: usize, selector: u16) -> Option<Segment> {
        if !self.protected() {
            return Some(self.seg[index].real(selector));
        }
        if is_null(selector) {
            return Some(Segment { selector, rights: Rights(0), limit: 0, base: 0 });
        }
        const LEN: u64 = 8;
        let at = self.descriptor_address(selector, LEN)?;
        let mut bytes = [0; LEN as usize];
        (self.peek_code(bus, at, &mut bytes) == bytes.len())
            .then(|| Descriptor(u64::from_le_bytes(bytes)).segment(selector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::*;

    fn named(name: &str) -> &'static Register {
        Register::named(name).expect("it is one")
    }

    #[test]
    fn what_is_put_into_a_register_is_read_back() {
        let mut m = Machine::new(Mode::Long);
        for register in REGISTERS {
            let value: u128 = match register.name {
                "eflags" => 0x246,
                "cs" => CODE64.into(),
                "ss" | "ds" | "es" | "fs" | "gs" => DATA.into(),
                // These rule over the mode, and there is no local APIC.
                "cr0" | "cr4" | "efer" | "cr8" => m.cpu.register(&mut m.bus, register),
                "fctrl" => 0x37f,
                "fstat" | "ftag" => 0,
                "fop" => 0x123,
                "fiseg" | "foseg" => 0x10,
                "mxcsr" => 0x1f80,
                // One: FTAG tells what a register holds, and zero stands for a normal number.
                _ if register.width == 10 => 0x3fff_8000_0000_0000_0000,
                _ => 0x1234_5678 & ((1u128 << (8 * register.width - 1)) - 1),
            };
            assert!(m.cpu.set_register(&mut m.bus, register, value), "{}", register.name);
            assert_eq!(m.cpu.register(&mut m.bus, register), value, "{}", register.name);
        }
    }

    #[test]
    fn a_selector_brings_its_descriptor_along_or_is_refused() {
        let mut m = Machine::new(Mode::Protected);
        assert!(m.cpu.set_register(&mut m.bus, named("es"), USER_DATA.into()));
        assert_eq!((m.cpu.seg[seg::ES].selector, m.cpu.seg[seg::ES].limit), (USER_DATA, u32::MAX));
        assert!(!m.cpu.set_register(&mut m.bus, named("es"), 0xfff8));
        assert_eq!(m.cpu.seg[seg::ES].selector, USER_DATA);
    }

    #[test]
    fn outside_of_64_bit_code_only_32_bits_are_seen() {
        let mut m = Machine::new(Mode::Protected);
        m.cpu.gpr[0] = u64::MAX;
        m.cpu.gpr[8] = 1;
        assert_eq!(m.cpu.register(&mut m.bus, named("rax")), 0xffff_ffff);
        assert_eq!(m.cpu.register(&mut m.bus, named("r8")), 0);
    }
}
