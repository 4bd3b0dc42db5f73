//! Unix datagrams: in order, none lost, with or without a fixed peer.

use super::UnixAddr;
use super::stream::connection;
use crate::io::{BufResult, IoBuf, IoBufMut};
use crate::net::socket::Socket;
use crate::net::stream::{OverSocket, over_socket};
use crate::uring::Enclosed;
use rustix::net::RecvFlags;
use socket2::{Domain, Type};
use std::future::Future;
use std::io;

/// A Unix datagram socket, used on one core.
///
/// A datagram that is longer than the buffer it is received into is cut. A sender waits while the receiver's queue is full.
pub struct UnixDatagram {
    socket: Socket,
}

over_socket!(UnixDatagram, from std::os::unix::net::UnixDatagram);
connection!(UnixDatagram, Type::DGRAM);

impl UnixDatagram {
    /// A socket at `addr`. A path must not exist yet, and stays when the socket is gone.
    ///
    /// # Errors
    /// Those of `bind(2)`.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub fn bind(addr: impl Into<UnixAddr>) -> io::Result<Self> {
        let addr = addr.into().to_kernel()?;
        Socket::new(Domain::UNIX, Type::DGRAM, None, |socket| socket.bind(&addr)).map(Self::of)
    }

    /// Sends `buf` as one datagram to the peer.
    ///
    /// # Errors
    /// Those of `send(2)`, with the buffer.
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

    /// Sends `buf` as one datagram to the socket at `to`.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`, with the buffer: `ENOENT` and `ECONNREFUSED` if nobody is there.
    pub async fn send_to<B: IoBuf>(&self, buf: B, to: impl Into<UnixAddr>) -> BufResult<B> {
        let to = match to.into().to_kernel() {
            Ok(to) => Some(to),
            Err(error) => return (Err(error), buf),
        };
        let (result, [buf]) = self.socket.send_msg([buf], Enclosed { to, ..Enclosed::default() }).await;
        (result, buf)
    }

    /// Receives one datagram, and says from whom.
    ///
    /// # Errors
    /// Those of `recvmsg(2)`, with the buffer.
    pub async fn recv_from<B: IoBufMut>(&self, buf: B) -> (io::Result<(usize, UnixAddr)>, B) {
        let (result, [buf]) = self.socket.recv_msg([buf], 0, RecvFlags::empty()).await;
        (result.map(|received| (received.len, UnixAddr::from_kernel(received.from))), buf)
    }
}
