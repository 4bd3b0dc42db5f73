//! HTTPS by hyper over rustls, with a certificate made at the start: any library that wants tokio's traits gets them from `io::Adapter`.
//!
//! `cargo run --release --example https_server` serves on 127.0.0.1:8443 until Ctrl-C; another address is given behind `--`. With `--try`
//! it finds a port, asks itself once, and ends. One core serves; `http_server` shows how each core does.

use futures::StreamExt;
use futures::future::{Either, select};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, client};
use hyper_util::rt::TokioIo;
use reactor::io::{Adapter, hyper::Timer};
use reactor::net::{TcpListener, TcpOptions, TcpStream};
use reactor::{app, spawn_local, time};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Longer than any honest client takes to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(10);

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"hello world\n"))))
}

#[reactor::main]
async fn main() -> Result<()> {
    let given = std::env::args().nth(1);
    let is_try = given.as_deref() == Some("--try");
    let addr = if is_try { "127.0.0.1:0" } else { given.as_deref().unwrap_or("127.0.0.1:8443") };
    let listener =
        TcpOptions::new().nodelay(true).listen(addr).await.map_err(|error| format!("{addr}: {error}"))?;
    let addr = listener.local_addr()?;

    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];

    println!("listening on https://{addr}/; Ctrl-C ends it");
    println!("  curl --insecure https://{addr}/");
    let serving = spawn_local(serve(listener, TlsAcceptor::from(Arc::new(config))));
    if is_try {
        println!("{}", ask(addr, certificate).await?.trim_end());
        app::stop(0);
    }
    Ok(serving.await?)
}

async fn serve(listener: TcpListener, tls: TlsAcceptor) {
    let mut requested = app::shutdown_requested();
    let mut incoming = listener.incoming();
    while let Either::Left((Some(stream), _)) = select(incoming.next(), &mut requested).await {
        match stream {
            Ok(stream) => {
                let tls = tls.clone();
                spawn_local(async move {
                    if let Err(error) = connection(stream, tls).await {
                        eprintln!("a connection ended: {error}");
                    }
                })
                .detach();
            }
            Err(error) => eprintln!("the listener ended: {error}"),
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor) -> Result<()> {
    let stream = time::timeout(HANDSHAKE, tls.accept(Adapter::new(stream))).await??;
    let mut http = http1::Builder::new();
    http.timer(Timer).serve_connection(TokioIo::new(stream), service_fn(hello)).await?;
    Ok(())
}

/// Asks the server as a client would that trusts its certificate and no other.
async fn ask(addr: SocketAddr, certificate: CertificateDer<'static>) -> Result<String> {
    let mut trusted = RootCertStore::empty();
    trusted.add(certificate)?;
    let config = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    let stream = Adapter::new(TcpStream::connect(addr).await?);
    let tls =
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(tls)).await?;
    spawn_local(connection).detach();
    let request = Request::get("/").header("host", "localhost").body(Empty::<Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.into())?)
}
