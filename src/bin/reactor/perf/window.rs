//! The order in which `verify` goes over a device: a window is written, then read back, then the next.
//!
//! Shared by the tasks of one core. Every write of a window has been answered before its first read starts, and a window
//! that was begun is read back to its end.

use super::pattern::Pass;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::Range;
use std::task::{Poll, Waker};

/// One I/O of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) phase: Phase,
    pub(super) pass: Pass,
    /// Which I/O-sized piece of the device.
    pub(super) unit: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Write,
    Read,
}

/// Where a verification is.
#[derive(Debug)]
pub(super) struct Windows {
    /// The part of the device that is this core's.
    share: Range<u64>,
    window_max: u64,
    window: RefCell<Range<u64>>,
    /// The next unit of the window to take.
    next: Cell<u64>,
    phase: Cell<Phase>,
    pass: Cell<Pass>,
    in_flight: Cell<usize>,
    is_over: Cell<bool>,
    /// Tasks that wait for the end of the phase.
    waiting: RefCell<Vec<Waker>>,
}

impl Windows {
    /// Windows of at most `window_max` units over `share`, which is not empty.
    pub(super) fn new(share: Range<u64>, window_max: u64, seed: u32) -> Self {
        let window = share.start..share.end.min(share.start + window_max);
        Self {
            next: Cell::new(share.start),
            window: RefCell::new(window),
            share,
            window_max,
            phase: Cell::new(Phase::Write),
            pass: Cell::new(Pass { seed, number: 0 }),
            in_flight: Cell::new(0),
            is_over: Cell::new(false),
            waiting: RefCell::default(),
        }
    }

    /// The next I/O, to be told [`done`](Self::done) when it is; none when it is over. A new window is begun only if
    /// `go_on` says so.
    pub(super) async fn take(&self, go_on: impl Fn() -> bool) -> Option<Step> {
        poll_fn(|cx| {
            loop {
                let unit = self.next.get();
                if self.is_over.get() {
                    return Poll::Ready(None);
                }
                if unit < self.window.borrow().end {
                    self.next.set(unit + 1);
                    self.in_flight.set(self.in_flight.get() + 1);
                    return Poll::Ready(Some(Step { phase: self.phase.get(), pass: self.pass.get(), unit }));
                }
                if self.in_flight.get() > 0 {
                    self.waiting.borrow_mut().push(cx.waker().clone());
                    return Poll::Pending;
                }
                self.advance(&go_on);
            }
        })
        .await
    }

    /// An I/O that was taken has been answered.
    pub(super) fn done(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
        if self.in_flight.get() == 0 && self.next.get() == self.window.borrow().end {
            self.wake_all();
        }
    }

    /// No more I/Os, not even for the window that was begun.
    pub(super) fn stop(&self) {
        self.is_over.set(true);
        self.wake_all();
    }

    /// From a phase that is complete to the next.
    fn advance(&self, go_on: impl Fn() -> bool) {
        let mut window = self.window.borrow_mut();
        match self.phase.get() {
            Phase::Write => self.phase.set(Phase::Read),
            Phase::Read if !go_on() => self.is_over.set(true),
            Phase::Read => {
                let mut start = window.end;
                if start == self.share.end {
                    start = self.share.start;
                    let pass = self.pass.get();
                    self.pass.set(Pass { number: pass.number.wrapping_add(1), ..pass });
                }
                *window = start..self.share.end.min(start + self.window_max);
                self.phase.set(Phase::Write);
            }
        }
        self.next.set(window.start);
        drop(window);
        self.wake_all();
    }

    fn wake_all(&self) {
        // Wakes only put tasks on the run queue, so nobody pushes meanwhile.
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Context;

    fn take(windows: &Windows, go_on: bool) -> Poll<Option<Step>> {
        pin!(windows.take(|| go_on)).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn step(windows: &Windows) -> (Phase, u32, u64) {
        let Poll::Ready(Some(step)) = take(windows, true) else { panic!("nothing to take from {windows:?}") };
        (step.phase, step.pass.number, step.unit)
    }

    #[test]
    fn windows_are_written_then_read_and_passes_count() {
        let windows = Windows::new(10..13, 2, 0);
        let expected = [
            (Phase::Write, 0, 10),
            (Phase::Write, 0, 11),
            (Phase::Read, 0, 10),
            (Phase::Read, 0, 11),
            (Phase::Write, 0, 12),
            (Phase::Read, 0, 12),
            (Phase::Write, 1, 10),
        ];
        for expected in expected {
            assert_eq!(step(&windows), expected);
            windows.done();
        }
    }

    #[test]
    fn no_read_starts_before_the_last_write_is_answered() {
        let windows = Windows::new(0..2, 8, 0);
        step(&windows);
        step(&windows);
        assert_eq!(take(&windows, true), Poll::Pending);
        windows.done();
        assert_eq!(take(&windows, true), Poll::Pending);
        windows.done();
        assert_eq!(step(&windows), (Phase::Read, 0, 0));
    }

    #[test]
    fn a_window_that_was_begun_is_read_back() {
        let windows = Windows::new(0..8, 1, 0);
        step(&windows);
        windows.done();
        assert!(matches!(take(&windows, false), Poll::Ready(Some(Step { phase: Phase::Read, .. }))));
        windows.done();
        assert_eq!(take(&windows, false), Poll::Ready(None));
        assert_eq!(take(&windows, true), Poll::Ready(None));
    }
}
