//! Sleeping on a ring's descriptor as the run loop does: through an epoll set.

use crate::reactor::driver::Driver;
use crate::uring::{Ring, Setup};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::mem::MaybeUninit;

/// Returns when the ring has something to do.
pub(super) fn sleep_on(ring: &Ring) {
    if ring.arm() {
        return;
    }
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(&set, ring.fd(), epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
    let mut events = [MaybeUninit::uninit(); 1];
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    match epoll::wait(&set, &mut events, Some(&limit)) {
        Ok((ready, _)) => assert_eq!(ready.len(), 1, "slept through a completion"),
        // Without DEFER_TASKRUN the kernel interrupts the sleep to complete the operation.
        Err(errno) => assert!(errno == Errno::INTR && ring.setup() != Setup::Deferred, "{errno}"),
    }
}
