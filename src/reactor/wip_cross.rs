use super::*;
use crate::{Core, LocalExecutor, Mode, post, spawn_local, spawn_on, time, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::*;
use std::time::Instant;
#[std::prelude::v1::test]
fn wip_cross() {
    let group = Group::new([0, 1], Mode::Poll).unwrap();
    let g2 = group.clone();
    let t = std::thread::spawn(move || {
        core_affinity::set_for_current(core_affinity::CoreId { id: 1 });
        let ex = LocalExecutor::of_group(g2, 1, time::Clock::tsc()).unwrap();
        ex.block_on(std::future::pending::<()>());
    });
    let _ = &t;
    core_affinity::set_for_current(core_affinity::CoreId { id: 0 });
    let ex = LocalExecutor::of_group(group, 0, time::Clock::tsc()).unwrap();
    let h = ex.spawn_local(async {
        let me = Core::current();
        let other = Core::nth(1).unwrap();
        for _ in 0..4 {
            let what = std::env::var("WHAT").unwrap_or("all".into());
            let n = if what == "rt" || what == "all" { 1_000_000u64 } else { 1 };
            let t = Instant::now();
            for i in 0..n { assert_eq!(spawn_on(other, async move { i }).await.unwrap(), i); }
            println!("round trip {:.1} ns", t.elapsed().as_nanos() as f64 / n as f64);
            let t = Instant::now();
            let lanes = 1024; let each = if what == "1024" { 20_000 } else { 2000u64 };
            let hs: Vec<_> = (0..lanes).map(|_| spawn_local(async move { for i in 0..each { assert_eq!(spawn_on(other, async move { i }).await.unwrap(), i); } })).collect();
            for h in hs { h.await.unwrap(); }
            println!("1024 in flight {:.1} M/s", (lanes * each) as f64 / t.elapsed().as_nanos() as f64 * 1e3);
            if what == "all" { for window in [32u64, 256, 1024, 4096] {
                static DONE: AtomicU64 = AtomicU64::new(0);
                DONE.store(0, Ordering::Relaxed);
                let n = 4_000_000u64;
                let t = Instant::now();
                let mut sent = 0u64; let mut seen = 0;
                // credit comes back by an event per window/2
                let acked = Rc::new(Cell::new(0u64));
                thread_local!(static ACK: Cell<u64> = const { Cell::new(0) }; static CNT: Cell<u64> = const { Cell::new(0) });
                ACK.set(0);
                post(other, || CNT.set(0)).unwrap();
                while sent < n {
                    while sent - ACK.get() < window && sent < n { post(other, move || { let c = CNT.get() + 1; CNT.set(c); if c % (window / 2) == 0 { post(me, move || ACK.set(c)).unwrap(); } }).unwrap(); sent += 1; }
                    yield_now().await;
                }
                while ACK.get() < n - window / 2 { yield_now().await; }
                let _ = (&acked, &mut seen);
                println!("one way window {window}: {:.1} M/s", n as f64 / t.elapsed().as_nanos() as f64 * 1e3);
            }
            }
            // balanced ping-pong: event_perf round two cores
            fn hop(a: Core, b: Core) { if !STOPHOP.load(Ordering::Relaxed) { HOPS.with(|h| h.set(h.get() + 1)); post(b, move || hop(b, a)).unwrap(); } }
            static STOPHOP: AtomicBool = AtomicBool::new(false);
            thread_local!(static HOPS: Cell<u64> = const { Cell::new(0) });
            for inflight in [1, 8, 64, 256] { if what != "all" { continue }
                STOPHOP.store(false, Ordering::Relaxed);
                let before = HOPS.get();
                let t = Instant::now();
                for _ in 0..inflight { hop(me, other); }
                while t.elapsed().as_millis() < 200 { yield_now().await }
                let hops = HOPS.get() - before;
                STOPHOP.store(true, Ordering::Relaxed);
                println!("event_perf two cores in flight {inflight}: {:.1} M/s total", 2.0 * hops as f64 / t.elapsed().as_nanos() as f64 * 1e3);
                for _ in 0..1000 { spawn_on(other, async {}).await.unwrap(); }
            }
        }
    });
    ex.block_on(h).unwrap();
    std::process::exit(0);
}
