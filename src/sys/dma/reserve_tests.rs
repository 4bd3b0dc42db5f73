//! What the reserve promises to pools that share it, promise by promise. In any order, it is held against `reserve_oracle`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Poll, Wake};

use super::waiting_tests::{PAGE, Waiter};
use super::{AllocError, DmaBuf, DmaConfig, DmaPool, DmaReserve, HugePages};

/// A pool that is its thread's as all others here are, but knows nothing of them.
pub(super) struct Node {
    pub(super) pool: DmaPool,
    poked: Arc<Poked>,
}

#[derive(Default)]
struct Poked(AtomicBool);

impl Wake for Poked {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Node {
    pub(super) fn is_poked(&self) -> bool {
        self.poked.0.load(SeqCst)
    }

    /// Does what it was poked for; false if it was not.
    pub(super) fn attend(&self) -> bool {
        let was = self.poked.0.swap(false, SeqCst);
        if was {
            self.pool.attend();
        }
        was
    }
}

/// A reserve of `reserve` bytes and pools with `own` each.
pub(super) fn nodes<const N: usize>(own: usize, reserve: usize) -> (DmaReserve, [Node; N]) {
    let config = DmaConfig::new().own(own).reserve(reserve).huge_pages(HugePages::Never);
    let reserve = DmaReserve::new(&config, N).unwrap();
    let nodes = std::array::from_fn(|_| {
        let node = Node { pool: DmaPool::new(), poked: Arc::default() };
        node.pool.join(&config, &reserve, node.poked.clone().into());
        node
    });
    (reserve, nodes)
}

/// Until nobody is poked.
pub(super) fn settle(nodes: &[Node]) {
    while nodes.iter().filter(|node| node.attend()).count() > 0 {}
}

fn take(pool: &DmaPool, count: usize, len: usize) -> Vec<DmaBuf> {
    (0..count).map(|_| pool.try_alloc(len).unwrap()).collect()
}

fn waits<'p>(node: &'p Node, len: usize) -> Waiter<'p> {
    let mut waiter = Waiter::idle(&node.pool, len);
    assert!(waiter.poll().is_pending(), "{len} bytes at once");
    waiter
}

fn get(waiter: &mut Waiter<'_>) -> DmaBuf {
    match waiter.poll() {
        Poll::Ready(answer) => answer.unwrap(),
        Poll::Pending => panic!("still waiting"),
    }
}

#[test]
fn a_core_takes_from_the_reserve_what_it_has_not_of_its_own() {
    let (reserve, [node]) = nodes(2 * PAGE, 64 << 10);
    let own = take(&node.pool, 2, PAGE);
    assert_eq!((node.pool.stats().leased_bytes, reserve.stats().mapped_bytes), (0, 0));
    let leased = take(&node.pool, 16, PAGE);
    assert_eq!((node.pool.stats().leased_bytes, reserve.stats().leased_bytes), (64 << 10, 64 << 10));
    assert_eq!((node.pool.stats().mapped_bytes, node.pool.stats().taken), (72 << 10, 1));
    let dry = node.pool.try_alloc(1).unwrap_err();
    assert!(matches!(dry, AllocError::Dry { limit, .. } if limit == 72 << 10), "{dry}");
    assert!(dry.to_string().contains("DmaConfig::reserve"), "{dry}");
    drop((own, leased));
    assert_eq!(
        (node.pool.stats().in_use, node.pool.stats().leased_bytes),
        (0, 64 << 10),
        "kept for next time"
    );
}

#[test]
fn a_core_that_sleeps_gives_back_what_it_has_no_use_for() {
    let (reserve, [node, other]) = nodes(PAGE, 64 << 10);
    let mut held = take(&node.pool, 17, PAGE);
    held.truncate(1);
    node.pool.rest();
    assert_eq!(reserve.stats().leased_bytes, 64 << 10, "nobody looks which chunk it lies in");
    drop(held);
    node.pool.rest();
    let stats = node.pool.stats();
    assert_eq!((stats.leased_bytes, stats.mapped_bytes, stats.given), (0, PAGE, 1));
    // Still mapped, and the other's for the asking.
    assert_eq!((reserve.stats().mapped_bytes, reserve.stats().leased_bytes), (64 << 10, 0));
    drop(take(&other.pool, 17, PAGE));
    assert_eq!(
        (reserve.stats().mapped_bytes, reserve.stats().taken, reserve.stats().given),
        (64 << 10, 2, 1)
    );
}

#[test]
fn what_one_core_has_idle_serves_another_that_waits() {
    let (reserve, [rich, poor]) = nodes(0, 64 << 10);
    drop(take(&rich.pool, 16, PAGE));
    let mut waiter = waits(&poor, 16 * PAGE);
    assert_eq!((reserve.stats().waiting, waiter.wakes()), (1, 0));
    assert!(rich.attend(), "who has leases is asked");
    assert!(poor.attend(), "and who waits is told");
    assert_eq!((waiter.wakes(), reserve.stats().waiting), (1, 0));
    assert_eq!(get(&mut waiter).len(), 16 * PAGE);
    assert_eq!((rich.pool.stats().leased_bytes, poor.pool.stats().leased_bytes), (0, 64 << 10));
    assert!(!rich.attend() && !poor.attend());
}

/// Its chunk is never idle as a whole, and still it keeps nobody waiting.
#[test]
fn a_core_that_hoards_lends_single_buffers() {
    let (reserve, nodes) = nodes::<2>(0, 64 << 10);
    let [rich, poor] = &nodes;
    let mut held = take(&rich.pool, 16, PAGE);
    let mut waiters: Vec<_> = (0..3).map(|_| waits(poor, PAGE)).collect();
    settle(&nodes);
    assert!(waiters.iter().all(|waiter| waiter.wakes() == 0));
    let mut got = Vec::new();
    for waiter in &mut waiters {
        held.pop();
        settle(&nodes);
        assert_eq!(waiter.wakes(), 1);
        got.push(get(waiter));
    }
    assert_eq!((rich.pool.stats().lent, poor.pool.stats().borrowed, reserve.stats().lent), (3, 3, 3));
    assert_eq!(
        (rich.pool.stats().in_use, poor.pool.stats().in_use),
        (16, 0),
        "it is out of the lender's pool"
    );
    // Nobody waits: the lender uses its own again as before.
    drop(got);
    held.extend(take(&rich.pool, 3, PAGE));
    assert_eq!((rich.pool.stats().in_use, reserve.stats().taken), (16, 1));
}

/// Dropped where it was used, a lent buffer goes home by the lender's return stack: the lender hears of it for the next in line.
#[test]
fn a_lent_buffer_dropped_elsewhere_serves_the_next_in_line() {
    let (_reserve, nodes) = nodes::<3>(0, PAGE);
    let [lender, second, third] = &nodes;
    let held = take(&lender.pool, 1, PAGE);
    let (mut first, mut next) = (waits(second, PAGE), waits(third, PAGE));
    settle(&nodes);
    // Not idle as a whole: the chunk of one page has only this one, so it goes back and is taken anew.
    drop(held);
    settle(&nodes);
    let buf = get(&mut first);
    assert_eq!((second.pool.stats().leased_bytes, next.wakes()), (PAGE, 0));
    std::thread::spawn(move || drop(buf)).join().unwrap();
    assert!(second.is_poked(), "it is to look what has come back");
    settle(&nodes);
    assert_eq!(next.wakes(), 1);
    drop(get(&mut next));
}

#[test]
fn buffers_of_a_recalled_chunk_that_come_back_from_elsewhere_are_heard_of() {
    let (_reserve, nodes) = nodes::<2>(0, 16 * PAGE);
    let [lender, poor] = &nodes;
    let mut held = take(&lender.pool, 16, PAGE);
    let mut waiters = [waits(poor, PAGE), waits(poor, 15 * PAGE)];
    settle(&nodes);
    let last = held.pop().unwrap();
    std::thread::spawn(move || drop(last)).join().unwrap();
    settle(&nodes);
    let lent = get(&mut waiters[0]);
    std::thread::spawn(move || drop((held, lent))).join().unwrap();
    settle(&nodes);
    assert_eq!((waiters[1].wakes(), lender.pool.stats().leased_bytes), (1, 0));
}

#[test]
fn a_core_whose_leases_others_wait_for_goes_on_with_its_own_memory_and_waits_in_line_for_more() {
    let (_reserve, nodes) = nodes::<2>(4 * PAGE, 64 << 10);
    let [busy, other] = &nodes;
    let own = take(&busy.pool, 4, PAGE);
    let mut leased = take(&busy.pool, 16, PAGE);
    let _others = take(&other.pool, 4, PAGE);
    let mut big = waits(other, 64 << 10);
    settle(&nodes);
    leased.pop();
    assert!(busy.pool.try_alloc(1).unwrap_err().is_dry(), "what is leased is left to those in line");
    assert_eq!(busy.pool.classes()[0].in_use, 19);
    drop(own);
    let again = take(&busy.pool, 4, PAGE);
    let mut behind = waits(busy, PAGE);
    drop(leased);
    settle(&nodes);
    assert_eq!((big.wakes(), behind.wakes()), (1, 0));
    drop(get(&mut big));
    settle(&nodes);
    assert_eq!(behind.wakes(), 1, "it is its turn");
    drop((get(&mut behind), again));
    assert_eq!((busy.pool.stats().in_use, busy.pool.stats().waiting), (0, 0));
}

#[test]
fn cores_are_served_in_the_order_in_which_they_came() {
    let (reserve, nodes) = nodes::<4>(0, PAGE);
    let mut held = take(&nodes[3].pool, 1, PAGE);
    let mut waiters: Vec<_> = nodes[..3].iter().rev().map(|node| waits(node, PAGE)).collect();
    assert_eq!(reserve.stats().waiting, 3);
    for waiter in &mut waiters {
        held.pop();
        settle(&nodes);
        assert_eq!(waiter.wakes(), 1);
        held.push(get(waiter));
    }
    assert_eq!((reserve.stats().waiting, reserve.stats().waited), (0, 3));
}

#[test]
fn who_comes_later_does_not_overtake_though_there_is_room() {
    let (_reserve, nodes) = nodes::<3>(0, 8 * PAGE);
    let held = take(&nodes[0].pool, 1, 4 * PAGE);
    let mut big = waits(&nodes[1], 8 * PAGE);
    assert!(nodes[2].pool.try_alloc(PAGE).unwrap_err().is_dry(), "half of it is free, and promised");
    let mut small = waits(&nodes[2], PAGE);
    settle(&nodes);
    drop(held);
    settle(&nodes);
    assert_eq!((big.wakes(), small.wakes()), (1, 0));
    drop(get(&mut big));
    settle(&nodes);
    assert_eq!(small.wakes(), 1);
    drop(get(&mut small));
}

#[test]
fn a_core_whose_waiter_gives_up_lets_the_next_one_through() {
    for is_told in [false, true] {
        let (reserve, nodes) = nodes::<3>(0, PAGE);
        let held = take(&nodes[0].pool, 1, PAGE);
        let (first, mut second) = (waits(&nodes[1], PAGE), waits(&nodes[2], PAGE));
        settle(&nodes);
        if is_told {
            drop(held);
            settle(&nodes);
            assert_eq!((first.wakes(), second.wakes()), (1, 0));
            drop(first);
        } else {
            drop(first);
            drop(held);
        }
        settle(&nodes);
        assert_eq!(second.wakes(), 1, "{is_told}");
        drop(get(&mut second));
        assert_eq!(reserve.stats().waiting, 0);
    }
}

#[test]
fn when_the_first_in_line_gives_up_what_it_kept_back_serves_others() {
    let (_reserve, nodes) = nodes::<3>(0, 16 * PAGE);
    let [lender, big, small] = &nodes;
    let mut held = take(&lender.pool, 16, PAGE);
    held.pop();
    let (first, mut second) = (waits(big, 16 * PAGE), waits(small, PAGE));
    settle(&nodes);
    assert_eq!((first.wakes(), second.wakes()), (0, 0));
    drop(first);
    settle(&nodes);
    assert_eq!((second.wakes(), lender.pool.stats().lent), (1, 1));
    drop(get(&mut second));
    // And its owner, when nobody is left.
    let first = waits(big, 16 * PAGE);
    settle(&nodes);
    assert!(lender.pool.try_alloc(PAGE).unwrap_err().is_dry());
    drop(first);
    held.extend(take(&lender.pool, 1, PAGE));
}

#[test]
fn when_the_first_in_line_gives_up_there_may_be_room_for_the_next() {
    let (_reserve, nodes) = nodes::<3>(0, 12 << 20);
    let _held = take(&nodes[0].pool, 1, 5 << 20);
    let (first, mut second) = (waits(&nodes[1], 10 << 20), waits(&nodes[2], 5 << 20));
    settle(&nodes);
    assert_eq!(second.wakes(), 0);
    drop(first);
    settle(&nodes);
    assert_eq!(second.wakes(), 1);
    drop(get(&mut second));
}

/// Lent to one who has given up since, and too short for who is first now.
#[test]
fn a_buffer_lent_in_vain_goes_home() {
    let (_reserve, nodes) = nodes::<2>(0, 16 * PAGE);
    let [lender, poor] = &nodes;
    let mut held = take(&lender.pool, 16, PAGE);
    let (first, mut long) = (waits(poor, PAGE), waits(poor, 16 * PAGE));
    lender.attend();
    held.pop();
    assert_eq!((lender.pool.stats().lent, first.wakes()), (1, 0), "not told yet");
    drop(first);
    settle(&nodes);
    assert_eq!((lender.pool.stats().in_use, long.wakes()), (15, 0));
    drop(held);
    settle(&nodes);
    assert_eq!(get(&mut long).len(), 16 * PAGE);
}

#[test]
fn memory_of_a_core_that_has_left_comes_back_with_its_last_buffer() {
    let (reserve, [node, other]) = nodes(0, 64 << 10);
    let mut held = take(&node.pool, 16, PAGE);
    let large = other.pool.try_alloc(5 << 20);
    assert!(matches!(large, Err(AllocError::OverLimit { limit, .. }) if limit == 64 << 10), "{large:?}");
    node.pool.leave();
    assert!(node.pool.reserve().is_none());
    assert_eq!(node.pool.stats().limit_bytes, 1 << 30, "as it was");
    drop(node);
    let last = held.pop().unwrap();
    drop(held);
    assert_eq!(reserve.stats().leased_bytes, 64 << 10);
    std::thread::spawn(move || drop(last)).join().unwrap();
    assert_eq!((reserve.stats().leased_bytes, reserve.stats().given), (0, 1));
    drop(other);
}

#[test]
fn a_large_buffer_of_the_reserve_goes_back_when_it_is_dropped() {
    let (reserve, [node, other]) = nodes(1 << 20, 8 << 20);
    for pool in [&node.pool, &other.pool] {
        let large = pool.try_alloc(5 << 20).unwrap();
        assert_eq!((pool.stats().leased_bytes, reserve.stats().leased_bytes), (5 << 20, 5 << 20));
        drop(large);
        assert_eq!((pool.stats().leased_bytes, reserve.stats().mapped_bytes), (0, 0));
    }
}

#[test]
fn classes_and_kinds_of_pages_add_up() {
    let (reserve, [node]) = nodes(1 << 20, 8 << 20);
    let held = [take(&node.pool, 3, PAGE), take(&node.pool, 2, 1 << 20), take(&node.pool, 1, 5 << 20)];
    let classes = node.pool.classes();
    let in_use: Vec<_> = classes
        .iter()
        .filter(|class| class.in_use > 0)
        .map(|class| (class.buffer_bytes, class.in_use))
        .collect();
    assert_eq!(in_use, [(PAGE, 3), (1 << 20, 2)]);
    let stats = node.pool.stats();
    assert_eq!((stats.in_use, stats.pages.plain), (6, stats.mapped_bytes));
    assert_eq!(reserve.stats().pages.plain, reserve.stats().mapped_bytes);
    assert!(
        stats.peak_bytes == stats.mapped_bytes && reserve.stats().peak_bytes == reserve.stats().mapped_bytes
    );
    drop(held);
    assert_eq!(node.pool.stats().peak_bytes, stats.peak_bytes);
    let sum: super::DmaStats = [node.pool.stats(), stats].into_iter().sum();
    assert_eq!((sum.in_use, sum.allocated), (6, 12));
}

/// Whatever the machine has, a pool that is to use huge pages if there are any has memory.
#[test]
fn without_huge_pages_there_are_others_unless_they_are_required() {
    let config = DmaConfig::new().own(8 << 20).reserve(8 << 20);
    let reserve = DmaReserve::new(&config, 1).unwrap();
    let pool = DmaPool::new();
    pool.join(&config, &reserve, std::task::Waker::noop().clone());
    let held = [
        pool.try_alloc(4 << 20).unwrap(),
        pool.try_alloc(4 << 20).unwrap(),
        pool.try_alloc(4 << 20).unwrap(),
    ];
    let (mine, shared) = (pool.stats().pages, reserve.stats().pages);
    assert_eq!((mine.plain, mine.huge + mine.transparent), (0, 12 << 20));
    assert_eq!(shared.huge + shared.transparent, 4 << 20);
    assert!(held.iter().all(|buf| buf.as_ptr().addr() % (2 << 20) == 0));
    match DmaReserve::new(&config.huge_pages(HugePages::Required), 1) {
        Ok(reserve) => assert_eq!(reserve.stats().pages.huge, 2 << 20),
        Err(e) => assert!(e.to_string().contains("sysctl vm.nr_hugepages"), "{e}"),
    }
}
