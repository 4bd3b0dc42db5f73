//! scratch
use std::time::{Duration, Instant};
fn cpu() -> f64 { let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime); t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6 }
fn main() {
    let mode: reactor::Mode = std::env::args().nth(1).unwrap_or("adaptive".into()).parse().unwrap();
    let n: u64 = std::env::args().nth(2).unwrap_or("10000".into()).parse().unwrap();
    reactor::app::Builder::new().cores("0").mode(mode).run(async move || {
        for _ in 0..3 {
            let c0 = cpu();
            let start = Instant::now();
            let hs: Vec<_> = (0..n).map(|i| reactor::spawn_local(async move {
                let us = (i * 7919) % 100_000;
                let due = Instant::now() + Duration::from_micros(us);
                reactor::time::sleep(Duration::from_micros(us)).await;
                Instant::now().saturating_duration_since(due).as_nanos() as u64
            })).collect();
            let mut late = vec![];
            for h in hs { late.push(h.await.unwrap()); }
            late.sort();
            println!("{mode:?} cpu {:.1} ms, late p50 {} us p99 {} us, took {:?}, sleeps", cpu() - c0, late[late.len()/2]/1000, late[late.len()*99/100]/1000, start.elapsed());
        }
    }).unwrap();
}
