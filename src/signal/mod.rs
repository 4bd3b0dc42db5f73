//! Signals as a stream: what SIGHUP or SIGUSR1 asks for is done in a task, not in a handler.
//!
//! A [`Signals`] reads a signalfd whenever the core's ring says that something came. For that the signals must be blocked in
//! every thread, or the kernel gives them to one that does not: [`block`] before threads start, which
//! [`app::Builder::block_signals`](crate::app::Builder::block_signals) does for an application, and [`Signals::new`] looks at all
//! threads. SIGINT and SIGTERM need none of this, as the application ends by them anyway.

mod threads;

use crate::reactor::context;
use crate::uring::{self, Fd, Ring};
use futures::{Stream, future::LocalBoxFuture};
use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, Signal as Number},
        signalfd::{SfdFlags, SignalFd},
    },
};
use rustix::event::PollFlags;
pub use rustix::process::Signal;
use std::{
    fmt, io,
    os::fd::AsFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Blocks `signals` in the calling thread and in those that it starts from now on: they wait until somebody reads them from a
/// [`Signals`].
///
/// Programs that `std::process::Command` starts do not inherit this.
///
/// # Errors
/// [`Error::NotWatchable`] for SIGKILL and SIGSTOP, which cannot be blocked, and for those by which the kernel reports a fault
/// to the very thread that caused it.
pub fn block(signals: impl IntoIterator<Item = Signal>) -> Result<(), Error> {
    let set = set_of(signals)?;
    set.thread_block().map_err(|errno| Error::Os(errno.into()))
}

/// A stream of the signals that come, for as long as it lives. It does not end.
///
/// Several that read the same signal share them: each comes once. Of a signal that comes again before it is read, one is kept.
///
/// ```standalone_crate
/// use futures::StreamExt;
/// use reactor::{app::Builder, signal::{Signal, Signals}};
///
/// Builder::new().block_signals([Signal::HUP]).run(async || {
///     let mut reload = Signals::new([Signal::HUP])?;
///     rustix::process::kill_process(rustix::process::getpid(), Signal::HUP)?; // as `kill -HUP` does
///     let came = reload.next().await.expect("signals do not end")?;
///     assert_eq!(came.signal, Signal::HUP);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a stream does nothing unless it is polled"]
pub struct Signals {
    source: SignalFd,
    /// The same open file, as the ring takes it.
    fd: Fd,
    ring: Rc<Ring>,
    /// While nothing has come.
    readable: Option<LocalBoxFuture<'static, io::Result<PollFlags>>>,
}

/// One signal that came, and from whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Arrived {
    /// Which.
    pub signal: Signal,
    /// The process that sent it; 0 if the kernel did.
    pub pid: u32,
    /// That process's user.
    pub uid: u32,
}

/// Why signals cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// These go past any reader.
    #[error("{} cannot be watched: the kernel gives it to one thread or ends the process at once", name(.0))]
    NotWatchable(Signal),
    /// A thread could be given the signal instead, and would do with it what the process does by default: end, mostly.
    #[error(
        "thread {thread:?} ({tid}) does not block {} and may be given it: name the signal in \
         app::Builder::block_signals, or call signal::block before the thread starts",
        name(.signal)
    )]
    NotBlocked {
        /// Which signal.
        signal: Signal,
        /// The thread's name.
        thread: String,
        /// The thread's number, as `top -H` shows it.
        tid: u32,
    },
    /// The core has no ring.
    #[error(transparent)]
    Ring(#[from] uring::Error),
    /// The system refused.
    #[error("signals cannot be read: {0}")]
    Os(#[source] io::Error),
}

impl Signals {
    /// Reads `signals` from now on, those included that came while they were blocked.
    ///
    /// # Errors
    /// [`Error::NotBlocked`] if a thread of this process does not block all of them; those that start later inherit what the one
    /// that starts them does. [`Error::NotWatchable`] as for [`block`]; and what keeps the core from having a ring or a
    /// descriptor (`signalfd(2)`).
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> Result<Self, Error> {
        context::with("signal::Signals::new", |_| ());
        let set = set_of(signals)?;
        let ring = Ring::current()?;
        if let Some(thread) = threads::first_that_takes_one_of(set).map_err(Error::Os)? {
            return Err(thread);
        }
        let source = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(|errno| Error::Os(errno.into()))?;
        let fd = source.as_fd().try_clone_to_owned().map_err(Error::Os)?.into();
        Ok(Self { source, fd, ring, readable: None })
    }
}

impl Stream for Signals {
    type Item = io::Result<Arrived>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(readable) = &mut self.readable {
                let polled = ready!(readable.as_mut().poll(cx));
                self.readable = None;
                if let Err(error) = polled {
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match self.source.read_signal() {
                Ok(Some(info)) => {
                    let signal =
                        Signal::from_named_raw(info.ssi_signo as i32).expect("one of those asked for");
                    return Poll::Ready(Some(Ok(Arrived { signal, pid: info.ssi_pid, uid: info.ssi_uid })));
                }
                Ok(None) => self.readable = Some(Box::pin(self.ring.poll_fd(&self.fd, PollFlags::IN))),
                Err(Errno::EINTR) => {}
                Err(errno) => return Poll::Ready(Some(Err(errno.into()))),
            }
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("fd", &self.fd).finish_non_exhaustive()
    }
}

/// The set that the system takes.
fn set_of(signals: impl IntoIterator<Item = Signal>) -> Result<SigSet, Error> {
    const FAULTS: [Signal; 4] = [Signal::SEGV, Signal::BUS, Signal::FPE, Signal::ILL];
    let mut set = SigSet::empty();
    for signal in signals {
        let is_watchable = !FAULTS.contains(&signal) && signal != Signal::KILL && signal != Signal::STOP;
        match Number::try_from(signal.as_raw()) {
            Ok(number) if is_watchable => set.add(number),
            _ => return Err(Error::NotWatchable(signal)),
        }
    }
    Ok(set)
}

/// As `kill -l` writes it.
fn name(signal: &Signal) -> &'static str {
    Number::try_from(signal.as_raw()).map_or("a real-time signal", Number::as_str)
}
