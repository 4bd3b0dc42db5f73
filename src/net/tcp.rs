//! TCP: listeners and streams. How they are made stands in `options`, what all streams do in `stream`.

use super::socket::{Socket, inet};
use super::stream::{OverSocket, over_socket, stream};
use super::{Endpoint, Incoming, TcpOptions};
use crate::io::IoBuf;
use crate::uring::SendZeroCopy;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Accepts TCP connections on one core.
pub struct TcpListener {
    socket: Socket,
}

over_socket!(TcpListener, from std::net::TcpListener);

impl TcpListener {
    /// Listens on `endpoint`; see [`TcpOptions::listen`], by which options are given.
    ///
    /// # Errors
    /// As [`TcpOptions::listen`].
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn bind(endpoint: impl Into<Endpoint>) -> io::Result<Self> {
        TcpOptions::new().listen(endpoint).await
    }

    /// Takes the next connection. Who connected is asked by [`TcpStream::peer_addr`].
    ///
    /// If the future is dropped, a connection that was taken nevertheless is closed.
    ///
    /// # Errors
    /// Those of `accept(2)`. Most of them pass: [`incoming`](Self::incoming) waits them out.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        self.socket.accept().await.map(TcpStream::of)
    }

    /// The connections as they come.
    pub fn incoming(&self) -> Incoming<'_, TcpStream> {
        Incoming::new(&self.socket)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(self.socket.local_addr()?)
    }
}

/// A TCP connection, used on one core. Read and written by the traits of [`io`](crate::io).
pub struct TcpStream {
    socket: Socket,
}

over_socket!(TcpStream, from std::net::TcpStream);
stream!(TcpStream);

impl TcpStream {
    /// Connects to `endpoint`; see [`TcpOptions::connect`], by which options are given.
    ///
    /// # Errors
    /// As [`TcpOptions::connect`].
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn connect(endpoint: impl Into<Endpoint>) -> io::Result<Self> {
        TcpOptions::new().connect(endpoint).await
    }

    /// As [`connect`](Self::connect), for `limit` at most.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `ETIMEDOUT` when the time is up.
    ///
    /// # Panics
    /// As [`connect`](Self::connect).
    pub async fn connect_timeout(endpoint: impl Into<Endpoint>, limit: Duration) -> io::Result<Self> {
        TcpOptions::new().connect_timeout(endpoint, limit).await
    }

    /// Writes `buf` from where it is: as [`write`](crate::io::WriteOwned::write), but the network takes the bytes without a copy, and
    /// the buffer comes back by a second future, when the peer has acknowledged them. For large buffers over real networks; to the same
    /// machine it is slower than a write. See [`Ring::send_zero_copy`](crate::uring::Ring::send_zero_copy).
    ///
    /// ```no_run
    /// # async fn example(stream: reactor::net::TcpStream, next: Vec<u8>) -> std::io::Result<()> {
    /// let (sent, lent) = stream.send_zero_copy(vec![7; 1 << 20]).await;
    /// assert_eq!(sent?, 1 << 20); // on its way: more may follow
    /// stream.send_zero_copy(next).await.0?;
    /// let buf = lent.await; // acknowledged: the bytes may change
    /// # drop(buf);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Ring::send_zero_copy`](crate::uring::Ring::send_zero_copy).
    pub fn send_zero_copy<B: IoBuf>(&self, buf: B) -> SendZeroCopy<B> {
        self.socket.write_zero_copy(buf)
    }

    /// This side's address.
    ///
    /// # Errors
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(self.socket.local_addr()?)
    }

    /// The other side's address.
    ///
    /// # Errors
    /// Those of `getpeername(2)`: `ENOTCONN` if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(self.socket.peer_addr()?)
    }

    /// Whether small writes are sent at once; see [`TcpOptions::nodelay`].
    ///
    /// # Errors
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.as_socket().tcp_nodelay()
    }

    /// Sends small writes at once, or gathers them.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.as_socket().set_tcp_nodelay(nodelay)
    }
}
