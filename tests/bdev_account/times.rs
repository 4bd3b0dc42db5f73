//! How long I/O takes, by virtual time.

use super::{Cores, MS, page_blocks, read};
use reactor::bdev::modules::{Delay, Delays};
use reactor::bdev::{self, Access, Timing};
use std::io::Write;

/// Off in memory and for what only hands on, on for what leaves the machine's memory.
#[test]
fn devices_begin_as_their_modules_say() {
    let cores = Cores::new(1);
    for spec in ["null", "ram:1M", "delay:1ms(ram:1M)"] {
        assert_eq!(cores.open(spec).timing(), Timing::Off, "{spec}");
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[0; 1 << 16]).unwrap();
    reactor::LocalExecutor::new().unwrap().block_on(async {
        let disk = bdev::open(&format!("file:{}", file.path().display()), Access::ReadWrite).await.unwrap();
        assert_eq!(disk.timing(), Timing::Totals);
        let channel = disk.channel().unwrap();
        channel.read(0..page_blocks(&channel)).await.unwrap();
        channel.flush().await.unwrap();
        let latency = disk.stats().latency;
        assert_eq!((latency.read.count, latency.flush.count, latency.write.count), (1, 1, 0));
        assert!(!latency.read.min.is_zero() && latency.read.min == latency.read.max, "{latency:?}");
    });
}

/// What is off counts nothing; switched on while I/O is in flight, it counts what begins from then on.
#[test]
fn times_are_kept_while_that_is_on() {
    let cores = Cores::new(1);
    let disk = cores.open("delay:2ms(null)");
    let one = || {
        let disk = disk.clone();
        cores.start(0, async move { read(&disk.channel().unwrap()).await });
        cores.settle();
    };
    one();
    cores.pass(MS, MS);
    disk.set_timing(Timing::Totals);
    cores.pass(MS, MS);
    assert_eq!((disk.stats().reads, disk.stats().latency.read.count), (1, 0));
    one();
    cores.pass(2 * MS, MS);
    let read = disk.stats().latency.read;
    assert_eq!(
        (read.count, read.total, read.min, read.max, read.mean()),
        (1, 2 * MS, 2 * MS, 2 * MS, 2 * MS)
    );
    assert_eq!(disk.histograms().read.count(), 0, "only totals");

    disk.set_timing(Timing::Histograms);
    disk.module_as::<Delay>().unwrap().set(Delays::of(reactor::bdev::modules::Latency::fixed(6 * MS)));
    one();
    cores.pass(6 * MS, MS);
    let read = disk.stats().latency.read;
    assert_eq!((read.count, read.total, read.min, read.max), (2, 8 * MS, 2 * MS, 6 * MS));
    let histogram = disk.histograms().read;
    let (range, count) = histogram.buckets().next().unwrap();
    assert!(count == 1 && range.contains(&(6 * MS)), "{range:?}");

    disk.set_timing(Timing::Off);
    one();
    cores.pass(6 * MS, MS);
    assert_eq!((disk.stats().latency.read.count, disk.histograms().read.count()), (2, 1));
}

/// The time at the door counts: a device that is held is slow to who waits.
#[test]
fn waiting_to_be_let_in_is_part_of_the_time() {
    let cores = Cores::new(1);
    let disk = cores.open("delay:2ms(null)");
    disk.set_timing(Timing::Histograms);
    let held = cores.on(0, disk.quiesce()).unwrap();
    let reader = disk.clone();
    cores.start(0, async move {
        let channel = reader.channel().unwrap();
        let data = channel.alloc(4096).await.unwrap();
        channel.write(0, data).await.unwrap();
        // By the way of lists, and of modules above.
        let bufs = vec![channel.alloc(512).await.unwrap(), channel.alloc(512).await.unwrap()];
        channel.read_vectored(0..2, bufs).await.unwrap();
    });
    cores.pass(5 * MS, MS);
    drop(held);
    cores.pass(10 * MS, MS);
    let latency = disk.stats().latency;
    assert_eq!((latency.write.count, latency.write.max), (1, 7 * MS));
    assert_eq!((latency.read.count, latency.read.max), (1, 2 * MS));
}

/// An I/O that the layer splits is one, as long as its parts together; one whose caller goes is none.
#[test]
fn an_io_counts_once_if_it_is_answered() {
    let cores = Cores::new(1);
    let disk = cores.open("delay:2ms(ram:8M)");
    disk.set_timing(Timing::Totals);
    let splits = disk.clone();
    cores.start(0, async move {
        let channel = splits.channel().unwrap();
        channel.write_zeroes(0..8192).await.unwrap();
        let expected = channel.read(0..8).await.unwrap();
        channel.compare(0, expected).await.unwrap();
    });
    cores.pass(20 * MS, MS);
    let (stats, latency) = (disk.stats(), disk.stats().latency);
    assert_eq!((stats.zeroings, latency.unmap.count, latency.write.count), (1, 1, 0));
    assert_eq!((stats.others, latency.other.count, latency.read.count), (1, 1, 1));
    let gone = disk.clone();
    cores.start(0, async move {
        let channel = gone.channel().unwrap();
        assert!(reactor::time::timeout(MS, read(&channel)).await.is_err());
    });
    cores.pass(5 * MS, MS);
    assert_eq!((disk.stats().dropped, disk.stats().latency.read.count), (1, 1));
}
