//! A drive in memory, that completes what the test lets it.

use super::guest::Guest;
use lockstep_fabric::{BlockCompletion, BlockError, BlockOperation, BlockRequest, Input};

pub(super) struct Drive {
    pub(super) bytes: Vec<u8>,
    pub(super) flushes: u32,
}

impl Drive {
    pub(super) fn new(len: usize) -> Self {
        Self { bytes: (0..len).map(|i| (i / 512) as u8 ^ i as u8).collect(), flushes: 0 }
    }

    fn perform(&mut self, operation: &BlockOperation) -> Result<Vec<u8>, BlockError> {
        let range = |offset: u64, len: u64| offset as usize..(offset + len) as usize;
        match operation {
            BlockOperation::Read { offset, len } => {
                self.bytes.get(range(*offset, *len)).map(<[u8]>::to_vec).ok_or(BlockError::OutOfRange)
            }
            BlockOperation::Write { offset, data } => {
                let place = self.bytes.get_mut(range(*offset, data.len() as u64)).ok_or(BlockError::OutOfRange)?;
                place.copy_from_slice(data);
                Ok(Vec::new())
            }
            BlockOperation::WriteZeroes { offset, len, .. } | BlockOperation::Discard { offset, len } => {
                self.bytes.get_mut(range(*offset, *len)).ok_or(BlockError::OutOfRange)?.fill(0);
                Ok(Vec::new())
            }
            BlockOperation::Flush => {
                self.flushes += 1;
                Ok(Vec::new())
            }
        }
    }

    pub(super) fn complete(&mut self, guest: &mut Guest, request: &BlockRequest) {
        let result = self.perform(&request.operation);
        finish(guest, request, result);
    }

    /// Completes all that is in flight, and what follows from that.
    pub(super) fn complete_all(&mut self, guest: &mut Guest) {
        while !guest.requests.is_empty() {
            let request = guest.requests.remove(0);
            self.complete(guest, &request);
        }
    }
}

pub(super) fn finish(guest: &mut Guest, request: &BlockRequest, result: Result<Vec<u8>, BlockError>) {
    guest.input(&Input::Block(BlockCompletion { drive: request.drive, tag: request.tag, result }));
}
