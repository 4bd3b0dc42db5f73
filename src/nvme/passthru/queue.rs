//! Where a namespace's commands go on this core: the core's ring for commands, and the future of each.

use super::OpenError;
use super::entry::{self, Held, Operations};
use super::kernel::{URING_IO, URING_IO_VEC};
use super::node::QueueLimits;
use crate::nvme::queue::{Answered, Origin, Request, sealed::Sealed};
use crate::nvme::spec::{Command, Status};
use crate::nvme::{self, Answer, Error, Limits, Payload};
use crate::uring::command::{self, CommandRing, Reply, Target};
use crate::uring::{Config, CoreGone, Counters};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The kernel's queues of one namespace, as this core reaches them. Made by [`Namespace::queue`](super::Namespace::queue); clones are the
/// same.
///
/// Commands are handed over when the core's turn ends, all in one system call, and wait in order while 1,023 of the core are on their way.
#[derive(Clone)]
pub struct Queue(Rc<Inner>);

struct Inner {
    ring: Rc<CommandRing<Held>>,
    target: Rc<Target<Held>>,
    limits: Limits,
    origin: Origin,
}

/// Commands of a core on their way. As many as a queue of the kernel's has room for (`nvme.io_queue_depth`): with more, workers of the
/// kernel would wait for room, one for each command.
const IN_FLIGHT_MAX: u32 = 1023;

const OPERATIONS: Operations = Operations { one: URING_IO, many: URING_IO_VEC };

/// This core's ring, or the one of the two that polls.
pub(super) fn ring(is_polling: bool) -> Result<Rc<CommandRing<Held>>, OpenError> {
    let config = Config {
        is_polling,
        in_flight_max: IN_FLIGHT_MAX,
        completions: IN_FLIGHT_MAX + 1,
        ..Config::default()
    };
    CommandRing::current_or_new(&config).map_err(OpenError::from_ring)
}

impl Queue {
    pub(super) fn new(
        fd: &Arc<OwnedFd>,
        limits: QueueLimits,
        origin: Origin,
        is_polling: bool,
    ) -> Result<Self, OpenError> {
        let ring = ring(is_polling)?;
        let target = ring.target(fd.clone());
        Ok(Self(Rc::new(Inner { ring, target, limits: limits.limits(), origin })))
    }

    /// Whether a command of this queue or a clone is not answered, be it one that nobody awaits any more.
    pub(crate) fn is_busy(&self) -> bool {
        // Each command has one.
        Rc::strong_count(&self.0.target) > 1
    }

    /// What this core's ring for commands has done so far, for all its namespaces.
    pub fn counters(&self) -> Counters {
        self.0.ring.counters()
    }
}

impl Sealed for Queue {}

impl nvme::Queue for Queue {
    type Sent<'a, Ask: Fn() -> Command + 'a> = Sent<'a>;

    #[inline]
    fn send<'a, Ask: Fn() -> Command + 'a>(&'a self, request: Request<Ask>) -> Sent<'a> {
        let Request { ask, payload } = request;
        let command = ask();
        let Inner { ring, target, limits, .. } = &*self.0;
        match entry::check(&command, &payload, *limits).map_err(Box::new) {
            Ok(()) => Sent::new(entry::send(ring, target, OPERATIONS, &command, payload, None)),
            Err(error) => Sent(State::Refused(error, payload)),
        }
    }

    fn limits(&self) -> Limits {
        self.0.limits
    }

    fn origin(&self) -> Origin {
        self.0.origin
    }
}

/// A command on its way to the kernel's driver and back; see [`Queue`](nvme::Queue::send).
#[must_use = "commands are queued when first polled"]
pub struct Sent<'a>(State<'a>);

enum State<'a> {
    Sent(command::Sent<'a, Held>),
    Refused(Box<Error>, Payload),
    Done,
}

impl<'a> Sent<'a> {
    #[inline]
    pub(super) fn new(sent: command::Sent<'a, Held>) -> Self {
        Self(State::Sent(sent))
    }
}

impl Future for Sent<'_> {
    type Output = (Answered, Payload);

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Sent(sent) = &mut self.0 {
            let (reply, held) = ready!(Pin::new(sent).poll(cx));
            self.0 = State::Done;
            return Poll::Ready((answer(reply).map_err(Box::new), held.payload));
        }
        match std::mem::replace(&mut self.0, State::Done) {
            State::Refused(error, payload) => Poll::Ready((Err(error), payload)),
            _ => panic!("a command was polled after it had finished"),
        }
    }
}

/// The controller's status is positive, the kernel's errors are negative.
#[inline]
fn answer(reply: Reply) -> Result<Answer, Error> {
    match reply.result {
        _ if reply.is_of_no_core() => Err(Error::Kernel(io::Error::other(CoreGone))),
        errno @ ..0 => Err(Error::Kernel(io::Error::from_raw_os_error(-errno))),
        status => Ok(Answer { status: Status::from_bits(status as u16), result: reply.value }),
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::nvme::spec::StatusCode;

    #[test]
    fn the_controllers_errors_and_the_kernels_are_kept_apart() {
        let of = |result| answer(Reply { result, value: 7 });
        assert_eq!(of(0).unwrap(), Answer { status: Status::SUCCESS, result: 7 });
        let status = Status::of(StatusCode::LBA_OUT_OF_RANGE).with_dnr(true);
        assert_eq!(of(0x4080).unwrap().status, status);
        let Err(error) = of(-22) else { panic!("it is an error") };
        assert!(matches!(&error, Error::Kernel(source) if source.raw_os_error() == Some(22)));
        assert!(error.to_string().starts_with("the kernel finds the command wrong"), "{error}");
    }
}
