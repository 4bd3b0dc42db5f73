//! What TCP streams and listeners do beside echoing.

use crate::{connection, on_core};
use futures::StreamExt;
use reactor::io::{IoBuf, ReadOwned, WriteOwned};
use reactor::net::{TcpKeepalive, TcpListener, TcpOptions, TcpStream, resolve};
use reactor::sys::dma::DmaPool;
use reactor::{app, cores, spawn_local};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::Duration;

#[test]
fn options_hold_for_the_connections_of_a_listener() {
    on_core(async || {
        let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(30));
        let options = TcpOptions::new()
            .nodelay(true)
            .reuse_port(true)
            .reset_on_close(true)
            .keepalive(keepalive)
            .send_buffer(20_000)
            .recv_buffer(30_000)
            .backlog(16)
            .ttl(5);
        let listener = options.listen("127.0.0.1:0").await.unwrap();
        let client = options.connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap();
        for stream in [&client, &server] {
            assert!(stream.nodelay().unwrap());
            let socket = stream.as_socket();
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
            assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
            // The kernel doubles what it is asked for (socket(7)).
            assert_eq!(socket.send_buffer_size().unwrap(), 40_000);
            assert_eq!(socket.recv_buffer_size().unwrap(), 60_000);
            assert_eq!(socket.ttl_v4().unwrap(), 5);
        }
        client.set_nodelay(false).unwrap();
        assert!(!client.nodelay().unwrap());
    });
}

#[test]
fn both_sides_know_each_other() {
    on_core(async || {
        let (client, server) = connection().await;
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert_eq!(client.local_addr().unwrap(), server.peer_addr().unwrap());
    });
}

#[test]
fn a_connection_starts_where_it_is_told_to() {
    on_core(async || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let from = SocketAddr::from(([127, 0, 0, 9], 0));
        let client = TcpOptions::new().local(from).connect(listener.local_addr().unwrap()).await.unwrap();
        assert_eq!(client.local_addr().unwrap().ip(), from.ip());
        assert_eq!(listener.accept().await.unwrap().peer_addr().unwrap(), client.local_addr().unwrap());
    });
}

#[test]
fn names_are_looked_up() {
    on_core(async || {
        let found = resolve("localhost:80").await.unwrap();
        assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80), "{found:?}");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Where there is IPv6, it may come first: nobody listens there, and the next address is tried.
        TcpStream::connect(("localhost", port)).await.unwrap();
    });
}

#[test]
fn the_second_address_is_tried_if_the_first_refuses() {
    on_core(async || {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addrs = vec![gone, listener.local_addr().unwrap()];
        let client = TcpStream::connect(addrs.clone()).await.unwrap();
        assert_eq!(client.peer_addr().unwrap(), addrs[1]);
    });
}

#[test]
fn peeked_bytes_are_still_there_to_read() {
    on_core(async || {
        let (client, server) = connection().await;
        client.write_all(&b"look"[..]).await.0.unwrap();
        let (result, buf) = server.peek(vec![0; 16]).await;
        assert_eq!(&buf[..result.unwrap()], b"look");
        let (result, buf) = server.read(vec![0; 16]).await;
        assert_eq!(&buf[..result.unwrap()], b"look");
    });
}

#[test]
fn several_buffers_go_in_one_write_and_come_in_one_read() {
    on_core(async || {
        let (client, server) = connection().await;
        let bufs: Vec<Vec<u8>> = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let (result, bufs) = client.write_vectored(bufs).await;
        assert_eq!((result.unwrap(), bufs.len()), (8, 3));
        let (result, bufs) = server.read_vectored(vec![vec![0; 2], vec![0; 4], vec![0; 10]]).await;
        assert_eq!(result.unwrap(), 8);
        assert_eq!([&bufs[0][..], &bufs[1][..], &bufs[2][..2]], [&b"on"[..], b"ethr", b"ee"]);
    });
}

#[test]
fn who_has_ended_writing_still_reads() {
    on_core(async || {
        let (client, server) = connection().await;
        client.write_all(&b"question"[..]).await.0.unwrap();
        client.shutdown().await.unwrap();
        let (result, question) = server.read_to_end(Vec::new()).await;
        assert_eq!((result.unwrap(), &question[..]), (8, &b"question"[..]));
        server.write_all(&b"answer"[..]).await.0.unwrap();
        drop(server);
        let (result, answer) = client.read_to_end(b"the ".to_vec()).await;
        assert_eq!((result.unwrap(), &answer[..]), (6, &b"the answer"[..]));
    });
}

#[test]
fn a_read_that_waits_ends_when_reading_is_shut_down() {
    on_core(async || {
        let (client, _server) = connection().await;
        let client = std::rc::Rc::new(client);
        let reader = spawn_local({
            let client = client.clone();
            async move { client.read(vec![0; 8]).await }
        });
        reactor::yield_now().await;
        client.shut_down(Shutdown::Read).unwrap();
        let (result, buf) = reader.await.unwrap();
        assert_eq!((result.unwrap(), buf.len()), (0, 8));
    });
}

#[test]
fn a_dropped_half_that_writes_ends_the_stream() {
    on_core(async || {
        let (client, server) = connection().await;
        let (read, write) = client.into_split();
        drop(write);
        assert_eq!(server.read(vec![0; 1]).await.0.unwrap(), 0);
        server.write_all(&b"still"[..]).await.0.unwrap();
        assert_eq!(read.read_exact(vec![0; 5]).await.1, b"still");
    });
}

#[test]
fn halves_of_two_streams_do_not_fit() {
    on_core(async || {
        let ((one, _one), (other, _other)) = (connection().await, connection().await);
        let ((read, _), (_, write)) = (one.into_split(), other.into_split());
        let error = read.reunite(write).unwrap_err();
        assert_eq!(error.to_string(), "these are halves of two streams");
    });
}

#[test]
fn bytes_that_are_sent_from_where_they_are_arrive_and_the_buffers_come_back() {
    on_core(async || {
        let (mut client, server) = connection().await;
        let reader = spawn_local(async move { server.read_to_end(Vec::new()).await.1 });
        let (result, whole) = client.send_zero_copy(vec![1; 3 << 20]).await;
        assert_eq!(result.unwrap(), 3 << 20);
        let (result, none) = client.split().1.send_zero_copy(Vec::new()).await;
        assert_eq!((result.unwrap(), none.await.len()), (0, 0));
        let (read, write) = client.into_split();
        // Of a part, and of memory that is registered with the ring.
        let mut page = DmaPool::local().try_alloc(4096).unwrap();
        page.fill(2);
        let (result, page) = write.send_zero_copy(page.slice(..1000)).await;
        assert_eq!(result.unwrap(), 1000);
        drop((read, write));
        assert!(reader.await.unwrap() == [vec![1; 3 << 20], vec![2; 1000]].concat());
        assert_eq!((whole.await.len(), page.await.into_inner().len()), (3 << 20, 4096));
    });
}

/// Without draining, the bytes that the client does not read would reset the connection, and the answer would be lost.
#[test]
fn a_connection_that_is_closed_in_order_loses_nothing() {
    on_core(async || {
        let (client, server) = connection().await;
        client.write_all(vec![1; 100_000]).await.0.unwrap();
        server.write_all(&b"enough"[..]).await.0.unwrap();
        let closing = spawn_local(server.close(Duration::from_secs(60)));
        let (result, answer) = client.read_to_end(Vec::new()).await;
        result.unwrap();
        assert_eq!(answer, b"enough");
        drop(client);
        closing.await.unwrap().unwrap();
    });
}

#[test]
fn what_was_received_may_be_sent_on_in_parts() {
    on_core(async || {
        let (client, server) = connection().await;
        client.write_all(b"abcdef".to_vec().slice(1..5)).await.0.unwrap();
        let (result, buf) = server.read_exact(vec![0; 6].slice(2..)).await;
        assert_eq!((result.unwrap(), &buf.into_inner()[..]), (4, &b"\0\0bcde"[..]));
    });
}

/// The kernel chooses by addresses and ports: with 200 connections, no listener goes without.
#[test]
fn listeners_of_two_cores_on_one_port_both_accept() {
    const CONNECTIONS: usize = 200;
    let builder = app::Builder::new().cores(2).pin(false).signals(false);
    let taken = builder.run(async || {
        let options = || TcpOptions::new().reuse_port(true);
        let first = options().listen("127.0.0.1:0").await.unwrap();
        let addr = first.local_addr().unwrap();
        let serve = move |listener: TcpListener| async move {
            let mut taken = 0;
            let mut incoming = listener.incoming();
            while let Some(stream) = incoming.next().await {
                let (result, last) = stream.unwrap().read_exact(vec![0; 1]).await;
                result.unwrap();
                if last[0] == 1 {
                    break;
                }
                taken += 1;
            }
            taken
        };
        let other = cores().nth(1).unwrap();
        let (ready, is_ready) = reactor::sync::oneshot::channel();
        let second = reactor::call_on(other, async move || {
            let listener = options().listen(addr).await.unwrap();
            ready.send(()).unwrap();
            serve(listener).await
        });
        is_ready.await.unwrap();
        let first = spawn_local(serve(first));
        for _ in 0..CONNECTIONS {
            TcpStream::connect(addr).await.unwrap().write_all(vec![0]).await.0.unwrap();
        }
        // Both are told to stop by connections that say so, as many as it takes to reach both.
        let stop = spawn_local(async move {
            loop {
                let Ok(stream) = TcpStream::connect(addr).await else { return };
                let _ = stream.write_all(vec![1]).await;
            }
        });
        let taken = (first.await.unwrap(), second.await.unwrap());
        stop.abort();
        taken
    });
    let (first, second) = taken.unwrap();
    assert_eq!(first + second, CONNECTIONS);
    assert!(first > 0 && second > 0, "{first} and {second}");
}

/// Each core has its own ring, and sockets of one are used there only.
#[test]
fn a_socket_goes_to_another_core_by_its_descriptor() {
    let builder = app::Builder::new().cores(2).pin(false).signals(false);
    let answer = builder.run(async || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let other = cores().nth(1).unwrap();
        let server = reactor::call_on(other, async move || {
            let stream = TcpListener::try_from(listener).unwrap().accept().await.unwrap();
            stream.write_all(&b"from there"[..]).await.0.unwrap();
        });
        let client = TcpStream::connect(addr).await.unwrap();
        let (result, answer) = client.read_to_end(Vec::new()).await;
        result.unwrap();
        server.await.unwrap();
        answer
    });
    assert_eq!(answer.unwrap(), b"from there");
}
