//! How a TCP socket is to be made: options that must be set before it listens or connects, and those that it starts with.

use super::socket::Socket;
use super::stream::OverSocket;
use super::{Endpoint, TcpListener, TcpStream, resolve};
use crate::time;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket as Plain, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Options for [`TcpListener`] and [`TcpStream`]. What is not set stays as the system has it. Connections inherit their
/// listener's options.
///
/// ```
/// # reactor::LocalExecutor::new()?.block_on(async {
/// use reactor::net::TcpOptions;
/// let options = TcpOptions::new().nodelay(true).reuse_port(true);
/// let listener = options.listen("127.0.0.1:0").await?;
/// let client = options.connect(listener.local_addr()?).await?;
/// assert!(client.nodelay()? && listener.accept().await?.nodelay()?);
/// # std::io::Result::Ok(())
/// # })?;
/// # Ok::<(), reactor::Error>(())
/// ```
#[derive(Clone, Default, Debug)]
pub struct TcpOptions {
    nodelay: Option<bool>,
    reuse_port: bool,
    reset_on_close: bool,
    backlog: Option<u32>,
    keepalive: Option<TcpKeepalive>,
    send_buffer: Option<usize>,
    recv_buffer: Option<usize>,
    ttl: Option<u32>,
    only_v6: Option<bool>,
    local: Option<SocketAddr>,
}

/// Connections that wait to be accepted. The kernel cuts it to `net.core.somaxconn`, 4,096 by default.
const BACKLOG: u32 = 1024;

impl TcpOptions {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends small writes at once instead of gathering them while data are on their way (`TCP_NODELAY`).
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = Some(nodelay);
        self
    }

    /// Lets several listeners have one port, among which the kernel spreads the connections (`SO_REUSEPORT`): one for each core.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// Resets the connection when it is closed, and drops what was not sent (`SO_LINGER` of no time). A close that waits would
    /// block the core; [`TcpStream::close`] waits without.
    pub fn reset_on_close(mut self, reset: bool) -> Self {
        self.reset_on_close = reset;
        self
    }

    /// How many connections may wait to be accepted; 1,024 if not set.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(connections);
        self
    }

    /// Asks a silent peer whether it is still there (`SO_KEEPALIVE`).
    pub fn keepalive(mut self, keepalive: TcpKeepalive) -> Self {
        self.keepalive = Some(keepalive);
        self
    }

    /// Bytes that the kernel keeps until the peer has acknowledged them (`SO_SNDBUF`).
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Bytes that the kernel keeps until they are read (`SO_RCVBUF`).
    pub fn recv_buffer(mut self, bytes: usize) -> Self {
        self.recv_buffer = Some(bytes);
        self
    }

    /// How many routers a packet may pass (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    pub fn ttl(mut self, hops: u32) -> Self {
        self.ttl = Some(hops);
        self
    }

    /// Whether a socket on an IPv6 address leaves IPv4 alone (`IPV6_V6ONLY`).
    pub fn only_v6(mut self, only_v6: bool) -> Self {
        self.only_v6 = Some(only_v6);
        self
    }

    /// The address to connect from.
    pub fn local(mut self, addr: SocketAddr) -> Self {
        self.local = Some(addr);
        self
    }

    fn socket(&self, addr: SocketAddr, prepare: impl FnOnce(&Plain) -> io::Result<()>) -> io::Result<Socket> {
        Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP), |socket| {
            if let Some(nodelay) = self.nodelay {
                socket.set_tcp_nodelay(nodelay)?;
            }
            if self.reuse_port {
                socket.set_reuse_port(true)?;
            }
            if self.reset_on_close {
                socket.set_linger(Some(Duration::ZERO))?;
            }
            if let Some(keepalive) = &self.keepalive {
                socket.set_tcp_keepalive(keepalive)?;
            }
            if let Some(bytes) = self.send_buffer {
                socket.set_send_buffer_size(bytes)?;
            }
            if let Some(bytes) = self.recv_buffer {
                socket.set_recv_buffer_size(bytes)?;
            }
            match self.ttl {
                Some(hops) if addr.is_ipv4() => socket.set_ttl_v4(hops)?,
                Some(hops) => socket.set_unicast_hops_v6(hops)?,
                None => {}
            }
            match self.only_v6 {
                Some(only_v6) if addr.is_ipv6() => socket.set_only_v6(only_v6)?,
                _ => {}
            }
            prepare(socket)
        })
    }

    /// Listens on the first address of `endpoint` that the system grants. Port 0 has the system choose one. A port that
    /// connections of an earlier listener still linger on is granted (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// Those of [`resolve`], `bind(2)` and `listen(2)`; of the last address, where there are several.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn listen(&self, endpoint: impl Into<Endpoint>) -> io::Result<TcpListener> {
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for addr in resolve(endpoint).await? {
            let socket = self.socket(addr, |socket| {
                socket.set_reuse_address(true)?;
                socket.bind(&addr.into())?;
                socket.listen(self.backlog.unwrap_or(BACKLOG).min(i32::MAX as u32) as i32)
            });
            match socket {
                Ok(socket) => return Ok(TcpListener::of(socket)),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Connects to the first address of `endpoint` that answers, one after the other.
    ///
    /// # Errors
    /// Those of [`resolve`] and `connect(2)`; of the last address, where there are several.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub async fn connect(&self, endpoint: impl Into<Endpoint>) -> io::Result<TcpStream> {
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for addr in resolve(endpoint).await? {
            match self.connect_to(addr).await {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn connect_to(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(addr, |socket| match self.local {
            Some(local) => socket.bind(&local.into()),
            None => Ok(()),
        })?;
        socket.connect(addr.into()).await?;
        Ok(TcpStream::of(socket))
    }

    /// As [`connect`](Self::connect), for `limit` at most, looking up included.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `ETIMEDOUT` when the time is up.
    ///
    /// # Panics
    /// As [`connect`](Self::connect).
    pub async fn connect_timeout(
        &self,
        endpoint: impl Into<Endpoint>,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        time::timeout(limit, self.connect(endpoint)).await.unwrap_or_else(|_| Err(Errno::TIMEDOUT.into()))
    }
}
