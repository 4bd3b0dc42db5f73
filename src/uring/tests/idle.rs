//! Thousands of idle connections, which must not stand in the way of files.

use super::quarantine::Quarantine;
use super::{SETUPS, block_on, open_direct, pipe, poll_once, settle, try_next, turn};
use crate::reactor::driver::Driver;
use crate::uring::{Config, Fd, Ring, Setup};
use rustix::process::{Resource, getrlimit};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::task::Poll;

/// Far more receives wait than operations are let in and answers have room; then all of them are answered at once.
#[test]
fn idle_receives_let_files_pass_and_lose_nothing_when_all_wake() {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(20_000) as usize;
    // Other tests need descriptors too.
    let connections = (limit.saturating_sub(2_000) / 2).min(9_000);
    let (ours, peers): (Vec<_>, Vec<_>) = (0..connections)
        .map(|_| UnixStream::pair().unwrap())
        .map(|(a, b)| (Fd::from(OwnedFd::from(a)), b))
        .unzip();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 1 << 16]).unwrap();
    let (fd, quarantine) = (open_direct(file.path()), Quarantine::default());
    for setup in SETUPS {
        let config = Config { setup, entries: 64, in_flight_max: 8, completions: 256, ..Config::default() };
        let ring = Ring::new(&config).unwrap();
        let pool = ring.recv_pool(1024, 64).unwrap();
        let mut streams: Vec<_> = ours.iter().map(|fd| ring.recv_stream(fd, &pool)).collect();
        assert!(streams.iter_mut().all(|stream| try_next(stream).is_pending()));
        ring.flush();
        assert_eq!(ring.counters().submitted, connections as u64);

        let reads: Vec<_> =
            (0..16).map(|page| Box::pin(ring.read_at(&fd, quarantine.lend(4096), page * 4096))).collect();
        for read in reads {
            let (read, page) = block_on(&ring, read);
            assert_eq!((read.unwrap(), page.bytes()), (4096, &[7; 4096][..]));
        }

        peers.iter().for_each(|mut peer| peer.write_all(b"wake up").unwrap());
        let mut waiting: Vec<_> = streams.iter_mut().collect();
        while !waiting.is_empty() {
            turn(&ring);
            waiting.retain_mut(|stream| match try_next(stream) {
                Poll::Ready(item) => {
                    assert_eq!(item.unwrap().unwrap()[..], *b"wake up");
                    false
                }
                Poll::Pending => true,
            });
        }
        // Deferred, the kernel answers no more than there is room for, and goes on when asked again.
        let counters = ring.counters();
        assert!(setup == Setup::Deferred || counters.overflows > 0, "{setup:?}: {counters:?}");
        drop(streams);
        settle(&ring);
        let counters = ring.counters();
        assert_eq!(counters.submitted, counters.completed - counters.continued, "{setup:?}: all answered");
    }
}

/// They wait for peers, at workers.
#[test]
fn splices_that_hang_let_files_pass() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 4096]).unwrap();
    let (fd, quarantine) = (open_direct(file.path()), Quarantine::default());
    for setup in SETUPS {
        let ring = Ring::new(&Config { setup, in_flight_max: 2, ..Config::default() }).unwrap();
        let ((empty, _write), (_read, sink)) = (pipe(), pipe());
        let sink = Fd::from(sink);
        let mut hanging: Vec<_> =
            (0..4).map(|_| Box::pin(ring.splice((&empty, None), (&sink, None), 8))).collect();
        assert!(hanging.iter_mut().all(|splice| poll_once(splice).is_pending()));
        let (read, page) = block_on(&ring, ring.read_at(&fd, quarantine.lend(4096), 0));
        assert_eq!((read.unwrap(), page.bytes()), (4096, &[7; 4096][..]), "{setup:?}");
        drop(hanging);
        settle(&ring);
    }
}
