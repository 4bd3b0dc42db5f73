//! The life of a block device, as users and authors of modules meet it: what is told of it, how it is held, resized and taken away,
//! under load, with modules that misbehave and executors that come and go.

#[path = "bdev_life/aborted.rs"]
mod aborted;
#[path = "bdev_life/events.rs"]
mod events;
#[path = "bdev_life/executors.rs"]
mod executors;
#[path = "bdev_life/load.rs"]
mod load;
#[path = "bdev_life/modules.rs"]
mod modules;
#[path = "bdev_life/quiesce.rs"]
mod quiesce;
#[path = "bdev_life/removal.rs"]
mod removal;
#[path = "bdev_life/stacks.rs"]
mod stacks;
#[path = "bdev_life/traps.rs"]
mod traps;

use reactor::sys::dma::DmaPool;
use reactor::time::{Clock, VirtualClock};
use reactor::{LocalExecutor, yield_now};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Runs a test on a core, and holds it to leaving no buffer behind.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let executor = LocalExecutor::new().unwrap();
    let result = executor.block_on(future);
    settle(&executor);
    assert_eq!(executor.enter_with(in_use), 0, "a buffer is left");
    result
}

/// Waits on this thread, which is no reactor.
fn on_no_reactor<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls once, for nobody.
fn poll<F: Future + Unpin>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A core on a clock that the test moves.
fn core_by_hand() -> (LocalExecutor, VirtualClock) {
    let (clock, hand) = Clock::manual();
    (LocalExecutor::with_clock(clock).unwrap(), hand)
}

/// Turns until nothing more happens.
fn settle(executor: &LocalExecutor) {
    while executor.turn().is_busy() {}
}

async fn wait_turns(turns: u64) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// Buffers of the calling thread's pool that somebody has.
fn in_use() -> u64 {
    DmaPool::local().stats().in_use as u64
}
