//! Sleeping on a ring's descriptor as the run loop does: through an epoll set.

use crate::reactor::driver::Driver;
use crate::uring::Ring;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::mem::MaybeUninit;

/// Returns when the ring has something to do. The kernel may interrupt the sleep: without DEFER_TASKRUN to complete the operation, and in
/// all setups for work of its own. Who is interrupted looks whether there is something, and sleeps on if not.
pub(super) fn sleep_on(ring: &Ring) {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(&set, ring.fd(), epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
    while !ring.arm() {
        let mut events = [MaybeUninit::uninit(); 1];
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        match epoll::wait(&set, &mut events, Some(&limit)) {
            Ok((ready, _)) => return assert_eq!(ready.len(), 1, "slept through a completion"),
            Err(errno) => assert_eq!(errno, Errno::INTR),
        }
    }
}
