//! HTTP/1.1 as it goes wrong: one side gone midway, and told so.

use crate::{bytes, client_over, connection, echo_server, on_core, post};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, stream};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, server};
use reactor::io::Adapter;
use reactor::io::hyper::Executor;
use reactor::net::{TcpListener, TcpOptions, TcpStream};
use reactor::spawn_local;
use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::panic::catch_unwind;
use std::pin::Pin;

/// An answer that begins and never ends.
async fn endless(
    _request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let begin = stream::once(async { Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"begin"))) });
    Ok(Response::new(StreamBody::new(Box::pin(begin.chain(stream::pending())))))
}

#[test]
fn server_dropped_amid_an_answer_is_an_error_to_the_client() {
    on_core(async || {
        let (client, server) = connection().await;
        let serving = spawn_local(
            server::conn::http1::Builder::new().serve_connection(Adapter::new(server), service_fn(endless)),
        );
        let mut sender = client_over::<Empty<Bytes>>(client).await;
        let request = Request::get("/").header("host", "a").body(Empty::new()).unwrap();
        let mut body = sender.send_request(request).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begin");
        serving.abort();
        // Not a short body: an error.
        let error = body.frame().await.unwrap().unwrap_err();
        let cause = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn client_gone_amid_an_answer_ends_its_connection_and_no_other() {
    on_core(async || {
        let (addr, _serving) = echo_server().await;
        let mut other = client_over::<Full<Bytes>>(TcpStream::connect(addr).await.unwrap()).await;
        for _ in 0..10 {
            let reset = TcpOptions::new().reset_on_close(true);
            let mut gone = Adapter::new(reset.connect(addr).await.unwrap());
            // More is promised than comes, and nothing of the answer is read.
            gone.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n").await.unwrap();
            gone.write_all(&[7; 50_000]).await.unwrap();
            gone.flush().await.unwrap();
            drop(gone);
            other.ready().await.unwrap();
            assert_eq!(bytes(other.send_request(post("still here")).await.unwrap()).await, "still here");
        }
    });
}

#[test]
fn nothing_is_left_to_say_to_a_peer_that_has_reset_the_connection() {
    on_core(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reset = TcpOptions::new().reset_on_close(true);
        let peer = reset.connect(listener.local_addr().unwrap()).await.unwrap();
        let mut stream = Adapter::new(listener.accept().await.unwrap());
        drop(peer);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.close().await.unwrap_err().kind(), ErrorKind::NotConnected);
        poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut stream), cx)).await.unwrap();
    });
}

#[test]
fn executor_names_what_it_lacks_outside_of_a_reactor() {
    let panic = catch_unwind(|| hyper::rt::Executor::execute(&Executor, async {})).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("spawn_local"), "{message}");
}
