//! Everything at once on two cores and two foreign threads, then the end: every value is dropped exactly once and nothing is left.
//!
//! Each step is drawn from a seed, so that a run can be had again as far as the machine allows: `REACTOR_STRESS_SEED=n`, and
//! `REACTOR_STRESS_STEPS=n` for longer ones. The one test of this file has the process to itself, for it counts descriptors and threads.
//! It is meant to be run under sanitizers as well.
//!
//! Over 400 lines because it is one program: what it mixes must be seen together to be checked together.

mod support;

use reactor::{
    AbortHandle, Core, Handle, JoinError, JoinHandle, LightThread, Outbox, TaskScope, app,
    bdev::{self, Access},
    call_on, post, spawn_balanced, spawn_local, spawn_on,
    sync::{PerCore, mpsc, oneshot},
    sys::dma::DmaBytes,
    time::{sleep, timeout},
    uring::{Fd, Ring},
    yield_now,
};
use std::{
    fs::{File, read_dir},
    future::{Future, pending, poll_fn},
    path::{Path, PathBuf},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};
use support::cores_unpinned;

/// How many values were made, and how many dropped.
#[derive(Default)]
struct Census {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

/// A value that is to be dropped once. The box lets a sanitizer see a second time.
struct Token {
    census: Arc<Census>,
    memory: Box<u64>,
}

impl Token {
    fn new(census: &Arc<Census>) -> Self {
        census.made.fetch_add(1, SeqCst);
        Self { census: census.clone(), memory: Box::new(0x7071) }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        assert_eq!(std::mem::replace(&mut *self.memory, 0), 0x7071, "dropped twice");
        self.census.dropped.fetch_add(1, SeqCst);
    }
}

/// What cores hand to the foreign threads, and to each other.
#[derive(Default)]
struct Abroad {
    wakers: Mutex<Vec<Waker>>,
    aborts: Mutex<Vec<AbortHandle>>,
    handles: Mutex<Vec<JoinHandle<Token>>>,
    bytes: Mutex<Vec<DmaBytes>>,
    is_over: AtomicBool,
    answers: AtomicUsize,
}

fn give<T>(shelf: &Mutex<Vec<T>>, value: T) {
    // Dropped outside of the lock: that may run anything.
    let overflow = {
        let mut shelf = shelf.lock().unwrap();
        shelf.push(value);
        if shelf.len() > 64 { Some(shelf.swap_remove(0)) } else { None }
    };
    drop(overflow);
}

fn take<T>(shelf: &Mutex<Vec<T>>) -> Option<T> {
    shelf.lock().unwrap().pop()
}

/// xorshift64*: the seed decides everything that the machine does not.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, lane: u64) -> Self {
        Self((seed ^ lane.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}

/// What all lanes share.
#[derive(Clone)]
struct World {
    census: Arc<Census>,
    abroad: Arc<Abroad>,
    tokens: mpsc::UnboundedSender<Token>,
    bounded: mpsc::Sender<Token>,
    per_core: PerCore<Token>,
    disk: bdev::Descriptor,
    ram: bdev::Descriptor,
    path: Arc<PathBuf>,
}

impl World {
    fn token(&self) -> Token {
        Token::new(&self.census)
    }
}

/// Polls `future` at most `polls` times and then drops it.
async fn give_up_after(polls: u64, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

fn is_expected<T>(result: &Result<T, JoinError>) -> bool {
    matches!(result, Ok(_) | Err(JoinError::Cancelled | JoinError::CoreGone))
}

/// Waits for ever, and leaves its waker abroad at each poll.
async fn wait_abroad(world: World) -> Token {
    let token = world.token();
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        if polls > 3 {
            return Poll::Ready(());
        }
        give(&world.abroad.wakers, cx.waker().clone());
        Poll::Pending
    })
    .await;
    token
}

async fn step(world: &World, dice: &mut Dice) {
    let other = Core::nth(dice.roll(2) as usize).unwrap();
    let token = world.token();
    match dice.roll(22) {
        0 => drop(spawn_on(other, async move { token }).await.unwrap()),
        1 => drop(spawn_on(other, async move {
            yield_now().await;
            token
        })),
        2 => {
            let task = spawn_on(other, async move {
                pending::<()>().await;
                token
            });
            (0..dice.roll(3)).for_each(|_| task.abort());
            task.abort();
            assert!(matches!(task.await, Err(JoinError::Cancelled)));
        }
        3 => {
            let called = call_on(other, async move || {
                let local = Rc::new(token);
                sleep(Duration::from_micros(20)).await;
                Rc::into_inner(local)
            });
            assert!(called.await.unwrap().is_some());
        }
        4 => post(other, move || drop(token)).unwrap(),
        5 => {
            let task = spawn_local(wait_abroad(world.clone()));
            give(&world.abroad.aborts, task.abort_handle().unwrap());
            give(&world.abroad.handles, task);
        }
        6 => {
            let task = spawn_on(other, async move { token });
            give(&world.abroad.aborts, task.abort_handle().unwrap());
            give(&world.abroad.handles, task);
        }
        7 => drop(world.tokens.send(token)),
        8 => drop(timeout(Duration::from_micros(dice.roll(200)), world.bounded.send(token)).await),
        9 => {
            let (sender, receiver) = oneshot::channel();
            let task = spawn_on(other, async move { sender.send(token).is_ok() });
            if dice.roll(2) == 0 {
                drop(receiver.await.unwrap());
            } else {
                give_up_after(dice.roll(3), receiver).await;
            }
            task.await.unwrap();
        }
        10 => {
            let held = async move {
                sleep(Duration::from_micros(100)).await;
                drop(token);
            };
            let _either = timeout(Duration::from_micros(dice.roll(200)), held).await;
        }
        11 => ring(world, dice, token).await,
        12 => disk(world, dice, &world.disk).await,
        13 => disk(world, dice, &world.ram).await,
        14 => drop(spawn_balanced(async move {
            yield_now().await;
            token
        })),
        15 => drop(spawn_balanced(async move { token }).await.unwrap()),
        16 => {
            // Awaited and dropped elsewhere.
            let task = spawn_local(async move {
                yield_now().await;
                token
            });
            let abort = dice.roll(3) == 0;
            let moved = spawn_on(other, async move {
                if abort {
                    task.abort();
                }
                task.await
            });
            assert!(is_expected(&moved.await.unwrap()));
        }
        17 => {
            let thread = LightThread::new("stress");
            let task = thread.spawn_local(async move {
                yield_now().await;
                token
            });
            if dice.roll(2) == 0 {
                thread.exit().await
            } else {
                drop(thread)
            }
            assert!(is_expected(&task.await));
        }
        18 => {
            let mut scope = TaskScope::new();
            scope
                .spawn(async move {
                    let _token = token;
                    pending::<()>().await
                })
                .detach();
            scope.spawn(async {}).detach();
            if dice.roll(2) == 0 {
                scope.close().await;
            }
        }
        19 => {
            let outbox = Outbox::new(other, 2);
            let events = dice.roll(5);
            for _ in 0..events {
                let token = world.token();
                outbox.post(move || drop(token)).await.unwrap();
            }
            give_up_after(0, outbox.post(move || drop(token))).await;
        }
        20 => {
            let here = world.per_core.get().unwrap();
            let there = world.per_core.clone();
            drop(call_on(other, async move || drop(there.get().unwrap())));
            yield_now().await;
            drop(here);
        }
        _ => {
            // Aborted or panicking, with an awaiter.
            let task = spawn_on(other, async move {
                let _token = token;
                std::panic::resume_unwind(Box::new("on purpose"));
            });
            assert!(matches!(task.await, Err(JoinError::Panicked(_))));
        }
    }
}

/// The ring: reads of a file, reads that nothing answers, dropped after some polls; the buffers hold their memory meanwhile.
async fn ring(world: &World, dice: &mut Dice, token: Token) {
    let ring = Ring::current().unwrap();
    let file = Fd::from(File::open(&*world.path).unwrap());
    if dice.roll(2) == 0 {
        ring.register(&file);
    }
    let at = dice.roll(16) * 4096;
    let read = async {
        let _token = token;
        let (read, page) = ring.read_at(&file, vec![1; 4096], at).await;
        assert_eq!((read.unwrap(), page.len()), (4096, 4096));
    };
    if dice.roll(2) == 0 {
        read.await;
    } else {
        give_up_after(dice.roll(4), read).await;
    }
    if dice.roll(4) == 0 {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let reader = Fd::from(reader);
        give_up_after(dice.roll(4), ring.read_at(&reader, vec![0; 64], 0)).await;
        drop(ring.close(reader).await);
    }
}

/// The block layer: written, read back, given up at any moment; what was read is dropped on another thread.
async fn disk(world: &World, dice: &mut Dice, disk: &bdev::Descriptor) {
    let channel = disk.channel().unwrap();
    let lba = dice.roll(32) * 8;
    let mut page = channel.try_alloc(4096).unwrap();
    page.fill(lba as u8);
    let page = page.freeze();
    give(&world.abroad.bytes, page.clone());
    match dice.roll(4) {
        0 => channel.write(lba, page).await.unwrap(),
        1 => drop(give_up_after(dice.roll(4), channel.write(lba, page)).await),
        2 => give(&world.abroad.bytes, channel.read(lba..lba + 8).await.unwrap().freeze()),
        _ => drop(give_up_after(dice.roll(4), channel.read(lba..lba + 16)).await),
    }
}

/// A thread that is no reactor: uses whatever the cores have left lying about, and sends work of its own.
fn foreigner(handle: Handle, census: Arc<Census>, abroad: Arc<Abroad>, mut dice: Dice) {
    let cores = handle.cores();
    while !abroad.is_over.load(SeqCst) {
        let core = cores[dice.roll(2) as usize];
        let token = Token::new(&census);
        match dice.roll(8) {
            0..=2 => use_waker(take(&abroad.wakers), &mut dice),
            3 => drop(take(&abroad.aborts).map(|abort| abort.abort())),
            4 => {
                if let Some(mut task) = take(&abroad.handles) {
                    if dice.roll(2) == 0 {
                        // Asked once and dropped, or forwarded home and left there.
                        let polled = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
                        assert!(!matches!(polled, Poll::Ready(Err(JoinError::Panicked(_)))));
                    }
                    if dice.roll(2) == 0 {
                        task.abort();
                    }
                }
            }
            5 => drop(take(&abroad.bytes)),
            6 => {
                let task = handle.spawn_on(core, async move {
                    yield_now().await;
                    token
                });
                if dice.roll(2) == 0 {
                    let answer = task.wait();
                    assert!(is_expected(&answer));
                    abroad.answers.fetch_add(1, SeqCst);
                }
            }
            _ => drop(handle.post(core, move || drop(token))),
        }
        thread::yield_now();
    }
}

fn use_waker(waker: Option<Waker>, dice: &mut Dice) {
    let Some(waker) = waker else { return };
    match dice.roll(4) {
        0 => waker.wake(),
        1 => waker.wake_by_ref(),
        2 => {
            let clone = waker.clone();
            clone.wake();
        }
        _ => drop(waker.clone()),
    }
}

/// One lane of a core.
async fn lane(world: World, mut dice: Dice, steps: u64) {
    for _ in 0..steps {
        step(&world, &mut dice).await;
        if dice.roll(8) == 0 {
            yield_now().await;
        }
    }
    // Left behind for the end: a task that waits, one that the ring never answers.
    spawn_local(wait_abroad(world.clone())).detach();
    let token = world.token();
    spawn_local(async move {
        let _token = token;
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let ring = Ring::current().unwrap();
        drop(ring.read_at(&Fd::from(reader), vec![0; 64], 0).await);
    })
    .detach();
}

fn run(seed: u64, lanes: u64, steps: u64, path: &Path) {
    let (census, abroad) = (Arc::new(Census::default()), Arc::new(Abroad::default()));
    let threads = Arc::new(Mutex::new(Vec::new()));
    let (spec, path) = (format!("file:{}", path.display()), Arc::new(path.to_owned()));
    let (in_main, shelf, started) = (census.clone(), abroad.clone(), threads.clone());
    let main = async move || {
        let (tokens, mut received) = mpsc::unbounded();
        let (bounded, mut drained) = mpsc::channel(4);
        let made = in_main.clone();
        let world = World {
            tokens,
            bounded,
            per_core: PerCore::new("stress", move |_| Token::new(&made)),
            disk: bdev::open(&spec, Access::ReadWrite).await.unwrap(),
            ram: bdev::open_private("stress", bdev::modules::Ram::new(1 << 20).unwrap(), Access::ReadWrite)
                .unwrap(),
            path,
            census: in_main.clone(),
            abroad: shelf.clone(),
        };
        for thread in 0..2 {
            let (census, abroad, dice) = (in_main.clone(), shelf.clone(), Dice::new(seed, 100 + thread));
            let handle = Handle::current();
            started.lock().unwrap().push(thread::spawn(move || foreigner(handle, census, abroad, dice)));
        }
        let receiver = call_on(Core::nth(1).unwrap(), async move || {
            while received.recv().await.is_some() {}
            received
        });
        let drainer = spawn_local(async move { while drained.recv().await.is_some() {} });
        let lanes: Vec<_> = (0..lanes)
            .map(|n| {
                let (world, dice) = (world.clone(), Dice::new(seed, n));
                let core = Core::nth(n as usize % 2).unwrap();
                call_on(core, async move || lane(world, dice, steps).await)
            })
            .collect();
        for lane in lanes {
            lane.await.unwrap();
        }
        // Half of the runs end in the midst of it.
        if seed % 2 == 0 {
            drop(world);
            abroad_is_cleared(&shelf);
        }
        drop((receiver, drainer));
        app::stop(0);
    };
    let ended = cores_unpinned(2).run(main);
    assert!(ended.is_ok(), "seed {seed}: {ended:?}");
    // The runtime is gone, and what is abroad is used on.
    let mut dice = Dice::new(seed, 1_000);
    for _ in 0..16 {
        use_waker(take(&abroad.wakers), &mut dice);
        drop(take(&abroad.handles).map(JoinHandle::wait));
        if let Some(abort) = take(&abroad.aborts) {
            abort.abort();
        }
    }
    abroad.is_over.store(true, SeqCst);
    for thread in threads.lock().unwrap().drain(..) {
        thread.join().unwrap();
    }
    abroad_is_cleared(&abroad);
    let (made, dropped) = (census.made.load(SeqCst), census.dropped.load(SeqCst));
    assert_eq!(made, dropped, "seed {seed}: of so many values made, so many were dropped");
    assert_eq!(Arc::strong_count(&abroad), 1, "seed {seed}: a task is left in memory");
    assert_eq!(Arc::strong_count(&census), 1, "seed {seed}: a value is left in memory");
}

fn abroad_is_cleared(abroad: &Abroad) {
    while let Some(waker) = take(&abroad.wakers) {
        drop(waker);
    }
    while let Some(handle) = take(&abroad.handles) {
        drop(handle);
    }
    while let Some(bytes) = take(&abroad.bytes) {
        drop(bytes);
    }
    while let Some(abort) = take(&abroad.aborts) {
        drop(abort);
    }
}

fn count(folder: &str) -> usize {
    read_dir(folder).unwrap().count()
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn everything_at_once_leaves_nothing_behind() {
    let (seed, steps) = (setting("REACTOR_STRESS_SEED", 1), setting("REACTOR_STRESS_STEPS", 150));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    // The first run leaves what stays for the length of the process.
    run(seed, 2, 10, &path);
    let (files, threads) = (count("/proc/self/fd"), count("/proc/self/task"));
    for round in 0..4 {
        run(seed + round, 16, steps, &path);
    }
    assert_eq!(count("/proc/self/fd"), files, "descriptors are left open");
    // The kernel's workers, which are threads of the process too, take their leave a little later.
    let begin = std::time::Instant::now();
    while count("/proc/self/task") > threads {
        assert!(begin.elapsed() < Duration::from_secs(20), "threads are left");
        thread::yield_now();
    }
}
