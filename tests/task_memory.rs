//! What tasks cost in bytes, by an allocator that counts: at rest, and after a burst of them.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::pending,
};

/// Counts what each thread holds.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
    /// How often it was asked for memory.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.set(BYTES.get() + layout.size() as isize);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get() - layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TASKS: usize = 200_000;
const CHUNK: isize = 1 << 16;
/// What a core keeps of a burst, and one chunk for each size of tasks that it has seen.
const KEPT_AWAKE: isize = (128 + 4) * CHUNK;
const KEPT_ASLEEP: isize = (16 + 4) * CHUNK;

/// A future with `WORDS` words of state.
fn idle<const WORDS: usize>() -> impl Future<Output = ()> {
    let state = [7_u64; WORDS];
    async move {
        pending::<()>().await;
        std::hint::black_box(&state);
    }
}

fn spawn<F: Future + 'static>(executor: &reactor::LocalExecutor, mut make: impl FnMut() -> F) {
    executor.enter_with(|| (0..TASKS).for_each(|_| reactor::spawn_local(make()).detach()));
}

/// Bytes per idle task above those of its future, or of its result where that is larger: two words.
fn overhead<const WORDS: usize>() -> f64 {
    let executor = reactor::LocalExecutor::new().unwrap();
    executor.turn();
    let before = BYTES.get();
    spawn(&executor, idle::<WORDS>);
    while executor.turn().tasks > 0 {}
    (BYTES.get() - before) as f64 / TASKS as f64 - size_of_val(&idle::<WORDS>()).max(16) as f64
}

#[test]
fn an_idle_task_costs_less_than_48_bytes_above_its_future() {
    let overheads = [overhead::<1>(), overhead::<2>(), overhead::<8>(), overhead::<30>(), overhead::<100>()];
    // Forty of header, and below half a percent of chunk; a large task leaves a part of its chunk's end unused.
    assert!(overheads.iter().all(|&overhead| overhead < 48.0), "{overheads:?}");
}

#[test]
fn the_memory_of_a_burst_goes_back() {
    let executor = reactor::LocalExecutor::new().unwrap();
    executor.turn();
    let before = BYTES.get();
    for round in 0..3 {
        spawn(&executor, || async { 1_u64 });
        assert!(BYTES.get() - before > (TASKS * 48) as isize);
        while executor.turn().tasks > 0 {}
        let kept = BYTES.get() - before;
        assert!(kept <= KEPT_AWAKE, "round {round}: {kept} bytes");
        assert!(executor.prepare_to_sleep());
        let kept = BYTES.get() - before;
        assert!(kept <= KEPT_ASLEEP, "round {round}: {kept} bytes asleep");
    }
    drop(executor);
}

#[test]
fn a_core_leaves_nothing_behind() {
    let before = BYTES.get();
    let executor = reactor::LocalExecutor::new().unwrap();
    spawn(&executor, idle::<8>);
    let handle = executor.spawn_local(async { [1_u8; 100_000] });
    executor.turn();
    drop(executor);
    drop(handle);
    assert_eq!(BYTES.get(), before);
}

/// One holds the task, its future, its result and who waits for that, the other is the handle's; the queues reuse theirs.
#[test]
fn a_balanced_task_is_two_allocations() {
    const TASKS: usize = 100;
    let executor = reactor::LocalExecutor::new().unwrap();
    let round = async || {
        let before = ALLOCATIONS.get();
        for n in 0..TASKS {
            assert_eq!(reactor::spawn_balanced(async move { n }).await.unwrap(), n);
        }
        ALLOCATIONS.get() - before
    };
    let allocations = executor.block_on(async {
        round().await;
        round().await
    });
    assert!(allocations <= 2 * TASKS + 2, "{allocations} for {TASKS} tasks");
}
