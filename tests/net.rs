//! Sockets on the loopback: what each kind does, what goes wrong with them, and what only a process of its own can show.

#[path = "net/adapter.rs"]
mod adapter;
#[path = "net/bad_input.rs"]
mod bad_input;
#[path = "net/echo.rs"]
mod echo;
#[path = "net/process.rs"]
mod process;
#[path = "net/tcp.rs"]
mod tcp;
#[path = "net/udp.rs"]
mod udp;
#[path = "net/unix.rs"]
mod unix;

use reactor::LocalExecutor;
use reactor::net::{TcpListener, TcpStream};

/// Runs the story on a core of its own.
fn on_core<T>(story: impl AsyncFnOnce() -> T) -> T {
    LocalExecutor::new().unwrap().block_on(story())
}

/// Both ends of a TCP connection.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap())
}

/// The OS code of an error.
fn code<T: std::fmt::Debug>(result: std::io::Result<T>) -> Option<rustix::io::Errno> {
    rustix::io::Errno::from_io_error(&result.unwrap_err())
}
