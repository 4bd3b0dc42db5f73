//! Names to addresses, by the system's resolver, which blocks: on the threads for that.

use super::Endpoint;
use crate::unblock::unblock;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// The addresses of `endpoint`, in the order in which they should be tried. Addresses are given back at once; a name is looked up as
/// by `getaddrinfo(3)`, on the threads of `app::unblock`.
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
    let look_up = unblock(move || {
        let found = (&*host, port).to_socket_addrs().map(Vec::from_iter);
        (host, found)
    });
    let (host, found) = look_up.await.map_err(io::Error::other)?;
    match found {
        Ok(addrs) if addrs.is_empty() => {
            Err(io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address")))
        }
        Ok(addrs) => Ok(addrs),
        Err(error) => Err(io::Error::new(error.kind(), format!("`{host}` is not found: {error}"))),
    }
}
