//! The interpreter's hot paths, each as a loop of a few instructions: block dispatch, TLB hits, flags.

use divan::Bencher;
use divan::counter::ItemsCount;
use iced_x86::code_asm::{CodeAssembler, eax, ecx, ptr, rax, rbx, rcx, rdi, rdx, rsi};
use lockstep_cpu::cpuid::CpuModel;
use lockstep_cpu::state::{Cr0, Cr4, Efer, Rights, Segment, seg};
use lockstep_cpu::{Engine, Vcpu, Why};
use lockstep_fabric::memory::{Backing, Region};
use lockstep_fabric::{Bus, Clock, DeviceId, Memory};

const RAM: u64 = 16 << 20;
const CODE: u64 = 0x1_0000;
const DATA: u64 = 0x20_0000;
const TABLES: u64 = 0x8000;
const TICKS: u64 = 1_000_000;

/// A vCPU in 64-bit mode, RAM identity-mapped by 2-MiB pages, about to run `code` for ever.
fn machine(code: impl FnOnce(&mut CodeAssembler)) -> (Engine, Vcpu, Bus) {
    let mut memory = Memory::new(RAM).expect("memory");
    let at = memory.allocate(RAM).expect("room");
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
    let mut assembler = CodeAssembler::new(64).expect("64-bit");
    code(&mut assembler);
    memory.write_bytes(CODE, &assembler.assemble(CODE).expect("it assembles"));
    memory.write_bytes(TABLES, &(TABLES + 0x1003).to_le_bytes());
    memory.write_bytes(TABLES + 0x1000, &(TABLES + 0x2003).to_le_bytes());
    for i in 0..RAM >> 21 {
        memory.write_bytes(TABLES + 0x2000 + 8 * i, &((i << 21) | 0xe3).to_le_bytes());
    }
    let mut cpu = Vcpu::new(0, CpuModel::max(), 0);
    cpu.cr0 = Cr0::PE | Cr0::PG | Cr0::ET | Cr0::WP;
    cpu.cr4 = Cr4::PAE | Cr4::OSFXSR;
    cpu.efer = Efer::LME | Efer::LMA;
    cpu.cr3 = TABLES;
    let rights =
        Rights(Rights::PRESENT | Rights::MEMORY | Rights::CODE | Rights::WRITABLE | Rights::LONG | Rights::PAGES);
    cpu.seg[seg::CS] = Segment { selector: 8, rights, limit: u32::MAX, base: 0 };
    cpu.ip = CODE;
    cpu.gpr[4] = DATA + 0x8000;
    cpu.gpr[6] = DATA;
    cpu.gpr[7] = DATA + 0x4000;
    cpu.refresh();
    (Engine::default(), cpu, Bus::new(memory, Clock::new(0)))
}

fn run(bencher: Bencher<'_, '_>, code: impl FnOnce(&mut CodeAssembler)) {
    let (mut engine, mut cpu, mut bus) = machine(code);
    bencher.counter(ItemsCount::new(TICKS)).bench_local(|| {
        let exit = engine.run(&mut cpu, &mut bus, TICKS);
        assert_eq!((exit.retired, exit.why), (TICKS, Why::Budget));
        let now = bus.clock.now();
        bus.clock.set_now(now + TICKS);
    });
}

/// Dispatch: jumps from block to block.
#[divan::bench]
fn jumps(bencher: Bencher<'_, '_>) {
    run(bencher, |a| {
        let mut labels: Vec<_> = (0..8).map(|_| a.create_label()).collect();
        for i in 0..8 {
            a.set_label(&mut labels[i]).expect("label");
            a.jmp(labels[(i + 1) % 8]).expect("jmp");
        }
    });
}

/// Registers: mov, lea, add in one block.
#[divan::bench]
fn registers(bencher: Bencher<'_, '_>) {
    run(bencher, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top).expect("label");
        for _ in 0..8 {
            a.mov(rax, rcx).expect("mov");
            a.lea(rdx, ptr(rax + rcx * 4 + 8)).expect("lea");
            a.add(rcx, rdx).expect("add");
        }
        a.jmp(top).expect("jmp");
    });
}

/// TLB: loads and stores that hit.
#[divan::bench]
fn loads_and_stores(bencher: Bencher<'_, '_>) {
    run(bencher, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top).expect("label");
        for i in 0..8 {
            a.mov(rax, ptr(rsi + i * 8)).expect("mov");
            a.mov(ptr(rdi + i * 8), rax).expect("mov");
        }
        a.jmp(top).expect("jmp");
    });
}

/// Flags: compares and conditional branches of a sort's inner loop.
#[divan::bench]
fn flags(bencher: Bencher<'_, '_>) {
    run(bencher, |a| {
        let mut top = a.create_label();
        let mut out = a.create_label();
        a.set_label(&mut top).expect("label");
        a.mov(eax, ptr(rsi + rbx * 4)).expect("mov");
        a.cmp(eax, ecx).expect("cmp");
        a.jb(out).expect("jb");
        a.add(rdx, 1).expect("add");
        a.set_label(&mut out).expect("label");
        a.test(rdx, rdx).expect("test");
        a.inc(rcx).expect("inc");
        a.jmp(top).expect("jmp");
    });
}

fn main() {
    divan::main();
}
