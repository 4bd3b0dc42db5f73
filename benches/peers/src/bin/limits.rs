//! The limits: what an allocation, a cache line between two cores, a sleeping thread and a bare ring cost here.
#![expect(unsafe_code, reason = "rdtsc is an unsafe intrinsic")]

#[path = "limits/raw_echo.rs"]
mod raw_echo;
#[path = "limits/raw_ring.rs"]
mod raw_ring;

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::time::{Duration, Instant};

use peers::{Measure, far_thread, finish, median, pin, spin_for};

fn main() {
    let measure = Measure::from_args("limits");
    pin(0);
    if raw_ring::run(&measure) || raw_echo::run(&measure) {
        finish()
    }
    let value = match measure.workload.as_str() {
        "malloc_free" => malloc_free(&measure),
        "rdtsc" => rdtsc(&measure),
        "cache_line" => cache_line(&measure),
        "unpark" => unpark(&measure),
        "spsc" => ring::<1>(&measure),
        "spsc_batch" => ring::<16>(&measure),
        _ => measure.refuse("no such limit"),
    };
    measure.print(&measure.workload, value);
    finish()
}

fn malloc_free(measure: &Measure) -> f64 {
    measure.ns_per_op_blocking(|count| {
        for n in 0..count {
            black_box(Box::new([n; 8]));
        }
    })
}

fn rdtsc(measure: &Measure) -> f64 {
    measure.ns_per_op_blocking(|count| {
        for _ in 0..count {
            // SAFETY: every x86-64 processor has the instruction, and user mode may run it under Linux.
            black_box(unsafe { std::arch::x86_64::_rdtsc() });
        }
    })
}

/// A value that nothing else shares a cache line (or the neighbour that is fetched with it) with.
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    const fn new() -> Self {
        Line(AtomicU64::new(0))
    }
}

fn cache_line(measure: &Measure) -> f64 {
    static THERE: Line = Line::new();
    static BACK: Line = Line::new();
    far_thread(|| {
        let mut seen = 0;
        loop {
            let value = THERE.0.load(Acquire);
            if value != seen {
                seen = value;
                BACK.0.store(value, Release);
            }
            spin_loop();
        }
    });
    let mut value = 0;
    measure.ns_per_op_blocking(|count| {
        for _ in 0..count {
            value += 1;
            THERE.0.store(value, Release);
            while BACK.0.load(Acquire) != value {
                spin_loop();
            }
        }
    })
}

/// Wakes a thread that sleeps on the other core, which wakes this one, asleep by then: two futex wakes.
fn unpark(measure: &Measure) -> f64 {
    static THERE: Line = Line::new();
    static BACK: Line = Line::new();
    let near = std::thread::current();
    let far = far_thread(move || {
        let mut seen = 0;
        loop {
            while THERE.0.load(Acquire) == seen {
                std::thread::park();
            }
            seen += 1;
            BACK.0.store(seen, Release);
            near.unpark();
        }
    });
    let calls = if measure.quick { 200 } else { 1_000 };
    let mut samples: Vec<f64> = (1..=calls)
        .map(|call| {
            spin_for(Duration::from_micros(500));
            let start = Instant::now();
            THERE.0.store(call, Release);
            far.thread().unpark();
            while BACK.0.load(Acquire) != call {
                std::thread::park();
            }
            start.elapsed().as_nanos() as f64 / 1e3
        })
        .collect();
    median(&mut samples)
}

const SLOTS: u64 = 4096;
static RING: [AtomicU64; SLOTS as usize] = [const { AtomicU64::new(0) }; SLOTS as usize];
static HEAD: Line = Line::new();
static TAIL: Line = Line::new();

/// Lamport's ring with both sides' view of the other cached, and the indices published every `BATCH` messages.
fn ring<const BATCH: u64>(measure: &Measure) -> f64 {
    far_thread(|| {
        let (mut head, mut tail) = (0, 0);
        loop {
            while tail - head < BATCH {
                tail = TAIL.0.load(Acquire);
            }
            for n in head..head + BATCH {
                assert_eq!(RING[(n % SLOTS) as usize].load(Relaxed), n);
            }
            head += BATCH;
            HEAD.0.store(head, Release);
        }
    });
    let (mut head, mut tail) = (0, 0);
    let ns = measure.ns_per_op_blocking(|count| {
        let last = tail + count.next_multiple_of(BATCH);
        while tail < last {
            while tail + BATCH - head > SLOTS {
                head = HEAD.0.load(Acquire);
            }
            for n in tail..tail + BATCH {
                RING[(n % SLOTS) as usize].store(n, Relaxed);
            }
            tail += BATCH;
            TAIL.0.store(tail, Release);
        }
        while HEAD.0.load(Acquire) < last {}
    });
    1e3 / ns
}
