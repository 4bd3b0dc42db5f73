//! How an application starts: threads, cores, clocks, attributes, and one runtime after another.

mod support;

use reactor::{
    Core, Handle, Mode, Stats,
    app::{self, Builder},
    call_on, cores, on_every_core, spawn_local,
};
use std::{
    cell::Cell,
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};
use support::cores_unpinned;

mod start {
    use super::*;

    #[test]
    fn the_value_of_main_comes_back() {
        assert_eq!(cores_unpinned(1).run(async || 6 * 7).unwrap(), 42);
    }

    /// Neither `'static` nor `Send` is asked of `main`: it runs on the caller's thread.
    #[test]
    fn main_may_borrow_from_its_caller() {
        let (seen, here) = (Rc::new(Cell::new(0)), std::thread::current().id());
        cores_unpinned(1)
            .run(async || {
                assert_eq!(std::thread::current().id(), here);
                seen.set(seen.get() + 1);
            })
            .unwrap();
        assert_eq!(seen.get(), 1);
    }

    #[test]
    fn every_core_has_a_thread_that_bears_its_number() {
        for mode in Mode::ALL {
            let names = cores_unpinned(3)
                .mode(mode)
                .run(async || on_every_core(async || std::thread::current().name().map(str::to_owned)).await);
            let names: Vec<_> = names.unwrap().into_iter().map(Result::unwrap).skip(1).collect();
            assert_eq!(names, [Some("reactor_1".to_owned()), Some("reactor_2".to_owned())]);
        }
    }

    #[test]
    fn every_core_tells_what_it_has_done() {
        let stats = cores_unpinned(2).run(async || {
            for _ in 0..10 {
                call_on(Core::nth(1).unwrap(), async || ()).await.unwrap();
            }
            // In a later turn: the one that takes the last call has not been counted.
            let stats = async || {
                for _ in 0..100 {
                    reactor::yield_now().await;
                }
                Stats::current()
            };
            on_every_core(stats).await
        });
        for stats in stats.unwrap().into_iter().map(Result::unwrap) {
            assert!(
                stats.turns > 0 && stats.events >= 10 && stats.busy + stats.idle > Duration::ZERO,
                "{stats:?}"
            );
        }
    }

    /// SPDK's `app_repeat`.
    #[test]
    fn one_runtime_after_another() {
        for round in 0..20 {
            let sum = cores_unpinned(2).run(async || {
                let mut sum = 0;
                for core in cores() {
                    sum += call_on(core, async move || core.index() + round).await.unwrap();
                }
                sum
            });
            assert_eq!(sum.unwrap(), 1 + 2 * round);
        }
    }

    #[test]
    fn several_runtimes_at_once() {
        let run = |n: usize| {
            cores_unpinned(2).run(async move || call_on(Core::nth(1).unwrap(), async move || n).await)
        };
        let threads: Vec<_> = (0..4).map(|n| std::thread::spawn(move || run(n))).collect();
        for (n, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().unwrap().unwrap().unwrap(), n);
        }
    }

    /// The calling thread gets its affinity back, and the cores are where they were asked to be.
    #[test]
    fn cores_are_pinned_and_the_caller_is_free_again() {
        use reactor::sys::cpu::{CpuSet, allowed};
        let before = allowed().unwrap();
        let all = before.len().min(2);
        let pinned = Builder::new()
            .cores(all)
            .signals(false)
            .run(async || on_every_core(async || (Core::current().id(), allowed().unwrap())).await);
        for (core, place) in pinned.unwrap().into_iter().map(Result::unwrap) {
            assert_eq!(place, core.to_string().parse::<CpuSet>().unwrap());
        }
        assert_eq!(allowed().unwrap(), before);
    }

    #[test]
    fn a_runtime_beside_its_callers_thread() {
        let running = cores_unpinned(2).start(async || {
            let _guard = app::shutdown_requested().await;
            "done"
        });
        let running = running.unwrap();
        let handle = running.handle();
        let all = reactor::LocalExecutor::new()
            .unwrap()
            .block_on(handle.on_every_core(async || Core::current().index()));
        assert_eq!(all.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1]);
        let name =
            handle.call_on(handle.cores()[0], async || std::thread::current().name().map(str::to_owned));
        assert_eq!(name.wait().unwrap().as_deref(), Some("reactor_0"));
        running.stop(0);
        assert_eq!(running.join().unwrap(), "done");
        assert!(handle.is_gone(handle.cores()[1]));
    }

    #[test]
    fn what_becomes_of_a_runtime_beside_is_told_at_once_or_when_joined() {
        let refused = cores_unpinned(0).start(async || ()).map(drop).unwrap_err();
        assert!(refused.to_string().starts_with("no cores given"));
        let refused = cores_unpinned(1).unblock_threads(0).start(async || ()).map(drop).unwrap_err();
        assert!(refused.to_string().contains("allow one thread"));
        let running = cores_unpinned(1).start(async || app::stop(4)).unwrap();
        assert!(matches!(running.join(), Err(app::Error::Stopped { code: 4 })));
        let running = cores_unpinned(1).start(async || panic!("in main")).unwrap();
        let payload = catch_unwind(AssertUnwindSafe(|| running.join())).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"in main"));
    }

    /// At least one of several sleeps is ended by its timer and not by something else that wakes the core.
    #[test]
    fn cores_take_the_slack_that_is_set() {
        const SLACK: Duration = Duration::from_millis(20);
        let longest = cores_unpinned(1).mode(Mode::Interrupt).timer_slack(SLACK).run(async || {
            let mut longest = Duration::ZERO;
            for _ in 0..5 {
                let start = reactor::time::Instant::now();
                reactor::time::sleep(Duration::from_millis(1)).await;
                longest = longest.max(start.elapsed());
            }
            longest
        });
        assert!(longest.unwrap() >= SLACK);
    }

    /// Sleeping cores are woken when their timers are due, not 50 µs later; the caller's thread is as it was.
    #[test]
    fn cores_have_no_timer_slack() {
        use rustix::thread::current_timer_slack;
        let before = current_timer_slack().unwrap();
        let slack =
            cores_unpinned(2).run(async || on_every_core(async || current_timer_slack().unwrap()).await);
        assert_eq!(slack.unwrap().into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(current_timer_slack().unwrap(), before);
    }

    #[test]
    fn a_dropped_runtime_stops() {
        let running = cores_unpinned(2).start(async || pending::<()>().await).unwrap();
        let handle = running.handle();
        drop(running);
        assert!(handle.cores().iter().all(|&core| handle.is_gone(core)));
    }

    #[test]
    fn cores_live_by_the_clock_they_are_given() {
        let (clock, hand) = reactor::time::Clock::manual();
        let slept = cores_unpinned(1).clock(clock).run(async || {
            let begin = reactor::time::Instant::now();
            let sleep = spawn_local(reactor::time::sleep(Duration::from_secs(3600)));
            reactor::yield_now().await;
            hand.advance(Duration::from_secs(3600));
            sleep.await.unwrap();
            begin.elapsed()
        });
        assert!(slept.unwrap() >= Duration::from_secs(3600));
    }
}

mod attributes {
    use super::*;

    #[reactor::test]
    async fn a_test_runs_on_a_reactor() {
        assert_eq!(cores().len(), 1);
        assert_eq!(spawn_local(async { 1 }).await.unwrap(), 1);
    }

    /// How each of the test's cores waits.
    fn modes() -> Vec<Option<Mode>> {
        cores().map(|core| Handle::current().mode(core)).collect()
    }

    #[reactor::test(cores = 2, mode = "interrupt", name = "two cores")]
    async fn a_test_with_arguments() -> reactor::Result<()> {
        assert_eq!(modes(), [Some(Mode::Interrupt); 2]);
        assert!(format!("{:?}", app::control()).contains("two cores"));
        call_on(Core::nth(1).unwrap(), async || ()).await?;
        Ok(())
    }

    #[reactor::test(cores = "0-1,8", mode = "poll")]
    async fn a_list_of_cores() {
        assert_eq!(modes(), [Some(Mode::Poll); 3]);
    }

    #[reactor::test(cores = "0x10f", mode = "adaptive")]
    async fn a_mask_of_cores() {
        assert_eq!(modes(), [Some(Mode::Adaptive); 5]);
    }

    #[reactor::test]
    #[should_panic(expected = "as it should")]
    async fn a_panic_fails_a_test() {
        panic!("as it should");
    }

    #[test]
    #[should_panic(expected = "stopped with code 3")]
    fn a_stopped_test_fails() {
        app::test_entry(Builder::new(), async || {
            app::stop(3);
            pending::<()>().await
        });
    }

    #[test]
    #[should_panic(expected = "core \"5000\" is out of range")]
    fn a_test_that_does_not_start_says_why() {
        app::test_entry(Builder::new().cores("5000"), async || ());
    }
}
