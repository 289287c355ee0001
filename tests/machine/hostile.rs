//! Whatever the guest does, the emulator lives: what ends, ends as hardware would.

use iced_x86::code_asm::{CodeAssembler, al, bx, byte_ptr, dx, word_ptr};
use lockstep::machine::Ending;
use lockstep_cpu::state::{Cr0, Cr4, Efer, Rights, Segment, seg};
use lockstep_tests::guest::Guest;
use lockstep_tests::program::scratch;
use lockstep_tests::random::Random;

const IMAGE: usize = 0x1_0000;
const RESET_VECTOR: usize = 0xfff0;
const ROM: u64 = 0xf_0000;

/// A board whose firmware is this image.
fn firmware(name: &str, image: &[u8], more: &[&str]) -> Guest {
    let path = scratch(name, image).display().to_string();
    let arguments = ["-bios", &path, "-m", "16", "-nographic", "-nodefaults", "-serial", "null", "-seed", "1"];
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let guest = Guest::start(&arguments, &[&["-rtc", "base=2026-01-01T00:00:00", "-no-reboot"], more].concat());
    std::fs::remove_file(path).expect("a scratch file");
    guest
}

/// An image that enters `code` at F000:0000 in real mode.
fn real_mode(code: impl FnOnce(&mut CodeAssembler)) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(16).expect("16-bit");
    code(&mut assembler);
    let bytes = assembler.assemble(0).expect("it assembles");
    let mut image = vec![0xf4; IMAGE];
    image[..bytes.len()].copy_from_slice(&bytes);
    // jmp f000:0000
    image[RESET_VECTOR..RESET_VECTOR + 5].copy_from_slice(&[0xea, 0, 0, 0, 0xf0]);
    image
}

#[test]
fn a_triple_fault_resets_the_machine() {
    let mut image = real_mode(|a| {
        a.mov(bx, 0x100).unwrap();
        // An interrupt table with no entries, in RAM.
        a.db(&[0x2e, 0x0f, 0x01, 0x1f]).unwrap(); // lidt cs:[bx]
        a.int3().unwrap();
    });
    image[0x100..0x106].fill(0);
    assert_eq!(firmware("triple", &image, &[]).run_to_end(1_000_000), Ending::Reset);
}

#[test]
fn the_reset_ports_reset() {
    for (name, port, value) in [("cf9", 0xcf9u16, 0x06u8), ("p92", 0x92, 0x01), ("kbc", 0x64, 0xfe)] {
        let image = real_mode(|a| {
            a.mov(dx, u32::from(port)).unwrap();
            a.mov(al, u32::from(value)).unwrap();
            a.out(dx, al).unwrap();
            a.hlt().unwrap();
        });
        assert_eq!(firmware(name, &image, &[]).run_to_end(1_000_000), Ending::Reset, "{name}");
    }
}

#[test]
fn code_in_device_registers_and_in_nothing_runs_or_faults_but_never_hangs_the_emulator() {
    for (name, target) in [("video", 0xa000u16), ("option-rom", 0xd000)] {
        let mut image = real_mode(|_| {});
        image[..5].copy_from_slice(&[0xea, 0, 0, target as u8, (target >> 8) as u8]);
        firmware(name, &image, &[]).run_to(2_000_000);
    }
    for address in [0xfee0_0000u32, 0xfec0_0000, 0xfed0_0000, 0xf800_0000, 0xffff_ffff] {
        let mut guest = firmware("mmio", &real_mode(|a| a.hlt().unwrap()), &[]);
        let cpu = &mut guest.board.machine.cpus[0];
        protected(cpu);
        cpu.ip = address.into();
        guest.run_to(2_000_000);
    }
}

#[test]
fn page_tables_may_lie_in_rom_in_registers_or_nowhere() {
    for root in [ROM, 0xfee0_0000, 0xfed0_0000, 0xe000_0000, 0xa_0000, 0x000f_ffff_ffff_f000] {
        let mut guest = firmware("tables", &real_mode(|a| a.hlt().unwrap()), &[]);
        for long in [false, true] {
            let cpu = &mut guest.board.machine.cpus[0];
            protected(cpu);
            cpu.cr3 = root;
            cpu.cr4 = if long { Cr4::PAE } else { Cr4::PSE };
            cpu.efer = if long { Efer::LME | Efer::LMA } else { Efer::empty() };
            cpu.cr0 |= Cr0::PG;
            cpu.ip = 0x1000;
            cpu.tlb.flush_all();
            cpu.refresh();
            let now = guest.board.machine.now();
            guest.run_to(now + 100_000);
        }
    }
}

/// Flat protected mode, as a loader leaves it.
fn protected(cpu: &mut lockstep_cpu::Vcpu) {
    let data = Rights::PRESENT | Rights::MEMORY | Rights::WRITABLE | Rights::BIG | Rights::PAGES;
    cpu.seg = [Segment { selector: 16, rights: Rights(data), limit: u32::MAX, base: 0 }; 8];
    cpu.seg[seg::CS] = Segment { selector: 8, rights: Rights(data | Rights::CODE), limit: u32::MAX, base: 0 };
    cpu.cr0 |= Cr0::PE;
    cpu.refresh();
}

/// Flat 64-bit mode over identity-mapped memory; the tables lie at 1 MiB.
fn long(guest: &mut Guest) {
    const TABLES: u64 = 0x10_0000;
    let machine = &mut guest.board.machine;
    machine.bus.memory.write_bytes(TABLES, &(TABLES + 0x1007).to_le_bytes());
    for gib in 0..4u64 {
        machine.bus.memory.write_bytes(TABLES + 0x1000 + 8 * gib, &(gib << 30 | 0x87).to_le_bytes());
    }
    let cpu = &mut machine.cpus[0];
    protected(cpu);
    cpu.cr3 = TABLES;
    cpu.cr4 = Cr4::PAE | Cr4::OSFXSR | Cr4::OSXSAVE | Cr4::FSGSBASE;
    cpu.efer = Efer::LME | Efer::LMA | Efer::SCE | Efer::NXE;
    cpu.cr0 |= Cr0::PG;
    cpu.seg[seg::CS].rights = Rights(cpu.seg[seg::CS].rights.0 & !Rights::BIG | Rights::LONG);
    cpu.tlb.flush_all();
    cpu.refresh();
}

#[test]
fn random_bytes_as_firmware_never_break_the_emulator() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let rounds = if std::env::var_os("LOCKSTEP_LONG").is_some() { 2_000 } else { 60 };
    for round in 0..rounds {
        let image: Vec<u8> = (0..IMAGE).map(|_| random.next() as u8).collect();
        let mut guest = firmware("random", &image, if round % 4 == 0 { &["-smp", "2"] } else { &[] });
        match round % 3 {
            0 => {}
            1 => protected(&mut guest.board.machine.cpus[0]),
            _ => long(&mut guest),
        }
        for slot in 0..16 {
            // Registers that point at memory, at devices, and at nothing.
            let near = [0, 0x8000, 0xf_0000, 0x10_0000, 0xfee0_0000, 0xfec0_0000, 0xfed0_0000, u64::MAX << 20];
            guest.board.machine.cpus[0].gpr[slot] =
                near[(random.next() % 8) as usize].wrapping_add(random.next() % 4096);
        }
        let cpu = &mut guest.board.machine.cpus[0];
        if round % 3 != 0 {
            cpu.ip = ROM + random.next() % 0x8000;
        }
        // Tries on: each fault restarts in other random bytes.
        for _ in 0..20 {
            let now = guest.board.machine.now();
            if guest.run_to(now + 20_000).is_some() {
                break;
            }
            let cpu = &mut guest.board.machine.cpus[0];
            cpu.ip = if cpu.protected() { ROM + random.next() % 0x8000 } else { random.next() & 0xffff };
        }
    }
}

#[test]
fn a_program_that_writes_the_next_instruction_runs_what_it_wrote() {
    let image = real_mode(|a| {
        // In RAM at 0:7c00, a loop that changes the immediate of the instruction right behind the store, ten times.
        a.db(&[0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0]).unwrap(); // xor ax, ax; mov ds, ax; mov es, ax
        a.mov(word_ptr(0x7c00), 0x06fe).unwrap(); // 7c00: inc byte [7c05]
        a.mov(word_ptr(0x7c02), 0x7c05).unwrap();
        a.mov(word_ptr(0x7c04), 0x00b0).unwrap(); // 7c04: mov al, imm8
        a.mov(word_ptr(0x7c06), 0x0a3c).unwrap(); // 7c06: cmp al, 10
        a.mov(word_ptr(0x7c08), 0xf675).unwrap(); // 7c08: jne 7c00
        a.mov(word_ptr(0x7c0a), 0xf4e6).unwrap(); // 7c0a: out 0xf4, al
        a.mov(byte_ptr(0x7c0c), 0xf4u32 as i32).unwrap(); // hlt
        a.db(&[0xea, 0x00, 0x7c, 0x00, 0x00]).unwrap(); // jmp 0:7c00
    });
    let mut guest = firmware("selfmod", &image, &["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]);
    assert_eq!(guest.run_to_end(10_000), Ending::Exit(10 << 1 | 1));
}

#[test]
fn a_fault_handler_that_faults_at_once_takes_time_all_the_same() {
    let mut image = real_mode(|a| {
        // Vector 6 (#UD) points at an undefined instruction at F000:0100.
        a.db(&[0x31, 0xc0, 0x8e, 0xd8]).unwrap(); // xor ax, ax; mov ds, ax
        a.mov(word_ptr(6 * 4), 0x100).unwrap();
        a.mov(word_ptr(6 * 4 + 2), 0xf000u32 as i32).unwrap();
        a.ud2().unwrap();
    });
    image[0x100..0x102].copy_from_slice(&[0x0f, 0x0b]); // ud2
    let mut guest = firmware("faults", &image, &[]);
    assert_eq!(guest.run_to(100_000), None);
    assert_eq!(guest.board.machine.now(), 100_000);
}
