//! Unix packets: connections that keep the bounds of what is sent.

use super::stream::{connection, listener};
use crate::io::{BufResult, IoBuf, IoBufMut};
use crate::net::Incoming;
use crate::net::socket::Socket;
use crate::net::stream::{OverSocket, over_socket};
use rustix::net::RecvFlags;
use socket2::Type;
use std::future::Future;
use std::io;
use std::net::Shutdown;

/// Accepts connections on one core.
pub struct UnixSeqpacketListener {
    socket: Socket,
}

over_socket!(UnixSeqpacketListener);
listener!(UnixSeqpacketListener, UnixSeqpacket, Type::SEQPACKET);

/// A connection that carries packets, in order and none lost, used on one core.
///
/// A packet that is longer than the buffer it is received into is cut.
pub struct UnixSeqpacket {
    socket: Socket,
}

over_socket!(UnixSeqpacket);
connection!(UnixSeqpacket, Type::SEQPACKET);

impl UnixSeqpacket {
    /// Sends `buf` as one packet.
    ///
    /// # Errors
    /// Those of `send(2)`, with the buffer: `EMSGSIZE` if it is too long, `EPIPE` if the peer is gone.
    pub fn send<B: IoBuf>(&self, buf: B) -> impl Future<Output = BufResult<B>> + use<B> {
        self.socket.send(buf)
    }

    /// Receives one packet; none at the end of the connection.
    ///
    /// # Errors
    /// Those of `recv(2)`, with the buffer.
    pub fn recv<B: IoBufMut>(&self, buf: B) -> impl Future<Output = BufResult<B>> + use<B> {
        self.socket.recv(buf, RecvFlags::empty())
    }

    /// Ends receiving, sending, or both, at once.
    ///
    /// # Errors
    /// Those of `shutdown(2)`.
    pub fn shut_down(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}
