//! What was tried for sockets: sending without a copy, timeouts linked to operations in the kernel, and accepting with one entry for all.
//!
//! `cargo bench --bench net -- [--quick] [--json] [PART OF A ROW'S ID]...`. What is sent goes to a thread of this process over the
//! loopback; or, where `SINK` has an address, to whoever listens there and reads: in another network namespace, on another machine.
//!
//! A timeout is added to a receive that waits, is answered, and so is in time: by the wheel of the core (`time::timeout`) and, on a ring
//! written by hand, as a second entry linked to the first (`IORING_OP_LINK_TIMEOUT`), which is a second answer too. The wheel adds 23 ns,
//! the link 881 (medians of five passes), so that operations are not linked to timeouts here.
#![expect(unsafe_code, reason = "hands entries to the kernel")]

#[path = "net/accept.rs"]
mod accept;
#[allow(dead_code, reason = "each bench uses its part")]
mod harness;

use accept::{Ask, Cost, accepts};
use harness::{Bench, Measure, Target::*, median};
use io_uring::{IoUring, opcode, squeue::Flags, types};
use reactor::io::{IoBuf, ReadOwned, WriteOwned};
use reactor::net::{TcpStream, UnixStream};
use reactor::sys::dma::DmaPool;
use reactor::{LocalExecutor, Mode, time};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::time::Duration;

fn main() {
    let mut bench = Bench::from_args("net");
    bench.group("TCP sends: processor time of the process per MiB");
    for (len, [copied, lent, pooled], titles) in SENDS {
        bench.row(copied, titles[0], "µs", None, |m| sends(m, len, Way::Copied));
        bench.row(lent, titles[1], "µs", None, |m| sends(m, len, Way::Lent));
        bench.row(pooled, titles[2], "µs", None, |m| sends(m, len, Way::Pooled));
    }
    bench.group("A receive that waits, is answered, and has a timeout: above one that has none");
    bench.row("timeout_wheel", "time::timeout", "ns", None, |m| {
        above(m, |m| ours(m, true), |m| ours(m, false))
    });
    bench.row("timeout_linked", "linked, by hand", "ns", None, |m| {
        above(m, |m| raw(m, true), |m| raw(m, false))
    });
    bench.group("Connections that come one by one, or 64 together: the thread that accepts and closes them, per connection");
    for (ask, batch, time, calls, title) in ACCEPTS {
        bench.row(time, title, "µs", None, |m| accepts(m, ask, batch, Cost::Time));
        bench.row(calls, "", "system calls", None, |m| accepts(m, ask, batch, Cost::Calls));
    }
    bench.print();
}

const ACCEPTS: [(Ask, usize, &str, &str, &str); 4] = [
    (Ask::Once, 1, "accept_once_1", "accept_once_1_calls", "1, asked once"),
    (Ask::ForEach, 1, "accept_each_1", "accept_each_1_calls", "1, asked for each"),
    (Ask::Once, 64, "accept_once_64", "accept_once_64_calls", "64, asked once"),
    (Ask::ForEach, 64, "accept_each_64", "accept_each_64_calls", "64, asked for each"),
];

const SENDS: [(usize, [&str; 3], [&str; 3]); 5] = [
    (
        4 << 10,
        ["copied_4k", "lent_4k", "pooled_4k"],
        ["4 KiB, copied", "4 KiB, lent", "4 KiB, lent by the pool"],
    ),
    (
        16 << 10,
        ["copied_16k", "lent_16k", "pooled_16k"],
        ["16 KiB, copied", "16 KiB, lent", "16 KiB, lent by the pool"],
    ),
    (
        64 << 10,
        ["copied_64k", "lent_64k", "pooled_64k"],
        ["64 KiB, copied", "64 KiB, lent", "64 KiB, lent by the pool"],
    ),
    (
        256 << 10,
        ["copied_256k", "lent_256k", "pooled_256k"],
        ["256 KiB, copied", "256 KiB, lent", "256 KiB, lent by the pool"],
    ),
    (
        1 << 20,
        ["copied_1m", "lent_1m", "pooled_1m"],
        ["1 MiB, copied", "1 MiB, lent", "1 MiB, lent by the pool"],
    ),
];

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Copied,
    Lent,
    Pooled,
}

/// Buffers under way at once, where the next send need not wait for the last one's buffer.
const BUFFERS: usize = 8;

fn sends(measure: Measure, len: usize, way: Way) -> f64 {
    let sink = std::env::var("SINK").unwrap_or_else(|_| sink());
    LocalExecutor::new().expect("the core starts").block_on(async {
        let stream = TcpStream::connect(&sink).await.expect("the sink listens");
        let (bytes, most) = if measure.quick { (64 << 20, 128) } else { (256 << 20, 4096) };
        // Few: what is lent in small parts comes back when the peer acknowledges it, which he puts off by 40 ms where he can.
        let count = most.min(bytes / len);
        let bytes = count * len;
        let rounds = if measure.quick { 1 } else { 3 };
        let mut samples = Vec::new();
        for _ in 0..rounds {
            let before = cpu_time();
            match way {
                Way::Copied => {
                    let mut buf = vec![7; len];
                    for _ in 0..count {
                        let (result, back) = stream.write_all(buf).await;
                        result.expect("the sink reads");
                        buf = back;
                    }
                }
                Way::Lent => send_all(&stream, count, || vec![7; len]).await,
                Way::Pooled => {
                    let pool = DmaPool::local();
                    send_all(&stream, count, || pool.try_alloc(len).expect("the pool has room")).await;
                }
            }
            samples.push((cpu_time() - before).as_secs_f64() * 1e6 / (bytes as f64 / f64::from(1 << 20)));
        }
        median(&mut samples)
    })
}

async fn send_all<B: IoBuf>(stream: &TcpStream, count: usize, make: impl Fn() -> B) {
    let mut under_way = VecDeque::new();
    for at in 0..count {
        let buf = match at < BUFFERS {
            true => make(),
            false => under_way.pop_front().expect("eight are").await,
        };
        let (result, lent) = stream.send_zero_copy(buf).await;
        result.expect("the sink reads");
        under_way.push_back(lent);
    }
    for lent in under_way {
        lent.await;
    }
}

/// A thread that reads whatever comes.
fn sink() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback is there");
    let addr = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the bench connects");
        let mut buf = vec![0; 1 << 20];
        while stream.read(&mut buf).is_ok_and(|count| count > 0) {}
    });
    addr
}

fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// The median of the differences between neighbouring measurements: the machine's drift is in both.
fn above(measure: Measure, with: impl Fn(Measure) -> f64, without: impl Fn(Measure) -> f64) -> f64 {
    let rounds = if measure.quick { 1 } else { 7 };
    let mut differences: Vec<_> = (0..rounds).map(|_| with(measure) - without(measure)).collect();
    median(&mut differences)
}

/// Nanoseconds per byte that is sent to a receive which waits.
fn ours(measure: Measure, has_timeout: bool) -> f64 {
    let executor = LocalExecutor::new().expect("the core starts");
    executor.set_mode(Mode::Poll);
    executor.block_on(async move {
        let (one, other) = UnixStream::pair().expect("there are descriptors");
        measure
            .ns(async |count| {
                let send = async {
                    for _ in 0..count {
                        // The receive of the other future waits by now.
                        reactor::yield_now().await;
                        one.write_all(&b"."[..]).await.0.expect("the other side is there");
                    }
                };
                let receive = async {
                    let mut buf = vec![0; 1];
                    for _ in 0..count {
                        let read = other.read(buf);
                        let (result, back) = match has_timeout {
                            true => time::timeout(LIMIT, read).await.expect("in time"),
                            false => read.await,
                        };
                        assert_eq!(result.expect("the other side is there"), 1);
                        buf = back;
                    }
                };
                futures::future::join(receive, send).await;
            })
            .await
    })
}

const LIMIT: Duration = Duration::from_secs(10);
static LINKED: types::Timespec = types::Timespec::new().sec(10);

/// The same by hand: the receive, and once that waits the send.
fn raw(measure: Measure, has_timeout: bool) -> f64 {
    let (one, other) = std::os::unix::net::UnixStream::pair().expect("there are descriptors");
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(8)
        .expect("the kernel has io_uring, Linux 6.1 or later");
    let mut byte = [0; 1];
    let recv = opcode::Recv::new(types::Fd(other.as_raw_fd()), byte.as_mut_ptr(), 1).build();
    let recv = if has_timeout { recv.flags(Flags::IO_LINK) } else { recv };
    let limit = opcode::LinkTimeout::new(&LINKED).build();
    let send = opcode::Send::new(types::Fd(one.as_raw_fd()), b".".as_ptr(), 1).build();
    let answers = 2 + usize::from(has_timeout);
    measure.ns_blocking(|count| {
        for _ in 0..count {
            // SAFETY: `byte`, the static byte and the static time outlive the operations, whose answers the loop waits for.
            unsafe {
                ring.submission().push(&recv).expect("there is room");
                if has_timeout {
                    ring.submission().push(&limit).expect("there is room");
                }
            }
            ring.submit().expect("the kernel takes it");
            // SAFETY: as above.
            unsafe { ring.submission().push(&send) }.expect("there is room");
            ring.submit_and_wait(answers).expect("the kernel takes it");
            assert_eq!(ring.completion().count(), answers);
        }
    })
}
