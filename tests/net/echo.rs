//! Echo over each kind of stream, one connection and many, by the traits that they share.

use crate::on_core;
use futures::StreamExt;
use reactor::io::{ReadOwned, WriteOwned};
use reactor::net::{TcpListener, TcpStream, UnixAddr, UnixListener, UnixStream};
use reactor::{JoinHandle, spawn_local};
use std::rc::Rc;

/// Sends back what comes, to the end.
async fn echo<S: ReadOwned + WriteOwned>(stream: S) {
    let mut buf = vec![0; 4096];
    loop {
        let (result, read) = stream.read(buf).await;
        let count = result.unwrap();
        if count == 0 {
            return stream.shutdown().await.unwrap();
        }
        let (result, written) = stream.write_all(reactor::io::IoBuf::slice(read, ..count)).await;
        result.unwrap();
        buf = written.into_inner();
    }
}

/// Sends `rounds` messages of `len` bytes, each after the echo of the one before, then ends.
async fn ask<S: ReadOwned + WriteOwned>(stream: S, len: usize, rounds: u8) {
    for round in 0..rounds {
        let sent: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(round)).collect();
        let write = async { stream.write_all(sent.clone()).await.0.unwrap() };
        let read = async { stream.read_exact(vec![0; len]).await };
        let (_, (result, back)) = futures::future::join(write, read).await;
        assert_eq!(result.unwrap(), len);
        assert!(back == sent, "round {round} came back changed");
    }
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(vec![0; 1]).await.0.unwrap(), 0);
}

#[test]
fn a_tcp_stream_echoes_short_and_long_messages() {
    on_core(async || {
        for (len, rounds) in [(1, 5), (64, 20), (1 << 20, 3)] {
            let (client, server) = crate::connection().await;
            let server = spawn_local(echo(server));
            ask(client, len, rounds).await;
            server.await.unwrap();
        }
    });
}

#[test]
fn a_unix_stream_echoes_short_and_long_messages() {
    on_core(async || {
        for (len, rounds) in [(1, 5), (64, 20), (1 << 20, 3)] {
            let (client, server) = UnixStream::pair().unwrap();
            let server = spawn_local(echo(server));
            ask(client, len, rounds).await;
            server.await.unwrap();
        }
    });
}

#[test]
fn halves_and_references_are_streams_too() {
    on_core(async || {
        let (client, server) = crate::connection().await;
        let server = spawn_local(echo(Rc::new(server)));
        let (read, write) = client.into_split();
        write.write_all(&b"by halves"[..]).await.0.unwrap();
        let (result, back) = read.read_exact(vec![0; 9]).await;
        result.unwrap();
        assert_eq!(back, b"by halves");
        let mut client = read.reunite(write).unwrap();
        {
            let (read, write) = client.split();
            write.write_all(&b"lent"[..]).await.0.unwrap();
            assert_eq!(read.read_exact(vec![0; 4]).await.1, b"lent");
        }
        ask(&client, 10, 1).await;
        server.await.unwrap();
    });
}

#[test]
fn three_hundred_connections_at_once_are_served() {
    const CONNECTIONS: usize = 300;
    on_core(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn_local(async move {
            let served: Vec<JoinHandle<()>> = listener
                .incoming()
                .take(CONNECTIONS)
                .map(|stream| spawn_local(echo(stream.unwrap())))
                .collect()
                .await;
            for connection in served {
                connection.await.unwrap();
            }
        });
        let client = || spawn_local(async move { ask(TcpStream::connect(addr).await.unwrap(), 64, 4).await });
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| client()).collect();
        for client in clients {
            client.await.unwrap();
        }
        server.await.unwrap();
    });
}

#[test]
fn a_unix_listener_takes_connections_by_path_and_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let name = UnixAddr::abstract_name(format!("reactor-test-{}", std::process::id()));
    on_core(async || {
        for addr in [UnixAddr::from(&dir.path().join("socket")), name] {
            let listener = UnixListener::bind(addr.clone()).unwrap();
            assert_eq!(listener.local_addr().unwrap(), addr);
            let client = UnixStream::connect(addr.clone()).await.unwrap();
            let server = listener.incoming().next().await.unwrap().unwrap();
            assert_eq!(client.peer_addr().unwrap(), addr);
            assert!(server.peer_addr().unwrap().is_unnamed());
            let server = spawn_local(echo(server));
            ask(client, 64, 2).await;
            server.await.unwrap();
        }
    });
}
