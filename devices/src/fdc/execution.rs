//! The execution phase: data between the drive and the guest, by DMA or through the FIFO.

use super::commands::results;
use super::format::SECTOR;
use super::registers::{
    SPECIFY_NON_DMA, ST0_ABNORMAL, ST1_DATA_ERROR, ST1_MISSING_MARK, ST1_NO_DATA, ST1_NOT_WRITABLE, ST1_OVERRUN,
    ST2_DATA_ERROR,
};
use super::transfer::{Kind, Transfer, Wait};
use super::{DMA_CHANNEL, Fdc, Phase};
use lockstep_fabric::{BlockCompletion, BlockError, BlockOperation, BlockRequest, Cx};

impl Fdc {
    fn in_transfer(&mut self) -> Option<&mut Transfer> {
        match &mut self.phase {
            Phase::Transfer(transfer) => Some(transfer),
            Phase::Command(_) | Phase::Identifying(_) | Phase::Result(_) => None,
        }
    }

    fn uses_dma(&self) -> bool {
        self.specify[1] & SPECIFY_NON_DMA == 0
    }

    fn submit(&mut self, cx: &mut Cx<'_>, operation: BlockOperation) {
        let tag = self.next_tag;
        self.next_tag = tag.wrapping_add(1);
        if let Some(transfer) = self.in_transfer() {
            transfer.wait = Wait::Drive(tag);
            cx.submit(BlockRequest { drive: transfer.drive, tag, operation });
        }
    }

    /// Begins with the next span of sectors, or ends.
    pub(super) fn next_run(&mut self, cx: &mut Cx<'_>) {
        let Some(transfer) = self.in_transfer() else { return };
        transfer.at = 0;
        let st1 = if transfer.enough { 0 } else { transfer.at_end };
        match (transfer.runs.front().copied(), transfer.kind) {
            (Some((offset, len)), Kind::Read | Kind::Verify) if !transfer.enough => {
                self.submit(cx, BlockOperation::Read { offset, len });
            }
            (Some((_, len)), Kind::Write) if !transfer.enough => {
                transfer.buffer = vec![0; len as usize];
                self.take_run(cx);
            }
            _ => self.end(st1, 0),
        }
    }

    /// The execution is over.
    fn end(&mut self, st1: u8, st2: u8) {
        let Some(transfer) = self.in_transfer() else { return };
        let abnormal = if st1 != 0 { ST0_ABNORMAL } else { 0 };
        let st0 = abnormal | transfer.head << 2 | transfer.drive;
        let results = results(st0, st1, st2 | transfer.st2, transfer.next_place());
        self.tell(results);
    }

    /// Takes a run's bytes from the guest.
    pub(super) fn take_run(&mut self, cx: &mut Cx<'_>) {
        let dma = self.uses_dma();
        let Some(transfer) = self.in_transfer() else { return };
        if !dma {
            transfer.wait = Wait::Guest;
            self.interrupt = true;
            return;
        }
        let mut buffer = std::mem::take(&mut transfer.buffer);
        let run = self.with_dma(cx, |dma, cx| dma.copy_from_memory(cx, DMA_CHANNEL, &mut buffer)).unwrap_or_default();
        let Some(transfer) = self.in_transfer() else { return };
        transfer.enough = run.ended;
        if run.moved == 0 {
            return self.end(ST1_OVERRUN, 0);
        }
        // What the terminal count cut off is written as zeroes up to the sector's end.
        if transfer.kind == Kind::Write {
            buffer.truncate(run.moved.next_multiple_of(SECTOR as usize));
        }
        transfer.buffer = buffer;
        self.write_run(cx);
    }

    /// The guest's bytes are here.
    fn write_run(&mut self, cx: &mut Cx<'_>) {
        let Some(transfer) = self.in_transfer() else { return };
        let Some((offset, _)) = transfer.runs.front().copied() else { return };
        let mut data = std::mem::take(&mut transfer.buffer);
        if transfer.kind == Kind::Format {
            // In whatever order the IDs come, they are the track's first sectors.
            data = vec![transfer.filler; usize::from(transfer.last) * SECTOR as usize];
        }
        transfer.at = data.len();
        self.submit(cx, BlockOperation::Write { offset, data });
    }

    pub(super) fn completed(&mut self, cx: &mut Cx<'_>, completion: &BlockCompletion) {
        let Some(transfer) = self.in_transfer() else { return };
        if transfer.wait != Wait::Drive(completion.tag) || transfer.drive != completion.drive {
            return;
        }
        let run = transfer.runs.front().map_or(0, |(_, len)| *len);
        match (&completion.result, transfer.kind) {
            (Err(why), _) => {
                let (st1, st2) = error_of(*why);
                self.end(st1, st2);
            }
            (Ok(data), Kind::Read) => {
                transfer.buffer.clone_from(data);
                transfer.buffer.resize(run as usize, 0);
                self.give_run(cx);
            }
            (Ok(_), Kind::Verify) => self.run_done(cx, run),
            (Ok(_), Kind::Write | Kind::Format) => {
                let moved = transfer.at as u64;
                self.run_done(cx, moved);
            }
        }
    }

    /// Gives a run's bytes to the guest.
    fn give_run(&mut self, cx: &mut Cx<'_>) {
        let dma = self.uses_dma();
        let Some(transfer) = self.in_transfer() else { return };
        if !dma {
            transfer.wait = Wait::Guest;
            self.interrupt = true;
            return;
        }
        let buffer = std::mem::take(&mut transfer.buffer);
        let run = self.with_dma(cx, |dma, cx| dma.to_memory(cx, DMA_CHANNEL, &buffer)).unwrap_or_default();
        let Some(transfer) = self.in_transfer() else { return };
        transfer.enough = run.ended;
        if run.moved == 0 {
            return self.end(ST1_OVERRUN, 0);
        }
        self.run_done(cx, run.moved as u64);
    }

    /// So many bytes of the run in hand have moved.
    fn run_done(&mut self, cx: &mut Cx<'_>, bytes: u64) {
        let Some(transfer) = self.in_transfer() else { return };
        transfer.done += bytes.div_ceil(SECTOR) as u32;
        transfer.runs.pop_front();
        self.next_run(cx);
    }

    /// The guest reads the FIFO during the execution.
    pub(super) fn give_byte(&mut self, cx: &mut Cx<'_>) -> u8 {
        let Some(transfer) = self.in_transfer().filter(|t| t.wait == Wait::Guest && t.kind == Kind::Read) else {
            return 0;
        };
        let byte = transfer.buffer.get(transfer.at).copied().unwrap_or(0);
        transfer.at += 1;
        if transfer.at >= transfer.buffer.len() {
            let moved = transfer.buffer.len() as u64;
            self.interrupt = false;
            self.run_done(cx, moved);
        }
        byte
    }

    /// The guest writes the FIFO during the execution.
    pub(super) fn take_byte(&mut self, cx: &mut Cx<'_>, value: u8) {
        let takes = |t: &&mut Transfer| t.wait == Wait::Guest && matches!(t.kind, Kind::Write | Kind::Format);
        let Some(transfer) = self.in_transfer().filter(takes) else { return };
        if let Some(byte) = transfer.buffer.get_mut(transfer.at) {
            *byte = value;
        }
        transfer.at += 1;
        if transfer.at >= transfer.buffer.len() {
            self.interrupt = false;
            self.write_run(cx);
        }
    }
}

fn error_of(why: BlockError) -> (u8, u8) {
    match why {
        BlockError::Io | BlockError::NoSpace => (ST1_DATA_ERROR, ST2_DATA_ERROR),
        BlockError::ReadOnly => (ST1_NOT_WRITABLE, 0),
        BlockError::OutOfRange => (ST1_NO_DATA, 0),
        BlockError::NoMedium => (ST1_MISSING_MARK, 0),
    }
}
