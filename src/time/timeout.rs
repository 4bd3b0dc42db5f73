//! A limit on the time that a future may take.
//!
//! Stands on `sleep`.

use super::{Instant, sleep::Sleep};
use crate::reactor::context::with_timers;
use pin_project_lite::pin_project;
use std::{
    fmt,
    future::{Future, IntoFuture},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Awaits `future` for at most `duration`, counted from this call.
///
/// The future is polled first: one that is ready is never timed out, and a timer is armed only for one that
/// is not. When the time is up, the future stays inside [`Timeout`] and is dropped with it, which for an I/O
/// operation means that it is orphaned: its buffer lives until the device has answered.
///
/// # Errors
/// [`Elapsed`] if the time is up first.
///
/// # Panics
/// With `NotOnReactor` outside of a reactor.
///
/// ```no_run
/// # async fn answer() -> u32 { 42 }
/// # async fn f() -> Result<(), reactor::time::Elapsed> {
/// use std::time::Duration;
/// let value = reactor::time::timeout(Duration::from_millis(20), answer()).await?;
/// # Ok(())
/// # }
/// ```
#[inline]
#[track_caller]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    let sleep = with_timers("time::timeout", |timers| Sleep::after(timers, duration));
    Timeout { future: future.into_future(), sleep }
}

/// Awaits `future` until `deadline`, an instant of this core's clock. As [`timeout`] in all else.
///
/// # Errors
/// [`Elapsed`] if the deadline passes first.
///
/// # Panics
/// With `NotOnReactor` outside of a reactor.
#[inline]
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    let sleep = with_timers("time::timeout_at", |timers| Sleep::until(timers, deadline));
    Timeout { future: future.into_future(), sleep }
}

pin_project! {
    /// What [`timeout`] and [`timeout_at`] return.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    /// The limited future.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// Gives the future back, without a limit.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.sleep).poll(context).map(|()| Err(Elapsed(())))
    }
}

/// The time was up before the future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit was reached before the operation finished")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::time::testing::{Step, poll};
    use std::future::{pending, ready};

    const MS: Duration = Duration::from_millis(1);

    fn limited<F>(core: &Step, future: F) -> Timeout<F> {
        Timeout { future, sleep: Sleep::after(&core.timers, MS) }
    }

    #[test]
    fn ready_future_arms_no_timer() {
        let core = Step::new();
        assert_eq!(poll(&mut limited(&core, ready(7)), &core.waker), Poll::Ready(Ok(7)));
        assert_eq!(core.timers.next_deadline_us(), None);
    }

    #[test]
    fn ready_future_wins_even_after_its_time() {
        let core = Step::new();
        let mut future = limited(&core, ready(7));
        core.pass(2 * MS);
        assert_eq!(poll(&mut future, &core.waker), Poll::Ready(Ok(7)));
    }

    #[test]
    fn pending_future_is_timed_out() {
        let core = Step::new();
        let mut future = limited(&core, pending::<()>());
        assert!(poll(&mut future, &core.waker).is_pending());
        core.pass(MS);
        assert_eq!(core.wakes(), 1);
        let Poll::Ready(Err(elapsed)) = poll(&mut future, &core.waker) else { panic!("not timed out") };
        assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn finished_future_leaves_no_timer() {
        let core = Step::new();
        let mut future = limited(&core, pending::<()>());
        assert!(poll(&mut future, &core.waker).is_pending());
        assert_eq!(core.timers.next_deadline_us(), Some(1_000));
        let _inner = future.into_inner();
        assert_eq!(core.timers.next_deadline_us(), None);
    }
}
