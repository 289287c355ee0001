use crate::engine::Why;
use crate::fixture::*;
use iced_x86::code_asm::*;

type Operation = fn(&mut CodeAssembler);
type Branch = fn(&mut CodeAssembler, CodeLabel);

const OPERATIONS: [Operation; 16] = [
    |a| a.cmp(al, dh).unwrap(),
    |a| a.cmp(eax, edx).unwrap(),
    |a| a.cmp(rax, rdx).unwrap(),
    |a| a.cmp(ah, 0x7f).unwrap(),
    |a| a.cmp(edx, 0x8000).unwrap(),
    |a| a.cmp(rdx, -1).unwrap(),
    |a| a.test(edx, edx).unwrap(),
    |a| a.test(dl, 0x81u32).unwrap(),
    |a| a.sub(eax, edx).unwrap(),
    |a| a.sub(rdx, 1).unwrap(),
    |a| a.add(rax, rdx).unwrap(),
    |a| a.and(eax, 0x80).unwrap(),
    |a| a.or(rdx, rdx).unwrap(),
    |a| a.xor(eax, edx).unwrap(),
    |a| a.inc(eax).unwrap(),
    |a| a.dec(rdx).unwrap(),
];

const BRANCHES: [Branch; 16] = [
    |a, to| a.jo(to).unwrap(),
    |a, to| a.jno(to).unwrap(),
    |a, to| a.jb(to).unwrap(),
    |a, to| a.jae(to).unwrap(),
    |a, to| a.je(to).unwrap(),
    |a, to| a.jne(to).unwrap(),
    |a, to| a.jbe(to).unwrap(),
    |a, to| a.ja(to).unwrap(),
    |a, to| a.js(to).unwrap(),
    |a, to| a.jns(to).unwrap(),
    |a, to| a.jp(to).unwrap(),
    |a, to| a.jnp(to).unwrap(),
    |a, to| a.jl(to).unwrap(),
    |a, to| a.jge(to).unwrap(),
    |a, to| a.jle(to).unwrap(),
    |a, to| a.jg(to).unwrap(),
];

const VALUES: [u64; 6] = [0, 1, 0x7fff_ffff, 0x8000_7f80, 0x8000_0000_0000_0000, u64::MAX];

/// Runs a pair in slices of `budget` ticks, three ticks in all; gives the state as JSON.
fn after(operation: Operation, branch: Branch, values: (u64, u64), budget: u64) -> String {
    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        let mut target = a.create_label();
        operation(a);
        branch(a, target);
        a.mov(esi, 1u32).unwrap();
        a.hlt().unwrap();
        a.set_label(&mut target).unwrap();
        a.mov(esi, 2u32).unwrap();
        a.hlt().unwrap();
    });
    (m.cpu.gpr[0], m.cpu.gpr[2]) = values;
    for _ in 0..3 / budget {
        assert_eq!(m.step(budget).why, Why::Budget);
    }
    assert!(matches!(m.cpu.gpr[6], 1 | 2), "the branch has gone one way or the other");
    serde_json::to_string(&m.cpu).expect("a vCPU is plain data")
}

#[test]
fn a_pair_does_what_its_two_instructions_do() {
    for operation in OPERATIONS {
        for branch in BRANCHES {
            for a in VALUES {
                for d in VALUES {
                    assert_eq!(after(operation, branch, (a, d), 3), after(operation, branch, (a, d), 1));
                }
            }
        }
    }
}

#[test]
fn a_budget_can_end_between_the_two() {
    let mut m = Machine::new(Mode::Long);
    m.assemble(64, |a| {
        a.nop().unwrap();
        a.cmp(eax, edx).unwrap();
        a.je(CODE).unwrap();
    });
    (m.cpu.gpr[0], m.cpu.gpr[2]) = (7, 7);
    let exit = m.step(2);
    assert_eq!((exit.why, exit.retired, m.cpu.ip), (Why::Budget, 2, CODE + 3));
    let exit = m.step(1);
    assert_eq!((exit.why, exit.retired, m.cpu.ip), (Why::Budget, 1, CODE));
}
