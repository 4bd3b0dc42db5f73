//! Ending a connection so that nothing is lost on the way.

use super::socket::Socket;
use crate::time;
use rustix::io::Errno;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

/// What is read at a time, to be dropped.
const CHUNK: usize = 16 << 10;

/// Says that nothing more comes, and drops what comes until the peer says so too.
pub(super) async fn close(socket: &Socket, patience: Duration) -> io::Result<()> {
    match socket.shutdown(Shutdown::Write) {
        // The peer has reset it: nothing can be lost any more.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
        result => result?,
    }
    let drain = async {
        let mut buf = vec![0; CHUNK];
        loop {
            let (result, back) = socket.read(buf).await;
            if result? == 0 {
                return Ok(());
            }
            buf = back;
        }
    };
    time::timeout(patience, drain).await.unwrap_or_else(|_| Err(Errno::TIMEDOUT.into()))
}
