//! Messages: several buffers at once, addresses of datagrams, descriptors that travel over Unix sockets.

#![expect(
    unsafe_code,
    reason = "vouches for entries that point to headers and owned buffers; owns what came with a message"
)]

use super::control;
use super::envelope::Envelope;
use super::vectored::BUFFERS_MAX;
use crate::inflight::Payload;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{Fd, IoBuf, IoBufMut, Ring};
use io_uring::{opcode, squeue::Entry};
use rustix::io::Errno;
use rustix::io_uring::{MsgHdr, iovec};
use rustix::net::{RecvFlags, ReturnFlags, SendFlags};
use socket2::SockAddr;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Buffers that one message fills or consists of, one after the other: an array or a vector of them.
pub trait Bufs<B>: sealed::Slots<B> + 'static {}

impl<B: 'static, const N: usize> Bufs<B> for [B; N] {}
impl<B: 'static> Bufs<B> for Vec<B> {}

mod sealed {
    /// Owns its elements, and shows the same ones each time.
    pub trait Slots<B> {
        fn slots(&mut self) -> &mut [B];
    }

    impl<B, const N: usize> Slots<B> for [B; N] {
        fn slots(&mut self) -> &mut [B] {
            self
        }
    }

    impl<B> Slots<B> for Vec<B> {
        fn slots(&mut self) -> &mut [B] {
            self
        }
    }
}

/// What goes with a message's bytes.
#[derive(Debug, Default)]
pub struct Enclosed {
    /// Where it goes, on a socket without a connection.
    pub to: Option<SockAddr>,
    /// Descriptors, over a Unix socket: the receiver gets copies. They are closed here when the message is sent.
    pub fds: Vec<OwnedFd>,
}

/// What came as a message, besides the bytes.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received {
    /// How many bytes went into the buffers.
    pub len: usize,
    /// Who sent it; `None` on streams, and for Unix sockets without a name.
    pub from: Option<SockAddr>,
    /// The descriptors that came with it, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Whether the message was longer than the buffers. The rest of a datagram is lost.
    pub is_cut: bool,
    /// Whether more descriptors came than there was room for. Those are closed.
    pub is_control_cut: bool,
}

struct SendMsg<P, B> {
    bufs: P,
    enclosed: Enclosed,
    fd: Fd,
    flags: SendFlags,
    _element: PhantomData<fn(B)>,
}

/// What the slot keeps of a message.
struct Held<P> {
    envelope: Box<Envelope>,
    bufs: P,
    _fd: Fd,
}

/// A message that is sent, and what goes with it.
struct Posted<P> {
    held: Held<P>,
    /// Boxed only if there are any.
    _fds: Vec<OwnedFd>,
}

impl<P: 'static> Payload<Completion> for Posted<P> {
    fn abandon(self, _: Completion) {
        self.held.envelope.put_back();
    }
}

// SAFETY: the entry points to the header in its box, which points to the other parts of the envelope, likewise owned by `Held`, and
// to the bytes of the buffers, which `IoBuf` keeps in place and unchanged. The kernel writes to none of them.
unsafe impl<B: IoBuf, P: Bufs<B>> Operation for SendMsg<P, B> {
    type Held = Posted<P>;
    type Output = (io::Result<usize>, P);
    const IS_PATIENT: bool = true;

    fn prepare(mut self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Posted<P>) {
        let mut envelope = Envelope::take();
        let part = |buf: &mut B| iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
        envelope.parts.extend(self.bufs.slots().iter_mut().map(part));
        if let Some(addr) = self.enclosed.to {
            envelope.send_to(addr);
        }
        if !self.enclosed.fds.is_empty() {
            control::put_fds(&mut envelope.control, &self.enclosed.fds);
        }
        let header: *const MsgHdr = envelope.seal();
        let (fd, fixed) = self.fd.target(ring);
        let flags = (self.flags | SendFlags::NOSIGNAL).bits();
        let entry = opcode::SendMsg::new(fd, header.cast()).flags(flags).build().flags(fixed);
        let held = Held { envelope, bufs: self.bufs, _fd: self.fd };
        (held.checked(entry), Posted { held, _fds: self.enclosed.fds })
    }

    fn finish(posted: Posted<P>, completion: Completion) -> Self::Output {
        let Held { envelope, bufs, .. } = posted.held;
        envelope.put_back();
        (completion.into_result(), bufs)
    }
}

struct RecvMsg<P, B> {
    bufs: P,
    fds_max: usize,
    fd: Fd,
    flags: RecvFlags,
    _element: PhantomData<fn(B)>,
}

impl<P> Held<P> {
    /// Refuses what is too long with POSIX's word for it; kernels have several (6.12 says `EINVAL`).
    fn checked(&self, entry: Entry) -> Result<Entry, Errno> {
        if self.envelope.parts.len() <= BUFFERS_MAX { Ok(entry) } else { Err(Errno::MSGSIZE) }
    }

    fn received(mut self, completion: Completion) -> (io::Result<Received>, P) {
        let result = completion.into_result().map(|len| {
            let flags = ReturnFlags::from_bits_retain(self.envelope.flags().bits());
            Received {
                len,
                from: self.envelope.take_sender(),
                // SAFETY: the answer is a received message.
                fds: unsafe { self.envelope.take_fds() },
                is_cut: flags.contains(ReturnFlags::TRUNC),
                is_control_cut: flags.contains(ReturnFlags::CTRUNC),
            }
        });
        self.envelope.put_back();
        (result, self.bufs)
    }
}

impl<P: 'static> Payload<Completion> for Held<P> {
    fn abandon(self, completion: Completion) {
        drop(self.received(completion));
    }
}

// SAFETY: the entry points to the header in its box, which points to the other parts of the envelope, likewise owned by `Held`, and
// to the bytes of the buffers, which `IoBufMut` keeps in place, and ours alone while `Held` has them.
unsafe impl<B: IoBufMut, P: Bufs<B>> Operation for RecvMsg<P, B> {
    type Held = Held<P>;
    type Output = (io::Result<Received>, P);
    const IS_PATIENT: bool = true;

    fn prepare(mut self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Held<P>) {
        let mut envelope = Envelope::take();
        let part = |buf: &mut B| iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        envelope.parts.extend(self.bufs.slots().iter_mut().map(part));
        envelope.ask_for_sender();
        if self.fds_max > 0 {
            envelope.control.resize(control::words(self.fds_max.min(control::FDS_MAX)), 0);
        }
        let header = envelope.seal();
        let (fd, fixed) = self.fd.target(ring);
        let flags = (self.flags | RecvFlags::CMSG_CLOEXEC).bits();
        let entry = opcode::RecvMsg::new(fd, header.cast()).flags(flags).build().flags(fixed);
        let held = Held { envelope, bufs: self.bufs, _fd: self.fd };
        (held.checked(entry), held)
    }

    fn finish(held: Held<P>, completion: Completion) -> Self::Output {
        held.received(completion)
    }
}

impl Ring {
    /// Sends the buffers as one message and yields how many bytes went: all of a datagram, possibly fewer on a stream. No signal
    /// is raised when the peer is gone. At most 1,024 buffers.
    ///
    /// Dropping the future keeps the buffers until the kernel has answered; whether anything was sent is then unknown.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`, with their OS code and the buffers; `EMSGSIZE` for more than 1,024.
    pub fn send_msg<B: IoBuf, P: Bufs<B>>(
        self: &Rc<Self>,
        fd: &Fd,
        bufs: P,
        enclosed: Enclosed,
        flags: SendFlags,
    ) -> impl Future<Output = (io::Result<usize>, P)> + use<B, P> {
        Op::new(self, SendMsg { bufs, enclosed, fd: fd.clone(), flags, _element: PhantomData })
    }

    /// Receives a message into the buffers, each as long as it is, and up to `fds_max` descriptors (253 at most). At most 1,024
    /// buffers.
    ///
    /// Dropping the future keeps the buffers until the kernel has answered; a message received meanwhile is lost, its descriptors
    /// are closed.
    ///
    /// # Errors
    /// Those of `recvmsg(2)`, with their OS code and the buffers; `EMSGSIZE` for more than 1,024.
    pub fn recv_msg<B: IoBufMut, P: Bufs<B>>(
        self: &Rc<Self>,
        fd: &Fd,
        bufs: P,
        fds_max: usize,
        flags: RecvFlags,
    ) -> impl Future<Output = (io::Result<Received>, P)> + use<B, P> {
        Op::new(self, RecvMsg { bufs, fds_max, fd: fd.clone(), flags, _element: PhantomData })
    }
}
