use super::*;
use crate::fixture::Bench;
use lockstep_fabric::MouseMotion;

const A: u16 = 0x1e;

fn controller(mode: u8) -> Bench {
    let mut b = Bench::new(I8042::new(), &I8042::regions());
    b.outb(0x64, 0x60);
    b.outb(0x60, mode);
    b
}

/// Everything that comes, read as a driver does.
fn drain(b: &mut Bench) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        b.advance(BYTE_DELAY);
        if b.inb(0x64) & 1 == 0 {
            return bytes;
        }
        bytes.push(b.inb(0x60));
    }
}

fn key(b: &mut Bench, code: u16) -> Vec<u8> {
    b.input(&Input::Key(code, true));
    b.input(&Input::Key(code, false));
    drain(b)
}

fn keyboard(b: &mut Bench, bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| {
            b.outb(0x60, *byte);
            drain(b)
        })
        .collect()
}

fn mouse(b: &mut Bench, bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| {
            b.outb(0x64, 0xd4);
            b.outb(0x60, *byte);
            drain(b)
        })
        .collect()
}

fn motion(b: &mut Bench, motion: MouseMotion) -> Vec<u8> {
    b.input(&Input::Mouse(motion));
    // Past the next sample of the slowest rate used here.
    b.advance(30_000_000);
    drain(b)
}

#[test]
fn a_key_fills_the_buffer_and_raises_irq1_until_it_is_read() {
    let mut b = controller(0x41);
    b.input(&Input::Key(A, true));
    assert!(b.level(0));
    assert_eq!(b.inb(0x64), 0x11);
    assert_eq!(b.inb(0x60), 0x1e);
    assert!(!b.level(0));
    assert_eq!(b.inb(0x64) & 1, 0);
    assert_eq!(b.inb(0x60), 0x1e, "the buffer keeps its byte");
}

#[test]
fn each_byte_makes_an_edge_of_its_own() {
    let mut b = controller(0x41);
    b.edges();
    b.input(&Input::Key(A, true));
    b.input(&Input::Key(A, false));
    assert_eq!(drain(&mut b), [0x1e, 0x9e]);
    assert_eq!(b.edges().iter().filter(|e| e.level).count(), 2);
}

#[test]
fn scan_sets_and_translation() {
    let mut b = controller(0x01);
    assert_eq!(key(&mut b, A), [0x1c, 0xf0, 0x1c]);
    assert_eq!(key(&mut b, 0xe048), [0xe0, 0x75, 0xe0, 0xf0, 0x75]);
    assert_eq!(key(&mut b, 0xe037), [0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12]);
    assert_eq!(key(&mut b, 0xe11d), [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77]);

    assert_eq!(keyboard(&mut b, &[0xf0, 1]), [0xfa, 0xfa]);
    assert_eq!(key(&mut b, 0xe048), [0xe0, 0x48, 0xe0, 0xc8]);
    assert_eq!(keyboard(&mut b, &[0xf0, 3, 0xf0, 0]), [0xfa, 0xfa, 0xfa, 0xfa, 3]);
    assert_eq!(key(&mut b, 0xe048), [0x63, 0xf0, 0x63]);

    let mut b = controller(0x41);
    assert_eq!(key(&mut b, 0xe048), [0xe0, 0x48, 0xe0, 0xc8]);
    assert_eq!(key(&mut b, 0xe11d), [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
    assert_eq!(keyboard(&mut b, &[0xf0, 0]), [0xfa, 0xfa, 0x41], "answers are translated too");
}

#[test]
fn print_screen_depends_on_the_keys_held() {
    let mut b = controller(0x41);
    b.input(&Input::Key(0x38, true));
    drain(&mut b);
    assert_eq!(key(&mut b, 0xe037), [0x54, 0xd4]);
    b.input(&Input::Key(0x38, false));
    b.input(&Input::Key(0x2a, true));
    drain(&mut b);
    assert_eq!(key(&mut b, 0xe037), [0xe0, 0x37, 0xe0, 0xb7]);
}

#[test]
fn set_3_keys_can_be_told_to_send_no_release() {
    let mut b = controller(0x01);
    keyboard(&mut b, &[0xf0, 3]);
    assert_eq!(keyboard(&mut b, &[0xfd, 0x1c, 0xf4]), [0xfa, 0xfa, 0xfa]);
    b.input(&Input::Key(A, true));
    assert_eq!(key(&mut b, A), [0x1c], "no repeat and no release");
    assert_eq!(key(&mut b, 0x1f), [0x1b, 0xf0, 0x1b]);
    assert_eq!(keyboard(&mut b, &[0xf7]), [0xfa]);
    assert_eq!(key(&mut b, 0x1f), [0x1b]);
}

#[test]
fn keyboard_commands_are_answered() {
    let mut b = controller(0x01);
    assert_eq!(keyboard(&mut b, &[0xff]), [0xfa, 0xaa]);
    assert_eq!(keyboard(&mut b, &[0xf2]), [0xfa, 0xab, 0x83]);
    assert_eq!(keyboard(&mut b, &[0xee]), [0xee]);
    assert_eq!(keyboard(&mut b, &[0xed, 7, 0xf3, 0]), [0xfa, 0xfa, 0xfa, 0xfa]);
    assert_eq!(keyboard(&mut b, &[0x12]), [0xfe]);
    assert_eq!(keyboard(&mut b, &[0xee, 0xfe]), [0xee, 0xee], "resend");
    assert_eq!(keyboard(&mut b, &[0xf0, 5]), [0xfa, 0xfe]);
    assert_eq!(keyboard(&mut b, &[0xf5]), [0xfa]);
    assert_eq!(key(&mut b, A), [0u8; 0]);
    assert_eq!(keyboard(&mut b, &[0xf4]), [0xfa]);
    assert_eq!(key(&mut b, A), [0x1c, 0xf0, 0x1c]);
}

#[test]
fn too_many_keys_end_in_the_overrun_code() {
    let mut b = controller(0x01);
    for _ in 0..40 {
        b.input(&Input::Key(A, true));
    }
    let bytes = drain(&mut b);
    assert_eq!(bytes.len(), 17);
    assert_eq!(bytes.last(), Some(&0));
}

#[test]
fn controller_commands_are_answered() {
    let mut b = controller(0x65);
    for (command, answer) in [(0x20, 0x65), (0xaa, 0x55), (0xab, 0), (0xa9, 0), (0xa4, 0xf1), (0xc0, 0xa0)] {
        b.outb(0x64, command);
        assert_eq!(b.inb(0x64) & 0x29, 0x09, "a command was last, and its answer is there");
        assert_eq!(b.inb(0x60), answer, "command {command:#x}");
    }
    b.outb(0x64, 0x65);
    b.outb(0x60, 0x77);
    b.outb(0x64, 0x25);
    assert_eq!(b.inb(0x60), 0x77);
    assert_eq!(b.inb(0x64) & 4, 4, "the system flag");
    b.outb(0x64, 0xd3);
    b.outb(0x60, 0x42);
    assert_eq!(b.inb(0x64) & 0x21, 0x21);
    assert_eq!(b.inb(0x60), 0x42);
}

#[test]
fn keys_and_buttons_may_wake_the_machine_and_a_moved_mouse_may_not() {
    let mut b = controller(0x01);
    let mouse = |buttons| Input::Mouse(MouseMotion { right: 5, buttons, ..MouseMotion::default() });
    let typed = Input::Typed { keys: vec![(A, true)], hold: 1 };
    let wakes = [(Input::Key(A, true), 1), (typed, 1), (mouse(Some(1)), 1), (mouse(Some(0)), 0), (mouse(None), 0)];
    for (input, count) in wakes {
        b.requests();
        b.input(&input);
        assert_eq!(b.requests(), vec![MachineRequest::WakeEvent(WakeReason::Operator); count], "{input:?}");
    }
}

#[test]
fn a_disabled_keyboard_keeps_its_keys() {
    let mut b = controller(0x41);
    b.outb(0x64, 0xad);
    b.input(&Input::Key(A, true));
    assert_eq!(b.inb(0x64) & 1, 0);
    b.outb(0x64, 0xae);
    assert_eq!(drain(&mut b), [0x1e]);
}

#[test]
fn the_output_port_gates_a20_and_resets() {
    let mut b = controller(0);
    assert!(b.level(2));
    b.outb(0x64, 0xdd);
    assert!(!b.level(2));
    b.outb(0x64, 0xd1);
    b.outb(0x60, 0xdf);
    assert!(b.level(2));
    b.outb(0x64, 0xd0);
    assert_eq!(b.inb(0x60) & 3, 3);
    assert_eq!(b.requests(), []);
    b.outb(0x64, 0xfe);
    assert_eq!(b.requests(), [MachineRequest::Reset]);
    b.outb(0x64, 0xff);
    assert_eq!(b.requests(), []);
    b.outb(0x64, 0xd1);
    b.outb(0x60, 0xde);
    assert_eq!(b.requests(), [MachineRequest::Reset]);
}

#[test]
fn mouse_commands_are_answered_through_irq12() {
    let mut b = controller(0x03);
    b.edges();
    assert_eq!(mouse(&mut b, &[0xff]), [0xfa, 0xaa, 0]);
    assert!(b.edges().iter().all(|e| e.pin == 1));
    assert_eq!(mouse(&mut b, &[0xf2]), [0xfa, 0]);
    assert_eq!(
        mouse(&mut b, &[0xe8, 3, 0xf3, 40, 0xe7, 0xf4, 0xe9]),
        [0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0x30, 3, 40]
    );
    assert_eq!(mouse(&mut b, &[0xee, 0x12, 0xec]), [0xfa, 0x12, 0xfa]);
    assert_eq!(mouse(&mut b, &[0xf6, 0xe9]), [0xfa, 0xfa, 0, 2, 100]);
}

#[test]
fn the_mouse_reports_motion_and_tells_more_once_knocked_for() {
    let mut b = controller(0x03);
    // The left and the fourth button.
    let moved = MouseMotion { right: 5, up: -3, wheel: -1, buttons: Some(0b1001) };
    assert_eq!(motion(&mut b, moved), [0u8; 0], "not enabled");
    mouse(&mut b, &[0xff, 0xf4]);
    assert_eq!(motion(&mut b, moved), [0x29, 5, 0xfd]);
    assert_eq!(mouse(&mut b, &[0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf2]), [0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 3]);
    assert_eq!(motion(&mut b, moved), [0x29, 5, 0xfd, 0xff]);
    mouse(&mut b, &[0xf3, 200, 0xf3, 200, 0xf3, 80]);
    assert_eq!(mouse(&mut b, &[0xf2]), [0xfa, 4]);
    assert_eq!(motion(&mut b, moved), [0x29, 5, 0xfd, 0x1f]);
    let far = MouseMotion { right: 300, buttons: Some(0), ..MouseMotion::default() };
    assert_eq!(motion(&mut b, far), [0x08, 255, 0, 0, 0x08, 45, 0, 0]);
    mouse(&mut b, &[0xf0]);
    assert_eq!(motion(&mut b, far), [0u8; 0], "remote mode answers only when asked");
    assert_eq!(mouse(&mut b, &[0xeb]), [0xfa, 0x08, 255, 0, 0]);
}

#[test]
fn the_sample_rate_is_how_often_the_mouse_tells() {
    const TENTH: Nanos = 100_000_000;
    let mut b = controller(0x03);
    mouse(&mut b, &[0xff, 0xf3, 10, 0xf4]);
    let step = MouseMotion { right: 1, ..MouseMotion::default() };
    b.input(&Input::Mouse(step));
    assert_eq!(drain(&mut b), [0x08, 1, 0]);
    (0..5).for_each(|_| b.input(&Input::Mouse(step)));
    b.advance(TENTH / 2);
    assert_eq!(drain(&mut b), [0u8; 0]);
    b.advance(TENTH / 2);
    assert_eq!(drain(&mut b), [0x08, 5, 0], "all that happened meanwhile, in one packet");
}

#[test]
fn scaling_is_for_what_the_mouse_tells_by_itself() {
    let mut b = controller(0x03);
    mouse(&mut b, &[0xff, 0xe7, 0xf4]);
    let moved = |right, up| MouseMotion { right, up, ..MouseMotion::default() };
    assert_eq!(motion(&mut b, moved(2, -4)), [0x28, 1, 0xfa]);
    assert_eq!(motion(&mut b, moved(5, 20)), [0x08, 9, 40]);
    mouse(&mut b, &[0xf0]);
    motion(&mut b, moved(5, 20));
    assert_eq!(mouse(&mut b, &[0xeb]), [0xfa, 0x08, 5, 20]);
}

#[test]
fn buttons_that_are_held_stay_so_whatever_the_mouse_is_told() {
    let mut b = controller(0x03);
    mouse(&mut b, &[0xff, 0xf4]);
    assert_eq!(motion(&mut b, MouseMotion { buttons: Some(0b10), ..MouseMotion::default() }), [0x0a, 0, 0]);
    assert_eq!(mouse(&mut b, &[0xf6, 0xe9]), [0xfa, 0xfa, 0x01, 2, 100]);
    mouse(&mut b, &[0xff, 0xf4]);
    assert_eq!(motion(&mut b, MouseMotion { up: 1, ..MouseMotion::default() }), [0x0a, 0, 1]);
}

#[test]
fn typed_keys_are_held_for_their_time_and_follow_each_other() {
    const HOLD: Nanos = 50_000_000;
    let mut b = controller(0x41);
    let keys = vec![(0x1d, true), (A, true), (A, false), (0x1d, false)];
    b.input(&Input::Typed { keys, hold: HOLD });
    b.input(&Input::Typed { keys: vec![(A, true), (A, false)], hold: 0 });
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(drain(&mut b));
        b.advance(HOLD);
    }
    assert_eq!(seen, [vec![0x1d], vec![0x1e], vec![0x9e], vec![0x9d], vec![0x1e, 0x9e], vec![]]);
}
