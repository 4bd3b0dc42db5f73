//! An HTTP/1.1 server on every core, by hyper: each core has a listener of its own on the same port, among which the kernel spreads the
//! connections, and each connection stays on its core.
//!
//! `cargo run --release --example http_server` serves on 127.0.0.1:8080 until Ctrl-C; another address is given behind `--`. With `--try`
//! it finds a port, asks itself once, and ends.

use futures::StreamExt;
use futures::future::{Either, select};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, client};
use reactor::io::{Adapter, hyper::Timer};
use reactor::net::{TcpListener, TcpOptions, TcpStream};
use reactor::sync::Notify;
use reactor::{TaskScope, app, call_on, cores, spawn_local};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello world\n"))))
}

#[reactor::main(cores = 2, mode = "interrupt")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args().nth(1);
    let is_try = given.as_deref() == Some("--try");
    let addr = if is_try { "127.0.0.1:0" } else { given.as_deref().unwrap_or("127.0.0.1:8080") };
    let options = TcpOptions::new().reuse_port(true).nodelay(true);
    let first = options.listen(addr).await.map_err(|error| format!("{addr}: {error}"))?;
    let addr = first.local_addr()?;

    for core in cores().skip(1) {
        let options = options.clone();
        let listening = call_on(core, async move || {
            spawn_local(serve(options.listen(addr).await?)).detach();
            std::io::Result::Ok(())
        });
        listening.await??;
    }
    println!("listening on http://{addr}/ on {} cores; Ctrl-C ends it", cores().count());
    println!("  curl http://{addr}/");
    println!("  wrk -t1 -c64 -d5 http://{addr}/");
    let serving = spawn_local(serve(first));
    if is_try {
        println!("{}", ask(addr).await?.trim_end());
        app::stop(0);
    }
    Ok(serving.await?)
}

/// Serves connections until the application ends, then lets each finish the request that it is at.
async fn serve(listener: TcpListener) {
    let mut requested = app::shutdown_requested();
    let mut connections = TaskScope::new();
    let end = Rc::new(Notify::new());
    let mut incoming = listener.incoming();
    // The guard holds up the end until the last connection is closed.
    let _guard = loop {
        match select(incoming.next(), &mut requested).await {
            Either::Left((Some(Ok(stream)), _)) => drop(connections.spawn(connection(stream, end.clone()))),
            Either::Left((Some(Err(error)), _)) => eprintln!("the listener ended: {error}"),
            Either::Left((None, _)) => break requested.await,
            Either::Right((guard, _)) => break guard,
        }
    };
    // Who connects from now on is refused instead of left waiting.
    drop(incoming);
    drop(listener);
    end.notify_waiters();
    connections.join().await;
}

async fn connection(stream: TcpStream, end: Rc<Notify>) {
    let mut http = http1::Builder::new();
    // With a timer, hyper gives a client 30 s for the head of a request.
    http.timer(Timer).pipeline_flush(true);
    let serving = pin!(http.serve_connection(Adapter::new(stream), service_fn(hello)));
    let ending = pin!(async {
        // One that begins while the end comes has missed the signal.
        if !app::is_shutdown_requested() {
            end.notified().await;
        }
    });
    let served = match select(serving, ending).await {
        Either::Left((served, _)) => served,
        Either::Right(((), mut serving)) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    // One client's trouble is no other's.
    if let Err(error) = served {
        eprintln!("a connection ended: {error}");
    }
}

/// Asks the server as a client would.
async fn ask(addr: std::net::SocketAddr) -> Result<String, Box<dyn std::error::Error>> {
    let stream = Adapter::new(TcpStream::connect(addr).await?);
    let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
    spawn_local(connection).detach();
    let request = Request::get("/").header("host", addr.to_string()).body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.into())?)
}
