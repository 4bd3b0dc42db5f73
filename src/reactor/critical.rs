//! The one message that a signal handler may send: a function, with no allocation and no lock.
//!
//! SPDK's `spdk_thread_send_critical_msg`: one outstanding per core, run first in the core's next turn.

use crate::sys::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Room for one function.
pub(crate) struct Critical {
    function: AtomicPtr<()>,
}

impl Critical {
    pub(crate) fn new() -> Self {
        Self { function: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Stores `function`; `false` if one is waiting already. Async-signal-safe.
    pub(crate) fn send(&self, function: fn()) -> bool {
        // AcqRel: what the sender wrote before is seen by the function.
        self.function.compare_exchange(std::ptr::null_mut(), function as *mut (), AcqRel, Relaxed).is_ok()
    }

    /// Whether one is waiting.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        !self.function.load(Relaxed).is_null()
    }

    /// Takes the function that is waiting.
    #[cold]
    #[expect(unsafe_code, reason = "a function pointer that went through an atomic pointer")]
    pub(crate) fn take(&self) -> Option<fn()> {
        let function = self.function.load(Acquire);
        self.function.store(std::ptr::null_mut(), Relaxed);
        // SAFETY: only `send` stores something else than null, and that is a `fn()`; function and data pointers are of one size
        // and kind on every target that Linux runs on.
        (!function.is_null()).then(|| unsafe { std::mem::transmute::<*mut (), fn()>(function) })
    }
}
