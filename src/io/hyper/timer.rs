//! How hyper waits: by the wheel of the core that polls, on the clock of that core.
//!
//! hyper asks for a `Sleep` that is `Send` and `Sync`, which one that knows its core's wheel is not: see `time::roaming`.

use crate::reactor::{Core, context::with_timers};
use crate::time::{Instant, RoamingSleep};
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant as StdInstant};

/// hyper's timer on the current core, for `header_read_timeout`, `keep_alive_interval` and the like.
///
/// Follows the core's clock, a virtual one too: [`hyper::rt::Timer::now`] then moves only when that clock does. A sleep that another
/// core polls goes on there, by that core's wheel; it is for cores that follow the same clock.
///
/// # Panics
/// With [`NotOnReactor`](crate::NotOnReactor) where a sleep is made or polled outside of a reactor. Asked for the time there, it tells
/// the real one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timer;

/// The moment in hyper's terms at which virtual clocks begin: any, but always the same.
static VIRTUAL_BEGIN: OnceLock<StdInstant> = OnceLock::new();

impl Timer {
    /// The core's own moment that lies as far ahead as `deadline`. hyper's clock and the core's may run apart by parts in a million: it
    /// is their present moments that are matched.
    fn on_core(self, deadline: StdInstant) -> Instant {
        let left = deadline.saturating_duration_since(hyper::rt::Timer::now(&self));
        Instant::now() + left
    }
}

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(RoamingSleep::until(Instant::now() + duration)))
    }

    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(RoamingSleep::until(self.on_core(deadline))))
    }

    fn now(&self) -> StdInstant {
        let virtual_ns = || {
            with_timers("io::hyper::Timer", |timers| {
                timers.clock().is_virtual().then(|| timers.clock().now_ns())
            })
        };
        match Core::try_current().and_then(|_core| virtual_ns()) {
            Some(ns) => *VIRTUAL_BEGIN.get_or_init(StdInstant::now) + Duration::from_nanos(ns),
            None => StdInstant::now(),
        }
    }

    /// Without a new allocation: hyper resets the timeout of each request's head.
    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: StdInstant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(own) => own.get_mut().0.reset(self.on_core(deadline)),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

struct Sleep(RoamingSleep);

impl hyper::rt::Sleep for Sleep {}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.get_mut().0).poll(cx)
    }
}
