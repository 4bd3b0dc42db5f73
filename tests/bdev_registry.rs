//! What block devices there are and who has them: names, claims, the modules that examine them, and their way to text and back.

#[path = "bdev_registry/claims.rs"]
mod claims;
#[path = "bdev_registry/config.rs"]
mod config;
#[path = "bdev_registry/examine.rs"]
mod examine;
#[cfg(feature = "gpt")]
#[path = "bdev_registry/gpt.rs"]
mod gpt;
#[cfg(feature = "gpt")]
#[path = "bdev_registry/making.rs"]
mod making;
#[path = "bdev_registry/names.rs"]
mod names;

use reactor::LocalExecutor;
use reactor::bdev;
use reactor::sys::dma::DmaPool;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Modules and names are the whole process's: one test at a time has them.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test that has all names and modules to itself, and holds it to leaving nothing behind: no device and no buffer.
fn run<T>(test: impl Future<Output = T>) -> T {
    let _alone = alone();
    // What a test left behind that failed is its own failure alone.
    for name in bdev::names() {
        let _ = bdev::unregister(&name);
    }
    LocalExecutor::new().unwrap().block_on(async {
        let result = test.await;
        bdev::finish().await.unwrap();
        assert_eq!(bdev::names(), [""; 0], "a device is left");
        assert_eq!(DmaPool::local().stats().in_use, 0, "a buffer is left");
        result
    })
}

/// Polls once, for nobody.
fn poll<F: Future + Unpin>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

async fn wait_turns(turns: u64) {
    for _ in 0..turns {
        reactor::yield_now().await;
    }
}
