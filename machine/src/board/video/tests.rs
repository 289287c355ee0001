//! INT 10h and VBE on a real card, asked for as the option ROM does.

use super::*;
use lockstep_devices::vga::Frame;
use lockstep_fabric::{Clock, Cpu, Memory};
use xxhash_rust::xxh3::xxh3_128;

const RAM: u64 = 1 << 20;
const ROM: u32 = 0xc_0000;
const FRAME_BUFFER: u32 = 0xe000_0000;
/// Where callers keep what they hand over.
const BUFFER: u16 = 0x8000;

struct Caller {
    bus: Bus,
    card: DeviceId,
}

impl Caller {
    /// A card with its ROM in place, in mode 3.
    fn new() -> Self {
        let (device, rom) = (DeviceConfig::default(), vgabios::image().expect("a ROM"));
        let card = Card { device, memory: 16 << 20, rom, services: true, file: None };
        let mut memory = Memory::new(RAM + card.arena_len()).expect("memory for a test");
        let ram = memory.allocate(RAM).expect("room");
        memory.add_region(region(DeviceId(u16::MAX), 0, Some(0), RAM, -1, Backing::Ram(ram)));
        let mut bus = Bus::new(memory, Clock::new(0));
        let card = card.add(&mut bus).expect("room for the card");
        bus.reset();
        bus.with(card, |device, cx| {
            let function = device.pci().expect("a function");
            for (offset, value) in [(0x10, FRAME_BUFFER), (0x30, ROM | 1), (0x04, 3)] {
                function.config_write(cx, offset, Width::Dword, value);
            }
        });
        let mut caller = Self { bus, card };
        caller.call(Registers { ax: 3, ..Registers::default() });
        caller
    }

    fn port_read(&mut self, port: u16, width: Width) -> u16 {
        self.bus.read(Space::Io, port.into(), width, Cpu(0)).expect("the mailbox") as u16
    }

    fn port_write(&mut self, port: u16, width: Width, value: u16) {
        self.bus.write(Space::Io, port.into(), width, value.into(), Cpu(0)).expect("the mailbox");
    }

    /// INT 10h, word by word as the ROM's handler has it.
    fn call(&mut self, registers: Registers) -> Registers {
        let registers = Registers { cs: (ROM >> 4) as u16, ..registers };
        registers.words().into_iter().for_each(|word| self.port_write(mailbox::PORT, Width::Word, word));
        loop {
            let step = self.port_read(mailbox::STEPS, Width::Word);
            if step == mailbox::DONE {
                break;
            }
            let [len, segment, offset] = [(); 3].map(|()| self.port_read(mailbox::STEPS, Width::Word));
            for at in (0..len).map(|i| (u64::from(segment) << 4) + u64::from(offset.wrapping_add(i))) {
                if step == mailbox::TO_GUEST {
                    let byte = self.port_read(mailbox::DATA, Width::Byte) as u8;
                    self.bus.memory.write_bytes(at, &[byte]);
                } else {
                    let byte = self.memory(at, 1)[0];
                    self.port_write(mailbox::DATA, Width::Byte, byte.into());
                }
            }
        }
        let words = [(); mailbox::REGISTERS].map(|()| self.port_read(mailbox::PORT, Width::Word));
        Registers::from_words(words)
    }

    fn memory(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.bus.memory.read_bytes(at, &mut bytes);
        bytes
    }

    fn word(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.memory(at, 2).try_into().expect("two bytes"))
    }

    fn ax(&mut self, ax: u16) -> Registers {
        self.call(Registers { ax, ..Registers::default() })
    }

    fn type_out(&mut self, text: &str) {
        for byte in text.bytes() {
            self.call(Registers { ax: 0x0e00 | u16::from(byte), bx: 7, ..Registers::default() });
        }
    }

    fn card(&mut self) -> Vga {
        let state = self.bus.with(self.card, |device, _| device.save()).expect("the card").expect("its state");
        Vga::deserialize(&state).expect("a card")
    }

    fn text(&mut self) -> String {
        let card = self.card();
        card.text(self.bus.memory.block_bytes(card.memory())).expect("a text mode")
    }

    fn picture(&mut self) -> Frame {
        let card = self.card();
        card.picture(self.bus.memory.block_bytes(card.memory()))
    }
}

/// The frame's hash; with LOCKSTEP_PICTURES set, the frame itself in that folder.
fn golden(frame: &Frame, name: &str) -> String {
    if let Some(folder) = std::env::var_os("LOCKSTEP_PICTURES") {
        let file = std::path::Path::new(&folder).join(format!("{name}.png"));
        crate::screen::dump(frame, crate::screen::Format::Png, &file).expect("a picture");
    }
    format!("{}x{} {:032x}", frame.width, frame.height, xxh3_128(&frame.pixels))
}

#[test]
fn mode_3_is_an_empty_screen_of_80_by_25() {
    let mut caller = Caller::new();
    assert_eq!(caller.text(), "\n".repeat(25));
    assert_eq!((caller.word(0x44a), caller.word(0x463), caller.word(0x485)), (80, 0x3d4, 16));
    let state = caller.ax(0x0f00);
    assert_eq!((state.ax, state.bx), (0x5003, 0));
}

#[test]
fn the_teletype_wraps_goes_back_and_scrolls() {
    let mut caller = Caller::new();
    caller.type_out("first\r\nsecond\x08D");
    assert!(caller.text().starts_with("first\nseconD\n\n"));
    caller.type_out(&"\n".repeat(24));
    assert!(caller.text().starts_with("seconD\n\n") && caller.word(0x450) == 24 << 8 | 6);
    caller.type_out(&"x".repeat(80));
    assert!(caller.text().ends_with(&format!("      {}\n{}\n", "x".repeat(74), "x".repeat(6))));
}

#[test]
fn windows_scroll_both_ways_and_nothing_around_them_moves() {
    let mut caller = Caller::new();
    caller.type_out("aaaa\r\nbbbb\r\ncccc");
    let window = Registers { cx: 0x0001, dx: 0x0202, bx: 0x1f00, ..Registers::default() };
    caller.call(Registers { ax: 0x0601, ..window });
    assert!(caller.text().starts_with("abba\nbccb\nc  c\n"));
    caller.call(Registers { ax: 0x0702, ..window });
    assert!(caller.text().starts_with("a  a\nb  b\ncbbc\n"));
}

#[test]
fn characters_are_written_and_read_with_attributes() {
    let mut caller = Caller::new();
    caller.call(Registers { ax: 0x0200, dx: 0x0305, ..Registers::default() });
    caller.call(Registers { ax: 0x0941, bx: 0x001e, cx: 3, ..Registers::default() });
    assert_eq!(caller.ax(0x0800).ax, 0x1e41);
    assert_eq!(caller.ax(0x0300).dx, 0x0305, "the cursor stays");
    assert_eq!(caller.text().lines().nth(3), Some("     AAA"));
}

#[test]
fn strings_come_from_the_callers_memory() {
    let mut caller = Caller::new();
    caller.bus.memory.write_bytes(BUFFER.into(), b"H\x1fi\x2f");
    let string = Registers { bp: BUFFER, cx: 2, dx: 0x0102, ..Registers::default() };
    caller.call(Registers { ax: 0x1303, ..string });
    assert_eq!(caller.text().lines().nth(1), Some("  Hi"));
    assert_eq!(caller.ax(0x0300).dx, 0x0104);
    caller.call(Registers { ax: 0x1300, cx: 1, dx: 0, bx: 7, ..string });
    assert_eq!(caller.ax(0x0300).dx, 0x0104, "without moving the cursor");
}

#[test]
fn every_graphics_mode_draws_recognizes_and_scrolls() {
    let sizes = [(4, 640, 400), (6, 640, 400), (0xd, 640, 400), (0xe, 640, 400), (0x10, 640, 350), (0x12, 640, 480)];
    for (mode, width, height) in sizes.into_iter().chain([(5, 640, 400), (0x11, 640, 480), (0x13, 640, 400)]) {
        let mut caller = Caller::new();
        caller.ax(mode);
        let frame = caller.picture();
        assert_eq!((frame.width, frame.height), (width, height), "mode {mode:#x}");
        assert!(frame.pixels.iter().all(|c| *c == 0), "mode {mode:#x}");
        caller.call(Registers { ax: 0x0200, dx: 0x0203, ..Registers::default() });
        caller.call(Registers { ax: 0x0951, bx: 1, cx: 1, ..Registers::default() });
        assert_eq!(caller.ax(0x0800).ax as u8, 0x51, "mode {mode:#x}");
        caller.call(Registers { ax: 0x0601, dx: 0x1827, ..Registers::default() });
        caller.call(Registers { ax: 0x0200, dx: 0x0103, ..Registers::default() });
        assert_eq!(caller.ax(0x0800).ax as u8, 0x51, "mode {mode:#x}, scrolled");
        let place = Registers { cx: 33, dx: 77, ..Registers::default() };
        caller.call(Registers { ax: 0x0c01, ..place });
        assert_eq!(caller.call(Registers { ax: 0x0d00, ..place }).ax as u8, 1, "mode {mode:#x}");
        caller.call(Registers { ax: 0x0c81, ..place });
        let back = caller.call(Registers { ax: 0x0d00, ..place }).ax as u8;
        assert_eq!(back, if mode == 0x13 { 0x81 } else { 0 }, "mode {mode:#x}");
    }
}

#[test]
fn palettes_are_set_and_read_back() {
    let mut caller = Caller::new();
    caller.call(Registers { ax: 0x1010, bx: 5, cx: 0x0203, dx: 0x0100, ..Registers::default() });
    let color = caller.call(Registers { ax: 0x1015, bx: 5, ..Registers::default() });
    assert_eq!((color.dx >> 8, color.cx), (1, 0x0203));
    caller.bus.memory.write_bytes(BUFFER.into(), &[9, 8, 7, 6, 5, 4]);
    caller.call(Registers { ax: 0x1012, bx: 10, cx: 2, dx: BUFFER, ..Registers::default() });
    caller.call(Registers { ax: 0x1017, bx: 11, cx: 1, dx: BUFFER + 16, ..Registers::default() });
    assert_eq!(caller.memory(u64::from(BUFFER) + 16, 3), [6, 5, 4]);
    caller.call(Registers { ax: 0x1000, bx: 0x3f01, ..Registers::default() });
    assert_eq!(caller.call(Registers { ax: 0x1007, bx: 1, ..Registers::default() }).bx >> 8, 0x3f);
}

#[test]
fn fonts_of_8_lines_make_50_rows() {
    let mut caller = Caller::new();
    caller.ax(0x1112);
    caller.type_out(&"row\r\n".repeat(49));
    assert_eq!(caller.text().lines().filter(|line| *line == "row").count(), 49);
    let font = caller.call(Registers { ax: 0x1130, bx: 0x0300, ..Registers::default() });
    assert_eq!((font.cx, font.dx as u8), (8, 49));
    let at = (u64::from(font.es) << 4) + u64::from(font.bp) + 8 * 0xdb;
    assert_eq!(caller.memory(at, 8), [0xff; 8], "a full block");
}

#[test]
fn the_display_is_a_vga_with_colour() {
    let mut caller = Caller::new();
    let display = caller.ax(0x1a00);
    assert_eq!((display.ax as u8, display.bx), (0x1a, 8));
    let switches = caller.call(Registers { ax: 0x1200, bx: 0x10, ..Registers::default() });
    assert_eq!((switches.bx, switches.cx), (0x0003, 9));
    let table = caller.call(Registers { ax: 0x1b00, di: BUFFER, ..Registers::default() });
    assert_eq!((table.ax as u8, caller.memory(u64::from(BUFFER) + 4, 1)[0]), (0x1b, 3));
}

#[test]
fn vbe_lists_modes_and_describes_each() {
    let mut caller = Caller::new();
    caller.bus.memory.write_bytes(BUFFER.into(), b"VBE2");
    let ask = Registers { di: BUFFER, ..Registers::default() };
    assert_eq!(caller.call(Registers { ax: 0x4f00, ..ask }).ax, 0x004f);
    let block = caller.memory(BUFFER.into(), 512);
    assert_eq!((&block[..6], &block[0x12..0x14]), (&b"VESA\0\x03"[..], &[0, 1][..]), "16 MiB");
    let list = u64::from(u16::from_le_bytes([block[0xe], block[0xf]]));
    let modes: Vec<_> = (0..).map(|i| caller.word(list + 2 * i)).take_while(|mode| *mode != 0xffff).collect();
    assert!(modes.len() > 60 && modes.contains(&0x118) && modes.contains(&0x192));
    for mode in modes {
        let info = Registers { ax: 0x4f01, cx: mode, di: BUFFER + 512, ..Registers::default() };
        assert_eq!(caller.call(info).ax, 0x004f);
        let block = caller.memory(u64::from(BUFFER) + 512, 256);
        let word = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        let set = Registers { ax: 0x4f02, bx: 0x4000 | mode, ..Registers::default() };
        assert_eq!(caller.call(set).ax, 0x004f);
        let frame = caller.picture();
        assert_eq!((frame.width, frame.height), (word(0x12).into(), word(0x14).into()), "{mode:#x}");
        let planar = block[0x19] == 4;
        let pitch = caller.call(Registers { ax: 0x4f06, bx: 1, ..Registers::default() });
        assert_eq!((pitch.bx, pitch.cx), (word(0x10), word(0x12)), "{mode:#x}");
        assert_eq!(word(0x2a), if planar { 0 } else { (FRAME_BUFFER >> 16) as u16 });
        assert_eq!(caller.ax(0x4f03).bx, 0x4000 | mode);
    }
    assert_eq!(caller.call(Registers { ax: 0x4f01, cx: 0x1ff, ..ask }).ax, 0x014f);
}

#[test]
fn vbe_moves_the_window_the_start_and_the_palette() {
    let mut caller = Caller::new();
    caller.call(Registers { ax: 0x4f02, bx: 0x0103, ..Registers::default() });
    assert_eq!(caller.call(Registers { ax: 0x4f05, dx: 2, ..Registers::default() }).ax, 0x004f);
    caller.bus.write(Space::Memory, 0xa_0005, Width::Byte, 0x77, Cpu(0)).expect("the window");
    let seen = caller.memory(u64::from(FRAME_BUFFER) + 0x2_0005, 1);
    assert_eq!(seen, [0x77]);
    assert_eq!(caller.call(Registers { ax: 0x4f05, dx: 0x1000, ..Registers::default() }).ax, 0x014f);
    assert_eq!(caller.call(Registers { ax: 0x4f07, dx: 600, ..Registers::default() }).ax, 0x004f);
    assert_eq!(caller.call(Registers { ax: 0x4f07, bx: 1, ..Registers::default() }).dx, 600);
    caller.bus.memory.write_bytes(BUFFER.into(), &[3, 2, 1, 0]);
    let palette = Registers { cx: 1, dx: 0x77, di: BUFFER, ..Registers::default() };
    assert_eq!(caller.call(Registers { ax: 0x4f09, ..palette }).ax, 0x004f);
    let color = caller.call(Registers { ax: 0x1015, bx: 0x77, ..Registers::default() });
    assert_eq!((color.dx >> 8, color.cx), (1, 0x0203));
    caller.ax(3);
    assert_eq!(caller.text(), "\n".repeat(25), "and back to text");
}

#[test]
fn all_characters_in_all_colours_look_as_they_were_looked_at() {
    let mut caller = Caller::new();
    for code in 0..=255u16 {
        let (row, column) = (code / 32, 2 * (code % 32));
        caller.call(Registers { ax: 0x0200, dx: row << 8 | column, ..Registers::default() });
        caller.call(Registers { ax: 0x0900 | code, bx: 7, cx: 1, ..Registers::default() });
    }
    for color in 0..=255u16 {
        let (row, column) = (9 + color / 16, 4 * (color % 16));
        caller.call(Registers { ax: 0x0200, dx: row << 8 | column, ..Registers::default() });
        caller.call(Registers { ax: 0x0900 | 0xb1, bx: color, cx: 3, ..Registers::default() });
    }
    assert_eq!(golden(&caller.picture(), "characters"), "720x400 31c6c9823a7d5600eeefccacff43aeaa");
}

#[test]
fn the_256_colours_look_as_they_were_looked_at() {
    let mut caller = Caller::new();
    caller.ax(0x13);
    for color in 0..=255u16 {
        for y in 0..10 {
            for x in 0..18 {
                let (x, y) = (color % 16 * 20 + x, color / 16 * 12 + y);
                caller.call(Registers { ax: 0x0c00 | color, cx: x, dx: y, ..Registers::default() });
            }
        }
    }
    assert_eq!(golden(&caller.picture(), "colours"), "640x400 547cf82d518a754bfd8479a1a773f081");
}
