//! Unix streams and their listeners.

use super::UnixAddr;
use crate::io::{BufResult, IoBuf, IoBufMut};
use crate::net::socket::Socket;
use crate::net::stream::{OverSocket, over_socket, stream};
use crate::net::{Incoming, Received};
use crate::uring::Enclosed;
use rustix::net::RecvFlags;
use socket2::{Domain, Type};
use std::io;
use std::os::fd::OwnedFd;

/// Connections that wait to be accepted, as for TCP.
pub(super) const BACKLOG: i32 = 1024;

/// A socket that listens on `addr`.
pub(super) fn listen(addr: impl Into<UnixAddr>, ty: Type) -> io::Result<Socket> {
    let addr = addr.into().to_kernel()?;
    Socket::new(Domain::UNIX, ty, None, |socket| {
        socket.bind(&addr)?;
        socket.listen(BACKLOG)
    })
}

/// A socket connected to `addr`.
pub(super) async fn connect(addr: impl Into<UnixAddr>, ty: Type) -> io::Result<Socket> {
    let addr = addr.into().to_kernel()?;
    let socket = Socket::new(Domain::UNIX, ty, None, |_| Ok(()))?;
    socket.connect(addr).await?;
    Ok(socket)
}

/// Methods that listeners have, with the connection's type.
macro_rules! listener {
    ($listener:ident, $connection:ident, $ty:expr) => {
        impl $listener {
            /// Listens on `addr`. A path must not exist yet, and stays when the socket is gone.
            ///
            /// # Errors
            /// Those of `bind(2)` and `listen(2)`; [`std::io::ErrorKind::InvalidInput`] for an address that is empty or longer than
            /// 107 bytes.
            ///
            /// # Panics
            /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
            pub fn bind(addr: impl Into<$crate::net::UnixAddr>) -> std::io::Result<Self> {
                $crate::net::unix::stream::listen(addr, $ty).map(|socket| Self { socket })
            }

            /// Takes the next connection.
            ///
            /// If the future is dropped, a connection that was taken nevertheless is closed.
            ///
            /// # Errors
            /// Those of `accept(2)`. Most of them pass: [`incoming`](Self::incoming) waits them out.
            pub async fn accept(&self) -> std::io::Result<$connection> {
                self.socket.accept().await.map($connection::of)
            }

            /// The connections as they come.
            pub fn incoming(&self) -> Incoming<'_, $connection> {
                Incoming::new(&self.socket)
            }

            /// Where it listens.
            ///
            /// # Errors
            /// Those of `getsockname(2)`.
            pub fn local_addr(&self) -> std::io::Result<$crate::net::UnixAddr> {
                self.socket.local_addr().map(|addr| $crate::net::UnixAddr::from_kernel(Some(addr)))
            }
        }
    };
}

/// Methods that connections have.
macro_rules! connection {
    ($connection:ident, $ty:expr) => {
        impl $connection {
            /// Connects to the listener at `addr`.
            ///
            /// # Errors
            /// Those of `connect(2)`; as for binding, besides.
            ///
            /// # Panics
            /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
            pub async fn connect(addr: impl Into<$crate::net::UnixAddr>) -> std::io::Result<Self> {
                $crate::net::unix::stream::connect(addr, $ty).await.map(Self::of)
            }

            /// Two sockets connected to each other.
            ///
            /// # Errors
            /// Those of `socketpair(2)`.
            ///
            /// # Panics
            /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
            pub fn pair() -> std::io::Result<(Self, Self)> {
                $crate::net::socket::Socket::pair($ty).map(|(one, other)| (Self::of(one), Self::of(other)))
            }

            /// This side's address.
            ///
            /// # Errors
            /// Those of `getsockname(2)`.
            pub fn local_addr(&self) -> std::io::Result<$crate::net::UnixAddr> {
                self.socket.local_addr().map(|addr| $crate::net::UnixAddr::from_kernel(Some(addr)))
            }

            /// The other side's address.
            ///
            /// # Errors
            /// Those of `getpeername(2)`.
            pub fn peer_addr(&self) -> std::io::Result<$crate::net::UnixAddr> {
                self.socket.peer_addr().map(|addr| $crate::net::UnixAddr::from_kernel(Some(addr)))
            }
        }
    };
}

pub(super) use {connection, listener};

/// Accepts connections on one core.
pub struct UnixListener {
    socket: Socket,
}

over_socket!(UnixListener, from std::os::unix::net::UnixListener);
listener!(UnixListener, UnixStream, Type::STREAM);

/// A Unix stream, used on one core. Read and written by the traits of [`io`](crate::io).
pub struct UnixStream {
    socket: Socket,
}

over_socket!(UnixStream, from std::os::unix::net::UnixStream);
stream!(UnixStream);
connection!(UnixStream, Type::STREAM);

impl UnixStream {
    /// Writes `buf` with descriptors beside it, of which the peer gets copies; at most 253. They need a byte to go with.
    ///
    /// # Errors
    /// Those of `sendmsg(2)`, with the buffer.
    pub async fn send_fds<B: IoBuf>(&self, buf: B, fds: Vec<OwnedFd>) -> BufResult<B> {
        let (result, [buf]) = self.socket.send_msg([buf], Enclosed { fds, ..Enclosed::default() }).await;
        (result, buf)
    }

    /// Reads into `buf`, and takes up to `fds_max` descriptors that came beside it.
    ///
    /// # Errors
    /// Those of `recvmsg(2)`, with the buffer.
    pub async fn recv_fds<B: IoBufMut>(&self, buf: B, fds_max: usize) -> (io::Result<Received>, B) {
        let (result, [buf]) = self.socket.recv_msg([buf], fds_max, RecvFlags::empty()).await;
        (result, buf)
    }
}
