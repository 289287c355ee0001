//! Running, stopped, over.

use super::denied;
use crate::commandline::{OnReboot, OnShutdown};
use crate::machine::Ending;
use crate::run::{self, Control, Denied};
use lockstep_fabric as fabric;
use lockstep_qmp::Error;
use lockstep_qmp::commands::run_state::{
    Cont, InjectNmi, PanicAction, QueryStatus, RebootAction, RtcResetReinjection, RunState, SetAction, ShutdownAction,
    StatusInfo, Stop, SystemPowerdown, SystemReset, SystemWakeup, WatchdogAction, WatchdogSetAction,
};
use lockstep_qmp::registry::{Answer, Registry};

pub(super) fn register(registry: &mut Registry<Control>) {
    registry.on(query_status).on(stop).on(cont).on(system_reset).on(system_powerdown).on(system_wakeup);
    registry.on(inject_nmi).on(rtc_reset_reinjection).on(watchdog_set_action).on(set_action);
}

pub(crate) fn query_status(control: &mut Control, _: QueryStatus) -> Answer<StatusInfo> {
    let status = match (control.board.machine.ended(), control.state()) {
        (Some(Ending::PowerOff | Ending::Reset | Ending::Exit(_)), _) => RunState::Shutdown,
        (None, run::RunState::Prelaunch) => RunState::Prelaunch,
        (None, run::RunState::Running) if control.suspended() => RunState::Suspended,
        (None, run::RunState::Running) => RunState::Running,
        (None, run::RunState::Paused) => RunState::Paused,
        (None, run::RunState::IoError) => RunState::IoError,
        (None, run::RunState::Watchdog) => RunState::Watchdog,
        (None, run::RunState::GuestPanicked) => RunState::GuestPanicked,
        (None, run::RunState::Debug) => RunState::Debug,
    };
    Ok(StatusInfo { running: status == RunState::Running, singlestep: false, status })
}

fn stop(control: &mut Control, _: Stop) -> Answer<()> {
    control.stop().map_err(denied)
}

fn cont(control: &mut Control, _: Cont) -> Answer<()> {
    control.resume().map_err(|why| match why {
        Denied::Over => Error::new("Resetting the Virtual Machine is required"),
        why => denied(why),
    })
}

fn system_reset(control: &mut Control, _: SystemReset) -> Answer<()> {
    control.reset().map_err(denied)
}

fn system_powerdown(control: &mut Control, _: SystemPowerdown) -> Answer<()> {
    control.press_power_button().map_err(denied)
}

fn system_wakeup(control: &mut Control, _: SystemWakeup) -> Answer<()> {
    if !control.can_suspend() {
        return Err(Error::new("wake-up from suspend is not supported by this guest"));
    }
    control.wake_up().map_err(denied)
}

fn inject_nmi(control: &mut Control, _: InjectNmi) -> Answer<()> {
    control.inject_nmi().map_err(denied)
}

/// The RTC's interrupts come in guest time, which waits for the guest: none is ever held back to be made up for.
fn rtc_reset_reinjection(_: &mut Control, _: RtcResetReinjection) -> Answer<()> {
    Ok(())
}

fn watchdog_set_action(control: &mut Control, command: WatchdogSetAction) -> Answer<()> {
    control.set_watchdog_action(on_watchdog(command.action)).map_err(denied)
}

fn set_action(control: &mut Control, actions: SetAction) -> Answer<()> {
    if let Some(action) = actions.watchdog {
        control.set_watchdog_action(on_watchdog(action)).map_err(denied)?;
    }
    if let Some(action) = actions.panic {
        control.set_panic_action(on_panic(action)).map_err(denied)?;
    }
    match actions.reboot {
        Some(RebootAction::Reset) => control.on_reboot(OnReboot::Reset),
        Some(RebootAction::Shutdown) => control.on_reboot(OnReboot::Shutdown),
        None => {}
    }
    match actions.shutdown {
        Some(ShutdownAction::Poweroff) => control.config.on_shutdown = OnShutdown::PowerOff,
        Some(ShutdownAction::Pause) => control.config.on_shutdown = OnShutdown::Pause,
        None => {}
    }
    Ok(())
}

fn on_watchdog(action: WatchdogAction) -> fabric::WatchdogAction {
    match action {
        WatchdogAction::Reset => fabric::WatchdogAction::Reset,
        WatchdogAction::Shutdown => fabric::WatchdogAction::Shutdown,
        WatchdogAction::Poweroff => fabric::WatchdogAction::Poweroff,
        WatchdogAction::Pause => fabric::WatchdogAction::Pause,
        WatchdogAction::Debug => fabric::WatchdogAction::Debug,
        WatchdogAction::None => fabric::WatchdogAction::None,
        WatchdogAction::InjectNmi => fabric::WatchdogAction::InjectNmi,
    }
}

fn on_panic(action: PanicAction) -> fabric::PanicAction {
    match action {
        PanicAction::Pause => fabric::PanicAction::Pause,
        PanicAction::Shutdown => fabric::PanicAction::Shutdown,
        PanicAction::ExitFailure => fabric::PanicAction::ExitFailure,
        PanicAction::None => fabric::PanicAction::None,
    }
}
