//! Sending one owned buffer.

#![expect(unsafe_code, reason = "vouches for entries that point into owned buffers")]

use super::rw::{LEN_MAX, Transfer};
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{BufResult, Fd, IoBuf, Ring};
use io_uring::{opcode, squeue::Entry};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

struct Sending<B> {
    held: Transfer<B>,
    flags: SendFlags,
}

// SAFETY: the entry points to the buffer's bytes, which `IoBuf` keeps in place and unchanged; the kernel only reads them.
unsafe impl<B: IoBuf> Operation for Sending<B> {
    type Held = Transfer<B>;
    type Output = BufResult<B>;
    const IS_PATIENT: bool = true;

    #[inline]
    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Transfer<B>) {
        let Self { held, flags } = self;
        let (len, from) = (held.buf.len().min(LEN_MAX) as u32, held.buf.as_ptr());
        let (fd, fixed) = held.fd.target(ring);
        let flags = flags | SendFlags::NOSIGNAL;
        (Ok(opcode::Send::new(fd, from, len).flags(flags.bits() as i32).build().flags(fixed)), held)
    }

    #[inline]
    fn finish(held: Transfer<B>, completion: Completion) -> BufResult<B> {
        held.finish(completion)
    }
}

/// The future of [`Ring::send`].
#[must_use = "operations start when first polled"]
pub struct SendOp<B: IoBuf>(Op<Sending<B>>);

impl<B: IoBuf> Future for SendOp<B> {
    type Output = BufResult<B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<B>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<B: IoBuf> fmt::Debug for SendOp<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendOp").finish_non_exhaustive()
    }
}

impl Ring {
    /// Sends `buf` and yields how many bytes went: possibly fewer than all, never more than 2 GiB − 4 KiB at once. No signal is
    /// raised when the peer is gone.
    ///
    /// Dropping the future keeps the buffer until the kernel has answered; whether anything was sent is then unknown.
    ///
    /// # Errors
    /// Those of `send(2)`, with their OS code and the buffer.
    #[inline]
    pub fn send<B: IoBuf>(self: &Rc<Self>, fd: &Fd, buf: B, flags: SendFlags) -> SendOp<B> {
        SendOp(Op::new(self, Sending { held: Transfer { buf, fd: fd.clone() }, flags }))
    }
}
