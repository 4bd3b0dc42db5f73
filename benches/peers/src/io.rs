//! The I/O workloads: random 4 KiB reads past the page cache at several depths, and the operation that does nothing.
//!
//! Reads give two rows each: how many a second, and what one costs in CPU time of the whole process, which is what is left to
//! compare where the disk and not the runtime sets the pace. The file is made once and stays in the temporary folder.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::{Idle, Measure, Runtime, median};

/// Bytes of one read.
pub const PAGE: usize = 4096;
/// Large enough that no cache of the disk's has all of it by chance, small enough to be made in a second.
const PAGES: u64 = 65_536;

/// Random places in the file: xorshift64, the same for every runtime.
pub struct Places(u64);

impl Places {
    /// The sequence of the task with this number.
    pub fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The byte at which the next read starts.
    pub fn next_at(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % PAGES * PAGE as u64
    }
}

/// The file to read, filled: holes would be read without the disk.
pub fn data_file() -> PathBuf {
    let path = std::env::temp_dir().join("reactor-peers-io.img");
    let len = PAGES * PAGE as u64;
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == len) {
        return path;
    }
    let mut file = File::create(&path).expect("the temporary folder takes a file");
    let mut places = Places::new(0);
    for _ in 0..PAGES / 256 {
        let block: Vec<u8> =
            (0..256 * PAGE / 8).flat_map(|_| (places.next_at() ^ places.0).to_le_bytes()).collect();
        file.write_all(&block).expect("the temporary folder has room for 256 MiB");
    }
    file.sync_all().expect("the file is on the disk");
    path
}

/// The file opened with O_DIRECT.
pub fn open_direct() -> File {
    let flags = OFlags::DIRECT.bits() as i32;
    OpenOptions::new().read(true).custom_flags(flags).open(data_file()).expect("the file opens with O_DIRECT")
}

/// A buffer with an aligned page in it, for runtimes that take any vector: the page begins at the number beside it.
pub fn page_within() -> (Vec<u8>, usize) {
    let buf = vec![0; 2 * PAGE];
    let start = buf.as_ptr().align_offset(PAGE);
    (buf, start)
}

/// CPU time of all threads of this process, workers of the kernel included.
fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Reads per second, in thousands, and CPU microseconds per read.
pub async fn reads_and_cpu(quick: bool, mut run: impl AsyncFnMut(u64), depth: u64) -> (f64, f64) {
    let (rounds, round) =
        if quick { (1, Duration::from_millis(100)) } else { (3, Duration::from_millis(400)) };
    let mut count = 16;
    loop {
        let start = Instant::now();
        run(count).await;
        let taken = start.elapsed();
        if taken >= round / 4 {
            count = (count as f64 * round.as_secs_f64() / taken.as_secs_f64()).max(1.0) as u64;
            break;
        }
        count *= 2;
    }
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (cpu, start) = (process_cpu_time(), Instant::now());
        run(count).await;
        let ios = (count * depth) as f64;
        rates.push(ios / 1e3 / start.elapsed().as_secs_f64());
        costs.push((process_cpu_time() - cpu).as_secs_f64() * 1e6 / ios);
    }
    (median(&mut rates), median(&mut costs))
}

/// `depth` tasks that each read one page after the other.
pub(crate) fn reads<R: Runtime>(measure: &Measure, idle: Idle, depth: u64) {
    let quick = measure.quick;
    let (rate, cost) = R::block_on(idle, async move {
        let file = Rc::new(R::open().await);
        let work = async move {
            let run = async |count: u64| {
                let tasks = (0..depth).map(|seed| {
                    let file = file.clone();
                    R::spawn(async move {
                        let (mut places, mut page) = (Places::new(seed), R::page());
                        for _ in 0..count {
                            page = R::read(&file, page, places.next_at()).await;
                        }
                    })
                });
                for task in tasks.collect::<Vec<_>>() {
                    task.await;
                }
            };
            reads_and_cpu(quick, run, depth).await
        };
        R::spawn(work).await
    });
    print_reads(measure, &measure.workload, idle, rate, cost);
}

/// The rows of one workload. A core that polls is always busy: what it costs says nothing.
pub fn print_reads(measure: &Measure, workload: &str, idle: Idle, rate: f64, cost: f64) {
    measure.print(workload, rate);
    if idle == Idle::Park {
        measure.print(&format!("{workload}_cpu"), cost);
    }
}

/// `depth` tasks that each go to the kernel and back for nothing; the value is for one of them.
pub(crate) fn nops<R: Runtime>(measure: &Measure, depth: u64) {
    let m = measure.clone();
    let ns = R::block_on(Idle::Poll, async move {
        let work = async move {
            m.ns_per_op(async |count| {
                let tasks = (0..depth).map(|_| R::spawn(R::nops(count)));
                for task in tasks.collect::<Vec<_>>() {
                    task.await;
                }
            })
            .await
        };
        R::spawn(work).await
    });
    measure.print(&measure.workload, ns / depth as f64);
}
