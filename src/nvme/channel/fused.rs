//! Compare and write as one: two commands, next to each other in the queue (Base 2.0 §3.4.2, Fused Operations).

use super::super::queue::{Answered, Request, ok};
use super::super::spec::{Command, IoOpcode, StatusCode};
use super::super::{Error, Payload, Queue};
use super::{Channel, IoOptions};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

impl<Q: Queue> Channel<Q> {
    /// Writes `new` to the blocks from `lba` on if they are `expected`, and nothing else is written in between.
    ///
    /// # Errors
    /// [`Error::Status`] with [`COMPARE_FAILURE`](StatusCode::COMPARE_FAILURE) if they are not: nothing is written.
    /// [`Error::TooLarge`], as this is never split. [`Error::Unsupported`] if controller or queue have no fused commands. Otherwise as
    /// [`write_with`](Channel::write_with).
    pub async fn compare_and_write(
        &self,
        lba: u64,
        expected: impl Into<Payload>,
        new: impl Into<Payload>,
        options: IoOptions,
    ) -> Result<(), Error> {
        if !self.namespace.has_compare_and_write() {
            return Err(Error::Unsupported("it has no fused Compare and Write (FUSES)"));
        }
        if !self.limits.has_fused {
            return Err(Error::Unsupported("this way to the controller takes no fused commands"));
        }
        let (expected, new) = (expected.into(), new.into());
        let shape = self.shape(&options);
        let blocks = self.check_payload(IoOpcode::COMPARE, &expected, &shape, &options)?;
        if self.check_payload(IoOpcode::WRITE, &new, &shape, &options)? != blocks {
            return Err(Error::WrongLength { len: new.len(), block_size: shape.stride as u32 });
        }
        self.check(lba, blocks)?;
        let mut most = blocks.min(self.namespace.limits().compare_and_write_blocks);
        for payload in [&expected, &new] {
            most = most.min(shape.first(lba, blocks, payload.buffers())?);
        }
        if most < blocks {
            return Err(Error::TooLarge { len: blocks * shape.stride, max: most * shape.stride });
        }
        let (id, format) = (self.namespace.id(), self.namespace.format());
        let command = |opcode, is_second| {
            let command = Command::of_blocks(opcode, id, lba, blocks as u32).fused(is_second);
            options.apply(command, 0, &format)
        };
        let compare = self.queue.send(Request::new(|| command(IoOpcode::COMPARE, false), expected));
        let write = self.queue.send(Request::new(|| command(IoOpcode::WRITE, true), new));
        let (mut compare, mut write) = (pin!(compare), pin!(write));
        let (mut compared, mut written) = (None, None);
        // Both are queued by the first poll, with nothing in between.
        poll_fn(|cx| {
            if compared.is_none() {
                if let Poll::Ready((answer, _)) = compare.as_mut().poll(cx) {
                    compared = Some(answer);
                }
            }
            if written.is_none() {
                if let Poll::Ready((answer, _)) = write.as_mut().poll(cx) {
                    written = Some(answer);
                }
            }
            if compared.is_some() && written.is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        both(compared, written)
    }
}

/// Of two errors that which is the reason: the other command is aborted because of it.
fn both(compared: Option<Answered>, written: Option<Answered>) -> Result<(), Error> {
    let [compared, written] =
        [compared, written].map(|answered| ok(answered.expect("both are answered")).map(drop));
    let is_follower = |error: &Error| {
        let aborted = [StatusCode::ABORTED_FAILED_FUSED, StatusCode::ABORTED_MISSING_FUSED];
        matches!(error, Error::Status(status) if aborted.contains(&status.code()))
    };
    match (compared, written) {
        (Err(error), Err(reason)) if is_follower(&error) => Err(reason),
        (compared, written) => compared.and(written),
    }
}
