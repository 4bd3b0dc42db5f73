//! Names to addresses, by the system's resolver, which blocks: on threads of their own.

use super::Endpoint;
use crate::reactor::context;
use crate::sync::{Semaphore, oneshot};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::thread;

/// Look-ups at a time per core. The system's resolver asks one server after the other, for seconds if none answers.
const LOOKUPS_MAX: usize = 4;

/// The turns that this core's look-ups take.
struct Turns(Semaphore);

/// The addresses of `endpoint`, in the order in which they should be tried. Addresses are given back at once; a name is looked up as
/// by `getaddrinfo(3)`, four awaited at a time per core, further ones in order.
///
/// Dropping the future does not end a look-up that has begun.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for text that is neither; the resolver's own; [`io::ErrorKind::NotFound`] for a name without an
/// address.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
pub async fn resolve(endpoint: impl Into<Endpoint>) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = match endpoint.into().known()? {
        Ok(addrs) => return Ok(addrs),
        Err(name) => name,
    };
    let turns = context::singleton(|| Ok::<_, Infallible>(Rc::new(Turns(Semaphore::new(LOOKUPS_MAX)))));
    let turns = turns.unwrap_or_else(|never| match never {});
    let _turn = turns.0.acquire(1).await;
    let (tx, rx) = oneshot::channel();
    thread::Builder::new().name("resolve".into()).spawn(move || {
        let found = (&*host, port).to_socket_addrs().map(Vec::from_iter);
        // Nobody waits any more if this fails.
        let _ = tx.send((host, found));
    })?;
    let (host, found) = rx.await.map_err(|_| io::Error::other("the resolver panicked"))?;
    match found {
        Ok(addrs) if addrs.is_empty() => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address")))
        }
        Ok(addrs) => Ok(addrs),
        Err(error) => Err(io::Error::new(error.kind(), format!("`{host}` is not found: {error}"))),
    }
}
