//! Tasks that wait for a buffer of a pool that has one.

use super::harness::Measure;
use super::memory::allocations_by;
use super::on_core;
use reactor::{sys::dma::DmaPool, yield_now};
use std::{future::poll_fn, task::Poll};

/// Takes turns with the one buffer of a pool: every turn but the first waits in line.
async fn take_turns(pool: &DmaPool, count: u64) {
    let task = || async {
        for _ in 0..count {
            let buf = pool.alloc(4096).await.expect("the pool has a buffer");
            yield_now().await;
            drop(buf);
        }
    };
    let all = [task(), task(), task(), task(), task(), task(), task(), task()];
    let mut all = all.map(Box::pin);
    let mut left = all.len();
    let mut is_over = [false; 8];
    poll_fn(|cx| {
        for (task, is_over) in all.iter_mut().zip(&mut is_over) {
            if !*is_over && task.as_mut().poll(cx).is_ready() {
                *is_over = true;
                left -= 1;
            }
        }
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Nanoseconds per turn.
pub fn dry_turns(measure: Measure) -> f64 {
    on_core(async move {
        let pool = DmaPool::with_limit(4096);
        let ns = measure.ns(async |count| take_turns(&pool, count).await).await;
        ns / 8.0
    })
}

/// Asserted, and so a test as well.
pub fn dry_allocations(measure: Measure) -> f64 {
    let turns = if measure.quick { 1_000 } else { 100_000 };
    let count = on_core(async move {
        let pool = DmaPool::with_limit(4096);
        take_turns(&pool, 100).await;
        // The eight boxes of the tasks themselves.
        allocations_by(async || take_turns(&pool, turns).await).await - 8
    });
    assert_eq!(count, 0, "waiting allocates in {turns} turns");
    count as f64 / turns as f64
}
