//! HTTP over TLS by rustls, on the adapter's other traits.

use crate::{bytes, connection, echo, on_core, post};
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::TokioIo;
use reactor::{io::Adapter, spawn_local};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A server's side with a certificate for `localhost`, and that certificate.
fn acceptor() -> (TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.clone()], key.into()).unwrap();
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

/// A client's side that trusts one certificate, or none.
fn connector(trusted: Option<CertificateDer<'static>>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    trusted.into_iter().for_each(|certificate| roots.add(certificate).unwrap());
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[test]
fn requests_are_answered_over_tls() {
    on_core(async || {
        let (client, server) = connection().await;
        let (acceptor, certificate) = acceptor();
        let serving = spawn_local(async move {
            let stream = acceptor.accept(Adapter::new(server)).await.unwrap();
            let mut http = server::conn::http1::Builder::new();
            http.keep_alive(true).serve_connection(TokioIo::new(stream), service_fn(echo)).await
        });
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector(Some(certificate)).connect(name, Adapter::new(client)).await.unwrap();
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        spawn_local(connection).detach();
        for len in [0, 12, 1_000_000] {
            let body: Vec<u8> = (0..len).map(|at: u32| (at / 17) as u8).collect();
            sender.ready().await.unwrap();
            let response = sender.send_request(post(body.clone())).await.unwrap();
            assert!(bytes(response).await == body);
        }
        drop(sender);
        serving.await.unwrap().unwrap();
    });
}

#[test]
fn a_certificate_that_nobody_trusts_ends_the_handshake_on_both_sides() {
    on_core(async || {
        let (client, server) = connection().await;
        let (acceptor, _certificate) = acceptor();
        let accepting = spawn_local(async move { acceptor.accept(Adapter::new(server)).await.is_ok() });
        let name = ServerName::try_from("localhost").unwrap();
        let refused = connector(None).connect(name, Adapter::new(client)).await.err().unwrap();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidData);
        assert!(!accepting.await.unwrap());
    });
}
