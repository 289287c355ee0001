use crate::fault::{Fault, vector};
use crate::fixture::*;
use crate::op::Slot;
use crate::state::{Activity, Cr4, Rflags, seg};
use iced_x86::code_asm::*;

const RAX: usize = Slot::R0 as usize;
const RSP: usize = 4;

#[test]
fn real_mode_interrupts_push_flags_and_address_and_return() {
    let mut m = Machine::new(Mode::Real);
    m.assemble_at(0x6000 + 16 * 0x21, 16, |a| a.iret().unwrap());
    m.assemble(16, |a| {
        a.sti().unwrap();
        a.int(0x21).unwrap();
        a.hlt().unwrap();
    });
    m.run();
    assert_eq!(m.cpu.ip, CODE + 4);
    assert!(m.cpu.flags.has(Rflags::IF), "IRET restores what INT cleared");
    assert_eq!(m.cpu.gpr[RSP], STACK);
    assert_eq!(m.read16(STACK - 4), 0, "the code segment");
    assert_eq!(m.read16(STACK - 6), CODE as u16 + 3);
}

#[test]
fn a_real_mode_vector_beyond_the_table_is_a_protection_fault_with_no_error_code() {
    let mut m = Machine::new(Mode::Real);
    m.cpu.idtr.limit = 0x7f;
    m.assemble(16, |a| a.int(0x40).unwrap());
    m.run();
    assert_eq!(m.vector(), Some(vector::GP));
    assert_eq!(m.cpu.gpr[RSP], STACK - 6);
    assert_eq!(m.read16(STACK - 6), CODE as u16);
}

#[test]
fn long_mode_pushes_five_words_on_an_aligned_stack_and_an_error_code_where_there_is_one() {
    let mut m = Machine::new(Mode::Long);
    m.cpu.gpr[RSP] = STACK - 3;
    m.assemble(64, |a| a.ud2().unwrap());
    m.run();
    assert_eq!(m.vector(), Some(vector::UD));
    assert_eq!(m.cpu.gpr[RSP], STACK - 16 - 40);
    assert_eq!(m.stack64(0), CODE);
    assert_eq!(m.stack64(1), u64::from(CODE64));
    assert_ne!(m.stack64(2) & Rflags::RF.bits(), 0, "a fault restarts under RF");
    assert_eq!(m.stack64(3), STACK - 3);

    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        a.mov(eax, 0x77u32).unwrap();
        a.mov(ds, ax).unwrap();
    });
    m.run();
    assert_eq!(m.vector(), Some(vector::GP));
    assert_eq!(m.stack64(0), 0x74, "the selector");
    assert_eq!(m.stack64(1), CODE + 5);
}

#[test]
fn user_code_comes_in_on_the_stack_of_the_tss_and_goes_back_by_iret() {
    let mut m = Machine::new(Mode::Long);
    m.use_segments(USER_CODE64, USER_DATA, 3);
    m.assemble_at(HANDLERS + 16 * 0x80, 64, |a| {
        a.mov(rbx, rsp).unwrap();
        a.iretq().unwrap();
    });
    m.assemble(64, |a| {
        a.int(0x80).unwrap();
        a.hlt().unwrap();
    });
    m.run();
    assert_eq!(m.cpu.gpr[3], INNER_STACK - 40);
    assert_eq!(m.vector(), Some(vector::GP), "HLT at level 3");
    assert_eq!(m.stack64(1), CODE + 2);
    assert_eq!(m.stack64(2), u64::from(USER_CODE64));
    assert_eq!(m.stack64(4), STACK);
    assert_eq!(m.stack64(5), u64::from(USER_DATA));
    assert_eq!((m.cpu.cpl, m.cpu.seg[seg::SS].selector), (0, 0));
}

#[test]
fn an_interrupt_stack_is_used_at_any_level() {
    let mut m = Machine::new(Mode::Long);
    m.gate64(vector::UD, CODE64, HANDLERS + 16 * u64::from(vector::UD), 0x8e, 1);
    m.assemble(64, |a| a.ud2().unwrap());
    m.run();
    assert_eq!(m.cpu.gpr[RSP], INTERRUPT_STACK - 40);
}

#[test]
fn a_closed_gate_stops_programs_but_not_the_processor() {
    let mut m = Machine::new(Mode::Long);
    m.gate64(0x80, CODE64, HANDLERS, 0x8e, 0);
    m.gate64(vector::UD, CODE64, HANDLERS + 16 * 6, 0x8e, 0);
    m.use_segments(USER_CODE64, USER_DATA, 3);
    m.assemble(64, |a| a.int(0x80).unwrap());
    m.run();
    assert_eq!((m.vector(), m.stack64(0)), (Some(vector::GP), 0x80 * 8 + 2));
    m.use_segments(USER_CODE64, USER_DATA, 3);
    m.assemble_at(0x1800, 64, |a| a.ud2().unwrap());
    m.resume_at(0x1800);
    m.run();
    assert_eq!(m.vector(), Some(vector::UD));
}

#[test]
fn traps_return_behind_the_instruction_and_faults_to_it() {
    for (code, vector, at) in [(&[0xcc][..], 3, 1), (&[0xf1], 1, 1), (&[0xcd, 0x55], 0x55, 2), (&[0x0f, 0x0b], 6, 0)] {
        let mut m = Machine::new(Mode::Protected);
        m.write(CODE, code);
        m.run();
        assert_eq!(m.vector(), Some(vector));
        assert_eq!(u64::from(m.stack32(0)), CODE + at, "vector {vector}");
    }
}

#[test]
fn protected_mode_switches_stacks_by_the_tss_and_keeps_them_at_the_same_level() {
    let mut m = Machine::new(Mode::Protected);
    m.assemble(32, |a| a.int(0x40).unwrap());
    m.run();
    assert_eq!(m.cpu.gpr[RSP], STACK - 12);

    let mut m = Machine::new(Mode::Protected);
    m.use_segments(USER_CODE32, USER_DATA, 3);
    m.assemble_at(HANDLERS + 16 * 0x40, 32, |a| a.iretd().unwrap());
    m.assemble(32, |a| {
        a.int(0x40).unwrap();
        a.cli().unwrap();
    });
    m.run();
    assert_eq!(m.vector(), Some(vector::GP), "CLI at level 3");
    assert_eq!(m.cpu.gpr[RSP], INNER_STACK - 24);
    assert_eq!(m.stack32(0), 0);
    assert_eq!(u64::from(m.stack32(1)), CODE + 2);
    assert_eq!(m.stack32(2), u32::from(USER_CODE32));
    assert_eq!(u64::from(m.stack32(4)), STACK);
    assert_eq!(m.stack32(5), u32::from(USER_DATA));
}

#[test]
fn a_16_bit_gate_pushes_words_and_a_trap_gate_leaves_if() {
    let mut m = Machine::new(Mode::Protected);
    m.gate32(0x40, CODE32, HANDLERS + 16 * 0x40, 0xe6);
    m.gate32(0x41, CODE32, HANDLERS + 16 * 0x41, 0xef);
    m.cpu.flags.set(Rflags::IF, true);
    m.assemble(32, |a| a.int(0x40).unwrap());
    m.run();
    assert_eq!((m.cpu.gpr[RSP], m.cpu.flags.has(Rflags::IF)), (STACK - 6, false));
    m.cpu.flags.set(Rflags::IF, true);
    m.assemble_at(0x1800, 32, |a| a.int(0x41).unwrap());
    m.resume_at(0x1800);
    m.run();
    assert!(m.cpu.flags.has(Rflags::IF));
}

#[test]
fn a_contributory_fault_on_the_way_to_one_is_a_double_fault() {
    let mut m = Machine::new(Mode::Protected);
    m.gate32(vector::GP, 0, 0, 0x8e);
    m.assemble(32, |a| a.mov(ds, ax).unwrap());
    m.cpu.gpr[RAX] = 0xf8;
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::DF), 0));
    assert_eq!(u64::from(m.stack32(1)), CODE);
}

#[test]
fn a_contributory_fault_on_the_way_to_a_benign_one_stands_for_itself_with_ext_set() {
    let mut m = Machine::new(Mode::Protected);
    m.gate32(vector::UD, 0xf8, 0, 0x8e);
    m.assemble(32, |a| a.ud2().unwrap());
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::GP), 0xf9));
}

#[test]
fn a_missing_gate_names_itself() {
    let mut m = Machine::new(Mode::Protected);
    m.gate32(vector::UD, CODE32, 0, 0x0e);
    m.assemble(32, |a| a.ud2().unwrap());
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::NP), 6 * 8 + 3));
}

#[test]
fn a_triple_fault_shuts_down() {
    for mode in [Mode::Real, Mode::Protected, Mode::Long] {
        let mut m = Machine::new(mode);
        m.cpu.idtr.limit = 0;
        m.write(CODE, &[0x0f, 0x0b]);
        m.run();
        assert_eq!(m.cpu.activity, Activity::Shutdown, "{mode:?}");
        assert_eq!(m.cpu.ip, CODE);
    }
}

#[test]
fn a_stack_that_is_not_mapped_leaves_everything_for_the_double_fault() {
    let mut m = Machine::new(Mode::Long);
    m.gate64(vector::DF, CODE64, HANDLERS + 16 * 8, 0x8e, 1);
    m.write64(TABLES + 0x2000 + 8 * 4, 0);
    m.cpu.gpr[RSP] = 0x80_1000;
    m.write64(TABLES + 0x1000 + 8, 0);
    m.assemble(64, |a| {
        a.mov(rsp, 0x80_0000_0000u64 - 8).unwrap();
        a.mov(rax, 0x4000_0000u64).unwrap();
        a.mov(rbx, qword_ptr(rax)).unwrap();
    });
    m.run();
    assert_eq!(m.vector(), Some(vector::DF));
    assert_eq!(m.stack64(4), 0x80_0000_0000 - 8, "RSP as it was before the page fault");
    assert_eq!(m.cpu.cr2, 0x80_0000_0000 - 24, "CR2 tells of the latest page fault");
}

#[test]
fn an_interrupt_wakes_a_halted_vcpu() {
    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| a.hlt().unwrap());
    m.run();
    assert_eq!(m.cpu.activity, Activity::Halted);
    m.cpu.interrupt(&mut m.bus, 0x30);
    assert_eq!(m.cpu.activity, Activity::Running);
    assert_eq!(m.stack64(0), CODE + 1);
    m.run();
    assert_eq!(m.vector(), Some(0x30));
}

#[test]
fn virtual_8086_mode_is_left_through_a_gate_and_entered_by_iret() {
    let mut m = Machine::new(Mode::Protected);
    m.assemble_at(0x1800, 16, |a| a.int3().unwrap());
    m.assemble(32, |a| {
        for selector in [1u32, 2, 3, 4] {
            a.push(selector as i32).unwrap();
        }
        a.push(0x700).unwrap();
        a.push(0x500).unwrap();
        a.push(0x2_0202).unwrap();
        a.push(0x100).unwrap();
        a.push(0x800).unwrap();
        a.iretd().unwrap();
    });
    m.write(0x1000 + 0x800, &[0xcc]);
    m.run();
    assert_eq!(m.vector(), Some(vector::BP));
    assert_eq!(m.cpu.gpr[RSP], INNER_STACK - 36);
    let frame: Vec<_> = (0..9).map(|i| m.stack32(i)).collect();
    assert_eq!(frame[0], 0x801);
    assert_eq!(frame[1], 0x100);
    assert_eq!(frame[2] & 0x2_0202, 0x2_0202);
    assert_eq!(frame[3..], [0x500, 0x700, 4, 3, 2, 1]);
    assert!(!m.cpu.v86() && m.cpu.seg[seg::DS].selector == 0);
}

#[test]
fn int_n_in_virtual_8086_mode_needs_iopl_or_the_redirection_bitmap() {
    let enter = |m: &mut Machine| {
        m.cpu.flags.set(Rflags::VM, true);
        m.cpu.set_v86_segments([0x100; 6]);
        m.cpu.gpr[RSP] = 0x700;
        m.cpu.ip = 0;
        m.write(CODE, &[0xcd, 0x21]);
    };
    let mut m = Machine::new(Mode::Protected);
    enter(&mut m);
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::GP), 0));

    let mut m = Machine::new(Mode::Protected);
    m.cpu.cr4 = Cr4::VME;
    m.cpu.tr.limit = 0x200;
    m.write(TSS + 0x66, &0x88u16.to_le_bytes());
    m.write32(4 * 0x21, 0x0150_0010);
    enter(&mut m);
    m.cpu.flags.set(Rflags::VIF, true);
    m.step(1);
    assert!(m.cpu.v86() && !m.cpu.flags.has(Rflags::VIF));
    assert_eq!((m.cpu.seg[seg::CS].selector, m.cpu.ip), (0x150, 0x10));
    assert_eq!(m.read16(0x1000 + 0x700 - 6), 2);
    assert_eq!(m.read16(0x1000 + 0x700 - 2) & 0x3200, 0x3200, "the program sees VIF as IF, and IOPL 3");
}

#[test]
fn iret_from_64_bit_code_reaches_compatibility_code() {
    let mut m = Machine::new(Mode::Long);
    m.assemble_at(0x1800, 32, |a| a.int3().unwrap());
    m.assemble(64, |a| {
        a.push(i32::from(USER_DATA)).unwrap();
        a.push(0x7000).unwrap();
        a.push(0x202).unwrap();
        a.push(i32::from(USER_CODE32)).unwrap();
        a.push(0x1800).unwrap();
        a.iretq().unwrap();
    });
    m.run();
    assert_eq!(m.vector(), Some(vector::BP));
    assert_eq!((m.stack64(0), m.stack64(1), m.stack64(3)), (0x1801, u64::from(USER_CODE32), 0x7000));
}

#[test]
fn an_exception_from_outside_the_engine_is_delivered_at_rip() {
    let mut m = Machine::new(Mode::Long);
    m.cpu.exception(&mut m.bus, Fault::gp(0x123));
    m.run();
    assert_eq!((m.vector(), m.stack64(0), m.stack64(1)), (Some(vector::GP), 0x120, CODE));
}

#[test]
fn bound_compares_signed() {
    for (index, bounds, vector) in [(-2i32, [-2, 5], 0x30), (5, [-2, 5], 0x30), (-3, [-2, 5], 5), (6, [-2, 5], 5)] {
        let mut m = Machine::new(Mode::Protected);
        m.write32(0x1f00, bounds[0] as u32);
        m.write32(0x1f04, bounds[1] as u32);
        m.cpu.gpr[RAX] = u64::from(index as u32);
        m.assemble(32, |a| {
            a.bound(eax, qword_ptr(0x1f00)).unwrap();
            a.int(0x30).unwrap();
        });
        m.run();
        assert_eq!(m.vector(), Some(vector), "{index}");
    }
}
