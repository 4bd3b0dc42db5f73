//! The threading rules that SPDK states in prose and asserts, and what stands in their place: one test per rule or trap.
//!
//! What the compiler refuses is in `tests/rules/*.rs`, each file a program that must not compile, beside the answer that its
//! author reads. After a deliberate change: `TRYBUILD=overwrite cargo test --test rules`, then read the difference.
#![expect(unsafe_code, reason = "one test registers a signal handler")]

mod support;

use reactor::{
    Core, Handle, LightThread, LocalExecutor, Outbox, Poller, Spawner, Stats, TaskScope, ThreadRef, app,
    bdev, call_on, fs, net, on_every_core, poll_every_turn, post, signal, spawn_balanced, spawn_local,
    spawn_named, spawn_on, sync, time, uring, yield_now,
};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Waker},
    time::Duration,
};
use support::{Log, cores_unpinned};

/// What a call that must panic says.
fn panic_of(call: impl FnOnce()) -> String {
    let payload: Box<dyn Any + Send> = catch_unwind(AssertUnwindSafe(call)).expect_err("it must panic");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().expect("a message").to_string(),
    }
}

fn poll_once(future: impl Future) {
    let _pending = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

/// Rule 1, "don't send yourself a message and wait for it". In SPDK the function spins for ever, as the message cannot be
/// delivered while it is on the stack. Here awaiting gives the core back: the message arrives.
#[reactor::test]
async fn rule_1_a_core_may_await_what_it_sends_itself() {
    let me = Core::current();
    assert_eq!(spawn_on(me, async { 1 }).await.unwrap(), 1);
    assert_eq!(call_on(me, async move || call_on(me, async || 2).await.unwrap()).await.unwrap(), 2);
}

/// Rule 1, the other half: whoever blocks instead of awaiting is told so, in words, before the core hangs.
#[reactor::test]
async fn rule_1_blocking_on_ones_own_core_is_explained() {
    let handle = spawn_local(async {});
    let waited = panic_of(|| _ = handle.wait());
    assert!(waited.starts_with("`JoinHandle::wait` would block this core"), "{waited}");
    assert!(waited.contains("await the handle instead"), "{waited}");

    let executor = LocalExecutor::new().unwrap();
    let blocked = panic_of(|| executor.block_on(async {}));
    assert!(blocked.starts_with("`LocalExecutor::block_on` would block this core"), "{blocked}");

    let ran = panic_of(|| drop(cores_unpinned(1).run(async || ())));
    assert!(ran.starts_with("`app::Builder::run` would block this core"), "{ran}");
}

/// Rule 1 where the core is not being turned: its thread would wait for what only it can do.
#[test]
fn rule_1_waiting_for_a_task_of_ones_own_executor_is_explained() {
    let executor = LocalExecutor::new().unwrap();
    let handle = executor.spawn_local(async { 1 });
    let waited = panic_of(|| _ = handle.wait());
    assert!(waited.contains("use `LocalExecutor::block_on` instead"), "{waited}");
    // Once the core has ended there is nothing to wait for.
    let handle = executor.spawn_local(std::future::pending::<()>());
    drop(executor);
    assert!(handle.wait().is_err());
}

/// Rule 1 once more: a core is not turned from inside of its own turn.
#[test]
fn rule_1_a_turn_inside_of_a_turn_is_refused() {
    let executor = Rc::new(LocalExecutor::new().unwrap());
    let inner = executor.clone();
    let nested = executor.spawn_local(async move { panic_of(|| _ = inner.turn()) });
    let said = executor.block_on(nested).unwrap();
    assert!(said.starts_with("a core cannot turn inside of its own turn"), "{said}");
}

/// Rule 4, "initialize through `spdk_app_start`". What needs a reactor says its name on a thread that has none; nothing is
/// half made, and nothing is undefined.
#[test]
fn rule_4_what_needs_a_reactor_says_so_by_name() {
    let executor = LocalExecutor::new().unwrap();
    let core = executor.core();
    let poller = || drop(Poller::register("p", || true));
    let timed = || drop(Poller::every("p", Duration::from_secs(1), || true));
    let soon = Duration::from_secs(1);
    let (then, _hand) = time::Clock::manual();
    let then = then.now();
    let calls: [(&str, &dyn Fn()); 34] = [
        ("spawn_local", &|| drop(spawn_local(async {}))),
        ("spawn_local", &|| drop(TaskScope::new().spawn(async {}))),
        ("spawn_named", &|| drop(spawn_named("n", async {}))),
        ("spawn_on", &|| drop(spawn_on(core, async {}))),
        ("call_on", &|| drop(call_on(core, async || ()))),
        ("post", &|| drop(post(core, || ()))),
        ("on_every_core", &|| poll_once(on_every_core(async || ()))),
        ("cores", &|| drop(reactor::cores())),
        ("Core::current", &|| _ = Core::current()),
        ("Core::nth", &|| _ = Core::nth(0)),
        ("Handle::current", &|| drop(Handle::current())),
        ("spawn_balanced", &|| drop(spawn_balanced(async {}))),
        ("Spawner::current", &|| drop(Spawner::current())),
        ("Outbox::new", &|| drop(Outbox::new(core, 1))),
        ("LightThread::new", &|| drop(LightThread::new("t"))),
        ("LightThread::all", &|| drop(LightThread::all())),
        ("ThreadRef::current", &|| drop(ThreadRef::current())),
        ("Poller::register", &poller),
        ("Poller::every", &timed),
        ("app::stop", &|| app::stop(0)),
        ("app::on_shutdown", &|| app::on_shutdown(async || ())),
        ("app::shutdown_requested", &|| drop(app::shutdown_requested())),
        ("app::is_shutdown_requested", &|| _ = app::is_shutdown_requested()),
        ("app::control", &|| drop(app::control())),
        ("app::unblock", &|| drop(app::unblock(|| ()))),
        ("Stats::current", &|| _ = Stats::current()),
        ("time::sleep", &|| drop(time::sleep(soon))),
        ("time::sleep_until", &|| drop(time::sleep_until(then))),
        ("time::interval", &|| drop(time::interval(soon))),
        ("time::interval_at", &|| drop(time::interval_at(then, soon))),
        ("time::timeout", &|| drop(time::timeout(soon, async {}))),
        ("time::timeout_at", &|| drop(time::timeout_at(then, async {}))),
        ("time::Instant::now", &|| _ = time::Instant::now()),
        ("time::Instant::elapsed", &|| _ = then.elapsed()),
    ];
    for (name, call) in calls {
        let said = panic_of(call);
        assert!(
            said.starts_with(&format!("`{name}` needs a reactor, and this thread is not turning one")),
            "{said}"
        );
    }
    let rooms: [(&str, &dyn Fn()); 10] = [
        ("poll_every_turn", &|| poll_once(poll_every_turn(std::future::pending::<()>()))),
        ("reactor::fs", &|| poll_once(fs::canonicalize("/"))),
        ("reactor::fs", &|| poll_once(fs::read("/"))),
        ("reactor::fs", &|| poll_once(fs::File::open("/"))),
        ("reactor::net", &|| poll_once(net::TcpListener::bind("127.0.0.1:0"))),
        ("reactor::net", &|| poll_once(net::UdpSocket::bind("127.0.0.1:0"))),
        ("uring::Ring::current", &|| drop(uring::Ring::current())),
        ("uring::Ring::current_polling", &|| drop(uring::Ring::current_polling())),
        ("signal::Signals::new", &|| drop(signal::Signals::new([signal::Signal::HUP]))),
        ("PerCore::get", &|| drop(sync::PerCore::new("p", |_| ()).get())),
    ];
    for (name, call) in rooms {
        let said = panic_of(call);
        assert!(said.starts_with(&format!("`{name}` needs a reactor")), "{name}: {said}");
    }
    assert_eq!(Core::try_current(), None);
}

/// Rule 4 for what needs an application around the reactor.
#[test]
fn rule_4_what_needs_an_application_says_so_by_name() {
    let executor = LocalExecutor::new().unwrap();
    let said = executor.enter_with(|| panic_of(|| app::stop(0)));
    assert!(said.starts_with("`app::stop` needs an application"), "{said}");
}

/// Rule 5, "don't block the reactor": what must block does so beside the core, which goes on meanwhile.
#[reactor::test]
async fn rule_5_what_blocks_does_so_beside_the_core() {
    let (free, blocked) = mpsc::channel();
    let waiting = spawn_local(app::unblock(move || blocked.recv()));
    // The call ends only if this core gets here while it blocks.
    for _ in 0..10 {
        yield_now().await;
    }
    free.send(5).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), Ok(5));
}

/// Trap 4, "the poller is on a busy loop": it looks, returns, and looks again when the event that it waits for has run.
#[reactor::test]
async fn trap_4_an_event_arrives_while_a_poller_waits_for_it() {
    let done = Arc::new(AtomicUsize::new(0));
    let seen = done.clone();
    let poller = Poller::register("waits", move || seen.load(SeqCst) == 1);
    post(Core::current(), move || done.store(1, SeqCst)).unwrap();
    while poller.stats().busy_runs == 0 {
        yield_now().await;
    }
}

/// Trap 7, "the channel is alive but the device isn't": its I/O says so, and nothing dangles.
#[reactor::test]
async fn trap_7_a_channel_outlives_its_device() {
    let ram = bdev::modules::Ram::new(1 << 20).unwrap();
    bdev::register("trap 7", ram).unwrap();
    let disk = bdev::open("trap 7", bdev::Access::ReadOnly).await.unwrap();
    let channel = disk.channel().unwrap();
    channel.read(0..1).await.unwrap();
    bdev::unregister("trap 7").unwrap();
    assert!(matches!(channel.read(0..1).await, Err(bdev::Error::Removed)));
    assert!(matches!(disk.channel(), Err(bdev::Error::Removed)));
}

/// Trap 8, "I'm using a Go runtime mutex from a C poller": a lock that is held makes tasks wait, and never the core.
#[reactor::test]
async fn trap_8_a_lock_that_is_held_blocks_no_core() {
    let lock = Rc::new(sync::Mutex::new(0));
    let held = lock.lock().await;
    let wanted = lock.clone();
    let waiting = spawn_local(async move { *wanted.lock().await += 1 });
    for _ in 0..10 {
        yield_now().await;
    }
    // Nobody else holds it.
    assert_eq!(*held, 0);
    drop(held);
    waiting.await.unwrap();
    assert_eq!(*lock.lock().await, 1);
}

/// Trap 5, "I unregistered a poller, but it's still firing". Unregistering takes effect at once: from inside its own call,
/// and from another poller's call earlier in the same turn.
#[reactor::test]
async fn trap_5_an_unregistered_poller_fires_no_more() {
    let runs = Rc::new(Cell::new(0));
    let slot = Rc::new(RefCell::new(None::<Poller>));

    let (count, own) = (runs.clone(), slot.clone());
    *slot.borrow_mut() = Some(Poller::register("ends itself", move || {
        count.set(count.get() + 1);
        drop(own.borrow_mut().take());
        true
    }));
    for _ in 0..10 {
        yield_now().await;
        time::sleep(Duration::from_micros(1)).await;
    }
    assert_eq!(runs.take(), 1);

    // Registered in this order, so the killer's call comes first.
    let victim = slot.clone();
    let killer = Poller::register("ends the next", move || victim.borrow_mut().take().is_some());
    let count = runs.clone();
    *slot.borrow_mut() = Some(Poller::register("is ended", move || {
        count.set(count.get() + 1);
        true
    }));
    while slot.borrow().is_some() {
        time::sleep(Duration::from_micros(1)).await;
    }
    assert_eq!((runs.take(), killer.stats().busy_runs), (0, 1));
}

/// Trap 5 for pollers by the clock, and what the call owns is dropped with it, not when the handle happens to be.
#[reactor::test]
async fn trap_5_an_unregistered_timed_poller_fires_no_more() {
    let owned = Rc::new(Cell::new(0));
    let inside = owned.clone();
    let poller = Poller::every("timed", Duration::from_micros(1), move || {
        inside.set(inside.get() + 1);
        true
    });
    while owned.get() == 0 {
        time::sleep(Duration::from_micros(1)).await;
    }
    drop(poller);
    let runs = owned.get();
    for _ in 0..10 {
        time::sleep(Duration::from_micros(1)).await;
    }
    assert_eq!((owned.get(), Rc::strong_count(&owned)), (runs, 1));
}

static CRITICAL_LOG: OnceLock<Log> = OnceLock::new();

fn critical() {
    CRITICAL_LOG.get_or_init(Log::default).add(format!("critical on core {}", Core::current()));
}

/// Trap 6, "I'm in an interrupt handler". A signal handler sends a critical event: no allocation, no lock, and it runs before
/// all that was sent earlier.
#[test]
fn trap_6_a_signal_handler_may_send_a_critical_event() {
    let executor = LocalExecutor::new().unwrap();
    let (handle, core) = (executor.handle(), executor.core());
    let accepted = Arc::new(AtomicUsize::new(0));
    let (from_signal, count) = (handle.clone(), accepted.clone());
    let action = move || {
        count.fetch_add(usize::from(from_signal.critical(core, critical)), SeqCst);
    };
    // SAFETY: `Handle::critical` is async-signal-safe, as is counting in an atomic.
    let id = unsafe { signal_hook::low_level::register(signal_hook::consts::SIGUSR1, action) }.unwrap();

    let log = CRITICAL_LOG.get_or_init(Log::default).clone();
    let earlier = log.clone();
    handle.post(core, move || earlier.add("an event sent earlier")).unwrap();
    // There is room for one at a time; the second says that it found none.
    for _ in 0..2 {
        signal_hook::low_level::raise(signal_hook::consts::SIGUSR1).unwrap();
    }
    executor.turn();
    assert_eq!(log.lines(), ["critical on core 0", "an event sent earlier"]);
    assert_eq!(accepted.load(SeqCst), 1);
    signal_hook::low_level::unregister(id);
}

/// Trap 6 when the core is asleep: a critical event from elsewhere wakes it.
#[test]
fn trap_6_a_critical_event_wakes_a_sleeping_core() {
    static WOKEN: AtomicUsize = AtomicUsize::new(0);
    let running = cores_unpinned(1).mode(reactor::Mode::Interrupt).start(async || {
        let _guard = app::shutdown_requested().await;
    });
    let running = running.unwrap();
    let handle = running.handle();
    let stop = || {
        WOKEN.fetch_add(1, SeqCst);
        app::stop(0);
    };
    assert!(handle.critical(handle.cores()[0], stop));
    running.join().unwrap();
    assert_eq!(WOKEN.load(SeqCst), 1);
}

/// Trap 9, "I called `poller_unregister` from a non-thread context": a poller is `!Send`, so that such a program does not
/// compile; nor do those that break rules 2 and 3, or fall into traps 1 and 2. Trap 3, a thread that is no reactor, is rule 4.
#[test]
fn trap_9_what_belongs_to_a_core_does_not_leave_it() {
    trybuild::TestCases::new().compile_fail("tests/rules/*.rs");
}

/// Trap 9, the right way: a message to the owner.
#[reactor::test(cores = 2)]
async fn trap_9_unregistering_is_the_owners_to_do() {
    let owner = Core::nth(1).unwrap();
    let (tell, told) = futures::channel::oneshot::channel::<()>();
    let polls = call_on(owner, async move || {
        let poller = Poller::register("theirs", || false);
        told.await.unwrap();
        assert_eq!(Core::current(), owner);
        poller.stats().runs
    });
    tell.send(()).unwrap();
    polls.await.unwrap();
}

/// Trap 10, "`spdk_thread_send_msg` aborts on enqueue failure". A core that does not turn for a while is sent more than any
/// ring would hold: nothing aborts, nothing is lost, and the order is kept.
#[test]
fn trap_10_a_full_queue_loses_nothing() {
    const EVENTS: usize = 200_000;
    let running = cores_unpinned(1).start(async || drop(app::shutdown_requested().await)).unwrap();
    let (handle, core) = (running.handle(), running.handle().cores()[0]);
    let (free, blocked) = mpsc::channel::<()>();
    handle.post(core, move || _ = blocked.recv()).unwrap();

    let next = Arc::new(AtomicUsize::new(0));
    for number in 0..EVENTS {
        let next = next.clone();
        handle.post(core, move || assert_eq!(next.swap(number + 1, SeqCst), number)).unwrap();
    }
    drop(free);
    handle.spawn_on(core, async {}).wait().unwrap();
    assert_eq!(next.load(SeqCst), EVENTS);
    running.stop(0);
    running.join().unwrap();
}
