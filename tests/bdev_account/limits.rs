//! Limits hold to 5 %, whatever they limit.

use super::{Cores, Load, MS, PAGE, SECOND, load, read};
use reactor::bdev::modules::Null;
use reactor::bdev::{self, Access, IoStats, Limits, Timing};
use std::time::Duration;

/// Whether `found` is what a second of `rate` gives, to 5 %.
fn is_close(found: u64, rate: f64) -> bool {
    (found as f64 / rate - 1.0).abs() <= 0.05
}

type Count = fn(&IoStats) -> u64;
const IOS: Count = |stats| stats.reads + stats.writes;
const BYTES: Count = |stats| stats.read_bytes + stats.written_bytes;

/// Each limit alone, under loads that it limits, one I/O and many at a time, from few in a second to hundreds of thousands.
#[test]
fn each_limit_is_kept_to_5_percent() {
    for rate in [100, 10_000, 200_000] {
        let bytes = rate * PAGE;
        let cases: [(Limits, Load, Count, u64); 8] = [
            (Limits { iops: Some(rate), ..Limits::NONE }, Load::Reads, IOS, rate),
            (Limits { iops: Some(rate), ..Limits::NONE }, Load::Both, IOS, rate),
            (Limits { read_iops: Some(rate), ..Limits::NONE }, Load::Reads, |s| s.reads, rate),
            (Limits { write_iops: Some(rate), ..Limits::NONE }, Load::Writes, |s| s.writes, rate),
            (Limits { bytes: Some(bytes), ..Limits::NONE }, Load::Writes, BYTES, bytes),
            (Limits { bytes: Some(bytes), ..Limits::NONE }, Load::Both, BYTES, bytes),
            (Limits { read_bytes: Some(bytes), ..Limits::NONE }, Load::Reads, |s| s.read_bytes, bytes),
            (Limits { write_bytes: Some(bytes), ..Limits::NONE }, Load::Writes, |s| s.written_bytes, bytes),
        ];
        for (limits, kind, count, expected) in cases {
            // One at a time waits for the step of the clock: that many fit into a second.
            for depth in [1, 32].into_iter().filter(|depth| *depth > 1 || rate <= 10_000) {
                let cores = Cores::new(1);
                let disk = cores.open("null");
                disk.set_limits(limits).unwrap();
                load(&cores, 0, &disk, kind, depth);
                let seconds = if rate > 10_000 { 0.1 } else { 1.0 };
                cores.pass(SECOND.mul_f64(seconds), Duration::from_micros(50));
                let found = count(&disk.stats());
                // The first of all, and what is saved up, come before the time begins.
                assert!(
                    is_close(found, expected as f64 * seconds),
                    "{limits}, {kind:?}, depth {depth}: {found} instead of {expected}"
                );
            }
        }
    }
}

/// Of several limits the strictest holds; the others leave what they have.
#[test]
fn limits_hold_together() {
    let cores = Cores::new(1);
    let disk = cores.open("null");
    let limits = Limits {
        iops: Some(10_000),
        read_iops: Some(2_000),
        write_bytes: Some(5_000 * PAGE),
        bytes: Some(100_000 * PAGE),
        ..Limits::NONE
    };
    disk.set_limits(limits).unwrap();
    assert_eq!(disk.limits(), limits);
    load(&cores, 0, &disk, Load::Reads, 16);
    load(&cores, 0, &disk, Load::Writes, 16);
    cores.pass(SECOND, Duration::from_micros(50));
    let stats = disk.stats();
    assert!(is_close(stats.reads, 2e3) && is_close(stats.writes, 5e3), "{stats:?}");
}

/// All channels together have the limit, of however many cores and descriptors, and the cores have equal shares.
#[test]
fn cores_share_a_limit() {
    for (count, limits) in [
        (2, Limits { iops: Some(20_000), ..Limits::NONE }),
        (4, Limits { bytes: Some(10_000 * PAGE), ..Limits::NONE }),
        (3, Limits { write_iops: Some(300), ..Limits::NONE }),
    ] {
        let rate = limits.iops.or(limits.write_iops).or(limits.bytes.map(|bytes| bytes / PAGE)).unwrap();
        let cores = Cores::new(count);
        let disk = cores.open("null");
        disk.set_limits(limits).unwrap();
        for core in 0..count {
            // One of them wants more than the others.
            load(&cores, core, &disk, Load::Writes, if core == 0 { 64 } else { 8 });
        }
        cores.pass(SECOND, Duration::from_micros(50));
        let total = disk.stats().writes;
        assert!(is_close(total, rate as f64), "{limits}: {total}");
        for core in 0..count {
            let writes = cores.on(core, async { disk.channel().unwrap().stats().writes });
            let fair = total / count as u64;
            assert!(writes.abs_diff(fair) <= fair / 10, "{limits}: core {core} had {writes} of {total}");
        }
    }
}

/// A core that has nothing to do leaves its share to the others at once.
#[test]
fn an_idle_core_costs_nothing() {
    let cores = Cores::new(2);
    let disk = cores.open("null");
    disk.set_limits(Limits { iops: Some(10_000), ..Limits::NONE }).unwrap();
    load(&cores, 0, &disk, Load::Reads, 8);
    let once = disk.clone();
    cores.start(1, async move { read(&once.channel().unwrap()).await });
    cores.pass(SECOND, MS / 20);
    assert!(is_close(disk.stats().reads, 1e4), "{}", disk.stats().reads);
}

/// Cores that are turned late, up to 20 ms now and then, still let in what the limit allows.
#[test]
fn what_late_cores_missed_is_made_up_for() {
    for depth in [1, 32] {
        let cores = Cores::new(2);
        let disk = cores.open("null");
        disk.set_limits(Limits { iops: Some(10_000), ..Limits::NONE }).unwrap();
        load(&cores, 0, &disk, Load::Reads, depth);
        load(&cores, 1, &disk, Load::Writes, depth);
        for round in 0..20 {
            cores.pass(30 * MS, MS / 10);
            cores.pass(20 * MS, Duration::from_millis(1 + round));
        }
        let found = disk.stats().reads + disk.stats().writes;
        let seconds = cores.clock.now_ns() as f64 / 1e9;
        assert!(is_close(found, 1e4 * seconds), "depth {depth}: {found} in {seconds} s");
    }
}

/// What moves no data is not limited, nor is anything once limits are lifted.
#[test]
fn some_operations_pass_freely() {
    let cores = Cores::new(1);
    let disk = cores.open("ram:1M");
    disk.set_limits(Limits { iops: Some(1), ..Limits::NONE }).unwrap();
    cores.on(0, async {
        let channel = disk.channel().unwrap();
        for _ in 0..100 {
            channel.flush().await.unwrap();
            channel.unmap(0..8).await.unwrap();
            channel.write_zeroes(0..8).await.unwrap();
            channel.copy(8..16, 0).await.unwrap();
        }
        disk.set_limits(Limits::NONE).unwrap();
        assert_eq!(disk.limits(), Limits::NONE);
        for _ in 0..100 {
            channel.read(0..8).await.unwrap();
        }
    });
}

/// What comes by way of another device is limited like what is asked of the device itself, whole or in parts; what the
/// layer splits counts once, with all its bytes.
#[test]
fn limits_hold_within_stacks() {
    for (number, spec) in
        ["passthru(NAME)", "delay:0s(NAME)", "stripe:2K(NAME,null:1G)", "NAME"].iter().enumerate()
    {
        let cores = Cores::new(1);
        let name = format!("limited-{number}");
        let base = cores.on(0, async {
            bdev::register(&name, Null::new(1 << 30).unwrap()).unwrap();
            bdev::open(&name, Access::ReadOnly).await.unwrap()
        });
        base.set_limits(Limits { iops: Some(1_000), ..Limits::NONE }).unwrap();
        base.set_timing(Timing::Totals);
        let spec = spec.replace("NAME", &name);
        let top = cores.on(0, async { bdev::open(&spec, Access::ReadOnly).await.unwrap() });
        load(&cores, 0, &top, Load::Reads, 8);
        cores.pass(SECOND, MS / 4);
        let stats = base.stats();
        assert!(is_close(stats.reads, 1e3), "{spec}: {}", stats.reads);
        assert!(is_close(top.stats().reads, 1e3), "{spec}: {}", top.stats().reads);
        // Eight at a time, a thousand in a second.
        assert_eq!(stats.latency.read.count, stats.reads, "{spec}");
        let mean = stats.latency.read.mean();
        assert!(mean > 7 * MS && mean < 9 * MS, "{spec}: {mean:?}");
        drop(bdev::unregister(&name).unwrap());
    }
}
