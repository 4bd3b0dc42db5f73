//! The life of a task, as bits that only the owning core touches.
//!
//! ```text
//!             spawn ①
//!               │
//!               ▼    wake ②                 pending ④
//!   ┌──────► idle ─────────► SCHEDULED ─┐   (and idle again, or SCHEDULED if woken meanwhile)
//!   │                                   │ step ③
//!   └───────────────────── polled ◄─────┘
//!                             │ ready, panicked, aborted ⑤
//!                             ▼
//!                            DONE ── handle takes or drops the output ⑥ ──► last reference ⑦ ──► memory reused
//! ```
//!
//! ① `Local::spawn` · ② `Local::schedule` · ③④ `Local::step` · ⑤ `Local::announce` · ⑥ `JoinHandle` · ⑦ `Local::release`.
//! `SCHEDULED` stands while the task is in the run queue, which then holds a reference once the task is `DONE`.
//! Which task is being polled is known to `Local::polling`: as a bit it would be written and read back twice in every poll, which
//! cost a task that yields a quarter of its time.

/// In the run queue. Set by `schedule`, cleared by `step`.
pub(super) const SCHEDULED: u8 = 1;
/// The future has been dropped (or is being dropped). Set just before.
pub(super) const FUTURE_DROPPED: u8 = 1 << 1;
/// Finished: the future is gone and will never be polled again. Set by `announce`.
pub(super) const DONE: u8 = 1 << 2;
/// The output is in place. Set when it is written, cleared when it is taken or dropped.
pub(super) const OUTPUT: u8 = 1 << 3;
/// Somebody holds the handle. Set by `spawn`, cleared when the handle is dropped.
pub(super) const HANDLE: u8 = 1 << 4;
/// To be dropped instead of polled. Set by `abort`.
pub(super) const ABORTED: u8 = 1 << 5;
/// No future of ours: stands for a task on another core until its answer arrives.
pub(super) const PROXY: u8 = 1 << 6;
