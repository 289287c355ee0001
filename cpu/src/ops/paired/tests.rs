use crate::engine::Why;
use crate::fixture::*;
use crate::state::Vcpu;
use iced_x86::code_asm::*;

type Instruction = fn(&mut CodeAssembler);

const STEPS: [Instruction; 26] = [
    |a| a.mov(ecx, edx).unwrap(),
    |a| a.mov(rcx, rdx).unwrap(),
    |a| a.mov(edx, 0x8765_4321u32).unwrap(),
    |a| a.movzx(ecx, dl).unwrap(),
    |a| a.movzx(edx, dh).unwrap(),
    |a| a.movsxd(rdx, ecx).unwrap(),
    |a| a.add(ecx, edx).unwrap(),
    |a| a.add(rdx, rcx).unwrap(),
    |a| a.sub(rcx, rdx).unwrap(),
    |a| a.and(rcx, rdx).unwrap(),
    |a| a.or(rcx, rdx).unwrap(),
    |a| a.xor(edx, edx).unwrap(),
    |a| a.xor(rcx, rdx).unwrap(),
    |a| a.add(ecx, 0x7fff_ffff).unwrap(),
    |a| a.add(rdx, -1).unwrap(),
    |a| a.sub(rcx, 0x1234).unwrap(),
    |a| a.and(ecx, 0xff0).unwrap(),
    |a| a.and(rdx, -16).unwrap(),
    |a| a.shl(ecx, 13).unwrap(),
    |a| a.shl(rcx, 0).unwrap(),
    |a| a.shl(rdx, 1).unwrap(),
    |a| a.shr(edx, 31).unwrap(),
    |a| a.shr(ecx, 0).unwrap(),
    |a| a.shr(rcx, 63).unwrap(),
    |a| a.sar(rdx, 7).unwrap(),
    |a| a.mov(rdx, rbx).unwrap(),
];

/// Where RBX points to.
const WORDS: u64 = 0x1_0000;

/// With memory operands.
const OTHERS: [Instruction; 7] = [
    |a| a.lea(ecx, ptr(rdx + rcx * 4 + 5)).unwrap(),
    |a| a.lea(rdx, ptr(rdx + rcx * 8 - 0x1234)).unwrap(),
    |a| a.lea(rcx, ptr(edx + 7)).unwrap(),
    |a| a.mov(ecx, dword_ptr(rbx + 4)).unwrap(),
    |a| a.mov(rdx, qword_ptr(rbx + 1)).unwrap(),
    |a| a.movzx(edx, byte_ptr(rbx)).unwrap(),
    |a| a.movzx(rcx, word_ptr(rbx + 2)).unwrap(),
];

const VALUES: [u64; 4] = [0, 0x8000_7f81, 0x7fff_ffff_ffff_ffff, u64::MAX];

fn words(m: &mut Machine) {
    m.write64(WORDS, 0xfedc_ba98_7654_3210);
    m.write64(WORDS + 8, 0x0123_4567_89ab_cdef);
    m.cpu.gpr[3] = WORDS;
}

/// Runs a pair and NOPs in slices of `budget` ticks, four ticks in all.
fn after(pair: [Instruction; 2], values: (u64, u64), budget: u64) -> Vcpu {
    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        pair.iter().for_each(|instruction| instruction(a));
        (0..8).for_each(|_| a.nop().unwrap());
    });
    words(&mut m);
    (m.cpu.gpr[1], m.cpu.gpr[2]) = values;
    for _ in 0..4 / budget {
        assert_eq!(m.step(budget).why, Why::Budget);
    }
    m.cpu
}

fn json(cpu: &Vcpu) -> String {
    serde_json::to_string(cpu).expect("a vCPU is plain data")
}

#[test]
fn a_pair_does_what_its_two_instructions_do() {
    let all = || STEPS.iter().chain(&OTHERS);
    for first in all() {
        for second in all() {
            for values in VALUES.iter().zip(VALUES.iter().cycle().skip(1)) {
                let values = (*values.0, *values.1);
                let together = json(&after([*first, *second], values, 4));
                assert_eq!(together, json(&after([*first, *second], values, 1)));
            }
        }
    }
}

#[test]
fn a_budget_can_end_between_the_two() {
    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        a.mov(ecx, 5u32).unwrap();
        a.add(ecx, 2).unwrap();
    });
    let exit = m.step(1);
    assert_eq!((exit.why, exit.retired, m.cpu.gpr[1]), (Why::Budget, 1, 5));
    let exit = m.step(1);
    assert_eq!((exit.why, exit.retired, m.cpu.gpr[1]), (Why::Budget, 1, 7));
}

#[test]
fn a_load_that_faults_leaves_the_step_before_it_retired() {
    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        a.nop().unwrap();
        a.add(ecx, 2).unwrap();
        a.mov(rdx, qword_ptr(rbx)).unwrap();
    });
    // Not canonical.
    m.cpu.gpr[3] = 1 << 60;
    m.cpu.gpr[1] = 1;
    let begun = m.cpu.tick;
    m.run();
    assert_eq!((m.vector(), m.cpu.gpr[1]), (Some(13), 3));
    // Error code, then the instruction pointer: past NOP and ADD. The handler's HLT takes a tick.
    assert_eq!((m.stack64(1), m.cpu.tick - begun), (CODE + 4, 3));
}

/// A jump through RDX, loaded from where RBX points to; and HLT in a row at the target.
fn jumping(target: u64, loads_from: u64) -> Machine {
    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        a.nop().unwrap();
        a.mov(rdx, qword_ptr(rbx)).unwrap();
        a.jmp(rdx).unwrap();
    });
    m.write(CODE + 0x100, &[0xf4; 4]);
    m.write64(WORDS, target);
    m.cpu.gpr[3] = loads_from;
    m
}

#[test]
fn a_loaded_target_is_jumped_to() {
    let run = |budget| {
        let mut m = jumping(CODE + 0x100, WORDS);
        (0..3 / budget).for_each(|_| assert_eq!(m.step(budget).why, Why::Budget));
        assert_eq!((m.cpu.ip, m.cpu.gpr[2]), (CODE + 0x100, CODE + 0x100));
        // The second time it is found at once.
        m.cpu.ip = CODE;
        (0..3 / budget).for_each(|_| assert_eq!(m.step(budget).why, Why::Budget));
        assert_eq!(m.cpu.ip, CODE + 0x100);
        json(&m.cpu)
    };
    assert_eq!(run(3), run(1));
}

#[test]
fn a_jump_to_nowhere_faults_after_its_load_has_retired() {
    let mut m = jumping(1 << 60, WORDS);
    m.run();
    assert_eq!((m.vector(), m.stack64(1), m.cpu.gpr[2]), (Some(13), CODE + 4, 1 << 60));
}

#[test]
fn a_load_that_faults_is_not_jumped_from() {
    let mut m = jumping(0, 1 << 60);
    m.cpu.gpr[2] = 7;
    let begun = m.cpu.tick;
    m.run();
    assert_eq!((m.vector(), m.stack64(1), m.cpu.gpr[2]), (Some(13), CODE + 1, 7));
    assert_eq!(m.cpu.tick - begun, 2);
}
