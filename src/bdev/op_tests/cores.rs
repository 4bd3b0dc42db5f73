//! Operations among cores: one step for all of them, and an answer on the core that asked.

use std::pin::Pin;
use std::sync::mpsc;
use std::thread::{self, ThreadId};

use super::*;
use crate::reactor::yield_now;
use crate::sync::oneshot;

/// Lets others have the core before each I/O, so that operations made of several meet.
struct Yields(Descriptor);
struct YieldsChannel(Channel);

impl Bdev for Yields {
    type Channel = YieldsChannel;
    fn module(&self) -> &'static str {
        "yields"
    }
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn channel(&self, _access: Access) -> Result<YieldsChannel> {
        Ok(YieldsChannel(self.0.channel()?))
    }
}

impl Submit for YieldsChannel {
    async fn submit(&self, io: Io) -> Done {
        yield_now().await;
        self.0.submit(io).await
    }
}

/// Two cores, four tasks on each, count up in one block by compare-and-write alone: no count is lost.
#[test]
fn compare_and_write_is_one_step_among_cores() {
    const EACH: u64 = 50;
    let disk = open_private("yields", Yields(ram(1 << 20)), Access::ReadWrite).unwrap();
    let count = |disk: Descriptor| {
        LocalExecutor::new().unwrap().block_on(async move {
            let channel = disk.channel().unwrap();
            let one = async || {
                for _ in 0..EACH {
                    loop {
                        let found = channel.read(5..6).await.unwrap().freeze();
                        let number = u64::from_le_bytes(found[..8].try_into().unwrap());
                        let mut next = channel.alloc(512).await.unwrap();
                        next.copy_from_slice(&found);
                        next[..8].copy_from_slice(&(number + 1).to_le_bytes());
                        match channel.compare_and_write(5, found, next).await {
                            Ok(()) => break,
                            Err(Error::Miscompare { lba: 5 }) => {}
                            Err(e) => panic!("{e}"),
                        }
                    }
                }
            };
            futures::future::join_all((0..4).map(|_| one())).await;
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| count(disk.clone()));
        scope.spawn(|| count(disk.clone()));
    });
    block_on(async {
        let block = disk.channel().unwrap().read(5..6).await.unwrap();
        assert_eq!(u64::from_le_bytes(block[..8].try_into().unwrap()), 2 * 4 * EACH);
    });
}

/// On `core`, or here.
fn on<T>(core: Option<&LocalExecutor>, f: impl FnOnce() -> T) -> T {
    match core {
        Some(core) => core.enter_with(f),
        None => f(),
    }
}

/// Step by step: what began before is waited for, what begins after waits, and what changes nothing or lies elsewhere does neither.
#[test]
fn compare_and_write_waits_for_who_changes_its_blocks_and_they_for_it() {
    block_on(async {
        let disk = open_private("yields", Yields(ram(1 << 20)), Access::ReadWrite).unwrap();
        let channel = disk.channel().unwrap();
        let page = |byte: u8| {
            let mut page = channel.try_alloc(2 * 512).unwrap();
            page.fill(byte);
            page.freeze()
        };
        for is_only_core in [true, false] {
            let elsewhere = LocalExecutor::new().unwrap();
            let core = (!is_only_core).then_some(&elsewhere);
            let writer = on(core, || disk.channel().unwrap());
            channel.write(4, page(0)).await.unwrap();
            // A write that overlaps is on its way: the comparison sees what it wrote.
            let mut before = Box::pin(writer.write(5, page(1)));
            assert!(on(core, || poll(&mut before)).is_pending());
            let mut swap = Box::pin(channel.compare_and_write(4, page(0), page(2)));
            for _ in 0..5 {
                assert!(poll(&mut swap).is_pending());
                elsewhere.turn();
                yield_now().await;
            }
            let written = loop {
                if let Poll::Ready(written) = on(core, || poll(&mut before)) {
                    break written;
                }
                yield_now().await;
            };
            written.unwrap();
            let answer = loop {
                elsewhere.turn();
                yield_now().await;
                if let Poll::Ready(answer) = poll(&mut swap) {
                    break answer;
                }
            };
            assert!(matches!(answer, Err(Error::Miscompare { lba: 5 })), "{answer:?}");

            // And one that comes while it compares waits for its write.
            channel.write(4, page(0)).await.unwrap();
            let mut swap = Box::pin(channel.compare_and_write(4, page(0), page(2)));
            assert!(poll(&mut swap).is_pending());
            let mut changes: [Pin<Box<dyn Future<Output = Result<()>>>>; 3] = [
                Box::pin(channel.write(5, page(3))),
                Box::pin(channel.write_zeroes(3..5)),
                Box::pin(channel.copy(8..10, 4)),
            ];
            for _ in 0..5 {
                assert!(changes.iter_mut().all(|change| poll(change).is_pending()));
            }
            channel.read(4..6).await.unwrap();
            channel.write(6, page(4)).await.unwrap();
            channel.flush().await.unwrap();
            while poll(&mut swap).is_pending() {
                elsewhere.turn();
                yield_now().await;
            }
            let [write, zeroes, copy] = changes;
            drop((zeroes, copy));
            write.await.unwrap();
            let found = channel.read(4..6).await.unwrap();
            assert_eq!((found[0], found[512]), (2, 3));
        }
    });
}

type Order = (oneshot::Sender<ThreadId>, u64);

/// Has a thread that is no core do what it is asked, and answers when that says so.
struct Elsewhere(mpsc::Sender<Order>);
struct ElsewhereChannel(mpsc::Sender<Order>);

impl Bdev for Elsewhere {
    type Channel = ElsewhereChannel;
    fn module(&self) -> &'static str {
        "elsewhere"
    }
    fn geometry(&self) -> Geometry {
        SHAPE
    }
    fn channel(&self, _access: Access) -> Result<ElsewhereChannel> {
        Ok(ElsewhereChannel(self.0.clone()))
    }
}

impl Submit for ElsewhereChannel {
    async fn submit(&self, mut io: Io) -> Done {
        let asked_on = thread::current().id();
        let (answer, answered) = oneshot::channel();
        self.0.send((answer, io.lba())).unwrap();
        let Ok(carried_out_on) = answered.await else { return io.done(Err(Error::Aborted)) };
        assert_ne!(carried_out_on, asked_on);
        assert_eq!(thread::current().id(), asked_on, "the module goes on where it was asked");
        let lba = io.lba();
        io.read_buf().fill(lba as u8);
        io.done(Ok(()))
    }
}

/// Two cores submit, a foreign thread completes, the answer is where the question was.
#[test]
fn a_completion_from_a_foreign_thread_reaches_the_core_that_asked() {
    let (orders, todo) = mpsc::channel::<Order>();
    let worker = thread::spawn(move || {
        // The latest of each handful first: out of order.
        while let Ok(first) = todo.recv() {
            let mut handful = vec![first];
            handful.extend(todo.try_iter());
            for (answer, _) in handful.into_iter().rev() {
                let _ = answer.send(thread::current().id());
            }
        }
    });
    let disk = open_private("elsewhere", Elsewhere(orders), Access::ReadOnly).unwrap();
    let reads = async |disk: Descriptor| {
        let channel = disk.channel().unwrap();
        let home = thread::current().id();
        let one = async |lba: u64| {
            let buf = channel.read(lba..lba + 1).await.unwrap();
            assert_eq!(thread::current().id(), home);
            assert!(buf.iter().all(|byte| *byte == lba as u8));
        };
        for round in 0..20 {
            futures::future::join_all((0..16).map(|lba| one(round * 16 + lba))).await;
        }
        drop(channel.read(0..1));
        home
    };
    let homes: Vec<ThreadId> = thread::scope(|scope| {
        let core = || LocalExecutor::new().unwrap().block_on(reads(disk.clone()));
        let cores: Vec<_> = (0..2).map(|_| scope.spawn(core)).collect();
        cores.into_iter().map(|core| core.join().unwrap()).collect()
    });
    assert_ne!(homes[0], homes[1]);
    drop(disk);
    worker.join().unwrap();
}
