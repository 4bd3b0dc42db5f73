//! The block layer's rows: 4 KiB random reads and writes on the null and the RAM device, what a second core adds, that an I/O
//! allocates nothing, not even where buffers are so few that it has to wait for one, how devices scale with their members, and what
//! memory a channel takes.
//!
//! `cargo bench --bench bdev -- [--quick] [--json] [PART OF A ROW'S ID]...`. The targets are what SPDK's `bdevperf` gives, 1.2
//! times that for the RAM device.

#[path = "bdev/allocations.rs"]
mod allocations;
#[path = "bdev/copies.rs"]
mod copies;
#[allow(dead_code, reason = "each bench uses its part")]
mod harness;
#[path = "bdev/idle.rs"]
mod idle;
#[path = "harness/memory.rs"]
mod memory;
#[path = "bdev/scaling.rs"]
mod scaling;
#[path = "bdev/turns.rs"]
mod turns;
#[path = "bdev/two_cores.rs"]
mod two_cores;

use allocations::{
    allocations, detour_allocations, vectored_allocations, zeroes_allocations, zone_allocations,
};
use harness::{Bench, Measure, Target::*};
use reactor::{
    LocalExecutor, Mode,
    bdev::{self, Access, Channel, Op, Timing},
    spawn_local, yield_now,
};
use std::{hint::black_box, ops::Range, path::Path};
use two_cores::two_cores_over_one;

const IO_BYTES: usize = 4096;

fn main() {
    let mut bench = Bench::from_args("bdev");
    bench.group("null device");
    bench.row("null_1", "4 KiB reads, depth 1", "M/s", AtLeast(14.8), |m| reads(m, "null:1G", 1));
    bench.row("null_32", "4 KiB reads, depth 32", "M/s", AtLeast(22.1), |m| reads(m, "null:1G", 32));
    bench.row("null_128", "4 KiB reads, depth 128", "M/s", AtLeast(24.0), |m| reads(m, "null:1G", 128));
    let has_two_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    if has_two_cores {
        bench.row("null_two_cores", "two cores over one, depth 32", "×", AtLeast(1.95), |m| {
            two_cores_over_one(m, "null:1G")
        });
    }
    bench.row("null_allocations", "allocations per I/O", "", AtMost(0.0), |m| allocations(m, "null:1G"));

    bench.group("Stacks on null devices, depth 32");
    // SPDK's bdevperf with as many passthru modules.
    for (id, title, layers, target) in [
        ("passthru_1", "one layer that hands on", 1, 13.4),
        ("passthru_2", "two layers", 2, 8.9),
        ("passthru_4", "four layers", 4, 5.0),
    ] {
        bench.row(id, title, "M/s", AtLeast(target), |m| reads(m, &layered(layers), 32));
    }
    bench.row("layer", "each of four layers", "ns", AtMost(35.0), |m| {
        (1e3 / reads(m, &layered(4), 32) - 1e3 / reads(m, "null:1G", 32)) / 4.0
    });
    for (id, title, members) in [("stripe_2", "stripe of two", 2), ("stripe_4", "stripe of four", 4)] {
        bench.row(id, title, "M/s", None, |m| reads(m, &striped("64K", members), 32));
    }
    bench.row("stripe_pieces", "stripe of two, each I/O in two pieces", "M/s", None, |m| {
        reads(m, &striped("2K", 2), 32)
    });
    for (id, title, device) in [
        ("passthru_allocations", "allocations per I/O, four layers", layered(4)),
        ("stripe_allocations", "stripe", striped("64K", 4)),
        ("pieces_allocations", "stripe, each I/O in two pieces", striped("2K", 2)),
        ("concat_allocations", "concat, every second I/O across its middle", CONCAT.to_owned()),
        ("delay_allocations", "delay, error and part without effect", MIXED.to_owned()),
        ("delayed_allocations", "delay of a microsecond", "delay:avg=1us(null:1G)".to_owned()),
        ("mirror_allocations", "mirror of two", "mirror(ram:8M,ram:8M)".to_owned()),
        ("mirror_4_allocations", "mirror of four", format!("mirror({})", ["null:1G"; 4].join(","))),
        ("verify_allocations", "verify", "verify(ram:8M)".to_owned()),
        ("all_allocations", "all that can stand on each other", ALL.to_owned()),
    ] {
        bench.row(id, title, "", AtMost(0.0), |m| allocations(m, &device));
    }
    bench.row("zoned_allocations", "zoned: appends, reads, resets", "", AtMost(0.0), |m| {
        zone_allocations(m, "zoned:zone=64K,empty=true(ram:8M)")
    });
    #[cfg(feature = "crypt")]
    bench.row("crypt_allocations", "crypt", "", AtMost(0.0), |m| {
        let key = tempfile::NamedTempFile::new().expect("there is room for a key");
        std::fs::write(key.path(), (0..64).collect::<Vec<u8>>()).expect("there is room for a key");
        allocations(m, &format!("crypt:key_file={}(ram:8M)", key.path().display()))
    });

    // In I/Os per time of one member for one I/O, which it serves one at a time.
    bench.group("Members that serve one I/O at a time, depth 32, virtual time");
    for (id, title, members, target) in [
        ("scale_stripe_1", "reads of a stripe of one", 1, 1.0),
        ("scale_stripe_2", "of two", 2, 1.9),
        ("scale_stripe_4", "of four", 4, 3.6),
    ] {
        bench.row(id, title, "×", AtLeast(target), |m| scaling::stripe_reads(m, members));
    }
    for (id, title, members, op, target) in [
        ("scale_mirror_2", "reads of a mirror of two", 2, Op::Read, 2.0),
        ("scale_mirror_4", "of four", 4, Op::Read, 4.0),
        ("scale_mirror_writes", "writes to a mirror of four", 4, Op::Write, 1.0),
    ] {
        bench.row(id, title, "×", AtLeast(target), |m| scaling::mirror(m, members, op));
    }

    bench.group("RAM device");
    bench.row("ram_1", "4 KiB random reads, depth 1", "M/s", AtLeast(2.64), |m| reads(m, "ram:64M", 1));
    bench.row("ram_32", "4 KiB random reads, depth 32", "M/s", AtLeast(2.82), |m| reads(m, "ram:64M", 32));
    bench.row("ram_128", "4 KiB random reads, depth 128", "M/s", AtLeast(2.64), |m| reads(m, "ram:64M", 128));
    // What the copies alone take of these reads: no RAM device is faster.
    for (id, title, depth) in [
        ("ram_1_floor", "the copies of depth 1 alone, by memcpy", 1),
        ("ram_32_floor", "those of depth 32", 32),
        ("ram_128_floor", "those of depth 128", 128),
    ] {
        bench.row(id, title, "M/s", None, |m| copies::reads(m, 64 << 20, depth));
    }
    bench.row("ram_write_32", "4 KiB random writes, depth 32", "M/s", AtLeast(3.82), |m| {
        writes(m, "ram:64M", 32)
    });
    if has_two_cores {
        bench.row("ram_two_cores", "two cores over one, random reads, depth 32", "×", None, |m| {
            two_cores_over_one(m, "ram:64M")
        });
    }
    bench.row("ram_allocations", "allocations per I/O", "", AtMost(0.0), |m| allocations(m, "ram:64M"));

    bench.row("vectored_allocations", "vectored: beyond the caller's list", "", AtMost(0.0), |m| {
        vectored_allocations(m, "ram:64M")
    });
    bench.row("zeroes_allocations", "write zeroes: allocations per I/O", "", AtMost(0.0), |m| {
        zeroes_allocations(m, "ram:64M")
    });
    bench.row("detour_allocations", "by the layer's hand: allocations per I/O", "", AtMost(0.0), |m| {
        detour_allocations(m, "ram:64M")
    });

    bench.group("File on tmpfs");
    // SPDK's aio module gives 775, its uring module 318.
    for (id, title, depth, timing, target) in [
        ("tmpfs_1", "4 KiB random reads, depth 1", 1, Timing::Totals, None),
        ("tmpfs_1_untimed", "their latencies not measured", 1, Timing::Off, None),
        ("tmpfs_32", "depth 32", 32, Timing::Totals, AtLeast(700.0)),
        ("tmpfs_32_untimed", "their latencies not measured", 32, Timing::Off, None),
        ("tmpfs_128", "depth 128", 128, Timing::Totals, None),
    ] {
        bench.row(id, title, "k/s", target, |m| on_tmpfs(m, depth, timing));
    }
    bench.row("file_allocations", "allocations per I/O", "", AtMost(0.0), |m| {
        let file = tmpfs_file();
        allocations(m, &spec_of(&file))
    });
    bench.row("file_vectored_allocations", "vectored: beyond the caller's list", "", AtMost(0.0), |m| {
        let file = tmpfs_file();
        vectored_allocations(m, &spec_of(&file))
    });
    // The file system under it cannot: by writes of the layer's.
    bench.row("file_zeroes_allocations", "write zeroes: allocations per I/O", "", AtMost(0.0), |m| {
        let file = tmpfs_file();
        zeroes_allocations(m, &spec_of(&file))
    });

    bench.group("Buffers");
    bench.row("dry", "8 tasks take turns with one buffer, each", "ns", None, turns::dry_turns);
    bench.row("dry_allocations", "allocations per turn", "", AtMost(0.0), turns::dry_allocations);

    bench.group("Channels");
    bench.row("channel", "get + put a core's channel", "ns", AtMost(10.0), get_and_put);
    for (id, title, used, device) in [
        ("channel_bytes", "memory per idle channel, null", "used_channel_bytes", "null:1M"),
        ("channel_bytes_ram", "ram", "used_channel_bytes_ram", "ram:1M"),
        ("channel_bytes_stack", "passthru over null", "used_channel_bytes_stack", "passthru(null:1M)"),
        ("channel_bytes_stripe", "stripe of two", "used_channel_bytes_stripe", "stripe(null:1M,null:1M)"),
        ("channel_bytes_mirror", "mirror of two", "used_channel_bytes_mirror", "mirror(null:1M,null:1M)"),
    ] {
        bench.row(id, title, "bytes", None, |_| idle::bytes_per_channel(device));
        bench.row(used, "that was used", "bytes", None, |_| idle::bytes_per_used_channel(device));
    }
    bench.row("channel_bytes_file", "file", "bytes", None, |_| {
        let file = tmpfs_file();
        idle::bytes_per_channel(&spec_of(&file))
    });
    bench.print();
}

fn on_core<T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    let executor = LocalExecutor::new().expect("the core starts");
    executor.set_mode(Mode::Interrupt);
    executor.block_on(async { spawn_local(work).await.expect("the work ends") })
}

/// The null device under so many layers.
fn layered(layers: usize) -> String {
    format!("{}null:1G{}", "passthru(".repeat(layers), ")".repeat(layers))
}

/// A stripe of null devices.
fn striped(chunk: &str, members: usize) -> String {
    format!("stripe:chunk={chunk}({})", vec!["null:1G"; members].join(","))
}

/// Two I/Os long, the border in the middle of the second.
const CONCAT: &str = "concat(null:6K,null:2K)";
const ALL: &str =
    "verify(mirror(delay:0(stripe(ram:4M,ram:4M)),error(concat(ram:4M,part:blocks=0..8192(ram:8M)))))";
const MIXED: &str = "delay:0(error(part:blocks=7..100000(null:1G)))";

async fn open(device: &str) -> bdev::Descriptor {
    bdev::open(device, Access::ReadWrite).await.expect("the device opens")
}

/// Where the I/Os of one task go.
struct Places {
    random: u64,
    count: u64,
    blocks: u64,
}

fn blocks_per_io(channel: &Channel) -> u64 {
    IO_BYTES as u64 / u64::from(channel.geometry().block_size)
}

impl Places {
    fn new(channel: &Channel, seed: u64) -> Self {
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            count: channel.geometry().len_bytes() / IO_BYTES as u64,
            blocks: blocks_per_io(channel),
        }
    }

    fn next(&mut self) -> Range<u64> {
        // xorshift64: nothing that a device would notice is wrong with it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let place = ((u128::from(self.random) * u128::from(self.count)) >> 64) as u64;
        place * self.blocks..(place + 1) * self.blocks
    }
}

/// One task of `depth`: reads into one buffer again and again. A device that answers at once shares the core by yielding, as
/// `bdevperf` does by completing from its poller.
async fn read(channel: Channel, seed: u64, count: u64, is_alone: bool) {
    let mut places = Places::new(&channel, seed);
    let mut buf = channel.try_alloc(IO_BYTES).expect("the pool has a buffer");
    for _ in 0..count {
        buf = channel.read_into(places.next(), buf).await.expect("the device reads");
        if !is_alone {
            yield_now().await;
        }
    }
    black_box(buf);
}

/// Memory that was never written is one page of zeroes, always in the cache.
async fn fill(channel: &Channel) {
    let geometry = channel.geometry();
    if !geometry.keeps_data {
        return;
    }
    let mut data = channel.try_alloc(IO_BYTES).expect("the pool has a buffer");
    data.fill(1);
    let data = data.freeze();
    for lba in (0..geometry.block_count).step_by(blocks_per_io(channel) as usize) {
        channel.write(lba, data.clone()).await.expect("the device writes");
    }
}

/// A file in memory where the system has such a place: what the path through the ring takes, without a disk.
fn tmpfs_file() -> tempfile::NamedTempFile {
    let tmpfs = Path::new("/dev/shm");
    let dir = if tmpfs.is_dir() { tmpfs.to_owned() } else { std::env::temp_dir() };
    let file = tempfile::NamedTempFile::new_in(dir).expect("there is room for a file");
    file.as_file().set_len(64 << 20).expect("there is room for 64 MiB");
    file
}

fn spec_of(file: &tempfile::NamedTempFile) -> String {
    format!("file:{}", file.path().display())
}

/// Thousand I/Os per second.
fn on_tmpfs(measure: Measure, depth: u64, timing: Timing) -> f64 {
    let file = tmpfs_file();
    1e3 * reads_with(measure, &spec_of(&file), depth, timing)
}

/// Million I/Os per second.
fn reads(measure: Measure, device: &str, depth: u64) -> f64 {
    reads_with(measure, device, depth, Timing::Off)
}

fn reads_with(measure: Measure, device: &str, depth: u64, timing: Timing) -> f64 {
    let device = device.to_owned();
    on_core(async move {
        let disk = open(&device).await;
        disk.set_timing(timing);
        let channel = disk.channel().expect("the core has a channel");
        fill(&channel).await;
        let ns = measure.ns(async |count| {
            let tasks = (0..depth).map(|seed| spawn_local(read(channel.clone(), seed, count, depth == 1)));
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("it returns");
            }
        });
        1e3 * depth as f64 / ns.await
    })
}

/// One task of `depth`: each write takes a buffer from the pool and gives it back.
async fn write(channel: Channel, seed: u64, count: u64) {
    let mut places = Places::new(&channel, seed);
    for _ in 0..count {
        let data = channel.alloc(IO_BYTES).await.expect("the pool has a buffer");
        channel.write(places.next().start, data).await.expect("the device writes");
        yield_now().await;
    }
}

/// Million I/Os per second.
fn writes(measure: Measure, device: &'static str, depth: u64) -> f64 {
    on_core(async move {
        let disk = open(device).await;
        let channel = disk.channel().expect("the core has a channel");
        fill(&channel).await;
        let ns = measure.ns(async |count| {
            let tasks = (0..depth).map(|seed| spawn_local(write(channel.clone(), seed, count)));
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("it returns");
            }
        });
        1e3 * depth as f64 / ns.await
    })
}

fn get_and_put(measure: Measure) -> f64 {
    on_core(async move {
        let disk = open("null:1G").await;
        let held = disk.channel().expect("the core has a channel");
        let ns = measure.ns(async |count| {
            for _ in 0..count {
                drop(black_box(disk.channel().expect("the core has a channel")));
            }
        });
        let ns = ns.await;
        drop(held);
        ns
    })
}
