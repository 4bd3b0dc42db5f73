//! The bare ring: a loop written by hand around the `io-uring` crate, with registered file, buffers and ring descriptor.
//!
//! No futures, no wakers, no task: what the kernel takes for the I/O itself.
#![expect(unsafe_code, reason = "entries with pointers that the kernel follows")]

use std::os::fd::AsRawFd;
use std::task::{Context, Poll, Waker};

use io_uring::squeue::{Entry, SubmissionQueue};
use io_uring::{CompletionQueue, EnterFlags, IoUring, Submitter, opcode, types};
use peers::{Idle, Measure, PAGE, Places, open_direct, print_reads, reads_and_cpu};

/// Runs the workload if it is one of these.
pub(crate) fn run(measure: &Measure) -> bool {
    match measure.workload.as_str() {
        "raw_1_poll" => reads(measure, Idle::Poll, 1),
        "raw_1" => reads(measure, Idle::Park, 1),
        "raw_32" => reads(measure, Idle::Park, 32),
        "raw_128" => reads(measure, Idle::Park, 128),
        "raw_nop_1" => nops(measure, 1),
        "raw_nop_32" => nops(measure, 32),
        "raw_nop_128" => nops(measure, 128),
        _ => return false,
    }
    true
}

fn ring() -> IoUring {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .build(256)
        .expect("the kernel has io_uring with DEFER_TASKRUN")
}

/// The ring's two queues, and the way to the kernel by its registered descriptor.
struct Raw<'a> {
    submitter: Submitter<'a>,
    submission: SubmissionQueue<'a>,
    completion: CompletionQueue<'a>,
}

impl<'a> Raw<'a> {
    fn new(ring: &'a mut IoUring) -> Self {
        let (mut submitter, submission, completion) = ring.split();
        submitter.register_ring_fd().expect("the ring's descriptor is registered");
        Self { submitter, submission, completion }
    }

    /// Keeps `depth` operations in flight until `count` for each of them are done: one system call per batch.
    fn pump(&mut self, idle: Idle, depth: u64, count: u64, mut entry: impl FnMut(u64) -> Entry) {
        let (want, mut left, mut in_flight) = (u32::from(idle == Idle::Park), depth * count, depth);
        for slot in 0..depth {
            // SAFETY: what the entry points to lives until the loop has seen its completion.
            unsafe { self.submission.push(&entry(slot)) }.expect("the queue holds 256");
        }
        left -= depth;
        while in_flight > 0 {
            self.submission.sync();
            let len = self.submission.len();
            if len > 0 || idle == Idle::Park || self.submission.taskrun() {
                let flags = EnterFlags::GETEVENTS.bits();
                // SAFETY: there is no argument, and each entry was pushed under the promise above.
                unsafe { self.submitter.enter::<()>(len as u32, want, flags, None) }
                    .expect("the kernel takes the batch");
            }
            self.completion.sync();
            for done in &mut self.completion {
                assert!(done.result() >= 0, "an operation failed: {}", done.result());
                in_flight -= 1;
                if left > 0 {
                    // SAFETY: as above.
                    unsafe { self.submission.push(&entry(done.user_data())) }.expect("the queue holds 256");
                    left -= 1;
                    in_flight += 1;
                }
            }
        }
    }
}

fn reads(measure: &Measure, idle: Idle, depth: u64) {
    let mut ring = ring();
    let file = open_direct();
    let memory = vec![0u8; PAGE * (depth as usize + 1)];
    let start = memory[memory.as_ptr().align_offset(PAGE)..].as_ptr().cast_mut();
    let all = libc::iovec { iov_base: start.cast(), iov_len: PAGE * depth as usize };
    // SAFETY: the memory outlives the ring's last operation.
    unsafe { ring.submitter().register_buffers(&[all]) }.expect("the buffers are registered");
    ring.submitter().register_files(&[file.as_raw_fd()]).expect("the file is registered");
    let mut raw = Raw::new(&mut ring);
    let mut places: Vec<_> = (0..depth).map(Places::new).collect();
    let run = async |count: u64| {
        raw.pump(idle, depth, count, |slot| {
            let to = start.wrapping_add(slot as usize * PAGE);
            opcode::ReadFixed::new(types::Fixed(0), to, PAGE as u32, 0)
                .offset(places[slot as usize].next_at())
                .build()
                .user_data(slot)
        });
    };
    let timed = std::pin::pin!(reads_and_cpu(measure.quick, run, depth));
    let Poll::Ready((rate, cost)) = timed.poll(&mut Context::from_waker(Waker::noop())) else {
        unreachable!("nothing in the loop waits")
    };
    print_reads(measure, &measure.workload, idle, rate, cost);
    drop(memory);
}

fn nops(measure: &Measure, depth: u64) {
    let mut ring = ring();
    let mut raw = Raw::new(&mut ring);
    let ns = measure.ns_per_op_blocking(|count| {
        raw.pump(Idle::Poll, depth, count, |slot| opcode::Nop::new().build().user_data(slot));
    });
    measure.print(&measure.workload, ns / depth as f64);
}
