//! Running, stopped, over: the machine's run state, what changes it, and what it tells when it changes.

use crate::schema::declare::declare;

declare! {
    family "Run state";

    /// What the machine is doing.
    enum RunState {
        /// Stopped where a debugger wants it.
        Debug = "debug",
        /// Waits for the state of another machine.
        Inmigrate = "inmigrate",
        /// Stopped because it cannot go on.
        InternalError = "internal-error",
        /// Stopped by an error of a drive, see `werror=` and `rerror=`.
        IoError = "io-error",
        /// Stopped by `stop`.
        Paused = "paused",
        /// Its state has gone to another machine.
        Postmigrate = "postmigrate",
        /// Not started since Lockstep was, see `-S`.
        Prelaunch = "prelaunch",
        /// Stopped while the last of its state goes to another machine.
        FinishMigrate = "finish-migrate",
        /// Being restored from a snapshot.
        RestoreVm = "restore-vm",
        /// Running.
        Running = "running",
        /// Being saved to a snapshot.
        SaveVm = "save-vm",
        /// Powered off, see `-no-shutdown`.
        Shutdown = "shutdown",
        /// Suspended to RAM.
        Suspended = "suspended",
        /// Stopped by its watchdog.
        Watchdog = "watchdog",
        /// Stopped because the guest has reported its own panic.
        GuestPanicked = "guest-panicked",
        /// One of a pair that check each other; never so here.
        Colo = "colo",
    }

    /// The run state.
    struct StatusInfo {
        /// vCPUs execute.
        running: bool,
        /// vCPUs stop after each instruction.
        singlestep: bool,
        /// Which state it is.
        status: RunState,
    }

    /// Tells the run state.
    command observes "query-status" QueryStatus {} -> StatusInfo;

    /// Stops the machine where it is. No guest time passes until `cont`. Stopping a stopped machine is no error.
    command observes "stop" Stop {};

    /// Lets a stopped machine go on; one that runs is left alone.
    command observes "cont" Cont {};

    /// Resets the machine, as its reset button would.
    command steers "system_reset" SystemReset {};

    /// Presses the power button. What comes of it is the guest's affair.
    command steers "system_powerdown" SystemPowerdown {};

    /// Wakes a machine that is suspended to RAM. One that is not is left alone, and that is an error.
    command steers "system_wakeup" SystemWakeup {};

    /// Raises a non-maskable interrupt in the machine's processors.
    command steers "inject-nmi" InjectNmi {};

    /// Forgets the RTC's interrupts that the guest has been too slow to take, for use after its clock was set.
    command steers "rtc-reset-reinjection" RtcResetReinjection {};

    /// How a timer makes up for ticks that the guest has missed.
    enum LostTickPolicy {
        /// Not at all.
        Discard = "discard",
        /// All of them late, at the usual rate.
        Delay = "delay",
        /// As one tick.
        Merge = "merge",
        /// All of them, at a higher rate until none is missing.
        Slew = "slew",
    }

    /// What is done when the watchdog is not fed.
    enum WatchdogAction {
        /// The machine is reset.
        Reset = "reset",
        /// The power button is pressed.
        Shutdown = "shutdown",
        /// The machine is powered off.
        Poweroff = "poweroff",
        /// The machine is stopped.
        Pause = "pause",
        /// A line goes to standard error.
        Debug = "debug",
        /// Nothing but the event.
        None = "none",
        /// A non-maskable interrupt is raised.
        InjectNmi = "inject-nmi",
    }

    /// Says what is to be done when the watchdog is not fed.
    command steers "watchdog-set-action" WatchdogSetAction {
        /// What.
        action: WatchdogAction,
    };

    /// What is done when the guest reboots.
    enum RebootAction {
        /// The machine is reset.
        Reset = "reset",
        /// As if it had powered off.
        Shutdown = "shutdown",
    }

    /// What is done when the guest powers off.
    enum ShutdownAction {
        /// Lockstep ends.
        Poweroff = "poweroff",
        /// The machine is stopped in the state `shutdown`.
        Pause = "pause",
    }

    /// What is done when the guest reports its own panic.
    enum PanicAction {
        /// The machine is stopped in the state `guest-panicked`.
        Pause = "pause",
        /// As if it had powered off.
        Shutdown = "shutdown",
        /// Lockstep ends with a status that is not zero.
        ExitFailure = "exit-failure",
        /// Nothing but the event.
        None = "none",
    }

    /// Says what is to be done when the guest reboots, powers off, panics or starves its watchdog. What is absent stays.
    command steers "set-action" SetAction {
        /// On a reboot.
        reboot: Option<RebootAction>,
        /// On a power-off.
        shutdown: Option<ShutdownAction>,
        /// On a panic.
        panic: Option<PanicAction>,
        /// When the watchdog is not fed.
        watchdog: Option<WatchdogAction>,
    };

    /// Who wanted a shutdown or a reset.
    enum ShutdownCause {
        /// Nobody did.
        None = "none",
        /// An error of the host.
        HostError = "host-error",
        /// `quit`.
        HostQmpQuit = "host-qmp-quit",
        /// `system_reset`.
        HostQmpSystemReset = "host-qmp-system-reset",
        /// A signal, such as SIGTERM.
        HostSignal = "host-signal",
        /// The user, at the terminal.
        HostUi = "host-ui",
        /// The guest, by ACPI or the like.
        GuestShutdown = "guest-shutdown",
        /// The guest, by its keyboard controller, reset register or triple fault.
        GuestReset = "guest-reset",
        /// The guest's panic.
        GuestPanic = "guest-panic",
        /// A part of the machine, for which a reset is no event.
        SubsystemReset = "subsystem-reset",
        /// The loading of a snapshot.
        SnapshotLoad = "snapshot-load",
    }

    /// The machine has powered off, or is about to with Lockstep itself.
    event "SHUTDOWN" ShutDown {
        /// The guest wanted it.
        guest: bool,
        /// Who wanted it.
        reason: ShutdownCause,
    };

    /// The power button was pressed.
    event "POWERDOWN" PoweringDown {};

    /// The machine was reset.
    event "RESET" WasReset {
        /// The guest wanted it.
        guest: bool,
        /// Who wanted it.
        reason: ShutdownCause,
    };

    /// The machine has stopped.
    event "STOP" Stopped {};

    /// The machine goes on.
    event "RESUME" Resumed {};

    /// The guest has suspended to RAM.
    event "SUSPEND" Suspended {};

    /// The guest has suspended to disk: SHUTDOWN follows.
    event "SUSPEND_DISK" SuspendedToDisk {};

    /// The guest has been woken from suspension.
    event "WAKEUP" WokenUp {};

    /// The watchdog was not fed in time.
    event "WATCHDOG" WatchdogExpired {
        /// What is done about it.
        action: WatchdogAction,
    } limited;

    /// What is done about a panic.
    enum GuestPanicAction {
        /// The machine is stopped.
        Pause = "pause",
        /// The machine is powered off.
        Poweroff = "poweroff",
        /// The machine goes on.
        Run = "run",
    }

    /// What kind of information came with a panic.
    enum GuestPanicInformationType {
        /// Hyper-V's crash registers.
        HyperV = "hyper-v",
    }

    /// What the guest says of its panic.
    union GuestPanicInformation {}
    /// The kind of information.
    by kind = "type": GuestPanicInformationType as GuestPanicInformationOf {
        HyperV = "hyper-v": GuestPanicInformationHyperV,
    }

    /// Hyper-V's crash registers, HV_X64_MSR_CRASH_P0 to P4. Windows puts its bug check's code and arguments there.
    struct GuestPanicInformationHyperV {
        /// P0.
        arg1: u64,
        /// P1.
        arg2: u64,
        /// P2.
        arg3: u64,
        /// P3.
        arg4: u64,
        /// P4.
        arg5: u64,
    }

    /// The guest has reported its own panic.
    event "GUEST_PANICKED" GuestPanicked {
        /// What is done about it.
        action: GuestPanicAction,
        /// What the guest said besides.
        info: Option<GuestPanicInformation>,
    };

    /// The guest has panicked, and its crash kernel has taken over.
    event "GUEST_CRASHLOADED" GuestCrashloaded {
        /// What is done about it.
        action: GuestPanicAction,
        /// What the guest said besides.
        info: Option<GuestPanicInformation>,
    };

    /// The guest has set its real-time clock.
    event "RTC_CHANGE" RtcChange {
        /// By how many seconds it now differs from the clock that `-rtc base` set going.
        offset: i64,
        /// The clock's place in the object model.
        qom_path: Option<String>,
    } limited;
}
