//! The legacy registers in I/O space (section 4.1.4.10).

use super::transport::VirtioPci;
use super::{Class, Feature};
use crate::virtio::queue::Areas;
use lockstep_fabric::{Cx, Width};

const DEVICE_FEATURES: u64 = 0x00;
const DRIVER_FEATURES: u64 = 0x04;
const QUEUE_ADDRESS: u64 = 0x08;
const QUEUE_SIZE: u64 = 0x0c;
const QUEUE_SELECT: u64 = 0x0e;
const QUEUE_NOTIFY: u64 = 0x10;
const DEVICE_STATUS: u64 = 0x12;
const ISR_STATUS: u64 = 0x13;
/// Only while MSI-X is enabled; else the device's configuration starts here.
const CONFIG_VECTOR: u64 = 0x14;
const QUEUE_VECTOR: u64 = 0x16;
/// Where the device's configuration starts while MSI-X is enabled.
pub(super) const CONFIG_WITH_MSIX: u64 = 0x18;

/// Queues start at pages of this size, and so does the used ring within a queue.
const PAGE: u64 = 4096;

/// Where the parts of a queue lie that starts at `base` (section 2.7.2).
fn areas(base: u64, size: u16) -> Areas {
    let driver = base.wrapping_add(16 * u64::from(size));
    let device = driver.wrapping_add(6 + 2 * u64::from(size)).wrapping_add(PAGE - 1) & !(PAGE - 1);
    Areas { size, descriptors: base, driver, device }
}

impl<C: Class> VirtioPci<C> {
    fn config_start(&self) -> u64 {
        if self.core.has_msix() { CONFIG_WITH_MSIX } else { CONFIG_VECTOR }
    }

    pub(super) fn read_legacy(&mut self, cx: &mut Cx<'_>, offset: u64, width: Width) -> u64 {
        let config = self.config_start();
        if offset >= config {
            return self.read_config(offset - config, width);
        }
        match offset {
            DEVICE_FEATURES => self.core.offered & 0xffff_ffff,
            DRIVER_FEATURES => self.core.accepted & 0xffff_ffff,
            QUEUE_ADDRESS => self.core.selected().map_or(0, |q| if q.enabled { q.areas.descriptors / PAGE } else { 0 }),
            QUEUE_SIZE => self.core.selected().map_or(0, |q| q.max_size().into()),
            QUEUE_SELECT => self.core.queue_select.into(),
            DEVICE_STATUS => self.core.status.bits().into(),
            ISR_STATUS => self.core.take_isr(cx).into(),
            CONFIG_VECTOR => self.core.config_vector.into(),
            QUEUE_VECTOR => self.core.selected().map_or(super::NO_VECTOR, |q| q.vector).into(),
            _ => 0,
        }
    }

    pub(super) fn write_legacy(&mut self, cx: &mut Cx<'_>, offset: u64, width: Width, value: u64) {
        let config = self.config_start();
        if offset >= config {
            return self.write_config(cx, offset - config, width, value);
        }
        match offset {
            // What was not offered, and what no legacy driver knows of, is not taken.
            DRIVER_FEATURES => self.core.accepted = value & self.core.offered & 0xffff_ffff,
            QUEUE_ADDRESS => self.place_queue(cx, value),
            QUEUE_SELECT => self.core.queue_select = value as u16,
            QUEUE_NOTIFY => self.notify(cx, value as u16),
            DEVICE_STATUS => self.write_status(cx, value as u8, false),
            CONFIG_VECTOR => self.core.config_vector = self.core.vector_or_none(value as u16),
            QUEUE_VECTOR => {
                let vector = self.core.vector_or_none(value as u16);
                if let Some(queue) = self.core.selected() {
                    queue.vector = vector;
                }
            }
            _ => {}
        }
    }

    fn place_queue(&mut self, cx: &mut Cx<'_>, page: u64) {
        let at = self.core.queue_select;
        if page == 0 {
            return self.reset_queue(at);
        }
        let ring = (self.core.features() - Feature::RING_PACKED - Feature::IN_ORDER).of_rings();
        let Some(queue) = self.core.selected() else { return };
        queue.areas = areas(page * PAGE, queue.max_size());
        if !queue.enable(ring) {
            self.core.lose(cx);
        }
    }
}
