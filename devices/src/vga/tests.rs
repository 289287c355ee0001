//! The card as its programmers know it.

use super::dispi::{self, register as vbe};
use super::*;
use crate::fixture::Bench;
use lockstep_fabric::Cpu;
use lockstep_fabric::memory::{Backing, Region};

const MEMORY: Block = Block { at: 0, len: 0x1_0000 };

fn card() -> Bench {
    let mut bench = Bench::new(Vga::new(MEMORY, None), &REGIONS);
    let region = |index, base, len, priority| Region {
        owner: bench.device,
        index,
        base,
        len,
        priority,
        reads: false,
        writes: false,
        backing: Backing::Ram(0),
    };
    let regions = [region(FRAME_BUFFER, None, MEMORY.len, 1), region(WINDOW_RAM, Some(window::BASE), 0x1_0000, 2)];
    regions.into_iter().for_each(|r| bench.bus.memory.add_region(r));
    bench.outb(0x3c2, 0x01);
    bench
}

fn set(bench: &mut Bench, port: u16, index: u8, value: u8) {
    bench.outb(port, index);
    bench.outb(port + 1, value);
}

fn set_attr(bench: &mut Bench, index: u8, value: u8) {
    bench.inb(0x3da);
    bench.outb(0x3c0, index);
    bench.outb(0x3c0, value);
}

fn set_dispi(bench: &mut Bench, index: u16, value: u16) {
    for (port, value) in [(DISPI_INDEX, index), (DISPI_DATA, value)] {
        bench.bus.write(Space::Io, port, Width::Word, value.into(), Cpu(0)).expect("a claimed port");
    }
}

fn dispi(bench: &mut Bench, index: u16) -> u16 {
    bench.bus.write(Space::Io, DISPI_INDEX, Width::Word, index.into(), Cpu(0)).expect("a claimed port");
    bench.bus.read(Space::Io, DISPI_DATA, Width::Word, Cpu(0)).expect("a claimed port") as u16
}

fn poke(bench: &mut Bench, address: u64, value: u8) {
    bench.bus.write(Space::Memory, address, Width::Byte, value.into(), Cpu(0)).expect("memory");
}

fn peek(bench: &mut Bench, address: u64) -> u8 {
    bench.bus.read(Space::Memory, address, Width::Byte, Cpu(0)).expect("memory") as u8
}

/// The four planes at an offset.
fn planes(bench: &Bench, offset: u64) -> [u8; 4] {
    bench.bus.memory.block_load::<u32>(MEMORY, 4 * offset).to_le_bytes()
}

fn state(bench: &mut Bench) -> Vga {
    let saved = bench.bus.with(bench.device, |device, _| device.save()).expect("the card").expect("its state");
    serde_json::from_value(saved).expect("a card")
}

fn picture(bench: &mut Bench) -> Frame {
    let vga = state(bench);
    vga.picture(bench.bus.memory.block_bytes(MEMORY))
}

fn pixel(frame: &Frame, x: usize, y: usize) -> [u8; 3] {
    let at = 3 * (y * frame.width + x);
    [frame.pixels[at], frame.pixels[at + 1], frame.pixels[at + 2]]
}

/// A planar mode of 64 by 4 pixels at A0000h, palette straight through.
fn planar() -> Bench {
    let mut bench = card();
    set(&mut bench, 0x3c4, 1, 0x01);
    set(&mut bench, 0x3c4, 2, 0x0f);
    set(&mut bench, 0x3c4, 4, 0x06);
    set(&mut bench, 0x3ce, 6, 0x05);
    set(&mut bench, 0x3ce, 8, 0xff);
    for (index, value) in [(0x01, 7), (0x12, 3), (0x13, 4), (0x17, 0xe3), (0x18, 0xff), (0x07, 0x10), (0x09, 0x40)] {
        set(&mut bench, 0x3d4, index, value);
    }
    for color in 0..16 {
        set_attr(&mut bench, color, color);
    }
    set_attr(&mut bench, 0x12, 0x0f);
    bench.outb(0x3c0, 0x20);
    bench.outb(0x3c8, 0);
    for color in 0..16 {
        [color, 2 * color, 3 * color].into_iter().for_each(|c| bench.outb(0x3c9, c));
    }
    bench
}

#[test]
fn registers_read_back_the_bits_that_they_have() {
    let mut bench = card();
    for (port, index, has) in [(0x3c4, 1, 0x3d), (0x3c4, 2, 0x0f), (0x3ce, 5, 0x7b), (0x3d4, 0x0a, 0xff)] {
        set(&mut bench, port, index, 0xff);
        assert_eq!(bench.inb(port + 1), has, "{port:#x}, {index}");
    }
    set_attr(&mut bench, 3, 0xff);
    bench.inb(0x3da);
    bench.outb(0x3c0, 3);
    assert_eq!(bench.inb(0x3c1), 0x3f);
    assert_eq!(bench.inb(0x3b4), 0xff, "a colour card leaves the monochrome ports alone");
}

#[test]
fn the_first_crtc_registers_can_be_protected_but_for_the_line_compare() {
    let mut bench = card();
    set(&mut bench, 0x3d4, 7, 0x1f);
    set(&mut bench, 0x3d4, 0x11, 0x80);
    set(&mut bench, 0x3d4, 0, 0x55);
    assert_eq!(bench.inb(0x3d5), 0);
    set(&mut bench, 0x3d4, 7, 0x00);
    assert_eq!(bench.inb(0x3d5), 0x0f);
}

#[test]
fn colours_pass_the_dac_three_components_at_a_time() {
    let mut bench = card();
    bench.outb(0x3c8, 0xff);
    [1, 2, 0x43, 4, 5, 6].into_iter().for_each(|c| bench.outb(0x3c9, c));
    bench.outb(0x3c7, 0xff);
    let read: Vec<_> = (0..6).map(|_| bench.inb(0x3c9)).collect();
    assert_eq!(read, [1, 2, 3, 4, 5, 6], "six bits each, and the index wraps");
    assert_eq!(bench.inb(0x3c7), 3);
}

#[test]
fn the_vertical_retrace_comes_and_goes_with_guest_time() {
    let mut bench = card();
    for (index, value) in [(0, 0x5f), (1, 0x4f), (6, 0xbf), (7, 0x1f), (0x10, 0x9c), (0x11, 0x8e), (0x12, 0x8f)] {
        set(&mut bench, 0x3d4, index, value);
    }
    let mut starts = Vec::new();
    let mut before = false;
    for _ in 0..100_000 {
        let now = bench.inb(0x3da) & 8 != 0;
        if now && !before {
            starts.push(bench.now());
        }
        before = now;
        bench.advance(1000);
    }
    let gaps: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 5 && gaps.iter().all(|gap| (14_000_000..17_000_000).contains(gap)), "{gaps:?}");
}

#[test]
fn write_mode_0_rotates_masks_and_sets() {
    let mut bench = planar();
    poke(&mut bench, 0xa_0000, 0xff);
    peek(&mut bench, 0xa_0000);
    set(&mut bench, 0x3ce, 3, 4);
    set(&mut bench, 0x3ce, 8, 0x3c);
    set(&mut bench, 0x3ce, 1, 0x08);
    set(&mut bench, 0x3c4, 2, 0x0d);
    poke(&mut bench, 0xa_0000, 0x21);
    // 21h rotated by four is 12h; plane 1 is not written, plane 3 is reset.
    assert_eq!(planes(&bench, 0), [0xd3, 0xff, 0xd3, 0xc3]);
}

#[test]
fn write_mode_1_copies_the_latches() {
    let mut bench = planar();
    set(&mut bench, 0x3c4, 2, 0x05);
    poke(&mut bench, 0xa_0000, 0xa5);
    set(&mut bench, 0x3c4, 2, 0x0f);
    set(&mut bench, 0x3ce, 5, 1);
    peek(&mut bench, 0xa_0000);
    poke(&mut bench, 0xa_0010, 0);
    assert_eq!(planes(&bench, 0x10), [0xa5, 0, 0xa5, 0]);
}

#[test]
fn write_modes_2_and_3_paint_with_a_colour() {
    let mut bench = planar();
    set(&mut bench, 0x3ce, 5, 2);
    set(&mut bench, 0x3ce, 8, 0x0f);
    peek(&mut bench, 0xa_0000);
    poke(&mut bench, 0xa_0000, 0x06);
    assert_eq!(planes(&bench, 0), [0, 0x0f, 0x0f, 0]);
    set(&mut bench, 0x3ce, 5, 3);
    set(&mut bench, 0x3ce, 0, 0x09);
    peek(&mut bench, 0xa_0000);
    poke(&mut bench, 0xa_0000, 0x81);
    assert_eq!(planes(&bench, 0), [0x01, 0x0e, 0x0e, 0x01]);
}

#[test]
fn read_mode_1_compares_colours() {
    let mut bench = planar();
    set(&mut bench, 0x3ce, 5, 2);
    poke(&mut bench, 0xa_0000, 0x06);
    set(&mut bench, 0x3ce, 5, 8);
    set(&mut bench, 0x3ce, 2, 0x06);
    set(&mut bench, 0x3ce, 7, 0x0f);
    assert_eq!(peek(&mut bench, 0xa_0000), 0xff);
    set(&mut bench, 0x3ce, 2, 0x07);
    assert_eq!(peek(&mut bench, 0xa_0000), 0x00);
    set(&mut bench, 0x3ce, 7, 0x0e);
    assert_eq!(peek(&mut bench, 0xa_0000), 0xff, "plane 0 does not count");
}

#[test]
fn planar_pixels_go_through_palette_and_dac() {
    let mut bench = planar();
    set(&mut bench, 0x3ce, 5, 2);
    set(&mut bench, 0x3ce, 8, 0x40);
    poke(&mut bench, 0xa_0000 + 8, 0x0a);
    let frame = picture(&mut bench);
    assert_eq!((frame.width, frame.height), (64, 4));
    assert_eq!(pixel(&frame, 1, 1), [10 << 2, 20 << 2 | 1, 30 << 2 | 1]);
    assert_eq!(pixel(&frame, 0, 1), [0, 0, 0]);
}

#[test]
fn panning_and_start_move_the_picture_and_the_line_compare_splits_it() {
    let mut bench = planar();
    set(&mut bench, 0x3ce, 5, 2);
    set(&mut bench, 0x3ce, 8, 0x10);
    poke(&mut bench, 0xa_0000 + 8, 1);
    set(&mut bench, 0x3d4, 0x0d, 8);
    set_attr(&mut bench, 0x13, 3);
    bench.outb(0x3c0, 0x20);
    let lit = |frame: &Frame| -> Vec<_> {
        let all = (0..frame.height).flat_map(|y| (0..frame.width).map(move |x| (x, y)));
        all.filter(|(x, y)| pixel(frame, *x, *y) != [0; 3]).collect()
    };
    assert_eq!(lit(&picture(&mut bench)), [(0, 0)]);
    set(&mut bench, 0x3d4, 0x18, 1);
    set(&mut bench, 0x3d4, 0x07, 0x00);
    set(&mut bench, 0x3d4, 0x09, 0x00);
    assert_eq!(lit(&picture(&mut bench)), [(0, 0), (0, 3)], "line 2 starts again at the memory's start");
}

#[test]
fn chain_4_shows_bytes_as_pixels_and_is_plain_memory() {
    let mut bench = planar();
    set(&mut bench, 0x3c4, 4, 0x0e);
    set(&mut bench, 0x3ce, 5, 0x40);
    poke(&mut bench, 0xa_0003, 7);
    assert_eq!(planes(&bench, 0), [0, 0, 0, 7]);
    let access = bench.bus.memory.page(0xa_0000);
    assert_eq!((access.read, access.write), (Some(0), Some(0)));
    let frame = picture(&mut bench);
    assert_eq!((pixel(&frame, 6, 0), pixel(&frame, 7, 0)), ([28, 56, 85], [28, 56, 85]));
    set(&mut bench, 0x3c4, 2, 0x01);
    assert_eq!(bench.bus.memory.page(0xa_0000).write, None, "a map mask needs the card");
    poke(&mut bench, 0xa_0003, 9);
    assert_eq!(planes(&bench, 0), [0, 0, 0, 7]);
}

#[test]
fn text_is_drawn_from_plane_2_with_the_cursor_over_it() {
    let mut bench = planar();
    // The glyph of 'A': one line of dots.
    set(&mut bench, 0x3c4, 2, 4);
    poke(&mut bench, 0xa_0000 + 32 * u64::from(b'A') + 1, 0x81);
    set(&mut bench, 0x3c4, 2, 3);
    set(&mut bench, 0x3c4, 4, 2);
    set(&mut bench, 0x3ce, 5, 0x10);
    set(&mut bench, 0x3ce, 6, 0x0e);
    set(&mut bench, 0x3d4, 0x09, 0x43);
    set(&mut bench, 0x3d4, 0x0a, 0x03);
    set(&mut bench, 0x3d4, 0x0b, 0x03);
    set(&mut bench, 0x3d4, 0x0f, 1);
    for (at, byte) in [b'A', 0x1f, b'b', 0x02, 0xfe, 0x07].into_iter().enumerate() {
        poke(&mut bench, 0xb_8000 + at as u64, byte);
    }
    let vga = state(&mut bench);
    assert_eq!(vga.text(bench.bus.memory.block_bytes(MEMORY)).as_deref(), Some("Ab■\n"));
    let frame = picture(&mut bench);
    let dac = |index: u8| [index, 2 * index, 3 * index].map(|c| (c & 0x3f) << 2 | (c & 0x3f) >> 4);
    assert_eq!((pixel(&frame, 0, 0), pixel(&frame, 0, 1), pixel(&frame, 7, 1)), (dac(1), dac(15), dac(15)));
    assert_eq!((pixel(&frame, 8, 2), pixel(&frame, 8, 3), pixel(&frame, 15, 3)), (dac(0), dac(2), dac(2)));
}

#[test]
fn the_cursor_and_characters_blink_with_guest_time() {
    const FRAME: u64 = 1_000_000_000 / 70;
    let mut bench = planar();
    set(&mut bench, 0x3c4, 2, 4);
    (0..8).for_each(|scan| poke(&mut bench, 0xa_0000 + 32 * u64::from(b'A') + scan, 0xff));
    set(&mut bench, 0x3c4, 2, 3);
    set(&mut bench, 0x3c4, 4, 2);
    set(&mut bench, 0x3ce, 5, 0x10);
    set(&mut bench, 0x3ce, 6, 0x0e);
    set(&mut bench, 0x3d4, 0x09, 0x43);
    set(&mut bench, 0x3d4, 0x0a, 0x00);
    set(&mut bench, 0x3d4, 0x0b, 0x03);
    set(&mut bench, 0x3d4, 0x0f, 1);
    // Attribute bit 7 blinks; the cursor stands on the blank beside.
    set_attr(&mut bench, 0x10, 0x08);
    bench.outb(0x3c0, 0x20);
    for (at, byte) in [b'A', 0x87, b' ', 0x07].into_iter().enumerate() {
        poke(&mut bench, 0xb_8000 + at as u64, byte);
    }
    let vga = state(&mut bench);
    let memory = bench.bus.memory.block_bytes(MEMORY);
    let lit = |frame: u64| {
        let picture = vga.picture_at(memory, frame * FRAME);
        (pixel(&picture, 0, 0) != pixel(&picture, 16, 0), pixel(&picture, 8, 0) != pixel(&picture, 16, 0))
    };
    assert_eq!([0, 8, 16, 24, 32].map(lit), [(true, true), (true, false), (false, true), (false, false), (true, true)]);
    assert_eq!(vga.picture_at(memory, 0), vga.picture(memory), "all is shown where no time is told");
}

fn enter(bench: &mut Bench, width: u16, height: u16, depth: u16, flags: u16) {
    for (register, value) in [(vbe::XRES, width), (vbe::YRES, height), (vbe::BPP, depth)] {
        set_dispi(bench, register, value);
    }
    set_dispi(bench, vbe::ENABLE, dispi::ENABLED | flags);
}

#[test]
fn the_display_interface_names_itself_and_its_limits() {
    let mut bench = card();
    assert_eq!((dispi(&mut bench, vbe::ID), dispi(&mut bench, vbe::VIDEO_MEMORY_64K)), (0xb0c5, 1));
    set_dispi(&mut bench, vbe::ENABLE, dispi::GET_CAPABILITIES);
    assert_eq!((dispi(&mut bench, vbe::XRES), dispi(&mut bench, vbe::BPP)), (16000, 32));
}

#[test]
fn every_depth_of_the_linear_frame_buffer_is_shown() {
    let mut bench = card();
    for (depth, bytes, color) in [
        (15, vec![0x01u8, 0x7c], [255, 0, 8]),
        (16, vec![0xe0, 0x07], [0, 255, 0]),
        (24, vec![1, 2, 3], [3, 2, 1]),
        (32, vec![4, 5, 6, 0], [6, 5, 4]),
    ] {
        set_dispi(&mut bench, vbe::ENABLE, 0);
        enter(&mut bench, 16, 8, depth, dispi::LINEAR);
        let len = bytes.len() as u64;
        for (i, byte) in bytes.into_iter().enumerate() {
            bench.bus.memory.block_store(MEMORY, (16 + 1) * len + i as u64, byte);
        }
        let frame = picture(&mut bench);
        assert_eq!((frame.width, frame.height, pixel(&frame, 1, 1)), (16, 8, color), "{depth} bits");
        assert_eq!(pixel(&frame, 0, 1), [0; 3], "{depth} bits");
    }
}

#[test]
fn virtual_screens_scroll_and_stay_in_memory() {
    let mut bench = card();
    enter(&mut bench, 64, 64, 8, dispi::LINEAR);
    set_dispi(&mut bench, vbe::VIRT_WIDTH, 128);
    assert_eq!(dispi(&mut bench, vbe::VIRT_HEIGHT), 512);
    set_dispi(&mut bench, vbe::Y_OFFSET, 1000);
    assert_eq!(dispi(&mut bench, vbe::Y_OFFSET), 512 - 64);
    set_dispi(&mut bench, vbe::YRES, 4000);
    assert_eq!(dispi(&mut bench, vbe::YRES), 512);
    assert_eq!(picture(&mut bench).height, 512);
}

#[test]
fn entering_a_mode_clears_memory_unless_told_not_to() {
    let mut bench = card();
    bench.bus.memory.block_store(MEMORY, 5, 0xaau8);
    enter(&mut bench, 64, 64, 8, dispi::NO_CLEAR);
    assert_eq!(bench.bus.memory.block_load::<u8>(MEMORY, 5), 0xaa);
    set_dispi(&mut bench, vbe::ENABLE, 0);
    enter(&mut bench, 64, 64, 8, 0);
    assert_eq!(bench.bus.memory.block_load::<u8>(MEMORY, 5), 0);
}

#[test]
fn the_configuration_space_sizes_and_places_the_frame_buffer() {
    let mut bench = card();
    let mut configure = |offset, value| {
        bench.bus.with(bench.device, |device, cx| {
            let function = device.pci().expect("a function");
            function.config_write(cx, offset, Width::Dword, value);
            function.config_read(cx, offset, Width::Dword)
        })
    };
    assert_eq!(configure(0x10, u32::MAX), Some(0xffff_0008), "64 KiB, prefetchable");
    configure(0x10, 0xe000_0000);
    configure(0x18, 0xfeb0_0000);
    configure(0x04, 2);
    poke(&mut bench, 0xe000_0021, 0x5a);
    assert_eq!(bench.bus.memory.block_load::<u8>(MEMORY, 0x21), 0x5a);
    let read = |bench: &mut Bench, at: u64| bench.bus.read(Space::Memory, 0xfeb0_0000 + at, Width::Word, Cpu(0));
    assert_eq!(read(&mut bench, 0x500), Ok(0xb0c5));
    assert_eq!(read(&mut bench, 0x600), Ok(8));
    bench.bus.write(Space::Memory, 0xfeb0_0502, Width::Word, 640, Cpu(0)).expect("registers");
    assert_eq!(dispi(&mut bench, vbe::XRES), 640);
}
