//! How I/Os are timed without reading the clock for each.
//!
//! A reading costs 9 ns, a third of an I/O on a null device. So:
//!
//! - An I/O that waits is timed from the last reading of its task to the one when the task sees the answer. The next I/O
//!   starts there, so that is one reading per I/O, next to the microseconds that a device takes.
//! - I/Os that are answered inside their submission are done in bursts of some 2 µs, and the clock is read at the ends
//!   of a burst. Each counts with the mean. Between bursts the task lets the others on its core run.

use super::tally::Tally;
use reactor::YieldNow;
use reactor::time::Clock;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Long enough to make two readings a matter of one per cent, short enough that 32 tasks leave the core's other work
/// waiting for less than 100 µs.
const BURST: Duration = Duration::from_micros(2);
/// Bursts do not grow beyond this many I/Os.
const BURST_MAX: u64 = 128;

/// The stop watch of one task.
pub(super) struct Timing<'j> {
    tally: &'j Tally,
    clock: &'j Clock,
    /// The last reading, in ticks.
    begin: u64,
    /// I/Os answered at once since then.
    at_once: u64,
    /// How many of those make a burst.
    burst: u64,
    /// A burst that takes longer than this many ticks is made of fewer next time.
    burst_ticks: u64,
}

impl<'j> Timing<'j> {
    pub(super) fn new(clock: &'j Clock, tally: &'j Tally) -> Self {
        let (begin, burst_ticks) = (clock.now_ticks(), clock.ticks_of(BURST));
        Self { tally, clock, begin, at_once: 0, burst: 1, burst_ticks }
    }

    /// Does an I/O and counts its time. The future is lent, not given: these are large, and moving one costs more than
    /// reading the clock.
    #[inline(always)]
    pub(super) fn time<'t, F: Future>(&'t mut self, io: Pin<&'t mut F>) -> Timed<'t, 'j, F> {
        Timed { timing: self, io, waits: false }
    }

    /// Between two I/Os: ends the burst and lets others run when it is time to. Returns the last reading.
    #[inline(always)]
    pub(super) async fn pace(&mut self) -> u64 {
        if self.at_once >= self.burst {
            self.rest().await;
            self.restart();
        }
        self.begin
    }

    #[inline(never)]
    fn rest(&mut self) -> YieldNow {
        let began = self.begin;
        self.end_burst();
        let spent = self.begin.saturating_sub(began);
        if spent > self.burst_ticks {
            self.burst = (self.burst / 2).max(1);
        } else if spent < self.burst_ticks / 2 {
            self.burst = (self.burst * 2).min(BURST_MAX);
        }
        reactor::yield_now()
    }

    /// Leaves what was done since the last I/O out of the next one's time.
    #[inline]
    pub(super) fn restart(&mut self) {
        self.begin = self.clock.now_ticks();
    }

    /// An I/O that had to wait has been answered.
    fn waited(&mut self) {
        let now = self.clock.now_ticks();
        self.tally.count(1, self.clock.ns_of(now.saturating_sub(self.begin)));
        self.begin = now;
    }

    /// Counts what was answered at once, up to a reading made now. To be called at the end too.
    pub(super) fn end_burst(&mut self) {
        let now = self.clock.now_ticks();
        let count = std::mem::take(&mut self.at_once);
        if count > 0 {
            let ns = self.clock.ns_of(now.saturating_sub(self.begin));
            self.tally.count(count, ns);
        }
        self.begin = now;
    }
}

/// An I/O that is being timed.
pub(super) struct Timed<'t, 'j, F> {
    timing: &'t mut Timing<'j>,
    io: Pin<&'t mut F>,
    waits: bool,
}

impl<F: Future> Future for Timed<'_, '_, F> {
    type Output = F::Output;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let answer = this.io.as_mut().poll(cx);
        match (answer.is_ready(), this.waits) {
            (true, false) => this.timing.at_once += 1,
            (true, true) => this.timing.waited(),
            (false, true) => {}
            (false, false) => {
                this.waits = true;
                if this.timing.at_once > 0 {
                    this.timing.end_burst();
                }
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::Outcome;
    use super::*;
    use reactor::time::VirtualClock;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Waker;

    /// Polls until it is done.
    fn finish<F: Future>(future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return output;
            }
        }
    }

    /// An I/O that takes `ns` and is pending `polls` times.
    fn io(hand: &VirtualClock, ns: u64, mut polls: u32) -> impl Future<Output = ()> + '_ {
        poll_fn(move |_| {
            if polls > 0 {
                polls -= 1;
                return Poll::Pending;
            }
            hand.advance(Duration::from_nanos(ns));
            Poll::Ready(())
        })
    }

    fn outcome(tally: Tally) -> Outcome {
        tally.outcome("test".into(), 0, 512, Duration::from_secs(1))
    }

    #[test]
    fn an_io_that_waits_is_timed_alone() {
        let ((clock, hand), tally) = (Clock::manual(), Tally::new(Arc::default()));
        let mut timing = Timing::new(&clock, &tally);
        finish(async {
            for ns in [10_000, 30_000] {
                timing.time(pin!(io(&hand, ns, 2))).await;
                assert_eq!(timing.pace().await, clock.now_ticks());
            }
        });
        let row = outcome(tally).row;
        assert_eq!((row.iops, row.lat_us.avg), (2.0, 20.0));
        assert!((29.9..30.1).contains(&row.lat_us.max), "{row:?}");
    }

    /// What was answered at once before an I/O that waits is not part of its time.
    #[test]
    fn a_burst_ends_where_an_io_waits() {
        let ((clock, hand), tally) = (Clock::manual(), Tally::new(Arc::default()));
        let mut timing = Timing::new(&clock, &tally);
        finish(async {
            timing.time(pin!(io(&hand, 500, 0))).await;
            timing.time(pin!(io(&hand, 9_000, 1))).await;
        });
        let row = outcome(tally).row;
        assert_eq!((row.iops, row.lat_us.p50), (2.0, 0.5));
        assert!((8.9..9.1).contains(&row.lat_us.max), "{row:?}");
    }

    /// Bursts grow until they last about as long as they should, and their readings cover all I/Os.
    #[test]
    fn bursts_grow_and_count_every_io() {
        let ((clock, hand), tally) = (Clock::manual(), Tally::new(Arc::default()));
        let mut timing = Timing::new(&clock, &tally);
        finish(async {
            for _ in 0..100 {
                timing.pace().await;
                timing.time(pin!(io(&hand, 100, 0))).await;
            }
        });
        assert_eq!(timing.burst, 16, "of 100 ns each, half a burst of 2 µs or more");
        timing.end_burst();
        let row = outcome(tally).row;
        assert_eq!((row.iops, row.lat_us.avg, row.lat_us.max), (100.0, 0.1, 0.1));
    }

    #[test]
    fn slow_answers_shrink_a_burst_to_one_io() {
        let ((clock, hand), tally) = (Clock::manual(), Tally::new(Arc::default()));
        let mut timing = Timing::new(&clock, &tally);
        timing.burst = BURST_MAX;
        finish(async {
            for _ in 0..2 * BURST_MAX {
                timing.time(pin!(io(&hand, 5_000, 0))).await;
                timing.pace().await;
            }
        });
        assert_eq!(timing.burst, 1);
    }
}
