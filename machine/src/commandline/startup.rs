//! What is booted: `-bios`, `-L`, `-kernel`, `-initrd`, `-append`, `-boot`.

use std::path::{Path, PathBuf};

use super::config::BootConfig;
use super::draft::{Draft, Flow, Handled};
use super::error::{OptionError, Reason};
use super::suboptions::Suboptions;
use super::values;

/// Where Debian's packages put firmware.
const HOST_FIRMWARE_DIRS: [&str; 2] = ["/usr/share/seabios", "/usr/share/qemu"];

pub(super) fn bios(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.config.boot.bios = Some(name_of_file(argument)?.to_owned());
    Ok(Flow::Next)
}

pub(super) fn firmware_dir(draft: &mut Draft<'_>, argument: &str) -> Handled {
    if argument == "help" {
        return Ok(Flow::Print(draft.config.boot.search_path().map(|dir| format!("{}\n", dir.display())).collect()));
    }
    draft.config.boot.firmware_dirs.push(PathBuf::from(name_of_file(argument)?));
    Ok(Flow::Next)
}

pub(super) fn kernel(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.config.boot.kernel = Some(name_of_file(argument)?.into());
    Ok(Flow::Next)
}

pub(super) fn initrd(draft: &mut Draft<'_>, argument: &str) -> Handled {
    draft.config.boot.initrd = Some(name_of_file(argument)?.into());
    draft.needs_kernel.get_or_insert_with(|| draft.current.clone());
    Ok(Flow::Next)
}

pub(super) fn append(draft: &mut Draft<'_>, argument: &str) -> Handled {
    argument.clone_into(&mut draft.config.boot.append);
    if !argument.is_empty() {
        draft.needs_kernel.get_or_insert_with(|| draft.current.clone());
    }
    Ok(Flow::Next)
}

pub(super) fn order(draft: &mut Draft<'_>, argument: &str) -> Handled {
    let mut options = Suboptions::parse(argument, Some("order"));
    let boot = &mut draft.config.boot;
    if let Some(letters) = options.text("order") {
        boot.order = Some(drive_letters("order", letters)?);
    }
    if let Some(letters) = options.text("once") {
        boot.once = Some(drive_letters("once", letters)?);
    }
    boot.menu = options.switch("menu")?.unwrap_or(boot.menu);
    boot.strict = options.switch("strict")?.unwrap_or(boot.strict);
    if let Some(file) = options.text("splash") {
        boot.splash = Some(name_of_file(&file)?.to_owned());
    }
    let milliseconds = |key: &str, text: &str| {
        let number = values::number(text).and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| Reason::bad(key, text, "use a number of milliseconds up to 65535"))
    };
    if let Some(text) = options.text("splash-time") {
        boot.splash_time = Some(milliseconds("splash-time", &text)?);
    }
    match options.text("reboot-timeout").as_deref() {
        None => {}
        Some("-1") => boot.reboot_timeout = None,
        Some(text) => boot.reboot_timeout = Some(milliseconds("reboot-timeout", text)?),
    }
    options.finish()?;
    Ok(Flow::Next)
}

/// The letters that a pc knows: floppies, hard disk, CD, network. It keeps three of them in CMOS.
fn drive_letters(key: &str, letters: String) -> Result<String, Reason> {
    const MOST: usize = 3;
    let repeated = letters.char_indices().any(|(at, letter)| letters[..at].contains(letter));
    if repeated || letters.len() > MOST || !letters.chars().all(|letter| "abcdn".contains(letter)) {
        return Err(Reason::bad(key, &letters, "use up to three different letters of a, b, c, d and n"));
    }
    Ok(letters)
}

pub(super) fn no_fd_bootchk(draft: &mut Draft<'_>, _: &str) -> Handled {
    draft.config.boot.floppy_signature_check = false;
    Ok(Flow::Next)
}

fn name_of_file(argument: &str) -> Result<&str, Reason> {
    if argument.is_empty() { Err(Reason::Expected("the name of a file")) } else { Ok(argument) }
}

impl BootConfig {
    /// Where firmware is looked for: the `-L` directories, then the host's own.
    pub fn search_path(&self) -> impl Iterator<Item = &Path> {
        self.firmware_dirs.iter().map(PathBuf::as_path).chain(HOST_FIRMWARE_DIRS.iter().map(Path::new))
    }

    /// Finds the file that `-bios` names.
    pub fn bios_file(&self) -> Result<Option<PathBuf>, OptionError> {
        self.bios.as_deref().map(|name| self.find_file("-bios ", name)).transpose()
    }

    /// Reads the picture that `-boot splash=` names.
    pub fn read_splash(&self) -> Result<Option<Image>, OptionError> {
        let Some(name) = &self.splash else { return Ok(None) };
        let path = self.find_file("-boot splash=", name)?;
        Image::read(format!("-boot splash={name}"), path).map(Some)
    }

    /// Finds a file that `option` names: as it stands, or else in the [search path](Self::search_path).
    fn find_file(&self, option: &str, name: &str) -> Result<PathBuf, OptionError> {
        let mut candidates = std::iter::once(PathBuf::from(name)).chain(self.search_path().map(|dir| dir.join(name)));
        // Not is_file: a pipe from the shell is as good.
        match candidates.find(|path| path.exists() && !path.is_dir()) {
            Some(path) => Ok(path),
            None => Err(OptionError::refused(
                format!("{option}{name}"),
                "no such file, here or in the directories that '-L help' lists",
            )),
        }
    }

    /// The order of booting as CMOS holds it: letters, or the usual ones. Byte 3Dh has the first and the second, byte 38h the third,
    /// and whether floppies are booted that have no signature.
    pub fn letters(&self, letters: Option<&str>) -> [(u8, u8); 2] {
        const USUAL: &str = "cad";
        let mut codes = letters.unwrap_or(USUAL).chars().map(|letter| match letter {
            'a' | 'b' => 1,
            'c' => 2,
            'd' => 3,
            'n' => 4,
            _ => 0,
        });
        let [first, second, third] = std::array::from_fn(|_| codes.next().unwrap_or(0));
        [(0x3d, second << 4 | first), (0x38, third << 4 | u8::from(!self.floppy_signature_check))]
    }

    /// Whether the kernel is started without firmware: the built-in one leaves that to the machine, and any other gets to do it.
    pub fn starts_directly(&self) -> bool {
        self.kernel.is_some() && self.bios.is_none()
    }

    /// Reads what `-bios` names.
    pub fn read_bios(&self) -> Result<Option<Image>, OptionError> {
        let option = || format!("-bios {}", self.bios.as_deref().unwrap_or_default());
        self.bios_file()?.map(|path| Image::read(option(), path)).transpose()
    }

    /// Reads what `-kernel` names.
    pub fn read_kernel(&self) -> Result<Option<Image>, OptionError> {
        self.kernel.as_ref().map(|path| Image::read(format!("-kernel {}", path.display()), path.clone())).transpose()
    }

    /// Reads what `-initrd` names.
    pub fn read_initrd(&self) -> Result<Option<Image>, OptionError> {
        self.initrd.as_ref().map(|path| Image::read(format!("-initrd {}", path.display()), path.clone())).transpose()
    }
}

/// A file that is booted, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The option that names it, for complaints about what it holds: `-kernel vmlinuz`.
    pub option: String,
    /// Where it was found.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl Image {
    /// Reads a file that `option` names.
    pub fn read(option: String, path: PathBuf) -> Result<Self, OptionError> {
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Image { option, path, bytes }),
            Err(error) => Err(OptionError::refused(option, crate::chardev::host_words(&error))),
        }
    }

    /// A complaint about what the file holds.
    pub fn refused(&self, why: impl Into<String>) -> OptionError {
        OptionError::refused(&self.option, why)
    }
}
