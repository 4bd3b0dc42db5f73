//! Wakers of strangers, which may use the ring from inside of their own functions.

#![expect(unsafe_code, reason = "makes wakers by hand")]

use super::{pipe, poll_once, ring, settle, turn};
use crate::uring::{Ring, Setup};
use rustix::event::PollFlags;
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

/// What a hostile waker does whenever it is cloned, woken or dropped.
struct Hostile {
    ring: Rc<Ring>,
    calls: Cell<u32>,
}

impl Hostile {
    fn strike(&self) {
        self.calls.set(self.calls.get() + 1);
        // Each of these borrows the ring.
        let mut nop = Box::pin(self.ring.nop());
        assert!(poll_once(&mut nop).is_pending());
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        // SAFETY: the data is an `Rc<Hostile>` that the waker being cloned counts; used on one thread only.
        unsafe {
            (*data.cast::<Hostile>()).strike();
            Rc::increment_strong_count(data.cast::<Hostile>());
        }
        RawWaker::new(data, &VTABLE)
    },
    // SAFETY: the data is the `Rc<Hostile>` that the waker counts, given up here.
    |data| unsafe { Rc::from_raw(data.cast::<Hostile>()) }.strike(),
    // SAFETY: as above, not given up.
    |data| unsafe { &*data.cast::<Hostile>() }.strike(),
    // SAFETY: as for waking.
    |data| unsafe { Rc::from_raw(data.cast::<Hostile>()) }.strike(),
);

fn hostile(ring: &Rc<Ring>) -> (Rc<Hostile>, Waker) {
    let hostile = Rc::new(Hostile { ring: ring.clone(), calls: Cell::new(0) });
    let raw = RawWaker::new(Rc::into_raw(hostile.clone()).cast(), &VTABLE);
    // SAFETY: the functions of the table keep the contract on the one thread of the test, which no waker leaves.
    (hostile, unsafe { Waker::from_raw(raw) })
}

#[test]
fn a_waker_may_use_the_ring_when_it_is_cloned_woken_and_dropped() {
    let ring = ring(Setup::Deferred, 4, 4);
    let (read, write) = pipe();
    // Each waker displaces another: cloned by the poll, dropped by the next, the last woken by the answer.
    let mut waiting = pin!(ring.read_at(&read, vec![0; 8], 0));
    let wakers: Vec<_> = (0..3).map(|_| hostile(&ring)).collect();
    for (_, waker) in &wakers {
        assert!(waiting.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    rustix::io::write(&write, b"12345").unwrap();
    settle(&ring);
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    let calls: Vec<_> = wakers.iter().map(|(hostile, _)| hostile.calls.get()).collect();
    assert_eq!(calls, [2, 2, 2], "cloned, and dropped or woken");
}

#[test]
fn a_waker_may_use_the_ring_inside_of_a_streams_poll() {
    let ring = ring(Setup::Deferred, 4, 4);
    let (read, write) = pipe();
    let mut readies = ring.ready_stream(&read, PollFlags::IN);
    let wakers: Vec<_> = (0..3).map(|_| hostile(&ring)).collect();
    for (_, waker) in &wakers {
        assert!(pin!(readies.next()).poll(&mut Context::from_waker(waker)).is_pending());
    }
    rustix::io::write(&write, b"12345").unwrap();
    while wakers[2].0.calls.get() < 2 {
        turn(&ring);
    }
    assert!(pin!(readies.next()).poll(&mut Context::from_waker(&wakers[0].1)).is_ready());
    assert!(pin!(readies.next()).poll(&mut Context::from_waker(&wakers[0].1)).is_pending());
    drop(readies);
    settle(&ring);
    let calls: Vec<_> = wakers.iter().map(|(hostile, _)| hostile.calls.get()).collect();
    assert_eq!(calls, [4, 2, 2]);
}
