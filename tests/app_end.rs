//! How an application ends: codes, hooks, guards, panics, and what outlives the deadline.

mod support;

use reactor::{
    Core, JoinError, LightThread, Work,
    app::{self, Error},
    call_on, cores, spawn_local,
};
use std::{
    future::pending,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use support::{Log, cores_unpinned, is_pending};

/// Writes when it is dropped.
struct OnDrop(Log, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

#[test]
fn hooks_run_newest_first_each_on_its_core() {
    let log = Log::default();
    cores_unpinned(3)
        .run(async || {
            for core in cores() {
                let log = log.clone();
                call_on(core, async move || {
                    app::on_shutdown(async move || {
                        reactor::yield_now().await;
                        assert_eq!(Core::current(), core);
                        log.add(format!("hook {core}"));
                    });
                })
                .await
                .unwrap();
            }
        })
        .unwrap();
    assert_eq!(log.lines(), ["hook 2", "hook 1", "hook 0"]);
}

#[test]
fn a_hook_registered_by_a_hook_runs_next() {
    let log = Log::default();
    let (outer, inner, first) = (log.clone(), log.clone(), log.clone());
    cores_unpinned(1)
        .run(async || {
            app::on_shutdown(async move || first.add("first"));
            app::on_shutdown(async move || {
                app::on_shutdown(async move || inner.add("inner"));
                outer.add("outer");
            });
        })
        .unwrap();
    assert_eq!(log.lines(), ["outer", "inner", "first"]);
}

#[test]
fn a_hook_that_panics_is_reported_and_the_rest_go_on() {
    let log = Log::default();
    let later = log.clone();
    let error = cores_unpinned(2).run(async || {
        app::on_shutdown(async move || later.add("the rest"));
        let other = call_on(Core::nth(1).unwrap(), async || {
            app::on_shutdown(async || panic!("a hook's mistake"));
        });
        other.await.unwrap();
    });
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Panicked { .. }));
    let message = error.to_string();
    assert!(message.contains("tests/app_end.rs:") && message.contains("a hook's mistake"), "{message}");
    assert_eq!(log.lines(), ["the rest"]);
}

/// Hooks, then `main`, then tasks, the last core's first.
#[test]
fn the_order_of_the_end() {
    let log = Log::default();
    let error = cores_unpinned(2).run(async || {
        let (hook, here, there) = (log.clone(), log.clone(), log.clone());
        app::on_shutdown(async move || hook.add("hook"));
        spawn_local(async move {
            let _task = OnDrop(here, "task on the main core");
            pending::<()>().await
        })
        .detach();
        call_on(Core::nth(1).unwrap(), async move || {
            spawn_local(async move {
                let _task = OnDrop(there, "task on core 1");
                pending::<()>().await
            })
            .detach();
            reactor::yield_now().await;
        })
        .await
        .unwrap();
        let _main = OnDrop(log.clone(), "main");
        app::stop(0);
        pending::<()>().await
    });
    assert!(matches!(error, Err(Error::Stopped { code: 0 })));
    assert_eq!(log.lines(), ["hook", "main", "task on core 1", "task on the main core"]);
}

/// They are told as everybody is, have the time that they need, and lose their pollers; all of it before `main` is dropped.
#[test]
fn light_threads_exit_after_the_hooks_and_before_main_is_dropped() {
    let log = Log::default();
    let error = cores_unpinned(2).run(async || {
        let (hook, there) = (log.clone(), log.clone());
        let started = call_on(Core::nth(1).unwrap(), async move || {
            let thread = LightThread::new("service");
            let (poller, service) = (OnDrop(there.clone(), "its poller"), there.clone());
            let poller = thread.register_poller("its poller", move || {
                let _owned = &poller;
                Work::Idle
            });
            let (begun, has_begun) = futures::channel::oneshot::channel();
            let service = thread.spawn_local(async move {
                let told = app::shutdown_requested();
                begun.send(()).unwrap();
                drop(told.await);
                for _ in 0..1000 {
                    reactor::yield_now().await;
                }
                service.add("its task");
            });
            // The owner stays, and does nothing for the end.
            spawn_local(async move {
                let _owner = (thread, poller);
                pending::<()>().await
            })
            .detach();
            service.detach();
            has_begun.await.unwrap();
        });
        started.await.unwrap();
        app::on_shutdown(async move || hook.add("hook"));
        let _main = OnDrop(log.clone(), "main");
        app::stop(0);
        pending::<()>().await
    });
    assert!(matches!(error, Err(Error::Stopped { code: 0 })), "{error:?}");
    let mut lines = log.lines();
    assert_eq!((lines.remove(0), lines.pop()), ("hook".to_owned(), Some("main".to_owned())));
    lines.sort();
    assert_eq!(lines, ["its poller", "its task"]);
}

/// Hooks may still call into a light thread; after them it accepts no call, which is then answered.
#[test]
fn light_threads_take_calls_until_the_hooks_have_run() {
    let log = Log::default();
    let said = log.clone();
    cores_unpinned(1)
        .run(async || {
            let thread = LightThread::new("service");
            let (early, late) = (thread.to_ref(), thread.to_ref());
            app::on_shutdown(async move || early.call(async move || said.add("in a hook")).await.unwrap());
            app::stop(0);
            let guard = app::shutdown_requested().await;
            // As long as the guard lives, all goes on; at some time the hook has run and the thread exits.
            let refused = loop {
                if let Err(error) = late.call(async || ()).await {
                    break error;
                }
            };
            assert!(matches!(refused, JoinError::Cancelled), "{refused}");
            drop((guard, thread));
        })
        .unwrap();
    assert_eq!(log.lines(), ["in a hook"]);
}

/// Who waits for a thread to exit, and shutdown, both hear of its last task.
#[test]
fn a_light_thread_may_be_exited_by_its_owner_meanwhile() {
    let log = Log::default();
    let (owner, service) = (log.clone(), log.clone());
    cores_unpinned(1)
        .run(async || {
            let thread = LightThread::new("service");
            let task = async move {
                let guard = app::shutdown_requested().await;
                for _ in 0..100 {
                    reactor::yield_now().await;
                }
                service.add("task");
                drop(guard);
            };
            thread.spawn_local(task).detach();
            app::stop(0);
            let _guard = app::shutdown_requested().await;
            thread.exit().await;
            owner.add("exited");
        })
        .unwrap();
    assert_eq!(log.lines(), ["task", "exited"]);
}

#[test]
fn of_several_codes_the_first_that_is_not_0_counts() {
    let stopped = |codes: &'static [u8]| {
        cores_unpinned(2).run(async || {
            let stops = async || codes.iter().for_each(|&code| app::stop(code));
            call_on(Core::nth(1).unwrap(), stops).await.unwrap();
            pending::<()>().await
        })
    };
    for (codes, code) in [(&[0_u8, 7, 8] as &[u8], 7), (&[3, 0], 3), (&[0], 0)] {
        let Err(Error::Stopped { code: given }) = stopped(codes) else { panic!("not stopped") };
        assert_eq!(given, code);
    }
}

#[test]
fn a_main_that_saw_the_stop_may_still_return() {
    let main = async || {
        app::stop(0);
        assert!(app::is_shutdown_requested());
        "a value"
    };
    assert_eq!(cores_unpinned(1).run(main).unwrap(), "a value");
}

/// A task on another core is told, and finishes what takes it several turns.
#[test]
fn a_guard_holds_up_the_end() {
    let log = Log::default();
    let there = log.clone();
    cores_unpinned(2)
        .run(async || {
            let told = call_on(Core::nth(1).unwrap(), async move || {
                spawn_local(async move {
                    let guard = app::shutdown_requested().await;
                    for _ in 0..1000 {
                        reactor::yield_now().await;
                    }
                    there.add("finished");
                    drop(guard);
                    pending::<()>().await
                })
                .detach();
                reactor::yield_now().await;
            });
            told.await.unwrap();
        })
        .unwrap();
    assert_eq!(log.lines(), ["finished"]);
}

/// One that has stopped waiting for the end does not keep it.
#[test]
fn a_dropped_wait_holds_up_nothing() {
    cores_unpinned(1)
        .run(async || {
            let mut wait = Box::pin(app::shutdown_requested());
            assert!(is_pending(&mut wait).await);
            drop(wait);
            // Polled for the first time when the end has been asked for: a guard, dropped at once.
            app::stop(0);
            drop(app::shutdown_requested().await);
        })
        .unwrap();
}

#[test]
fn the_panic_of_main_comes_after_an_orderly_end() {
    let log = Log::default();
    let hook = log.clone();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        cores_unpinned(2).run(async || {
            app::on_shutdown(async move || hook.add("hook"));
            std::panic::panic_any(77_u64);
        })
    }));
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&77_u64));
    assert_eq!(log.lines(), ["hook"]);
}

#[test]
fn a_panic_while_main_is_dropped_is_one_of_main() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("while being dropped");
        }
    }
    let ended = catch_unwind(AssertUnwindSafe(|| {
        cores_unpinned(1).run(async || {
            let _bomb = Bomb;
            app::stop(0);
            pending::<()>().await
        })
    }));
    assert_eq!(ended.unwrap_err().downcast_ref(), Some(&"while being dropped"));
}

#[test]
fn what_outlives_the_deadline_is_named() {
    let error = cores_unpinned(2).shutdown_deadline(Duration::from_millis(20)).run(async || {
        let hook = call_on(Core::nth(1).unwrap(), async || {
            reactor::spawn_named("the one that hangs", pending::<()>()).detach();
            app::on_shutdown(async || pending().await);
            reactor::yield_now().await;
        });
        hook.await.unwrap();
    });
    let Err(Error::Deadline { alive, .. }) = error else { panic!("not late: {error:?}") };
    assert!(alive[0].starts_with("the shutdown hook registered at tests/app_end.rs:"), "{alive:?}");
    assert!(alive.iter().any(|what| what == "core 1: task `the one that hangs`"), "{alive:?}");
}

/// The light thread, and its task, but nothing that shutdown has started itself.
#[test]
fn a_light_thread_that_does_not_end_is_named() {
    let error = cores_unpinned(2).shutdown_deadline(Duration::from_millis(20)).run(async || {
        let started = call_on(Core::nth(1).unwrap(), async || {
            let thread = LightThread::new("the one that hangs");
            thread.enter(|| reactor::spawn_named("its task", pending::<()>())).detach();
            let idle = LightThread::new("the one that has nothing to do");
            spawn_local(async move {
                let _owner = (thread, idle);
                pending::<()>().await
            })
            .detach();
        });
        started.await.unwrap();
    });
    let Err(Error::Deadline { alive, .. }) = error else { panic!("not late: {error:?}") };
    assert_eq!(alive[0], "core 1: light thread `the one that hangs`, tasks left: 1", "{alive:?}");
    assert!(alive[1].contains("a_light_thread_that_does_not_end_is_named"), "{alive:?}");
    assert_eq!(alive[2], "core 1: task `its task`", "{alive:?}");
    assert_eq!(alive.len(), 3, "{alive:?}");
}

#[test]
fn a_guard_that_is_never_dropped_is_named() {
    let error = cores_unpinned(1).shutdown_deadline(Duration::from_millis(20)).run(async || {
        app::stop(0);
        let _guard = app::shutdown_requested().await;
        pending::<()>().await
    });
    let Err(Error::Deadline { alive, .. }) = error else { panic!("not late: {error:?}") };
    assert!(alive[0].starts_with("the shutdown guard from tests/app_end.rs:"), "{alive:?}");
}

/// A core that a task blocks cannot be stopped; it is named and left alone.
#[test]
fn a_core_that_does_not_turn_is_named() {
    let (free, blocked) = std::sync::mpsc::channel::<()>();
    let error = cores_unpinned(2).shutdown_deadline(Duration::from_millis(20)).run(async || {
        let (begun, has_begun) = futures::channel::oneshot::channel();
        let block = move || {
            begun.send(()).unwrap();
            _ = blocked.recv();
        };
        reactor::post(Core::nth(1).unwrap(), block).unwrap();
        has_begun.await.unwrap();
    });
    let Err(Error::Deadline { alive, .. }) = error else { panic!("not late: {error:?}") };
    assert_eq!(alive, ["core 1, which something keeps from turning"]);
    drop(free);
}
