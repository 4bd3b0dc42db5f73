//! What the driver's choices rest on: hand-written rings with and without a thing, alternating, and the median of the differences.

use super::harness::{Bench, Measure, Target, median};
use super::{nops, ring};
use io_uring::squeue::{Entry, Flags};
use io_uring::{EnterFlags, IoUring, opcode, types};
use reactor::{LocalExecutor, Mode, spawn_local, uring};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::io::Write;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

pub(super) fn rows(bench: &mut Bench) {
    bench.group("What a ring pays for, above one without it");
    bench.row(
        "pays_eventfd",
        "a NOP at depth 1: an eventfd that is not signalled",
        "ns",
        Target::None,
        eventfd_cost,
    );
    bench.row(
        "pays_count",
        "a NOP at depth 1: a timeout with a count, long gone",
        "ns",
        Target::None,
        count_cost,
    );
    bench.row(
        "pays_lookup",
        "a read at depth 32: the descriptor, not a table",
        "ns",
        Target::None,
        lookup_cost,
    );
    bench.row("pays_hint", "a TCP message that is there: the hint not to look", "ns", Target::None, |m| {
        hint_cost(m, true)
    });
    bench.row("pays_hint_in_vain", "one that is not there yet: the same", "ns", Target::None, |m| {
        hint_cost(m, false)
    });
    bench.group("A TCP message there and back on one core, as futures");
    bench.row("recv_own", "into a buffer of one's own", "ns", Target::None, |m| echo(m, false));
    bench.row("recv_pool", "by a stream, into a pool", "ns", Target::None, |m| echo(m, true));
    bench.group("Waking a thread that sleeps, and being woken");
    bench.row("wake_eventfd", "eventfd, in an epoll set", "ns", Target::None, by_eventfd);
    bench.row("wake_message", "MSG_RING, in the ring", "ns", Target::None, by_message);
}

/// The median of the differences between neighbouring measurements: the machine's drift is in both.
pub(super) fn above(
    measure: Measure,
    mut with: impl FnMut() -> f64,
    mut without: impl FnMut() -> f64,
) -> f64 {
    let rounds = if measure.quick { 1 } else { 5 };
    let mut differences: Vec<_> = (0..rounds).map(|_| with() - without()).collect();
    median(&mut differences)
}

fn eventfd_cost(measure: Measure) -> f64 {
    let event = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
    let mut known = ring();
    known.submitter().register_eventfd(event.as_raw_fd()).expect("the kernel takes it");
    known.completion().disable_eventfd();
    let mut plain = ring();
    above(measure, || nops(measure, &mut known, 1), || nops(measure, &mut plain, 1))
}

fn count_cost(measure: Measure) -> f64 {
    let (mut used, mut plain) = (ring(), ring());
    let soon = types::Timespec::new().nsec(1);
    let entry = opcode::Timeout::new(&soon).count(2).flags(types::TimeoutFlags::MULTISHOT).build();
    enter(&mut used, &[entry], 2);
    assert_eq!(used.completion().count(), 2, "it has gone off as often as asked");
    above(measure, || nops(measure, &mut used, 1), || nops(measure, &mut plain, 1))
}

/// Reads of `/dev/null`, which do nothing but look the file up.
fn lookup_cost(measure: Measure) -> f64 {
    let (file, mut ring, mut byte) = (std::fs::File::open("/dev/null").expect("it is there"), ring(), [0]);
    ring.submitter().register_files(&[file.as_raw_fd()]).expect("a table of files");
    let to = byte.as_mut_ptr();
    let by_fd = opcode::Read::new(types::Fd(file.as_raw_fd()), to, 1).build();
    let by_table = opcode::Read::new(types::Fixed(0), to, 1).build();
    let mut reads = |entry: &Entry| {
        let entries = vec![entry.clone(); 32];
        let ns = measure.ns_blocking(|count| {
            for _ in 0..count {
                enter(&mut ring, &entries, 0);
                assert_eq!(ring.completion().count(), 32);
            }
        });
        ns / 32.0
    };
    let mut differences = [0; 5].map(|_| reads(&by_fd) - reads(&by_table));
    median(&mut differences)
}

/// Hands the entries over and waits for so many answers.
fn enter(ring: &mut IoUring, entries: &[Entry], want: u32) {
    // SAFETY: the callers keep what the entries point to until they are answered.
    unsafe { ring.submission().push_multiple(entries) }.expect("there is room");
    let (len, flags) = (entries.len() as u32, EnterFlags::GETEVENTS.bits());
    // SAFETY: no argument is passed.
    unsafe { ring.submitter().enter::<()>(len, want, flags, None) }.expect("the kernel takes them");
}

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let one = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    one.set_nodelay(true).expect("TCP");
    (one, listener.accept().expect("it connected").0)
}

/// Receives that are asked for when the message is there, or before.
fn hint_cost(measure: Measure, is_there: bool) -> f64 {
    let ((mut peer, ours), mut ring, mut bytes) = (tcp(), ring(), [0; 64]);
    let plain = opcode::Recv::new(types::Fd(ours.as_raw_fd()), bytes.as_mut_ptr(), 64).build();
    let mut hinted = plain.clone();
    // SAFETY: an entry is 64 bytes, of which the third and fourth are `ioprio`; 1 is `IORING_RECVSEND_POLL_FIRST`.
    unsafe { std::ptr::from_mut(&mut hinted).cast::<u16>().add(1).write(1) };
    let mut receives = |entry: &Entry| {
        let mut send = || peer.write_all(&[1; 64]).expect("it is open");
        measure.ns_blocking(|count| {
            for _ in 0..count {
                if is_there {
                    send();
                }
                enter(&mut ring, std::slice::from_ref(entry), 0);
                if !is_there {
                    send();
                }
                if ring.completion().is_empty() {
                    enter(&mut ring, &[], 1);
                }
                assert_eq!(ring.completion().next().map(|answer| answer.result()), Some(64));
            }
        })
    };
    let mut differences = [0; 5].map(|_| receives(&hinted) - receives(&plain));
    median(&mut differences)
}

/// Nanoseconds per message that two tasks send to and fro.
fn echo(measure: Measure, by_pool: bool) -> f64 {
    let executor = LocalExecutor::new().expect("the core starts");
    executor.set_mode(Mode::Poll);
    executor.block_on(async move {
        let ring = uring::Ring::current().expect("the kernel has io_uring");
        let ns = measure.ns(async |count| {
            let (one, other) = tcp();
            let ends = [(one, true), (other, false)].map(|(end, begins)| {
                let fd = uring::Fd::from(OwnedFd::from(end));
                spawn_local(talk(ring.clone(), fd, begins, count, by_pool))
            });
            for end in ends {
                end.await.expect("it returns");
            }
        });
        ns.await / 2.0
    })
}

/// Exchanges `count` messages with the other end; one of the two begins.
async fn talk(ring: Rc<uring::Ring>, fd: uring::Fd, begins: bool, count: u64, by_pool: bool) {
    let pool = ring.recv_pool(16, 64).expect("there is memory");
    let mut stream = by_pool.then(|| ring.recv_stream(&fd, &pool));
    let (mut page, mut message) = (vec![0; 64], vec![1; 64]);
    for at in 0..2 * count {
        if (at % 2 == 0) == begins {
            let (sent, back) = ring.send(&fd, message, SendFlags::empty()).await;
            assert_eq!(sent.expect("it is open"), 64);
            message = back;
        } else if let Some(stream) = &mut stream {
            assert_eq!(stream.next().await.expect("it goes on").expect("it is open").len(), 64);
        } else {
            let (read, back) = ring.recv(&fd, page, RecvFlags::empty()).await;
            assert_eq!(read.expect("it is open"), 64);
            page = back;
        }
    }
}

/// There and back between two threads that write to each other's eventfd and sleep in an epoll set.
fn by_eventfd(measure: Measure) -> f64 {
    let events = [0; 2].map(|_| Arc::new(eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd")));
    let sleeper = |event: &OwnedFd| {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll set");
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&set, event, epoll::EventData::new_u64(0), flags).expect("an eventfd can be waited for");
        move || {
            let mut ready = [MaybeUninit::uninit(); 1];
            while matches!(epoll::wait(&set, &mut ready, None), Err(Errno::INTR)) {}
        }
    };
    let wake = |event: &OwnedFd| {
        rustix::io::write(event, &1_u64.to_ne_bytes()).expect("it is far from full");
    };
    let [here, there] = &events;
    let (ends, has_ended) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let sleep = sleeper(there);
            while has_ended.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                sleep();
                wake(here);
            }
        });
        let sleep = sleeper(here);
        let ns = measure.ns_blocking(|count| {
            for _ in 0..count {
                wake(there);
                sleep();
            }
        });
        drop(ends);
        wake(there);
        ns
    })
}

/// The same between two that send messages to each other's ring and sleep in their own, by one system call.
fn by_message(measure: Measure) -> f64 {
    let (name, of_other) = std::sync::mpsc::channel();
    let mut here = ring();
    let our_fd = here.as_raw_fd();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut there = ring();
            name.send(there.as_raw_fd()).expect("somebody waits");
            enter(&mut there, &[], 1);
            while !there.completion().any(|answer| answer.result() == END) {
                enter(&mut there, &[message(our_fd, GO)], 1);
            }
        });
        let their_fd = of_other.recv().expect("it starts");
        let ns = measure.ns_blocking(|count| {
            for _ in 0..count {
                enter(&mut here, &[message(their_fd, GO)], 1);
                assert_eq!(here.completion().next().map(|answer| answer.result()), Some(GO));
            }
        });
        enter(&mut here, &[message(their_fd, END)], 0);
        ns
    })
}

const GO: i32 = 1;
const END: i32 = 2;

/// Only the other ring hears of it.
fn message(to: i32, result: i32) -> Entry {
    opcode::MsgRingData::new(types::Fd(to), result, 0, None).build().flags(Flags::SKIP_SUCCESS)
}
