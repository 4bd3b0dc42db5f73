//! The processor's time stamp counter: whether it may be trusted, what it reads, and how fast it runs.
//!
//! Used by `clock` alone. A counter that is not invariant, or that the kernel itself does not use, is not
//! trusted.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "rdtsc and cpuid are only reachable through core::arch")
)]

use std::sync::OnceLock;
#[cfg(target_arch = "x86_64")]
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// What relates the counter to time, found once per process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calibration {
    /// The reading that counts as zero.
    pub(super) origin: u64,
    /// Nanoseconds per tick, with [`SCALE_BITS`] binary places.
    pub(super) scale: u64,
}

/// Binary places of [`Calibration::scale`]: at 5 GHz one unit of the last place is 1.2 parts in a thousand
/// million.
pub(super) const SCALE_BITS: u32 = 32;

/// How long the counter is compared with `CLOCK_MONOTONIC`. On a busy virtual EPYC ten rates found in 2 ms
/// lay within 0.7 parts in a million, in 1 ms within 1.1, in 20 ms within 0.1.
#[cfg(target_arch = "x86_64")]
const WINDOW: Duration = Duration::from_millis(2);

/// The process's calibration, or `None` where the counter cannot be trusted. The first call sleeps for 2 ms.
pub(super) fn calibration() -> Option<Calibration> {
    static CALIBRATION: OnceLock<Option<Calibration>> = OnceLock::new();
    *CALIBRATION.get_or_init(calibrate)
}

#[cfg(not(target_arch = "x86_64"))]
fn calibrate() -> Option<Calibration> {
    None
}

#[cfg(target_arch = "x86_64")]
fn calibrate() -> Option<Calibration> {
    if !is_invariant() || !is_trusted_by_kernel() {
        return None;
    }
    let (first_ticks, first) = read_both();
    std::thread::sleep(WINDOW);
    let (last_ticks, last) = read_both();
    let ticks = u128::from(last_ticks.checked_sub(first_ticks)?);
    let nanos = last.duration_since(first).as_nanos();
    let scale = ((nanos << SCALE_BITS) + ticks / 2).checked_div(ticks)?;
    Some(Calibration { origin: first_ticks, scale: u64::try_from(scale).ok()? })
}

/// Reads the counter.
///
/// The read is not serialized: it may be taken a few nanoseconds before an earlier instruction has finished.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn ticks() -> u64 {
    // SAFETY: `rdtsc` is part of every x86_64 processor and touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Stands in where there is no counter; never called, since `calibrate` finds none.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn ticks() -> u64 {
    0
}

/// Reads the counter and the monotonic clock at the same moment: the tightest of several tries, since a try
/// may be interrupted between its two readings of the counter.
#[cfg(target_arch = "x86_64")]
fn read_both() -> (u64, Instant) {
    let attempt = || {
        let before = ticks();
        let now = Instant::now();
        let gap = ticks().saturating_sub(before);
        (gap, before + gap / 2, now)
    };
    let (_, ticks, now) =
        (0..31).map(|_| attempt()).fold(attempt(), |best, next| if next.0 < best.0 { next } else { best });
    (ticks, now)
}

/// Whether the counter runs at one rate in all power states: AMD APM vol. 3 and Intel SDM, CPUID 8000_0007h
/// EDX bit 8.
#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe, reason = "cpuid became a safe function after the oldest supported compiler")]
fn is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    // SAFETY: every x86_64 processor has `cpuid`, and leaf 8000_0000h says which extended leaves it has.
    let has_leaf = unsafe { __cpuid(0x8000_0000) }.eax >= 0x8000_0007;
    // SAFETY: as above, and the leaf is there.
    has_leaf && unsafe { __cpuid(0x8000_0007) }.edx & (1 << 8) != 0
}

/// Whether the kernel keeps its own time by the counter, which it does only while it finds it in step on all
/// processors.
#[cfg(target_arch = "x86_64")]
fn is_trusted_by_kernel() -> bool {
    let current = Path::new("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    std::fs::read_to_string(current).is_ok_and(|name| name.trim() == "tsc")
}

#[cfg(all(test, not(loom), target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Held against `CLOCK_MONOTONIC` over a window of its own. The tolerance leaves room for a clock that is
    /// being slewed.
    #[test]
    fn scale_agrees_with_the_monotonic_clock() {
        let Some(Calibration { scale, .. }) = calibration() else { return };
        let (first_ticks, first) = read_both();
        while first.elapsed() < Duration::from_millis(5) {}
        let (last_ticks, last) = read_both();
        let ours = (u128::from(last_ticks - first_ticks) * u128::from(scale)) >> SCALE_BITS;
        let theirs = last.duration_since(first).as_nanos();
        assert!(ours.abs_diff(theirs) < theirs / 1_000, "ours={ours} theirs={theirs}");
    }

    #[test]
    fn calibration_happens_once() {
        let (one, other) = (calibration(), calibration());
        assert_eq!(one.map(|c| (c.origin, c.scale)), other.map(|c| (c.origin, c.scale)));
    }
}
