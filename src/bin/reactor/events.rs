//! `reactor events`: how many events a ring of cores carries.
//!
//! An event is one [`reactor::post`] of a closure of two words, which travels inline. On its core it looks at the stop
//! flag, counts itself, and posts itself on to the next core: no clock is read, nothing is allocated, and the only
//! memory that cores share is what the runtime itself uses to carry the event.

use crate::args;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::{self, CoreEvents, EventsReport};
use reactor::app::{self, Builder};
use reactor::sys::cpu;
use reactor::time::{Clock, sleep};
use reactor::{Core, JoinError};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The cores that events go round.
struct Ring {
    seats: Box<[Seat]>,
    /// Set at the end: events that arrive from then on go no further.
    stop: AtomicBool,
}

/// A core and what ran on it, on cache lines of its own: two, since processors fetch them in pairs.
#[repr(align(128))]
struct Seat {
    core: Core,
    /// Written by its core alone.
    events: AtomicU64,
}

pub(crate) fn main(args: &args::Events) -> Result<(), Failure> {
    let cores = match &args.cores {
        Some(cores) => cores.clone(),
        None => cpu::allowed().map_err(|e| Failure::at("cannot read which cores there are", &e))?,
    };
    let runtime = Builder::new().cores(cores).mode(args.common.mode);
    let report = runtime.run(async || run(args).await).map_err(|e| Failure::of_app(&e))??;
    crate::print(&if args.common.json { report::json(&report) } else { report.table() })
}

async fn run(args: &args::Events) -> Result<EventsReport, Failure> {
    let seats = reactor::cores().map(|core| Seat { core, events: AtomicU64::new(0) }).collect();
    let ring = Arc::new(Ring { seats, stop: AtomicBool::new(false) });
    let lost = |e: JoinError| Failure::at("a core did not take its events", &e);
    for (index, core) in reactor::cores().enumerate() {
        let (ring, in_flight) = (ring.clone(), args.in_flight);
        reactor::call_on(core, async move || (0..in_flight).try_for_each(|_| send(ring.clone(), index)))
            .await
            .and_then(|sent| sent)
            .map_err(lost)?;
    }

    let clock = Clock::tsc();
    let (before, begin) = (ring.counts(), clock.now());
    let progress = {
        let ring = ring.clone();
        Progress::start(args.time, "events/s", move || (ring.counts().iter().sum(), 0))
    };
    // The first Ctrl-C ends the measurement; the guard in what it yields lets it be reported.
    let _ended = futures::future::select(pin!(sleep(args.time)), pin!(app::shutdown_requested())).await;
    let (after, elapsed) = (ring.counts(), clock.now() - begin);
    // Relaxed: the flag says nothing about other memory.
    ring.stop.store(true, Ordering::Relaxed);
    drop(progress);

    let rate = |index: usize| report::tenths(report::rate(after[index] - before[index], elapsed));
    let cores = ring.seats.iter().enumerate();
    let cores = cores.map(|(index, seat)| CoreEvents { core: seat.core.id(), events_per_s: rate(index) });
    Ok(EventsReport::new(cores.collect()))
}

/// Posts an event to the core of the seat `to`.
#[inline]
fn send(ring: Arc<Ring>, to: usize) -> Result<(), JoinError> {
    reactor::post(ring.seats[to].core, move || arrive(ring, to))
}

/// The event itself, at the seat `at`.
#[inline]
fn arrive(ring: Arc<Ring>, at: usize) {
    if ring.stop.load(Ordering::Relaxed) {
        return;
    }
    let events = &ring.seats[at].events;
    events.store(events.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    let next = if at + 1 == ring.seats.len() { 0 } else { at + 1 };
    // Refused only by a core that has ended, and then this one is about to.
    let _refused = send(ring, next);
}

impl Ring {
    fn counts(&self) -> Vec<u64> {
        self.seats.iter().map(|seat| seat.events.load(Ordering::Relaxed)).collect()
    }
}
