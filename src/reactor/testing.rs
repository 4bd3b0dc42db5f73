//! Two cores on two threads, for tests that need both.

use super::{Group, LocalExecutor, Mode};
use crate::time::Clock;
use std::sync::mpsc;

/// Runs `main` on core 0 of a runtime of two, while the other core turns, and ends both, the other first.
pub(crate) fn on_two_cores<T>(mode: Mode, main: impl AsyncFnOnce() -> T) -> T {
    let group = Group::new([0, 1], mode).expect("two doorbells");
    let other_group = group.clone();
    let (stop, stopped) = futures::channel::oneshot::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    let executor = LocalExecutor::of_group(group, 0, Clock::tsc()).expect("a core");
    let other = std::thread::spawn(move || {
        let executor = LocalExecutor::of_group(other_group, 1, Clock::tsc()).expect("a core");
        ready.send(()).expect("the test waits");
        // An error is the end of the test as well.
        let _stopped = executor.block_on(stopped);
    });
    is_ready.recv().expect("the other core starts");
    let output = executor.block_on(main());
    drop(stop);
    other.join().expect("the other core ends");
    output
}
