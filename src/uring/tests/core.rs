//! The ring as a core's driver: made on first use, turned with the core, drained when the core ends.

use super::quarantine::Quarantine;
use super::{open_direct, pipe, poll_once};
use crate::reactor::driver::Driver;
use crate::uring::{CoreGone, Fd, Link, Ring};
use crate::{LocalExecutor, Mode, spawn_local};
use futures::FutureExt;
use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

#[test]
fn a_core_has_one_ring_and_turns_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    let quarantine = Quarantine::default();
    for mode in [Mode::Poll, Mode::Interrupt] {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(mode);
        core.block_on(async {
            let ring = Ring::current().unwrap();
            assert!(Rc::ptr_eq(&ring, &Ring::current().unwrap()));
            let fd = open_direct(&path);
            ring.register(&fd);
            let tasks: Vec<_> = (0..64)
                .map(|page| {
                    let (ring, fd, buf) = (ring.clone(), fd.clone(), quarantine.lend(4096));
                    spawn_local(async move {
                        let (read, page) = ring.read_at(&fd, buf, page * 4096).await;
                        assert_eq!((read.unwrap(), page.bytes()), (4096, &[7; 4096][..]));
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
    quarantine.check();
    assert_eq!(quarantine.lent(), 0);
}

/// Tasks that wait for ever on the ring are dropped with the core, their buffers by the kernel's leave.
#[test]
fn a_core_that_ends_takes_its_operations_with_it() {
    let quarantine = Quarantine::default();
    let core = LocalExecutor::new().unwrap();
    let (read, write) = pipe();
    core.block_on(async {
        let ring = Ring::current().unwrap();
        for _ in 0..8 {
            let (task_ring, read, buf) = (ring.clone(), read.clone(), quarantine.lend(64));
            drop(spawn_local(async move { task_ring.read_at(&read, buf, 0).await.0.unwrap() }));
        }
        while ring.in_flight() < 8 {
            crate::yield_now().await;
        }
    });
    drop(core);
    assert_eq!(quarantine.lent(), 0);
    let _ = rustix::io::write(&write, &[1; 512]);
    quarantine.check();
}

/// Nobody would ever hear an answer: what is asked of an ended core's ring says so at once, wherever it is polled, and gives back what
/// it was lent.
#[test]
fn the_ring_of_an_ended_core_refuses_everything_by_name() {
    let core = LocalExecutor::new().unwrap();
    let ring = core.enter_with(|| Ring::current().unwrap());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let socket = Fd::from(OwnedFd::from(ours));
    let pool = ring.recv_pool(64, 4).unwrap();
    let quarantine = Quarantine::default();
    let (mut waited, mut queued) = (ring.nop(), ring.nop());
    core.enter_with(|| assert!(poll_once(&mut waited).is_pending()));
    drop(core);
    // Answered when the core ended.
    assert_eq!(poll_once(&mut waited).map_err(|e| e.raw_os_error()), Poll::Ready(Ok(())));
    let is_refused = |answer: io::Result<()>| {
        let error = answer.unwrap_err();
        assert!(error.get_ref().is_some_and(|inner| inner.is::<CoreGone>()), "{error:?}");
        assert!(error.to_string().contains("has ended"), "{error}");
    };
    let check = || async {
        let (read, buf) = ring.read_at(&socket, quarantine.lend(64), 0).await;
        is_refused(read.map(drop));
        drop(buf);
        let (received, buf) = ring.recv(&socket, quarantine.lend(64), RecvFlags::empty()).await;
        is_refused(received.map(drop));
        drop(buf);
        let (sent, lent) = ring.send_zero_copy(&socket, quarantine.lend(64), SendFlags::empty()).await;
        is_refused(sent.map(drop));
        drop(lent.await);
        let ((read, buf), nop) = ring.read_at(&socket, quarantine.lend(64), 0).link(ring.nop()).await;
        is_refused(read.map(drop));
        is_refused(nop);
        drop(buf);
        let mut received = ring.recv_stream(&socket, &pool);
        is_refused(received.next().await.unwrap().map(drop));
        assert!(received.next().await.is_none());
        let mut accepted = ring.accept_stream(&socket);
        is_refused(accepted.next().await.unwrap().map(drop));
        assert!(accepted.next().await.is_none());
        is_refused(ring.ready_stream(&socket, PollFlags::IN).next().await.unwrap().map(drop));
        is_refused(ring.tick_stream(Duration::from_secs(1)).next().await.unwrap());
    };
    assert!(check().now_or_never().is_some(), "on no reactor");
    LocalExecutor::new().unwrap().block_on(check());
    assert!(matches!(poll_once(&mut queued), Poll::Ready(Err(_))));
    assert_eq!((quarantine.lent(), ring.in_flight()), (0, 0));
    // A close closes.
    theirs.set_nonblocking(true).unwrap();
    let closed = ring.close(socket).now_or_never().unwrap();
    is_refused(closed);
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

/// In every mode, a completion from another thread reaches a core that has gone to sleep. Each core has a thread of its own: the
/// kernel interrupts a thread's sleep some milliseconds after its ring has been closed.
#[test]
fn a_sleeping_core_is_woken_by_its_ring() {
    for mode in Mode::ALL {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (asks, asked) = std::sync::mpsc::channel();
        let core = std::thread::spawn(move || {
            let core = LocalExecutor::new().unwrap();
            core.set_mode(mode);
            core.block_on(async {
                let (ring, read) = (Ring::current().unwrap(), Fd::from(read));
                asks.send(rustix::thread::gettid()).unwrap();
                assert_eq!(ring.read_at(&read, vec![0; 8], 0).await.0.unwrap(), 5);
            });
        });
        let sleeper = asked.recv().unwrap().as_raw_nonzero();
        let stat = format!("/proc/self/task/{sleeper}/stat");
        while mode != Mode::Poll && !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
            std::thread::yield_now();
        }
        rustix::io::write(&write, b"12345").unwrap();
        core.join().unwrap();
    }
}
