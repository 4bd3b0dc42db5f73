//! hyper on a core: servers and clients over the loopback, of both versions of the protocol, with what goes wrong between them.

#[path = "hyper/broken.rs"]
mod broken;
#[path = "hyper/cores.rs"]
mod cores;
#[path = "hyper/http1.rs"]
mod http1;
#[path = "hyper/http2.rs"]
mod http2;
#[path = "support/mod.rs"]
mod support;
#[path = "hyper/timers.rs"]
mod timers;
#[path = "hyper/tls.rs"]
mod tls;

use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use reactor::io::Adapter;
use reactor::net::{TcpListener, TcpStream};
use reactor::{JoinHandle, LocalExecutor, spawn_local};
use std::net::SocketAddr;

/// Runs the story on a core of its own.
fn on_core<T>(story: impl AsyncFnOnce() -> T) -> T {
    LocalExecutor::new().unwrap().block_on(story())
}

/// Sends back the body that comes, as it comes.
async fn echo(request: Request<Incoming>) -> hyper::Result<Response<Incoming>> {
    Ok(Response::new(request.into_body()))
}

/// Both ends of a TCP connection.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap())
}

/// A server that echoes over HTTP/1.1, and what it makes of one connection after the other.
async fn echo_server() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = spawn_local(async move {
        let mut incoming = listener.incoming();
        while let Some(stream) = incoming.next().await {
            let stream = Adapter::new(stream.unwrap());
            spawn_local(server::conn::http1::Builder::new().serve_connection(stream, service_fn(echo)))
                .detach();
        }
    });
    (addr, serving)
}

/// A client's end of HTTP/1.1 over the stream.
async fn client_over<B>(stream: TcpStream) -> SendRequest<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let (sender, connection) = client::conn::http1::handshake(Adapter::new(stream)).await.unwrap();
    spawn_local(connection).detach();
    sender
}

fn post(body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("/").header("host", "localhost").body(Full::new(body.into())).unwrap()
}

async fn bytes(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}
