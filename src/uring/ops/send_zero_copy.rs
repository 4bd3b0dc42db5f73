//! Sending one owned buffer without copying it (`IORING_OP_SEND_ZC`, Linux 6.0).
//!
//! The kernel answers twice: with the result, when the bytes are on their way, and with a notification, when nobody looks at them any
//! more, which over a network is when the peer has acknowledged them. Until then the buffer is the operation's, and lies in a [`Loan`].
//!
//! ```text
//!  New ──▶ Sending ── result ──▶ Ready: result, Lent ── notification ──▶ Ready: the buffer
//!   │         │ └── result, and no notification will come ──▶ Ready: result, Lent that has the buffer
//!   │         └── not this socket, no memory to pin: ▶ Refused ── notification ──┐
//!   └── the kernel or the ring knows no such sends ─────────────────────────────────┴──▶ Copying, by `send`
//! ```
//!
//! On one machine this saves nothing (`benches/net.rs`, medians of seven passes in turn, processor time per MiB against copying sends):
//! over the loopback, where the receiving half of the stack copies instead, 2.1 times as much for buffers of 4 KiB, 1.2 of 64 KiB, 2.1 of
//! 1 MiB; to another network namespace (veth) ten times, 1.5 and 0.9, the last with as much again between passes. So nothing here sends
//! like this by itself.
//!
//! Dropped at any arrow, the operation keeps the buffer. The socket it lets go of with the result: what is left of the matter is the
//! network's, and a peer that acknowledges nothing must not keep a descriptor open.

#![expect(unsafe_code, reason = "vouches for entries that point into owned buffers")]

use super::SendOp;
use super::rw::LEN_MAX;
use crate::inflight::{Id, Next, Parcel, Payload};
use crate::uring::completion::Completion;
use crate::uring::stream::Unclaimed;
use crate::uring::{Fd, Features, IoBuf, Ring};
use io_uring::opcode;
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

/// What the slot of a send keeps; of no type of buffer, so that it can be used again.
#[derive(Default)]
struct Loan {
    /// Until the result.
    fd: Cell<Option<Fd>>,
    /// Until the notification, or until the result if there will be none.
    buf: Cell<Option<Parcel<Completion>>>,
    is_sent: Cell<bool>,
}

/// The buffer in a [`Loan`].
struct Kept<B>(B);

impl<B: 'static> Payload<Completion> for Kept<B> {}

/// Spare loans kept per thread. More are made only while as many buffers are lent.
const SPARE_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Rc<Loan>>> = const { RefCell::new(Vec::new()) };
}

impl Loan {
    fn make<B: IoBuf>(fd: Fd, buf: B) -> Rc<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let loan = spare.unwrap_or_default();
        loan.fd.set(Some(fd));
        loan.buf.set(Some(Parcel::new(Kept(buf))));
        loan.is_sent.set(false);
        loan
    }

    /// The result has come.
    fn sent(&self) {
        self.is_sent.set(true);
        drop(self.fd.take());
    }

    /// The last answer has come: gives the buffer back, and keeps itself for another.
    fn end<B: 'static>(self: Rc<Self>) -> B {
        self.sent();
        let Kept(buf) = self.buf.take().expect("lent until now").take();
        // While the thread ends there is nothing to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
        buf
    }
}

impl Unclaimed for Loan {
    fn abandon(&self, completion: Completion) {
        self.sent();
        if !completion.has_more() {
            drop(self.buf.take());
        }
    }

    fn is_lent(&self) -> bool {
        self.is_sent.get()
    }
}

/// The next answer to the send; if there is none, the waker will be woken by it.
fn next_answer(ring: &Ring, id: Id, waker: &Waker) -> Poll<Completion> {
    loop {
        let next = ring.queues().next(id, waker);
        match next {
            Next::Answer(answer) | Next::Last { answer, .. } => return Poll::Ready(answer),
            Next::Pending => return Poll::Pending,
            Next::Stale => {
                // Cloning and dropping a waker may run anything, so both are done with nothing borrowed.
                let fresh = waker.clone();
                let renewed = ring.queues().renew(id, fresh);
                if renewed.is_ok() {
                    return Poll::Pending;
                }
            }
        }
    }
}

/// The future of [`Ring::send_zero_copy`].
#[must_use = "operations start when first polled"]
pub struct SendZeroCopy<B: IoBuf> {
    ring: Rc<Ring>,
    fd: Fd,
    flags: SendFlags,
    state: State<B>,
}

enum State<B: IoBuf> {
    New(B),
    Sending(Id, Rc<Loan>),
    Refused(Id, Rc<Loan>),
    Copying(SendOp<B>),
    Done,
}

impl<B: IoBuf> SendZeroCopy<B> {
    fn start(&self, buf: B, waker: &Waker) -> State<B> {
        if self.ring.has_ended() || !self.ring.has(Features::SEND_ZERO_COPY) {
            return self.copy(buf);
        }
        let (from, len) = (buf.as_ptr(), buf.len().min(LEN_MAX) as u32);
        let (fd, fixed) = self.fd.target(&self.ring);
        let flags = (self.flags | SendFlags::NOSIGNAL).bits() as i32;
        let entry = opcode::SendZc::new(fd, from, len)
            .buf_index(self.ring.buffer_entry(buf.chunk()))
            .flags(flags)
            .build()
            .flags(fixed);
        let loan = Loan::make(self.fd.clone(), buf);
        // Cloning a waker may run anything, so it comes before the borrow.
        let waker = waker.clone();
        // SAFETY: the entry points to the buffer's bytes, which `IoBuf` keeps in place and unchanged, and which the loan has until the
        // last answer; the kernel only reads them.
        let id = unsafe { self.ring.queues().start_stream(entry, loan.clone(), waker) };
        State::Sending(id, loan)
    }

    fn copy(&self, buf: B) -> State<B> {
        State::Copying(self.ring.send(&self.fd, buf, self.flags))
    }
}

/// Nothing is pinned: what the kernel points to is in the slot or behind it.
impl<B: IoBuf> Unpin for SendZeroCopy<B> {}

impl<B: IoBuf> Future for SendZeroCopy<B> {
    type Output = (io::Result<usize>, Lent<B>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::New(_) => {
                    let State::New(buf) = mem::replace(&mut this.state, State::Done) else { unreachable!() };
                    this.state = this.start(buf, cx.waker());
                }
                State::Sending(id, _) => {
                    let answer = ready!(next_answer(&this.ring, *id, cx.waker()));
                    let State::Sending(id, loan) = mem::replace(&mut this.state, State::Done) else {
                        unreachable!()
                    };
                    loan.sent();
                    // The end of the ring has taken the result away.
                    let result = match answer.is_notification() {
                        true => Err(Errno::CANCELED.into()),
                        false => answer.into_result(),
                    };
                    let is_refused = answer.is(Errno::OPNOTSUPP) || answer.is(Errno::NOBUFS);
                    match answer.has_more() {
                        true if is_refused => this.state = State::Refused(id, loan),
                        true => {
                            let lent = Lent(Where::There(this.ring.clone(), id, loan));
                            return Poll::Ready((result, lent));
                        }
                        false if is_refused => this.state = this.copy(loan.end()),
                        false => return Poll::Ready((result, Lent::back(loan.end()))),
                    }
                }
                State::Refused(id, _) => {
                    let answer = ready!(next_answer(&this.ring, *id, cx.waker()));
                    assert!(!answer.has_more(), "{answer:?} after the result of a send");
                    let State::Refused(_, loan) = mem::replace(&mut this.state, State::Done) else {
                        unreachable!()
                    };
                    this.state = this.copy(loan.end());
                }
                State::Copying(send) => {
                    let (result, buf) = ready!(Pin::new(send).poll(cx));
                    this.state = State::Done;
                    return Poll::Ready((result, Lent::back(buf)));
                }
                State::Done => panic!("an operation was polled after it had finished"),
            }
        }
    }
}

impl<B: IoBuf> Drop for SendZeroCopy<B> {
    fn drop(&mut self) {
        match &self.state {
            State::Sending(id, loan) => {
                let (line, _waker) = self.ring.queues().give_up_stream(*id);
                self.ring.abandon(&**loan, line);
            }
            State::Refused(id, loan) => leave(&self.ring, *id, loan),
            State::New(_) | State::Copying(_) | State::Done => {}
        }
    }
}

/// Leaves the buffer to the operation until the notification.
fn leave(ring: &Ring, id: Id, loan: &Rc<Loan>) {
    let (line, _waker) = ring.queues().leave_stream(id);
    ring.abandon(&**loan, line);
}

impl<B: IoBuf> fmt::Debug for SendZeroCopy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendZeroCopy").finish_non_exhaustive()
    }
}

/// A buffer that was sent and that the network may still look at. Awaited, it comes back when that is over: at once if it was copied
/// after all, otherwise when the peer has acknowledged it.
///
/// Dropped, the buffer is released then. A forgotten one is lost, never more.
#[must_use = "the buffer comes back when this is awaited"]
pub struct Lent<B: IoBuf>(Where<B>);

enum Where<B> {
    Here(Option<B>),
    There(Rc<Ring>, Id, Rc<Loan>),
}

impl<B: IoBuf> Lent<B> {
    fn back(buf: B) -> Self {
        Self(Where::Here(Some(buf)))
    }
}

/// Nothing is pinned: the buffer is in the slot.
impl<B: IoBuf> Unpin for Lent<B> {}

impl<B: IoBuf> Future for Lent<B> {
    type Output = B;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B> {
        if let Where::There(ring, id, _) = &self.0 {
            let answer = ready!(next_answer(ring, *id, cx.waker()));
            assert!(!answer.has_more(), "{answer:?} after the result of a send");
        }
        Poll::Ready(match mem::replace(&mut self.0, Where::Here(None)) {
            Where::Here(buf) => buf.expect("polled again after the buffer had come back"),
            Where::There(_, _, loan) => loan.end(),
        })
    }
}

impl<B: IoBuf> Drop for Lent<B> {
    fn drop(&mut self) {
        if let Where::There(ring, id, loan) = &self.0 {
            leave(ring, *id, loan);
        }
    }
}

impl<B: IoBuf> fmt::Debug for Lent<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").finish_non_exhaustive()
    }
}

impl Ring {
    /// As [`send`](Self::send), but the network takes the bytes from where they are. Yields how many went as soon as they are on their
    /// way, so that the next send can follow, and the buffer as a future of its own: until the peer has acknowledged them the bytes
    /// must stay as they are.
    ///
    /// Spares the copy where the network card reads memory by itself. To a receiver on the same machine (loopback, veth) the kernel
    /// copies all the same, later; and each send pins pages and is answered twice. So this is for large buffers over real networks, and
    /// for who has measured. Buffers of the core's [`DmaPool`](crate::sys::dma::DmaPool) cost least, as they are pinned already.
    ///
    /// Before Linux 6.0, on sockets that cannot (Unix), and where `ulimit -l` lets no more memory be pinned, sends as
    /// [`send`](Self::send) does.
    ///
    /// Dropping either future keeps the buffer until the kernel has done with it. If that takes longer than the end of the ring waits
    /// (half a second, for peers that acknowledge nothing), its memory is lost rather than reused.
    ///
    /// # Errors
    /// Those of `send(2)`, with their OS code and the buffer.
    pub fn send_zero_copy<B: IoBuf>(self: &Rc<Self>, fd: &Fd, buf: B, flags: SendFlags) -> SendZeroCopy<B> {
        SendZeroCopy { ring: self.clone(), fd: fd.clone(), flags, state: State::New(buf) }
    }
}
