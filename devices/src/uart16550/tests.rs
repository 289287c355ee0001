use super::*;
use crate::fixture::Bench;

const COM1: u16 = 0x3f8;
const DATA: u16 = COM1;
const IER: u16 = COM1 + 1;
const IIR: u16 = COM1 + 2;
const LCR: u16 = COM1 + 3;
const MCR: u16 = COM1 + 4;
const LSR: u16 = COM1 + 5;
const MSR: u16 = COM1 + 6;

const RTS_DTR_OUT2: u8 = 0x0b;
const LOOPBACK: u8 = 0x10;

/// 115,200 baud, 8N1, interrupts gated through.
fn uart(ier: u8, fcr: u8) -> Bench {
    let mut b = Bench::new(Uart16550::new(), &Uart16550::regions(&Uart16550Config::default()));
    for (port, value) in [(LCR, 0x83), (DATA, 1), (IER, 0), (LCR, 3), (IIR, fcr), (MCR, RTS_DTR_OUT2), (IER, ier)] {
        b.outb(port, value);
    }
    b
}

fn type_in(b: &mut Bench, text: &str) {
    b.input(&Input::Bytes(text.as_bytes().to_vec()));
}

#[test]
fn the_usual_ports_and_interrupts_follow_from_the_index() {
    let config = Uart16550Config { index: 1, ..Uart16550Config::default() };
    assert_eq!((config.iobase(), config.irq()), (0x2f8, 3));
    let config: Uart16550Config = serde_json::from_str(r#"{"iobase": 512, "irq": 5}"#).expect("properties");
    assert_eq!((config.iobase(), config.irq()), (0x200, 5));
}

#[test]
fn bytes_written_go_out_at_once_and_the_transmitter_stays_empty() {
    let mut b = uart(0, 0);
    for byte in *b"ok" {
        b.outb(DATA, byte);
        assert_eq!(b.inb(LSR), 0x60);
    }
    assert_eq!(b.sent(), b"ok");
}

#[test]
fn each_byte_written_makes_a_new_edge_of_the_transmitter_interrupt() {
    let mut b = uart(2, 7);
    assert!(b.level(0), "enabling the interrupt while empty raises it");
    b.edges();
    b.outb(DATA, b'x');
    let levels: Vec<_> = b.edges().iter().map(|e| e.level).collect();
    assert_eq!(levels, [false, true]);
    assert_eq!(b.inb(IIR), 0xc2);
    assert!(!b.level(0), "reading the identification settles it");
    assert_eq!(b.inb(IIR), 0xc1);
}

#[test]
fn received_bytes_interrupt_at_the_trigger_level_and_below_it_after_four_character_times() {
    let mut b = uart(1, 0x81);
    type_in(&mut b, "1234567");
    assert!(!b.level(0));
    assert_eq!(b.inb(LSR) & 1, 1);
    b.advance(4 * 86_000);
    assert!(!b.level(0));
    b.advance(4 * 1_000);
    assert_eq!(b.inb(IIR), 0xcc);
    assert_eq!(b.inb(DATA), b'1');
    assert!(!b.level(0), "reading starts the timeout anew");
    type_in(&mut b, "89");
    assert_eq!(b.inb(IIR), 0xc4);
}

#[test]
fn a_long_paste_waits_on_the_line_and_arrives_whole() {
    let mut b = uart(1, 0xc1);
    let text: String = (0..5000).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
    type_in(&mut b, &text);
    let mut got = Vec::new();
    while b.inb(LSR) & 1 != 0 {
        got.push(b.inb(DATA));
    }
    assert_eq!(got, text.as_bytes());
    assert_eq!(b.inb(LSR) & 2, 0);
}

#[test]
fn what_the_line_cannot_hold_is_lost_and_told_as_an_overrun() {
    let mut b = uart(4, 1);
    b.input(&Input::Bytes(vec![b'x'; LINE_LEN + 1]));
    assert_eq!(b.inb(IIR), 0xc6);
    assert_eq!(b.inb(LSR) & 2, 2);
    assert_eq!(b.inb(LSR) & 2, 0, "reading clears it");
}

#[test]
fn a_break_is_a_zero_with_the_break_indicator_when_its_turn_comes() {
    let mut b = uart(5, 1);
    type_in(&mut b, "a");
    b.input(&Input::Break);
    assert_eq!(b.inb(LSR), 0xe1, "an error is in the FIFO, not yet at its head");
    assert_eq!(b.inb(DATA), b'a');
    assert_eq!(b.inb(IIR), 0xc6);
    assert_eq!(b.inb(LSR), 0xf1);
    assert_eq!(b.inb(DATA), 0);
    assert_eq!(b.inb(LSR), 0x60);
}

#[test]
fn loopback_brings_data_and_modem_outputs_back_and_overruns_without_fifos() {
    let mut b = uart(0, 0);
    b.inb(MSR);
    b.outb(MCR, LOOPBACK | 0x0a);
    assert_eq!(b.inb(MSR), 0x92, "RTS is CTS, OUT2 is DCD, and DSR has fallen");
    b.outb(DATA, 0x55);
    assert_eq!(b.inb(LSR), 0x61);
    b.outb(DATA, 0xaa);
    assert_eq!(b.inb(LSR), 0x63);
    assert_eq!(b.inb(DATA), 0x55);
    assert_eq!(b.sent(), b"");
}

#[test]
fn the_modem_interrupt_reports_changes_until_they_are_read() {
    let mut b = uart(8, 0);
    b.inb(MSR);
    b.outb(MCR, LOOPBACK | RTS_DTR_OUT2 | 4);
    assert_eq!(b.edges().len() % 2, 0);
    b.outb(MCR, LOOPBACK | RTS_DTR_OUT2);
    assert!(b.level(0));
    assert_eq!(b.inb(IIR), 0);
    assert_eq!(b.inb(MSR) & 0x0f, 4, "the trailing edge of the ring");
    assert_eq!(b.inb(IIR), 1);
}

#[test]
fn without_out2_no_interrupt_leaves_the_port() {
    let mut b = uart(1, 1);
    b.outb(MCR, 3);
    type_in(&mut b, "x");
    assert!(!b.level(0));
    assert_eq!(b.inb(IIR), 0xc4);
    b.outb(MCR, RTS_DTR_OUT2);
    assert!(b.level(0));
}

#[test]
fn the_divisor_hides_behind_dlab_and_scratch_is_memory() {
    let mut b = uart(0, 0);
    b.outb(LCR, 0x80);
    b.outb(DATA, 0x34);
    b.outb(IER, 0x12);
    assert_eq!((b.inb(DATA), b.inb(IER)), (0x34, 0x12));
    b.outb(LCR, 3);
    assert_eq!(b.inb(IER), 0);
    b.outb(COM1 + 7, 0x5a);
    assert_eq!(b.inb(COM1 + 7), 0x5a);
    assert_eq!(b.inb(MSR) & 0xf0, 0xb0, "the peer is there");
}

#[test]
fn clearing_the_fifo_drops_what_is_in_it() {
    let mut b = uart(1, 1);
    type_in(&mut b, "abc");
    b.outb(IIR, 3);
    assert_eq!(b.inb(LSR) & 1, 0);
    assert!(!b.level(0));
    assert_eq!(b.inb(IIR), 0xc1);
}
