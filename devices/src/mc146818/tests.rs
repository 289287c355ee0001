use super::*;
use crate::fixture::Bench;

/// 2026-01-01T00:00:00, a Thursday.
const NEW_YEAR_2026: i64 = 1_767_225_600;

fn rtc(base: i64) -> Bench {
    Bench::new(Rtc::new(&RtcConfig { base, ..RtcConfig::default() }), &Rtc::regions())
}

fn get(b: &mut Bench, address: u8) -> u8 {
    b.outb(0x70, address);
    b.inb(0x71)
}

fn set(b: &mut Bench, address: u8, value: u8) {
    b.outb(0x70, address);
    b.outb(0x71, value);
}

/// Century, year, month, day, weekday, hour, minute, second as they read.
fn date(b: &mut Bench) -> [u8; 8] {
    [CENTURY, YEAR, MONTH, DAY, WEEKDAY, HOURS, MINUTES, SECONDS].map(|address| get(b, address))
}

#[test]
fn the_clock_starts_at_the_configured_date_and_runs_with_guest_time() {
    let mut b = rtc(NEW_YEAR_2026 - 1);
    assert_eq!(date(&mut b), [0x20, 0x25, 0x12, 0x31, 4, 0x23, 0x59, 0x59]);
    b.advance(SECOND - 1);
    assert_eq!(get(&mut b, SECONDS), 0x59);
    b.advance(1);
    assert_eq!(date(&mut b), [0x20, 0x26, 0x01, 0x01, 5, 0, 0, 0]);
    b.advance(59 * 86_400 * SECOND);
    assert_eq!(date(&mut b), [0x20, 0x26, 0x03, 0x01, 1, 0, 0, 0]);
}

#[test]
fn who_sets_the_clock_is_told_of_and_by_how_much() {
    let mut b = rtc(NEW_YEAR_2026);
    b.advance(10 * SECOND);
    set(&mut b, REG_B, 0x82);
    set(&mut b, HOURS, 0x02);
    set(&mut b, SECONDS, 0x00);
    assert_eq!(b.notices(), [], "not before it is all there");
    set(&mut b, REG_B, 0x02);
    assert_eq!(b.notices(), [Notice::ClockSet(7190)]);
    set(&mut b, DAY, 0x02);
    assert_eq!(b.notices(), [Notice::ClockSet(7190 + 86_400)], "a clock that runs is set byte by byte");
    for (address, value) in [(HOURS_ALARM, 5), (REG_A, 0x26), (0x40, 1), (REG_B, 0x02)] {
        set(&mut b, address, value);
    }
    assert_eq!(b.notices(), []);
}

#[test]
fn the_century_turns() {
    let mut b = rtc(946_684_799);
    b.advance(SECOND);
    assert_eq!(date(&mut b), [0x20, 0x00, 0x01, 0x01, 7, 0, 0, 0]);
    assert_eq!(get(&mut b, CENTURY_PS2), 0x20);
}

#[test]
fn times_are_kept_in_the_mode_that_register_b_says() {
    let mut b = rtc(NEW_YEAR_2026);
    set(&mut b, REG_B, 0x80);
    set(&mut b, HOURS, 0x92);
    set(&mut b, MINUTES, 0x59);
    set(&mut b, SECONDS, 0x59);
    set(&mut b, REG_B, 0);
    b.advance(SECOND);
    assert_eq!(date(&mut b)[5..], [0x81, 0, 0], "12:59:59 PM is followed by 1 PM");
    b.advance(11 * 3600 * SECOND);
    assert_eq!(date(&mut b)[3..], [0x02, 6, 0x12, 0, 0], "midnight is 12 AM");
    set(&mut b, REG_B, 0x86);
    set(&mut b, HOURS, 22);
    set(&mut b, MINUTES, 58);
    set(&mut b, REG_B, 6);
    b.advance(61 * SECOND);
    assert_eq!(date(&mut b)[5..], [22, 59, 1]);
}

#[test]
fn set_freezes_the_registers_and_the_clock_goes_on_from_what_was_written() {
    let mut b = rtc(NEW_YEAR_2026);
    set(&mut b, REG_B, 0x92);
    assert_eq!(get(&mut b, REG_B), 0x82, "SET ends the update interrupt");
    b.advance(5 * SECOND);
    assert_eq!(get(&mut b, SECONDS), 0);
    set(&mut b, SECONDS, 0x30);
    set(&mut b, REG_B, 0x02);
    assert_eq!(get(&mut b, SECONDS), 0x30);
    b.advance(SECOND);
    assert_eq!(get(&mut b, SECONDS), 0x31);
}

#[test]
fn writing_a_running_clock_sets_it() {
    let mut b = rtc(NEW_YEAR_2026);
    set(&mut b, MINUTES, 0x45);
    b.advance(60 * SECOND);
    assert_eq!(date(&mut b)[5..], [0, 0x46, 0]);
}

#[test]
fn update_in_progress_announces_the_next_second() {
    let mut b = rtc(NEW_YEAR_2026);
    assert_eq!(get(&mut b, REG_A), 0x26);
    b.advance(SECOND - UPDATE_WARNING);
    assert_eq!(get(&mut b, REG_A), 0xa6);
    b.advance(UPDATE_WARNING);
    assert_eq!(get(&mut b, REG_A), 0x26);
    assert_eq!(get(&mut b, SECONDS), 1);
}

#[test]
fn the_divider_starts_half_a_second_before_the_first_update() {
    let mut b = rtc(NEW_YEAR_2026);
    b.advance(123_456_789);
    set(&mut b, REG_A, 0x76);
    b.advance(10 * SECOND);
    assert_eq!(get(&mut b, SECONDS), 0, "held in reset, the clock stands");
    set(&mut b, REG_A, 0x26);
    b.advance(SECOND / 2 - 1);
    assert_eq!(get(&mut b, SECONDS), 0);
    b.advance(1);
    assert_eq!(get(&mut b, SECONDS), 1);
}

#[test]
fn the_periodic_interrupt_comes_at_its_rate_and_waits_for_register_c() {
    let mut b = rtc(NEW_YEAR_2026);
    set(&mut b, REG_B, 0x42);
    get(&mut b, REG_C);
    b.advance(SECOND / 1024);
    assert!(!b.level(0));
    b.advance(1);
    assert!(b.level(0));
    b.advance(SECOND);
    assert_eq!(b.edges().len(), 1, "unread, the line stays up");
    assert_eq!(get(&mut b, REG_C), 0xd0);
    assert!(!b.level(0));
    assert_eq!(get(&mut b, REG_C), 0);

    set(&mut b, REG_A, 0x2f);
    get(&mut b, REG_C);
    b.edges();
    for _ in 0..8 {
        b.advance(SECOND / 4);
        get(&mut b, REG_C);
    }
    assert_eq!(b.edges().iter().filter(|e| e.level).count(), 4, "2 Hz for two seconds");
}

#[test]
fn flags_rise_without_their_interrupts_and_nobody_is_woken() {
    let mut b = rtc(NEW_YEAR_2026);
    get(&mut b, REG_C);
    assert_eq!(b.bus.clock.next_deadline(), lockstep_fabric::clock::NEVER);
    b.advance(SECOND);
    assert_eq!(get(&mut b, REG_C), 0x50);
    assert!(!b.level(0));
}

#[test]
fn the_update_ended_interrupt_comes_every_second() {
    let mut b = rtc(NEW_YEAR_2026);
    set(&mut b, REG_B, 0x12);
    for _ in 0..3 {
        b.advance(SECOND);
        assert!(b.level(0));
        assert_eq!(get(&mut b, REG_C) & 0xb0, 0x90);
    }
    let times: Vec<_> = b.edges().iter().filter(|e| e.level).map(|e| e.at / SECOND).collect();
    assert_eq!(times, [1, 2, 3]);
}

#[test]
fn the_alarm_matches_with_wildcards() {
    let mut b = rtc(NEW_YEAR_2026);
    set(&mut b, SECONDS_ALARM, 0x30);
    set(&mut b, MINUTES_ALARM, 0xff);
    set(&mut b, HOURS_ALARM, 0xc0);
    set(&mut b, REG_B, 0x22);
    for _ in 0..3 {
        b.advance(60 * SECOND);
        assert_eq!(get(&mut b, REG_C) & 0xa0, 0xa0);
    }
    let times: Vec<_> = b.edges().iter().filter(|e| e.level).map(|e| e.at / SECOND).collect();
    assert_eq!(times, [30, 90, 150]);
    set(&mut b, HOURS_ALARM, 0x05);
    b.advance(3600 * SECOND);
    assert_eq!(get(&mut b, REG_C) & 0x20, 0);
}

#[test]
fn cmos_memory_is_what_the_board_said_and_the_guest_wrote_and_survives_a_reset() {
    let mut clock = Rtc::new(&RtcConfig { cmos: vec![(0x15, 0x80), (0x16, 0x02)], ..RtcConfig::default() });
    clock.set_cmos(0x5f, 3);
    clock.set_cmos(REG_B, 0xff);
    let mut b = Bench::new(clock, &Rtc::regions());
    set(&mut b, 0x40, 0xaa);
    b.bus.reset();
    assert_eq!([0x15, 0x16, 0x5f, 0x40, REG_B, REG_D].map(|a| get(&mut b, a)), [0x80, 0x02, 3, 0xaa, 0x02, 0x80]);
    assert_eq!(b.inb(0x70), 0xff);
}

#[test]
fn port_70h_masks_nmi() {
    let mut b = rtc(0);
    b.outb(0x70, 0x8d);
    assert!(b.level(1));
    assert_eq!(b.inb(0x71), 0x80);
    b.outb(0x70, 0);
    assert!(!b.level(1));
}

#[test]
fn nonsense_in_the_registers_becomes_some_date() {
    let mut b = rtc(0);
    for address in 0..10 {
        set(&mut b, address, 0xff);
    }
    set(&mut b, CENTURY, 0xff);
    b.advance(2 * SECOND);
    assert!((1..=0x12).contains(&get(&mut b, MONTH)));
}
