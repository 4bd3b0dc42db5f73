//! What tasks take and give back: sizes, alignments, orphans, and who awaits.

use super::*;
use std::{fmt, sync::atomic::AtomicBool};

#[test]
fn an_idle_task_costs_its_future_and_forty_bytes() {
    assert_eq!(size_of::<header::Header>(), 40);
    assert_eq!(size_of::<Result<u64, JoinError>>(), 16, "the least that a task has behind its header");
}

/// A future that is ready the second time, and sees that it stands where its type must.
struct Placed<T>(T, bool);

impl<T> Unpin for Placed<T> {}

impl<T: Clone> Future for Placed<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        assert_eq!((&raw const self.0).addr() % align_of::<T>(), 0);
        if std::mem::replace(&mut self.1, true) {
            return Poll::Ready(self.0.clone());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[test]
fn futures_of_any_size_and_alignment_run_and_give_their_memory_back() {
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(64))]
    struct Aligned64(u8);
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(4096))]
    struct Aligned4096(u8);
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(32768))]
    struct Aligned32768(u8);

    fn check<T: Clone + PartialEq + fmt::Debug + 'static>(bench: &Bench, value: T) {
        let handles: Vec<_> = (0..20).map(|_| bench.spawn(Placed(value.clone(), false))).collect();
        bench.turn();
        assert_eq!(bench.local().live(), 20);
        bench.turn();
        for mut handle in handles {
            assert_eq!(poll(&mut handle).map(Result::unwrap), Poll::Ready(value.clone()));
        }
        assert_eq!(bench.local().live(), 0);
    }

    let bench = bench();
    check(&bench, ());
    check(&bench, 1_u8);
    check(&bench, 1_u128);
    check(&bench, [7_u64; 100]);
    check(&bench, [7_u64; 300]);
    check(&bench, [7_u64; 1000]);
    check(&bench, vec![[7_u64; 10_000]]);
    check(&bench, [7_u64; 10_000]);
    check(&bench, Aligned64(1));
    check(&bench, Aligned4096(2));
    check(&bench, Aligned32768(3));
    let mut sizeless = bench.spawn(ready(()));
    bench.turn();
    assert!(poll(&mut sizeless).is_ready());
}

/// Tasks in many chunks, each kept by a waker that another thread drops after the core's end, in any order.
#[test]
fn orphans_in_many_chunks_are_freed_by_whoever_is_last() {
    const TASKS: usize = 5_000;
    let mut bench = bench();
    let witness = std::sync::Arc::new(());
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    for n in 0..TASKS {
        let (wakers, held) = (wakers.clone(), (witness.clone(), vec![n; 3], [n; 40]));
        bench
            .spawn(poll_fn(move |cx| {
                let _ = &held;
                // Every third task leaves no orphan, and every seventh leaves two references.
                (0..n % 3 + usize::from(n % 7 == 0))
                    .for_each(|_| wakers.borrow_mut().push(cx.waker().clone()));
                Poll::<()>::Pending
            }))
            .detach();
    }
    let large = bench.spawn(Placed([1_u64; 10_000], false));
    while bench.turn().1 > 0 {}
    let abort = large.abort_handle();
    bench.end();
    assert_eq!(std::sync::Arc::strong_count(&witness), 1, "the futures are gone");
    assert!(Arc::strong_count(&bench.home) > 2, "orphans keep the home");
    let mut halves = [Vec::new(), Vec::new()];
    for (n, waker) in wakers.take().into_iter().enumerate() {
        halves[n * 7 % 2].push(waker);
    }
    std::thread::scope(|scope| {
        for half in halves {
            scope.spawn(move || half.into_iter().for_each(Waker::wake));
        }
    });
    drop((large, abort));
    assert_eq!(Arc::strong_count(&bench.home), 1, "no orphan is left");
}

/// A waker that is no task's own, as inside of a combinator, and one that changes.
#[test]
fn whoever_awaits_last_is_woken() {
    let bench = bench();
    let probe = Probe::default();
    let mut handle = bench.spawn(Probed(probe.clone()));
    let (mine, flag) = flag_waker();
    for waker in [Waker::noop(), &mine, &mine] {
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(waker)).is_pending());
    }
    let mut outer = bench.spawn(async move { handle.await.unwrap() });
    bench.turn();
    probe.is_ready.set(true);
    probe.waker.take().unwrap().wake();
    bench.turn();
    bench.turn();
    assert!(!flag.load(Relaxed), "the task that awaits it now has taken its place");
    assert_eq!(poll(&mut outer).map(Result::unwrap), Poll::Ready("done"));
    let mut handle = bench.spawn(ready(6));
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&mine)).is_pending());
    bench.turn();
    assert!(flag.load(Relaxed));
    drop((handle, probe.waker.take()));
    assert_eq!(bench.local().live(), 0);
}

fn flag_waker() -> (Waker, std::sync::Arc<AtomicBool>) {
    struct Flag(std::sync::Arc<AtomicBool>);
    impl std::task::Wake for Flag {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }
    let flag = std::sync::Arc::<AtomicBool>::default();
    (Waker::from(std::sync::Arc::new(Flag(flag.clone()))), flag)
}
