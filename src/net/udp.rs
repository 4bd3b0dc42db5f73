//! UDP: datagrams, with or without a fixed peer.

use super::socket::{Socket, inet};
use super::stream::over_socket;
use super::{Endpoint, resolve};
use crate::io::{BufResult, IoBuf, IoBufMut};
use crate::uring::{Enclosed, Received};
use rustix::net::RecvFlags;
use socket2::{Domain, Protocol, Type};
use std::future::Future;
use std::io;
use std::net::SocketAddr;

/// A UDP socket, used on one core.
///
/// A datagram that is longer than the buffer it is received into is cut; one that is empty is received as no bytes.
pub struct UdpSocket {
    socket: Socket,
}

over_socket!(UdpSocket, from std::net::UdpSocket);

impl UdpSocket {
    /// Binds to the first address of `endpoint` that the system grants. Port 0 has the system choose one.
    ///
    /// # Errors
    /// Those of [`resolve`] and `bind(2)`; of the last address, where there are several.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn bind(endpoint: impl Into<Endpoint>) -> io::Result<Self> {
        Self::bind_with(endpoint, false).await
    }

    /// As [`bind`](Self::bind), together with others on the same port, among which the kernel spreads the senders
    /// (`SO_REUSEPORT`): one for each core.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// As [`bind`](Self::bind).
    pub async fn bind_shared(endpoint: impl Into<Endpoint>) -> io::Result<Self> {
        Self::bind_with(endpoint, true).await
    }

    async fn bind_with(endpoint: impl Into<Endpoint>, reuse_port: bool) -> io::Result<Self> {
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for addr in resolve(endpoint).await? {
            let domain = Domain::for_address(addr);
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP), |socket| {
                socket.set_reuse_port(reuse_port)?;
                socket.bind(&addr.into())
            });
            match socket {
                Ok(socket) => return Ok(Self { socket }),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Fixes the peer: the first address of `endpoint` that the system grants. Datagrams of others are not received from then on.
    ///
    /// # Errors
    /// Those of [`resolve`] and `connect(2)`; of the last address, where there are several.
    pub async fn connect(&self, endpoint: impl Into<Endpoint>) -> io::Result<()> {
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for addr in resolve(endpoint).await? {
            match self.socket.connect(addr.into()).await {
                Ok(()) => return Ok(()),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Sends `buf` as one datagram to the peer.
    ///
    /// # Errors
    /// Those of `send(2)`, with the buffer: `EDESTADDRREQ` without a peer, `EMSGSIZE` if it is too long, `ECONNREFUSED` if an
    /// earlier one found no receiver.
    pub fn send<B: IoBuf>(&self, buf: B) -> impl Future<Output = BufResult<B>> + use<B> {
        self.socket.send(buf)
    }

    /// Receives one datagram.
    ///
    /// # Errors
    /// Those of `recv(2)`, with the buffer.
    pub fn recv<B: IoBufMut>(&self, buf: B) -> impl Future<Output = BufResult<B>> + use<B> {
        self.socket.recv(buf, RecvFlags::empty())
    }

    /// Looks at the next datagram without taking it.
    ///
    /// # Errors
    /// Those of `recv(2)`, with the buffer.
    pub fn peek<B: IoBufMut>(&self, buf: B) -> impl Future<Output = BufResult<B>> + use<B> {
        self.socket.recv(buf, RecvFlags::PEEK)
    }

    /// Sends `buf` as one datagram to `to`.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`, with the buffer.
    pub async fn send_to<B: IoBuf>(&self, buf: B, to: SocketAddr) -> BufResult<B> {
        let enclosed = Enclosed { to: Some(to.into()), ..Enclosed::default() };
        let (result, [buf]) = self.socket.send_msg([buf], enclosed).await;
        (result, buf)
    }

    /// Receives one datagram, and says from whom.
    ///
    /// # Errors
    /// Those of `recvmsg(2)`, with the buffer.
    pub async fn recv_from<B: IoBufMut>(&self, buf: B) -> (io::Result<(usize, SocketAddr)>, B) {
        self.receive(buf, RecvFlags::empty()).await
    }

    /// Looks at the next datagram without taking it, and says from whom it is.
    ///
    /// # Errors
    /// Those of `recvmsg(2)`, with the buffer.
    pub async fn peek_from<B: IoBufMut>(&self, buf: B) -> (io::Result<(usize, SocketAddr)>, B) {
        self.receive(buf, RecvFlags::PEEK).await
    }

    async fn receive<B: IoBufMut>(&self, buf: B, flags: RecvFlags) -> (io::Result<(usize, SocketAddr)>, B) {
        let (result, [buf]) = self.socket.recv_msg([buf], 0, flags).await;
        let sender = |received: Received| {
            let from = received.from.ok_or(io::ErrorKind::InvalidData)?;
            Ok((received.len, inet(from)?))
        };
        (result.and_then(sender), buf)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(self.socket.local_addr()?)
    }

    /// The peer that [`connect`](Self::connect) has fixed.
    ///
    /// # Errors
    /// `ENOTCONN` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(self.socket.peer_addr()?)
    }
}
