//! hyper on several cores: connections stay where they were accepted.

use crate::support::cores_unpinned;
use crate::{bytes, client_over, echo, post};
use futures::StreamExt;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server;
use hyper::service::service_fn;
use reactor::io::Adapter;
use reactor::io::hyper::Timer;
use reactor::net::{TcpListener, TcpOptions, TcpStream};
use reactor::{Core, call_on, cores, spawn_local};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

async fn serve(listener: TcpListener, served: Arc<AtomicUsize>) {
    let home = Core::current();
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        let served = served.clone();
        let handler = service_fn(move |request| {
            assert_eq!(Core::current(), home);
            served.fetch_add(1, Ordering::Relaxed);
            echo(request)
        });
        let mut http = server::conn::http1::Builder::new();
        let stream = Adapter::new(stream.unwrap());
        spawn_local(http.timer(Timer).serve_connection(stream, handler)).detach();
    }
}

#[test]
fn each_core_serves_its_own_connections_on_one_port() {
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    cores_unpinned(2)
        .run(async move || {
            let options = TcpOptions::new().reuse_port(true);
            let first = options.listen("127.0.0.1:0").await.unwrap();
            let addr = first.local_addr().unwrap();
            spawn_local(serve(first, count.clone())).detach();
            let far = cores().nth(1).unwrap();
            let listening = call_on(far, async move || {
                let second = options.listen(addr).await.unwrap();
                spawn_local(serve(second, count)).detach();
            });
            listening.await.unwrap();
            // Clients on both cores too; which listener has a connection is the kernel's choice.
            let ask = move |from: u8| async move {
                for client in 0..16 {
                    let stream = TcpStream::connect(addr).await.unwrap();
                    let mut sender = client_over::<Full<Bytes>>(stream).await;
                    for len in [1, 70_000] {
                        sender.ready().await.unwrap();
                        let response = sender.send_request(post(vec![from + client; len])).await.unwrap();
                        assert!(bytes(response).await == vec![from + client; len]);
                    }
                }
            };
            let far = call_on(far, async move || ask(100).await);
            ask(0).await;
            far.await.unwrap();
        })
        .unwrap();
    assert_eq!(served.load(Ordering::Relaxed), 2 * 16 * 2);
}
