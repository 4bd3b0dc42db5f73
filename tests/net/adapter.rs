//! Streams as other libraries see them: nothing lost when polls are given up, errors told late but told.

use crate::{code, connection, on_core};
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use futures::{AsyncRead, AsyncWrite, FutureExt};
use reactor::io::{Adapter, IoBuf, IoBufMut, ReadOwned, WriteOwned};
use reactor::net::{TcpStream, UnixStream};
use reactor::{spawn_local, yield_now};
use rustix::io::Errno;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn pair() -> (Adapter<UnixStream>, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    (Adapter::new(one), other)
}

#[test]
fn long_streams_go_there_and_back_through_small_buffers() {
    on_core(async || {
        let (client, server) = connection().await;
        let server = spawn_local(async move {
            let (read, mut write) = Adapter::with_capacity(1000, server).split();
            let copied = futures::io::copy(read, &mut write).await.unwrap();
            write.close().await.unwrap();
            copied
        });
        let sent: Vec<u8> = (0..600_000_u32).map(|at| (at / 7) as u8).collect();
        let (mut read, mut write) = Adapter::with_capacity(777, client).split();
        let copy = sent.clone();
        let writer = spawn_local(async move {
            write.write_all(&copy).await.unwrap();
            write.close().await.unwrap();
        });
        let mut back = vec![0; sent.len()];
        read.read_exact(&mut back).await.unwrap();
        assert!(back == sent);
        assert_eq!(read.read(&mut [0; 1]).await.unwrap(), 0);
        writer.await.unwrap();
        assert_eq!(server.await.unwrap(), 600_000);
    });
}

#[test]
fn lines_are_read_from_what_is_buffered() {
    on_core(async || {
        let (mut adapter, peer) = pair();
        peer.write_all(&b"one\ntwo\nrest"[..]).await.0.unwrap();
        peer.shutdown().await.unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if adapter.read_line(&mut line).await.unwrap() == 0 {
                break;
            }
            lines.push(line);
        }
        assert_eq!(lines, ["one\n", "two\n", "rest"]);
        // The end stays the end.
        assert!(adapter.fill_buf().await.unwrap().is_empty());
    });
}

#[test]
fn a_read_given_up_midway_loses_nothing() {
    on_core(async || {
        let (mut adapter, peer) = pair();
        for round in 0..50_u8 {
            // The kernel may be filling the adapter's buffer while nobody polls.
            assert!(adapter.read(&mut [0; 4]).now_or_never().is_none());
            peer.write_all(vec![round; 4]).await.0.unwrap();
            for _ in 0..round % 3 {
                yield_now().await;
            }
            let mut buf = [0; 4];
            adapter.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, [round; 4]);
        }
    });
}

#[test]
fn an_adapter_dropped_midway_leaves_its_buffers_to_the_kernel() {
    on_core(async || {
        let (mut adapter, peer) = pair();
        assert!(adapter.read(&mut [0; 4]).now_or_never().is_none());
        let mut poll =
            || Pin::new(&mut adapter).poll_write(&mut Context::from_waker(Waker::noop()), &[7; 100]);
        assert!(matches!(poll(), Poll::Ready(Ok(100))));
        drop(adapter);
        // Sent or given up; the peer sees the end either way, and no byte that was not written.
        let (result, bytes) = peer.read_to_end(Vec::new()).await;
        assert!(result.is_ok() || matches!(code(result), Some(Errno::CONNRESET)));
        assert!(bytes.iter().all(|byte| *byte == 7));
    });
}

#[test]
fn a_write_is_sent_even_if_nobody_polls_any_more() {
    on_core(async || {
        let (mut adapter, peer) = pair();
        adapter.write_all(&[3; 10_000]).await.unwrap();
        // No flush: the task goes on to something else.
        let (result, bytes) = peer.read_exact(vec![0; 10_000]).await;
        result.unwrap();
        assert!(bytes.iter().all(|byte| *byte == 3));
    });
}

#[test]
fn an_error_of_a_write_surfaces_on_the_next_call_once() {
    type Next = fn(&mut Adapter<TcpStream>, &mut Context<'_>) -> Poll<io::Result<()>>;
    let calls: [Next; 3] = [
        |adapter, cx| Pin::new(adapter).poll_write(cx, b"x").map_ok(drop),
        |adapter, cx| Pin::new(adapter).poll_flush(cx),
        |adapter, cx| Pin::new(adapter).poll_close(cx),
    ];
    for call in calls {
        on_core(async || {
            let (client, server) = connection().await;
            server.as_socket().set_linger(Some(Duration::ZERO)).unwrap();
            drop(server);
            let mut adapter = Adapter::new(client);
            // Hear of the reset first, so that the write is sure to fail.
            assert_eq!(code(adapter.read(&mut [0; 1]).await), Some(Errno::CONNRESET));
            assert_eq!(adapter.write(b"copied").await.unwrap(), 6);
            let error = std::future::poll_fn(|cx| call(&mut adapter, cx)).await;
            assert_eq!(code(error), Some(Errno::PIPE));
            adapter.flush().await.unwrap();
        });
    }
}

#[test]
fn several_parts_are_written_as_one() {
    on_core(async || {
        let (mut adapter, peer) = pair();
        let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(adapter.write_vectored(&parts).await.unwrap(), 7);
        assert_eq!(adapter.write(b"").await.unwrap(), 0);
        adapter.close().await.unwrap();
        assert_eq!(peer.read_to_end(Vec::new()).await.1, b"one two");
    });
}

/// A stream that writes in parts and stumbles: what a socket is on older kernels.
struct Stumbling(UnixStream, std::cell::Cell<u32>);

impl ReadOwned for Stumbling {
    type Reading<B: IoBufMut> = <UnixStream as ReadOwned>::Reading<B>;
    fn read<B: IoBufMut>(&self, buf: B) -> Self::Reading<B> {
        self.0.read(buf)
    }
}

impl WriteOwned for Stumbling {
    type Writing<B: IoBuf> = futures::future::LocalBoxFuture<'static, reactor::io::BufResult<B>>;
    type Ending = <UnixStream as WriteOwned>::Ending;
    fn write<B: IoBuf>(&self, buf: B) -> Self::Writing<B> {
        self.1.set(self.1.get() + 1);
        let len = buf.len().min(3);
        if self.1.get() % 3 == 0 {
            return Box::pin(async { (Err(ErrorKind::Interrupted.into()), buf) });
        }
        let write = self.0.write(buf.slice(..len));
        Box::pin(async {
            let (result, slice) = write.await;
            (result, slice.into_inner())
        })
    }
    fn flush(&self) -> Self::Ending {
        self.0.flush()
    }
    fn shutdown(&self) -> Self::Ending {
        self.0.shutdown()
    }
}

#[test]
fn partial_and_interrupted_writes_are_carried_on() {
    on_core(async || {
        let (one, other) = UnixStream::pair().unwrap();
        let text = b"in parts of three bytes, with interruptions".repeat(5);
        let mut adapter = Adapter::with_capacity(50, Stumbling(one, Default::default()));
        adapter.write_all(&text).await.unwrap();
        adapter.close().await.unwrap();
        assert_eq!(other.read_to_end(Vec::new()).await.1, text);
        drop(adapter);

        let (one, other) = UnixStream::pair().unwrap();
        let stream = Stumbling(one, Default::default());
        stream.write_all(text.clone()).await.0.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(other.read_to_end(Vec::new()).await.1, text);
    });
}

#[cfg(feature = "tokio-io")]
#[test]
fn tokios_traits_carry_the_same_bytes() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    on_core(async || {
        let (one, other) = UnixStream::pair().unwrap();
        let echo = spawn_local(async move {
            let (mut read, mut write) = tokio::io::split(Adapter::new(other));
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            AsyncWriteExt::shutdown(&mut write).await.unwrap();
        });
        let mut adapter = Adapter::new(one);
        AsyncWriteExt::write_all(&mut adapter, b"a line\nand more").await.unwrap();
        AsyncWriteExt::shutdown(&mut adapter).await.unwrap();
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut adapter, &mut line).await.unwrap();
        assert_eq!(line, "a line\n");
        AsyncReadExt::read_to_string(&mut adapter, &mut line).await.unwrap();
        assert_eq!(line, "a line\nand more");
        echo.await.unwrap();
    });
}

/// Adapters are what libraries ask for in their bounds.
#[test]
fn an_adapter_meets_the_usual_bounds() {
    fn library(_: impl AsyncRead + AsyncWrite + Unpin + 'static) {}
    on_core(async || library(pair().0));
}
