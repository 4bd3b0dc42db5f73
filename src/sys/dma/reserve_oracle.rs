//! Pools that share a reserve, under whatever callers, drops, pokes that come late and waiters that give up, in any order: the limit
//! holds, nobody is forgotten.

use std::collections::VecDeque;
use std::task::Poll;

use proptest::prelude::*;

use super::DmaBuf;
use super::reserve_tests::{Node, nodes, settle};
use super::waiting_tests::{PAGE, Waiter};

const CORES: usize = 3;
const OWN: usize = 2 * PAGE;
const RESERVE: usize = 12 * PAGE;

#[derive(Debug, Clone)]
enum Step {
    /// A caller comes to that core for so many pages.
    Come(usize, usize),
    /// A holder drops its buffer, here or on another thread.
    Drop(prop::sample::Index, bool),
    /// Somebody in line gives up.
    GiveUp(prop::sample::Index),
    /// Somebody looks.
    Look(prop::sample::Index),
    /// A core does what it was poked for.
    Attend(usize),
    /// A core goes to sleep.
    Rest(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        5 => (0..CORES, 0..4_u32).prop_map(|(core, order)| Step::Come(core, 1 << order)),
        5 => (index(), prop::bool::weighted(0.2)).prop_map(|(at, elsewhere)| Step::Drop(at, elsewhere)),
        1 => index().prop_map(Step::GiveUp),
        3 => index().prop_map(Step::Look),
        4 => (0..CORES).prop_map(Step::Attend),
        1 => (0..CORES).prop_map(Step::Rest),
    ]
}

fn drop_elsewhere(buf: DmaBuf) {
    std::thread::scope(|scope| {
        scope.spawn(move || drop(buf));
    });
}

/// The limits hold, and each buffer is one holder's: its bytes are what that one wrote.
fn check(nodes: &[Node; CORES], reserve: &super::DmaReserve, holders: &[(u8, DmaBuf)]) {
    let all = nodes.each_ref().map(|node| node.pool.stats());
    let stats = reserve.stats();
    assert!(stats.mapped_bytes <= RESERVE && stats.peak_bytes <= RESERVE);
    assert_eq!(all.iter().map(|stats| stats.leased_bytes).sum::<usize>(), stats.leased_bytes);
    assert!(all.iter().all(|stats| stats.mapped_bytes - stats.leased_bytes <= OWN));
    for (mark, buf) in holders {
        assert!(buf.first() == Some(mark) && buf.last() == Some(mark), "two have the same buffer");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_limit_holds_and_in_the_end_all_are_served(steps in prop::collection::vec(step(), 0..80)) {
        let (reserve, nodes) = nodes::<CORES>(OWN, RESERVE);
        let mut holders: Vec<(u8, DmaBuf)> = Vec::new();
        let mut marks = (1..=u8::MAX).cycle();
        let mut hold = |holders: &mut Vec<(u8, DmaBuf)>, mut buf: DmaBuf| {
            let mark = marks.next().unwrap();
            buf.fill(mark);
            holders.push((mark, buf));
        };
        let mut lines: [VecDeque<Waiter<'_>>; CORES] = Default::default();
        for step in steps {
            match step {
                Step::Come(core, pages) => {
                    let mut waiter = Waiter::idle(&nodes[core].pool, pages * PAGE);
                    match waiter.poll() {
                        Poll::Ready(buf) => hold(&mut holders, buf.unwrap()),
                        Poll::Pending => lines[core].push_back(waiter),
                    }
                }
                Step::Drop(at, elsewhere) if !holders.is_empty() => {
                    let (_, buf) = holders.swap_remove(at.index(holders.len()));
                    if elsewhere { drop_elsewhere(buf) } else { drop(buf) }
                }
                Step::GiveUp(at) | Step::Look(at) => {
                    let core = at.index(CORES);
                    if lines[core].is_empty() {
                        continue;
                    }
                    let place = at.index(lines[core].len());
                    if matches!(step, Step::GiveUp(_)) {
                        drop(lines[core].remove(place));
                    } else if let Poll::Ready(buf) = lines[core][place].poll() {
                        lines[core].remove(place);
                        hold(&mut holders, buf.unwrap());
                    }
                }
                Step::Attend(core) => drop(nodes[core].attend()),
                Step::Rest(core) => nodes[core].pool.rest(),
                Step::Drop(..) => {}
            }
            check(&nodes, &reserve, &holders);
        }
        // Whoever is told takes what it got and drops it, and nobody looks who was not told: in the end nobody is left.
        holders.clear();
        settle(&nodes);
        while lines.iter().any(|line| !line.is_empty()) {
            let mut is_any = false;
            for line in &mut lines {
                let told = line.iter().position(|waiter| waiter.wakes() > 0);
                let Some(told) = told else { continue };
                is_any = true;
                match line[told].poll() {
                    Poll::Ready(buf) => {
                        prop_assert!(buf.is_ok());
                        line.remove(told);
                    }
                    // Something came back from elsewhere, and was not enough.
                    Poll::Pending => line[told].forget_wakes(),
                }
            }
            settle(&nodes);
            prop_assert!(is_any, "nobody is told, and {:?} wait", lines.each_ref().map(VecDeque::len));
        }
        prop_assert_eq!(reserve.stats().waiting, 0);
        for node in &nodes {
            let stats = node.pool.stats();
            prop_assert_eq!((stats.in_use, stats.waiting), (0, 0));
            node.pool.rest();
        }
        prop_assert_eq!(reserve.stats().leased_bytes, 0);
    }
}
