//! What the machine does when a watchdog bites or the guest says that it has panicked: the operator's choice.

use serde::{Deserialize, Serialize};

/// What the machine does when a watchdog's time is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchdogAction {
    /// Resets.
    #[default]
    Reset,
    /// Presses the power button.
    Shutdown,
    /// Turns the power off.
    Poweroff,
    /// Stops the vCPUs, until the operator lets them go on.
    Pause,
    /// Only tells.
    Debug,
    /// Nothing.
    None,
    /// Sends every vCPU a non-maskable interrupt.
    InjectNmi,
}

/// What the machine does when the guest says that it has panicked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PanicAction {
    /// Stops the vCPUs, until the operator lets them go on.
    Pause,
    /// Turns the power off.
    #[default]
    Shutdown,
    /// Ends the emulator with status 1.
    ExitFailure,
    /// Nothing.
    None,
}

/// The operator's choices. They are part of the machine's state, for they decide what the guest sees next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// When a watchdog bites.
    pub watchdog: WatchdogAction,
    /// When the guest panics.
    pub panic: PanicAction,
}

/// A word that is none of the actions; it holds those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use {0}")]
pub struct UnknownAction(pub &'static str);

impl std::str::FromStr for WatchdogAction {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Ok(match text {
            "reset" => Self::Reset,
            "shutdown" => Self::Shutdown,
            "poweroff" => Self::Poweroff,
            "pause" => Self::Pause,
            "debug" => Self::Debug,
            "none" => Self::None,
            "inject-nmi" => Self::InjectNmi,
            _ => return Err(UnknownAction("reset, shutdown, poweroff, pause, debug, none or inject-nmi")),
        })
    }
}

impl std::str::FromStr for PanicAction {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Ok(match text {
            "pause" => Self::Pause,
            "shutdown" => Self::Shutdown,
            "exit-failure" => Self::ExitFailure,
            "none" => Self::None,
            _ => return Err(UnknownAction("pause, shutdown, exit-failure or none")),
        })
    }
}
