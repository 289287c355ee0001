//! A virtio device as a PCI function.
//!
//! Base address registers: 0 the legacy registers (I/O), 1 the MSI-X table, 4 the modern registers. Each places the
//! device's region of the same number.

use super::queue::{Chain, QUEUE_SIZE_MAX, Queue, RingError};
use super::{Class, Feature, NO_VECTOR, TransportConfig, VirtioError, legacy, modern};
use crate::catalog::Made;
use crate::pci::config::{Bar, BarKind, Command};
use crate::pci::{ConfigSpace, Identity, Intx, MsiX, SUBSYSTEM, msix};
use bitflags::bitflags;
use lockstep_fabric::{Cx, Device, Input, PciFunction, PinId, Reg, RegionSpec, Space, TimerId, Width};
use serde::{Deserialize, Serialize};

/// Output pin: INTA#.
pub const INTA: PinId = PinId(0);

pub(super) const BAR_LEGACY: u8 = 0;
pub(super) const BAR_MSIX: u8 = 1;
pub(super) const BAR_MODERN: u8 = 4;

const VENDOR: u16 = 0x1af4;
const MODERN_DEVICE_BASE: u16 = 0x1040;
const MODERN_REVISION: u8 = 1;
const INTA_PIN: u8 = 1;

const TIMER: TimerId = TimerId(0);

/// The interrupt status register: a queue has news.
const ISR_QUEUE: u8 = 1 << 0;
/// The configuration changed.
const ISR_CONFIG: u8 = 1 << 1;

bitflags! {
    /// The device status (section 2.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub(super) struct Status: u8 {
        /// The guest has found the device.
        const ACKNOWLEDGE = 1 << 0;
        /// It knows how to drive it.
        const DRIVER = 1 << 1;
        /// The driver is set up.
        const DRIVER_OK = 1 << 2;
        /// Features are agreed on.
        const FEATURES_OK = 1 << 3;
        /// The device is lost until it is reset.
        const NEEDS_RESET = 1 << 6;
        /// The guest has given up.
        const FAILED = 1 << 7;
    }
}

/// All of a virtio function but for what kind of device it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Core {
    pub(super) config: ConfigSpace,
    msix: Option<MsiX>,
    intx: Intx,
    /// Where the window to the registers lies in configuration space, if there is one.
    window: Option<u16>,
    has_legacy: bool,
    /// The features offered, and those that the driver took.
    pub(super) offered: u64,
    pub(super) accepted: u64,
    pub(super) device_feature_select: u32,
    pub(super) driver_feature_select: u32,
    pub(super) status: Status,
    isr: u8,
    pub(super) config_vector: u16,
    pub(super) queue_select: u16,
    pub(super) config_generation: u8,
    pub(super) queues: Vec<Queue>,
}

impl Core {
    fn new<C: Class>(class: &C, settings: TransportConfig) -> Result<Self, VirtioError> {
        let legacy = settings.legacy && C::TRANSITIONAL_ID.is_some();
        if !legacy && !settings.modern {
            return Err(VirtioError::NoInterface);
        }
        let queues: Vec<_> = class.queues().into_iter().map(Queue::new).collect();
        if let Some(bad) =
            queues.iter().map(Queue::max_size).find(|s| !(2..=QUEUE_SIZE_MAX).contains(s) || !s.is_power_of_two())
        {
            return Err(VirtioError::QueueSize(bad));
        }
        if queues.len() > usize::from(modern::QUEUES_MAX) {
            return Err(VirtioError::Queues(queues.len() as u32, modern::QUEUES_MAX));
        }
        let identity = match C::TRANSITIONAL_ID.filter(|_| legacy) {
            Some(device) => {
                let subsystem = (VENDOR, C::TYPE);
                Identity { vendor: VENDOR, device, revision: 0, class: C::PCI_CLASS, subsystem }
            }
            None => {
                let device = MODERN_DEVICE_BASE + C::TYPE;
                let class = C::PCI_CLASS;
                Identity { vendor: VENDOR, device, revision: MODERN_REVISION, class, subsystem: SUBSYSTEM }
            }
        };
        let mut config = ConfigSpace::new(identity);
        config.define_interrupt_pin(INTA_PIN);
        if legacy {
            config.define_bar(0, Bar { kind: BarKind::Io, size: legacy_len(class), region: BAR_LEGACY });
        }
        let vectors = settings.vectors.unwrap_or(queues.len() as u16 + 1);
        let msix = match vectors {
            0 => None,
            n => Some(MsiX::new(&mut config, BAR_MSIX, n).ok_or(VirtioError::Vectors(n))?),
        };
        let mut window = None;
        if settings.modern {
            let kind = BarKind::Memory64 { prefetchable: true };
            config.define_bar(BAR_MODERN.into(), Bar { kind, size: modern::REGION_LEN, region: BAR_MODERN });
            window = modern::add_capabilities(&mut config, class.config().len() as u32);
        }
        Ok(Self {
            config,
            msix,
            intx: Intx::default(),
            window,
            has_legacy: legacy,
            offered: class.features() | offered(settings, legacy).bits(),
            accepted: 0,
            device_feature_select: 0,
            driver_feature_select: 0,
            status: Status::empty(),
            isr: 0,
            config_vector: NO_VECTOR,
            queue_select: 0,
            config_generation: 0,
            queues,
        })
    }

    /// What the driver took, of the bits that all devices share.
    pub(super) fn features(&self) -> Feature {
        Feature::from_bits_truncate(self.accepted)
    }

    /// Whether the driver can be served: it is ready (a legacy one may not say so in time), and the device neither lost
    /// nor, for a driver that knows better, kept off the bus.
    fn serves(&self) -> bool {
        if self.status.contains(Status::NEEDS_RESET) {
            return false;
        }
        let modern = self.features().contains(Feature::VERSION_1);
        let ready = self.status.contains(Status::DRIVER_OK) && self.config.command().contains(Command::MASTER);
        if modern { ready } else { self.has_legacy }
    }

    pub(super) fn has_msix(&self) -> bool {
        self.msix.as_ref().is_some_and(|m| m.enabled(&self.config))
    }

    /// A vector as it reads back after the driver chose it.
    pub(super) fn vector_or_none(&self, vector: u16) -> u16 {
        let vectors = self.msix.as_ref().map_or(0, MsiX::vectors);
        if vector < vectors { vector } else { NO_VECTOR }
    }

    pub(super) fn selected(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(usize::from(self.queue_select))
    }

    fn interrupt(&mut self, cx: &mut Cx<'_>, vector: u16, isr: u8) {
        self.isr |= isr;
        match &mut self.msix {
            Some(msix) if msix.enabled(&self.config) => msix.raise(cx, &self.config, vector),
            _ => self.intx.set(cx, &mut self.config, INTA, true),
        }
    }

    /// Reading the interrupt status acknowledges.
    pub(super) fn take_isr(&mut self, cx: &mut Cx<'_>) -> u8 {
        self.intx.set(cx, &mut self.config, INTA, false);
        std::mem::take(&mut self.isr)
    }

    fn config_changed(&mut self, cx: &mut Cx<'_>) {
        self.config_generation = self.config_generation.wrapping_add(1);
        if self.status.contains(Status::DRIVER_OK) {
            self.interrupt(cx, self.config_vector, ISR_CONFIG);
        }
    }

    /// The guest did what makes no sense: it has to start over.
    pub(super) fn lose(&mut self, cx: &mut Cx<'_>) {
        if !self.status.contains(Status::NEEDS_RESET) {
            self.status |= Status::NEEDS_RESET;
            self.config_changed(cx);
        }
    }

    fn interrupt_for_news(&mut self, cx: &mut Cx<'_>) {
        for at in 0..self.queues.len() {
            if self.queues[at].take_news(cx) {
                let vector = self.queues[at].vector;
                self.interrupt(cx, vector, ISR_QUEUE);
            }
        }
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.queues.iter_mut().for_each(Queue::reset);
        (self.accepted, self.device_feature_select, self.driver_feature_select) = (0, 0, 0);
        (self.status, self.config_vector, self.queue_select) = (Status::empty(), NO_VECTOR, 0);
        self.take_isr(cx);
    }
}

fn legacy_len<C: Class>(class: &C) -> u64 {
    (legacy::CONFIG_WITH_MSIX + class.config().len() as u64).next_power_of_two()
}

fn offered(settings: TransportConfig, legacy: bool) -> Feature {
    let mut offered = Feature::empty();
    offered.set(Feature::ANY_LAYOUT, legacy && settings.any_layout);
    offered.set(Feature::INDIRECT_DESC, settings.indirect_desc);
    offered.set(Feature::EVENT_IDX, settings.event_idx);
    offered.set(Feature::VERSION_1, settings.modern);
    offered.set(Feature::RING_PACKED, settings.modern && settings.packed);
    offered.set(Feature::IN_ORDER, settings.modern && settings.in_order);
    offered.set(Feature::RING_RESET, settings.modern && settings.queue_reset);
    offered
}

/// What a class of device may do during a call.
pub struct Io<'a, 'c> {
    /// The world.
    pub cx: &'a mut Cx<'c>,
    core: &'a mut Core,
    /// How many more buffers may be taken during this call. A ring has never more than this, but a buffer may lie over
    /// the ring that it is in, and what the device writes would go on for ever.
    left: u32,
}

impl Io<'_, '_> {
    /// Takes the next buffer of a queue. Nonsense in the ring stops the device.
    pub fn pop(&mut self, queue: u16) -> Option<Chain> {
        if !self.core.serves() || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let popped: Result<_, RingError> = self.core.queues.get_mut(usize::from(queue))?.pop(self.cx);
        popped.unwrap_or_else(|_| {
            self.core.lose(self.cx);
            None
        })
    }

    /// Gives a buffer back with so many bytes written to it. The driver is interrupted when the call is over.
    pub fn push(&mut self, queue: u16, chain: &Chain, written: u64) {
        if let Some(queue) = self.core.queues.get_mut(usize::from(queue)) {
            queue.push(self.cx, chain, u32::try_from(written).unwrap_or(u32::MAX));
        }
    }

    /// The features that the driver took.
    pub fn accepted(&self) -> u64 {
        self.core.accepted
    }

    /// The device's configuration is another now.
    pub fn config_changed(&mut self) {
        self.core.config_changed(self.cx);
    }

    /// The guest did what makes no sense; nothing is served until it resets the device.
    pub fn lose(&mut self) {
        self.core.lose(self.cx);
    }

    /// Arms the class's timer, `ns` from now.
    pub fn arm(&mut self, ns: u64) {
        self.cx.arm(TIMER, self.cx.now().saturating_add(ns));
    }

    /// Disarms the class's timer.
    pub fn disarm(&mut self) {
        self.cx.disarm(TIMER);
    }
}

/// A virtio device of some class as a PCI function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioPci<C> {
    pub(super) core: Core,
    class: C,
}

impl<C: Class> VirtioPci<C> {
    pub(super) fn with(class: C, settings: TransportConfig) -> Result<Self, VirtioError> {
        Ok(Self { core: Core::new(&class, settings)?, class })
    }

    /// As the catalog gives devices.
    pub(super) fn made(self) -> Made {
        let regions = self.regions();
        Made::new(self, &regions)
    }

    /// The device behind the transport.
    pub fn class(&self) -> &C {
        &self.class
    }

    /// The device behind the transport, before it is added to a bus.
    pub fn class_mut(&mut self) -> &mut C {
        &mut self.class
    }

    /// The regions that its base address registers place.
    pub fn regions(&self) -> Vec<RegionSpec> {
        let spec = |space, index, len| RegionSpec { space, index, base: None, len, priority: 0, widest: Width::Dword };
        let mut regions = Vec::new();
        if self.core.has_legacy {
            regions.push(spec(Space::Io, BAR_LEGACY, legacy_len(&self.class)));
        }
        if let Some(msix) = &self.core.msix {
            regions.push(spec(Space::Memory, BAR_MSIX, msix::MsiX::region_len(msix.vectors())));
        }
        if self.core.window.is_some() {
            regions.push(spec(Space::Memory, BAR_MODERN, modern::REGION_LEN));
        }
        regions
    }

    fn call<R>(&mut self, cx: &mut Cx<'_>, call: impl FnOnce(&mut C, &mut Io<'_, '_>) -> R) -> R {
        let left = u32::from(QUEUE_SIZE_MAX) * self.core.queues.len() as u32 + 1;
        let answer = call(&mut self.class, &mut Io { cx: &mut *cx, core: &mut self.core, left });
        self.core.interrupt_for_news(cx);
        answer
    }

    pub(super) fn notify(&mut self, cx: &mut Cx<'_>, queue: u16) {
        if usize::from(queue) < self.core.queues.len() && self.core.serves() {
            self.call(cx, |class, io| class.notify(io, queue));
        }
    }

    pub(super) fn reset_by_driver(&mut self, cx: &mut Cx<'_>) {
        self.core.reset(cx);
        self.class.reset();
        cx.disarm(TIMER);
    }

    pub(super) fn reset_queue(&mut self, at: u16) {
        if let Some(queue) = self.core.queues.get_mut(usize::from(at)) {
            queue.reset();
            self.class.reset_queue(at);
        }
    }

    pub(super) fn write_status(&mut self, cx: &mut Cx<'_>, value: u8, modern: bool) {
        if value == 0 {
            return self.reset_by_driver(cx);
        }
        let before = self.core.status;
        let mut status = Status::from_bits_truncate(value) | before & Status::NEEDS_RESET;
        if modern && !before.contains(Status::FEATURES_OK) && !self.agrees() {
            status.remove(Status::FEATURES_OK);
        }
        self.core.status = status;
        if (status - before).contains(Status::DRIVER_OK) {
            self.call(cx, C::ready);
        }
    }

    /// Whether the features that the driver took are ones to work with.
    fn agrees(&self) -> bool {
        self.core.accepted & !self.core.offered == 0 && self.core.features().contains(Feature::VERSION_1)
    }

    pub(super) fn read_config(&self, offset: u64, width: Width) -> u64 {
        let config = self.class.config();
        (0..width.bytes()).fold(0, |value, i| {
            let byte = usize::try_from(offset + i).ok().and_then(|at| config.get(at));
            value | u64::from(byte.copied().unwrap_or(0)) << (8 * i)
        })
    }

    pub(super) fn write_config(&mut self, cx: &mut Cx<'_>, offset: u64, width: Width, value: u64) {
        let bytes = value.to_le_bytes();
        self.call(cx, |class, io| class.write_config(io, offset, &bytes[..width.bytes() as usize]));
    }

    fn read_region(&mut self, cx: &mut Cx<'_>, region: u8, offset: u64, width: Width) -> u64 {
        match region {
            BAR_LEGACY => self.read_legacy(cx, offset, width),
            BAR_MSIX => self.core.msix.as_ref().map_or(0, |msix| msix.read(offset, width)),
            _ => self.read_modern(cx, offset, width),
        }
    }

    fn write_region(&mut self, cx: &mut Cx<'_>, region: u8, offset: u64, width: Width, value: u64) {
        match region {
            BAR_LEGACY => self.write_legacy(cx, offset, width, value),
            BAR_MSIX => {
                if let Some(msix) = &mut self.core.msix {
                    msix.write(cx, &self.core.config, offset, width, value);
                }
            }
            _ => self.write_modern(cx, offset, width, value),
        }
    }

    /// What the window in configuration space shows, if `offset` is the window's (section 4.1.4.9).
    fn window(&self, offset: u16) -> Option<(u8, u64, Width)> {
        let window = modern::Window::at(&self.core.config, self.core.window?, offset)?;
        self.regions().iter().find(|spec| spec.index == window.bar && window.end() <= spec.len)?;
        Some((window.bar, window.offset, window.width))
    }
}

impl<C: Class> PciFunction for VirtioPci<C> {
    fn config_read(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width) -> u32 {
        if let Some((bar, at, width)) = self.window(offset) {
            let value = self.read_region(cx, bar, at, width);
            if let Some(data) = self.core.window {
                self.core.config.put(modern::window_data(data), &(value as u32).to_le_bytes());
            }
        }
        self.core.config.read(offset, width)
    }

    fn config_write(&mut self, cx: &mut Cx<'_>, offset: u16, width: Width, value: u32) {
        let was_master = self.core.config.command().contains(Command::MASTER);
        self.core.config.write(cx, offset, width, value);
        if let Some((bar, at, width)) = self.window(offset) {
            self.write_region(cx, bar, at, width, u64::from(value) & width.mask());
        }
        self.core.intx.update(cx, &mut self.core.config, INTA);
        if self.core.has_msix() {
            self.core.intx.set(cx, &mut self.core.config, INTA, false);
        }
        if let Some(msix) = &mut self.core.msix {
            msix.update(cx, &self.core.config);
        }
        if !was_master && self.core.config.command().contains(Command::MASTER) {
            (0..self.core.queues.len() as u16).for_each(|queue| self.notify(cx, queue));
        }
    }
}

impl<C: Class> Device for VirtioPci<C> {
    fn kind(&self) -> &'static str {
        C::KIND
    }

    fn read(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width) -> u64 {
        self.read_region(cx, at.region, at.offset, width)
    }

    fn write(&mut self, cx: &mut Cx<'_>, at: Reg, width: Width, value: u64) {
        self.write_region(cx, at.region, at.offset, width, value);
    }

    fn reset(&mut self, cx: &mut Cx<'_>) {
        self.core.config.reset(cx);
        if let Some(msix) = &mut self.core.msix {
            msix.reset();
        }
        self.core.config_generation = 0;
        self.reset_by_driver(cx);
    }

    fn timer(&mut self, cx: &mut Cx<'_>, _id: TimerId) {
        self.call(cx, C::timer);
    }

    fn input(&mut self, cx: &mut Cx<'_>, input: &Input) {
        self.call(cx, |class, io| class.input(io, input));
    }

    fn room(&self, port: u32) -> usize {
        self.class.room(port)
    }

    fn placement(&self, _drive: u8, tag: u64) -> Option<Vec<(u64, u64)>> {
        self.class.placement(tag)
    }

    fn pci(&mut self) -> Option<&mut dyn PciFunction> {
        Some(self)
    }
}
