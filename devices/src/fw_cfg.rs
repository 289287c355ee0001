//! fw_cfg: how the board hands items (tables, files, a kernel) to firmware (QEMU's docs/specs/fw_cfg).
//!
//! Ports: 510h selector (16 bits, little-endian), 511h data, 514h to 51Bh the address of a DMA descriptor (big-endian).

use bitflags::bitflags;
use lockstep_fabric::{Cx, Device, DeviceId, Input, Reg, RegionSpec, Space, State, StateError, Width};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Region: selector and data.
pub const REGION_IO: u8 = 0;
/// Region: the DMA address register.
pub const REGION_DMA: u8 = 1;
/// The regions to map on the bus.
pub const REGIONS: [RegionSpec; 2] =
    [region(REGION_IO, 0x510, 2, Width::Word), region(REGION_DMA, 0x514, 8, Width::Dword)];

const fn region(index: u8, base: u64, len: u64, widest: Width) -> RegionSpec {
    RegionSpec { space: Space::Io, index, base: Some(base), len, priority: 0, widest }
}

/// Numbers of the items that are not files.
pub mod key {
    /// "QEMU".
    pub const SIGNATURE: u16 = 0x00;
    /// Which interfaces there are.
    pub const ID: u16 = 0x01;
    /// The machine's UUID, 16 bytes.
    pub const UUID: u16 = 0x02;
    /// Bytes of RAM, 8 bytes.
    pub const RAM_SIZE: u16 = 0x03;
    /// Whether there is no display, 2 bytes.
    pub const NOGRAPHIC: u16 = 0x04;
    /// How many vCPUs start, 2 bytes.
    pub const NB_CPUS: u16 = 0x05;
    /// Where the kernel is loaded, 4 bytes.
    pub const KERNEL_ADDR: u16 = 0x07;
    /// Bytes of the kernel's protected-mode part, 4 bytes.
    pub const KERNEL_SIZE: u16 = 0x08;
    /// Where the initrd is loaded, 4 bytes.
    pub const INITRD_ADDR: u16 = 0x0a;
    /// Bytes of the initrd, 4 bytes.
    pub const INITRD_SIZE: u16 = 0x0b;
    /// The letter of the first boot device, 2 bytes.
    pub const BOOT_DEVICE: u16 = 0x0c;
    /// NUMA nodes.
    pub const NUMA: u16 = 0x0d;
    /// Whether to show a boot menu, 2 bytes.
    pub const BOOT_MENU: u16 = 0x0e;
    /// How many vCPUs there can be, 2 bytes.
    pub const MAX_CPUS: u16 = 0x0f;
    /// The kernel's entry point, 4 bytes.
    pub const KERNEL_ENTRY: u16 = 0x10;
    /// The kernel's protected-mode part.
    pub const KERNEL_DATA: u16 = 0x11;
    /// The initrd.
    pub const INITRD_DATA: u16 = 0x12;
    /// Where the command line is loaded, 4 bytes.
    pub const CMDLINE_ADDR: u16 = 0x13;
    /// Bytes of the command line with its final zero, 4 bytes.
    pub const CMDLINE_SIZE: u16 = 0x14;
    /// The command line with its final zero.
    pub const CMDLINE_DATA: u16 = 0x15;
    /// Where the kernel's real-mode part is loaded, 4 bytes.
    pub const SETUP_ADDR: u16 = 0x16;
    /// Bytes of the kernel's real-mode part, 4 bytes.
    pub const SETUP_SIZE: u16 = 0x17;
    /// The kernel's real-mode part.
    pub const SETUP_DATA: u16 = 0x18;
    /// The directory of files.
    pub const FILE_DIR: u16 = 0x19;
    /// The first file.
    pub const FILE_FIRST: u16 = 0x20;
    /// ACPI tables, the old way.
    pub const ACPI_TABLES: u16 = 0x8000;
    /// SMBIOS entries, the old way.
    pub const SMBIOS_ENTRIES: u16 = 0x8001;
    /// Whether IRQ0 is the I/O APIC's input 2, 4 bytes.
    pub const IRQ0_OVERRIDE: u16 = 0x8002;
    /// The memory map, the old way.
    pub const E820_TABLE: u16 = 0x8003;
    /// HPET descriptions.
    pub const HPET: u16 = 0x8004;
}

/// Most bytes in a file's name, without its final zero.
pub const NAME_MAX: usize = 55;
/// Names the item set aside for writing; ignored here, as it is by QEMU.
const WRITE_CHANNEL: u16 = 0x4000;
const SIGNATURE: &[u8] = b"QEMU";
const ID_TRADITIONAL: u32 = 1 << 0;
const ID_DMA: u32 = 1 << 1;
/// What the DMA address register reads as, big-endian.
const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";
const DESCRIPTOR_LEN: usize = 16;

bitflags! {
    /// The low half of a DMA descriptor's control word; the high half is a key.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Control: u32 {
        const ERROR = 1 << 0;
        const READ = 1 << 1;
        const SKIP = 1 << 2;
        const SELECT = 1 << 3;
        const WRITE = 1 << 4;
    }
}

/// What an item is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FwCfgName {
    /// A fixed number of [`key`].
    Key(u16),
    /// A file's name, such as `etc/e820`; at most [`NAME_MAX`] bytes count.
    File(String),
}

/// Something that firmware can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FwCfgItem {
    /// What it is found by.
    pub name: FwCfgName,
    /// Its contents.
    pub bytes: Vec<u8>,
    /// Whether firmware may write it, by DMA.
    pub writable: bool,
}

impl FwCfgItem {
    /// A file that cannot be written.
    pub fn file(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: FwCfgName::File(name.to_owned()), bytes, writable: false }
    }

    /// A numbered item.
    pub fn key(key: u16, bytes: Vec<u8>) -> Self {
        Self { name: FwCfgName::Key(key), bytes, writable: false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    bytes: Vec<u8>,
    /// What firmware may write is this again after a reset.
    initial: Option<Vec<u8>>,
}

impl Item {
    fn fixed(bytes: Vec<u8>) -> Self {
        Self { bytes, initial: None }
    }
}

/// The registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Registers {
    /// The selected item.
    selected: u16,
    /// The next byte to read of it.
    at: u64,
    /// The upper half of a DMA address that is being written.
    dma_high: u32,
}

/// The fw_cfg device.
///
/// Items that cannot be written are the board's configuration and no state: a snapshot holds the registers and what
/// firmware may have changed.
#[derive(Clone, Debug)]
pub struct FwCfg {
    registers: Registers,
    items: BTreeMap<u16, Item>,
    /// Files' names and their keys, by name.
    files: Vec<(String, u16)>,
    /// Devices that learn of what is written to a file, by its key.
    watchers: BTreeMap<u16, DeviceId>,
    /// How many vCPUs there are, if that is no longer what there were at first.
    processors: Option<[u8; 2]>,
}

impl FwCfg {
    /// A device with these items beside signature, identification and directory. Files get their numbers in the order of
    /// their names; of two items of the same name or key the later counts.
    pub fn new(items: Vec<FwCfgItem>) -> Self {
        let mut by_key = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        by_key.insert(key::SIGNATURE, Item::fixed(SIGNATURE.to_vec()));
        let id = (ID_TRADITIONAL | ID_DMA).to_le_bytes().to_vec();
        by_key.insert(key::ID, Item::fixed(id));
        for FwCfgItem { name, bytes, writable } in items {
            let initial = writable.then(|| bytes.clone());
            let item = Item { bytes, initial };
            match name {
                FwCfgName::Key(key) => drop(by_key.insert(key, item)),
                FwCfgName::File(name) => drop(by_name.insert(name, item)),
            }
        }
        let mut files = Vec::new();
        let mut directory = (by_name.len() as u32).to_be_bytes().to_vec();
        for (key, (name, item)) in (key::FILE_FIRST..WRITE_CHANNEL).zip(by_name) {
            directory.extend(directory_entry(&name, key, item.bytes.len()));
            by_key.insert(key, item);
            files.push((name, key));
        }
        by_key.insert(key::FILE_DIR, Item::fixed(directory));
        Self { registers: Registers::default(), items: by_key, files, watchers: BTreeMap::new(), processors: None }
    }

    /// Has a device learn, by [`Input::File`], of what the guest writes to a file.
    pub fn watch(&mut self, name: &str, device: DeviceId) {
        if let Some((_, key)) = self.files.iter().find(|(file, _)| file == name) {
            self.watchers.insert(*key, device);
        }
    }

    /// A file's contents as they are now, firmware's changes included.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        let (_, key) = self.files.iter().find(|(n, _)| n == name)?;
        self.items.get(key).map(|i| &i.bytes[..])
    }

    fn select(&mut self, key: u16) {
        self.registers = Registers { selected: key & !WRITE_CHANNEL, at: 0, ..self.registers };
    }

    /// What is left of the selected item; beyond its end it reads as zeroes.
    fn rest(&self) -> &[u8] {
        let item = match &self.processors {
            Some(count) if self.registers.selected == key::NB_CPUS => Some(&count[..]),
            _ => self.items.get(&self.registers.selected).map(|item| &item.bytes[..]),
        };
        let from = usize::try_from(self.registers.at).ok();
        item.zip(from).and_then(|(bytes, from)| bytes.get(from..)).unwrap_or(&[])
    }

    fn next_byte(&mut self) -> u8 {
        let byte = self.rest().first().copied();
        if byte.is_some() {
            self.registers.at += 1;
        }
        byte.unwrap_or(0)
    }

    /// Carries out the descriptor at a guest-physical address.
    fn transfer(&mut self, cx: &mut Cx<'_>, descriptor: u64) {
        let mut raw = [0; DESCRIPTOR_LEN];
        cx.dma_read(descriptor, &mut raw);
        let [c0, c1, c2, c3, l0, l1, l2, l3, address @ ..] = raw;
        let control = u32::from_be_bytes([c0, c1, c2, c3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let address = u64::from_be_bytes(address);
        let what = Control::from_bits_truncate(control);
        if what.contains(Control::SELECT) {
            self.select((control >> 16) as u16);
        }
        let done = if what.contains(Control::READ) {
            self.copy_out(cx, address, length);
            true
        } else if what.contains(Control::WRITE) {
            self.copy_in(cx, address, length)
        } else {
            if what.contains(Control::SKIP) {
                self.advance(length);
            }
            true
        };
        let result = if done { Control::empty() } else { Control::ERROR };
        cx.dma_write(descriptor, &result.bits().to_be_bytes());
    }

    fn advance(&mut self, length: u32) {
        self.registers.at = self.registers.at.saturating_add(length.into());
    }

    fn copy_out(&mut self, cx: &mut Cx<'_>, address: u64, length: u32) {
        let rest = self.rest();
        let held = rest.len().min(length as usize);
        cx.dma_write(address, &rest[..held]);
        cx.dma_zero(address.wrapping_add(held as u64), u64::from(length) - held as u64);
        self.advance(length);
    }

    /// Writes to the selected item; false if that is not allowed or would leave it.
    fn copy_in(&mut self, cx: &mut Cx<'_>, address: u64, length: u32) -> bool {
        let from = usize::try_from(self.registers.at).unwrap_or(usize::MAX);
        let end = from.saturating_add(length as usize);
        let item = self.items.get_mut(&self.registers.selected).filter(|i| i.initial.is_some());
        let Some(span) = item.and_then(|i| i.bytes.get_mut(from..end)) else { return false };
        cx.dma_read(address, span);
        self.advance(length);
        self.tell_watcher(cx);
        true
    }

    /// The watcher of the selected file is told what it holds now.
    fn tell_watcher(&self, cx: &mut Cx<'_>) {
        let key = self.registers.selected;
        let (Some(watcher), Some(item)) = (self.watchers.get(&key), self.items.get(&key)) else { return };
        let name = self.files.iter().find(|(_, file)| *file == key).map(|(name, _)| name.clone()).unwrap_or_default();
        let input = Input::File { name, bytes: item.bytes.clone() };
        cx.with_peer(*watcher, |device, cx| device.input(cx, &input));
    }

    fn changed_items(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.items.iter().filter(|(_, i)| i.initial.is_some()).map(|(k, i)| (*k, &i.bytes[..]))
    }
}

fn directory_entry(name: &str, key: u16, len: usize) -> Vec<u8> {
    let mut entry = (len as u32).to_be_bytes().to_vec();
    entry.extend(key.to_be_bytes());
    entry.extend([0; 2]);
    let mut field = [0; NAME_MAX + 1];
    for (to, from) in field[..NAME_MAX].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    entry.extend(field);
    entry
}

impl Device for FwCfg {
    fn kind(&self) -> &'static str {
        "fw_cfg"
    }

    fn read(&mut self, _cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        match (at.region, at.offset) {
            (REGION_IO, 1) => self.next_byte().into(),
            (REGION_DMA, from) => (0..width.bytes()).fold(0, |value, i| {
                let byte = DMA_SIGNATURE.get((from + i) as usize).copied().unwrap_or(0);
                value | u64::from(byte) << (8 * i)
            }),
            _ => 0,
        }
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        let big_endian = (value as u32).swap_bytes();
        match (at.region, at.offset, width) {
            (REGION_IO, 0, Width::Word) => self.select(value as u16),
            (REGION_DMA, 0, Width::Dword) => self.registers.dma_high = big_endian,
            (REGION_DMA, 4, Width::Dword) => {
                let high = std::mem::take(&mut self.registers.dma_high);
                self.transfer(cx, u64::from(high) << 32 | u64::from(big_endian));
            }
            _ => {}
        }
    }

    fn reset(&mut self, _cx: &mut Cx<'_>) {
        self.registers = Registers::default();
        for item in self.items.values_mut() {
            if let Some(initial) = &item.initial {
                item.bytes.clone_from(initial);
            }
        }
    }

    fn input(&mut self, _cx: &mut Cx<'_>, input: &Input) {
        if let Input::ProcessorCount(count) = input {
            self.processors = Some(u16::from(*count).to_le_bytes());
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Saved {
    registers: Registers,
    written: BTreeMap<u16, Vec<u8>>,
    processors: Option<[u8; 2]>,
}

impl State for FwCfg {
    fn save(&self) -> Result<Value, StateError> {
        let written = self.changed_items().map(|(k, b)| (k, b.to_vec())).collect();
        Saved { registers: self.registers, written, processors: self.processors }.save()
    }

    fn load(&mut self, from: &Value) -> Result<(), StateError> {
        let malformed = |why: String| StateError::Malformed { what: "fw_cfg".into(), why };
        let saved = Saved::deserialize(from).map_err(|e| malformed(e.to_string()))?;
        for (key, bytes) in &saved.written {
            let fits = self.items.get(key).is_some_and(|i| i.initial.is_some() && i.bytes.len() == bytes.len());
            if !fits {
                return Err(malformed(format!("there is no writable item {key:#x} of {} bytes", bytes.len())));
            }
        }
        for (key, bytes) in saved.written {
            if let Some(item) = self.items.get_mut(&key) {
                item.bytes = bytes;
            }
        }
        self.registers = saved.registers;
        self.processors = saved.processors;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmcoreinfo::{self, VmCoreInfo};
    use lockstep_fabric::memory::{Backing, Region};
    use lockstep_fabric::{Bus, Clock, Cpu, Memory};

    const DESCRIPTOR: u64 = 0x100;
    const BUFFER: u64 = 0x1000;

    struct Board {
        bus: Bus,
    }

    impl Board {
        fn new() -> Self {
            let mut memory = Memory::new(0x1_0000).unwrap();
            let ram = memory.allocate(0x1_0000).unwrap();
            let (owner, backing) = (DeviceId(9), Backing::Ram(ram));
            let base = Some(0);
            memory.add_region(Region {
                owner,
                index: 0,
                base,
                len: 0x1_0000,
                priority: 0,
                reads: true,
                writes: true,
                backing,
            });
            let mut bus = Bus::new(memory, Clock::new(0));
            let blank = FwCfgItem { name: FwCfgName::File("etc/blank".into()), bytes: vec![0; 8], writable: true };
            let id = bus.add(
                "fw_cfg",
                Box::new(FwCfg::new(vec![
                    FwCfgItem::file("etc/e820", b"map".to_vec()),
                    blank,
                    FwCfgItem::key(key::NB_CPUS, vec![4, 0]),
                ])),
            );
            REGIONS.into_iter().for_each(|r| bus.map(id, r));
            bus.reset();
            Self { bus }
        }

        fn out(&mut self, port: u64, width: Width, value: u64) {
            self.bus.write(Space::Io, port, width, value, Cpu(0)).unwrap();
        }

        fn read_item(&mut self, key: u16, len: usize) -> Vec<u8> {
            self.out(0x510, Width::Word, key.into());
            (0..len).map(|_| self.bus.read(Space::Io, 0x511, Width::Byte, Cpu(0)).unwrap() as u8).collect()
        }

        /// Runs a descriptor and gives back its control word.
        fn dma(&mut self, control: u32, len: u32) -> u32 {
            let mut descriptor = control.to_be_bytes().to_vec();
            descriptor.extend(len.to_be_bytes());
            descriptor.extend(BUFFER.to_be_bytes());
            self.bus.memory.write_bytes(DESCRIPTOR, &descriptor);
            self.out(0x514, Width::Dword, 0);
            self.out(0x518, Width::Dword, (DESCRIPTOR as u32).swap_bytes().into());
            let mut control = [0; 4];
            self.bus.memory.read_bytes(DESCRIPTOR, &mut control);
            u32::from_be_bytes(control)
        }

        fn buffer<const N: usize>(&self) -> [u8; N] {
            let mut bytes = [0; N];
            self.bus.memory.read_bytes(BUFFER, &mut bytes);
            bytes
        }
    }

    #[test]
    fn items_are_read_byte_by_byte_and_zeroes_follow() {
        let mut board = Board::new();
        assert_eq!(board.read_item(key::SIGNATURE, 5), b"QEMU\0");
        assert_eq!(board.read_item(key::ID, 4), [3, 0, 0, 0]);
        assert_eq!(board.read_item(key::NB_CPUS, 3), [4, 0, 0]);
        assert_eq!(board.read_item(0x1234, 2), [0, 0]);
        assert_eq!(board.bus.read(Space::Io, 0x514, Width::Dword, Cpu(0)), Ok(0x554d_4551));
    }

    #[test]
    fn the_directory_lists_files_by_name() {
        let mut board = Board::new();
        let directory = board.read_item(key::FILE_DIR, 4 + 2 * 64);
        assert_eq!(directory[..4], [0, 0, 0, 2]);
        assert_eq!(directory[4..22], *b"\0\0\0\x08\0\x20\0\0etc/blank\0");
        assert_eq!(directory[68..85], *b"\0\0\0\x03\0\x21\0\0etc/e820\0");
        assert_eq!(board.read_item(0x21, 3), b"map");
    }

    #[test]
    fn dma_selects_skips_and_reads_with_zeroes_after_the_end() {
        let mut board = Board::new();
        board.bus.memory.write_bytes(BUFFER, &[0xaa; 6]);
        assert_eq!(board.dma(0x21 << 16 | 8 | 4, 1), 0);
        assert_eq!(board.dma(2, 5), 0);
        assert_eq!(board.buffer(), *b"ap\0\0\0\xaa");
    }

    #[test]
    fn four_gibibytes_of_zeroes_cost_no_more_than_the_ram_there_is() {
        let mut board = Board::new();
        board.bus.memory.write_bytes(BUFFER, &[0xaa; 6]);
        assert_eq!(board.dma(0x21 << 16 | 8 | 2, u32::MAX), 0);
        assert_eq!(board.buffer(), *b"map\0\0\0");
    }

    #[test]
    fn dma_writes_only_what_may_be_written() {
        let mut board = Board::new();
        board.bus.memory.write_bytes(BUFFER, b"hello!!!");
        assert_eq!(board.dma(0x20 << 16 | 8 | 16, 8), 0);
        assert_eq!(board.read_item(0x20, 8), b"hello!!!");
        assert_eq!(board.dma(0x20 << 16 | 8 | 16, 9), 1, "too long");
        assert_eq!(board.dma(0x21 << 16 | 8 | 16, 1), 1, "not writable");
        assert_eq!(board.read_item(0x21, 3), b"map");
    }

    #[test]
    fn what_firmware_wrote_is_gone_after_a_reset() {
        let mut board = Board::new();
        board.bus.memory.write_bytes(BUFFER, b"hello!!!");
        board.dma(0x20 << 16 | 8 | 16, 8);
        board.bus.reset();
        assert_eq!(board.read_item(0x20, 8), [0; 8]);
    }

    #[test]
    fn a_device_learns_what_is_written_to_its_file() {
        let mut board = Board::new();
        let device = board.bus.add("vmcoreinfo", Box::new(VmCoreInfo::default()));
        let item = FwCfgItem { writable: true, ..FwCfgItem::file(vmcoreinfo::FILE, vec![0; 16]) };
        let mut fw_cfg = FwCfg::new(vec![item]);
        fw_cfg.watch(vmcoreinfo::FILE, device);
        let id = board.bus.add("watched", Box::new(fw_cfg));
        REGIONS.into_iter().for_each(|r| board.bus.map(id, RegionSpec { priority: 1, ..r }));
        board.bus.memory.write_bytes(BUFFER, &[1, 0, 1, 0, 9, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(board.dma(0x20 << 16 | 8 | 16, 16), 0);
        let state = board.bus.save().unwrap()["devices"]["vmcoreinfo"]["state"].clone();
        assert_eq!(state, serde_json::json!({ "note": { "format": 1, "len": 9, "address": 7 } }));
    }

    #[test]
    fn a_snapshot_holds_what_firmware_wrote() {
        let mut board = Board::new();
        board.bus.memory.write_bytes(BUFFER, b"hello!!!");
        board.dma(0x20 << 16 | 8 | 16, 8);
        let saved = board.bus.save().unwrap();
        let mut other = Board::new();
        other.bus.load(&saved).unwrap();
        assert_eq!(other.bus.save().unwrap(), saved);
        assert_eq!(other.read_item(0x20, 8), b"hello!!!");
    }
}
