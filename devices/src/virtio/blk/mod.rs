//! The virtio disk (section 5.2). Each buffer is a request; any number are in flight, and they end in the order in which
//! the drive completes them.

mod config;

pub use config::BlkConfig;

use super::queue::Chain;
use super::{Class, Io, OnOffAuto, VirtioError, VirtioPci};
use crate::catalog::{Creatable, Made, Surroundings};
use crate::properties::PropertyError;
use bitflags::bitflags;
use config::{Limits, SECTOR};
use lockstep_fabric::{BlockCompletion, BlockOperation, BlockRequest, Input};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

bitflags! {
    /// Feature bits (section 5.2.3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BlkFeature: u64 {
        /// A request has at most so many segments.
        const SEG_MAX = 1 << 2;
        /// The configuration tells a geometry.
        const GEOMETRY = 1 << 4;
        /// Read-only.
        const RO = 1 << 5;
        /// The configuration tells the size of a block.
        const BLK_SIZE = 1 << 6;
        /// There is a write cache, and it can be flushed.
        const FLUSH = 1 << 9;
        /// The configuration tells how to align requests.
        const TOPOLOGY = 1 << 10;
        /// The write cache can be turned off.
        const CONFIG_WCE = 1 << 11;
        /// Several queues.
        const MQ = 1 << 12;
        /// Ranges can be forgotten.
        const DISCARD = 1 << 13;
        /// Ranges can be zeroed.
        const WRITE_ZEROES = 1 << 14;
    }
}

const T_IN: u32 = 0;
const T_OUT: u32 = 1;
const T_FLUSH: u32 = 4;
const T_GET_ID: u32 = 8;
const T_DISCARD: u32 = 11;
const T_WRITE_ZEROES: u32 = 13;
/// A legacy driver's flag; requests that ask for it flush by themselves.
const T_BARRIER: u32 = 1 << 31;

const S_OK: u8 = 0;
const S_IOERR: u8 = 1;
const S_UNSUPP: u8 = 2;

const HEADER_LEN: u64 = 16;
const RANGE_LEN: u64 = 16;
const ID_LEN: usize = 20;
/// A range's flag: the space may be given back.
const RANGE_UNMAP: u32 = 1;

const WRITEBACK_OFFSET: u64 = 32;

/// The most bytes of one request.
const REQUEST_MAX: u64 = 32 << 20;
/// While requests of so many bytes are in flight no more are taken.
const IN_FLIGHT_MAX: u64 = 64 << 20;

/// What keeping one part of a request weighs.
const SEGMENT_WEIGHT: u64 = 16;

/// The drive behind a disk, as it is when the machine is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlkDrive {
    /// Its length.
    pub bytes: u64,
    /// It cannot be written.
    pub read_only: bool,
    /// The serial number to tell, if the device has none of its own.
    pub serial: String,
}

impl Creatable for BlkConfig {
    const NAME: &'static str = Blk::KIND;
    const ABOUT: &'static str = "virtio disk";

    fn make(self) -> Result<Made, PropertyError> {
        self.make_within(&Surroundings::default())
    }

    fn make_within(self, surroundings: &Surroundings) -> Result<Made, PropertyError> {
        let drive = self.drive.as_ref().and_then(|name| surroundings.drives.get(&name.0)).cloned().unwrap_or_default();
        Ok(Made { drive: self.drive.as_ref().map(|name| name.0.clone()), ..Blk::function(&self, &drive)?.made() })
    }
}

/// What a request in flight waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// Its own end.
    Last,
    /// The write, to be flushed then, as there is no write cache.
    Write,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InFlight {
    queue: u16,
    chain: Chain,
    stage: Stage,
    /// Bytes held for it.
    weight: u64,
}

/// A virtio disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blk {
    limits: Limits,
    features: u64,
    bytes: u64,
    serial: String,
    /// There is a write cache, as CONFIG_WCE lets the driver choose, and as it is after a reset.
    writeback: bool,
    writeback_at_reset: bool,
    next_tag: u64,
    in_flight: BTreeMap<u64, InFlight>,
    /// Bytes held for all of them.
    weight: u64,
}

/// What becomes of a request at once.
enum Verdict {
    Submit(BlockOperation, u64),
    Done(u8),
}

impl Blk {
    /// A disk as a PCI function.
    pub fn function(config: &BlkConfig, drive: &BlkDrive) -> Result<VirtioPci<Self>, VirtioError> {
        config.check()?;
        let mut features = BlkFeature::SEG_MAX
            | BlkFeature::GEOMETRY
            | BlkFeature::BLK_SIZE
            | BlkFeature::FLUSH
            | BlkFeature::TOPOLOGY;
        features.set(BlkFeature::RO, drive.read_only);
        features.set(BlkFeature::CONFIG_WCE, config.config_wce);
        features.set(BlkFeature::MQ, config.queues() > 1);
        features.set(BlkFeature::DISCARD, config.discard && !drive.read_only);
        features.set(BlkFeature::WRITE_ZEROES, config.write_zeroes && !drive.read_only);
        let writeback = config.write_cache != OnOffAuto::Off;
        let class = Self {
            limits: Limits::new(config),
            features: features.bits(),
            bytes: drive.bytes,
            serial: config.serial.clone().unwrap_or_else(|| drive.serial.clone()),
            writeback,
            writeback_at_reset: writeback,
            next_tag: 0,
            in_flight: BTreeMap::new(),
            weight: 0,
        };
        VirtioPci::with(class, config.transport())
    }

    fn serve(&mut self, io: &mut Io<'_, '_>, queue: u16) {
        while self.weight < IN_FLIGHT_MAX
            && let Some(chain) = io.pop(queue)
        {
            self.start(io, queue, chain);
        }
    }

    fn start(&mut self, io: &mut Io<'_, '_>, queue: u16, chain: Chain) {
        let mut header = [0; HEADER_LEN as usize];
        if chain.read(io.cx, 0, &mut header) < header.len() || chain.writable_len() == 0 {
            return io.lose();
        }
        let raw = u128::from_le_bytes(header);
        let (kind, sector) = (raw as u32 & !T_BARRIER, (raw >> 64) as u64);
        match self.judge(io, &chain, kind, sector) {
            Verdict::Done(status) => self.finish(io, queue, &chain, status),
            Verdict::Submit(operation, weight) => {
                let writes = matches!(operation, BlockOperation::Write { .. } | BlockOperation::WriteZeroes { .. });
                let stage = if writes && !self.caches_writes(io) { Stage::Write } else { Stage::Last };
                let weight = weight + SEGMENT_WEIGHT * chain.segments() as u64;
                self.weight += weight;
                self.submit(io, InFlight { queue, chain, stage, weight }, operation);
            }
        }
    }

    fn submit(&mut self, io: &mut Io<'_, '_>, request: InFlight, operation: BlockOperation) {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.in_flight.insert(tag, request);
        io.cx.submit(BlockRequest { drive: 0, tag, operation });
    }

    /// Without a word from the driver about flushing, what it was told is written has to be (section 5.2.6.2).
    fn caches_writes(&self, io: &Io<'_, '_>) -> bool {
        let accepted = BlkFeature::from_bits_truncate(io.accepted());
        let chosen = accepted.contains(BlkFeature::CONFIG_WCE) || !self.writeback_at_reset;
        if chosen { self.writeback } else { accepted.contains(BlkFeature::FLUSH) }
    }

    fn judge(&self, io: &mut Io<'_, '_>, chain: &Chain, kind: u32, sector: u64) -> Verdict {
        let read_only = self.features & BlkFeature::RO.bits() != 0;
        match kind {
            T_IN => {
                let len = chain.writable_len() - 1;
                match self.place(sector, len) {
                    Some(offset) if len > 0 => Verdict::Submit(BlockOperation::Read { offset, len }, len),
                    Some(_) => Verdict::Done(S_OK),
                    None => Verdict::Done(S_IOERR),
                }
            }
            T_OUT => {
                let len = chain.readable_len() - HEADER_LEN;
                match self.place(sector, len) {
                    Some(_) if read_only => Verdict::Done(S_IOERR),
                    Some(offset) if len > 0 => {
                        let data = chain.read_vec(io.cx, HEADER_LEN, len);
                        Verdict::Submit(BlockOperation::Write { offset, data }, len)
                    }
                    Some(_) => Verdict::Done(S_OK),
                    None => Verdict::Done(S_IOERR),
                }
            }
            T_FLUSH => Verdict::Submit(BlockOperation::Flush, 0),
            T_GET_ID => {
                let mut id = [0; ID_LEN];
                id.iter_mut().zip(self.serial.bytes()).for_each(|(to, from)| *to = from);
                let room = (chain.writable_len() - 1).min(ID_LEN as u64) as usize;
                chain.write(io.cx, 0, &id[..room]);
                Verdict::Done(S_OK)
            }
            T_DISCARD if self.features & BlkFeature::DISCARD.bits() != 0 => self.judge_range(io, chain, true),
            T_WRITE_ZEROES if self.features & BlkFeature::WRITE_ZEROES.bits() != 0 => {
                self.judge_range(io, chain, false)
            }
            _ => Verdict::Done(S_UNSUPP),
        }
    }

    /// A range to be discarded or zeroed (section 5.2.6.2): one for each request.
    fn judge_range(&self, io: &mut Io<'_, '_>, chain: &Chain, discard: bool) -> Verdict {
        let mut range = [0; RANGE_LEN as usize];
        if chain.readable_len() != HEADER_LEN + RANGE_LEN || chain.read(io.cx, HEADER_LEN, &mut range) < range.len() {
            return Verdict::Done(S_UNSUPP);
        }
        let raw = u128::from_le_bytes(range);
        let (sector, sectors, flags) = (raw as u64, (raw >> 64) as u32, (raw >> 96) as u32);
        if flags & !RANGE_UNMAP != 0 || discard && flags != 0 {
            return Verdict::Done(S_UNSUPP);
        }
        let most = if discard { self.limits.discard_sectors } else { self.limits.zeroes_sectors };
        let len = u64::from(sectors) * SECTOR;
        match self.within(sector, len).filter(|_| sectors <= most) {
            None => Verdict::Done(S_IOERR),
            Some(_) if len == 0 => Verdict::Done(S_OK),
            Some(offset) if discard => Verdict::Submit(BlockOperation::Discard { offset, len }, 0),
            Some(offset) => {
                let unmap = flags & RANGE_UNMAP != 0;
                Verdict::Submit(BlockOperation::WriteZeroes { offset, len, unmap }, 0)
            }
        }
    }

    /// Where on the drive a transfer starts, if it is of whole blocks and small enough.
    fn place(&self, sector: u64, len: u64) -> Option<u64> {
        self.within(sector, len).filter(|_| len <= REQUEST_MAX)
    }

    fn within(&self, sector: u64, len: u64) -> Option<u64> {
        let offset = sector.checked_mul(SECTOR)?;
        let block = u64::from(self.limits.block);
        let whole = offset.is_multiple_of(block) && len.is_multiple_of(block);
        (whole && offset.checked_add(len)? <= self.bytes).then_some(offset)
    }

    /// Gives a request back: its status is the last byte that the device may write.
    fn finish(&mut self, io: &mut Io<'_, '_>, queue: u16, chain: &Chain, status: u8) {
        let len = chain.writable_len();
        chain.write(io.cx, len.saturating_sub(1), &[status]);
        io.push(queue, chain, len);
    }

    fn complete(&mut self, io: &mut Io<'_, '_>, completion: &BlockCompletion) {
        // What a reset forgot ends here.
        let Some(mut request) = self.in_flight.remove(&completion.tag) else { return };
        match (&completion.result, request.stage) {
            (Ok(_), Stage::Write) => {
                request.stage = Stage::Last;
                return self.submit(io, request, BlockOperation::Flush);
            }
            (Ok(data), Stage::Last) => {
                // The status byte is not the data's to fill.
                let room = request.chain.writable_len().saturating_sub(1).min(data.len() as u64) as usize;
                request.chain.write(io.cx, 0, &data[..room]);
                self.finish(io, request.queue, &request.chain, S_OK);
            }
            (Err(_), _) => self.finish(io, request.queue, &request.chain, S_IOERR),
        }
        let was_full = self.weight >= IN_FLIGHT_MAX;
        self.weight -= request.weight;
        if was_full {
            (0..self.limits.queues).for_each(|queue| self.serve(io, queue));
        }
    }
}

impl Class for Blk {
    const KIND: &'static str = "virtio-blk-pci";
    const TYPE: u16 = 2;
    const PCI_CLASS: u32 = 0x01_0000;
    const TRANSITIONAL_ID: Option<u16> = Some(0x1001);

    fn features(&self) -> u64 {
        self.features
    }

    fn queues(&self) -> Vec<u16> {
        vec![self.limits.queue_size; self.limits.queues.into()]
    }

    fn config(&self) -> Vec<u8> {
        self.limits.layout(self.bytes, self.writeback)
    }

    fn write_config(&mut self, io: &mut Io<'_, '_>, offset: u64, bytes: &[u8]) {
        if offset == WRITEBACK_OFFSET && io.accepted() & BlkFeature::CONFIG_WCE.bits() != 0 {
            self.writeback = bytes.first().is_some_and(|b| b & 1 != 0);
        }
    }

    fn reset(&mut self) {
        self.in_flight.clear();
        self.weight = 0;
        self.writeback = self.writeback_at_reset;
    }

    fn reset_queue(&mut self, queue: u16) {
        self.in_flight.retain(|_, request| request.queue != queue);
        self.weight = self.in_flight.values().map(|request| request.weight).sum();
    }

    fn notify(&mut self, io: &mut Io<'_, '_>, queue: u16) {
        self.serve(io, queue);
    }

    fn placement(&self, tag: u64) -> Option<Vec<(u64, u64)>> {
        let chain = &self.in_flight.get(&tag)?.chain;
        // The status byte is not the data's to fill.
        Some(chain.writable_spans(chain.writable_len().saturating_sub(1)))
    }

    fn input(&mut self, io: &mut Io<'_, '_>, input: &Input) {
        match input {
            Input::Block(completion) => self.complete(io, completion),
            Input::Capacity { bytes, .. } => {
                self.bytes = *bytes;
                io.config_changed();
            }
            _ => {}
        }
    }
}
