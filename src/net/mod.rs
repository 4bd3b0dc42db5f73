//! Sockets: TCP, UDP, and Unix streams, datagrams and packets, over the ring of the core that they are used on.
//!
//! All stand on `socket`; each file beside it is one kind of socket. What reads and writes any stream are the traits of
//! [`io`](crate::io). Options beyond those named here are set through `as_socket`, which lends the descriptor to the `socket2` crate.
//!
//! A socket belongs to the core that made it. So that each core accepts its own connections, each has a listener of its own on the
//! same port: [`TcpOptions::reuse_port`]. What is asked of a socket when its core has ended answers [`CoreGone`](crate::uring::CoreGone).
//!
//! ```
//! use reactor::io::{ReadOwned, WriteOwned};
//! use reactor::net::{TcpListener, TcpStream};
//!
//! # reactor::LocalExecutor::new()?.block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let client = TcpStream::connect(listener.local_addr()?).await?;
//! let server = listener.accept().await?;
//!
//! client.write_all(&b"hello"[..]).await.0?;
//! let (result, buf) = server.read_exact(vec![0; 5]).await;
//! assert_eq!((result?, &buf[..]), (5, &b"hello"[..]));
//! # std::io::Result::Ok(())
//! # })?;
//! # Ok::<(), reactor::Error>(())
//! ```

mod ahead;
mod close;
mod endpoint;
mod incoming;
mod options;
mod resolve;
mod socket;
mod split;
mod stream;
mod tcp;
mod udp;
mod unix;

pub use endpoint::Endpoint;
pub use incoming::Incoming;
pub use options::TcpOptions;
pub use resolve::resolve;
pub use socket::{Reading, Writing};
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixAddr, UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};

#[doc(no_inline)]
pub use crate::uring::{Lent, Received, SendZeroCopy};
#[doc(no_inline)]
pub use socket2::{SockAddr, SockRef, TcpKeepalive};
