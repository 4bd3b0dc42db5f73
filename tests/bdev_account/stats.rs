//! Counters of channels and devices.

use super::{Cores, MS, read, write};
use reactor::bdev::{IoStats, ResetStats, Timing};
use reactor::spawn_local;
use std::time::Duration;

/// Every kind of operation where it belongs, with its bytes if it succeeded.
#[test]
fn operations_count_by_kind() {
    let cores = Cores::new(1);
    let disk = cores.open("ram:1M");
    cores.on(0, async {
        let channel = disk.channel().unwrap();
        for _ in 0..3 {
            read(&channel).await;
        }
        write(&channel).await;
        channel.flush().await.unwrap();
        channel.unmap(0..4).await.unwrap();
        channel.write_zeroes(0..2).await.unwrap();
        channel.copy(8..9, 0).await.unwrap();
        let zeroes = channel.read(0..1).await.unwrap();
        channel.compare(0, zeroes).await.unwrap();
        let mut other = channel.alloc(512).await.unwrap();
        other.fill(1);
        channel.compare(0, other).await.unwrap_err();
        // Refused, and so not counted.
        channel.read(u64::MAX - 1..u64::MAX).await.unwrap_err();
        let stats = channel.stats();
        let of = |s: &IoStats| {
            [
                [s.reads, s.writes, s.flushes, s.unmaps, s.zeroings, s.copies, s.others],
                [
                    s.read_bytes,
                    s.written_bytes,
                    s.unmapped_bytes,
                    s.zeroed_bytes,
                    s.copied_bytes,
                    s.errors,
                    s.in_flight,
                ],
            ]
        };
        let expected = [[4, 1, 1, 1, 1, 1, 2], [3 * 4096 + 512, 4096, 2048, 1024, 512, 1, 0]];
        assert_eq!(of(&stats), expected);
        assert_eq!(disk.stats(), stats);
    });
}

/// A device's counters are those of all its channels, on all cores and through all descriptors, also of those that have gone.
#[test]
fn a_device_counts_what_its_channels_did() {
    let cores = Cores::new(3);
    let disk = cores.open("null");
    for core in 0..3 {
        cores.on(core, async {
            let channel = disk.channel().unwrap();
            for _ in 0..=core {
                read(&channel).await;
            }
            // The first goes, the others stay.
            if core > 0 {
                let kept = channel.clone();
                spawn_local(async move {
                    std::future::pending::<()>().await;
                    drop(kept);
                })
                .detach();
            }
        });
    }
    assert_eq!(disk.stats().reads, 1 + 2 + 3);
    // From a thread that is no reactor.
    let elsewhere = disk.clone();
    assert_eq!(std::thread::spawn(move || elsewhere.stats().read_bytes).join().unwrap(), 6 * 4096);
    drop(cores);
    assert_eq!(disk.stats().reads, 6, "when all channels have gone");
}

/// A reset forgets what was, on channels and the device, and not what is in flight.
#[test]
fn a_reset_leaves_what_is_in_flight() {
    let cores = Cores::new(1);
    let disk = cores.open("delay:10ms(null)");
    disk.set_timing(Timing::Histograms);
    let begin = |count| {
        for _ in 0..count {
            let disk = disk.clone();
            cores.start(0, async move { read(&disk.channel().unwrap()).await });
        }
        cores.settle();
    };
    begin(2);
    cores.pass(20 * MS, MS);
    assert_eq!((disk.stats().reads, disk.stats().in_flight), (2, 0));
    begin(3);
    cores.pass(5 * MS, MS);
    disk.reset_stats(ResetStats::All);
    assert_eq!(disk.stats(), IoStats::clone_with_in_flight(3));
    assert_eq!(disk.histograms().read.count(), 0);
    cores.pass(10 * MS, MS);
    let stats = disk.stats();
    assert_eq!((stats.reads, stats.read_bytes, stats.in_flight), (3, 3 * 4096, 0));
    assert_eq!((stats.latency.read.count, disk.histograms().read.count()), (3, 3));
}

trait InFlight {
    fn clone_with_in_flight(count: u64) -> Self;
}

impl InFlight for IoStats {
    fn clone_with_in_flight(count: u64) -> Self {
        let mut stats = Self::default();
        stats.in_flight = count;
        stats
    }
}

/// The extremes alone, in channels that live and those that have gone.
#[test]
fn extremes_are_forgotten_alone() {
    let cores = Cores::new(1);
    let disk = cores.open("delay:10ms(null)");
    disk.set_timing(Timing::Totals);
    let one = || {
        let disk = disk.clone();
        cores.start(0, async move { read(&disk.channel().unwrap()).await });
        cores.pass(20 * MS, MS);
    };
    let kept = cores.on(0, async { disk.channel().unwrap() });
    for is_kept in [true, false] {
        one();
        if !is_kept {
            break;
        }
        let before = disk.stats().latency.read;
        assert_eq!((before.min, before.max), (10 * MS, 10 * MS));
        disk.reset_stats(ResetStats::Extremes);
        let after = disk.stats().latency.read;
        assert_eq!((after.count, after.total), (before.count, before.total));
        assert_eq!((after.min, after.max), (Duration::ZERO, Duration::ZERO));
    }
    let stats = disk.stats().latency.read;
    assert_eq!((stats.count, stats.min, stats.max), (2, 10 * MS, 10 * MS));
    drop(kept);
    assert_eq!(disk.stats().latency.read, stats);
    disk.reset_stats(ResetStats::Extremes);
    assert_eq!((disk.stats().latency.read.count, disk.stats().latency.read.max), (2, Duration::ZERO));
}
