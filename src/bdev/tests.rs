//! The promises of the layer itself, on modules made to test them. What every module promises is in `conformance`.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::modules::Ram;
use super::*;
use crate::LocalExecutor;
use crate::sys::dma::DmaPool;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    LocalExecutor::new().unwrap().block_on(future)
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A module whose data path is a function.
struct Made<F>(F, Geometry);

impl<F, S> Bdev for Made<F>
where
    F: Fn() -> S + Send + Sync + 'static,
    S: Submit,
{
    type Channel = S;
    fn module(&self) -> &'static str {
        "made"
    }
    fn geometry(&self) -> Geometry {
        self.1
    }
    fn channel(&self, _access: Access) -> Result<S> {
        Ok((self.0)())
    }
}

const SHAPE: Geometry = Geometry::new(512, 1024);

fn made<S: Submit>(make: impl Fn() -> S + Send + Sync + 'static) -> Descriptor {
    open_private("made", Made(make, SHAPE), Access::ReadWrite).unwrap()
}

struct DropsIt;
impl Submit for DropsIt {
    async fn submit(&self, io: Io) -> Done {
        drop(io);
        pending().await
    }
}

#[test]
fn an_io_that_the_module_drops_is_aborted() {
    block_on(async {
        let channel = made(|| DropsIt).channel().unwrap();
        let e = channel.read_into(0..1, channel.try_alloc(512).unwrap()).await.unwrap_err();
        assert!(matches!(*e.error, Error::Aborted));
        assert_eq!(e.buf.map(|buf| buf.len()), Some(512), "the buffer comes back");
        assert_eq!((channel.stats().errors, channel.stats().in_flight), (1, 0));
    });
}

thread_local! { static SHELF: RefCell<Vec<Io>> = const { RefCell::new(Vec::new()) }; }

/// Puts every I/O where somebody else finds it.
struct Shelves;
impl Submit for Shelves {
    async fn submit(&self, io: Io) -> Done {
        SHELF.with(|shelf| shelf.borrow_mut().push(io));
        pending().await
    }
}

/// Borrows itself for as long as its future lives.
struct Holds(Arc<()>);
impl Submit for Holds {
    async fn submit(&self, io: Io) -> Done {
        SHELF.with(|shelf| shelf.borrow_mut().push(io));
        poll_fn(|_| if Arc::strong_count(&self.0) > 0 { Poll::Pending } else { Poll::Ready(()) }).await;
        unreachable!("it has a count of its own")
    }
}

/// Hands on to a device below.
struct Passes(Channel);
impl Submit for Passes {
    async fn submit(&self, io: Io) -> Done {
        self.0.submit(io).await
    }
}

fn passing(base: Descriptor) -> Descriptor {
    made(move || Passes(base.channel().unwrap()))
}

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);
impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_io_dropped_or_answered_by_another_task_wakes_its_caller_through_every_layer() {
    block_on(async {
        for layers in 0..3 {
            for answered in [false, true] {
                let disk = (0..layers).fold(made(|| Shelves), |base, _| passing(base));
                let channel = disk.channel().unwrap();
                let wakes = Arc::new(Wakes::default());
                let waker = Waker::from(wakes.clone());
                let mut read = pin!(channel.read(0..1));
                let mut cx = Context::from_waker(&waker);
                assert!(read.as_mut().poll(&mut cx).is_pending());
                assert!(read.as_mut().poll(&mut cx).is_pending());
                let io = SHELF.with(|shelf| shelf.borrow_mut().pop()).unwrap();
                assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
                if answered {
                    drop(io.done(Ok(())));
                } else {
                    drop(io);
                }
                assert!(wakes.0.load(Ordering::Relaxed) >= 1, "{layers} layers");
                let Poll::Ready(result) = read.as_mut().poll(&mut cx) else { panic!("still waiting") };
                assert_eq!(result.is_ok(), answered);
                assert!(answered || matches!(result, Err(Error::Aborted)));
            }
        }
    });
}

#[test]
fn an_io_that_outlives_its_caller_harms_nobody() {
    block_on(async {
        let in_use = DmaPool::local().stats().in_use;
        let channel = passing(made(|| Shelves)).channel().unwrap();
        let mut read = Box::pin(channel.read(0..4));
        assert!(poll(&mut read).is_pending());
        drop(read);
        assert_eq!((channel.stats().dropped, channel.stats().in_flight), (1, 0));
        let io = SHELF.with(|shelf| shelf.borrow_mut().pop()).unwrap();
        // Another I/O meanwhile gets a request of its own.
        let mut next = Box::pin(channel.read(0..1));
        assert!(poll(&mut next).is_pending());
        assert_eq!(io.blocks(), 4);
        drop(channel.clone());
        drop(io.done(Ok(())));
        assert!(poll(&mut next).is_pending());
        SHELF.with(|shelf| shelf.borrow_mut().clear());
        assert!(matches!(poll(&mut next), Poll::Ready(Err(Error::Aborted))));
        drop(next);
        assert_eq!(DmaPool::local().stats().in_use, in_use, "a buffer leaked");
    });
}

#[test]
fn a_forgotten_future_takes_no_memory_from_under_the_module() {
    block_on(async {
        let alive = Arc::new(());
        let held = alive.clone();
        let disk = made(move || Holds(held.clone()));
        // Dropped with its channel in the ordinary case.
        let channel = disk.channel().unwrap();
        drop(Box::pin(channel.read(0..1)));
        assert_eq!(Arc::strong_count(&alive), 3);
        drop(channel);
        assert_eq!(Arc::strong_count(&alive), 2);
        SHELF.with(|shelf| shelf.borrow_mut().clear());

        let channel = disk.channel().unwrap();
        let mut read = Box::pin(channel.read(0..1));
        assert!(poll(&mut read).is_pending());
        std::mem::forget(read);
        drop(channel);
        assert_eq!(Arc::strong_count(&alive), 3, "the module stays with the future that borrows it");
        SHELF.with(|shelf| drop(shelf.borrow_mut().pop().unwrap().done(Ok(()))));
    });
}

/// Answers every second I/O with the answer to the one before.
#[derive(Default)]
struct Swaps(Cell<Option<Io>>);
impl Submit for Swaps {
    async fn submit(&self, io: Io) -> Done {
        match self.0.replace(Some(io)) {
            Some(before) => before.done(Ok(())),
            None => pending().await,
        }
    }
}

#[test]
#[should_panic = "the answer to another i/o"]
fn an_answer_to_another_io_is_refused() {
    block_on(async {
        let channel = made(Swaps::default).channel().unwrap();
        let mut first = Box::pin(channel.read(0..1));
        assert!(poll(&mut first).is_pending());
        let _ = channel.read(1..2).await;
    });
}

/// Whoever finds out, none of the channels is left with an I/O that is never over.
#[test]
fn an_answer_to_another_io_leaves_nothing_in_flight() {
    let executor = LocalExecutor::new().unwrap();
    for layers in 0..3 {
        let base = made(Swaps::default);
        let below = executor.enter_with(|| base.channel()).unwrap();
        let disk = (0..layers).fold(base, |base, _| passing(base));
        let channel = executor.enter_with(|| disk.channel()).unwrap();
        let mut first = Box::pin(channel.read(0..1));
        assert!(executor.enter_with(|| poll(&mut first)).is_pending());
        let task = executor.spawn_local({
            let channel = channel.clone();
            async move { channel.read(1..2).await.map(drop) }
        });
        executor.block_on(task).unwrap_err();
        drop(first);
        assert_eq!((below.stats().in_flight, channel.stats().in_flight), (0, 0), "{layers} layers");
        assert!(below.in_flight().is_empty() && channel.in_flight().is_empty());
    }
}

struct Panics;
impl Submit for Panics {
    async fn submit(&self, io: Io) -> Done {
        assert!(io.lba() != 7, "block seven");
        io.done(Ok(()))
    }
}

#[test]
fn a_module_that_panics_loses_no_buffer_and_no_slot() {
    let executor = LocalExecutor::new().unwrap();
    let disk = made(|| Panics);
    let channel = executor.enter_with(|| disk.channel()).unwrap();
    let in_use = DmaPool::local().stats().in_use;
    for _ in 0..3 {
        let channel = channel.clone();
        let task = executor.spawn_local(async move { channel.read(7..8).await.map(drop) });
        executor.block_on(task).unwrap_err();
    }
    executor.block_on(channel.read(6..7)).unwrap();
    assert_eq!((channel.stats().in_flight, channel.stats().dropped), (0, 3));
    assert_eq!(DmaPool::local().stats().in_use, in_use);
}

/// Yields once before it answers, keeps the largest I/O it has seen, and fails at block 600.
struct Small(Rc<Cell<u64>>);
impl Submit for Small {
    async fn submit(&self, io: Io) -> Done {
        self.0.set(self.0.get().max(io.blocks()));
        let mut is_first = true;
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let result = if io.range().contains(&600) { Err(Error::Media) } else { Ok(()) };
        io.done(result)
    }
}

#[test]
fn large_io_reaches_the_module_in_pieces_and_counts_once() {
    block_on(async {
        let shape = SHAPE.with_max_io_blocks(5).with_optimal_io_boundary(8);
        let disk = open_private("small", Made(|| Small(Rc::default()), shape), Access::ReadWrite).unwrap();
        let channel = disk.channel().unwrap();
        let in_use = DmaPool::local().stats().in_use;
        for _ in 0..3 {
            let buf = channel.read(3..500).await.unwrap();
            assert_eq!(buf.len(), 497 * 512);
            channel.write(3, buf).await.unwrap();
            let buf = channel.try_alloc(1024 * 512).unwrap();
            let e = channel.read_into(0..1024, buf).await.unwrap_err();
            assert!(matches!(*e.error, Error::Media));
            assert_eq!(e.buf.map(|buf| buf.len()), Some(1024 * 512), "joined again after the error");
            // Dropped half way.
            let mut half = Box::pin(channel.read(0..500));
            assert!(poll(&mut half).is_pending());
        }
        let stats = channel.stats();
        assert_eq!(
            (stats.reads, stats.writes, stats.errors, stats.dropped, stats.in_flight),
            (6, 3, 3, 3, 0)
        );
        assert_eq!(stats.read_bytes, 3 * 497 * 512);
        assert_eq!(DmaPool::local().stats().in_use, in_use);
    });
}

#[test]
fn more_reads_than_the_pool_has_buffers_wait_in_order_and_none_fails() {
    block_on(async {
        let pool = DmaPool::local();
        pool.set_limit(4 * 4096);
        let channel = made(|| Small(Rc::default())).channel().unwrap();
        let order = RefCell::new(Vec::new());
        let reads = (0..32).map(async |number| {
            assert_eq!(channel.read(number * 8..number * 8 + 8).await.unwrap().len(), 4096);
            order.borrow_mut().push(number);
        });
        futures::future::join_all(reads).await;
        assert!(order.borrow().is_sorted(), "{order:?}");
        assert_eq!((pool.stats().waited, pool.stats().waiting, pool.stats().in_use), (28, 0, 0));
        assert!(channel.try_alloc(4096).is_ok());

        let e = channel.read(0..64).await.unwrap_err();
        assert!(matches!(e, Error::NoBuffer(_)) && e.to_string().contains("DmaPool::set_limit"), "{e}");
        assert!(channel.alloc(5 * 4096).await.is_err());
    });
}

#[test]
fn a_stack_over_a_smaller_device_answers_with_its_errors() {
    block_on(async {
        let base = open_private("base", Ram::new(64 * 512).unwrap(), Access::ReadOnly).unwrap();
        let channel = passing(base).channel().unwrap();
        channel.read(0..64).await.unwrap();
        assert!(matches!(channel.read(60..65).await, Err(Error::OutOfRange { .. })));
        let data = channel.try_alloc(512).unwrap();
        assert!(matches!(channel.write(0, data).await, Err(Error::ReadOnly { .. })));
    });
}

#[test]
fn one_core_has_one_channel_of_a_descriptor() {
    block_on(async {
        static MADE: Mutex<usize> = Mutex::new(0);
        let disk = made(|| {
            *MADE.lock().unwrap() += 1;
            DropsIt
        });
        let first = disk.channel().unwrap();
        let second = disk.clone().channel().unwrap();
        assert_eq!(*MADE.lock().unwrap(), 1);
        drop((first, second));
        drop(disk.channel().unwrap());
        assert_eq!(*MADE.lock().unwrap(), 2);
    });
}

#[test]
fn outside_of_a_reactor_a_channel_is_refused_by_name() {
    let e = made(|| DropsIt).channel().unwrap_err();
    assert!(matches!(e, Error::NotOnReactor(_)));
    assert!(e.to_string().contains("Descriptor::channel"), "{e}");
}

#[test]
fn what_a_module_lacks_is_unsupported() {
    block_on(async {
        let channel = made(|| Panics).channel().unwrap();
        let e = channel.unmap(0..1).await.unwrap_err();
        assert_eq!(e.to_string(), "this block device (made) cannot unmap");
        assert!(matches!(
            channel.seek_data(0).await,
            Err(Error::Unsupported { op: Op::SeekData, module: "made" })
        ));
    });
}

#[test]
fn handles_cross_threads_as_the_types_say() {
    static_assertions::assert_impl_all!(Descriptor: Send, Sync, Clone);
    static_assertions::assert_impl_all!(crate::sys::dma::DmaBuf: Send, Sync);
    static_assertions::assert_impl_all!(crate::sys::dma::DmaBytes: Send, Sync, Clone);
    static_assertions::assert_impl_all!(Error: Send, Sync);
    static_assertions::assert_not_impl_any!(Channel: Send, Sync);
    static_assertions::assert_not_impl_any!(Io: Send, Sync);
    static_assertions::assert_not_impl_any!(Done: Send, Sync);
    static_assertions::assert_not_impl_any!(DmaPool: Send, Sync);
}
