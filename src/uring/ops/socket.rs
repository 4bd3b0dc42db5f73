//! What makes connections: connect and accept.
//!
//! Sockets are made, given their options and shut down by `net`: these calls never block, so a trip through the ring would only
//! add to them.

#![expect(
    unsafe_code,
    reason = "vouches for an entry that points to an address; owns what the kernel accepted"
)]

use crate::inflight::Payload;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::{Completion, Holds};
use crate::uring::{Fd, Ring};
use io_uring::{opcode, squeue::Entry};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::SockAddr;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What the slot of a connect keeps.
struct Connect {
    addr: Box<SockAddr>,
    fd: Fd,
}

impl Payload<Completion> for Connect {}

// SAFETY: the entry points to the address, which is on the heap, owned by `Held`, and never changes.
unsafe impl Operation for Connect {
    type Held = Self;
    type Output = io::Result<()>;
    const IS_PATIENT: bool = true;

    /// One to a full Unix socket waits at a worker.
    fn holds(&self) -> Holds {
        [false, self.addr.is_unix()]
    }

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Self) {
        let (fd, flags) = self.fd.target(ring);
        let entry = opcode::Connect::new(fd, self.addr.as_ptr().cast(), self.addr.len()).build();
        (Ok(entry.flags(flags)), self)
    }

    fn finish(_: Self, completion: Completion) -> io::Result<()> {
        completion.into_result().map(drop)
    }
}

/// An accept, and what its slot keeps: the listening socket.
struct Accepting(Fd);

impl Accepting {
    fn accepted(completion: Completion) -> io::Result<OwnedFd> {
        let fd = completion.into_result()?;
        // SAFETY: the kernel has just made it for us, and this answer is looked at once.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

impl Payload<Completion> for Accepting {
    fn abandon(self, completion: Completion) {
        drop(Self::accepted(completion));
    }
}

// SAFETY: the entry points to no memory.
unsafe impl Operation for Accepting {
    type Held = Self;
    type Output = io::Result<OwnedFd>;
    const IS_PATIENT: bool = true;

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Self) {
        let (fd, flags) = self.0.target(ring);
        let entry = opcode::Accept::new(fd, ptr::null_mut(), ptr::null_mut());
        (Ok(entry.flags(SocketFlags::CLOEXEC.bits() as i32).build().flags(flags)), self)
    }

    fn finish(_: Self, completion: Completion) -> io::Result<OwnedFd> {
        Self::accepted(completion)
    }
}

/// The future of [`Ring::accept`].
#[must_use = "operations start when first polled"]
pub struct Accept(Op<Accepting>);

impl Future for Accept {
    type Output = io::Result<Fd>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Fd>> {
        Pin::new(&mut self.0).poll(cx).map_ok(Fd::from)
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept").finish_non_exhaustive()
    }
}

impl Ring {
    /// Connects the socket to `addr`.
    ///
    /// If the future is dropped, the attempt is given up; what has become of the socket by then is unknown.
    ///
    /// # Errors
    /// Those of `connect(2)`.
    pub fn connect(self: &Rc<Self>, fd: &Fd, addr: SockAddr) -> impl Future<Output = io::Result<()>> + use<> {
        Op::new(self, Connect { addr: Box::new(addr), fd: fd.clone() })
    }

    /// Takes the next connection from a listening socket. The descriptor is close-on-exec; who connected is asked of the
    /// descriptor (`getpeername(2)`), which spares those who do not ask.
    ///
    /// If the future is dropped, a connection that was accepted nevertheless is closed.
    ///
    /// # Errors
    /// Those of `accept(2)`.
    pub fn accept(self: &Rc<Self>, fd: &Fd) -> Accept {
        Accept(Op::new(self, Accepting(fd.clone())))
    }
}
