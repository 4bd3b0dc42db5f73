//! HTTP/2 by prior knowledge, whose streams are tasks of their own.

use crate::{bytes, connection, echo, on_core, post};
use hyper::service::service_fn;
use hyper::{client, server};
use reactor::io::hyper::{Executor, Timer};
use reactor::net::TcpStream;
use reactor::{io::Adapter, spawn_local};
use std::cell::Cell;
use std::rc::Rc;

/// Serves one connection, by a handler that must not leave its core; counts the requests under way.
fn serve(stream: TcpStream, busiest: Rc<Cell<usize>>) {
    let under_way = Rc::new(Cell::new(0));
    let handler = service_fn(move |request| {
        let (under_way, busiest) = (under_way.clone(), busiest.clone());
        async move {
            under_way.set(under_way.get() + 1);
            busiest.set(busiest.get().max(under_way.get()));
            // Others come in the meantime.
            reactor::yield_now().await;
            under_way.set(under_way.get() - 1);
            echo(request).await
        }
    });
    let mut http = server::conn::http2::Builder::new(Executor);
    spawn_local(http.timer(Timer).serve_connection(Adapter::new(stream), handler)).detach();
}

#[test]
fn many_requests_share_one_connection_at_once() {
    on_core(async || {
        let (client, server) = connection().await;
        let busiest = Rc::new(Cell::new(0));
        serve(server, busiest.clone());
        let http = client::conn::http2::Builder::new(Executor);
        let (sender, connection) = http.handshake(Adapter::new(client)).await.unwrap();
        let connection = spawn_local(connection);
        let requests: Vec<_> = (0..100_u8)
            .map(|round| {
                let mut sender = sender.clone();
                spawn_local(async move {
                    let body = vec![round; 100 * usize::from(round)];
                    let response = sender.send_request(post(body.clone())).await.unwrap();
                    assert!(bytes(response).await == body);
                })
            })
            .collect();
        for request in requests {
            request.await.unwrap();
        }
        assert!(busiest.get() > 1, "one after the other");
        drop(sender);
        connection.await.unwrap().unwrap();
    });
}

#[test]
fn large_bodies_go_through_the_windows() {
    on_core(async || {
        let (client, server) = connection().await;
        serve(server, Rc::default());
        let http = client::conn::http2::Builder::new(Executor);
        let (mut sender, connection) = http.handshake(Adapter::new(client)).await.unwrap();
        spawn_local(connection).detach();
        let body: Vec<u8> = (0..1_000_000_u32).map(|at| (at / 13) as u8).collect();
        let response = sender.send_request(post(body.clone())).await.unwrap();
        assert!(bytes(response).await == body);
    });
}
