//! One message between cores: a closure of up to 48 bytes carried inline, or boxed when larger.
//!
//! An event runs once on the core that receives it, or is dropped there (or by the sender, when the core is gone).
#![expect(unsafe_code, reason = "type-erased closure storage without an allocation")]

use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};

/// What fits beside the sequence number and the function pointer in a 64-byte slot.
const INLINE_WORDS: usize = 6;

type Payload = MaybeUninit<[u64; INLINE_WORDS]>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Run,
    Drop,
}

/// A closure to run on another core.
///
/// # Invariants
/// `payload` holds a closure of the type that `act` was made for, and `act` has not been called yet.
#[repr(C)]
pub(crate) struct Event {
    act: unsafe fn(*mut Payload, Fate),
    payload: Payload,
}

// SAFETY: `new` accepts only `Send` closures, and nothing else is stored.
unsafe impl Send for Event {}

impl Event {
    /// Wraps `f`; allocates only if it is larger than 48 bytes.
    #[inline]
    pub(crate) fn new<F: FnOnce() + Send + 'static>(f: F) -> Self {
        let mut event = MaybeUninit::uninit();
        Self::write(&mut event, f);
        // SAFETY: just written.
        unsafe { event.assume_init() }
    }

    /// Writes an event that wraps `f` straight to where it goes, field by field: a copy of the whole would have to wait for its
    /// parts to be stored.
    #[inline(always)]
    pub(super) fn write<F: FnOnce() + Send + 'static>(place: &mut MaybeUninit<Self>, f: F) {
        let event = place.as_mut_ptr();
        // SAFETY: a pointer into a place for an event.
        let (act, payload) = unsafe { (&raw mut (*event).act, &raw mut (*event).payload) };
        if const { size_of::<F>() <= size_of::<Payload>() && align_of::<F>() <= align_of::<Payload>() } {
            // SAFETY: the closure fits by size and alignment, as just checked.
            unsafe { payload.cast::<F>().write(f) };
            // SAFETY: as above.
            unsafe { act.write(act_inline::<F>) };
        } else {
            // SAFETY: a thin box is one word.
            unsafe { payload.cast::<Box<F>>().write(Box::new(f)) };
            // SAFETY: as above.
            unsafe { act.write(act_boxed::<F>) };
        }
    }

    /// Runs the closure.
    #[inline]
    pub(crate) fn run(self) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: it is an event, and `ManuallyDrop` keeps `Drop` from using it again.
        unsafe { Self::run_at(&raw mut *this) }
    }

    /// Runs the closure where it is.
    ///
    /// # Safety
    /// `place` is that of an event, which is not used again.
    #[inline(always)]
    pub(super) unsafe fn run_at(place: *mut Self) {
        // SAFETY: the caller's promise; `act` fits `payload` by the invariant.
        unsafe { ((*place).act)(&raw mut (*place).payload, Fate::Run) }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: as in `run`; a dropped event is not used again.
        unsafe { (self.act)(&raw mut self.payload, Fate::Drop) }
    }
}

/// # Safety
/// `payload` holds an `F`, which is moved out.
unsafe fn act_inline<F: FnOnce()>(payload: *mut Payload, fate: Fate) {
    // SAFETY: the caller's promise.
    let f = unsafe { payload.cast::<F>().read() };
    if fate == Fate::Run {
        f();
    }
}

/// # Safety
/// `payload` holds a `Box<F>`, which is moved out.
unsafe fn act_boxed<F: FnOnce()>(payload: *mut Payload, fate: Fate) {
    // SAFETY: the caller's promise.
    let f = unsafe { payload.cast::<Box<F>>().read() };
    if fate == Fate::Run {
        f();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Run or dropped, inline or boxed, the captured value goes exactly once.
    #[test]
    fn captures_are_released_exactly_once() {
        for run in [false, true] {
            for large in [false, true] {
                let witness = Arc::new(());
                let (held, pad) = (witness.clone(), [7u64; 9]);
                let event = if large {
                    Event::new(move || assert_eq!((pad[8], Arc::strong_count(&held)), (7, 2)))
                } else {
                    Event::new(move || assert_eq!(Arc::strong_count(&held), 2))
                };
                assert_eq!(Arc::strong_count(&witness), 2);
                if run {
                    event.run()
                } else {
                    drop(event)
                }
                assert_eq!(Arc::strong_count(&witness), 1, "run={run} large={large}");
            }
        }
    }

    #[test]
    fn a_slot_is_one_cache_line() {
        assert_eq!(size_of::<Event>(), 56);
    }
}
