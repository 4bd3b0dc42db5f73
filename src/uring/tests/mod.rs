//! Rings stepped by hand, on real files.

mod asleep;
mod at_once;
mod bed;
mod cancel;
mod core;
mod endings;
mod errors;
mod features;
mod files;
mod fixed;
mod hostile;
mod idle;
mod lent;
mod link;
mod missed;
mod nudges;
pub(crate) mod quarantine;
mod recv;
mod sleep;
mod sockets;
mod streams;
mod turns;

use super::stream::Source;
use super::{Answers, Config, Fd, Features, Ring, Setup};
use crate::reactor::driver::Driver;
use futures::stream::Stream;
use rustix::fs::{Mode, OFlags};
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

const SETUPS: [Setup; 3] = [Setup::Deferred, Setup::Cooperative, Setup::Plain];

/// A ring that asks for at most `setup`, with room for `entries` per submission and `in_flight_max` at the kernel.
fn ring(setup: Setup, entries: u32, in_flight_max: u32) -> Rc<Ring> {
    Ring::new(&Config { setup, entries, in_flight_max, ..Config::default() }).unwrap()
}

/// A ring as described, with little room: tests have many.
fn ring_with(config: Config) -> Rc<Ring> {
    Ring::new(&Config { entries: 64, in_flight_max: 64, ..config }).unwrap()
}

/// A ring that uses at most these features.
fn ring_using(setup: Setup, features: Features) -> Rc<Ring> {
    Ring::new(&Config { setup, entries: 8, features, ..Config::default() }).unwrap()
}

/// Turns until the stream has an item.
fn next<T: Source>(ring: &Ring, stream: &mut Answers<T>) -> Option<T::Item> {
    block_on(ring, stream.next())
}

/// The stream's item if it is there.
fn try_next<T: Source>(stream: &mut Answers<T>) -> Poll<Option<T::Item>> {
    std::pin::Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

/// One turn of the ring alone.
fn turn(ring: &Ring) -> usize {
    ring.flush();
    ring.poll()
}

fn turn_often(ring: &Ring, times: usize) {
    for _ in 0..times {
        turn(ring);
    }
}

fn block_on<F: Future>(ring: &Ring, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        turn(ring);
    }
}

/// Turns until the kernel has answered everything.
fn settle(ring: &Ring) {
    while ring.in_flight() > 0 {
        turn(ring);
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// An empty pipe: reads from it last until something is written, or until they are cancelled.
fn pipe() -> (Fd, std::os::fd::OwnedFd) {
    let (read, write) = rustix::pipe::pipe().unwrap();
    (Fd::from(read), write)
}

/// Opens with O_DIRECT where the file system has it, and says so where it has not.
fn open_direct(path: &Path) -> Fd {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty()) {
        Ok(fd) => fd.into(),
        Err(error) => {
            println!("without O_DIRECT: {}: {error}", path.display());
            rustix::fs::open(path, flags, Mode::empty()).unwrap().into()
        }
    }
}

/// Open descriptors of this process that point to something under `dir`.
pub(crate) fn descriptors_under(dir: &Path) -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.starts_with(dir))
        .count()
}
