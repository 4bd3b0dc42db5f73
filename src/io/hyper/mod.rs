//! hyper 1.x on a core: its executor, its timer, its streams.
//!
//! An [`Adapter`](super::Adapter) is a stream as hyper wants it (`stream`); [`Timer`] is how hyper waits (`timer`); [`Executor`]
//! starts the tasks that HTTP/2 and the client ask for. Connections stay on the core that accepted them, and so do their tasks.
//!
//! ```
//! use futures::StreamExt;
//! use hyper::{Request, Response, body::{Body, Incoming}, client, server, service::service_fn};
//! use reactor::io::{Adapter, hyper::Timer};
//! use reactor::net::{TcpListener, TcpStream};
//!
//! async fn hello(_: Request<Incoming>) -> Result<Response<String>, std::convert::Infallible> {
//!     Ok(Response::new("hello".into()))
//! }
//!
//! # reactor::LocalExecutor::new()?.block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let addr = listener.local_addr()?;
//! reactor::spawn_local(async move {
//!     let mut incoming = listener.incoming();
//!     while let Some(Ok(stream)) = incoming.next().await {
//!         let connection =
//!             server::conn::http1::Builder::new().timer(Timer).serve_connection(Adapter::new(stream), service_fn(hello));
//!         reactor::spawn_local(connection).detach();
//!     }
//! })
//! .detach();
//!
//! let stream = TcpStream::connect(addr).await?;
//! let (mut sender, connection) = client::conn::http1::handshake(Adapter::new(stream)).await?;
//! reactor::spawn_local(connection).detach();
//! let request = Request::get("/").header("host", "localhost").body(String::new())?;
//! let response = sender.send_request(request).await?;
//! assert_eq!(response.into_body().size_hint().exact(), Some(5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), reactor::Error>(())
//! ```

mod stream;
mod timer;

pub use timer::Timer;

use std::future::Future;

/// Starts hyper's tasks on the current core: as `hyper::rt::Executor`, of futures that need not be `Send`.
///
/// For `hyper::server::conn::http2::Builder::new` and `hyper::client::conn::http2::Builder::new`. Tasks are detached: they end by
/// themselves, when their connection does, or with the core.
///
/// ```
/// use hyper::server::conn::http2;
/// let builder = http2::Builder::new(reactor::io::hyper::Executor);
/// # let _ = builder;
/// ```
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) where it is asked to start a task outside of a reactor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        crate::spawn_local(future).detach();
    }
}
