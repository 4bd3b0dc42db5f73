//! Where the kernel's worker threads (io-wq), which run what would block, may run, and how many there may be.
//!
//! They are threads of this process. On the CPU of a polling core they would wait for a time slice, and the operations they
//! carry with them: SPDK's uring module reads a tmpfs at half the speed of its aio module for that reason.

#![expect(unsafe_code, reason = "registers a CPU mask, which the io-uring crate takes as a libc type only")]

use super::Config;
use io_uring::{IoUring, cqueue, squeue};
use rustix::io_uring::{IoringRegisterOp, io_uring_register};
use rustix::thread::{CpuSet, sched_getaffinity};
use std::os::fd::AsFd;

const WORD_BITS: usize = usize::BITS as usize;

/// Applies what `config` says of workers. Kernels that cannot, and cpusets that forbid it, leave the workers where they are:
/// slower, not wrong.
pub(super) fn confine<S: squeue::EntryMarker, C: cqueue::EntryMarker>(
    uring: &IoUring<S, C>,
    config: &Config,
) {
    let _ = uring.submitter().register_iowq_max_workers(&mut config.workers_max.clone());
    let cpus = if config.worker_cpus.is_empty() { others() } else { config.worker_cpus.clone() };
    let Some(last) = cpus.iter().max() else { return };
    let mut mask = vec![0usize; last / WORD_BITS + 1];
    for cpu in cpus {
        mask[cpu / WORD_BITS] |= 1 << (cpu % WORD_BITS);
    }
    // SAFETY: the kernel copies `size_of_val(mask)` bytes from `mask`, which outlives the call.
    let _ = unsafe {
        io_uring_register(
            uring.as_fd(),
            IoringRegisterOp::RegisterIowqAff,
            mask.as_ptr().cast(),
            size_of_val(&mask[..]) as u32,
        )
    };
}

/// All CPUs but the one that this thread is pinned to. Empty if it is pinned to none, or to the only one.
fn others() -> Vec<usize> {
    let Ok(mine) = sched_getaffinity(None) else { return Vec::new() };
    if mine.count() != 1 {
        return Vec::new();
    }
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    online_cpus(&online).filter(|cpu| *cpu >= CpuSet::MAX_CPU || !mine.is_set(*cpu)).collect()
}

/// Reads the kernel's list form, `0-3,8`.
fn online_cpus(list: &str) -> impl Iterator<Item = usize> + '_ {
    list.trim()
        .split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
        })
        .flatten()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_cpu_list_is_read() {
        assert_eq!(online_cpus("0-2,8\n").collect::<Vec<_>>(), [0, 1, 2, 8]);
        assert_eq!(online_cpus("").count(), 0);
    }
}
