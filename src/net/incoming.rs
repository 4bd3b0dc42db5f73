//! Connections as they come: accept after accept, over the errors that pass.
//!
//! ```text
//!            ┌── taken ──▶ yields the connection ──┐
//!  Accepting ┤                                     ├─▶ Accepting
//!            ├── that connection failed ───────────┤
//!            ├── no descriptor or memory ─▶ Waiting┘ 10 ms, doubled up to 1 s
//!            └── anything else ─▶ yields the error ─▶ Ended
//! ```
//!
//! The ring is asked once for all connections, or for each where the kernel knows no better; so some may be accepted before they are
//! taken. Those are left to the listener: see `ahead`.

use super::ahead::Acceptor;
use super::socket::Socket;
use super::stream::OverSocket;
use crate::time::{self, Sleep};
use crate::uring::AcceptStream;
use futures::Stream;
use futures::stream::FusedStream;
use rustix::io::Errno;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The connections of a listener, without end.
///
/// What passes is waited out: connections that were reset before they were taken, and want of descriptors or memory (`EMFILE`,
/// `ENFILE`, `ENOBUFS`, `ENOMEM`), over which a listener tries again after a while. What does not pass, such as a listener that is
/// shut down, is yielded as the last item.
///
/// With a multishot accept (Linux 5.19) all connections that have come are taken in one turn; before, one per turn. (Of 64 that come
/// together each takes 0.2 system calls then, instead of one; alone, one either way: `cargo bench --bench net -- accept`.) Some 64 at most
/// are accepted ahead of the consumer. Dropping it leaves these to the listener's next accept, unless one is waiting already: then
/// they are closed, as is what the kernel accepts while it is being told to stop.
#[must_use = "connections are accepted when polled"]
pub struct Incoming<'a, S> {
    listener: &'a Socket,
    acceptor: Acceptor<'a>,
    accepts: AcceptStream,
    state: State,
    pause: Duration,
    kind: PhantomData<fn() -> S>,
}

enum State {
    Accepting,
    Waiting(Sleep),
    Ended,
}

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

enum Trouble {
    /// One connection's own: the next may fare better.
    Connection,
    /// The process's or the machine's: others must let go first.
    Shortage,
    /// The listener's own.
    Listener,
}

impl Trouble {
    /// By accept(2), which asks to treat errors of the network as if the connection had not come.
    fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NONET
                | Errno::NOPROTOOPT
                | Errno::PERM,
            ) => Self::Connection,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::Shortage,
            _ => Self::Listener,
        }
    }
}

impl<'a, S> Incoming<'a, S> {
    pub(super) fn new(listener: &'a Socket) -> Self {
        Self {
            listener,
            acceptor: listener.enter(),
            accepts: listener.accepts(),
            state: State::Accepting,
            pause: PAUSE_MIN,
            kind: PhantomData,
        }
    }

    /// The next connection, those that are there already first.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Socket>>> {
        if let Some(fd) = self.acceptor.take() {
            return Poll::Ready(Some(Ok(self.listener.accepted(fd))));
        }
        let accepted = ready!(Pin::new(&mut self.accepts).poll_next(cx));
        Poll::Ready(accepted.map(|result| result.map(|fd| self.listener.accepted(fd))))
    }
}

impl<S: OverSocket> Stream for Incoming<'_, S> {
    type Item = io::Result<S>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<S>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Accepting => match ready!(this.poll_accept(cx)) {
                    Some(Ok(socket)) => {
                        this.pause = PAUSE_MIN;
                        return Poll::Ready(Some(Ok(S::of(socket))));
                    }
                    Some(Err(error)) => match Trouble::of(&error) {
                        Trouble::Connection => {}
                        Trouble::Shortage => {
                            this.state = State::Waiting(time::sleep(this.pause));
                            this.pause = (this.pause * 2).min(PAUSE_MAX);
                        }
                        Trouble::Listener => {
                            this.state = State::Ended;
                            return Poll::Ready(Some(Err(error)));
                        }
                    },
                    None => this.state = State::Ended,
                },
                State::Waiting(pause) => {
                    ready!(Pin::new(pause).poll(cx));
                    this.state = State::Accepting;
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl<S: OverSocket> FusedStream for Incoming<'_, S> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Ended)
    }
}

impl<S> Drop for Incoming<'_, S> {
    fn drop(&mut self) {
        while let Some(accepted) = self.accepts.take_untaken() {
            // An error was that connection's own, or comes again.
            if let Ok(connection) = accepted {
                self.acceptor.leave(connection);
            }
        }
    }
}

impl<S> fmt::Debug for Incoming<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("listener", &self.listener).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
#[path = "incoming_tests.rs"]
mod tests;
