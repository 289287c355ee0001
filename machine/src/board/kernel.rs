//! The kernel of `-kernel`, with what `-initrd` and `-append` add: started directly, or handed to the firmware of `-bios`.

use super::record;
use crate::commandline::{Config, Image, OptionError};
use crate::record::BootedFile;
use lockstep_devices::fw_cfg::FwCfgItem;
use lockstep_firmware::loader::for_firmware::hand_over;
use lockstep_firmware::loader::multiboot::parse_modules;
use lockstep_firmware::loader::{BootRequest, KernelKind, Module, detect};
use lockstep_firmware::memory_map::MemoryMap;
use lockstep_firmware::platform::PlatformConfig;
use std::fmt::Display;
use std::path::PathBuf;

/// The fw_cfg file of the ROM that boots a kernel, and the path by which the order of booting names it. Firmware runs what it finds
/// under `genroms/`.
const ROM_FILE: &str = "genroms/kernelboot.bin";
pub(super) const ROM_PATH: &str = "/rom@genroms/kernelboot.bin";

/// A kernel and what belongs to it, read.
#[derive(Debug)]
pub(super) struct Kernel {
    image: Image,
    name: String,
    /// Files with their command lines.
    modules: Vec<(Image, String)>,
    command_line: String,
}

impl Kernel {
    /// Reads what `-kernel` and `-initrd` name. For a Multiboot kernel `-initrd` is a list of modules with arguments.
    pub(super) fn read(config: &Config) -> Result<Option<Self>, OptionError> {
        let Some(image) = config.boot.read_kernel()? else { return Ok(None) };
        let several = detect(&image.bytes) == Ok(KernelKind::Multiboot);
        let modules = match &config.boot.initrd {
            None => Vec::new(),
            Some(list) if several => parse_modules(&list.to_string_lossy())
                .into_iter()
                .map(|module| {
                    let image = Image::read(format!("-initrd {}", module.path), PathBuf::from(module.path))?;
                    Ok((image, module.command_line))
                })
                .collect::<Result<_, OptionError>>()?,
            Some(_) => config.boot.read_initrd()?.into_iter().map(|image| (image, String::new())).collect(),
        };
        let name = image.path.display().to_string();
        Ok(Some(Self { image, name, modules, command_line: config.boot.append.clone() }))
    }

    /// The files that were read.
    pub(super) fn files(&self) -> Vec<BootedFile> {
        let modules = self.modules.iter().map(|(image, _)| record("-initrd", image));
        std::iter::once(record("-kernel", &self.image)).chain(modules).collect()
    }

    pub(super) fn modules(&self) -> Vec<Module<'_>> {
        self.modules.iter().map(|(image, line)| Module { bytes: &image.bytes, command_line: line }).collect()
    }

    pub(super) fn request<'a>(
        &'a self,
        modules: &'a [Module<'a>],
        memory: &'a MemoryMap,
        rsdp: u64,
    ) -> BootRequest<'a> {
        BootRequest {
            kernel: &self.image.bytes,
            kernel_name: &self.name,
            modules,
            command_line: &self.command_line,
            memory,
            rsdp,
        }
    }

    /// A complaint about the kernel.
    pub(super) fn refused(&self, why: impl Display) -> OptionError {
        self.image.refused(why.to_string())
    }

    /// What fw_cfg holds for firmware that is to start the kernel.
    pub(super) fn items(&self, platform: &PlatformConfig) -> Result<Vec<FwCfgItem>, OptionError> {
        let modules = self.modules();
        let unused = MemoryMap { ranges: Vec::new() };
        let request = self.request(&modules, &unused, 0);
        let handed = hand_over(&request, &platform.ram).map_err(|why| self.refused(why))?;
        let mut items: Vec<_> = handed.items.into_iter().map(|(key, bytes)| FwCfgItem::key(key, bytes)).collect();
        items.push(FwCfgItem::file(ROM_FILE, handed.rom));
        Ok(items)
    }
}
