use super::Why;
use crate::fault::vector;
use crate::fixture::*;
use crate::state::{Rflags, Vcpu};
use iced_x86::code_asm::*;

fn loop_with_stores(a: &mut CodeAssembler) {
    let mut top = a.create_label();
    a.mov(ecx, 20u32).unwrap();
    a.mov(edi, 0x1_0000u32).unwrap();
    a.set_label(&mut top).unwrap();
    a.mov(dword_ptr(rdi), ecx).unwrap();
    a.add(edi, 4).unwrap();
    a.push(rdi).unwrap();
    a.pop(rdx).unwrap();
    a.sub(ecx, 1).unwrap();
    a.jne(top).unwrap();
    a.mov(ecx, 30u32).unwrap();
    a.rep().stosb().unwrap();
    a.int(0x30).unwrap();
}

fn digest(cpu: &Vcpu) -> String {
    serde_json::to_string(cpu).expect("a vCPU is plain data")
}

#[test]
fn a_run_cut_into_any_slices_ends_in_the_same_state() {
    let whole = {
        let mut m = Machine::new(Mode::Long);
        m.assemble(64, loop_with_stores);
        m.run();
        assert_eq!(m.vector(), Some(0x30));
        (m.cpu.tick, digest(&m.cpu))
    };
    for budget in 1..=whole.0 + 1 {
        let mut m = Machine::new(Mode::Long);
        m.assemble(64, loop_with_stores);
        loop {
            let exit = m.step(budget);
            if exit.why == Why::Stopped {
                break;
            }
            assert_eq!((exit.why, exit.retired), (Why::Budget, budget));
        }
        assert_eq!((m.cpu.tick, digest(&m.cpu)), whole, "slices of {budget}");
    }
}

#[test]
fn a_store_to_the_next_instruction_of_the_same_block_takes_effect() {
    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        // Turns the immediate 1, which lies behind this instruction, into 2.
        a.mov(byte_ptr(CODE + 9), 2).unwrap();
        a.mov(eax, 1u32).unwrap();
        a.hlt().unwrap();
    });
    for _ in 0..2 {
        m.write(CODE + 9, &[1]);
        m.resume_at(CODE);
        m.run();
        assert_eq!(m.cpu.gpr[0], 2);
    }
}

#[test]
fn an_instruction_across_two_pages_is_what_its_bytes_say_each_time() {
    const ACROSS: u64 = 0x1_1000 - 2;
    let mut m = Machine::new(Mode::Long);
    // mov eax, 1; hlt
    m.write(ACROSS, &[0xb8, 1, 0, 0, 0, 0xf4]);
    let seen = |m: &mut Machine| {
        m.cpu.gpr[..2].fill(0);
        m.resume_at(ACROSS);
        m.run();
        [m.cpu.gpr[0], m.cpu.gpr[1]]
    };
    assert_eq!(seen(&mut m), [1, 0]);
    assert_eq!(seen(&mut m), [1, 0]);
    m.write(ACROSS + 2, &[2]);
    assert_eq!(seen(&mut m), [0x201, 0], "its second page has changed");
    // mov ecx, 0x201
    m.write(ACROSS, &[0xb9]);
    assert_eq!(seen(&mut m), [0, 0x201], "its first page has changed");
    m.write(ACROSS, &[0xf4]);
    assert_eq!(seen(&mut m), [0, 0], "it ends before the second page");
}

#[test]
fn single_step_traps_after_each_instruction_and_not_inside_a_handler() {
    let mut m = Machine::new(Mode::Long);
    m.cpu.flags.set(Rflags::TF, true);
    m.assemble(64, |a| a.nop().unwrap());
    m.run();
    assert_eq!((m.vector(), m.stack64(0)), (Some(vector::DB), CODE + 1));
    assert_ne!(m.cpu.dr[6] & 1 << 14, 0);

    let mut m = Machine::new(Mode::Long);
    m.cpu.flags.set(Rflags::TF, true);
    m.assemble(64, |a| a.int(0x30).unwrap());
    m.run();
    assert_eq!(m.vector(), Some(0x30), "INT masks the trap that it would end with");
}

#[test]
fn an_instruction_breakpoint_comes_before_and_a_watchpoint_after() {
    let mut m = Machine::new(Mode::Long);
    m.cpu.dr[0] = CODE + 1;
    m.cpu.dr[7] = 1;
    m.assemble(64, |a| {
        a.nop().unwrap();
        a.nop().unwrap();
    });
    m.run();
    assert_eq!((m.vector(), m.stack64(0), m.cpu.dr[6] & 15), (Some(vector::DB), CODE + 1, 1));

    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        a.mov(rax, 0xd_0002u64).unwrap();
        a.mov(dr7, rax).unwrap();
        a.mov(ebx, 0x1_0000u32).unwrap();
        a.mov(dr0, rbx).unwrap();
        a.mov(dword_ptr(rbx + 4), eax).unwrap();
        a.mov(dword_ptr(rbx), eax).unwrap();
        a.nop().unwrap();
    });
    m.run();
    assert_eq!((m.vector(), m.cpu.dr[6] & 15), (Some(vector::DB), 1));
    assert_eq!(m.read32(0x1_0000), 0xd_0002);
}

#[test]
fn the_instruction_after_sti_or_mov_ss_is_not_interrupted() {
    let mut m = Machine::new(Mode::Long);
    m.cpu.interrupt_line = true;
    m.assemble(64, |a| {
        a.sti().unwrap();
        a.nop().unwrap();
        a.nop().unwrap();
    });
    let exit = m.step(10);
    assert_eq!((exit.why, exit.retired), (Why::Interrupt, 2));

    let mut m = Machine::new(Mode::Long);
    m.cpu.nmi_pending = true;
    m.cpu.gpr[0] = DATA.into();
    m.cpu.nmi_blocked = true;
    m.assemble(64, |a| {
        a.mov(ss, eax).unwrap();
        a.nop().unwrap();
        a.nop().unwrap();
    });
    m.step(1);
    m.cpu.nmi_blocked = false;
    m.run();
    assert_eq!((m.vector(), m.stack64(0)), (Some(vector::NMI), CODE + 3));
}

#[test]
fn general_detect_guards_the_debug_registers() {
    let mut m = Machine::new(Mode::Long);
    m.cpu.dr[7] |= 1 << 13;
    m.assemble(64, |a| a.mov(rax, dr0).unwrap());
    m.run();
    assert_eq!((m.vector(), m.stack64(0)), (Some(vector::DB), CODE));
    assert_ne!(m.cpu.dr[6] & 1 << 13, 0);
    assert_eq!(m.cpu.dr[7] & 1 << 13, 0);
}

#[test]
fn syscall_and_sysret_go_to_the_kernel_and_back() {
    let mut m = Machine::new(Mode::Long);
    m.use_segments(USER_CODE64, USER_DATA, 3);
    m.cpu.msrs.star = 0x18 << 48 | u64::from(CODE64) << 32;
    m.cpu.msrs.lstar = 0x1800;
    m.cpu.msrs.fmask = 0x200;
    m.cpu.flags.set(Rflags::IF, true);
    m.assemble(64, |a| {
        a.syscall().unwrap();
        a.int(0x30).unwrap();
    });
    m.assemble_at(0x1800, 64, |a| {
        a.mov(rbx, rcx).unwrap();
        a.swapgs().unwrap();
        a.swapgs().unwrap();
        a.sysretq().unwrap();
    });
    m.step(1);
    assert_eq!((m.cpu.cpl, m.cpu.ip, m.cpu.flags.has(Rflags::IF)), (0, 0x1800, false));
    m.run();
    assert_eq!((m.vector(), m.cpu.gpr[3]), (Some(0x30), CODE + 2));
    assert_eq!((m.stack64(1), m.stack64(4)), (0x2b, 0x23));
    assert_ne!(m.stack64(2) & 0x200, 0);
}

#[test]
fn a_program_walks_from_real_mode_to_long_mode() {
    let mut long = Machine::new(Mode::Long);
    long.cpu.reset();
    let mut m = Machine { ..long };
    m.cpu.seg[1] = m.cpu.seg[1].real(0);
    m.cpu.ip = CODE;
    m.write(0x1f00, &[0xff, 0, 0, 0x20, 0, 0, 0xff, 0x0f, 0, 0x30, 0, 0, 0, 0, 0, 0]);
    m.assemble(16, |a| {
        a.lgdt(ptr(0x1f00)).unwrap();
        a.mov(eax, cr0).unwrap();
        a.or(al, 1).unwrap();
        a.mov(cr0, eax).unwrap();
        a.db(&[0xea, 0x00, 0x18, CODE32 as u8, 0]).unwrap();
    });
    m.assemble_at(0x1800, 32, |a| {
        a.mov(eax, u32::from(DATA)).unwrap();
        a.mov(ds, ax).unwrap();
        a.mov(ss, ax).unwrap();
        a.mov(esp, STACK as u32).unwrap();
        a.lidt(ptr(0x1f06)).unwrap();
        a.mov(eax, 0x20u32).unwrap();
        a.mov(cr4, eax).unwrap();
        a.mov(eax, TABLES as u32).unwrap();
        a.mov(cr3, eax).unwrap();
        a.mov(ecx, 0xc000_0080u32).unwrap();
        a.rdmsr().unwrap();
        a.or(eax, 0x100).unwrap();
        a.wrmsr().unwrap();
        a.mov(eax, cr0).unwrap();
        a.or(eax, 0x8000_0000u32 as i32).unwrap();
        a.mov(cr0, eax).unwrap();
        a.db(&[0xea, 0x00, 0x1c, 0, 0, CODE64 as u8, 0]).unwrap();
    });
    m.assemble_at(0x1c00, 64, |a| {
        a.mov(rax, 0x1234_5678_9abc_def0u64).unwrap();
        a.int(0x44).unwrap();
    });
    m.run();
    assert_eq!((m.vector(), m.cpu.gpr[0]), (Some(0x44), 0x1234_5678_9abc_def0));
    assert!(m.cpu.long_mode() && m.cpu.code64());
}
