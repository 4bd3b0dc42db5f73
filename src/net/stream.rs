//! What sockets have in common: the descriptor, adopting one from `std`, and for streams reading, writing and ending.
//!
//! Written once here; [`over_socket`] and [`stream`] give it to each kind.

use super::socket::Socket;

/// A kind of socket. `Socket` has no public name, so that the kinds are those of this module.
pub trait OverSocket: Sized {
    #[doc(hidden)]
    fn of(socket: Socket) -> Self;
    #[doc(hidden)]
    fn socket(&self) -> &Socket;
}

/// For every kind of socket: a structure with the field `socket`.
macro_rules! over_socket {
    ($kind:ident) => {
        impl $crate::net::stream::OverSocket for $kind {
            fn of(socket: $crate::net::socket::Socket) -> Self {
                Self { socket }
            }
            fn socket(&self) -> &$crate::net::socket::Socket {
                &self.socket
            }
        }

        impl $kind {
            /// The descriptor as the `socket2` crate sees it, to ask for and set any option there is. Leave it blocking: the ring
            /// waits by itself, and would hand on an `EAGAIN`.
            pub fn as_socket(&self) -> socket2::SockRef<'_> {
                self.socket.plain()
            }
        }

        impl std::os::fd::AsFd for $kind {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.socket.fd()
            }
        }

        impl std::fmt::Debug for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($kind)).field(&self.socket).finish()
            }
        }
    };
    ($kind:ident, from $standard:ty) => {
        $crate::net::stream::over_socket!($kind);

        impl TryFrom<$standard> for $kind {
            type Error = std::io::Error;

            /// Puts the socket on this core's ring, and makes it a blocking one: the ring waits by itself.
            fn try_from(socket: $standard) -> std::io::Result<Self> {
                $crate::net::socket::Socket::adopt(socket.into()).map(|socket| Self { socket })
            }
        }
    };
}

/// For streams, besides.
macro_rules! stream {
    ($kind:ident) => {
        impl $crate::io::ReadOwned for $kind {
            type Reading<B: $crate::io::IoBufMut> = $crate::net::Reading<B>;

            #[inline]
            fn read<B: $crate::io::IoBufMut>(&self, buf: B) -> Self::Reading<B> {
                self.socket.read(buf)
            }
        }

        impl $crate::io::WriteOwned for $kind {
            type Writing<B: $crate::io::IoBuf> = $crate::net::Writing<B>;
            type Ending = std::future::Ready<std::io::Result<()>>;

            #[inline]
            fn write<B: $crate::io::IoBuf>(&self, buf: B) -> Self::Writing<B> {
                self.socket.write(buf)
            }

            /// Nothing is kept back here: ready at once.
            fn flush(&self) -> Self::Ending {
                std::future::ready(Ok(()))
            }

            /// The peer reads what was sent, then the end; it may go on sending.
            fn shutdown(&self) -> Self::Ending {
                std::future::ready(self.socket.shutdown(std::net::Shutdown::Write))
            }
        }

        impl $kind {
            /// Reads into `buf` what the next read would get, without taking it.
            ///
            /// # Errors
            /// Those of `recv(2)`, with the buffer.
            pub fn peek<B: $crate::io::IoBufMut>(
                &self,
                buf: B,
            ) -> impl std::future::Future<Output = $crate::io::BufResult<B>> + use<B> {
                self.socket.recv(buf, rustix::net::RecvFlags::PEEK)
            }

            /// Reads into several buffers, one after the other; as [`read`](crate::io::ReadOwned::read) otherwise. At most 1,024.
            ///
            /// # Errors
            /// Those of `recvmsg(2)`, with the buffers.
            pub async fn read_vectored<B: $crate::io::IoBufMut>(
                &self,
                bufs: Vec<B>,
            ) -> (std::io::Result<usize>, Vec<B>) {
                let (result, bufs) = self.socket.recv_msg(bufs, 0, rustix::net::RecvFlags::empty()).await;
                (result.map(|received| received.len), bufs)
            }

            /// Writes several buffers, one after the other; as [`write`](crate::io::WriteOwned::write) otherwise. At most 1,024.
            ///
            /// # Errors
            /// Those of `sendmsg(2)`, with the buffers.
            pub fn write_vectored<B: $crate::io::IoBuf>(
                &self,
                bufs: Vec<B>,
            ) -> impl std::future::Future<Output = (std::io::Result<usize>, Vec<B>)> + use<B> {
                self.socket.send_msg(bufs, $crate::uring::Enclosed::default())
            }

            /// Ends reading, writing, or both, at once.
            ///
            /// # Errors
            /// Those of `shutdown(2)`, such as `ENOTCONN` if the peer has reset the connection.
            pub fn shut_down(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                self.socket.shutdown(how)
            }

            /// Lends a half for reading and one for writing.
            pub fn split(&mut self) -> ($crate::net::ReadHalf<'_, Self>, $crate::net::WriteHalf<'_, Self>) {
                $crate::net::split::lend(self)
            }

            /// A half for reading and one for writing, which may go to different tasks.
            pub fn into_split(self) -> ($crate::net::OwnedReadHalf<Self>, $crate::net::OwnedWriteHalf<Self>) {
                $crate::net::split::part(self)
            }

            /// Ends the connection in order: tells the peer that nothing more comes, then reads and drops what still comes until the
            /// peer ends its side too, for `patience` at most. Without that, closing a socket on which unread bytes arrive resets
            /// the connection, and the peer may lose the last of what was sent.
            ///
            /// # Errors
            /// `ETIMEDOUT` when patience ends, `ECONNRESET` and others if the connection broke. It is closed in any case.
            pub async fn close(self, patience: std::time::Duration) -> std::io::Result<()> {
                $crate::net::close::close(&self.socket, patience).await
            }
        }
    };
}

pub(super) use {over_socket, stream};
