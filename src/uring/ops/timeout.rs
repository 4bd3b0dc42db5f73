//! The kernel's own clock as a stream of ticks, which also wakes a core that sleeps in its ring.
//!
//! Ordinary timers stand in `time`: they cost no entry, and a virtual clock drives them.

#![expect(unsafe_code, reason = "vouches for entries that point to a time")]

use crate::inflight::LINE_MAX;
use crate::uring::completion::Completion;
use crate::uring::stream::{Answers, Armed, Claimed, Source};
use crate::uring::{Features, Ring};
use io_uring::opcode;
use io_uring::types::{TimeoutFlags, Timespec};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, UnsafeCell};
use std::io;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

/// A tick per period: see [`Ring::tick_stream`].
pub type TickStream = Answers<Ticks>;

/// What the slot of a timeout keeps.
pub struct Ticks {
    period: Duration,
    /// Where single timeouts are asked for: when the last one was due.
    due: Cell<Option<Duration>>,
    /// What the entry points to. Written while none is in flight, read by the kernel while one is.
    time: UnsafeCell<Timespec>,
}

/// Timeouts of shorter periods are given a count. It has its price: from the first on, each system call on the ring that completes
/// something takes the kernel longer, for as long as the ring lives (60 to 70 ns of 410, `cargo bench --bench uring -- pays_count`).
const COUNTED_BELOW: Duration = Duration::from_millis(1);

fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

// SAFETY: the entries point to `time`, which is part of the value and written only by `arm`, when no operation is in flight.
unsafe impl Source for Ticks {
    type Item = io::Result<()>;

    fn arm(&self, ring: &Rc<Ring>, _: &Waker) -> Armed {
        if self.period.is_zero() {
            return Armed::Refused(Errno::INVAL);
        }
        let (time, flags) = match ring.has(Features::TIMEOUT_MULTISHOT) {
            true => (self.period, TimeoutFlags::MULTISHOT),
            false => {
                let due = self.due.get().unwrap_or_else(now).saturating_add(self.period);
                self.due.set(Some(due));
                (due, TimeoutFlags::ABS)
            }
        };
        // Beyond 2^63 seconds the kernel refuses.
        let seconds = time.as_secs().min(i64::MAX as u64);
        // SAFETY: nothing is in flight, so the kernel does not read it; the value is `!Sync`.
        unsafe { *self.time.get() = Timespec::new().sec(seconds).nsec(time.subsec_nanos()) };
        // A repeating timeout of a short period ends by itself after a line of ticks: one that is shorter than the core's turn has
        // always gone off again when the kernel reads a cancel, and so is never found by any.
        let is_counted = flags.contains(TimeoutFlags::MULTISHOT) && self.period < COUNTED_BELOW;
        let count = if is_counted { LINE_MAX } else { 0 };
        Armed::Entry(opcode::Timeout::new(self.time.get()).count(count).flags(flags).build())
    }

    fn claim(&self, completion: Completion) -> Claimed<io::Result<()>> {
        match completion.is(Errno::TIME) {
            true => Claimed::Item(Ok(())),
            false => Claimed::End(Some(completion.into_result().map(drop))),
        }
    }

    fn abandon(&self, _: Completion) {}
}

impl Ring {
    /// Yields once per `period`, by the kernel's monotonic clock, from the first poll on. Ticks that are not taken wait, some 64 of
    /// them; after those the next period begins when they have been taken.
    ///
    /// With a multishot timeout (Linux 6.4) the kernel is asked once, or for periods below a millisecond once for each 64 ticks; before,
    /// for each of them. Such short periods make all that the ring does somewhat slower, from then on: some 60 ns per system call.
    ///
    /// # Errors
    /// `EINVAL` for a period of zero; `ECANCELED` when the ring ends. The stream ends after an error.
    pub fn tick_stream(self: &Rc<Self>, period: Duration) -> TickStream {
        let (due, time) = (Cell::new(None), UnsafeCell::new(Timespec::new()));
        Answers::new(self, Ticks { period, due, time })
    }
}
