//! HTTP/1.1 as it should go.

use crate::{bytes, client_over, connection, echo, echo_server, on_core, post};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server;
use hyper::service::service_fn;
use reactor::io::{Adapter, ReadOwned, WriteOwned};
use reactor::net::TcpStream;
use reactor::spawn_local;
use std::cell::Cell;
use std::rc::Rc;

#[test]
fn requests_follow_each_other_over_one_connection() {
    on_core(async || {
        let (client, server) = connection().await;
        // What the handler counts with need not be `Send`.
        let served = Rc::new(Cell::new(0));
        let count = served.clone();
        let handler = service_fn(move |request| {
            count.set(count.get() + 1);
            echo(request)
        });
        let serving =
            spawn_local(server::conn::http1::Builder::new().serve_connection(Adapter::new(server), handler));
        let mut sender = client_over(client).await;
        for round in 0..200_u8 {
            sender.ready().await.unwrap();
            let response = sender.send_request(post(vec![round; 100])).await.unwrap();
            assert_eq!(bytes(response).await, vec![round; 100]);
        }
        assert_eq!(served.get(), 200);
        drop(sender);
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn bodies_far_larger_than_the_buffers_arrive_whole() {
    let body: Bytes = (0..3_000_000_u32).map(|at| (at / 11) as u8).collect::<Vec<_>>().into();
    for capacity in [700, 16 << 10, 256 << 10] {
        on_core(async || {
            let (client, server) = connection().await;
            let server = Adapter::with_capacity(capacity, server);
            spawn_local(server::conn::http1::Builder::new().serve_connection(server, service_fn(echo)))
                .detach();
            let response = client_over(client).await.send_request(post(body.clone())).await.unwrap();
            assert!(bytes(response).await == body, "capacity={capacity}");
        });
    }
}

/// As a browser long ago, and `wrk` today, sends them: the second before the first is answered.
#[test]
fn requests_sent_ahead_are_answered_in_order() {
    on_core(async || {
        let (client, server) = connection().await;
        let serving = spawn_local(
            server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(Adapter::new(server), service_fn(echo)),
        );
        let request = |body: &str, connection: &str| {
            format!(
                "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: {connection}\r\ncontent-length: 3\r\n\r\n{body}"
            )
        };
        let ahead = request("one", "keep-alive") + &request("two", "keep-alive") + &request("six", "close");
        client.write_all(ahead.into_bytes()).await.0.unwrap();
        let (result, answers) = client.read_to_end(Vec::new()).await;
        result.unwrap();
        let answers = String::from_utf8(answers).unwrap();
        let bodies: Vec<&str> =
            answers.split("\r\n\r\n").skip(1).map(|rest| rest.get(..3).unwrap_or_default()).collect();
        assert_eq!(bodies, ["one", "two", "six"]);
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn a_client_that_has_ended_its_side_is_answered() {
    on_core(async || {
        let (client, server) = connection().await;
        client.write_all(&b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nend"[..]).await.0.unwrap();
        client.shutdown().await.unwrap();
        let mut http = server::conn::http1::Builder::new();
        let serving = http.half_close(true).serve_connection(Adapter::new(server), service_fn(echo));
        let serving = spawn_local(serving);
        let (result, answer) = client.read_to_end(Vec::new()).await;
        result.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"\r\n\r\nend"));
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn many_connections_at_once_each_get_their_own_answers() {
    on_core(async || {
        let (addr, _serving) = echo_server().await;
        let clients: Vec<_> = (0..64_u8)
            .map(|client| {
                spawn_local(async move {
                    let mut sender =
                        client_over::<Full<Bytes>>(TcpStream::connect(addr).await.unwrap()).await;
                    for len in [0, 1, 5_000, 40_000] {
                        sender.ready().await.unwrap();
                        let response = sender.send_request(post(vec![client; len])).await.unwrap();
                        assert!(bytes(response).await == vec![client; len]);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    });
}
