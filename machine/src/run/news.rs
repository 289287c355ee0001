//! What devices have to tell, for the user at the terminal and for QMP's clients.

use super::Control;
use crate::object_model::Tree;
use lockstep_fabric::{DeviceId, Notice, PanicAction, WatchdogAction};
use lockstep_qmp::commands::char::VserportChange;
use lockstep_qmp::commands::memory::BalloonChange;
use lockstep_qmp::commands::run_state::{
    GuestCrashloaded, GuestPanicAction, GuestPanicked, PoweringDown, RtcChange, Suspended, SuspendedToDisk,
    WatchdogAction as Expired, WatchdogExpired, WokenUp,
};

/// What a user without a client that is told of everything has to know.
pub(super) fn line_of(notice: Notice) -> Option<&'static str> {
    match notice {
        Notice::GuestPanicked(PanicAction::Pause) => Some("the guest has panicked: the machine is stopped"),
        Notice::GuestPanicked(_) => Some("the guest has panicked"),
        Notice::GuestCrashLoaded => Some("the guest has panicked and runs its crash kernel"),
        Notice::Watchdog(WatchdogAction::None) => None,
        Notice::Watchdog(WatchdogAction::Pause) => Some("watchdog: timer fired: the machine is stopped"),
        Notice::Watchdog(_) => Some("watchdog: timer fired"),
        Notice::Suspended
        | Notice::SuspendedToDisk
        | Notice::Woken
        | Notice::PortOpen { .. }
        | Notice::Balloon(_)
        | Notice::Tray { .. }
        | Notice::SlotStatus { .. }
        | Notice::ClockSet(_) => None,
    }
}

/// Tells QMP's clients.
pub(super) fn tell(control: &mut Control, device: DeviceId, notice: Notice) {
    match notice {
        Notice::Watchdog(action) => {
            control.tell(&WatchdogExpired { action: expired(action) });
            // The machine presses its own power button, which is news as when anyone does.
            if action == WatchdogAction::Shutdown {
                control.tell(&PoweringDown {});
            }
        }
        Notice::GuestPanicked(action) => control.tell(&GuestPanicked { action: panicked(action), info: None }),
        Notice::GuestCrashLoaded => control.tell(&GuestCrashloaded { action: GuestPanicAction::Run, info: None }),
        Notice::Tray { drive, open } => {
            let id = control.board.machine.drive_info(device, drive).map(|info| info.id.clone());
            id.iter().for_each(|id| control.tell_tray(id, open));
        }
        Notice::SlotStatus { slot, event, status } => control.tell_report(device, slot, event, status),
        Notice::ClockSet(offset) => {
            let qom_path = Tree::of(control).path_of_device(device);
            control.tell(&RtcChange { offset, qom_path });
        }
        Notice::Suspended => control.tell(&Suspended {}),
        Notice::SuspendedToDisk => control.tell(&SuspendedToDisk {}),
        Notice::Woken => control.tell(&WokenUp {}),
        Notice::Balloon(actual) => control.tell(&BalloonChange { actual: actual as i64 }),
        Notice::PortOpen { port, open } => {
            // As with QEMU, of ports without an id nobody is told.
            let mut ports = control.board.serial_ports.iter();
            let port = ports.find(|other| (other.device, other.number) == (device, port));
            if let Some(id) = port.and_then(|port| port.id.clone()) {
                control.tell(&VserportChange { id, open });
            }
        }
    }
}

fn expired(action: WatchdogAction) -> Expired {
    match action {
        WatchdogAction::Reset => Expired::Reset,
        WatchdogAction::Shutdown => Expired::Shutdown,
        WatchdogAction::Poweroff => Expired::Poweroff,
        WatchdogAction::Pause => Expired::Pause,
        WatchdogAction::Debug => Expired::Debug,
        WatchdogAction::None => Expired::None,
        WatchdogAction::InjectNmi => Expired::InjectNmi,
    }
}

fn panicked(action: PanicAction) -> GuestPanicAction {
    match action {
        PanicAction::Pause => GuestPanicAction::Pause,
        PanicAction::Shutdown | PanicAction::ExitFailure => GuestPanicAction::Poweroff,
        PanicAction::None => GuestPanicAction::Run,
    }
}
