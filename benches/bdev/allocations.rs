//! How many allocations I/Os make, after the first ones: none. Each is asserted, and so a test as well.

use super::harness::Measure;
use super::memory::allocations_by;
use super::{IO_BYTES, Places, on_core, open};
use reactor::bdev::{Channel, ZoneAction};
use reactor::sys::dma::DmaBuf;
use std::cell::Cell;

/// Reads and writes.
pub fn allocations(measure: Measure, device: &str) -> f64 {
    allocations_of(measure, device, "reads and writes", async |channel, places| {
        // From the pool and back to it, with the write that follows.
        let buf = channel.read(places.next()).await.expect("the device reads");
        channel.write(places.next().start, buf).await.expect("the device writes");
    })
}

/// Reads into lists of two and writes of lists of two. The list of a read comes back and is used again; that of a write is one
/// allocation of the caller's, which is taken off.
pub fn vectored_allocations(measure: Measure, device: &str) -> f64 {
    let lists = Cell::new(Vec::new());
    let (count, ios) = allocations_with(measure, device, async move |channel, places| {
        let buf = || channel.try_alloc(IO_BYTES).expect("the pool has a buffer");
        let mut two = || {
            let one = places.next();
            let len = 2 * (one.end - one.start);
            let start = one.start.min(channel.geometry().block_count - len);
            start..start + len
        };
        let mut bufs: Vec<DmaBuf> = lists.take();
        while bufs.len() < 2 {
            bufs.push(buf());
        }
        lists.set(channel.read_vectored(two(), bufs).await.expect("the device reads"));
        let list = (0..2).map(|_| buf().freeze()).collect();
        channel.write_vectored(two().start, list).await.expect("the device writes");
    });
    // The lists of the measured writes.
    let count = count - ios;
    assert_eq!(count, 0, "{device} allocates in {ios} vectored reads and writes");
    count as f64 / ios as f64
}

/// Appends, zone after zone: each is emptied when it is full.
pub fn zone_allocations(measure: Measure, device: &str) -> f64 {
    let written = Cell::new(0);
    allocations_of(measure, device, "appends to zones and reads", async move |channel, places| {
        let blocks = channel.geometry().zones.expect("it has zones").blocks;
        let data = channel.try_alloc(IO_BYTES).expect("the pool has a buffer");
        let first = channel.zone_append(0, data).await.expect("the zone has room");
        let io = places.next();
        written.set(first + (io.end - io.start));
        channel.read(first..written.get()).await.expect("the device reads");
        if written.get() == blocks {
            channel.zone_manage(0, ZoneAction::Reset).await.expect("a zone can be emptied");
        }
    })
}

pub fn zeroes_allocations(measure: Measure, device: &str) -> f64 {
    allocations_of(measure, device, "writes of zeroes", async |channel, places| {
        channel.write_zeroes(places.next()).await.expect("the device writes");
    })
}

/// Comparisons, copies, lists that are too long: what the layer does itself.
pub fn detour_allocations(measure: Measure, device: &str) -> f64 {
    allocations_of(measure, device, "emulated operations", async |channel, places| {
        let range = places.next();
        let data = channel.read(range.clone()).await.expect("the device reads").freeze();
        channel.compare(range.start, data.clone()).await.expect("it is what was read");
        channel.compare_and_write(range.start, data.clone(), data).await.expect("it is what was read");
        channel.copy(range, places.next().start).await.expect("the device copies");
    })
}

/// Asserted, and so a test as well.
fn allocations_of(
    measure: Measure,
    device: &str,
    what: &str,
    io: impl AsyncFn(&Channel, &mut Places) + 'static,
) -> f64 {
    let (count, ios) = allocations_with(measure, device, io);
    assert_eq!(count, 0, "{device} allocates in {ios} {what}");
    count as f64 / ios as f64
}

/// How many allocations so many I/Os make, after the first ones, which fill the core's pools.
fn allocations_with(
    measure: Measure,
    device: &str,
    io: impl AsyncFn(&Channel, &mut Places) + 'static,
) -> (u64, u64) {
    let ios = if measure.quick { 1_000 } else { 100_000 };
    let name = device.to_owned();
    let count = on_core(async move {
        let disk = open(&name).await;
        let channel = disk.channel().expect("the core has a channel");
        let mut places = Places::new(&channel, 1);
        // More than a task's budget, so that some have waited.
        for _ in 0..300 {
            io(&channel, &mut places).await;
        }
        allocations_by(async || {
            for _ in 0..ios {
                io(&channel, &mut places).await;
            }
        })
        .await
    });
    (count, ios)
}
