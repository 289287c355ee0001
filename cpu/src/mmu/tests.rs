use crate::fault::{Fault, vector};
use crate::fixture::*;
use crate::state::{Cr0, Cr4, Efer, Rflags};
use iced_x86::code_asm::*;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const USER: u64 = 4;
const NO_EXECUTE: u64 = 1 << 63;

const PROTECTION: u16 = 1;
const WRITE: u16 = 2;
const USER_MODE: u16 = 4;
const RESERVED: u16 = 8;
const FETCH: u16 = 16;

/// The page that tests touch, and the 4-KiB table that maps it.
const PAGE: u64 = 0x20_0000;
const TABLE: u64 = TABLES + 0x3000;

/// Long mode with 4-KiB pages for the 2 MiB at [`PAGE`].
fn machine() -> Machine {
    let mut m = Machine::new(Mode::Long);
    m.write64(TABLES + 0x2000 + 8, TABLE | PRESENT | WRITABLE | USER);
    for i in 0..512 {
        m.write64(TABLE + 8 * i, (PAGE + 0x1000 * i) | PRESENT | WRITABLE | USER);
    }
    m
}

fn map(m: &mut Machine, entry: u64) {
    m.write64(TABLE, PAGE | entry);
}

fn error(result: Result<u64, Fault>) -> Option<u16> {
    let fault = result.err()?;
    assert_eq!(fault.vector(), Some(vector::PF));
    fault.error()
}

fn read(m: &mut Machine) -> Option<u16> {
    error(m.cpu.load::<u64>(&mut m.bus, PAGE))
}

fn write(m: &mut Machine) -> Option<u16> {
    error(m.cpu.store::<u64>(&mut m.bus, PAGE, 1).map(|()| 0))
}

fn fetch(m: &mut Machine) -> Option<u16> {
    error(m.cpu.fetch(&mut m.bus, PAGE).map(|_| 0))
}

#[test]
fn error_codes_tell_what_was_wrong_with_an_access() {
    let mut m = machine();
    m.cpu.set_cpl(3);
    map(&mut m, 0);
    assert_eq!(read(&mut m), Some(USER_MODE));
    assert_eq!(write(&mut m), Some(USER_MODE | WRITE));
    assert_eq!(fetch(&mut m), Some(USER_MODE | FETCH));
    assert_eq!(m.cpu.fault_address, PAGE);
    map(&mut m, PRESENT | USER | NO_EXECUTE);
    assert_eq!(write(&mut m), Some(USER_MODE | WRITE | PROTECTION));
    assert_eq!(fetch(&mut m), Some(USER_MODE | FETCH | PROTECTION));
    assert_eq!(read(&mut m), None);
    let mut m = machine();
    m.cpu.set_cpl(3);
    map(&mut m, PRESENT | WRITABLE);
    assert_eq!(read(&mut m), Some(USER_MODE | PROTECTION));
}

#[test]
fn write_protection_of_the_supervisor_follows_cr0() {
    let mut m = machine();
    map(&mut m, PRESENT | USER);
    assert_eq!(write(&mut m), Some(WRITE | PROTECTION));
    m.cpu.cr0.remove(Cr0::WP);
    assert_eq!(write(&mut m), None);
}

#[test]
fn smep_and_smap_keep_the_supervisor_off_user_pages() {
    let mut m = machine();
    m.cpu.cr4 |= Cr4::SMEP | Cr4::SMAP;
    m.cpu.refresh();
    assert_eq!(read(&mut m), Some(PROTECTION));
    assert_eq!(fetch(&mut m), Some(PROTECTION | FETCH));
    m.cpu.flags.set(Rflags::AC, true);
    m.cpu.refresh();
    assert_eq!(read(&mut m), None);
    assert_eq!(write(&mut m), None);
    assert!(m.cpu.load_system::<u64>(&mut m.bus, PAGE).is_err(), "AC lifts nothing for the processor itself");
}

#[test]
fn reserved_bits_fault_even_where_the_rest_would_do() {
    let mut m = machine();
    map(&mut m, PRESENT | WRITABLE | USER | 1 << 45);
    assert_eq!(read(&mut m), Some(PROTECTION | RESERVED));
    let mut m = machine();
    m.cpu.efer.remove(Efer::NXE);
    map(&mut m, PRESENT | WRITABLE | USER | NO_EXECUTE);
    assert_eq!(read(&mut m), Some(PROTECTION | RESERVED));
    let mut m = machine();
    m.write64(TABLES + 0x2000 + 8, PAGE | 0x87 | 1 << 13);
    assert_eq!(read(&mut m), Some(PROTECTION | RESERVED), "an unaligned large page");
}

#[test]
fn accessed_and_dirty_bits_are_set_as_pages_are_used() {
    let mut m = machine();
    assert_eq!(read(&mut m), None);
    assert_eq!(m.read64(TABLE) & 0x60, 0x20);
    assert_eq!(write(&mut m), None);
    assert_eq!(m.read64(TABLE) & 0x60, 0x60);
}

#[test]
fn thirty_two_bit_paging_has_small_and_large_pages() {
    let mut m = Machine::new(Mode::Protected);
    m.write32(TABLES, 0x83);
    m.write32(TABLES + 4, 0x0080_2087);
    m.write32(TABLES + 8, (TABLE | 7) as u32);
    m.write32(TABLE, 0x1_0005);
    m.cpu.cr3 = TABLES;
    m.cpu.cr4 |= Cr4::PSE;
    m.cpu.cr0 |= Cr0::PG | Cr0::WP;
    m.cpu.refresh();
    m.cpu.tlb.flush_all();
    m.write(0x1_0000, &[0x5a]);
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, 0x80_0000), Ok(0x5a));
    assert_eq!(m.cpu.store::<u8>(&mut m.bus, 0x80_0000, 1), Err(Fault::pf(PROTECTION | WRITE)));
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, 0xc0_0000), Err(Fault::pf(0)));
    // PSE-36: the large page lies beyond 4 GiB, where nothing answers.
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, 0x40_0000), Ok(0xff));
    m.write32(TABLES + 4, 0x0020_0087);
    m.cpu.tlb.flush_all();
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, 0x40_0000), Err(Fault::pf(PROTECTION | RESERVED)));
    assert_eq!(m.cpu.fetch(&mut m.bus, 0xc0_0000), Err(Fault::pf(0)), "no NX, no fetch bit");
}

#[test]
fn pae_paging_goes_through_four_pointers_without_rights() {
    let mut m = Machine::new(Mode::Protected);
    m.write64(TABLES, (TABLES + 0x1000) | 1);
    m.write64(TABLES + 0x1000, 0x87);
    m.write64(TABLES + 0x1008, TABLE | 7);
    m.write64(TABLE, 0x1_0000 | 5 | NO_EXECUTE);
    m.cpu.cr3 = TABLES;
    m.cpu.cr4 |= Cr4::PAE;
    m.cpu.efer |= Efer::NXE;
    m.cpu.cr0 |= Cr0::PG;
    m.cpu.set_cpl(3);
    m.cpu.tlb.flush_all();
    m.write(0x1_0000, &[0x5a]);
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, PAGE), Ok(0x5a));
    assert_eq!(write(&mut m), Some(PROTECTION | WRITE | USER_MODE));
    assert_eq!(fetch(&mut m), Some(PROTECTION | FETCH | USER_MODE));
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, 0x4000_0000), Err(Fault::pf(USER_MODE)));
    m.write64(TABLES, (TABLES + 0x1000) | 3);
    m.cpu.tlb.flush_all();
    assert_eq!(read(&mut m), Some(PROTECTION | RESERVED | USER_MODE));
}

#[test]
fn five_levels_translate_fifty_seven_bits() {
    let mut m = machine();
    m.write64(TABLES + 0x4000, TABLES | 7);
    m.write64(TABLES + 0x4000 + 8 * 5, TABLES | 7);
    m.cpu.cr3 = TABLES + 0x4000;
    let high = 5 << 48 | PAGE;
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, high), Err(Fault::NOT_CANONICAL));
    m.cpu.cr4 |= Cr4::LA57;
    m.cpu.tlb.flush_all();
    m.write(PAGE, &[0x5a]);
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, high), Ok(0x5a));
    assert_eq!(m.cpu.load::<u8>(&mut m.bus, 1 << 57), Err(Fault::NOT_CANONICAL));
}

#[test]
fn a_translation_is_kept_until_it_is_invalidated() {
    let mut m = machine();
    m.assemble(64, |a| {
        a.mov(rax, PAGE).unwrap();
        a.mov(rbx, qword_ptr(rax)).unwrap();
        a.mov(rcx, TABLE).unwrap();
        a.mov(rdx, PAGE + 0x1000 + 7).unwrap();
        a.mov(qword_ptr(rcx), rdx).unwrap();
        a.mov(rsi, qword_ptr(rax)).unwrap();
        a.invlpg(byte_ptr(rax)).unwrap();
        a.mov(rdi, qword_ptr(rax)).unwrap();
        a.hlt().unwrap();
    });
    m.write64(PAGE, 1);
    m.write64(PAGE + 0x1000, 2);
    m.run();
    assert_eq!((m.cpu.gpr[3], m.cpu.gpr[6], m.cpu.gpr[7]), (1, 1, 2));
}

#[test]
fn contexts_keep_their_translations_apart_and_invpcid_drops_them() {
    let mut m = machine();
    m.cpu.cr4 |= Cr4::PCIDE;
    m.assemble(64, |a| {
        let keep = 1u64 << 63;
        a.mov(r8, PAGE).unwrap();
        a.mov(r9, TABLE).unwrap();
        a.mov(r10, PAGE + 0x1000 + 7).unwrap();
        a.mov(rax, TABLES | 1).unwrap();
        a.mov(cr3, rax).unwrap();
        a.mov(rbx, qword_ptr(r8)).unwrap();
        a.mov(qword_ptr(r9), r10).unwrap();
        a.mov(rax, TABLES | 2).unwrap();
        a.mov(cr3, rax).unwrap();
        a.mov(rax, TABLES | 1 | keep).unwrap();
        a.mov(cr3, rax).unwrap();
        a.mov(rdx, qword_ptr(r8)).unwrap();
        a.mov(rax, cr3).unwrap();
        a.mov(edi, 1u32).unwrap();
        a.push(0).unwrap();
        a.push(1).unwrap();
        a.invpcid(rdi, xmmword_ptr(rsp)).unwrap();
        a.mov(rsi, qword_ptr(r8)).unwrap();
        a.hlt().unwrap();
    });
    m.write64(PAGE, 1);
    m.write64(PAGE + 0x1000, 2);
    m.run();
    assert_eq!((m.cpu.gpr[3], m.cpu.gpr[2], m.cpu.gpr[6]), (1, 1, 2));
    assert_eq!(m.cpu.gpr[0], TABLES | 1, "the request to keep is not stored");
}
