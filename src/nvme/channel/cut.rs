//! Cutting a request into what one command takes, and putting its buffers together again.

use super::super::Error;
use super::super::payload::Payload;
use super::super::prp::PAGE;
use super::super::queue::Limits;
use crate::sys::dma::DmaAny;
use std::collections::VecDeque;

/// What decides about the length of commands with data.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Bytes of each block in the data's buffers.
    pub(super) stride: u64,
    /// Bytes of each block in the metadata's.
    pub(super) apart: u64,
    /// Blocks of one command.
    pub(super) blocks_max: u64,
    /// No command crosses multiples of these blocks; 0 for none.
    pub(super) boundaries: [u64; 2],
    /// What a command of the queue takes.
    pub(super) queue: Limits,
}

impl Shape {
    /// How many of `blocks` from `lba` on one command takes, whose data is in these buffers.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn first<'b>(
        &self,
        lba: u64,
        blocks: u64,
        buffers: impl Iterator<Item = &'b DmaAny>,
    ) -> Result<u64, Error> {
        let mut most = blocks.min(self.blocks_max);
        for boundary in self.boundaries.into_iter().filter(|&boundary| boundary > 0) {
            most = most.min(boundary - lba % boundary);
        }
        let wanted = most * self.stride;
        let (mut bytes, mut end) = (0, 0);
        for (n, buffer) in buffers.enumerate() {
            let (at, len) = buffer.place();
            let joins = self.queue.has_sgls || (end | at) as u64 % PAGE == 0;
            if n == self.queue.segments || n > 0 && !joins {
                break;
            }
            bytes += len as u64;
            end = at + len;
            if bytes >= wanted {
                return Ok(most);
            }
        }
        match bytes / self.stride {
            0 => Err(Error::Scattered),
            whole => Ok(whole),
        }
    }
}

/// The part of a request that no command has yet.
pub(super) struct Rest {
    pub(super) lba: u64,
    pub(super) blocks: u64,
    pub(super) done: u64,
    data: VecDeque<DmaAny>,
    metadata: Option<DmaAny>,
    /// A command has a part of the first of `data`.
    is_begun: bool,
}

/// What commands gave back, put together.
#[derive(Default)]
pub(super) struct Filled {
    data: Vec<DmaAny>,
    metadata: Option<DmaAny>,
}

/// One command's share.
pub(super) struct Share {
    pub(super) lba: u64,
    pub(super) blocks: u64,
    /// Blocks before it.
    pub(super) before: u64,
    pub(super) payload: Payload,
    /// Its first buffer goes on where that of the share before ends.
    pub(super) goes_on: bool,
}

impl Rest {
    pub(super) fn new(lba: u64, blocks: u64, payload: Payload) -> Self {
        let (data, metadata) = payload.into_parts();
        Self { lba, blocks, done: 0, data: data.into(), metadata, is_begun: false }
    }

    /// The next command's share; none if there is nothing left.
    pub(super) fn next(&mut self, shape: &Shape) -> Option<Result<Share, Error>> {
        if self.blocks == 0 {
            return None;
        }
        let blocks = match shape.first(self.lba, self.blocks, self.data.iter()) {
            Ok(blocks) => blocks,
            Err(error) => return Some(Err(error)),
        };
        let goes_on = self.is_begun;
        let mut left = (blocks * shape.stride) as usize;
        let mut data = Vec::new();
        while left > 0 {
            let front = self.data.front_mut().expect("the data is as long as the blocks");
            self.is_begun = front.len() > left;
            let part = if self.is_begun {
                front.split_to(left)
            } else {
                self.data.pop_front().expect("it is there")
            };
            left -= part.len();
            data.push(part);
        }
        let bytes = (blocks * shape.apart) as usize;
        let metadata = self.metadata.as_mut().map(|metadata| metadata.split_to(bytes));
        let share = Share {
            lba: self.lba,
            blocks,
            before: self.done,
            payload: Payload::from_parts(data, metadata),
            goes_on,
        };
        self.lba += blocks;
        self.blocks -= blocks;
        self.done += blocks;
        Some(Ok(share))
    }
}

impl Filled {
    /// Takes back a share's buffers.
    pub(super) fn add(&mut self, payload: Payload, goes_on: bool) {
        let (data, metadata) = payload.into_parts();
        self.join(data, metadata, goes_on);
    }

    /// All of it, with what no command had.
    pub(super) fn finish(mut self, rest: Rest) -> Payload {
        self.join(rest.data, rest.metadata, rest.is_begun);
        Payload::from_parts(self.data, self.metadata)
    }

    fn join(&mut self, data: impl IntoIterator<Item = DmaAny>, metadata: Option<DmaAny>, goes_on: bool) {
        for (n, buffer) in data.into_iter().enumerate() {
            match self.data.last_mut() {
                Some(last) if n == 0 && goes_on => last.unsplit(buffer),
                _ => self.data.push(buffer),
            }
        }
        match (&mut self.metadata, metadata) {
            (Some(all), Some(part)) => all.unsplit(part),
            (all, part) => *all = all.take().or(part),
        }
    }
}
