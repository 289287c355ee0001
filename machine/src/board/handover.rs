//! What is handed to firmware through fw_cfg: the board's own items, and the user's files and tables, read and completed.

use super::processors;
use super::record;
use super::sleep_states;
use super::video;
use crate::commandline::{Config, Content, Image, OptionError};
use crate::record::BootedFile;
use lockstep_devices::fw_cfg::{FwCfgItem, FwCfgName, key};
use lockstep_firmware::acpi::user_table;
use lockstep_firmware::platform::{self, PlatformConfig};
use lockstep_firmware::smbios::{SmbiosConfig, structure_types};

/// Names for the user's own files begin so; others may become firmware's some day.
const USERS_PREFIX: &str = "opt/";

/// What the user hands over.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// The user's files: the option, name and content.
    user: Vec<(String, FwCfgItem)>,
    /// The board's own file with the user's picture.
    splash: Option<FwCfgItem>,
    user_tables: Vec<Vec<u8>>,
    smbios: SmbiosConfig,
    /// The files that were read.
    pub(super) files: Vec<BootedFile>,
    /// What is strange, a line each.
    pub(super) warnings: Vec<String>,
}

impl Handover {
    /// Reads all files that `-fw_cfg`, `-acpitable`, `-smbios` and `-boot` name.
    pub(super) fn read(config: &Config) -> Result<Self, OptionError> {
        let mut this = Self::default();
        this.fw_cfg(config)?;
        this.acpi_tables(config)?;
        this.smbios(config)?;
        this.splash(config)?;
        Ok(this)
    }

    /// The picture that firmware shows, by its kind.
    fn splash(&mut self, config: &Config) -> Result<(), OptionError> {
        const JPEG: &[u8] = &[0xff, 0xd8];
        const BMP: &[u8] = b"BM";
        const BITS_AT: usize = 28;
        let Some(image) = config.boot.read_splash()? else { return Ok(()) };
        let bits = image.bytes.get(BITS_AT..BITS_AT + 2);
        let name = match &image.bytes {
            picture if picture.starts_with(JPEG) => "bootsplash.jpg",
            picture if picture.starts_with(BMP) && bits == Some(&[24, 0]) => "bootsplash.bmp",
            _ => return Err(image.refused("neither a JPEG nor a BMP of 24 bits per pixel")),
        };
        self.files.push(record("-boot splash", &image));
        self.splash = Some(FwCfgItem::file(name, image.bytes));
        Ok(())
    }

    fn file(&mut self, origin: &str, path: &std::path::Path) -> Result<Vec<u8>, OptionError> {
        let image = Image::read(origin.to_owned(), path.to_owned()).map_err(|why| {
            // The option may name several files.
            OptionError::refused(origin, format!("{}: {}", path.display(), why.reason))
        })?;
        self.files.push(record(origin, &image));
        Ok(image.bytes)
    }

    fn fw_cfg(&mut self, config: &Config) -> Result<(), OptionError> {
        for file in &config.firmware.fw_cfg {
            if !file.name.starts_with(USERS_PREFIX) {
                let warning = format!("{}: names of the user's files should begin with {USERS_PREFIX}", file.origin);
                self.warnings.push(warning);
            }
            let bytes = match &file.content {
                Content::Text(text) => text.as_bytes().to_vec(),
                Content::File(path) => self.file(&file.origin, path)?,
            };
            self.user.push((file.origin.clone(), FwCfgItem::file(&file.name, bytes)));
        }
        Ok(())
    }

    fn acpi_tables(&mut self, config: &Config) -> Result<(), OptionError> {
        for table in &config.firmware.acpi_tables {
            let mut content = Vec::new();
            for path in &table.files {
                content.extend(self.file(&table.origin, path)?);
            }
            let done = user_table::complete(&content, table.has_header, &table.header);
            let done = done.map_err(|why| OptionError::refused(&table.origin, why.to_string()))?;
            self.warnings.extend(done.warning.map(|warning| format!("{}: {warning}", table.origin)));
            self.user_tables.push(done.bytes);
        }
        Ok(())
    }

    fn smbios(&mut self, config: &Config) -> Result<(), OptionError> {
        let said = &config.firmware.smbios;
        self.smbios.fields = said.fields.clone();
        for (origin, path) in &said.files {
            let bytes = self.file(origin, path)?;
            let types = structure_types(&bytes).map_err(|why| OptionError::refused(origin, why.to_string()))?;
            if let Some((kind, _)) = said.typed.iter().find(|(kind, _)| types.contains(kind)) {
                let why = format!("fields of type {kind} are given too: a structure comes from a file or from fields");
                return Err(OptionError::refused(origin, why));
            }
            self.smbios.structures.push(bytes);
        }
        for (origin, content) in &said.oem_strings {
            let text = match content {
                Content::Text(text) => text.clone(),
                Content::File(path) => {
                    let text = String::from_utf8(self.file(origin, path)?).ok().filter(|text| !text.contains('\0'));
                    text.ok_or_else(|| OptionError::refused(origin, format!("{}: no text", path.display())))?
                }
            };
            self.smbios.oem_strings.push(text);
        }
        Ok(())
    }

    /// Puts the user's tables into the machine's description.
    pub(super) fn describe(&self, platform: &mut PlatformConfig) {
        platform.user_tables.clone_from(&self.user_tables);
        platform.smbios = self.smbios.clone();
    }

    /// All that fw_cfg holds: the board's own items, `more`, and the user's.
    pub(super) fn items(
        self,
        config: &Config,
        platform: &PlatformConfig,
        more: Vec<FwCfgItem>,
    ) -> Result<Vec<FwCfgItem>, OptionError> {
        let mut items = own_items(config, platform);
        items.extend(self.splash);
        items.extend(more);
        for (origin, item) in self.user {
            if items.iter().any(|other| other.name == item.name) {
                let why = match item.name {
                    FwCfgName::File(name) => format!("the machine has a fw_cfg file '{name}' of its own"),
                    FwCfgName::Key(key) => format!("the machine has an item {key:#x} of its own"),
                };
                return Err(OptionError::refused(origin, why));
            }
            items.push(item);
        }
        Ok(items)
    }
}

/// Never to reset when nothing can be booted.
const FOR_EVER: u32 = u32::MAX;

/// What firmware asks fw_cfg for.
fn own_items(config: &Config, platform: &PlatformConfig) -> Vec<FwCfgItem> {
    let files = platform::fw_cfg_files(platform).into_iter().map(|file| FwCfgItem::file(&file.name, file.bytes));
    let cpus = platform.apic_ids.len() as u16;
    let fail_wait = config.boot.reboot_timeout.map_or(FOR_EVER, u32::from);
    let mut items: Vec<_> = files.collect();
    items.extend([
        FwCfgItem::key(key::UUID, config.uuid.unwrap_or_default().to_vec()),
        FwCfgItem::key(key::RAM_SIZE, config.memory.size.to_le_bytes().to_vec()),
        FwCfgItem::key(key::NOGRAPHIC, u16::from(!config.devices.iter().any(video::is_card)).to_le_bytes().to_vec()),
        FwCfgItem::key(key::NB_CPUS, cpus.to_le_bytes().to_vec()),
        FwCfgItem::key(key::MAX_CPUS, processors::apic_id_limit(config).to_le_bytes().to_vec()),
        FwCfgItem::key(key::BOOT_MENU, u16::from(config.boot.menu).to_le_bytes().to_vec()),
        FwCfgItem::key(key::IRQ0_OVERRIDE, 1u32.to_le_bytes().to_vec()),
        FwCfgItem::file("etc/boot-fail-wait", fail_wait.to_le_bytes().to_vec()),
    ]);
    if let Ok(states) = sleep_states::of(config)
        && config.machine.acpi
    {
        items.push(FwCfgItem::file("etc/system-states", sleep_states::file(states)));
    }
    items
        .extend(config.boot.splash_time.map(|wait| FwCfgItem::file("etc/boot-menu-wait", wait.to_le_bytes().to_vec())));
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commandline::{Invocation, Vocabulary, parse};

    fn config(arguments: &[&str]) -> Config {
        let words: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        match parse(&words, &Vocabulary::default()) {
            Ok(Invocation::Run(config)) => *config,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    /// A file that is gone after the test.
    fn file(bytes: &[u8]) -> (tempfile::NamedTempFile, String) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        let path = file.path().display().to_string();
        (file, path)
    }

    fn refused(arguments: &[&str]) -> String {
        Handover::read(&config(arguments)).expect_err("refused").to_string()
    }

    fn items(arguments: &[&str]) -> Result<Vec<FwCfgItem>, String> {
        let config = config(arguments);
        let platform = PlatformConfig::pc(1, 128 << 20);
        let read = Handover::read(&config).expect("readable files");
        read.items(&config, &platform, Vec::new()).map_err(|why| why.to_string())
    }

    #[test]
    fn the_users_files_stand_beside_the_machines() {
        let (_kept, path) = file(b"\0binary");
        let from_file = format!("name=opt/b,file={path}");
        let items = items(&["-fw_cfg", "opt/a,string=x=1,,2", "-fw_cfg", &from_file]).unwrap();
        let of = |name: &str| items.iter().find(|i| i.name == FwCfgName::File(name.into())).map(|i| i.bytes.clone());
        assert_eq!((of("opt/a"), of("opt/b")), (Some(b"x=1,2".to_vec()), Some(b"\0binary".to_vec())));
        assert!(of("etc/e820").is_some());
    }

    #[test]
    fn names_outside_of_opt_are_warned_of_and_the_machines_own_refused() {
        let read = Handover::read(&config(&["-fw_cfg", "etc/mine,string=1"])).unwrap();
        assert_eq!(read.warnings, ["-fw_cfg etc/mine,string=1: names of the user's files should begin with opt/"]);
        assert_eq!(
            items(&["-fw_cfg", "etc/e820,string=1"]).expect_err("refused"),
            "-fw_cfg etc/e820,string=1: the machine has a fw_cfg file 'etc/e820' of its own"
        );
    }

    #[test]
    fn several_files_make_one_table() {
        let ((_a, first), (_b, second)) = (file(b"one"), file(b"two"));
        let option = format!("sig=TEST,data={first}:{second}");
        let read = Handover::read(&config(&["-acpitable", &option])).unwrap();
        assert_eq!((read.user_tables[0].len(), &read.user_tables[0][36..]), (42, &b"onetwo"[..]));
        assert_eq!((read.files.len(), read.warnings.len()), (2, 0));
        let mut platform = PlatformConfig::pc(1, 128 << 20);
        read.describe(&mut platform);
        assert_eq!(platform.user_tables.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_option() {
        let missing = "-fw_cfg opt/a,file=/nowhere/x: /nowhere/x: ";
        assert!(refused(&["-fw_cfg", "opt/a,file=/nowhere/x"]).starts_with(missing));
        let (_kept, path) = file(&[1, 27, 0, 0]);
        let whole = format!("file={path}");
        assert!(refused(&["-smbios", &whole]).contains("its header wants 27 bytes, there are 4"));
        assert!(refused(&["-acpitable", &whole]).contains("at least 36 bytes, this one has 4"));
    }

    #[test]
    fn a_picture_is_a_jpeg_or_a_bmp_of_24_bits() {
        let mut bmp = vec![0; 64];
        bmp[..2].copy_from_slice(b"BM");
        let option = |path: &str| format!("splash={path},splash-time=258");
        let (_kept, path) = file(&bmp);
        assert!(refused(&["-boot", &option(&path)]).contains("neither a JPEG nor a BMP of 24 bits"));
        bmp[28] = 24;
        std::fs::write(&path, &bmp).expect("written");
        let items = items(&["-boot", &option(&path)]).unwrap();
        let of = |name: &str| items.iter().find(|i| i.name == FwCfgName::File(name.into())).map(|i| i.bytes.clone());
        assert_eq!((of("bootsplash.bmp"), of("etc/boot-menu-wait")), (Some(bmp), Some(vec![2, 1])));
        assert_eq!(of("etc/boot-fail-wait"), Some(vec![255; 4]));
    }

    #[test]
    fn a_structure_comes_from_a_file_or_from_fields() {
        let (_kept, path) = file(&[1, 4, 0, 0, 0, 0]);
        let whole = format!("file={path}");
        assert!(refused(&["-smbios", "type=1,serial=7", "-smbios", &whole]).contains("fields of type 1 are given too"));
        let read = Handover::read(&config(&["-smbios", "type=2,serial=7", "-smbios", &whole])).unwrap();
        assert_eq!(read.smbios.structures.len(), 1);
    }

    #[test]
    fn strings_of_the_makers_come_in_order_from_line_and_file() {
        let (_kept, path) = file(b"from a file");
        let option = format!("type=11,value=one,path={path},value=three");
        let read = Handover::read(&config(&["-smbios", &option])).unwrap();
        assert_eq!(read.smbios.oem_strings, ["one", "from a file", "three"]);
    }
}
