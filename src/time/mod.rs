//! Time: a microsecond wheel, the clock it follows, and the futures that wait on it.
//!
//! [`sleep()`], [`interval()`] and [`timeout()`] arm entries in the wheel of the core that they are made on;
//! the core's turn reads its [`Clock`] once and fires what is due. A core on a [`VirtualClock`] runs the same
//! code at the pace of a test.
//!
//! Everything here keeps one promise: **nothing ends early**. A deadline is rounded up to the wheel's
//! microsecond, the clock's reading is rounded down, and lateness is what the turn adds.

mod clock;
mod instant;
mod interval;
#[cfg(feature = "hyper")]
mod roaming;
mod sleep;
#[cfg(all(test, not(loom)))]
mod testing;
mod timeout;
mod timers;
mod tsc;
mod wheel;

pub use clock::{Clock, VirtualClock};
pub use instant::Instant;
pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

#[cfg(feature = "hyper")]
pub(crate) use roaming::RoamingSleep;
pub(crate) use timers::Timers;
