//! Futures dropped and forgotten at every await, rings dropped with operations in flight: no buffer goes before its answer, no
//! descriptor leaks.

use super::quarantine::{Quarantine, Watched};
use super::{SETUPS, block_on, descriptors_under, open_direct, pipe, poll_once, ring, settle, turn};
use crate::reactor::driver::Driver;
use crate::uring::{Fd, Link, Ring, Setup};
use proptest::prelude::*;
use rustix::event::PollFlags;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

#[test]
fn a_dropped_read_keeps_its_buffer() {
    for setup in SETUPS {
        let (ring, quarantine) = (ring(setup, 8, 8), Quarantine::default());
        let (read, write) = pipe();
        let mut waiting = Box::pin(ring.read_at(&read, quarantine.lend(64), 0));
        assert!(poll_once(&mut waiting).is_pending());
        turn(&ring);
        drop(waiting);
        assert_eq!((quarantine.lent(), ring.in_flight()), (1, 2), "the read and its cancel");
        // Nothing is handed over yet, so the kernel still fills the buffer.
        rustix::io::write(&write, &[1; 64]).unwrap();
        settle(&ring);
        assert_eq!(quarantine.lent(), 0);
        quarantine.check();
    }
}

#[test]
fn a_dropped_read_is_cancelled() {
    for setup in SETUPS {
        let (ring, quarantine) = (ring(setup, 8, 8), Quarantine::default());
        let (read, _write) = pipe();
        let mut waiting = Box::pin(ring.read_at(&read, quarantine.lend(64), 0));
        assert!(poll_once(&mut waiting).is_pending());
        turn(&ring);
        drop(waiting);
        // Nobody writes: only the cancel can end this.
        settle(&ring);
        assert_eq!(quarantine.lent(), 0);
    }
}

#[test]
fn a_forgotten_read_keeps_its_buffer_for_good() {
    let (ring, quarantine) = (ring(Setup::Deferred, 8, 8), Quarantine::default());
    let (read, write) = pipe();
    let mut waiting = Box::pin(ring.read_at(&read, quarantine.lend(64), 0));
    assert!(poll_once(&mut waiting).is_pending());
    turn(&ring);
    std::mem::forget(waiting);
    rustix::io::write(&write, &[1; 64]).unwrap();
    settle(&ring);
    assert_eq!(quarantine.lent(), 1, "lost, and never reused");
    assert!(block_on(&ring, ring.nop()).is_ok(), "and the ring goes on");
}

#[test]
fn a_dropped_open_closes_what_it_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "x").unwrap();
    for setup in SETUPS {
        for polls in 0..3 {
            let ring = ring(setup, 8, 8);
            let mut open = Box::pin(ring.open(&path, OFlags::RDONLY, Mode::empty()));
            for poll in 0..polls {
                assert!(poll_once(&mut open).is_pending());
                if poll == 1 {
                    // The answer is there, and nobody has fetched it.
                    ring.flush();
                    while ring.in_flight() > 0 {
                        turn(&ring);
                    }
                    assert_eq!(descriptors_under(dir.path()), 1);
                }
            }
            drop(open);
            settle(&ring);
            assert_eq!(descriptors_under(dir.path()), 0, "{setup:?}, {polls} polls");
        }
    }
}

/// The kernel has opened the file, and the core has not seen the answer when the future goes.
#[test]
fn an_open_dropped_too_late_closes_what_it_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "x").unwrap();
    for setup in SETUPS {
        let ring = ring(setup, 8, 8);
        let mut open = Box::pin(ring.open(&path, OFlags::RDONLY, Mode::empty()));
        assert!(poll_once(&mut open).is_pending());
        ring.flush();
        while descriptors_under(dir.path()) == 0 {
            std::thread::yield_now();
        }
        drop(open);
        settle(&ring);
        assert_eq!(descriptors_under(dir.path()), 0, "{setup:?}");
    }
}

#[test]
fn a_dropped_close_closes() {
    let dir = tempfile::tempdir().unwrap();
    for polls in 0..2 {
        for in_flight_max in [1, 8] {
            let ring = ring(Setup::Deferred, 1, in_flight_max);
            let (read, _write) = pipe();
            let mut stuck = Box::pin(ring.read_at(&read, vec![0; 8], 0));
            assert!(poll_once(&mut stuck).is_pending());
            let fd = Fd::from(std::fs::File::create(dir.path().join("file")).unwrap());
            // With one operation at most, the close waits for room when it is dropped.
            let mut close = Box::pin(ring.close(fd));
            for _ in 0..polls {
                assert!(poll_once(&mut close).is_pending());
            }
            drop(close);
            drop(stuck);
            settle(&ring);
            assert_eq!(descriptors_under(dir.path()), 0);
        }
    }
}

#[test]
fn a_dropped_ring_waits_for_its_buffers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    for setup in SETUPS {
        for flushed in [false, true] {
            let (ring, quarantine) = (ring(setup, 16, 16), Quarantine::default());
            let (fd, (read, write)) = (open_direct(&path), pipe());
            let mut reads: Vec<_> =
                (0..24).map(|page| Box::pin(ring.read_at(&fd, quarantine.lend(4096), page * 4096))).collect();
            reads.extend((0..4).map(|_| Box::pin(ring.read_at(&read, quarantine.lend(64), 0))));
            let mut open = Box::pin(ring.open(&path, OFlags::RDONLY, Mode::empty()));
            assert!(reads.iter_mut().all(|read| poll_once(read).is_pending()));
            assert!(poll_once(&mut open).is_pending());
            if flushed {
                ring.flush();
            }
            drop((reads, open));
            drop(fd);
            drop(ring);
            assert_eq!((quarantine.lent(), descriptors_under(dir.path())), (0, 0));
            let _ = rustix::io::write(&write, &[1; 256]);
            quarantine.check();
        }
    }
}

#[test]
fn cancelling_all_answers_everything() {
    for setup in SETUPS {
        let ring = ring(setup, 4, 4);
        let (read, _write) = pipe();
        let mut stuck: Vec<_> = (0..8).map(|_| Box::pin(ring.read_at(&read, vec![0; 8], 0))).collect();
        assert!(stuck.iter_mut().all(|read| poll_once(read).is_pending()));
        turn(&ring);
        ring.cancel_all();
        settle(&ring);
        for read in &mut stuck {
            let Poll::Ready((result, buf)) = poll_once(read) else { panic!("{setup:?}: not answered") };
            assert_eq!(result.unwrap_err().raw_os_error(), Some(Errno::CANCELED.raw_os_error()));
            assert_eq!(buf.len(), 8);
        }
    }
}

/// What a buffer runs when it is dropped may use the ring.
#[test]
fn a_buffer_may_use_the_ring_when_it_is_released() {
    let ring = ring(Setup::Deferred, 8, 8);
    let (read, write) = pipe();
    let quarantine = Quarantine::default();
    let mut waiting = Box::pin({
        let ring = ring.clone();
        async move {
            let inner = ring.read_at(&read, quarantine.lend(8), 0);
            let _held = (inner.await, ring);
        }
    });
    assert!(poll_once(&mut waiting).is_pending());
    turn(&ring);
    // The waker is the last owner of the task that holds the future.
    drop(waiting);
    drop(write);
    settle(&ring);
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Nop,
    DirectRead,
    DirectWrite,
    PipeRead,
    Sync,
    Open,
    Statx,
    Close,
    Sequence,
    Chain,
    Ready,
}

const KINDS: [Kind; 11] = [
    Kind::Nop,
    Kind::DirectRead,
    Kind::DirectWrite,
    Kind::PipeRead,
    Kind::Sync,
    Kind::Open,
    Kind::Statx,
    Kind::Close,
    Kind::Sequence,
    Kind::Chain,
    Kind::Ready,
];

#[derive(Clone, Copy, Debug)]
enum End {
    Await,
    Drop,
    Forget,
}

struct World {
    ring: Rc<Ring>,
    quarantine: Quarantine,
    path: PathBuf,
    direct: Fd,
    pipe: Fd,
    write: OwnedFd,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

impl World {
    fn new(setup: Setup, dir: &Path) -> Self {
        let path = dir.join("file");
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let (pipe, write) = pipe();
        let (direct, quarantine) = (open_direct(&path), Quarantine::default());
        Self { ring: ring(setup, 4, 8), quarantine, path, direct, pipe, write }
    }

    fn page(&self) -> Watched {
        self.quarantine.lend(4096)
    }

    fn start(&self, kind: Kind, at: u64) -> Task {
        let (ring, page, path) = (self.ring.clone(), self.page(), self.path.clone());
        let (direct, pipe, rest) = (self.direct.clone(), self.pipe.clone(), self.page());
        let offset = at % 256 * 4096;
        Box::pin(async move {
            match kind {
                Kind::Nop => ring.nop().await.unwrap(),
                Kind::DirectRead => drop(ring.read_at(&direct, page, offset).await.0.unwrap()),
                Kind::DirectWrite => drop(ring.write_at(&direct, page, offset).await.0.unwrap()),
                Kind::PipeRead => drop(ring.read_at(&pipe, page, 0).await),
                Kind::Sync => ring.sync_data(&direct).await.unwrap(),
                Kind::Open => drop(ring.open(&path, OFlags::RDONLY, Mode::empty()).await.unwrap()),
                Kind::Statx => {
                    let _ = ring.statx_path(&path, AtFlags::empty(), StatxFlags::SIZE).await.unwrap();
                }
                Kind::Close => {
                    let fd = Fd::from(std::fs::File::open(&path).unwrap());
                    ring.close(fd).await.unwrap();
                }
                Kind::Chain => {
                    let chain = ring.write_at(&direct, page, offset).link(ring.sync_data(&direct));
                    let (((write, page), sync), read) = chain.link(ring.read_at(&pipe, rest, 0)).await;
                    assert!(write.is_ok() && sync.is_ok());
                    drop((page, read));
                }
                Kind::Ready => drop(ring.ready_stream(&pipe, PollFlags::IN).next().await),
                Kind::Sequence => {
                    let fd = ring.open(&path, OFlags::RDWR | OFlags::DIRECT, Mode::empty()).await;
                    let Ok(fd) = fd else { return };
                    let (read, page) = ring.read_at(&fd, page, offset).await;
                    read.unwrap();
                    ring.write_at(&fd, page, offset).await.0.unwrap();
                    ring.sync_data(&fd).await.unwrap();
                    ring.close(fd).await.unwrap();
                }
            }
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Under load through a small ring: each future is polled some number of times, then awaited, dropped or forgotten.
    #[test]
    fn every_kind_may_be_dropped_or_forgotten_at_every_await(
        setup in proptest::sample::select(&SETUPS[..]),
        plan in proptest::collection::vec((
            proptest::sample::select(&KINDS[..]),
            prop_oneof![2 => Just(End::Await), 5 => Just(End::Drop), 1 => Just(End::Forget)],
            0..12_usize,
            0..3_usize,
        ), 1..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let world = World::new(setup, dir.path());
        let ring = &world.ring;
        let mut running: Vec<(Task, End, usize)> = Vec::new();
        let (mut forgotten, mut at) = (0, 0);
        for (kind, end, polls, turns) in plan {
            at += 1;
            running.push((world.start(kind, at), end, polls));
            for _ in 0..turns {
                turn(ring);
            }
            let mut kept = Vec::new();
            for (mut task, end, polls) in running.drain(..) {
                match (end, polls) {
                    (End::Drop, 0) => drop(task),
                    (End::Forget, 0) => {
                        forgotten += 1;
                        std::mem::forget(task);
                    }
                    _ if poll_once(&mut task).is_ready() => {}
                    _ => kept.push((task, end, polls.saturating_sub(1))),
                }
            }
            running = kept;
        }
        // End the pipe's readers: those cancelled too late get these bytes.
        let bytes = [1; 4096];
        for _ in 0..8 {
            rustix::io::write(&world.write, &bytes).unwrap();
        }
        running.retain(|(_, end, _)| matches!(end, End::Await));
        let World { ring, quarantine, write, direct, pipe, .. } = world;
        drop(write);
        while !running.is_empty() {
            turn(&ring);
            running.retain_mut(|(task, ..)| poll_once(task).is_pending());
        }
        // A forgotten stream goes on until the ring ends.
        ring.cancel_all();
        settle(&ring);
        quarantine.check();
        prop_assert!(quarantine.lent() <= 2 * forgotten);
        if forgotten == 0 {
            drop((direct, pipe));
            prop_assert_eq!(Rc::strong_count(&ring), 1);
            prop_assert_eq!(descriptors_under(dir.path()), 0);
        }
    }
}
