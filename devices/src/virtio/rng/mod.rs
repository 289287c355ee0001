//! The virtio entropy device (section 5.4). Its entropy is the machine's seed: the same for every run of one machine.

mod chacha;

use super::properties::config_with_transport;
use super::{Class, Io, VirtioError, VirtioPci};
use crate::catalog::{Creatable, Made, Surroundings};
use crate::properties::PropertyError;
use chacha::ChaCha;
use serde::{Deserialize, Serialize};

const QUEUE: u16 = 0;
const QUEUE_SIZE: u16 = 8;
/// A buffer gets at most so many bytes; the driver comes back for more.
const BUFFER_MAX: u64 = 64 << 10;
const NS_PER_MS: u64 = 1_000_000;

config_with_transport! {
    /// How an entropy device is set up.
    pub struct RngConfig {
        /// Accepted: entropy comes from the machine's seed.
        pub rng: Option<String> = None,
        /// How many bytes in each period.
        pub max_bytes as "max-bytes": u64 = i64::MAX as u64,
        /// A period, in milliseconds of guest time.
        pub period: u32 = 1 << 16,
    }
}

impl Creatable for RngConfig {
    const NAME: &'static str = Rng::KIND;
    const ABOUT: &'static str = "virtio entropy device, fed by the machine's seed";

    fn make(self) -> Result<Made, PropertyError> {
        self.make_within(&Surroundings::default())
    }

    fn make_within(self, surroundings: &Surroundings) -> Result<Made, PropertyError> {
        Ok(Rng::function(&self, surroundings.seed)?.made())
    }
}

/// An entropy device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    stream: ChaCha,
    max_bytes: u64,
    period_ms: u32,
    /// What is left of this period's bytes.
    quota: u64,
    /// A period is running.
    counting: bool,
}

impl Rng {
    /// An entropy device as a PCI function.
    pub fn function(config: &RngConfig, seed: u64) -> Result<VirtioPci<Self>, VirtioError> {
        if config.period == 0 {
            return Err(VirtioError::Zero("period"));
        }
        let class = Self {
            stream: ChaCha::new(seed),
            max_bytes: config.max_bytes,
            period_ms: config.period,
            quota: config.max_bytes,
            counting: false,
        };
        VirtioPci::with(class, config.transport())
    }

    fn serve(&mut self, io: &mut Io<'_, '_>) {
        while self.quota > 0
            && let Some(chain) = io.pop(QUEUE)
        {
            let len = chain.writable_len().min(self.quota).min(BUFFER_MAX);
            let mut bytes = vec![0; len as usize];
            self.stream.fill(&mut bytes);
            chain.write(io.cx, 0, &bytes);
            io.push(QUEUE, &chain, len);
            self.quota -= len;
            if !self.counting {
                self.counting = true;
                io.arm(u64::from(self.period_ms) * NS_PER_MS);
            }
        }
    }
}

impl Class for Rng {
    const KIND: &'static str = "virtio-rng-pci";
    const TYPE: u16 = 4;
    const PCI_CLASS: u32 = 0x00_ff00;
    const TRANSITIONAL_ID: Option<u16> = Some(0x1005);

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn reset(&mut self) {
        // What was given is not given again, whoever asks.
        (self.quota, self.counting) = (self.max_bytes, false);
    }

    fn reset_queue(&mut self, _queue: u16) {}

    fn notify(&mut self, io: &mut Io<'_, '_>, _queue: u16) {
        self.serve(io);
    }

    fn timer(&mut self, io: &mut Io<'_, '_>) {
        (self.quota, self.counting) = (self.max_bytes, false);
        self.serve(io);
    }
}
