//! The devices of the whole board, driven by guests of a few instructions.

use iced_x86::IcedError;
use iced_x86::code_asm::CodeAssembler;
use iced_x86::code_asm::*;
use lockstep::board;
use lockstep::machine::Ending;
use lockstep::snapshot::Snapshot;
use lockstep_tests::guest::{Guest, config};
use lockstep_tests::image;
use lockstep_tests::whole_catalog::WholeCatalog;

/// Where interrupt handlers lie in segment F000h.
const HANDLER: u16 = 0x4000;
const SECOND: u64 = 1_000_000_000;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn board_with(bios: &str) -> Vec<String> {
    words(&format!(
        "-bios {bios} -m 4,slots=1,maxmem=1G -seed 1 -rtc base=2026-01-01 -nodefaults -nographic -serial null -no-reboot"
    ))
}

fn out(a: &mut CodeAssembler, port: u32, value: u32) -> Result<(), IcedError> {
    a.mov(al, value)?;
    a.mov(dx, port)?;
    a.out(dx, al)
}

/// A stack below 7000h, DS and ES at zero.
fn set_up(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.cli()?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, 0x7000)
}

/// The 8259 pair as PCs have it: vectors 8 and 70h, with these inputs masked.
fn set_up_pics(a: &mut CodeAssembler, masks: [u32; 2]) -> Result<(), IcedError> {
    for (port, values) in [(0x20, [0x11, 0x08, 4, 1, masks[0]]), (0xa0, [0x11, 0x70, 2, 1, masks[1]])] {
        out(a, port, values[0])?;
        for value in &values[1..] {
            out(a, port + 1, *value)?;
        }
    }
    Ok(())
}

/// Divides by zero twice with CR0.NE clear and the exception unmasked; says `D` after each.
fn x87_errors(a: &mut CodeAssembler) -> Result<(), IcedError> {
    const IRQ_13: u32 = 0x75;
    set_up(a)?;
    a.mov(word_ptr(IRQ_13 * 4), u32::from(HANDLER))?;
    a.mov(word_ptr(IRQ_13 * 4 + 2), 0xf000)?;
    set_up_pics(a, [0xfb, 0xdf])?;
    // Eight bits a character.
    out(a, 0x3fb, 3)?;
    a.fninit()?;
    a.mov(word_ptr(0x500), 0x37b)?;
    a.fldcw(word_ptr(0x500))?;
    a.sti()?;
    a.fld1()?;
    for _ in 0..2 {
        a.fldz()?;
        a.fdivp(st1, st0)?;
        a.wait()?;
        out(a, 0x3f8, u32::from(b'D'))?;
        a.fstp(st0)?;
    }
    out(a, 0x501, 3)
}

/// The handler of IRQ 13: says `I`.
fn x87_handler(a: &mut CodeAssembler) -> Result<(), IcedError> {
    out(a, 0x3f8, u32::from(b'I'))?;
    out(a, 0xf0, 0)?;
    a.fnclex()?;
    out(a, 0xa0, 0x20)?;
    out(a, 0x20, 0x20)?;
    a.iret()
}

#[test]
fn x87_errors_interrupt_as_irq_13_when_cr0_ne_is_clear() {
    let pieces = [image::code(0, x87_errors), image::code(HANDLER, x87_handler)];
    let bios = image::write("x87-errors", &pieces);
    let mut guest = Guest::start(&board_with(&bios), &["-device", "isa-debug-exit"]);
    assert_eq!(guest.run_to(SECOND), Some(Ending::Exit(7)));
    assert_eq!(guest.console, "IDID");
}

/// Ports that a guest may read and write at random without ending the run or drowning in interrupts.
fn ports() -> Vec<u16> {
    let mut ports: Vec<u16> = (0..0x10).chain([0x21]).chain(0x40..0x44).chain([0x60, 0x61, 0x70, 0x71]).collect();
    ports.extend((0x80..0x90).chain([0xa1]).chain((0xc0..0xe0).step_by(2)).chain([0xe9, 0xf0]));
    ports.extend((0xe0..0xe9).chain([0x441, 0x443, 0x505]));
    ports.extend((0x170..0x178).chain([0x376]).chain(0x1f0..0x1f8).chain([0x3f6]).chain(0x3c0..0x3e0));
    ports.extend((0x3e8..0x3f0).chain(0x3f8..0x400).chain(0x510..0x512).chain([0xcf8]).chain(0xcfa..0xd00));
    ports
}

/// Where the random guest reaches memory: RAM and the registers of HPET, I/O APIC and local APICs.
const PLACES: [u32; 4] = [0x8000, 0xfed0_0000, 0xfec0_0000, 0xfee0_0000];
const PORT_TABLE: u16 = 0x8000;
const PLACE_TABLE: u16 = 0x9000;
const GDT: u16 = 0xa000;
const GDT_POINTER: u16 = 0xa010;

/// Lets the 8254 interrupt again, whatever was done to the devices on the way: nothing else ends a halt for sure.
fn restore_timer(a: &mut CodeAssembler) -> Result<(), IcedError> {
    const HPET_CONFIGURATION: u32 = 0xfed0_0010;
    const SPURIOUS_VECTOR: u32 = 0xfee0_00f0;
    const LINT0: u32 = 0xfee0_0350;
    for (register, value) in [(HPET_CONFIGURATION, 0), (SPURIOUS_VECTOR, 0x1ff), (LINT0, 0x700)] {
        a.mov(edi, register)?;
        a.mov(dword_ptr(edi).fs(), value)?;
    }
    set_up_pics(a, [0, 0])?;
    for (at, value) in [(0x43, 0x34), (0x40, 0x08), (0x40, 0)] {
        out(a, at, value)?;
    }
    Ok(())
}

/// Reads and writes ports and registers at random, with every interrupt on and now and then a halt.
fn random_accesses(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let (mut fill, mut again, mut port, mut read, mut write) =
        (a.create_label(), a.create_label(), a.create_label(), a.create_label(), a.create_label());
    set_up(a)?;
    // Unreal mode: FS reaches all addresses.
    a.lgdt(fword_ptr(u32::from(GDT_POINTER)).cs())?;
    a.mov(eax, cr0)?;
    a.or(al, 1)?;
    a.mov(cr0, eax)?;
    a.mov(bx, 8)?;
    a.mov(fs, bx)?;
    a.and(al, 0xfe)?;
    a.mov(cr0, eax)?;
    a.xor(di, di)?;
    a.mov(cx, 256)?;
    a.set_label(&mut fill)?;
    a.mov(word_ptr(di), u32::from(HANDLER))?;
    a.mov(word_ptr(di + 2), 0xf000)?;
    a.add(di, 4)?;
    a.loop_(fill)?;
    restore_timer(a)?;
    a.mov(esi, 1)?;
    a.set_label(&mut again)?;
    a.sti()?;
    a.imul_3(esi, esi, 1_664_525)?;
    a.add(esi, 1_013_904_223)?;
    a.mov(ebp, esi)?;
    a.shr(ebp, 16)?;
    a.mov(bx, bp)?;
    a.and(bx, 0xff)?;
    a.cmp(bx, ports().len() as u32)?;
    a.jb(port)?;
    a.mov(edi, esi)?;
    a.shr(edi, 8)?;
    a.and(edi, 0x3f0)?;
    a.and(bx, 0xc)?;
    a.add(edi, dword_ptr(bx + i32::from(PLACE_TABLE as i16)).cs())?;
    a.mov(eax, esi)?;
    a.test(bp, 0x100)?;
    a.jnz(write)?;
    a.mov(eax, dword_ptr(edi).fs())?;
    a.test(bp, 0x7e00)?;
    a.jnz(again)?;
    restore_timer(a)?;
    a.hlt()?;
    a.jmp(again)?;
    a.set_label(&mut write)?;
    a.mov(dword_ptr(edi).fs(), eax)?;
    a.jmp(again)?;
    a.set_label(&mut port)?;
    a.add(bx, bx)?;
    a.mov(dx, word_ptr(bx + i32::from(PORT_TABLE as i16)).cs())?;
    a.test(bp, 0x100)?;
    a.jz(read)?;
    a.mov(eax, esi)?;
    a.out(dx, al)?;
    a.jmp(again)?;
    a.set_label(&mut read)?;
    a.in_(al, dx)?;
    a.mov(byte_ptr(bx + 0x600), al)?;
    a.jmp(again)
}

/// Ends the interrupt, whichever it was.
fn end_interrupt(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.push(ax)?;
    a.mov(al, 0x20)?;
    a.out(0xa0, al)?;
    a.out(0x20, al)?;
    a.pop(ax)?;
    a.iret()
}

fn random_guest(whole: &WholeCatalog) -> Vec<String> {
    let bytes = |words: &[u16]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let gdt: Vec<u8> = [0u64, 0x00cf_9300_0000_ffff].iter().flat_map(|d| d.to_le_bytes()).collect();
    let pieces = [
        image::code(0, random_accesses),
        image::code(HANDLER, end_interrupt),
        (PORT_TABLE, bytes(&ports())),
        (PLACE_TABLE, PLACES.iter().flat_map(|p| p.to_le_bytes()).collect()),
        (GDT, gdt),
        (GDT_POINTER, bytes(&[15, GDT, 0xf])),
    ];
    let mut arguments = board_with(&image::write("random", &pieces));
    arguments.extend(words("-smp 2 -cpu max"));
    arguments.extend(whole.arguments.iter().cloned());
    arguments
}

#[test]
fn a_board_saved_and_loaded_at_any_tick_goes_on_alike() {
    const END: u64 = 2_000_000;
    let whole_catalog = WholeCatalog::new("random");
    let arguments = random_guest(&whole_catalog);
    let mut whole = Guest::start(&arguments, &[]);
    let ended = whole.run_to(END);
    let state = whole.board.machine.save_state().expect("a state");
    let mut random = 0x5eed_u64;
    for _ in 0..12 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (at, elsewhere) = ((random >> 20) % END, (random >> 40) % END);
        let mut first = Guest::start(&arguments, &[]);
        first.run_to(at);
        let saved = Snapshot::of(&first.board.machine).expect("it can be saved");
        // Into a machine that has run elsewhere: all that it was must go.
        let mut second = Guest::start(&arguments, &[]);
        second.run_to(elsewhere);
        saved.restore(&mut second.board.machine).expect("it can be loaded");
        assert_eq!(second.board.machine.save_state().expect("a state"), saved.state, "loaded at {at}");
        second.console = first.console;
        assert_eq!(second.run_to(END), ended, "saved at {at}");
        assert_eq!(second.board.machine.save_state().expect("a state"), state, "saved at {at}");
        assert_eq!((second.digest(), &second.console), (whole.digest(), &whole.console), "saved at {at}");
    }
    assert!(whole.board.machine.now() == END, "the guest ended early: {ended:?}");
}

#[test]
fn ports_that_are_taken_and_names_that_exist_are_refused() {
    let bios = image::write("refused", &[image::code(0, CodeAssembler::hlt)]);
    let error = |more: &str| {
        let arguments: Vec<_> = board_with(&bios).into_iter().chain(words(more)).collect();
        board::build(&config(&arguments)).err().map(|why| why.to_string()).unwrap_or_default()
    };
    assert_eq!(error("-device isa-serial"), "-device isa-serial: 0x3f8 is taken by 'serial0'");
    assert_eq!(
        error("-device isa-debug-exit,id=rtc"),
        "-device isa-debug-exit,id=rtc: there is already a device 'rtc'"
    );
    assert_eq!(error("-device isa-serial,index=1"), "");
    assert_eq!(error("-device virtio-blk-pci"), "-device virtio-blk-pci: drive property not set");
    assert_eq!(error("-drive if=virtio"), "-drive if=virtio: Device needs media, but drive is empty");
}
