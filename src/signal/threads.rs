//! Which threads of this process could be given a signal: all that do not block it.

use super::{Error, SigSet, Signal};
use std::{fs, io};

/// The first thread, in the order of their numbers, that does not block one of the signals, as the error that it is.
///
/// A look at what is: the kernel's own threads for io_uring block everything, threads that start meanwhile inherit.
pub(super) fn first_that_takes_one_of(set: SigSet) -> io::Result<Option<Error>> {
    let mut threads: Vec<u32> = fs::read_dir("/proc/self/task")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    threads.sort_unstable();
    for tid in threads {
        // One that has ended since takes nothing.
        let Ok(status) = fs::read_to_string(format!("/proc/self/task/{tid}/status")) else { continue };
        if let Some(signal) = taken(&status, set) {
            let thread = field(&status, "Name:").unwrap_or_default().to_owned();
            return Ok(Some(Error::NotBlocked { signal, thread, tid }));
        }
    }
    Ok(None)
}

/// The first signal of `set` that the thread of this `/proc/…/status` does not block.
fn taken(status: &str, set: SigSet) -> Option<Signal> {
    let blocked = u64::from_str_radix(field(status, "SigBlk:")?, 16).ok()?;
    let taken = set.iter().map(|number| number as i32).find(|number| blocked & (1 << (number - 1)) == 0)?;
    Signal::from_named_raw(taken)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use nix::sys::signal::Signal as Number;

    #[test]
    fn a_thread_takes_what_its_status_does_not_block() {
        let status = "Name:\treactor_1\nSigPnd:\t0000000000000000\nSigBlk:\t0000000000000201\n";
        let of = |numbers: &[Number]| taken(status, numbers.iter().copied().collect());
        assert_eq!(of(&[Number::SIGHUP, Number::SIGUSR1]), None);
        assert_eq!(of(&[Number::SIGHUP, Number::SIGUSR2]), Some(Signal::USR2));
        assert_eq!(field(status, "Name:"), Some("reactor_1"));
    }
}
