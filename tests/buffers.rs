//! Cores that share a reserve of buffers: who waits is served by whatever the others do or do not do, and nothing is left out in the end.

mod support;

use reactor::{
    Core, Mode,
    app::{self, Builder, Error},
    call_on, on_every_core, post, spawn_local,
    sys::dma::{DmaBuf, DmaConfig, DmaPool, DmaReserve, DmaStats, HugePages},
    yield_now,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use support::cores_unpinned;

const PAGE: usize = 4096;

fn config(own: usize, reserve: usize) -> DmaConfig {
    DmaConfig::new().own(own).reserve(reserve).huge_pages(HugePages::Never)
}

fn reserve() -> DmaReserve {
    DmaPool::local().reserve().expect("an application has one")
}

/// On a thread of its own, whose pool has no past.
fn on_fresh_thread<T: Send + 'static>(run: impl FnOnce() -> Result<T, Error> + Send + 'static) -> T {
    std::thread::spawn(run).join().unwrap().unwrap()
}

async fn total() -> DmaStats {
    on_every_core(async || DmaPool::local().stats()).await.into_iter().map(Result::unwrap).sum()
}

fn core(index: usize) -> Core {
    Core::nth(index).unwrap()
}

/// In every mode: a core that sleeps or has nothing to do is asked as well.
#[test]
fn a_core_that_waits_is_served_with_what_another_has_idle() {
    for mode in [Mode::Poll, Mode::Adaptive, Mode::Interrupt] {
        let builder = cores_unpinned(2).mode(mode).buffers(config(0, 64 << 10));
        on_fresh_thread(|| {
            builder.run(async || {
                // One stays out, so that it does not give its memory back when it goes to sleep.
                let kept = call_on(core(1), async || {
                    let pool = DmaPool::local();
                    let mut all: Vec<_> = (0..16).map(|_| pool.try_alloc(PAGE).unwrap()).collect();
                    all.pop().unwrap()
                });
                let kept = kept.await.unwrap();
                let pool = DmaPool::local();
                let lent: Vec<DmaBuf> = {
                    let mut lent = Vec::new();
                    for _ in 0..15 {
                        lent.push(pool.alloc(PAGE).await.unwrap());
                    }
                    lent
                };
                assert_eq!((pool.stats().borrowed, pool.stats().leased_bytes), (15, 0));
                drop((lent, kept));
                let whole = pool.alloc(64 << 10).await.unwrap();
                assert_eq!((whole.len(), pool.stats().leased_bytes), (64 << 10, 64 << 10));
                drop(whole);
                assert_eq!(total().await.in_use, 0);
                assert_eq!(reserve().stats().waiting, 0);
            })
        });
    }
}

#[test]
fn a_core_that_sleeps_gives_all_of_its_leases_back() {
    cores_unpinned(2)
        .mode(Mode::Interrupt)
        .buffers(config(PAGE, 1 << 20))
        .run(async || {
            let used = call_on(core(1), async || drop(DmaPool::local().try_alloc(64 << 10).unwrap()));
            used.await.unwrap();
            // It has nothing to do any more.
            while reserve().stats().leased_bytes > 0 {
                yield_now().await;
            }
            let stats = call_on(core(1), async || DmaPool::local().stats()).await.unwrap();
            assert_eq!((stats.given, stats.leased_bytes), (1, 0));
        })
        .unwrap();
}

/// The main thread's pool was there before and is there after.
#[test]
fn an_application_leaves_its_thread_the_pool_as_it_was() {
    let pool = DmaPool::local();
    let before = pool.stats();
    let kept = cores_unpinned(1)
        .buffers(config(PAGE, 1 << 20))
        .run(async || {
            let pool = DmaPool::local();
            assert_eq!(pool.stats().limit_bytes, PAGE);
            let (kept, _dropped) = (pool.try_alloc(64 << 10).unwrap(), pool.try_alloc(PAGE).unwrap());
            (kept, reserve())
        })
        .unwrap();
    assert!(pool.reserve().is_none());
    assert_eq!((pool.stats().limit_bytes, pool.stats().in_use), (before.limit_bytes, 1));
    let (buf, left) = kept;
    drop(buf);
    drop(pool);
    assert!(left.stats().leased_bytes > 0, "the thread's pool keeps the chunk, for itself");
    std::thread::spawn(|| {
        let (buf, reserve) = cores_unpinned(1)
            .buffers(config(0, 1 << 20))
            .run(async || (DmaPool::local().try_alloc(PAGE).unwrap(), reserve()))
            .unwrap();
        drop(buf);
        reserve
    })
    .join()
    .map(|reserve| assert_eq!(reserve.stats().leased_bytes, 0, "with the thread its pool is gone"))
    .unwrap();
}

#[test]
fn required_huge_pages_are_there_or_the_application_does_not_start() {
    let buffers = DmaConfig::new().own(4 << 20).reserve(4 << 20).huge_pages(HugePages::Required);
    let run = Builder::new()
        .pin(false)
        .buffers(buffers)
        .run(async || DmaPool::local().reserve().unwrap().stats().pages.huge);
    match run {
        Ok(huge) => assert!(huge > 0),
        Err(Error::Buffers(e)) => assert!(e.to_string().contains("sysctl vm.nr_hugepages=N"), "{e}"),
        Err(other) => panic!("{other}"),
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}

/// Polls `future` at most `polls` times.
async fn give_up_after<T>(polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if let Poll::Ready(done) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Takes buffers of all sizes, one at a time, and drops them here, on another core or on no core at all.
async fn lane(mut dice: Dice, steps: u64, cores: u64) {
    let pool = DmaPool::local();
    for _ in 0..steps {
        let len = PAGE << dice.roll(5);
        let alloc = pool.alloc(len);
        let got = match dice.roll(4) {
            0 => give_up_after(dice.roll(3), alloc).await,
            _ => Some(alloc.await),
        };
        let Some(buf) = got else { continue };
        let mut buf = buf.unwrap();
        let mark = dice.roll(256) as u8;
        buf.fill(mark);
        for _ in 0..dice.roll(3) {
            yield_now().await;
        }
        assert!(buf.iter().all(|byte| *byte == mark), "somebody else has it as well");
        match dice.roll(4) {
            0 => post(core(dice.roll(cores) as usize), move || drop(buf)).unwrap(),
            1 => drop(app::unblock(move || drop(buf))),
            _ => drop(buf),
        }
    }
}

/// Three cores and less memory than they want, most of it shared.
#[test]
fn many_cores_wait_for_each_other_and_all_are_served() {
    const CORES: usize = 3;
    let setting =
        |name: &str, default: u64| std::env::var(name).map_or(default, |value| value.parse().unwrap());
    let (seed, steps) = (setting("REACTOR_STRESS_SEED", 1), setting("REACTOR_STRESS_STEPS", 150));
    for round in 0..4 {
        let own = [0, 16 * PAGE][round % 2];
        let run = cores_unpinned(CORES)
            .mode([Mode::Interrupt, Mode::Adaptive][round / 2])
            .buffers(config(own, 40 * PAGE));
        on_fresh_thread(move || {
            run.run(async move || {
                let lanes = (0..CORES).map(|at| {
                    call_on(core(at), async move || {
                        let seed = |lane: u64| seed << 20 | (round as u64) << 16 | (at as u64) << 8 | lane;
                        let dice = |lane| Dice(seed(lane).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                        let tasks: Vec<_> =
                            (0..8).map(|n| spawn_local(lane(dice(n), steps, CORES as u64))).collect();
                        for task in tasks {
                            task.await.unwrap();
                        }
                    })
                });
                for lane in lanes.collect::<Vec<_>>() {
                    lane.await.unwrap();
                }
                // What other threads have not dropped yet, and what a core that goes to sleep is just giving back.
                let (all, reserve) = loop {
                    let (all, reserve) = (total().await, reserve().stats());
                    if all.in_use == 0 && all.leased_bytes == reserve.leased_bytes {
                        break (all, reserve);
                    }
                    yield_now().await;
                };
                assert_eq!((all.waiting, all.refused, reserve.waiting), (0, 0, 0));
                assert!(
                    all.waited > 0 && all.taken > 0 && reserve.peak_bytes <= 40 * PAGE,
                    "{all:?} {reserve:?}"
                );
                assert_eq!((all.lent, all.taken), (reserve.lent, reserve.taken));
            })
        });
    }
}
