//! The line of a dry pool against an oracle: callers, drops here and elsewhere, and waiters that give up, in any order.

use std::collections::VecDeque;
use std::task::Poll;

use proptest::prelude::*;

use super::waiting_tests::{PAGE, Waiter};
use super::{DmaBuf, DmaPool};

#[derive(Debug, Clone)]
enum Step {
    /// A caller comes for so many pages.
    Come(usize),
    /// A holder drops its buffer, here or on another thread.
    Drop(prop::sample::Index, bool),
    /// Somebody in line, woken or not, gives up.
    GiveUp(prop::sample::Index),
    /// Somebody who was woken looks.
    Look(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..3_u32).prop_map(|order| Step::Come(1 << order)),
        4 => (index(), prop::bool::weighted(0.2)).prop_map(|(at, elsewhere)| Step::Drop(at, elsewhere)),
        1 => index().prop_map(Step::GiveUp),
        3 => index().prop_map(Step::Look),
    ]
}

/// Drops `buf` on another thread, which is there for all of them.
fn drop_elsewhere(buf: DmaBuf) {
    std::thread::scope(|scope| {
        scope.spawn(move || drop(buf));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Against a line that is simply a `VecDeque`: whoever is told has been first, and when all is given back all are served.
    #[test]
    fn the_line_is_served_in_order_and_to_its_end(steps in prop::collection::vec(step(), 0..60)) {
        let pool = DmaPool::with_limit(8 * PAGE);
        let mut holders: Vec<DmaBuf> = Vec::new();
        // In order of arrival: whether each was told is its waker's count.
        let mut line: VecDeque<Waiter<'_>> = VecDeque::new();
        for step in steps {
            match step {
                Step::Come(pages) => {
                    let mut waiter = Waiter::idle(&pool, pages * PAGE);
                    let waited = line.iter().any(|waiter| waiter.wakes() == 0);
                    match waiter.poll() {
                        Poll::Ready(buf) => {
                            prop_assert!(!waited, "overtook somebody");
                            holders.push(buf.unwrap());
                        }
                        Poll::Pending => line.push_back(waiter),
                    }
                }
                Step::Drop(at, elsewhere) if !holders.is_empty() => {
                    let buf = holders.swap_remove(at.index(holders.len()));
                    if elsewhere { drop_elsewhere(buf) } else { drop(buf) }
                }
                Step::GiveUp(at) if !line.is_empty() => drop(line.remove(at.index(line.len()))),
                Step::Look(at) if !line.is_empty() => {
                    let at = at.index(line.len());
                    let was_told = line[at].wakes() > 0;
                    if let Poll::Ready(buf) = line[at].poll() {
                        line.remove(at);
                        holders.push(buf.unwrap());
                    } else {
                        // Told from elsewhere that something has come back, and it was not enough.
                        prop_assert!(!was_told || line.iter().take(at).all(|before| before.wakes() > 0));
                        line[at].forget_wakes();
                    }
                }
                _ => {}
            }
            // Who was told comes before who was not.
            let told: Vec<_> = line.iter().map(|waiter| waiter.wakes() > 0).collect();
            prop_assert!(told.is_sorted_by(|before, after| before >= after), "{told:?}");
            let pages: usize = holders.iter().map(|buf| buf.len() / PAGE).sum();
            prop_assert!(pages <= 8 && pool.stats().mapped_bytes <= 8 * PAGE);
        }
        drop(holders);
        while let Some(mut waiter) = line.pop_front() {
            prop_assert!(waiter.wakes() > 0, "nothing is out, and the first in line was not told");
            prop_assert!(waiter.poll().is_ready());
        }
        let stats = pool.stats();
        prop_assert_eq!((stats.in_use, stats.waiting, stats.refused), (0, 0, 0));
    }
}
