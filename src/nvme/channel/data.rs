//! Reads, writes and compares with all that they may have: several buffers, metadata, flags and tags, any length.

use super::super::namespace::BLOCKS_MAX;
use super::super::queue::{Request, ok};
use super::super::spec::{Command, IoOpcode, Transfer};
use super::super::{Error, Payload, Queue};
use super::cut::{Filled, Rest, Shape};
use super::run::{WINDOW, run};
use super::{Channel, IoOptions};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

impl<Q: Queue> Channel<Q> {
    /// Fills what `payload` has, one buffer or several and metadata, with the blocks from `lba` on.
    ///
    /// Several buffers may have any lengths of at least 4 bytes if the controller takes SGLs. If not, buffers that do not meet on whole
    /// pages meet on whole blocks.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Metadata`] if there is not as much of it as the format has, and the `options` leave; [`Error::Scattered`];
    /// [`Error::Frozen`]; [`Error::Unsupported`] if the `options` need what the format has not.
    pub async fn read_with(
        &self,
        lba: u64,
        payload: Payload,
        options: IoOptions,
    ) -> (Result<(), Error>, Payload) {
        self.transfer(IoOpcode::READ, lba, payload, options).await
    }

    /// Writes what `payload` has to the blocks from `lba` on.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    pub async fn write_with(
        &self,
        lba: u64,
        payload: Payload,
        options: IoOptions,
    ) -> (Result<(), Error>, Payload) {
        self.transfer(IoOpcode::WRITE, lba, payload, options).await
    }

    /// Fills several buffers, one after the other, with the blocks from `lba` on.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    pub async fn read_vectored(&self, lba: u64, bufs: Vec<DmaBuf>) -> (Result<(), Error>, Vec<DmaBuf>) {
        let (result, payload) = self.transfer(IoOpcode::READ, lba, bufs.into(), IoOptions::new()).await;
        (result, payload.into_bufs())
    }

    /// Writes several buffers, one after the other, to the blocks from `lba` on.
    ///
    /// # Errors
    /// As [`read_with`](Self::read_with).
    pub async fn write_vectored(&self, lba: u64, bytes: Vec<DmaBytes>) -> Result<(), Error> {
        self.transfer(IoOpcode::WRITE, lba, bytes.into(), IoOptions::new()).await.0
    }

    /// Compares the blocks from `lba` on with what `payload` has, which is not written.
    ///
    /// # Errors
    /// [`Error::Status`] with [`COMPARE_FAILURE`](super::super::spec::StatusCode::COMPARE_FAILURE) if they differ; otherwise as
    /// [`read_with`](Self::read_with).
    pub async fn compare(
        &self,
        lba: u64,
        payload: impl Into<Payload>,
        options: IoOptions,
    ) -> Result<(), Error> {
        if !self.namespace.commands().compare() {
            return Err(Error::Unsupported("it has no Compare (ONCS)"));
        }
        self.transfer(IoOpcode::COMPARE, lba, payload.into(), options).await.0
    }

    pub(super) async fn read_long(&self, lba: u64, buf: DmaBuf) -> (Result<(), Error>, DmaBuf) {
        let (result, payload) = self.transfer(IoOpcode::READ, lba, buf.into(), IoOptions::new()).await;
        (result, payload.into_buf().expect("the buffer comes back"))
    }

    /// What a read or a write comes to, in as many commands as it takes.
    pub(super) async fn transfer(
        &self,
        opcode: IoOpcode,
        lba: u64,
        payload: Payload,
        options: IoOptions,
    ) -> (Result<(), Error>, Payload) {
        let shape = self.shape(&options);
        let blocks = match self.check_payload(opcode, &payload, &shape, &options) {
            Ok(blocks) => blocks,
            Err(error) => return (Err(error), payload),
        };
        if let Err(error) = self.check(lba, blocks) {
            return (Err(error), payload);
        }
        let (id, format) = (self.namespace.id(), self.namespace.format());
        let command = |lba, blocks: u64, before| {
            options.apply(Command::of_blocks(opcode, id, lba, blocks as u32), before, &format)
        };
        match shape.first(lba, blocks, payload.buffers()) {
            Err(error) => return (Err(error), payload),
            Ok(all) if all == blocks => {
                let (answer, payload) =
                    self.queue.send(Request::new(|| command(lba, blocks, 0), payload)).await;
                return (ok(answer).map(drop), payload);
            }
            Ok(_) => {}
        }
        let mut rest = Rest::new(lba, blocks, payload);
        let mut filled = Filled::default();
        let window = if opcode == IoOpcode::WRITE { self.window(WINDOW) } else { WINDOW };
        let commands =
            std::iter::from_fn(|| {
                // Since the command before it may have been formatted.
                if self.namespace.is_gone() && rest.blocks > 0 {
                    return Some(Err(Error::NamespaceGone));
                }
                let share = rest.next(&shape)?;
                Some(share.map(|share| {
                    (command(share.lba, share.blocks, share.before), share.payload, share.goes_on)
                }))
            });
        let back = |payload, goes_on| filled.add(payload, goes_on);
        let result = run(&self.queue, window, commands, back).await;
        (result, filled.finish(rest))
    }

    /// Bytes and limits, as these options leave them.
    pub(super) fn shape(&self, options: &IoOptions) -> Shape {
        let (format, limits) = (self.namespace.format(), self.namespace.limits());
        let brought = if options.is_all_controllers(&format) { 0 } else { format.metadata_size };
        let (inside, apart) = if format.is_extended { (brought, 0) } else { (0, brought) };
        let stride = u64::from(format.block_size + inside);
        // A queue that can point to less than a block has all of it refused.
        let blocks_max = (self.transfer_max() / stride).min(BLOCKS_MAX);
        let zones = self.namespace.zones().map_or(0, |zones| zones.blocks);
        Shape {
            stride,
            apart: apart.into(),
            blocks_max,
            boundaries: [limits.boundary_blocks, zones],
            queue: self.limits,
        }
    }

    /// How many blocks the payload is.
    ///
    /// # Errors
    /// If it is none that the command can have.
    pub(super) fn check_payload(
        &self,
        opcode: IoOpcode,
        payload: &Payload,
        shape: &Shape,
        options: &IoOptions,
    ) -> Result<u64, Error> {
        options.check(&self.namespace.format())?;
        if Transfer::of(opcode.0) == Transfer::FromController && !payload.is_writable() {
            return Err(Error::Frozen);
        }
        let len = payload.len();
        let block_size = shape.stride as u32;
        if len == 0 || len as u64 % shape.stride != 0 || payload.buffers().any(|buffer| buffer.len() == 0) {
            return Err(Error::WrongLength { len, block_size });
        }
        let is_odd = |buffer: &DmaAny| (buffer.place().0 | buffer.len()) % 4 != 0;
        if payload.buffers().chain(payload.metadata()).any(is_odd) {
            return Err(Error::Misaligned);
        }
        if shape.blocks_max == 0 {
            return Err(Error::TooLarge { len: shape.stride, max: self.transfer_max() });
        }
        let blocks = len as u64 / shape.stride;
        let (metadata, needed) = (payload.metadata_len() as u64, blocks * shape.apart);
        if metadata != needed {
            return Err(Error::Metadata { len: metadata, needed });
        }
        Ok(blocks)
    }
}
