//! Receiving into one owned buffer.
//!
//! The kernel looks before it waits. The hint not to (`IORING_RECVSEND_POLL_FIRST`) would save the 0.2 µs of a look in vain, and cost
//! 0.5 µs for each message that is there already (`cargo bench --bench uring -- pays_hint`). Receives into a
//! pool by a stream cost about as much (`recv_`, there): they are for connections that are to hold no buffer while idle.

#![expect(unsafe_code, reason = "vouches for entries that point into owned buffers")]

use super::rw::{LEN_MAX, Transfer};
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{BufResult, Fd, IoBufMut, Ring};
use io_uring::{opcode, squeue::Entry};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

struct Receive<B> {
    held: Transfer<B>,
    flags: RecvFlags,
}

// SAFETY: the entry points to the buffer's bytes, which `IoBufMut` keeps in place, and ours alone while `Held` has it.
unsafe impl<B: IoBufMut> Operation for Receive<B> {
    type Held = Transfer<B>;
    type Output = BufResult<B>;
    const IS_PATIENT: bool = true;

    #[inline]
    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Transfer<B>) {
        let Self { mut held, flags } = self;
        let (len, to) = (held.buf.len().min(LEN_MAX) as u32, held.buf.as_mut_ptr());
        let (fd, fixed) = held.fd.target(ring);
        let entry = opcode::Recv::new(fd, to, len).flags(flags.bits() as i32).build();
        (Ok(entry.flags(fixed)), held)
    }

    #[inline]
    fn finish(held: Transfer<B>, completion: Completion) -> BufResult<B> {
        held.finish(completion)
    }
}

/// The future of [`Ring::recv`].
#[must_use = "operations start when first polled"]
pub struct RecvOp<B: IoBufMut>(Op<Receive<B>>);

impl<B: IoBufMut> Future for RecvOp<B> {
    type Output = BufResult<B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<B>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<B: IoBufMut> fmt::Debug for RecvOp<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvOp").finish_non_exhaustive()
    }
}

impl Ring {
    /// Receives into `buf`, at most its whole length, and yields how many bytes came: none at the end of a stream, and none for
    /// an empty buffer. Never more than 2 GiB − 4 KiB at once.
    ///
    /// Dropping the future keeps the buffer until the kernel has answered; bytes received meanwhile are lost.
    ///
    /// # Errors
    /// Those of `recv(2)`, with their OS code and the buffer.
    #[inline]
    pub fn recv<B: IoBufMut>(self: &Rc<Self>, fd: &Fd, buf: B, flags: RecvFlags) -> RecvOp<B> {
        RecvOp(Op::new(self, Receive { held: Transfer { buf, fd: fd.clone() }, flags }))
    }
}
