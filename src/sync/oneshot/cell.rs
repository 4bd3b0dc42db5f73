//! The machine of a oneshot: one allocation, one atomic word, two sides.
//!
//! ```text
//!  sender                              word                               receiver
//!
//!  1 send, drop: CAS +ENDED      ┌───────────────┐      4 poll: +RX_WAITS (waker stored), or
//!    +SENDER_DONE if no one      │ value         │        ENDED seen: take the value
//!    waits; refused if CLOSED    │ receiver waker│      5 poll again: −RX_WAITS, store, +RX_WAITS
//!  2 else take the waker,        │ sender waker  │      6 close, drop: +CLOSED; wake the sender
//!    +SENDER_DONE, wake it       └───────────────┘        if TX_WAITS and not ENDED
//!  3 closed: +TX_WAITS                                  7 drop: +RECEIVER_DONE
//!
//!  Who sets the second of SENDER_DONE and RECEIVER_DONE frees the allocation.
//! ```
//!
//! A value that was sent before the receiver looked costs one read-modify-write on its whole way.

#![expect(unsafe_code, reason = "both sides share one allocation that the last of them frees")]

use crate::sync::error::{Closed, TryRecvError};
use crate::sys::sync::{
    UnsafeCell,
    atomic::{AtomicUsize, Ordering},
};
use std::{
    mem::ManuallyDrop,
    ptr::NonNull,
    task::{Context, Poll, Waker, ready},
};

/// Set by the sender, once: the value cell is the receiver's, and the sender will store nothing more.
const ENDED: usize = 1;
/// Set by the sender as its last access.
const SENDER_DONE: usize = 2;
/// Set by the receiver: its waker is stored, and the sender may take it when it sets `ENDED`.
const RX_WAITS: usize = 4;
/// Set by the sender: its waker is stored, and the receiver may take it when it sets `CLOSED` before `ENDED`.
const TX_WAITS: usize = 8;
/// Set by the receiver, once: no value will be accepted.
const CLOSED: usize = 16;
/// Set by the receiver as its last access.
const RECEIVER_DONE: usize = 32;

/// # Invariants
/// - `value` is the sender's until `ENDED`, then the receiver's.
/// - `receiver` is the receiver's while `RX_WAITS` is clear, or once it was set after `ENDED`; the sender's if its own
///   setting of `ENDED` found `RX_WAITS`. `sender` likewise with `TX_WAITS` and `CLOSED`.
/// - Allocated until both `DONE` bits are set.
struct Shared<T> {
    word: AtomicUsize,
    value: UnsafeCell<Option<T>>,
    receiver: UnsafeCell<Option<Waker>>,
    sender: UnsafeCell<Option<Waker>>,
}

pub(super) fn pair<T>() -> (SenderSide<T>, ReceiverSide<T>) {
    let shared = NonNull::from(Box::leak(Box::new(Shared {
        word: AtomicUsize::new(0),
        value: UnsafeCell::new(None),
        receiver: UnsafeCell::new(None),
        sender: UnsafeCell::new(None),
    })));
    (SenderSide { shared }, ReceiverSide { shared })
}

/// # Safety
/// The caller has set the second of the two `DONE` bits, or knows that the other side's is set and sets its own never.
unsafe fn free<T>(shared: NonNull<Shared<T>>) {
    // SAFETY: made by `Box` in `pair`; the other side is done, and this side's caller is.
    let shared = unsafe { Box::from_raw(shared.as_ptr()) };
    // The end of the cells is an access that the models see; it costs nothing otherwise.
    shared.value.with_mut(|_| ());
    shared.receiver.with_mut(|_| ());
    shared.sender.with_mut(|_| ());
}

/// What the sender holds.
pub(super) struct SenderSide<T> {
    shared: NonNull<Shared<T>>,
}

/// What the receiver holds.
pub(super) struct ReceiverSide<T> {
    shared: NonNull<Shared<T>>,
}

// SAFETY: the word hands value and wakers from side to side; the value itself changes threads, hence `T: Send`.
unsafe impl<T: Send> Send for SenderSide<T> {}
// SAFETY: `&SenderSide` reads the atomic word only.
unsafe impl<T: Send> Sync for SenderSide<T> {}
// SAFETY: as for the sender.
unsafe impl<T: Send> Send for ReceiverSide<T> {}
// SAFETY: `&ReceiverSide` gives access to nothing.
unsafe impl<T: Send> Sync for ReceiverSide<T> {}

impl<T> SenderSide<T> {
    fn shared(&self) -> &Shared<T> {
        // SAFETY: this side is not done, so it is allocated.
        unsafe { self.shared.as_ref() }
    }

    #[inline]
    pub(super) fn send(self, value: T) -> Result<(), T> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `ENDED` is not set: only `end` sets it, which is called once, below or in `drop`.
        this.shared().value.with_mut(|cell| unsafe { *cell = Some(value) });
        // SAFETY: `this` is not used again.
        match unsafe { this.end(CLOSED) } {
            Ok(()) => Ok(()),
            Err(value) => {
                drop(ManuallyDrop::into_inner(this));
                // `end` refuses only what was stored above.
                value.map_or(Ok(()), Err)
            }
        }
    }

    /// Edges 1 and 2. Fails with the stored value, and changes nothing else, if a bit of `refuse` is set.
    ///
    /// # Safety
    /// After `Ok` the allocation may be gone: neither `self` nor its copies may be used.
    #[inline]
    unsafe fn end(&self, refuse: usize) -> Result<(), Option<T>> {
        let shared = self.shared();
        // Acquire, here and where the exchange fails: a sender that is refused sees what the receiver did before.
        let mut word = shared.word.load(Ordering::Acquire);
        loop {
            if word & refuse != 0 {
                // SAFETY: `ENDED` is not set, so the value is this side's.
                return Err(shared.value.with_mut(|cell| unsafe { (*cell).take() }));
            }
            let done = if word & RX_WAITS == 0 { ENDED | SENDER_DONE } else { ENDED };
            // Release: publishes the value to the Acquire in `poll_recv`, and this side's last access to whoever frees.
            // Acquire: sees the receiver's waker, or its last access.
            match shared.word.compare_exchange(word, word | done, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        let mut waker = None;
        if word & RX_WAITS != 0 {
            // SAFETY: `ENDED` was set by this side and found `RX_WAITS`: the receiver's waker is this side's.
            waker = shared.receiver.with_mut(|cell| unsafe { (*cell).take() });
            // Release and Acquire as above.
            word = shared.word.fetch_or(SENDER_DONE, Ordering::AcqRel);
        }
        if word & RECEIVER_DONE != 0 {
            // SAFETY: `SENDER_DONE` was set after `RECEIVER_DONE`, by this side.
            unsafe { free(self.shared) };
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shared().word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Edge 3.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared();
        let mut word = shared.word.load(Ordering::Acquire);
        if word & (TX_WAITS | CLOSED) == TX_WAITS {
            // Acquire: if the receiver has closed meanwhile, the waker is its own.
            word = shared.word.fetch_and(!TX_WAITS, Ordering::AcqRel);
        }
        if word & CLOSED != 0 {
            return Poll::Ready(());
        }
        // SAFETY: `TX_WAITS` is clear and `CLOSED` was not set before it was cleared: the waker is this side's.
        unsafe { store(&shared.sender, cx.waker()) };
        // Release: publishes the waker to the Acquire in `close`.
        let word = shared.word.fetch_or(TX_WAITS, Ordering::AcqRel);
        if word & CLOSED != 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<T> Drop for SenderSide<T> {
    fn drop(&mut self) {
        // SAFETY: dropped, so not used again; nothing is refused, so it ends here.
        let _ = unsafe { self.end(0) };
    }
}

impl<T> ReceiverSide<T> {
    fn shared(&self) -> &Shared<T> {
        // SAFETY: this side is not done, so it is allocated.
        unsafe { self.shared.as_ref() }
    }

    /// The value if `word` says that the sender has ended.
    #[inline]
    fn take_ended(&self, word: usize) -> Result<T, TryRecvError> {
        if word & ENDED != 0 {
            // SAFETY: `ENDED` was seen with Acquire: the value is this side's.
            let value = self.shared().value.with_mut(|cell| unsafe { (*cell).take() });
            return value.ok_or(TryRecvError::Closed);
        }
        Err(if word & CLOSED != 0 { TryRecvError::Closed } else { TryRecvError::Empty })
    }

    pub(super) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        // Acquire: pairs with the Release in `end`.
        self.take_ended(self.shared().word.load(Ordering::Acquire))
    }

    /// Edges 4 and 5.
    #[inline]
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        ready!(crate::task::budget::proceed(cx));
        let shared = self.shared();
        let mut word = shared.word.load(Ordering::Acquire);
        if word & (RX_WAITS | ENDED) == RX_WAITS {
            // Acquire: if the sender has ended meanwhile, the waker is its own and the value is here.
            word = shared.word.fetch_and(!RX_WAITS, Ordering::AcqRel);
        }
        if word & (ENDED | CLOSED) == 0 {
            // SAFETY: `RX_WAITS` is clear and `ENDED` was not set before it was cleared: the waker is this side's.
            unsafe { store(&shared.receiver, cx.waker()) };
            // Release: publishes the waker to the Acquire in `end`. Acquire: pairs with the Release there.
            word = shared.word.fetch_or(RX_WAITS, Ordering::AcqRel);
        }
        match self.take_ended(word) {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(TryRecvError::Closed) => Poll::Ready(Err(Closed)),
            Err(TryRecvError::Empty) => Poll::Pending,
        }
    }

    /// Edge 6.
    pub(super) fn close(&mut self) {
        let shared = self.shared();
        // Acquire: sees the sender's waker. Release: what the receiver did before is seen by a sender that is refused.
        let word = shared.word.fetch_or(CLOSED, Ordering::AcqRel);
        if word & (TX_WAITS | ENDED | CLOSED) == TX_WAITS {
            // SAFETY: `CLOSED` was set by this side and found `TX_WAITS`: the sender's waker is this side's.
            let waker = shared.sender.with_mut(|cell| unsafe { (*cell).take() });
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for ReceiverSide<T> {
    fn drop(&mut self) {
        // Acquire: sees the sender's last access.
        if self.shared().word.load(Ordering::Acquire) & SENDER_DONE == 0 {
            self.close();
            // The value, if there is one, is dropped by the core that was to receive it, and now.
            drop(self.try_recv());
            // Edge 7. Release: this side's last access, for whoever frees. Acquire: the sender's, if this side frees.
            if self.shared().word.fetch_or(RECEIVER_DONE, Ordering::AcqRel) & SENDER_DONE == 0 {
                return;
            }
        }
        // SAFETY: the sender is done and this side is.
        unsafe { free(self.shared) };
    }
}

/// Stores a clone of `waker`.
///
/// # Safety
/// The cell is the caller's.
unsafe fn store(cell: &UnsafeCell<Option<Waker>>, waker: &Waker) {
    // Before the cell is touched: a stranger's code, as is the drop at the end.
    let waker = waker.clone();
    // SAFETY: as the caller says.
    let replaced = cell.with_mut(|cell| unsafe { (*cell).replace(waker) });
    drop(replaced);
}
