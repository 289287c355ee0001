use crate::fault::vector;
use crate::fixture::*;
use crate::state::{Cr0, Rflags, seg};
use iced_x86::code_asm::*;

/// The other task's TSS, and its selector.
const OTHER: u64 = 0x5000;
const OTHER_SELECTOR: u16 = FREE;
const GATE: u16 = FREE + 8;

fn machine(code: u64) -> Machine {
    let mut m = Machine::new(Mode::Protected);
    m.write64(GDT + u64::from(OTHER_SELECTOR), 0x89 << 40 | OTHER << 16 | 0x67);
    m.write64(GDT + u64::from(GATE), 0x85 << 40 | u64::from(OTHER_SELECTOR) << 16);
    m.write32(OTHER + 0x20, code as u32);
    m.write32(OTHER + 0x24, 2);
    m.write32(OTHER + 0x38, 0x7800);
    for (i, selector) in [DATA, CODE32, DATA, DATA, 0, 0].into_iter().enumerate() {
        m.write32(OTHER + 0x48 + 4 * i as u64, selector.into());
    }
    m
}

fn descriptor_type(m: &Machine, selector: u16) -> u64 {
    m.read64(GDT + u64::from(selector)) >> 40 & 0x1f
}

#[test]
fn a_called_task_returns_by_iret_to_where_it_was_called() {
    let mut m = machine(0x1800);
    m.assemble(32, |a| {
        a.mov(ebx, 7u32).unwrap();
        a.call_far_test(GATE);
        a.hlt().unwrap();
    });
    m.assemble_at(0x1800, 32, |a| {
        a.mov(ebx, 9u32).unwrap();
        a.iretd().unwrap();
    });
    m.step(2);
    assert_eq!((m.cpu.tr.selector, m.cpu.ip), (OTHER_SELECTOR, 0x1800));
    assert!(m.cpu.flags.has(Rflags::NT) && m.cpu.cr0.contains(Cr0::TS));
    assert_eq!(m.read16(OTHER), TSS_SELECTOR, "the back link");
    assert_eq!((descriptor_type(&m, OTHER_SELECTOR), descriptor_type(&m, TSS_SELECTOR)), (11, 11));
    m.run();
    assert_eq!((m.cpu.tr.selector, m.cpu.ip), (TSS_SELECTOR, CODE + 5 + 7 + 1));
    assert_eq!((m.cpu.gpr[3], m.cpu.gpr[4]), (7, STACK));
    assert_eq!((descriptor_type(&m, OTHER_SELECTOR), descriptor_type(&m, TSS_SELECTOR)), (9, 11));
    assert_eq!(m.read32(OTHER + 0x34), 9, "the task's EBX is kept for next time");
}

#[test]
fn a_jump_leaves_the_old_task_available() {
    let mut m = machine(0x1800);
    m.assemble(32, |a| a.jmp_far_test(OTHER_SELECTOR));
    m.assemble_at(0x1800, 32, |a| a.hlt().unwrap());
    m.run();
    assert_eq!((descriptor_type(&m, OTHER_SELECTOR), descriptor_type(&m, TSS_SELECTOR)), (11, 9));
    assert!(!m.cpu.flags.has(Rflags::NT));
}

#[test]
fn a_task_gate_in_the_idt_gets_the_error_code_on_the_new_stack() {
    let mut m = machine(0x1800);
    m.gate32(vector::GP, OTHER_SELECTOR, 0, 0x85);
    m.assemble(32, |a| {
        a.mov(eax, 0xf8u32).unwrap();
        a.mov(ds, ax).unwrap();
    });
    m.assemble_at(0x1800, 32, |a| a.hlt().unwrap());
    m.run();
    assert_eq!((m.cpu.gpr[4], m.stack32(0)), (0x7800 - 4, 0xf8));
    assert_eq!(u64::from(m.read32(TSS + 0x20)), CODE + 5);
}

#[test]
fn a_busy_task_cannot_be_entered() {
    let mut m = machine(0x1800);
    m.assemble(32, |a| a.jmp_far_test(TSS_SELECTOR));
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::GP), TSS_SELECTOR.into()));
}

#[test]
fn a_short_tss_is_an_invalid_one_and_nothing_has_happened() {
    let mut m = machine(0x1800);
    m.write64(GDT + u64::from(OTHER_SELECTOR), 0x89 << 40 | OTHER << 16 | 0x66);
    m.assemble(32, |a| a.jmp_far_test(OTHER_SELECTOR));
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::TS), OTHER_SELECTOR.into()));
    assert_eq!((m.cpu.tr.selector, descriptor_type(&m, OTHER_SELECTOR)), (TSS_SELECTOR, 9));
}

#[test]
fn a_bad_segment_faults_in_the_new_task() {
    let mut m = machine(0x1800);
    m.write32(OTHER + 0x48, 0xf8);
    m.assemble(32, |a| a.jmp_far_test(OTHER_SELECTOR));
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::TS), 0xf8));
    assert_eq!((m.cpu.tr.selector, m.stack32(1)), (OTHER_SELECTOR, 0x1800));
    assert_eq!(m.cpu.gpr[4], 0x7800 - 16);
}

#[test]
fn the_trap_bit_of_a_tss_raises_a_debug_exception_before_the_first_instruction() {
    let mut m = machine(0x1800);
    m.write32(OTHER + 0x64, 1);
    m.assemble(32, |a| a.jmp_far_test(OTHER_SELECTOR));
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::DB), 0x1800));
    assert_ne!(m.cpu.dr[6] & 1 << 15, 0);
}

#[test]
fn a_16_bit_task_has_16_bit_registers() {
    let mut m = machine(0x1800);
    m.write64(GDT + u64::from(OTHER_SELECTOR), 0x81 << 40 | OTHER << 16 | 0x2b);
    let words = [0x1800, 2, 1, 2, 3, 4, 0x7800, 6, 7, 8, DATA, CODE32, DATA, DATA, 0];
    for (i, word) in words.into_iter().enumerate() {
        m.write(OTHER + 0x0e + 2 * i as u64, &word.to_le_bytes());
    }
    m.assemble(32, |a| a.jmp_far_test(OTHER_SELECTOR));
    m.assemble_at(0x1800, 32, |a| a.hlt().unwrap());
    m.run();
    assert_eq!((m.cpu.ip, m.cpu.gpr[4] & 0xffff), (0x1801, 0x7800));
    assert_eq!(m.cpu.seg[seg::SS].selector, DATA);
}

/// Far transfers with a pointer, which the assembler spells in no way.
trait Far {
    fn call_far_test(&mut self, selector: u16);
    fn jmp_far_test(&mut self, selector: u16);
}

impl Far for CodeAssembler {
    fn call_far_test(&mut self, selector: u16) {
        let [low, high] = selector.to_le_bytes();
        self.db(&[0x9a, 0, 0, 0, 0, low, high]).unwrap();
    }
    fn jmp_far_test(&mut self, selector: u16) {
        let [low, high] = selector.to_le_bytes();
        self.db(&[0xea, 0, 0, 0, 0, low, high]).unwrap();
    }
}
