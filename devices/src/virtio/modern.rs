//! The modern registers in memory space (section 4.1.4.3 on), and the capabilities that tell where they are.

use super::transport::{BAR_MODERN, VirtioPci};
use super::{Class, Feature, NO_VECTOR};
use crate::pci::ConfigSpace;
use lockstep_fabric::{Cx, Width};

/// The most queues that a device may have: one notification address each.
pub(super) const QUEUES_MAX: u16 = (NOTIFY_LEN / NOTIFY_MULTIPLIER as u64) as u16;

pub(super) const REGION_LEN: u64 = 0x4000;
const COMMON: u64 = 0x0000;
const ISR: u64 = 0x1000;
const DEVICE: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
const COMMON_LEN: u64 = 0x3c;
const ISR_LEN: u64 = 1;
const NOTIFY_LEN: u64 = 0x1000;
const NOTIFY_MULTIPLIER: u32 = 4;

const CAPABILITY_ID: u8 = 0x09;
const CFG_COMMON: u8 = 1;
const CFG_NOTIFY: u8 = 2;
const CFG_ISR: u8 = 3;
const CFG_DEVICE: u8 = 4;
const CFG_PCI: u8 = 5;
const CAPABILITY_LEN: u8 = 16;
/// Offsets in the window's capability.
const WINDOW_BAR: u16 = 4;
const WINDOW_OFFSET: u16 = 8;
const WINDOW_LENGTH: u16 = 12;
const WINDOW_DATA: u16 = 16;

fn capability(kind: u8, bar: u8, offset: u64, len: u64, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![CAPABILITY_LEN + rest.len() as u8, kind, bar, 0, 0, 0];
    body.extend_from_slice(&(offset as u32).to_le_bytes());
    body.extend_from_slice(&(len as u32).to_le_bytes());
    body.extend_from_slice(rest);
    body
}

/// Adds the capabilities; where the last of them is, the window to the registers.
pub(super) fn add_capabilities(config: &mut ConfigSpace, device_len: u32) -> Option<u16> {
    let multiplier = NOTIFY_MULTIPLIER.to_le_bytes();
    config.add_capability(CAPABILITY_ID, &capability(CFG_COMMON, BAR_MODERN, COMMON, COMMON_LEN, &[]), &[])?;
    config.add_capability(CAPABILITY_ID, &capability(CFG_ISR, BAR_MODERN, ISR, ISR_LEN, &[]), &[])?;
    if device_len > 0 {
        let device = capability(CFG_DEVICE, BAR_MODERN, DEVICE, device_len.into(), &[]);
        config.add_capability(CAPABILITY_ID, &device, &[])?;
    }
    config.add_capability(CAPABILITY_ID, &capability(CFG_NOTIFY, BAR_MODERN, NOTIFY, NOTIFY_LEN, &multiplier), &[])?;
    let writable = capability(0, 0xff, u64::MAX, u64::MAX, &[0xff; 4]);
    let writable: Vec<_> = [0, 0].into_iter().chain(writable.into_iter().skip(2)).collect();
    config.add_capability(CAPABILITY_ID, &capability(CFG_PCI, 0, 0, 0, &[0; 4]), &writable)
}

/// Where the window's data lies in configuration space.
pub(super) fn window_data(capability: u16) -> u16 {
    capability + WINDOW_DATA
}

/// An access by the window in configuration space.
pub(super) struct Window {
    pub(super) bar: u8,
    pub(super) offset: u64,
    pub(super) width: Width,
}

impl Window {
    /// The access that one to configuration space at `offset` stands for.
    pub(super) fn at(config: &ConfigSpace, capability: u16, offset: u16) -> Option<Self> {
        if offset != window_data(capability) {
            return None;
        }
        let register = |at: u16| u64::from(config.read(capability + at, Width::Dword));
        let width = Width::of(register(WINDOW_LENGTH)).filter(|w| *w <= Width::Dword)?;
        let offset = register(WINDOW_OFFSET);
        (offset % width.bytes() == 0).then_some(Self { bar: config.byte(capability + WINDOW_BAR), offset, width })
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.width.bytes()
    }
}

/// Offsets in the common configuration of what is written, or begins a dword that is read. The number of queues follows the
/// configuration's vector, the generation the status, and a queue's notification offset its enable.
mod common {
    pub(super) const DEVICE_FEATURE_SELECT: u64 = 0x00;
    pub(super) const DEVICE_FEATURE: u64 = 0x04;
    pub(super) const DRIVER_FEATURE_SELECT: u64 = 0x08;
    pub(super) const DRIVER_FEATURE: u64 = 0x0c;
    pub(super) const CONFIG_MSIX_VECTOR: u64 = 0x10;
    pub(super) const DEVICE_STATUS: u64 = 0x14;
    pub(super) const QUEUE_SELECT: u64 = 0x16;
    pub(super) const QUEUE_SIZE: u64 = 0x18;
    pub(super) const QUEUE_MSIX_VECTOR: u64 = 0x1a;
    pub(super) const QUEUE_ENABLE: u64 = 0x1c;
    pub(super) const QUEUE_DESC: u64 = 0x20;
    pub(super) const QUEUE_DRIVER: u64 = 0x28;
    pub(super) const QUEUE_DEVICE: u64 = 0x30;
    pub(super) const QUEUE_NOTIFY_DATA: u64 = 0x38;
    pub(super) const QUEUE_RESET: u64 = 0x3a;
}
use common::*;

fn feature_half(features: u64, select: u32) -> u64 {
    match select {
        0 => features & 0xffff_ffff,
        1 => features >> 32,
        _ => 0,
    }
}

/// One half of a register of two.
fn half(value: u64, upper: bool) -> u64 {
    if upper { value >> 32 } else { value & 0xffff_ffff }
}

fn set_half(register: &mut u64, upper: bool, value: u64) {
    let value = value & 0xffff_ffff;
    *register = if upper { *register & 0xffff_ffff | value << 32 } else { *register & !0xffff_ffff | value };
}

impl<C: Class> VirtioPci<C> {
    pub(super) fn read_modern(&mut self, cx: &mut Cx<'_>, offset: u64, width: Width) -> u64 {
        match offset {
            ISR => self.core.take_isr(cx).into(),
            DEVICE..NOTIFY => self.read_config(offset - DEVICE, width),
            0..COMMON_LEN => {
                // A part of a register reads as that part.
                let first = self.read_common(offset & !3);
                first >> (8 * (offset & 3)) & width.mask()
            }
            _ => 0,
        }
    }

    /// A dword of the common configuration. Nothing in it changes by being read.
    fn read_common(&mut self, offset: u64) -> u64 {
        let pair = |low: u16, high: u16| u64::from(low) | u64::from(high) << 16;
        let queues = self.core.queues.len() as u16;
        let select = self.core.queue_select;
        match offset {
            DEVICE_FEATURE_SELECT => self.core.device_feature_select.into(),
            DEVICE_FEATURE => {
                // What only legacy drivers may know of is not shown here.
                let offered = self.core.offered & !Feature::ANY_LAYOUT.bits();
                feature_half(offered, self.core.device_feature_select)
            }
            DRIVER_FEATURE_SELECT => self.core.driver_feature_select.into(),
            DRIVER_FEATURE => feature_half(self.core.accepted, self.core.driver_feature_select),
            CONFIG_MSIX_VECTOR => pair(self.core.config_vector, queues),
            DEVICE_STATUS => {
                let status = u16::from(self.core.status.bits()) | u16::from(self.core.config_generation) << 8;
                pair(status, select)
            }
            _ => {
                let Some(queue) = self.core.selected() else {
                    return if offset == QUEUE_SIZE { pair(0, NO_VECTOR) } else { 0 };
                };
                let areas = &queue.areas;
                match offset {
                    QUEUE_SIZE => pair(areas.size, queue.vector),
                    QUEUE_ENABLE => pair(queue.enabled.into(), select),
                    QUEUE_DESC..QUEUE_DRIVER => half(areas.descriptors, offset & 4 != 0),
                    QUEUE_DRIVER..QUEUE_DEVICE => half(areas.driver, offset & 4 != 0),
                    QUEUE_DEVICE..QUEUE_NOTIFY_DATA => half(areas.device, offset & 4 != 0),
                    _ => 0,
                }
            }
        }
    }

    pub(super) fn write_modern(&mut self, cx: &mut Cx<'_>, offset: u64, width: Width, value: u64) {
        match offset {
            NOTIFY.. => self.notify(cx, ((offset - NOTIFY) / u64::from(NOTIFY_MULTIPLIER)) as u16),
            DEVICE..NOTIFY => self.write_config(cx, offset - DEVICE, width, value),
            ISR..DEVICE => {}
            _ => self.write_common(cx, offset, width, value),
        }
    }

    fn write_common(&mut self, cx: &mut Cx<'_>, offset: u64, width: Width, value: u64) {
        let (word, dword) = (value as u16, value as u32);
        match (offset, width) {
            (DEVICE_FEATURE_SELECT, Width::Dword) => self.core.device_feature_select = dword,
            (DRIVER_FEATURE_SELECT, Width::Dword) => self.core.driver_feature_select = dword,
            (DRIVER_FEATURE, Width::Dword) => self.take_features(dword),
            (CONFIG_MSIX_VECTOR, Width::Word) => self.core.config_vector = self.core.vector_or_none(word),
            (DEVICE_STATUS, Width::Byte) => self.write_status(cx, value as u8, true),
            (QUEUE_SELECT, Width::Word) => self.core.queue_select = word,
            (QUEUE_MSIX_VECTOR, Width::Word) => {
                let vector = self.core.vector_or_none(word);
                if let Some(queue) = self.core.selected() {
                    queue.vector = vector;
                }
            }
            (QUEUE_ENABLE, Width::Word) if word == 1 => self.enable_queue(cx),
            (QUEUE_RESET, Width::Word) if word == 1 && self.core.features().contains(Feature::RING_RESET) => {
                self.reset_queue(self.core.queue_select);
            }
            _ => self.place_area(offset, width, value),
        }
    }

    /// Features are the driver's to choose until it says that it has.
    fn take_features(&mut self, value: u32) {
        use super::transport::Status;
        if self.core.status.contains(Status::FEATURES_OK) {
            return;
        }
        match self.core.driver_feature_select {
            0 => set_half(&mut self.core.accepted, false, value.into()),
            1 => set_half(&mut self.core.accepted, true, value.into()),
            _ => {}
        }
    }

    fn enable_queue(&mut self, cx: &mut Cx<'_>) {
        let ring = self.core.features().of_rings();
        let Some(queue) = self.core.selected().filter(|q| !q.enabled) else { return };
        if !queue.enable(ring) {
            self.core.lose(cx);
        }
    }

    /// Where a queue lies and how long it is, is the driver's to choose until it enables the queue.
    fn place_area(&mut self, offset: u64, width: Width, value: u64) {
        let Some(queue) = self.core.selected().filter(|q| !q.enabled) else { return };
        let areas = &mut queue.areas;
        match (offset, width) {
            (QUEUE_SIZE, Width::Word) => areas.size = value as u16,
            (QUEUE_DESC..QUEUE_DRIVER, Width::Dword) => set_half(&mut areas.descriptors, offset & 4 != 0, value),
            (QUEUE_DRIVER..QUEUE_DEVICE, Width::Dword) => set_half(&mut areas.driver, offset & 4 != 0, value),
            (QUEUE_DEVICE..QUEUE_NOTIFY_DATA, Width::Dword) => set_half(&mut areas.device, offset & 4 != 0, value),
            _ => {}
        }
    }
}
