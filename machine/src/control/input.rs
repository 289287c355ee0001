//! Keys and the mouse, as a user at the machine would work them.

use super::denied;
use crate::monitor::key_code;
use crate::run::Control;
use lockstep_devices::i8042::I8042;
use lockstep_fabric::{DeviceId, MouseMotion, Nanos};
use lockstep_qmp::Error;
use lockstep_qmp::commands::ui::{
    InputAxis, InputButton, InputEvent, InputEventOf, InputMoveEvent, InputSendEvent, KeyValue, KeyValueOf, MouseInfo,
    QueryMice, SendKey,
};
use lockstep_qmp::registry::{Answer, Registry};
use serde::Deserialize;

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(send_key).on(input_send_event).on(query_mice);
}

/// How long each key stays as it is unless something else is said.
const HOLD_MS: i64 = 100;
const NANOS_PER_MS: Nanos = 1_000_000;
/// What makes an extended key of a number.
const EXTENDED: u16 = 0x80;

/// All keys go down in order and up in the opposite one.
fn send_key(control: &mut Control, command: SendKey) -> Answer<()> {
    let hold = command.hold_time.unwrap_or(HOLD_MS);
    let hold = u32::try_from(hold).map_err(|_| Error::expects("hold-time", "a number of milliseconds"))?;
    let codes = command.keys.iter().map(code).collect::<Answer<Vec<_>>>()?;
    let pressed = codes.iter().map(|code| (*code, true));
    let released = codes.iter().rev().map(|code| (*code, false));
    control.type_keys(pressed.chain(released).collect(), Nanos::from(hold) * NANOS_PER_MS).map_err(denied)
}

/// A key's code of set 1, with E0h in the high byte for extended keys.
fn code(key: &KeyValue) -> Answer<u16> {
    match &key.kind {
        KeyValueOf::Qcode(key) => {
            let name = key.data.name();
            key_code(name).ok_or_else(|| Error::new(format!("No key of this keyboard is called '{name}'")))
        }
        KeyValueOf::Number(number) => match u16::try_from(number.data) {
            Ok(number @ (0x01..=0x7f | 0x81..=0xff)) if number & EXTENDED != 0 => Ok(0xe000 | number & !EXTENDED),
            Ok(number @ (0x01..=0x7f | 0x81..=0xff)) => Ok(number),
            _ => Err(Error::expects("data", "a scan code")),
        },
    }
}

/// What one event does.
enum Deed {
    Key(u16, bool),
    Button(u8, bool),
    Move(MouseMotion),
    /// A button that no mouse here has.
    Nothing,
}

/// Every event is checked before the first is done.
fn input_send_event(control: &mut Control, command: InputSendEvent) -> Answer<()> {
    if let Some(device) = &command.device
        && (control.board.screen.is_none() || control.board.machine.bus.find(device) != control.board.screen)
    {
        return Err(Error::device_not_found(device));
    }
    if command.head.is_some_and(|head| head != 0) {
        return Err(Error::new("There is no other screen than number 0"));
    }
    let deeds = command.events.iter().map(deed).collect::<Answer<Vec<_>>>()?;
    for deed in deeds {
        match deed {
            Deed::Key(code, down) => control.press_key(code, down),
            Deed::Button(bit, down) => {
                let before = control.board.keyboard.map_or(0, |mouse| buttons(control, mouse));
                let buttons = if down { before | 1 << bit } else { before & !(1 << bit) };
                control.move_mouse(MouseMotion { buttons: Some(buttons), ..MouseMotion::default() })
            }
            Deed::Move(motion) => control.move_mouse(motion),
            Deed::Nothing => Ok(()),
        }
        .map_err(denied)?;
    }
    Ok(())
}

/// The buttons that are down now, as bits.
fn buttons(control: &mut Control, mouse: DeviceId) -> u8 {
    let bus = &mut control.board.machine.bus;
    let state = bus.with(mouse, |device, _| device.save().ok()).flatten();
    state.and_then(|state| I8042::deserialize(&state).ok()).map_or(0, |controller| controller.buttons())
}

fn deed(event: &InputEvent) -> Answer<Deed> {
    Ok(match &event.kind {
        InputEventOf::Key(event) => Deed::Key(code(&event.data.key)?, event.data.down),
        InputEventOf::Btn(event) => {
            let notch = |wheel| {
                if event.data.down {
                    Deed::Move(MouseMotion { wheel, ..MouseMotion::default() })
                } else {
                    Deed::Nothing
                }
            };
            match event.data.button {
                InputButton::Left => Deed::Button(0, event.data.down),
                InputButton::Right => Deed::Button(1, event.data.down),
                InputButton::Middle => Deed::Button(2, event.data.down),
                InputButton::Side => Deed::Button(3, event.data.down),
                InputButton::Extra => Deed::Button(4, event.data.down),
                InputButton::WheelUp => notch(-1),
                InputButton::WheelDown => notch(1),
                InputButton::WheelLeft | InputButton::WheelRight => Deed::Nothing,
            }
        }
        InputEventOf::Rel(event) => Deed::Move(motion(&event.data)?),
        InputEventOf::Abs(_) => return Err(Error::new("Input handler not found for event type abs")),
    })
}

fn motion(moved: &InputMoveEvent) -> Answer<MouseMotion> {
    let counts = |value: i64| i16::try_from(value).map_err(|_| Error::expects("value", "a number of 16 bits"));
    Ok(match moved.axis {
        InputAxis::X => MouseMotion { right: counts(moved.value)?, ..MouseMotion::default() },
        InputAxis::Y => MouseMotion { up: counts(moved.value.saturating_neg())?, ..MouseMotion::default() },
    })
}

/// Keyboard and mouse are behind one controller.
pub(crate) fn query_mice(control: &mut Control, _: QueryMice) -> Answer<Vec<MouseInfo>> {
    let mouse = control.board.keyboard.map(|_| MouseInfo {
        name: "PS/2 mouse".into(),
        index: 1,
        current: true,
        absolute: false,
    });
    Ok(mouse.into_iter().collect())
}
