use crate::fault::vector;
use crate::fixture::*;
use crate::state::{Rights, seg};

const GATE: u16 = FREE;

/// `opcode` 0x9a (CALL) or 0xea (JMP), to a selector.
fn far(opcode: u8, selector: u16) -> [u8; 7] {
    let [low, high] = selector.to_le_bytes();
    [opcode, 0, 0x18, 0, 0, low, high]
}

#[test]
fn a_call_gate_to_an_inner_level_switches_stacks_and_copies_parameters() {
    let mut m = Machine::new(Mode::Protected);
    m.write64(GDT + u64::from(GATE), 0xec << 40 | 2 << 32 | u64::from(CODE32) << 16 | 0x1800);
    m.use_segments(USER_CODE32, USER_DATA, 3);
    m.assemble(32, |a| {
        a.push(11).unwrap();
        a.push(22).unwrap();
        a.db(&far(0x9a, GATE | 3)).unwrap();
        a.int(0x30).unwrap();
    });
    m.assemble_at(0x1800, 32, |a| a.retf_1(8).unwrap());
    m.step(3);
    assert_eq!((m.cpu.cpl, m.cpu.ip, m.cpu.gpr[4]), (0, 0x1800, INNER_STACK - 24));
    let frame: Vec<_> = (0..6).map(|i| u64::from(m.stack32(i))).collect();
    assert_eq!(frame, [CODE + 11, USER_CODE32.into(), 22, 11, STACK - 8, USER_DATA.into()]);
    m.run();
    assert_eq!((m.vector(), u64::from(m.stack32(3))), (Some(0x30), STACK), "RET has released both copies");
}

#[test]
fn a_64_bit_call_gate_has_an_upper_half_and_no_parameters() {
    let mut m = Machine::new(Mode::Long);
    m.write64(GDT + u64::from(GATE), 0xec << 40 | u64::from(CODE64) << 16 | 0x1800);
    m.write64(GDT + u64::from(GATE) + 8, 0);
    m.use_segments(USER_CODE64, USER_DATA, 3);
    m.assemble_at(0x1800, 64, |a| a.hlt().unwrap());
    m.write(0x1f00, &[0, 0, 0, 0, GATE as u8 | 3, 0]);
    m.assemble(64, |a| a.db(&[0xff, 0x1c, 0x25, 0, 0x1f, 0, 0]).unwrap());
    m.run();
    assert_eq!((m.cpu.ip, m.cpu.gpr[4]), (0x1801, INNER_STACK - 32));
    assert_eq!((m.stack64(0), m.stack64(1), m.stack64(2)), (CODE + 7, USER_CODE64.into(), STACK));
}

#[test]
fn a_gate_must_be_open_to_its_caller() {
    let mut m = Machine::new(Mode::Protected);
    m.write64(GDT + u64::from(GATE), 0x8c << 40 | u64::from(CODE32) << 16 | 0x1800);
    m.use_segments(USER_CODE32, USER_DATA, 3);
    m.write(CODE, &far(0x9a, GATE | 3));
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::GP), GATE.into()));
}

#[test]
fn a_jump_cannot_change_the_level() {
    let mut m = Machine::new(Mode::Protected);
    m.use_segments(USER_CODE32, USER_DATA, 3);
    m.write(CODE, &far(0xea, CODE32));
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::GP), CODE32.into()));
}

#[test]
fn a_return_outward_drops_segments_of_the_inner_level() {
    let mut m = Machine::new(Mode::Protected);
    m.assemble(32, |a| {
        a.push(i32::from(USER_DATA)).unwrap();
        a.push(0x7000).unwrap();
        a.push(i32::from(USER_CODE32)).unwrap();
        a.push(0x1800).unwrap();
        a.retf().unwrap();
    });
    m.step(5);
    assert_eq!((m.cpu.cpl, m.cpu.ip, m.cpu.gpr[4]), (3, 0x1800, 0x7000));
    assert!(!m.cpu.seg[seg::DS].rights.has(Rights::PRESENT));
    assert!(m.cpu.seg[seg::SS].rights.has(Rights::PRESENT));
}

#[test]
fn a_far_jump_beyond_the_segment_is_refused() {
    let mut m = Machine::new(Mode::Protected);
    m.write64(GDT + u64::from(GATE), 0x0040_9b00_0000_0fff);
    m.write(CODE, &far(0xea, GATE));
    m.run();
    assert_eq!((m.vector(), m.stack32(0)), (Some(vector::GP), 0));
}
