use super::*;
use crate::fixture::{Bench, Edge};

fn pit() -> Bench {
    Bench::new(Pit::new(), &Pit::regions())
}

fn program(bench: &mut Bench, counter: u8, mode: u8, count: u16) {
    bench.outb(0x43, counter << 6 | 0x30 | mode << 1);
    let [low, high] = count.to_le_bytes();
    bench.outb(0x40 + u16::from(counter), low);
    bench.outb(0x40 + u16::from(counter), high);
}

fn latched(bench: &mut Bench, counter: u8) -> u16 {
    bench.outb(0x43, counter << 6);
    let port = 0x40 + u16::from(counter);
    u16::from_le_bytes([bench.inb(port), bench.inb(port)])
}

fn status(bench: &mut Bench, counter: u8) -> u8 {
    bench.outb(0x43, 0xe0 | 2 << counter);
    bench.inb(0x40 + u16::from(counter))
}

/// Moves to the first nanosecond of `n` clocks after the current one.
fn clocks_on(bench: &mut Bench, n: i64) {
    let target = nanos(clocks(bench.now()) + n);
    bench.advance(target - bench.now());
}

fn rising(edges: &[Edge]) -> Vec<i64> {
    edges.iter().filter(|e| e.level).map(|e| clocks(e.at)).collect()
}

#[test]
fn clocks_and_nanoseconds_convert_exactly() {
    for clock in [0, 1, 2, 1_193_182, 123_456_789_012] {
        assert_eq!(clocks(nanos(clock)), clock);
        assert!(clock == 0 || clocks(nanos(clock) - 1) == clock - 1);
    }
    assert_eq!(nanos(1_193_182), 1_000_000_000);
}

#[test]
fn mode_2_pulses_low_for_one_clock_every_period_without_drift() {
    let mut b = pit();
    program(&mut b, 0, 2, 1000);
    b.edges();
    b.advance(1_000_000_000);
    let edges = b.edges();
    let rising = rising(&edges);
    assert_eq!(rising.len(), 1193);
    assert!(rising.windows(2).all(|w| w[1] - w[0] == 1000));
    let falling = edges.iter().find(|e| !e.level).expect("a pulse");
    assert_eq!(clocks(falling.at), rising[0] - 1);
    assert_eq!(rising[0], 1001, "one clock to load, then the period");
}

#[test]
fn the_longest_period_is_18_point_2_hz() {
    let mut b = pit();
    program(&mut b, 0, 2, 0);
    b.advance(10_000_000_000);
    assert_eq!(rising(&b.edges()).len(), 182);
}

#[test]
fn mode_0_goes_high_once_when_the_count_ends() {
    let mut b = pit();
    program(&mut b, 0, 0, 100);
    assert!(!b.level(0));
    clocks_on(&mut b, 100);
    assert!(!b.level(0));
    clocks_on(&mut b, 1);
    assert!(b.level(0));
    assert_eq!(latched(&mut b, 0), 0);
    clocks_on(&mut b, 1);
    assert_eq!(latched(&mut b, 0), 0xffff, "it counts on");
    b.advance(1_000_000_000);
    assert!(b.level(0));
    b.outb(0x40, 5);
    assert!(!b.level(0), "the first byte of a new count stops it");
}

#[test]
fn mode_3_is_a_square_wave_with_the_odd_clock_high() {
    let mut b = pit();
    program(&mut b, 0, 3, 5);
    b.edges();
    clocks_on(&mut b, 21);
    let edges: Vec<_> = b.edges().iter().map(|e| (clocks(e.at), e.level)).collect();
    assert_eq!(
        edges,
        [(4, false), (6, true), (9, false), (11, true), (14, false), (16, true), (19, false), (21, true)]
    );
}

#[test]
fn mode_3_counts_down_by_two() {
    let mut b = pit();
    program(&mut b, 0, 3, 10);
    clocks_on(&mut b, 1);
    let counts: Vec<_> = std::iter::repeat_with(|| {
        let count = latched(&mut b, 0);
        clocks_on(&mut b, 1);
        count
    })
    .take(11)
    .collect();
    assert_eq!(counts, [10, 8, 6, 4, 2, 10, 8, 6, 4, 2, 10]);
}

#[test]
fn a_new_count_takes_over_at_the_end_of_the_cycle() {
    let mut b = pit();
    program(&mut b, 0, 2, 100);
    clocks_on(&mut b, 50);
    b.edges();
    b.outb(0x40, 10);
    b.outb(0x40, 0);
    assert_eq!(status(&mut b, 0) & 0x40, 0x40, "null count until then");
    clocks_on(&mut b, 71);
    assert_eq!(rising(&b.edges()), [101, 111, 121]);
    assert_eq!(status(&mut b, 0) & 0x40, 0);
}

#[test]
fn a_new_count_of_a_square_wave_takes_over_at_the_half_cycle() {
    let mut b = pit();
    program(&mut b, 0, 3, 100);
    clocks_on(&mut b, 10);
    b.edges();
    b.outb(0x40, 20);
    b.outb(0x40, 0);
    clocks_on(&mut b, 61);
    let edges: Vec<_> = b.edges().iter().map(|e| (clocks(e.at), e.level)).collect();
    assert_eq!(edges, [(51, false), (61, true), (71, false)]);
}

#[test]
fn mode_4_strobes_once() {
    let mut b = pit();
    program(&mut b, 0, 4, 10);
    b.edges();
    clocks_on(&mut b, 1000);
    let edges: Vec<_> = b.edges().iter().map(|e| (clocks(e.at), e.level)).collect();
    assert_eq!(edges, [(11, false), (12, true)]);
}

#[test]
fn counter_2_counts_only_while_port_61h_opens_its_gate() {
    let mut b = pit();
    b.outb(0x61, 0);
    program(&mut b, 2, 0, 100);
    clocks_on(&mut b, 1000);
    assert_eq!(b.inb(0x61) & 0x20, 0);
    b.outb(0x61, 1);
    clocks_on(&mut b, 60);
    b.outb(0x61, 0);
    assert_eq!(latched(&mut b, 2), 40);
    clocks_on(&mut b, 1000);
    b.outb(0x61, 1);
    clocks_on(&mut b, 39);
    assert_eq!(b.inb(0x61) & 0x21, 0x01);
    clocks_on(&mut b, 1);
    assert_eq!(b.inb(0x61) & 0x21, 0x21);
}

#[test]
fn modes_1_and_5_wait_for_the_gate_to_rise() {
    for (mode, expected) in [(1, [0x20, 0x00, 0x00, 0x20]), (5, [0x20, 0x20, 0x20, 0x00])] {
        let mut b = pit();
        program(&mut b, 2, mode, 10);
        let mut seen = vec![b.inb(0x61) & 0x20];
        b.outb(0x61, 1);
        for on in [1, 9, 1] {
            clocks_on(&mut b, on);
            seen.push(b.inb(0x61) & 0x20);
        }
        assert_eq!(seen, expected, "mode {mode}");
    }
}

#[test]
fn refresh_toggles_every_15_microseconds() {
    let mut b = pit();
    let mut toggles = 0;
    let mut last = b.inb(0x61) & 0x10;
    for _ in 0..1000 {
        b.advance(1_000);
        let now = b.inb(0x61) & 0x10;
        toggles += u32::from(now != last);
        last = now;
    }
    assert_eq!(toggles, 66);
    assert_eq!(b.inb(0x61) & 0x0f, 0);
}

#[test]
fn bcd_counts_are_decimal() {
    let mut b = pit();
    b.outb(0x43, 0x35);
    b.outb(0x40, 0x00);
    b.outb(0x40, 0x10);
    clocks_on(&mut b, 2);
    assert_eq!(latched(&mut b, 0), 0x0999);
    assert_eq!(status(&mut b, 0), 0xb5);
}

#[test]
fn read_back_latches_several_counters_and_gives_the_status_first() {
    let mut b = pit();
    program(&mut b, 0, 2, 1000);
    program(&mut b, 1, 2, 500);
    clocks_on(&mut b, 11);
    b.outb(0x43, 0xc6);
    clocks_on(&mut b, 100);
    assert_eq!([b.inb(0x40), b.inb(0x40), b.inb(0x40)], [0xb4, 0xde, 0x03]);
    assert_eq!([b.inb(0x41), b.inb(0x41), b.inb(0x41)], [0xb4, 0xea, 0x01]);
}

#[test]
fn single_byte_access_leaves_the_other_byte_zero() {
    let mut b = pit();
    b.outb(0x43, 0x14);
    b.outb(0x40, 100);
    clocks_on(&mut b, 2);
    b.outb(0x43, 0x00);
    assert_eq!(b.inb(0x40), 99);
    assert_eq!(b.inb(0x40), 99, "the latch is used up, the count shows");
}

#[test]
fn pulses_shorter_than_a_tick_are_still_delivered() {
    let mut b = Bench::with_shift(12, Pit::new(), &Pit::regions());
    program(&mut b, 0, 2, 1193);
    b.edges();
    b.advance(1_000_000_000);
    assert_eq!(rising(&b.edges()).len(), 1000);
}

#[test]
fn nobody_is_woken_for_counters_1_and_2() {
    let mut b = pit();
    program(&mut b, 0, 0, 1);
    program(&mut b, 1, 2, 18);
    program(&mut b, 2, 3, 100);
    b.outb(0x61, 3);
    b.advance(10_000);
    assert_eq!(b.bus.clock.next_deadline(), lockstep_fabric::clock::NEVER);
}
