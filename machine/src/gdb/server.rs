//! Where a debugger is awaited: `-gdb`, and the monitor's `gdbserver` while the machine runs.

use crate::chardev::{ChardevId, Problem};
use crate::commandline::{Backend, ChardevConfig, DebuggerDevice, Reason, debugger_device};
use crate::run::Control;

/// The character device that `-gdb` and `gdbserver` make.
pub(crate) const CHARDEV: &str = "gdb";

/// Why a debugger is not awaited there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GdbServerError {
    /// It cannot be read.
    #[error(transparent)]
    Syntax(#[from] Reason),
    /// The host will not.
    #[error(transparent)]
    Host(#[from] Problem),
    /// No such character device.
    #[error("there is no character device '{0}' that is free")]
    NotFree(String),
    /// The terminal is in use.
    #[error("the terminal is taken when the machine is started, or never")]
    Terminal,
}

impl Control {
    /// The character device on which a debugger is awaited.
    pub(crate) fn debugger_chardev(&self) -> Option<ChardevId> {
        self.chardevs.id(self.config.gdb.as_deref()?)
    }

    /// Whether the place has changed since this was last asked.
    pub(crate) fn take_debugger_moved(&mut self) -> bool {
        !std::mem::replace(&mut self.debugger.placed, true)
    }

    /// Awaits a debugger somewhere else, or nowhere (`none`); whether there is such a place.
    pub(crate) fn await_debugger(&mut self, device: &str) -> Result<bool, GdbServerError> {
        let device = debugger_device(device)?;
        match &device {
            DebuggerDevice::Chardev(id) if !self.chardev_is_free(id) => {
                return Err(GdbServerError::NotFree(id.clone()));
            }
            DebuggerDevice::New(Backend::Stdio { .. }) => return Err(GdbServerError::Terminal),
            DebuggerDevice::Nothing | DebuggerDevice::Chardev(_) | DebuggerDevice::New(_) => {}
        }
        self.debugger.placed = false;
        if self.config.gdb.take().as_deref() == Some(CHARDEV) {
            self.remove_chardev(CHARDEV);
        }
        match device {
            DebuggerDevice::Nothing => return Ok(false),
            DebuggerDevice::Chardev(id) => self.config.gdb = Some(id),
            DebuggerDevice::New(backend) => {
                // What the place is for decides whether a replay opens it.
                self.config.gdb = Some(CHARDEV.to_owned());
                let (id, origin) = (CHARDEV.to_owned(), "gdbserver".to_owned());
                let opened = self.add_chardev(ChardevConfig { id, origin, backend, mux: false, log: None });
                if let Err(why) = opened {
                    self.config.gdb = None;
                    return Err(why.into());
                }
            }
        }
        Ok(true)
    }
}
