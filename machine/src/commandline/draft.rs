//! A command line half read: the configuration so far, and what can only be settled once every option is known.

use super::board;
use super::config::{Backend, ChardevConfig, ChardevLog, Config, DeviceConfig, Global};
use super::error::{OptionError, Reason};
use super::vocabulary::{Vocabulary, check};

/// The driver of the graphics card that a machine has by itself.
pub(super) const GRAPHICS_CARD: &str = "VGA";

/// The device that serial ports are.
const ISA_SERIAL: &str = "isa-serial";

/// The origin of a graphics card for which there is no `-device`. It comes before all that have one.
pub(crate) const DEFAULT_CARD: &str = "-vga std";

/// What to do after an option.
pub(super) enum Flow {
    /// Read the next one.
    Next,
    /// Print this and start nothing.
    Print(String),
}

/// What an option's handler returns.
pub(super) type Handled = Result<Flow, Reason>;

/// What handlers write to.
pub(super) struct Draft<'a> {
    /// The configuration so far.
    pub(super) config: Config,
    /// The names that the rest of the program knows.
    pub(super) vocabulary: &'a Vocabulary,
    /// The option being read, as typed.
    pub(super) current: String,
    /// `-nographic` was given.
    pub(super) nographic: bool,
    /// `-display` was given.
    pub(super) display: bool,
    /// Whether the last `-vga` asked for a card.
    pub(super) vga: Option<bool>,
    /// `-nodefaults` was given.
    pub(super) no_defaults: bool,
    /// A `-serial` was given.
    pub(super) serial_given: bool,
    /// A `-monitor` or `mon:` was given.
    pub(super) monitor_given: bool,
    /// Character devices that something was attached to: the id and the option that did it.
    pub(super) references: Vec<(String, String)>,
    /// `-kernel`'s companions that were given, for the complaint when it is missing.
    pub(super) needs_kernel: Option<String>,
    /// `-m` was given.
    pub(super) memory_given: bool,
    /// `-snapshot` was given.
    pub(super) snapshot: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(argv: Vec<String>, vocabulary: &'a Vocabulary) -> Self {
        Draft {
            config: Config { argv, ..Config::default() },
            vocabulary,
            current: String::new(),
            nographic: false,
            display: false,
            vga: None,
            no_defaults: false,
            serial_given: false,
            monitor_given: false,
            references: Vec::new(),
            needs_kernel: None,
            memory_given: false,
            snapshot: false,
        }
    }

    /// Puts an error down to the option being read.
    pub(super) fn blame(&self, reason: Reason) -> OptionError {
        OptionError { option: self.current.clone(), reason }
    }

    /// Adds a character device; its name must be new.
    pub(super) fn add_chardev(&mut self, id: &str, backend: Backend, mux: bool) -> Result<(), Reason> {
        self.add_logged_chardev(id, backend, mux, None)
    }

    /// The same, with a file that its output is written to.
    pub(super) fn add_logged_chardev(
        &mut self,
        id: &str,
        backend: Backend,
        mux: bool,
        log: Option<ChardevLog>,
    ) -> Result<(), Reason> {
        if self.config.chardev(id).is_some() {
            return Err(Reason::refused(format!("there is already a character device '{id}'")));
        }
        if matches!(backend, Backend::Stdio { .. })
            && let Some(other) = self.stdio()
        {
            return Err(Reason::refused(format!("the terminal is already taken by {}", other.origin)));
        }
        let chardev = ChardevConfig { id: id.to_owned(), origin: self.current.clone(), backend, mux, log };
        self.config.chardevs.push(chardev);
        Ok(())
    }

    /// The character device on the terminal, if there is one.
    pub(super) fn stdio(&self) -> Option<&ChardevConfig> {
        self.config.chardevs.iter().find(|chardev| matches!(chardev.backend, Backend::Stdio { .. }))
    }

    /// Notes that the option being read uses the character device `id`, which may be defined by a later option.
    pub(super) fn refer(&mut self, id: &str) {
        self.references.push((id.to_owned(), self.current.clone()));
    }

    /// Completes the configuration with the defaults and checks what spans several options.
    pub(super) fn finish(mut self) -> Result<Config, OptionError> {
        self.check_terminal()?;
        self.default_consoles()?;
        self.default_screen();
        self.check_references()?;
        self.apply_globals()?;
        self.number_serial_ports();
        board::finish_memory(&mut self)?;
        self.finish_drives()?;
        if self.config.boot.kernel.is_none()
            && let Some(option) = self.needs_kernel
        {
            return Err(OptionError { option, reason: Reason::refused("only makes sense with -kernel") });
        }
        self.config.memory.max = self.config.memory.max.max(self.config.memory.size);
        Ok(self.config)
    }

    /// What QEMU attaches when nothing was said: with `-nographic` the first serial port and the monitor share the
    /// terminal. Lockstep has no window, so that is its default too, unless `-display none` asks for quiet.
    fn default_consoles(&mut self) -> Result<(), OptionError> {
        let terminal_wanted = self.nographic || !self.display;
        if self.no_defaults || !terminal_wanted || self.stdio().is_some() {
            return Ok(());
        }
        "default console".clone_into(&mut self.current);
        let (serial, monitor) = (!self.serial_given, !self.monitor_given);
        if self.config.daemonize {
            return self.consoles_in_the_background(serial);
        }
        let id = if serial { "serial0" } else { "compat_monitor0" };
        if serial || monitor {
            let backend = Backend::Stdio { signals: !(serial && monitor) };
            self.add_chardev(id, backend, serial && monitor).map_err(|reason| self.blame(reason))?;
        }
        if serial {
            self.config.serial.push(Some(id.to_owned()));
        }
        if monitor {
            self.config.monitors.push(id.to_owned());
        }
        Ok(())
    }

    /// Without a terminal there is no monitor, and nobody at the serial port.
    fn consoles_in_the_background(&mut self, serial: bool) -> Result<(), OptionError> {
        if self.nographic && (serial || !self.monitor_given) {
            return Err(OptionError::refused("-nographic", "cannot be used with -daemonize"));
        }
        if serial {
            self.add_chardev("serial0", Backend::Null, false).map_err(|reason| self.blame(reason))?;
            self.config.serial.push(Some("serial0".to_owned()));
        }
        Ok(())
    }

    /// The terminal stays with the process that the user started.
    fn check_terminal(&self) -> Result<(), OptionError> {
        match self.stdio().filter(|_| self.config.daemonize) {
            Some(chardev) => Err(OptionError::refused(&chardev.origin, "cannot use stdio with -daemonize")),
            None => Ok(()),
        }
    }

    /// The standard graphics card, if `-vga` says so or nothing was said about it.
    fn default_screen(&mut self) {
        let there = self.config.devices.iter().any(|device| device.driver == GRAPHICS_CARD);
        if self.vga.unwrap_or(!self.no_defaults && !there) {
            let driver = GRAPHICS_CARD.to_owned();
            let origin = DEFAULT_CARD.to_owned();
            self.config.devices.push(DeviceConfig { driver, id: None, origin, properties: Vec::new() });
        }
    }

    /// A `-device isa-serial` that does not say which of the four ports it is is the next after the one before of its kind.
    fn number_serial_ports(&mut self) {
        let ports = self.config.devices.iter_mut().filter(|device| device.driver == ISA_SERIAL);
        let unnumbered = |device: &&mut DeviceConfig| device.properties.iter().all(|(name, _)| name != "index");
        for (number, device) in ports.filter(unnumbered).enumerate() {
            device.properties.push(("index".to_owned(), number.to_string()));
        }
    }

    /// Every character device that is used must exist, and only a mux can be used twice.
    fn check_references(&self) -> Result<(), OptionError> {
        let mut users: Vec<(&str, &str)> = Vec::new();
        for (id, option) in &self.references {
            let blame = |why: String| OptionError { option: option.clone(), reason: Reason::refused(why) };
            let chardev = self.config.chardev(id).ok_or_else(|| blame(format!("there is no -chardev '{id}'")))?;
            if let Some((_, other)) = users.iter().find(|(used, _)| used == id)
                && !chardev.mux
            {
                return Err(blame(format!("character device '{id}' is already used by {other}; give it mux=on")));
            }
            users.push((id, option));
        }
        self.check_qmp()
    }

    /// QMP is spoken on sockets and on the terminal.
    fn check_qmp(&self) -> Result<(), OptionError> {
        let speaks_qmp = |chardev: &&ChardevConfig| self.config.qmp.iter().any(|qmp| qmp.chardev == chardev.id);
        for chardev in self.config.chardevs.iter().filter(speaks_qmp) {
            if let Backend::Udp { .. } | Backend::Pty | Backend::Pipe { .. } | Backend::SerialLine { .. } =
                &chardev.backend
            {
                let reason = Reason::not_built("QMP on something other than a socket or the terminal");
                return Err(OptionError { option: chardev.origin.clone(), reason });
            }
            if chardev.log.is_some() {
                let reason = Reason::not_built("a log of QMP");
                return Err(OptionError { option: chardev.origin.clone(), reason });
            }
        }
        Ok(())
    }

    /// Puts the `-global` properties of each device's driver before those typed for it, which so override them.
    fn apply_globals(&mut self) -> Result<(), OptionError> {
        for DeviceConfig { driver, properties, .. } in &mut self.config.devices {
            let mine = self.config.globals.iter().filter(|global| global.driver == *driver);
            let set: Vec<_> = mine.map(|Global { property, value, .. }| (property.clone(), value.clone())).collect();
            if let Some(known) = self.vocabulary.driver(driver) {
                for (property, value) in &set {
                    let option = format!("-global {driver}.{property}={value}");
                    check(known, &[(property.clone(), value.clone())])
                        .map_err(|reason| OptionError { option, reason })?;
                }
            }
            properties.splice(0..0, set);
        }
        Ok(())
    }
}
