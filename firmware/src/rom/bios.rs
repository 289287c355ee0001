//! The BIOS's 16-bit code: the start, the stubs that call the services of [`crate::bios`], and the hardware interrupts.

use iced_x86::code_asm::{
    AsmRegister8, CodeAssembler, CodeLabel, ah, al, ax, bx, byte_ptr, cr0, cs, cx, di, ds, dword_ptr, dx, eax, ebx,
    edi, edx, es, fword_ptr, si, sp, ss,
};
use iced_x86::{BlockEncoderOptions, IcedError};

use super::entry::{
    CPUID_APIC, DATA_SELECTOR, EXT_INT, GDTR, LVT_LINT0, LVT_LINT1, NMI, SOFTWARE_ENABLE, SPURIOUS_VECTOR,
};
use super::{DATA, DUMMY_HANDLER, START, VECTOR_COUNT};
use crate::bios::{Action, PORT, Phase, vector};

/// INT 15h AH=C0h: length, model, submodel, revision, features (second 8259, RTC, keyboard intercept; functions of enhanced keyboards).
pub(super) const CONFIGURATION: [u8; 10] = [8, 0, 0xfc, 0, 1, 0b0111_0100, 0b0100_0000, 0, 0, 0];
/// INT 1Eh: a 1.44M drive's timing, 512-byte sectors, 18 of them, gaps, fill byte, head settle and motor start times.
pub(super) const FLOPPY_PARAMETERS: [u8; 11] = [0xaf, 0x02, 0x25, 0x02, 0x12, 0x1b, 0xff, 0x6c, 0xf6, 0x0f, 0x08];
/// `mov ax, 82h` (function not supported), `retf`.
pub(super) const PLUG_AND_PLAY: [u8; 4] = [0xb8, 0x82, 0x00, 0xcb];
/// `iret`.
pub(super) const DUMMY: [u8; 1] = [0xcf];

/// Interrupts that a stub passes to the services.
const SERVICES: [u16; 11] = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a];
/// Hooks, and exceptions, that do nothing.
const DUMMIES: [u16; 13] = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1b, 0x1c, 0x1d, 0x1f, 0x4a];
/// Where the stack of the start is: below the place of the boot sector.
const STACK: u32 = 0x7c00;
/// Where the stack of a resume is, in the extended data area.
const RESUME_STACK: u32 = 0x400;
const MASTER: u32 = 0x20;
const SLAVE: u32 = 0xa0;
const END_OF_INTERRUPT: u32 = 0x20;

/// The BIOS's code at [`START`], and the offsets of its handlers.
pub(super) struct Bios {
    pub(super) code: Vec<u8>,
    pub(super) vectors: Vec<u8>,
}

/// The code under construction.
struct Stubs {
    a: CodeAssembler,
    /// Where all service stubs meet.
    common: CodeLabel,
    post: CodeLabel,
    scan_code: CodeLabel,
    handlers: Vec<(u16, CodeLabel)>,
}

pub(super) fn assemble() -> Result<Bios, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    let [common, post, scan_code] = std::array::from_fn(|_| a.create_label());
    let mut s = Stubs { a, common, post, scan_code, handlers: Vec::new() };
    s.start()?;
    s.services()?;
    s.common()?;
    s.timer()?;
    s.keyboard()?;
    s.other_interrupts()?;
    let result = s.a.assemble_options(START as u64, BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
    let mut vectors = vec![0; 2 * VECTOR_COUNT];
    let mut put = |vector: u16, offset: u16| {
        let at = 2 * usize::from(vector);
        vectors[at..at + 2].copy_from_slice(&offset.to_le_bytes());
    };
    for vector in DUMMIES {
        put(vector, DUMMY_HANDLER as u16);
    }
    for (vector, label) in &s.handlers {
        put(*vector, result.label_ip(label)? as u16);
    }
    Ok(Bios { code: result.inner.code_buffer, vectors })
}

fn out(a: &mut CodeAssembler, port: u32, value: u32, through: AsmRegister8) -> Result<(), IcedError> {
    a.mov(through, value)?;
    a.out(port, al)
}

impl Stubs {
    /// From the reset vector to INT 19h.
    fn start(&mut self) -> Result<(), IcedError> {
        const PORT_92: u32 = 0x92;
        const A20_ON: u32 = 1 << 1;
        const FAST_RESET: u32 = 1 << 0;
        let [mut next_rom, mut no_more, mut back] = std::array::from_fn(|_| self.a.create_label());
        let a = &mut self.a;
        a.cli()?;
        a.cld()?;
        a.in_(al, PORT_92)?;
        a.or(al, A20_ON)?;
        a.and(al, !FAST_RESET & 0xff)?;
        a.out(PORT_92, al)?;
        self.shutdown_code()?;
        self.local_apic()?;
        self.segments()?;
        self.a.mov(sp, STACK)?;
        self.phase(Phase::Shadow)?;
        self.phase(Phase::Devices)?;

        self.a.set_label(&mut next_rom)?;
        self.phase(Phase::OptionRom)?;
        let pnp = u32::from(crate::bios::PNP_STRUCTURE);
        let a = &mut self.a;
        a.test(bx, bx)?;
        a.jz(no_more)?;
        // The ROM returns to `back`: no far call through a register's segment exists.
        a.push(cs)?;
        a.call(back)?;
        self.segments()?;
        self.a.cld()?;
        self.a.cli()?;
        self.a.jmp(next_rom)?;
        let a = &mut self.a;
        a.set_label(&mut back)?;
        a.push(bx)?;
        a.push(3_u32)?;
        a.push(cs)?;
        a.pop(es)?;
        a.mov(di, pnp)?;
        a.mov(bx, 0xffff_u32)?;
        a.mov(dx, 0xffff_u32)?;
        a.retf()?;

        a.set_label(&mut no_more)?;
        self.phase(Phase::Finish)?;
        self.a.sti()?;
        self.a.int(0x19)?;
        self.a.int(0x18)
    }

    fn segments(&mut self) -> Result<(), IcedError> {
        let a = &mut self.a;
        a.xor(ax, ax)?;
        a.mov(ds, ax)?;
        a.mov(es, ax)?;
        a.mov(ss, ax)
    }

    /// Software of the 286's time leaves protected mode by a reset, and asks by CMOS byte 0Fh to be continued at the far pointer in
    /// 40:67, with (05h) or without (0Ah) the interrupt in service ended.
    fn shutdown_code(&mut self) -> Result<(), IcedError> {
        const CMOS_INDEX: u32 = 0x70;
        const CMOS_DATA: u32 = 0x71;
        const SHUTDOWN: u32 = 0x0f;
        const CONTINUE_WITH_EOI: u32 = 0x05;
        const CONTINUE: u32 = 0x0a;
        const CONTINUE_AT: u16 = 0x467;
        /// After a sleep: to the waking vector.
        const RESUME: u32 = 0xfe;
        let [mut with_eoi, mut plain, mut not_resuming, mut none] = std::array::from_fn(|_| self.a.create_label());
        let a = &mut self.a;
        out(a, CMOS_INDEX, SHUTDOWN, al)?;
        a.in_(al, CMOS_DATA)?;
        a.mov(ah, al)?;
        out(a, CMOS_INDEX, SHUTDOWN, al)?;
        out(a, CMOS_DATA, 0, al)?;
        a.cmp(ah, CONTINUE)?;
        a.je(plain)?;
        a.cmp(ah, CONTINUE_WITH_EOI)?;
        a.jne(not_resuming)?;
        a.set_label(&mut with_eoi)?;
        out(a, SLAVE, END_OF_INTERRUPT, al)?;
        out(a, MASTER, END_OF_INTERRUPT, al)?;
        a.set_label(&mut plain)?;
        a.xor(ax, ax)?;
        a.mov(ds, ax)?;
        // A far jump through memory, which the assembler has no word for; nothing may be pushed on a stack that is not ours.
        let [low, high] = CONTINUE_AT.to_le_bytes();
        a.db(&[0xff, 0x2e, low, high])?;
        a.set_label(&mut not_resuming)?;
        a.cmp(ah, RESUME)?;
        a.jne(none)?;
        // The stack behind the text in the extended data area: all other memory is the operating system's.
        a.mov(ax, u32::from(crate::bios::TEXT.0))?;
        a.mov(ss, ax)?;
        a.mov(sp, RESUME_STACK)?;
        self.phase(Phase::Resume)?;
        // Nobody has left word where to go on.
        let a = &mut self.a;
        a.set_label(&mut none)?;
        a.nop()
    }

    /// Lets the 8259's interrupts through the local APIC, whose registers only a segment of 4 GiB reaches.
    fn local_apic(&mut self) -> Result<(), IcedError> {
        const CR0_PE: u32 = 1 << 0;
        /// A vector that nothing else uses.
        const SPURIOUS: u32 = 0x0f;
        let mut none = self.a.create_label();
        let a = &mut self.a;
        a.mov(eax, 1_u32)?;
        a.cpuid()?;
        a.test(edx, CPUID_APIC)?;
        a.jz(none)?;
        a.lgdt(fword_ptr((DATA + GDTR) as u32).cs())?;
        a.mov(eax, cr0)?;
        a.or(al, CR0_PE)?;
        a.mov(cr0, eax)?;
        a.mov(bx, u32::from(DATA_SELECTOR))?;
        a.mov(ds, bx)?;
        for (register, value) in [(SPURIOUS_VECTOR, SOFTWARE_ENABLE | SPURIOUS), (LVT_LINT0, EXT_INT), (LVT_LINT1, NMI)]
        {
            a.mov(edi, register)?;
            a.mov(dword_ptr(edi), value)?;
        }
        a.and(al, !CR0_PE & 0xff)?;
        a.mov(cr0, eax)?;
        a.set_label(&mut none)?;
        a.nop()
    }

    /// Calls a phase of the start.
    fn phase(&mut self, phase: Phase) -> Result<(), IcedError> {
        self.a.mov(ax, u32::from(phase as u16))?;
        self.internal(self.post)
    }

    /// Calls a stub as INT does.
    fn internal(&mut self, stub: CodeLabel) -> Result<(), IcedError> {
        self.a.pushf()?;
        self.a.push(cs)?;
        self.a.call(stub)
    }

    fn services(&mut self) -> Result<(), IcedError> {
        for vector in SERVICES {
            let mut stub = self.a.create_label();
            self.a.set_label(&mut stub)?;
            self.stub(vector)?;
            self.handlers.push((vector, stub));
        }
        self.a.set_label(&mut self.post)?;
        self.stub(vector::POST)?;
        self.a.set_label(&mut self.scan_code)?;
        self.stub(vector::SCAN_CODE)
    }

    /// Room for the chain address, and the vector.
    fn stub(&mut self, vector: u16) -> Result<(), IcedError> {
        self.a.sub(sp, 4_u32)?;
        self.a.push(u32::from(vector))?;
        self.a.jmp(self.common)
    }

    /// Completes the frame, calls, and does as it is told.
    fn common(&mut self) -> Result<(), IcedError> {
        /// How often a loop turns before the services are asked again: a tick or two each.
        const PATIENCE: u32 = 400;
        let [mut call, mut ask, mut poll, mut wait, mut halt, mut yielding, mut print, mut chain] =
            std::array::from_fn(|_| self.a.create_label());
        let [mut turn, mut turn_open, mut next, mut printed, mut done] = std::array::from_fn(|_| self.a.create_label());
        let a = &mut self.a;
        a.set_label(&mut self.common)?;
        a.push(es)?;
        a.push(ds)?;
        a.pushad()?;
        a.cld()?;
        a.set_label(&mut call)?;
        a.xor(eax, eax)?;
        a.mov(ax, ss)?;
        a.shl(eax, 4_u32)?;
        a.xor(ebx, ebx)?;
        a.mov(bx, sp)?;
        a.add(eax, ebx)?;
        a.mov(dx, u32::from(PORT))?;
        a.out(dx, eax)?;
        a.set_label(&mut ask)?;
        a.in_(al, dx)?;
        for (action, target) in [
            (Action::Done, done),
            (Action::Poll, poll),
            (Action::Again, call),
            (Action::Halt, halt),
            (Action::Yield, yielding),
            (Action::Print, print),
            (Action::Chain, chain),
        ] {
            a.cmp(al, u32::from(action as u8))?;
            a.je(target)?;
        }
        // Nothing answers at the port: the ROM has been put into a machine without its services.
        a.set_label(&mut wait)?;
        a.hlt()?;
        a.jmp(wait)?;

        a.set_label(&mut poll)?;
        a.mov(cx, PATIENCE)?;
        a.set_label(&mut turn)?;
        a.loop_(turn)?;
        a.jmp(ask)?;

        a.set_label(&mut halt)?;
        a.sti()?;
        a.hlt()?;
        a.cli()?;
        a.jmp(call)?;

        a.set_label(&mut yielding)?;
        a.sti()?;
        a.mov(cx, PATIENCE)?;
        a.set_label(&mut turn_open)?;
        a.loop_(turn_open)?;
        a.cli()?;
        a.jmp(call)?;

        a.set_label(&mut print)?;
        a.mov(ax, u32::from(crate::bios::TEXT.0))?;
        a.mov(ds, ax)?;
        a.mov(si, u32::from(crate::bios::TEXT.1))?;
        a.set_label(&mut next)?;
        a.lodsb()?;
        a.test(al, al)?;
        a.jz(printed)?;
        a.mov(ah, 0x0e_u32)?;
        a.mov(bx, 0x0007_u32)?;
        a.int(0x10)?;
        a.jmp(next)?;
        a.set_label(&mut printed)?;
        a.jmp(call)?;

        a.set_label(&mut chain)?;
        a.popad()?;
        a.pop(ds)?;
        a.pop(es)?;
        a.add(sp, 2_u32)?;
        a.retf()?;

        a.set_label(&mut done)?;
        a.popad()?;
        a.pop(ds)?;
        a.pop(es)?;
        a.add(sp, 6_u32)?;
        a.iret()
    }

    /// IRQ 0: the ticks since midnight, and the hook at INT 1Ch.
    fn timer(&mut self) -> Result<(), IcedError> {
        const DATA_SEGMENT: u32 = 0x40;
        const TICKS: u32 = 0x6c;
        const MIDNIGHT: u32 = 0x70;
        const TICKS_PER_DAY: u32 = 0x1800b0;
        let (mut handler, mut same_day) = (self.a.create_label(), self.a.create_label());
        let a = &mut self.a;
        a.set_label(&mut handler)?;
        a.push(ds)?;
        a.push(eax)?;
        a.push(edx)?;
        a.mov(ax, DATA_SEGMENT)?;
        a.mov(ds, ax)?;
        a.mov(eax, dword_ptr(TICKS))?;
        a.inc(eax)?;
        a.cmp(eax, TICKS_PER_DAY)?;
        a.jb(same_day)?;
        a.xor(eax, eax)?;
        a.inc(byte_ptr(MIDNIGHT))?;
        a.set_label(&mut same_day)?;
        a.mov(dword_ptr(TICKS), eax)?;
        a.int(0x1c)?;
        a.cli()?;
        out(a, MASTER, END_OF_INTERRUPT, al)?;
        a.pop(edx)?;
        a.pop(eax)?;
        a.pop(ds)?;
        a.iret()?;
        self.handlers.push((0x08, handler));
        Ok(())
    }

    /// IRQ 1: the byte goes by INT 15h AH=4Fh, which may change it or take it away.
    fn keyboard(&mut self) -> Result<(), IcedError> {
        const INTERCEPT: u32 = 0x4f;
        const DATA: u32 = 0x60;
        let (mut handler, mut taken) = (self.a.create_label(), self.a.create_label());
        let a = &mut self.a;
        a.set_label(&mut handler)?;
        a.push(ax)?;
        a.in_(al, DATA)?;
        a.mov(ah, INTERCEPT)?;
        a.stc()?;
        a.int(0x15)?;
        a.jnc(taken)?;
        self.internal(self.scan_code)?;
        let a = &mut self.a;
        a.set_label(&mut taken)?;
        a.cli()?;
        out(a, MASTER, END_OF_INTERRUPT, al)?;
        a.pop(ax)?;
        a.iret()?;
        self.handlers.push((0x09, handler));
        Ok(())
    }

    /// All other interrupts are acknowledged.
    fn other_interrupts(&mut self) -> Result<(), IcedError> {
        const RTC_INDEX: u32 = 0x70;
        const RTC_DATA: u32 = 0x71;
        const RTC_REGISTER_C: u32 = 0x0c;
        const KEYBOARD_DATA: u32 = 0x60;
        let [mut rtc, mut mouse, mut slave, mut master] = std::array::from_fn(|_| self.a.create_label());
        let (mut end_slave, mut end_master) = (self.a.create_label(), self.a.create_label());
        let a = &mut self.a;
        a.set_label(&mut rtc)?;
        a.push(ax)?;
        out(a, RTC_INDEX, RTC_REGISTER_C, al)?;
        a.in_(al, RTC_DATA)?;
        a.jmp(end_slave)?;
        a.set_label(&mut mouse)?;
        a.push(ax)?;
        a.in_(al, KEYBOARD_DATA)?;
        a.jmp(end_slave)?;
        a.set_label(&mut slave)?;
        a.push(ax)?;
        a.set_label(&mut end_slave)?;
        out(a, SLAVE, END_OF_INTERRUPT, al)?;
        a.jmp(end_master)?;
        a.set_label(&mut master)?;
        a.push(ax)?;
        a.set_label(&mut end_master)?;
        out(a, MASTER, END_OF_INTERRUPT, al)?;
        a.pop(ax)?;
        a.iret()?;
        self.handlers.extend((0x0a..=0x0f).map(|vector| (vector, master)));
        self.handlers.extend((0x71..=0x77).map(|vector| (vector, slave)));
        self.handlers.extend([(0x70, rtc), (0x74, mouse)]);
        Ok(())
    }
}
