//! The virtio memory balloon (section 5.5): pages that the guest gives up and takes back, its statistics, and pages that
//! it reports to be free.
//!
//! A page that the guest gives up, or reports free, is zeroes from the moment at which it says so, and the host has its
//! memory back. A driver may take pages back before it says so: what it finds there is the same in every run.

use super::properties::config_with_transport;
use super::queue::Chain;
use super::{Class, Io, VirtioError, VirtioPci};
use crate::catalog::{Creatable, Made, Surroundings};
use crate::properties::PropertyError;
use bitflags::bitflags;
use lockstep_fabric::{BalloonOrder, Input, Notice};
use serde::{Deserialize, Serialize};

bitflags! {
    /// Feature bits (section 5.5.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BalloonFeature: u64 {
        /// The guest has statistics to tell.
        const STATS_VQ = 1 << 1;
        /// The guest may take pages back rather than run out of memory.
        const DEFLATE_ON_OOM = 1 << 2;
        /// The guest tells what its free pages are filled with.
        const PAGE_POISON = 1 << 4;
        /// The guest reports free pages.
        const PAGE_REPORTING = 1 << 5;
    }
}

const INFLATE: u16 = 0;
const DEFLATE: u16 = 1;
const STATS: u16 = 2;
/// Queues that are not offered are not numbered: this follows the statistics.
const REPORTING: u16 = 3;
const QUEUE_SIZE: u16 = 128;
const REPORTING_QUEUE_SIZE: u16 = 32;

const PAGE: u64 = 4096;
/// Pages that one message may give up, by their numbers of four bytes each. Drivers name some hundred at a time; those of
/// a longer message that are too many stay the guest's.
const PAGES_MAX: u64 = 4096;
/// A statistic: its tag and its value.
const STAT_LEN: usize = 10;
/// Statistics that are looked at in one message.
const STATS_MAX: usize = 64;

const ACTUAL_OFFSET: u64 = 4;
const POISON_OFFSET: u64 = 12;
const NS_PER_S: u64 = 1_000_000_000;

config_with_transport! {
    /// How a memory balloon is set up.
    pub struct BalloonConfig {
        /// The guest may take pages back rather than run out of memory.
        pub deflate_on_oom as "deflate-on-oom": bool = false,
        /// Asks for free pages to be reported.
        pub free_page_reporting as "free-page-reporting": bool = false,
    }
}

impl Creatable for BalloonConfig {
    const NAME: &'static str = Balloon::KIND;
    const ABOUT: &'static str = "virtio memory balloon";

    fn make(self) -> Result<Made, PropertyError> {
        self.make_within(&Surroundings::default())
    }

    fn make_within(self, surroundings: &Surroundings) -> Result<Made, PropertyError> {
        Ok(Balloon::function(&self, surroundings.ram)?.made())
    }
}

/// One of the guest's statistics (section 5.5.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistic {
    /// What it counts.
    pub tag: u16,
    /// The count.
    pub value: u64,
}

/// A memory balloon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balloon {
    features: u64,
    /// The machine's RAM.
    ram: u64,
    /// Pages that the guest is asked to give up, and those that it says it gave up.
    target: u32,
    actual: u32,
    poison: u32,
    /// Pages that went through the queues.
    inflated: u64,
    deflated: u64,
    reported: u64,
    /// What the guest told last, and when, in nanoseconds.
    statistics: Vec<Statistic>,
    statistics_at: u64,
    /// The buffer to ask with for the next statistics.
    question: Option<Chain>,
    poll_seconds: u32,
}

impl Balloon {
    /// A balloon in a machine of so many bytes of RAM, as a PCI function.
    pub fn function(config: &BalloonConfig, ram: u64) -> Result<VirtioPci<Self>, VirtioError> {
        let mut features = BalloonFeature::STATS_VQ;
        features.set(BalloonFeature::DEFLATE_ON_OOM, config.deflate_on_oom);
        features.set(BalloonFeature::PAGE_REPORTING | BalloonFeature::PAGE_POISON, config.free_page_reporting);
        let class = Self {
            features: features.bits(),
            ram,
            target: 0,
            actual: 0,
            poison: 0,
            inflated: 0,
            deflated: 0,
            reported: 0,
            statistics: Vec::new(),
            statistics_at: 0,
            question: None,
            poll_seconds: 0,
        };
        VirtioPci::with(class, config.transport())
    }

    /// Bytes of RAM that the guest has left.
    pub fn left(&self) -> u64 {
        self.ram.saturating_sub(u64::from(self.actual) * PAGE)
    }

    /// What the guest told last, and when in nanoseconds of guest time.
    pub fn statistics(&self) -> (&[Statistic], u64) {
        (&self.statistics, self.statistics_at)
    }

    /// Asks the guest to keep this many bytes of RAM.
    pub fn set_target(&mut self, io: &mut Io<'_, '_>, bytes: u64) {
        let pages = self.ram.saturating_sub(bytes) / PAGE;
        self.target = u32::try_from(pages).unwrap_or(u32::MAX);
        io.config_changed();
    }

    /// Asks for statistics every so many seconds, or no longer.
    pub fn poll(&mut self, io: &mut Io<'_, '_>, seconds: u32) {
        self.poll_seconds = seconds;
        if seconds == 0 {
            io.disarm();
        } else {
            self.ask(io);
        }
    }

    /// The guest answers a buffer that comes back with one of new statistics.
    fn ask(&mut self, io: &mut Io<'_, '_>) {
        if let Some(question) = self.question.take() {
            io.push(STATS, &question, 0);
        }
        if self.poll_seconds > 0 {
            io.arm(u64::from(self.poll_seconds) * NS_PER_S);
        }
    }

    fn take_statistics(&mut self, io: &mut Io<'_, '_>) {
        while let Some(chain) = io.pop(STATS) {
            // A driver has one buffer for this; one that sends more gets the former back.
            if let Some(former) = self.question.take() {
                io.push(STATS, &former, 0);
            }
            let bytes = chain.read_vec(io.cx, 0, (STAT_LEN * STATS_MAX) as u64);
            self.statistics = bytes.chunks_exact(STAT_LEN).filter_map(statistic).collect();
            self.statistics_at = io.cx.now();
            self.question = Some(chain);
        }
    }

    /// Forgets the pages whose numbers a message holds.
    fn inflate(&mut self, io: &mut Io<'_, '_>, chain: &Chain) {
        let numbers = chain.read_vec(io.cx, 0, 4 * PAGES_MAX);
        let numbers = numbers.as_chunks().0.iter().map(|number| u64::from(u32::from_le_bytes(*number)));
        for (first, count) in runs(numbers) {
            io.cx.dma_forget(first * PAGE, count * PAGE);
        }
        self.inflated = self.inflated.wrapping_add(chain.readable_len() / 4);
    }

    /// Forgets pages that are reported free: the parts of a message that the device might write.
    fn take_report(&mut self, io: &mut Io<'_, '_>, chain: &Chain) {
        self.reported = self.reported.wrapping_add(chain.writable_len() / PAGE);
        // The guest counts on what it filled its free pages with.
        if self.poison != 0 {
            return;
        }
        // There is no more than all of RAM to be free.
        let mut left = self.ram;
        for segment in &chain.writable {
            let len = left.min(segment.len.into());
            io.cx.dma_forget(segment.address, len);
            left -= len;
        }
    }
}

/// Numbers that follow on one another, put together: the first and how many, in the order in which they come. Drivers give
/// up pages from the top down as well as upwards.
fn runs(numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((first, count)) if number == *first + *count => *count += 1,
            Some((first, count)) if number + 1 == *first => (*first, *count) = (number, *count + 1),
            _ => runs.push((number, 1)),
        }
    }
    runs
}

fn statistic(bytes: &[u8]) -> Option<Statistic> {
    let (tag, value) = bytes.split_first_chunk()?;
    Some(Statistic { tag: u16::from_le_bytes(*tag), value: u64::from_le_bytes(value.try_into().ok()?) })
}

impl Class for Balloon {
    const KIND: &'static str = "virtio-balloon-pci";
    const TYPE: u16 = 5;
    const PCI_CLASS: u32 = 0x00_ff00;
    const TRANSITIONAL_ID: Option<u16> = Some(0x1002);

    fn features(&self) -> u64 {
        self.features
    }

    fn queues(&self) -> Vec<u16> {
        let mut queues = vec![QUEUE_SIZE; 3];
        if self.features & BalloonFeature::PAGE_REPORTING.bits() != 0 {
            queues.push(REPORTING_QUEUE_SIZE);
        }
        queues
    }

    fn config(&self) -> Vec<u8> {
        const FREE_PAGE_HINT_CMD_ID: u32 = 0;
        [self.target, self.actual, FREE_PAGE_HINT_CMD_ID, self.poison].iter().flat_map(|d| d.to_le_bytes()).collect()
    }

    fn write_config(&mut self, io: &mut Io<'_, '_>, offset: u64, bytes: &[u8]) {
        let Some(value) = bytes.first_chunk().map(|b| u32::from_le_bytes(*b)) else { return };
        match offset {
            ACTUAL_OFFSET if value != self.actual => {
                self.actual = value;
                io.cx.tell(Notice::Balloon(self.left()));
            }
            POISON_OFFSET => self.poison = value,
            _ => {}
        }
    }

    fn reset(&mut self) {
        self.question = None;
        (self.actual, self.poison) = (0, 0);
    }

    fn reset_queue(&mut self, queue: u16) {
        if queue == STATS {
            self.question = None;
        }
    }

    fn ready(&mut self, io: &mut Io<'_, '_>) {
        // Linux tells its first statistics, the answer to which asks for the next, before it says that it is ready.
        self.take_statistics(io);
        if self.poll_seconds > 0 {
            io.arm(u64::from(self.poll_seconds) * NS_PER_S);
        }
    }

    fn notify(&mut self, io: &mut Io<'_, '_>, queue: u16) {
        if queue == STATS {
            return self.take_statistics(io);
        }
        while let Some(chain) = io.pop(queue) {
            match queue {
                INFLATE => self.inflate(io, &chain),
                DEFLATE => self.deflated = self.deflated.wrapping_add(chain.readable_len() / 4),
                REPORTING => self.take_report(io, &chain),
                _ => {}
            }
            io.push(queue, &chain, 0);
        }
    }

    fn timer(&mut self, io: &mut Io<'_, '_>) {
        self.ask(io);
    }

    fn input(&mut self, io: &mut Io<'_, '_>, input: &Input) {
        match input {
            Input::Balloon(BalloonOrder::Target(bytes)) => self.set_target(io, *bytes),
            Input::Balloon(BalloonOrder::Poll(seconds)) => self.poll(io, *seconds),
            _ => {}
        }
    }
}
