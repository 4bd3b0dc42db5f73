//! I/Os larger than a module takes, or across its boundary: several that are in flight together.
//!
//! `channel` comes here when [`Geometry::takes_whole`](super::Geometry) says no. The pieces share the caller's buffer:
//! split, not copied.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::channel::Inner;
use super::io::Buffer;
use super::submitting::Own;
use super::{Op, Result};
use crate::sys::dma::DmaBuf;

/// Pieces of one I/O in flight at a time, SPDK's number. Enough to keep a device busy, few enough to poll through.
const WINDOW: usize = 32;

/// One piece of a window.
pub(super) enum Piece<'c> {
    Running(Own<'c>),
    Over(Result<()>, Buffer),
}

/// Vectors of earlier windows, for their capacity.
pub(super) type Spare = RefCell<Vec<Vec<Piece<'static>>>>;

/// Carries out an I/O piece by piece, a window at a time. After an error no further window starts.
///
/// The buffer of a read comes back whole unless a device kept a part of it.
pub(super) async fn run(inner: &Inner, op: Op, mut lba: u64, blocks: u64, mut buffer: Buffer) -> (Result<()>, Buffer) {
    let end = lba + blocks;
    let mut window = Window { inner, pieces: reuse(inner.spare_windows.borrow_mut().pop().unwrap_or_default()) };
    let mut outcome = Ok(());
    let mut filled = Buffer::None;
    while lba < end && outcome.is_ok() {
        while lba < end && window.pieces.len() < WINDOW {
            let piece = inner.geometry.first_piece(lba, end - lba);
            let part = front(&mut buffer, inner.bytes(piece));
            window.pieces.push(Piece::Running(Own::new(inner, op, lba, piece, part)));
            lba += piece;
        }
        poll_fn(|cx| {
            let mut waiting = false;
            for piece in &mut window.pieces {
                if let Piece::Running(own) = piece {
                    match Pin::new(own).poll(cx) {
                        Poll::Ready((result, buffer)) => *piece = Piece::Over(result, buffer),
                        Poll::Pending => waiting = true,
                    }
                }
            }
            if waiting { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        for piece in window.pieces.drain(..) {
            let Piece::Over(result, part) = piece else { unreachable!("the window was polled until it was over") };
            outcome = outcome.and(result);
            filled = join(filled, part);
        }
    }
    (outcome, join(filled, buffer))
}

/// The pieces in flight; keeps its vector for the next split when it goes.
struct Window<'c> {
    inner: &'c Inner,
    pieces: Vec<Piece<'c>>,
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        let pieces = reuse(std::mem::take(&mut self.pieces));
        self.inner.spare_windows.borrow_mut().push(pieces);
    }
}

/// An empty vector with the same memory for pieces of another lifetime: collecting in place keeps the allocation.
fn reuse<'b>(mut pieces: Vec<Piece<'_>>) -> Vec<Piece<'b>> {
    pieces.clear();
    pieces.into_iter().map(|_| unreachable!("the vector was cleared")).collect()
}

/// Takes the first `bytes` of what an I/O carries.
fn front(buffer: &mut Buffer, bytes: usize) -> Buffer {
    match buffer {
        Buffer::None => Buffer::None,
        Buffer::Read(buf) => Buffer::Read(buf.split_to(bytes)),
        Buffer::Write(data) => {
            let part = data.slice(..bytes);
            *data = data.slice(bytes..);
            Buffer::Write(part)
        }
    }
}

/// Puts `part` behind what was filled so far. Parts that do not join belong to a read whose buffer a device kept in
/// part: they are dropped, and so is the rest when it comes.
fn join(filled: Buffer, part: Buffer) -> Buffer {
    match (filled, part) {
        (Buffer::None, Buffer::Read(part)) => Buffer::Read(part),
        (Buffer::Read(filled), Buffer::Read(part)) => DmaBuf::unsplit(filled, part).map_or(Buffer::None, Buffer::Read),
        (filled, _) => filled,
    }
}
