//! Those who wait for a limit: their order, and what becomes of them when something else happens.

use super::{Cores, MS, PAGE, SECOND, page_blocks, read};
use reactor::bdev::{self, Access, Descriptor, Error, Limits};
use reactor::spawn_local;
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

fn limited(cores: &Cores, spec: &str, iops: u64) -> Descriptor {
    let disk = cores.open(spec);
    disk.set_limits(Limits { iops: Some(iops), ..Limits::NONE }).unwrap();
    disk
}

/// Reads one after the other of `count` tasks, whose numbers are listed as they are done.
fn readers(cores: &Cores, disk: &Descriptor, count: usize) -> Rc<RefCell<Vec<usize>>> {
    let done = Rc::new(RefCell::new(Vec::new()));
    for number in 0..count {
        let (disk, done) = (disk.clone(), done.clone());
        cores.start(0, async move {
            read(&disk.channel().unwrap()).await;
            done.borrow_mut().push(number);
        });
    }
    cores.settle();
    done
}

#[test]
fn who_waits_is_let_in_in_order() {
    let cores = Cores::new(1);
    let disk = limited(&cores, "null", 10);
    let done = readers(&cores, &disk, 10);
    assert_eq!(*done.borrow(), [0], "the first at once");
    for number in 1..10 {
        cores.pass(100 * MS, MS);
        assert_eq!(*done.borrow(), (0..=number).collect::<Vec<_>>());
    }
}

/// Waiting is not being in flight, and nothing polls meanwhile: a core with nothing else to do may sleep.
#[test]
fn waiting_costs_no_turns() {
    let cores = Cores::new(1);
    let disk = limited(&cores, "null", 1);
    let done = readers(&cores, &disk, 1_000);
    assert_eq!((done.borrow().len(), disk.stats().in_flight), (1, 0));
    let mut busy = 0;
    for _ in 0..900 {
        cores.hand.advance(MS);
        busy += u32::from(cores.cores[0].turn().is_busy());
    }
    assert_eq!(busy, 0);
}

#[test]
fn a_future_dropped_in_line_gives_its_place_back() {
    for victim in [1, 2, 3] {
        let cores = Cores::new(1);
        let disk = limited(&cores, "null", 10);
        let done = Rc::new(RefCell::new(Vec::new()));
        let mut tasks = Vec::new();
        cores.on(0, async {
            for number in 0..4 {
                let (disk, done) = (disk.clone(), done.clone());
                tasks.push(spawn_local(async move {
                    read(&disk.channel().unwrap()).await;
                    done.borrow_mut().push(number);
                }));
            }
        });
        cores.pass(50 * MS, MS);
        tasks[victim].abort();
        cores.pass(160 * MS, MS);
        let left: Vec<_> = (0..4).filter(|number| *number != victim).collect();
        assert_eq!(*done.borrow(), left, "without {victim}: the third after 200 ms");
    }
}

/// Dropped after its time has come, before it looks: the next need not pay for it.
#[test]
fn a_future_dropped_when_it_was_let_in_has_paid_for_nobody() {
    let cores = Cores::new(1);
    let disk = limited(&cores, "null", 10);
    let channel = cores.on(0, async { disk.channel().unwrap() });
    let done = readers(&cores, &disk, 1);
    assert_eq!(done.borrow().len(), 1);
    {
        let mut waits = pin!(read(&channel));
        let poll = waits.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
        cores.pass(100 * MS, MS);
    }
    let later = readers(&cores, &disk, 1);
    cores.pass(2 * MS, MS);
    assert_eq!(later.borrow().len(), 1, "as if the other had never been");
}

/// Forgotten in line it keeps its place, and nobody waits for it.
#[test]
fn a_forgotten_future_stops_nobody() {
    let cores = Cores::new(1);
    let disk = limited(&cores, "null", 10);
    let channel = cores.on(0, async { disk.channel().unwrap() });
    let done = readers(&cores, &disk, 1);
    let mut waits = Box::pin(async move { read(&channel).await });
    assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    std::mem::forget(waits);
    let later = readers(&cores, &disk, 1);
    cores.pass(200 * MS, MS);
    assert_eq!((done.borrow().len(), later.borrow().len()), (1, 1));
}

#[test]
fn limits_change_for_who_waits() {
    let cores = Cores::new(1);
    let disk = limited(&cores, "null", 1);
    let done = readers(&cores, &disk, 200);
    cores.pass(10 * MS, MS);
    assert_eq!(done.borrow().len(), 1);
    disk.set_limits(Limits { iops: Some(1_000), ..Limits::NONE }).unwrap();
    cores.pass(50 * MS, MS);
    assert!((50..=54).contains(&done.borrow().len()), "{}", done.borrow().len());
    disk.set_limits(Limits { read_bytes: Some(PAGE), ..Limits::NONE }).unwrap();
    let before = done.borrow().len();
    cores.pass(50 * MS, MS);
    assert!(done.borrow().len() <= before + 1, "one page a second");
    disk.set_limits(Limits::NONE).unwrap();
    cores.settle();
    assert_eq!(done.borrow().len(), 200, "lifted, all go at once");
}

/// What is too long for the limit passes, and those after it wait for as long as it would have taken.
#[test]
fn long_io_passes_and_is_made_up_for() {
    let cores = Cores::new(1);
    let disk = cores.open("null");
    disk.set_limits(Limits { bytes: Some(1 << 20), ..Limits::NONE }).unwrap();
    cores.on(0, async {
        let channel = disk.channel().unwrap();
        channel.read(0..256 * page_blocks(&channel)).await.unwrap();
    });
    let done = readers(&cores, &disk, 1);
    cores.pass(SECOND - 2 * MS, MS);
    assert_eq!(done.borrow().len(), 0, "the mebibyte takes a second");
    cores.pass(2 * MS, MS);
    assert_eq!(done.borrow().len(), 1);
}

#[test]
fn a_device_that_is_removed_refuses_who_waits_for_its_limits() {
    let cores = Cores::new(1);
    let disk = cores.on(0, async {
        bdev::register("limited-removed", bdev::modules::Null::new(1 << 30).unwrap()).unwrap();
        bdev::open("limited-removed", Access::ReadWrite).await.unwrap()
    });
    disk.set_limits(Limits { iops: Some(1), ..Limits::NONE }).unwrap();
    let removed = Rc::new(RefCell::new(0));
    for _ in 0..5 {
        let (disk, removed) = (disk.clone(), removed.clone());
        cores.start(0, async move {
            if let Err(Error::Removed) = disk.channel().unwrap().read(0..1).await {
                *removed.borrow_mut() += 1;
            }
        });
    }
    cores.settle();
    drop(bdev::unregister("limited-removed").unwrap());
    cores.settle();
    assert_eq!(*removed.borrow(), 4, "all but the first, at once");
    let refused = disk.set_limits(Limits { iops: Some(1), ..Limits::NONE });
    assert!(matches!(refused, Err(Error::Removed)));
}

/// Let in by the limit, it waits for who holds the device.
#[test]
fn a_held_device_is_held_for_who_waited_for_its_limits() {
    let cores = Cores::new(1);
    let disk = limited(&cores, "null", 10);
    let done = readers(&cores, &disk, 2);
    let held = cores.on(0, disk.quiesce()).unwrap();
    cores.pass(200 * MS, MS);
    assert_eq!(done.borrow().len(), 1);
    drop(held);
    cores.settle();
    assert_eq!(done.borrow().len(), 2);
}

/// Polled by another core of its thread than its own, and when its own has gone.
#[test]
fn io_waits_on_the_core_of_its_channel() {
    let mut cores = Cores::new(2);
    let disk = limited(&cores, "null", 10);
    let channel = cores.on(0, async { disk.channel().unwrap() });
    let done = Rc::new(RefCell::new(0));
    for _ in 0..3 {
        let (channel, done) = (channel.clone(), done.clone());
        cores.start(1, async move {
            read(&channel).await;
            *done.borrow_mut() += 1;
        });
    }
    cores.pass(200 * MS, MS);
    assert_eq!(*done.borrow(), 3);

    let alone = limited(&cores, "null", 10);
    let orphan = cores.on(0, async { alone.channel().unwrap() });
    // Its core ends while two wait.
    for _ in 0..2 {
        let (channel, done) = (channel.clone(), done.clone());
        cores.start(1, async move {
            read(&channel).await;
            *done.borrow_mut() += 1;
        });
    }
    cores.settle();
    drop((channel, cores.cores.remove(0)));
    cores.settle();
    assert_eq!(*done.borrow(), 5, "nobody waits for a core that has gone");
    let poll = |future: std::pin::Pin<&mut dyn Future<Output = bdev::Result<_>>>| {
        future.poll(&mut Context::from_waker(Waker::noop()))
    };
    // At once it may; to wait it has no core.
    let (first, second) =
        cores.on(0, async { (poll(pin!(orphan.read(0..1))), poll(pin!(orphan.read(0..1)))) });
    assert!(matches!(first, Poll::Ready(Ok(_))), "{first:?}");
    assert!(matches!(second, Poll::Ready(Err(Error::NotOnReactor(_)))), "{second:?}");
}
