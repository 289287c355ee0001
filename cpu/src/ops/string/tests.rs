//! REP loops against a plain model: cut into slices anywhere they end in the same state.

use crate::cpuid::CpuModel;
use crate::engine::{Engine, Why};
use crate::op::Slot;
use crate::state::{Cr0, Rflags, Rights, Vcpu, seg};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Bus, Clock, DeviceId, Memory};

const CODE: u64 = 0x1000;
const RAM: u64 = 0x10000;

/// Flat 32-bit protected mode without paging, over 64 KiB of RAM of which nothing is like its neighbours.
fn machine(code: &[u8]) -> (Vcpu, Bus) {
    let mut memory = Memory::new(RAM).unwrap();
    let at = memory.allocate(RAM).unwrap();
    memory.add_region(Region {
        owner: DeviceId(0),
        index: 0,
        base: Some(0),
        len: RAM,
        priority: 0,
        reads: true,
        writes: true,
        backing: Backing::Ram(at),
    });
    let bytes: Vec<u8> = (0..RAM).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 11) as u8).collect();
    memory.fill(at, &bytes);
    memory.write_bytes(CODE, &[0x90; 0x100]);
    memory.write_bytes(CODE, code);
    let mut cpu = Vcpu::new(0, CpuModel::max(), 0);
    cpu.cr0 = Cr0::PE;
    for (i, segment) in cpu.seg.iter_mut().enumerate() {
        segment.base = 0;
        segment.limit = u32::MAX;
        let kind = if i == seg::CS { Rights::CODE } else { 0 };
        segment.rights = Rights(Rights::PRESENT | Rights::MEMORY | Rights::WRITABLE | Rights::BIG | kind);
    }
    cpu.refresh();
    cpu.ip = CODE;
    (cpu, Bus::new(memory, Clock::new(0)))
}

struct Case {
    code: &'static [u8],
    rax: u64,
    rsi: u64,
    rdi: u64,
    rcx: u64,
    down: bool,
}

/// Runs a case in slices of `budget` up to `ticks`.
fn run(case: &Case, budget: u64, ticks: u64) -> (Vcpu, Bus) {
    let (mut cpu, mut bus) = machine(case.code);
    cpu.gpr[Slot::RAX.number()] = case.rax;
    cpu.gpr[Slot::RSI.number()] = case.rsi;
    cpu.gpr[Slot::RDI.number()] = case.rdi;
    cpu.gpr[Slot::RCX.number()] = case.rcx;
    cpu.flags.set(Rflags::DF, case.down);
    let mut engine = Engine::default();
    let mut done = 0;
    while done < ticks {
        let slice = budget.min(ticks - done);
        let exit = engine.run(&mut cpu, &mut bus, slice);
        assert_eq!((exit.why, exit.retired), (Why::Budget, slice));
        done += exit.retired;
        bus.advance(done);
    }
    (cpu, bus)
}

fn state(cpu: &Vcpu, bus: &Bus) -> (Vec<u64>, u64, Rflags, Vec<u8>) {
    (cpu.gpr[..16].to_vec(), cpu.ip, cpu.flags.get(), bus.memory.arena().bytes(0, RAM as usize).unwrap().to_vec())
}

/// `rep movsd` and so on, each followed by NOPs as all code is.
fn cases() -> Vec<Case> {
    let case = |code, rax, rsi, rdi, rcx, down| Case { code, rax, rsi, rdi, rcx, down };
    vec![
        case(&[0xf3, 0xa4, 0x90, 0x90, 0x90, 0x90], 0, 0x2ff0, 0x4ff9, 50, false),
        case(&[0xf3, 0xa5, 0x90, 0x90, 0x90, 0x90], 0, 0x2ff1, 0x4ff3, 33, false),
        case(&[0xf3, 0xa5, 0x90, 0x90, 0x90, 0x90], 0, 0x2ff0, 0x2ff2, 33, false),
        case(&[0xf3, 0xa5, 0x90, 0x90, 0x90, 0x90], 0, 0x2fe0, 0x2fe7, 33, false),
        case(&[0xf3, 0xa4, 0x90, 0x90, 0x90, 0x90], 0, 0x3020, 0x3010, 40, true),
        case(&[0xf3, 0xaa, 0x90, 0x90, 0x90, 0x90], 0x11, 0, 0x4ff9, 40, false),
        case(&[0xf3, 0xab, 0x90, 0x90, 0x90, 0x90], 0x1122_3344, 0, 0x4ff9, 40, false),
        case(&[0x67, 0xf3, 0xab, 0x90, 0x90, 0x90], 0x1122_3344, 0, 0x7654_fff0, 0x9999_0003, false),
        case(&[0xf3, 0xad, 0x90, 0x90, 0x90, 0x90], 0, 0x2ff0, 0, 9, false),
        case(&[0xf2, 0xae, 0x90, 0x90, 0x90, 0x90], 0xa9, 0, 0x2f00, 600, false),
        case(&[0xf3, 0xa6, 0x90, 0x90, 0x90, 0x90], 0, 0x2ff0, 0x2ff0, 30, false),
        case(&[0xf3, 0xa6, 0x90, 0x90, 0x90, 0x90], 0, 0x2ff0, 0x4ff0, 30, false),
        case(&[0xf3, 0xaa, 0x90, 0x90, 0x90, 0x90], 0, 0, 0x4ff9, 0, false),
    ]
}

#[test]
fn a_loop_cut_into_any_slices_ends_in_the_same_state() {
    for (i, case) in cases().iter().enumerate() {
        for ticks in 1..case.rcx.min(60) + 3 {
            let (cpu, bus) = run(case, 1, ticks);
            let singly = state(&cpu, &bus);
            for budget in [2, 3, 7, 16, 1000] {
                let (cpu, bus) = run(case, budget, ticks);
                assert!(state(&cpu, &bus) == singly, "case {i} after {ticks} ticks in slices of {budget}");
            }
        }
    }
}

#[test]
fn a_forward_move_onto_what_follows_repeats_it() {
    let case = Case { code: &[0xf3, 0xa4, 0x90, 0x90], rax: 0, rsi: 0x3000, rdi: 0x3003, rcx: 0x40, down: false };
    let (cpu, bus) = run(&case, 1000, 0x40);
    let bytes = bus.memory.arena().bytes(0x3000, 0x43).unwrap();
    assert!((3..0x43).all(|i| bytes[i] == bytes[i - 3]));
    assert_eq!((cpu.gpr[1], cpu.gpr[6], cpu.gpr[7], cpu.ip), (0, 0x3040, 0x3043, CODE + 2));
}

#[test]
fn a_scan_stops_behind_the_first_match_and_counts_what_it_looked_at() {
    let (_, bus) = machine(&[]);
    let bytes = bus.memory.arena().bytes(0x2f00, 600).unwrap();
    let at = bytes.iter().position(|b| *b == 0xa9).unwrap() as u64;
    let case = Case { code: &[0xf2, 0xae, 0x90, 0x90], rax: 0xa9, rsi: 0, rdi: 0x2f00, rcx: 600, down: false };
    let (cpu, _) = run(&case, 1000, at + 1);
    assert_eq!((cpu.gpr[7], cpu.gpr[1], cpu.ip), (0x2f00 + at + 1, 600 - at - 1, CODE + 2));
    assert!(cpu.flags.zf());
}

#[test]
fn a_loop_that_overwrites_itself_stops_for_what_it_has_become() {
    // From REP STOSB it makes NOP and STOSB, which overwrites itself in turn.
    let case = Case { code: &[0xf3, 0xaa], rax: 0x90, rsi: 0, rdi: CODE, rcx: 0x20, down: false };
    let (cpu, bus) = run(&case, 1000, 3);
    assert_eq!(bus.memory.arena().bytes(CODE, 2).unwrap(), [0x90, 0x90]);
    assert_eq!((cpu.gpr[1], cpu.gpr[7], cpu.ip), (0x1f, CODE + 2, CODE + 2));
}
