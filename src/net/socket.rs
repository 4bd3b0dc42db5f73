//! What all sockets are: a descriptor and the ring that it is used on.

use super::ahead::{Acceptor, Ahead};
use crate::io::{BufResult, IoBuf, IoBufMut};
use crate::reactor::context;
use crate::uring::{self, AcceptStream, Bufs, Enclosed, Fd, Received, Ring};
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket as Plain, Type};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// A socket on this core's ring. Clones share it; the last one, operations included, closes it.
#[derive(Clone)]
pub struct Socket(Rc<Inner>);

struct Inner {
    ring: Rc<Ring>,
    fd: Fd,
    /// Of use to listeners only.
    ahead: Ahead,
}

/// `MSG_WAITALL`, which rustix names for receiving only.
const WAITALL: SendFlags = SendFlags::from_bits_retain(0x100);

/// This core's ring.
fn ring() -> io::Result<Rc<Ring>> {
    context::with("reactor::net", |_| ());
    Ring::current().map_err(io::Error::other)
}

impl Socket {
    /// A new socket that is given its options before anything else.
    pub(super) fn new(
        domain: Domain,
        ty: Type,
        protocol: Option<Protocol>,
        prepare: impl FnOnce(&Plain) -> io::Result<()>,
    ) -> io::Result<Self> {
        let ring = ring()?;
        let plain = Plain::new(domain, ty, protocol)?;
        prepare(&plain)?;
        Ok(Self::of(ring, OwnedFd::from(plain).into()))
    }

    /// Two new sockets, connected to each other.
    pub(super) fn pair(ty: Type) -> io::Result<(Self, Self)> {
        let ring = ring()?;
        let (one, other) = Plain::pair(Domain::UNIX, ty, None)?;
        let socket = |plain| Self::of(ring.clone(), OwnedFd::from(plain).into());
        Ok((socket(one), socket(other)))
    }

    /// A socket made elsewhere. The ring waits by itself: of a descriptor that says `EAGAIN` it would pass that on.
    pub(super) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        let ring = ring()?;
        SockRef::from(&fd).set_nonblocking(false)?;
        Ok(Self::of(ring, fd.into()))
    }

    fn of(ring: Rc<Ring>, fd: Fd) -> Self {
        Self(Rc::new(Inner { ring, fd, ahead: Ahead::default() }))
    }

    /// The same descriptor for what other calls there are.
    pub(super) fn plain(&self) -> SockRef<'_> {
        SockRef::from(&self.0.fd)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }

    pub(super) fn local_addr(&self) -> io::Result<SockAddr> {
        self.plain().local_addr()
    }

    pub(super) fn peer_addr(&self) -> io::Result<SockAddr> {
        self.plain().peer_addr()
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.plain().shutdown(how)
    }

    pub(super) fn connect(&self, addr: SockAddr) -> impl Future<Output = io::Result<()>> + use<> {
        self.0.ring.connect(&self.0.fd, addr)
    }

    /// The next connection, those that are there already first.
    pub(super) async fn accept(&self) -> io::Result<Self> {
        let acceptor = self.enter();
        if let Some(fd) = acceptor.take() {
            return Ok(self.accepted(fd));
        }
        self.0.ring.accept(&self.0.fd).await.map(|fd| Self::of(self.0.ring.clone(), fd))
    }

    /// Counts one who accepts.
    pub(super) fn enter(&self) -> Acceptor<'_> {
        self.0.ahead.enter()
    }

    /// The connections that the ring accepts from now on.
    pub(super) fn accepts(&self) -> AcceptStream {
        self.0.ring.accept_stream(&self.0.fd)
    }

    /// A connection that was accepted on this listener's ring.
    pub(super) fn accepted(&self, fd: OwnedFd) -> Self {
        Self::of(self.0.ring.clone(), fd.into())
    }

    /// The next bytes of a stream.
    #[inline]
    pub(super) fn read<B: IoBufMut>(&self, buf: B) -> Reading<B> {
        Reading(self.recv(buf, RecvFlags::empty()))
    }

    /// The next bytes or packet; or, by the flags, a look at them.
    #[inline]
    pub(super) fn recv<B: IoBufMut>(&self, buf: B, flags: RecvFlags) -> uring::RecvOp<B> {
        self.0.ring.recv(&self.0.fd, buf, flags)
    }

    /// To a stream: all of it, as a blocking socket does. Before Linux 5.19, which does not go on by itself, possibly less.
    #[inline]
    pub(super) fn write<B: IoBuf>(&self, buf: B) -> Writing<B> {
        Writing(self.0.ring.send(&self.0.fd, buf, WAITALL))
    }

    /// To a stream, from where the bytes are: all of them, likewise.
    pub(super) fn write_zero_copy<B: IoBuf>(&self, buf: B) -> uring::SendZeroCopy<B> {
        self.0.ring.send_zero_copy(&self.0.fd, buf, WAITALL)
    }

    /// One packet.
    pub(super) fn send<B: IoBuf>(&self, buf: B) -> uring::SendOp<B> {
        self.0.ring.send(&self.0.fd, buf, SendFlags::empty())
    }

    pub(super) fn send_msg<B: IoBuf, P: Bufs<B>>(
        &self,
        bufs: P,
        enclosed: Enclosed,
    ) -> impl Future<Output = (io::Result<usize>, P)> + use<B, P> {
        self.0.ring.send_msg(&self.0.fd, bufs, enclosed, SendFlags::empty())
    }

    pub(super) fn recv_msg<B: IoBufMut, P: Bufs<B>>(
        &self,
        bufs: P,
        fds_max: usize,
        flags: RecvFlags,
    ) -> impl Future<Output = (io::Result<Received>, P)> + use<B, P> {
        self.0.ring.recv_msg(&self.0.fd, bufs, fds_max, flags)
    }
}

/// The address as internet sockets have it.
pub(super) fn inet(addr: SockAddr) -> io::Result<SocketAddr> {
    let family = addr.family();
    addr.as_socket().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("an address of family {family} on an internet socket"),
        )
    })
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fd.fmt(f)
    }
}

/// A read of a stream.
#[must_use = "operations start when first polled"]
pub struct Reading<B: IoBufMut>(uring::RecvOp<B>);

impl<B: IoBufMut> Future for Reading<B> {
    type Output = BufResult<B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<B>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<B: IoBufMut> fmt::Debug for Reading<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reading").finish()
    }
}

/// A write to a stream.
#[must_use = "operations start when first polled"]
pub struct Writing<B: IoBuf>(uring::SendOp<B>);

impl<B: IoBuf> Future for Writing<B> {
    type Output = BufResult<B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<B>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<B: IoBuf> fmt::Debug for Writing<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writing").finish()
    }
}
