//! Rings for commands on this machine, which need have no device for them: `/dev/null` takes any command, and a read from a pipe, which
//! such a ring carries as well, is answered when the test likes.

#![expect(unsafe_code, reason = "sends entries that point to buffers")]

use super::{CommandRing, Reply, Sent, Target};
use crate::reactor::driver::Driver;
use crate::sys::dma::{DmaBuf, DmaPool};
use crate::uring::tests::quarantine::{Quarantine, Watched};
use crate::uring::{Config, Features, IoBufMut, Setup};
use crate::{LocalExecutor, Mode, spawn_local};
use io_uring::squeue::Entry128;
use io_uring::{opcode, types};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const SETUPS: [Setup; 3] = [Setup::Deferred, Setup::Cooperative, Setup::Plain];

fn ring<H>(setup: Setup, entries: u32, in_flight_max: u32) -> Rc<CommandRing<H>> {
    CommandRing::new(&Config { setup, entries, in_flight_max, ..Config::default() }).unwrap()
}

/// An empty pipe to read from, and its other end.
fn pipe<H>(ring: &Rc<CommandRing<H>>) -> (Rc<Target<H>>, OwnedFd) {
    let (read, write) = rustix::pipe::pipe().unwrap();
    (ring.target(Arc::new(read)), write)
}

fn null<H>(ring: &Rc<CommandRing<H>>) -> Rc<Target<H>> {
    ring.target(Arc::new(File::options().read(true).write(true).open("/dev/null").unwrap().into()))
}

/// Reads into the buffer.
fn read<'a, B: IoBufMut>(ring: &'a CommandRing<B>, target: &Rc<Target<B>>, mut buf: B) -> Sent<'a, B> {
    let (to, len) = (buf.as_mut_ptr(), buf.len() as u32);
    let entry = match target.index {
        Some(index) => opcode::Read::new(types::Fixed(index), to, len).build(),
        None => opcode::Read::new(types::Fd(target.fd.as_raw_fd()), to, len).build(),
    };
    // SAFETY: the entry points to the bytes of the buffer, which stay put and are its own.
    unsafe { ring.carry(Entry128::from(entry), target, buf) }
}

/// A command that points to nothing.
fn command<'a, H>(ring: &'a CommandRing<H>, target: &Rc<Target<H>>, held: H) -> Sent<'a, H> {
    // SAFETY: as it says.
    unsafe { ring.send(target, 7, [0xaa; 80], None, held) }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn turn<H>(ring: &CommandRing<H>) -> usize {
    ring.flush();
    ring.poll()
}

fn block_on<H, F: Future>(ring: &CommandRing<H>, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        turn(ring);
    }
}

/// Also without the tables that a kernel may lack.
#[test]
fn commands_are_answered_and_what_was_kept_comes_back() {
    let without = Features::FILE_TABLE | Features::BUFFER_TABLE | Features::RING_NUMBER;
    for setup in SETUPS {
        for features in [Features::all(), Features::all().without(without)] {
            let ring = CommandRing::new(&Config { setup, features, ..Config::default() }).unwrap();
            let null = null(&ring);
            for round in 0..100 {
                let (reply, held) = block_on(&ring, command(&ring, &null, round));
                assert_eq!((reply, held), (Reply { result: 0, value: 0 }, round));
            }
            let counters = ring.counters();
            assert_eq!((counters.submitted, counters.completed, counters.waits), (100, 100, 0));
        }
    }
}

#[test]
fn who_takes_no_commands_says_so() {
    let ring = ring(Setup::Deferred, 4, 4);
    let zero = ring.target(Arc::new(File::open("/dev/zero").unwrap().into()));
    let (reply, held) = block_on(&ring, command(&ring, &zero, "held"));
    assert_eq!((reply.result, held), (-Errno::OPNOTSUPP.raw_os_error(), "held"));
}

/// Those of the core's own pool, whose memory is entered into the table with the first of them.
#[test]
fn pool_buffers_are_named_by_their_entry() {
    let ring = ring::<DmaBuf>(Setup::Deferred, 4, 4);
    let null = null(&ring);
    let buf = DmaPool::local().try_alloc(4096).unwrap();
    let _other = ring.entry(&null, 7, [0; 80], Some(DmaPool::new().try_alloc(4096).unwrap().chunk()));
    assert_eq!(ring.buffers.count().chunks, 0);
    let named = ring.entry(&null, 7, [0; 80], Some(buf.chunk()));
    // SAFETY: the command means nothing to its target, which touches no memory.
    let (reply, _buf) = block_on(&ring, unsafe { ring.carry(named, &null, buf) });
    assert_eq!(reply.result, 0);
    assert_eq!(ring.buffers.count().chunks, u32::from(ring.queues().setup() == Setup::Deferred));
}

#[test]
fn what_finds_no_room_waits_in_order() {
    for setup in SETUPS {
        for (entries, in_flight_max) in [(1, 1), (2, 64), (64, 3)] {
            let ring = ring(setup, entries, in_flight_max);
            let (target, write) = pipe(&ring);
            let mut reads: Vec<_> = (0..32).map(|_| read(&ring, &target, vec![0; 1])).collect();
            assert!(reads.iter_mut().all(|read| poll_once(read).is_pending()));
            // One that is given up before its turn, and whose place is nobody's.
            drop(reads.remove(31));
            let bytes: Vec<u8> = (1..=31).collect();
            assert_eq!(rustix::io::write(&write, &bytes).unwrap(), 31);
            let mut came = Vec::new();
            for read in reads {
                let (reply, byte) = block_on(&ring, read);
                assert_eq!(reply.result, 1);
                came.push(byte[0]);
            }
            if in_flight_max == 1 {
                assert_eq!(came, bytes, "one after the other");
            }
            came.sort_unstable();
            assert_eq!(came, bytes);
            turn(&ring);
            assert_eq!(ring.in_flight(), 0);
            assert_eq!(ring.counters().completed, 31);
        }
    }
}

/// Dropped before it is handed over, after, and after its answer; or forgotten.
#[test]
fn a_dropped_command_keeps_its_buffer_until_the_answer() {
    for setup in SETUPS {
        let quarantine = Quarantine::default();
        let ring = ring::<Watched>(setup, 8, 8);
        let (target, write) = pipe(&ring);
        for turns in [0, 1, 3] {
            let mut dropped = read(&ring, &target, quarantine.lend(8));
            assert!(poll_once(&mut dropped).is_pending());
            (0..turns).for_each(|_| _ = turn(&ring));
            drop(dropped);
            assert_eq!((quarantine.lent(), ring.in_flight()), (1, 1), "the kernel may write to it");
            rustix::io::write(&write, b"written").unwrap();
            while ring.in_flight() > 0 {
                turn(&ring);
            }
            assert_eq!(quarantine.lent(), 0);
        }
        let mut answered = read(&ring, &target, quarantine.lend(8));
        assert!(poll_once(&mut answered).is_pending());
        rustix::io::write(&write, b"written").unwrap();
        while ring.in_flight() > 0 {
            turn(&ring);
        }
        assert_eq!(quarantine.lent(), 1, "for who may still ask");
        drop(answered);
        assert_eq!(quarantine.lent(), 0);
        let mut forgotten = read(&ring, &target, quarantine.lend(8));
        assert!(poll_once(&mut forgotten).is_pending());
        std::mem::forget(forgotten);
        rustix::io::write(&write, b"written").unwrap();
        drop((target, ring));
        quarantine.check();
    }
}

/// The entry of the table would be the next file's.
#[test]
fn a_file_keeps_its_entry_until_its_commands_are_answered() {
    let ring = ring(Setup::Deferred, 8, 8);
    let (target, write) = pipe(&ring);
    let index = target.index;
    assert!(index.is_some(), "this kernel has a table");
    let mut reads = read(&ring, &target, vec![0; 8]);
    drop(target);
    assert!(poll_once(&mut reads).is_pending());
    let (other, _write) = pipe::<Vec<u8>>(&ring);
    assert_ne!(other.index, index);
    rustix::io::write(&write, b"written").unwrap();
    assert_eq!(block_on(&ring, reads).0.result, 7);
    assert_eq!(null(&ring).index, index, "free again");
}

/// Each wake-up is the only one that comes: if one is lost, the core sleeps for ever.
#[test]
fn a_core_that_sleeps_is_woken_by_the_answer() {
    for setup in SETUPS {
        let core = LocalExecutor::new().unwrap();
        core.set_mode(Mode::Interrupt);
        core.block_on(async {
            let ring = CommandRing::current_or_new(&Config { setup, ..Config::default() }).unwrap();
            assert!(Rc::ptr_eq(&ring, &CommandRing::current_or_new(&Config::default()).unwrap()));
            let (target, write) = pipe(&ring);
            for round in 0..50 {
                let mut reads = read(&ring, &target, vec![0; 1]);
                assert!(poll_once(&mut reads).is_pending());
                let write = write.try_clone().unwrap();
                let writer = std::thread::spawn(move || rustix::io::write(&write, &[round]).unwrap());
                let (reply, byte) = reads.await;
                assert_eq!((reply.result, byte[0]), (1, round));
                writer.join().unwrap();
            }
        });
    }
}

/// What the kernel has not been given is refused; what it has is awaited.
#[test]
fn a_core_that_ends_awaits_its_commands() {
    let quarantine = Quarantine::default();
    let core = LocalExecutor::new().unwrap();
    let (ring, write) = core.enter_with(|| {
        let config = Config { in_flight_max: 2, ..Config::default() };
        let ring = CommandRing::<Watched>::current_or_new(&config).unwrap();
        let (target, write) = pipe(&ring);
        for _ in 0..4 {
            let (ring, target, buf) = (ring.clone(), target.clone(), quarantine.lend(4));
            spawn_local(async move { drop(read(&ring, &target, buf).await) }).detach();
        }
        (ring, write)
    });
    while ring.in_flight() < 4 {
        core.turn();
    }
    // From another thread, as the end of the core waits.
    let writer = std::thread::spawn(move || rustix::io::write(&write, &[1; 8]).unwrap());
    drop(core);
    writer.join().unwrap();
    assert_eq!((quarantine.lent(), ring.in_flight()), (0, 0));
    quarantine.check();
    let (target, _write) = pipe(&ring);
    let Poll::Ready((reply, _buf)) = poll_once(&mut read(&ring, &target, quarantine.lend(4))) else {
        panic!("nobody would answer")
    };
    assert!(reply.is_of_no_core());
}

#[test]
fn a_ring_that_polls_is_another() {
    let core = LocalExecutor::new().unwrap();
    core.enter_with(|| {
        let polling = Config { is_polling: true, ..Config::default() };
        let [one, other] =
            [&polling, &Config::default()].map(|config| CommandRing::<()>::current_or_new(config));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(!Rc::ptr_eq(&one, &other));
        assert!(Rc::ptr_eq(&one, &CommandRing::current_or_new(&polling).unwrap()));
    });
}
