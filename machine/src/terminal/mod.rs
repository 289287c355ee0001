//! The terminal that Lockstep was started from: raw while a guest has it, as it was before on every way out.
//!
//! The settings to go back to live in one place for the whole process, because the ways out do not share a stack: a
//! return from `main` drops [`RawTerminal`], a panic runs the hook, a signal runs [`signals`] on its own thread.

mod mux;
pub mod signals;

use std::io;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, isatty, tcgetattr,
    tcsetattr,
};

pub use mux::{Focus, Mux, MuxEvent};

/// The settings of a terminal that was made raw.
struct Settings {
    original: Termios,
    raw: Termios,
}

static SETTINGS: Mutex<Option<Settings>> = Mutex::new(None);

fn settings() -> MutexGuard<'static, Option<Settings>> {
    // Nothing panics while it is held, and a terminal is worth restoring in any case.
    SETTINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A raw terminal; it is restored when this is dropped.
#[derive(Debug)]
pub struct RawTerminal(());

impl RawTerminal {
    /// Makes the terminal on standard input raw. With `signals`, Ctrl-C, Ctrl-Z and Ctrl-\ still do what they do in a
    /// shell; without, they are bytes like all others. `None` if standard input is no terminal: nothing to do then.
    pub fn enter(signals: bool) -> io::Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return Ok(None);
        }
        restore_on_panic();
        let mut settings = settings();
        // Entering twice must not take the raw settings for the original ones.
        let original = match settings.take() {
            Some(old) => old.original,
            None => tcgetattr(stdin)?,
        };
        let raw = raw_settings(original.clone(), signals);
        let applied = tcsetattr(stdin, OptionalActions::Now, &raw);
        *settings = Some(Settings { original, raw });
        drop(settings);
        // Should it fail half way, the drop puts things right.
        let terminal = RawTerminal(());
        applied?;
        Ok(Some(terminal))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
        *settings() = None;
    }
}

/// Puts the terminal back to how it was found, if it was made raw. Can be called from anywhere, any number of times.
pub fn restore() {
    if let Some(settings) = settings().as_ref() {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &settings.original);
    }
}

/// Makes a terminal raw again that [`restore`] put back, after a stop and a continue.
fn resume() {
    if let Some(settings) = settings().as_ref() {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &settings.raw);
    }
}

/// A panic aborts the process, so no guard is dropped; the hook runs first.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            previous(panic);
        }));
    });
}

/// Bytes come in one by one, unechoed and untranslated, all eight bits of them. Output is still post-processed, so that
/// Lockstep's own lines end where lines should.
fn raw_settings(mut termios: Termios, signals: bool) -> Termios {
    termios.input_modes -= InputModes::IGNBRK
        | InputModes::BRKINT
        | InputModes::PARMRK
        | InputModes::ISTRIP
        | InputModes::INLCR
        | InputModes::IGNCR
        | InputModes::ICRNL
        | InputModes::IXON;
    termios.output_modes |= OutputModes::OPOST;
    termios.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::IEXTEN;
    termios.local_modes.set(LocalModes::ISIG, signals);
    termios.control_modes -= ControlModes::CSIZE | ControlModes::PARENB;
    termios.control_modes |= ControlModes::CS8;
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
    termios
}
