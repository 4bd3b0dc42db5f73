//! Which CPUs the calling thread may run on, and tying it to one.
//!
//! Pinning goes through `core_affinity` and is read back: a container or a cpuset may accept the call and keep the
//! thread elsewhere.

use super::{CPU_MAX, CpuSet, online};
use rustix::thread::sched_getaffinity;
use std::io;

/// Why a thread was not pinned. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// This machine has no such CPU, or it is offline.
    #[error("cannot pin to core {cpu}: it is not online on this machine, which has cores {online}")]
    NotOnline {
        /// The core asked for.
        cpu: usize,
        /// What there is.
        online: CpuSet,
    },
    /// The kernel refused, or accepted and kept the thread elsewhere.
    #[error(
        "the kernel refused to pin to core {cpu}, this thread may run on {allowed}: choose one of these, widen the \
         cpuset of this process or container, or run without pinning"
    )]
    Refused {
        /// The core asked for.
        cpu: usize,
        /// Where the thread may run.
        allowed: CpuSet,
    },
    /// What there is could not be read, so nothing can be said about it.
    #[error(
        "cannot read which cores there are, so pinning to core {cpu} cannot be checked (raise `ulimit -n` if it says too \
         many open files): {source}"
    )]
    Unknown {
        /// The core asked for.
        cpu: usize,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// The CPUs that the calling thread may run on: before any pinning, those of the process.
///
/// # Errors
/// What `sched_getaffinity` answers; `EINVAL` on a machine with more than 1,024 CPUs.
pub fn allowed() -> io::Result<CpuSet> {
    let mask = sched_getaffinity(None)?;
    let cpus = (0..=CPU_MAX).filter(|&cpu| mask.is_set(cpu)).collect();
    CpuSet::from_ascending(cpus).ok_or_else(|| io::Error::other("the kernel reports an empty affinity mask"))
}

/// Ties the calling thread to `cpu`, and reads back that it is so.
///
/// # Errors
/// [`PinError`]; the thread then keeps the affinity that the kernel left it.
pub fn pin(cpu: usize) -> Result<(), PinError> {
    let unknown = |source| PinError::Unknown { cpu, source };
    // core_affinity panics on a number that its fixed mask cannot hold.
    let is_accepted = cpu <= CPU_MAX && core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    if is_accepted && allowed().map_err(unknown)?.iter().eq([cpu]) {
        return Ok(());
    }
    let online = online().map_err(unknown)?;
    match online.contains(cpu) {
        true => Err(PinError::Refused { cpu, allowed: allowed().map_err(unknown)? }),
        false => Err(PinError::NotOnline { cpu, online }),
    }
}

/// Ties the calling thread to `cpus`, whichever of them the scheduler likes.
///
/// # Errors
/// What `sched_setaffinity` answers: `EINVAL` if the thread may run on none of them.
pub(crate) fn confine(cpus: &[usize]) -> io::Result<()> {
    let mut mask = rustix::thread::CpuSet::new();
    cpus.iter().filter(|&&cpu| cpu <= CPU_MAX).for_each(|&cpu| mask.set(cpu));
    Ok(rustix::thread::sched_setaffinity(None, &mask)?)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_pinned_thread_may_run_nowhere_else() {
        for cpu in allowed().expect("affinity is readable").iter() {
            let after = thread::spawn(move || pin(cpu).map(|()| allowed())).join().expect("no panic");
            let after = after.expect("pinned").expect("affinity is readable");
            assert_eq!(after.iter().collect::<Vec<_>>(), [cpu]);
        }
    }

    #[test]
    fn pinning_to_a_core_that_is_not_there_says_which_there_are() {
        for cpu in [CPU_MAX, CPU_MAX + 1, usize::MAX] {
            let refusal = pin(cpu).expect_err("no such core").to_string();
            assert!(refusal.starts_with(&format!("cannot pin to core {cpu}: it is not online")), "{refusal}");
        }
    }
}
