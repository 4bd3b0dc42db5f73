//! What peers, networks and callers do wrong: the OS code and the buffer come back.

use crate::{code, connection, on_core};
use futures::{FutureExt, StreamExt};
use reactor::io::{ReadOwned, WriteOwned};
use reactor::net::{TcpListener, TcpOptions, TcpStream, UdpSocket, UnixListener, resolve};
use reactor::spawn_local;
use reactor::uring::CoreGone;
use rustix::io::Errno;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

#[test]
fn a_peer_that_resets_is_told_by_its_code() {
    on_core(async || {
        let (client, server) = connection().await;
        client.as_socket().set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let (result, buf) = server.read(vec![0; 100]).await;
        assert_eq!((code(result), buf.len()), (Some(Errno::CONNRESET), 100));
        let (result, buf) = server.write(vec![0; 100]).await;
        assert_eq!((code(result), buf.len()), (Some(Errno::PIPE), 100));
    });
}

#[test]
fn a_read_that_waits_hears_of_the_reset() {
    on_core(async || {
        let (client, server) = connection().await;
        let reader = spawn_local(async move { server.read_exact(vec![0; 100]).await });
        client.write_all(vec![0; 40]).await.0.unwrap();
        client.as_socket().set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let (result, buf) = reader.await.unwrap();
        assert_eq!((code(result), buf.len()), (Some(Errno::CONNRESET), 100));
    });
}

#[test]
fn a_write_that_waits_for_room_hears_of_the_reset() {
    on_core(async || {
        let (client, server) = connection().await;
        // Nobody reads so much.
        let writer = spawn_local(async move { client.write_all(vec![0; 64 << 20]).await });
        let (result, _) = server.read_exact(vec![0; 1000]).await;
        result.unwrap();
        server.as_socket().set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        let (result, buf) = writer.await.unwrap();
        assert!(matches!(code(result), Some(Errno::CONNRESET | Errno::PIPE)));
        assert_eq!(buf.len(), 64 << 20, "the whole buffer, not what was left of it");
    });
}

/// Nobody acknowledges the bytes, and nobody ever will.
#[test]
fn a_reset_gives_back_what_the_network_has() {
    on_core(async || {
        // One side takes more than the other does without reading, also where nobody has raised `net.core.wmem_max`.
        const LEN: usize = 150_000;
        let listener = TcpOptions::new().recv_buffer(8 << 10).listen("127.0.0.1:0").await.unwrap();
        let options = TcpOptions::new().send_buffer(2 * LEN);
        let client = options.connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap();
        let (result, mut lent) = client.send_zero_copy(vec![3; LEN]).await;
        assert_eq!(result.unwrap(), LEN);
        assert!((&mut lent).now_or_never().is_none(), "the other side has not read it");
        server.as_socket().set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        assert_eq!(lent.await.len(), LEN);
        let (result, lent) = client.send_zero_copy(vec![3; 9]).await;
        assert!(matches!(code(result), Some(Errno::CONNRESET | Errno::PIPE)));
        assert_eq!(lent.await, [3; 9]);
    });
}

#[test]
fn a_connection_that_was_reset_before_it_was_taken_does_no_harm() {
    on_core(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let gone = std::net::TcpStream::connect(addr).unwrap();
        socket2::SockRef::from(&gone).set_linger(Some(Duration::ZERO)).unwrap();
        drop(gone);
        let _client = TcpStream::connect(addr).await.unwrap();
        let mut incoming = listener.incoming();
        let first = incoming.next().await.unwrap().unwrap();
        assert_eq!(code(first.read(vec![0; 1]).await.0), Some(Errno::CONNRESET));
        incoming.next().await.unwrap().unwrap();
    });
}

#[test]
fn who_writes_to_a_peer_that_has_closed_hears_of_it() {
    on_core(async || {
        let (client, server) = connection().await;
        drop(server);
        assert_eq!(client.read(vec![0; 1]).await.0.unwrap(), 0);
        // The first write is on its way before the peer can say that he is gone.
        client.write(vec![1; 10]).await.0.unwrap();
        let (result, buf) = client.write(vec![1; 10]).await;
        assert_eq!((code(result), buf.len()), (Some(Errno::PIPE), 10));
    });
}

#[test]
fn an_early_end_is_told_apart() {
    on_core(async || {
        let (client, server) = connection().await;
        client.write_all(&b"abc"[..]).await.0.unwrap();
        client.shutdown().await.unwrap();
        let (result, buf) = server.read_exact(vec![0; 4]).await;
        assert_eq!((result.unwrap_err().kind(), buf.len()), (ErrorKind::UnexpectedEof, 4));
        assert_eq!(code(client.write(vec![1]).await.0), Some(Errno::PIPE));
    });
}

#[test]
fn a_refused_connection_says_so() {
    on_core(async || {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(code(TcpStream::connect(gone).await), Some(Errno::CONNREFUSED));
    });
}

#[test]
fn an_unreachable_address_says_so() {
    on_core(async || {
        // No connection goes to everybody, whatever routes there are.
        assert_eq!(code(TcpStream::connect("255.255.255.255:80").await), Some(Errno::NETUNREACH));
    });
}

/// A listener whose backlog is full leaves further connections without an answer.
#[test]
fn a_connection_without_an_answer_ends_in_time() {
    on_core(async || {
        let listener = TcpOptions::new().backlog(1).listen("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let limit = Duration::from_millis(30);
        let mut waiting = Vec::new();
        let refused = loop {
            match TcpStream::connect_timeout(addr, limit).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 100, "the backlog was to be 1");
        };
        assert_eq!(
            (Errno::from_io_error(&refused), refused.kind()),
            (Some(Errno::TIMEDOUT), ErrorKind::TimedOut)
        );
    });
}

#[test]
fn a_close_does_not_wait_for_ever() {
    on_core(async || {
        let (client, server) = connection().await;
        assert_eq!(code(server.close(Duration::from_millis(5)).await), Some(Errno::TIMEDOUT));
        assert_eq!(client.read(vec![0; 1]).await.0.unwrap(), 0);
    });
}

#[test]
fn a_close_of_what_was_reset_is_done() {
    on_core(async || {
        let (client, server) = connection().await;
        client.as_socket().set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        assert_eq!(code(server.read(vec![0; 1]).await.0), Some(Errno::CONNRESET));
        server.close(Duration::from_secs(60)).await.unwrap();
    });
}

#[test]
fn empty_buffers_move_nothing_and_come_back() {
    on_core(async || {
        let (client, server) = connection().await;
        assert_eq!(client.write(Vec::new()).await.0.unwrap(), 0);
        assert_eq!(client.write_all(Vec::new()).await.0.unwrap(), 0);
        assert_eq!(server.read_exact(Vec::new()).await.0.unwrap(), 0);
        client.write_all(vec![9]).await.0.unwrap();
        assert_eq!(server.read(Vec::new()).await.0.unwrap(), 0);
        assert_eq!(server.read(vec![0; 8]).await.0.unwrap(), 1, "the byte was not touched");
        assert_eq!(client.write_vectored(Vec::<Vec<u8>>::new()).await.0.unwrap(), 0);
    });
}

#[test]
fn a_huge_buffer_arrives_whole() {
    const LEN: usize = 48 << 20;
    on_core(async || {
        let (client, server) = connection().await;
        let sent: Vec<u8> = (0..LEN).map(|at| (at / 4096) as u8).collect();
        let copy = sent.clone();
        let writer = spawn_local(async move { client.write_all(copy).await.0.unwrap() });
        let (result, received) = server.read_exact(vec![0; LEN]).await;
        assert_eq!((result.unwrap(), writer.await.unwrap()), (LEN, LEN));
        assert!(received == sent);
    });
}

#[test]
fn too_many_buffers_are_refused_and_come_back() {
    on_core(async || {
        let (client, server) = connection().await;
        let (result, bufs) = client.write_vectored(vec![vec![1_u8]; 1025]).await;
        assert_eq!((code(result), bufs.len()), (Some(Errno::MSGSIZE), 1025));
        let (result, bufs) = server.read_vectored(vec![vec![1_u8]; 1025]).await;
        assert_eq!((code(result), bufs.len()), (Some(Errno::MSGSIZE), 1025));
    });
}

#[test]
fn a_socket_that_says_eagain_is_made_to_wait() {
    on_core(async || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = TcpListener::try_from(listener).unwrap();
        let server = spawn_local(async move { listener.accept().await.unwrap().read(vec![0; 8]).await });
        reactor::yield_now().await;
        let client = std::net::TcpStream::connect(addr).unwrap();
        client.set_nonblocking(true).unwrap();
        let client = TcpStream::try_from(client).unwrap();
        reactor::yield_now().await;
        client.write_all(vec![1; 3]).await.0.unwrap();
        assert_eq!(server.await.unwrap().0.unwrap(), 3);
    });
}

#[test]
fn a_listener_that_is_shut_down_ends_its_connections_with_the_error() {
    on_core(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.as_socket().shutdown(Shutdown::Both).unwrap();
        let mut incoming = listener.incoming();
        assert_eq!(code(incoming.next().await.unwrap()), Some(Errno::INVAL));
        assert!(incoming.next().await.is_none());
    });
}

#[test]
fn what_is_no_address_says_what_to_write() {
    on_core(async || {
        for text in ["localhost", "1.2.3.4", "::1:80", "localhost:http", ""] {
            let error = TcpStream::connect(text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("write host:port"), "{error}");
        }
        assert!(TcpStream::connect(Vec::new()).await.unwrap_err().to_string().contains("no address"));
        let error = resolve("no-such-host.invalid:80").await.unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
        assert_eq!(code(TcpListener::bind("192.0.2.1:0").await), Some(Errno::ADDRNOTAVAIL));
    });
}

#[test]
fn sockets_outside_of_a_reactor_name_what_is_missing() {
    let calls: [fn(); 2] =
        [|| drop(UnixListener::bind("x")), || drop(UdpSocket::bind("127.0.0.1:0").now_or_never())];
    for call in calls {
        let panic = std::panic::catch_unwind(call).unwrap_err();
        let said = panic.downcast_ref::<String>().expect("a message");
        assert!(said.contains("reactor"), "{said}");
    }
}

/// A core that has gone takes its sockets along, in any order. Used all the same, on another core or on none, they say what is wrong and
/// give the buffers back.
#[test]
fn sockets_of_a_core_that_has_ended_say_so() {
    static_assertions::assert_not_impl_any!(TcpStream: Send, Sync);
    static_assertions::assert_not_impl_any!(TcpListener: Send, Sync);
    static_assertions::assert_not_impl_any!(UdpSocket: Send, Sync);
    let (udp, (stream, _peer), listener) = on_core(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), connection().await, listener)
    });
    fn is_gone<T: std::fmt::Debug>(result: std::io::Result<T>) {
        let error = result.unwrap_err();
        assert!(error.get_ref().is_some_and(|inner| inner.is::<CoreGone>()), "{error:?}");
    }
    let story = async || {
        let (read, buf) = stream.read(vec![0; 100]).await;
        assert_eq!(buf.len(), 100);
        is_gone(read);
        let (written, buf) = stream.write_all(vec![0; 100]).await;
        assert_eq!(buf.len(), 100);
        is_gone(written);
        is_gone(listener.accept().await);
        let mut incoming = listener.incoming();
        is_gone(incoming.next().await.unwrap());
        assert!(incoming.next().await.is_none());
        is_gone(udp.recv_from(vec![0; 8]).await.0);
        is_gone(udp.connect(std::net::SocketAddr::from(([127, 0, 0, 1], 80))).await);
    };
    on_core(story);
    // But for the last line, which has a name looked up and so needs a core.
    assert!(stream.read(vec![0; 100]).now_or_never().is_some());
    is_gone(on_core(async || stream.close(Duration::from_secs(1)).await));
}
