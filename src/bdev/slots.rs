//! Where the futures of modules live: heap slots of one channel, each large enough for its module's future, reused.
//!
//! A user's `async fn submit` is a future of a type nobody can name. [`Slots::run`] writes it into a slot, polls it
//! there once, and hands out a [`Running`] if it must wait. No allocation happens once as many slots exist as there
//! were I/Os in flight at a time. `module` erases the module's type over it.
#![expect(unsafe_code, reason = "futures of an unnameable type, pinned in memory that is used again")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::io::Done;

/// The slots of one module's channel.
///
/// # Invariants
/// Every pointer in `free`, and that of every `Running`, is memory allocated with `layout`, owned by who has it.
/// `live` counts the `Running`s that were not dropped, forgotten ones included.
#[derive(Debug, Default)]
pub(super) struct Slots {
    free: RefCell<Vec<NonNull<u8>>>,
    /// The layout of the first future; all are of one type. Unset until then.
    layout: Cell<Option<Layout>>,
    live: Cell<usize>,
}

/// A future in its slot. Dropping it drops the future and frees the slot for the next.
///
/// # Invariants
/// `future` is a slot of `slots` that holds a live, pinned future to which `vtable` belongs.
#[derive(Debug)]
#[must_use]
pub(super) struct Running<'s> {
    future: NonNull<u8>,
    vtable: &'static Vtable,
    slots: &'s Slots,
}

/// What can be done with a future once its type is forgotten.
#[derive(Debug)]
struct Vtable {
    poll: unsafe fn(NonNull<u8>, &mut Context<'_>) -> Poll<Done>,
    drop: unsafe fn(NonNull<u8>),
}

/// The functions behind `Vtable` for one future type.
struct Typed<F>(F);

impl<F: Future<Output = Done>> Typed<F> {
    const VTABLE: &'static Vtable = &Vtable { poll: Self::poll, drop: Self::drop };

    /// # Safety
    /// `future` is a live `F` that stays where it is until it is dropped, and nobody else uses it now.
    #[inline(always)]
    unsafe fn poll(future: NonNull<u8>, cx: &mut Context<'_>) -> Poll<Done> {
        // SAFETY: the caller's promise.
        unsafe { Pin::new_unchecked(future.cast::<F>().as_mut()) }.poll(cx)
    }

    /// # Safety
    /// `future` is a live `F` that is not used again.
    #[inline(always)]
    unsafe fn drop(future: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { future.cast::<F>().drop_in_place() }
    }
}

impl Slots {
    /// Starts the future that `make` makes in a slot: `Ok` if it was ready at once, the running future otherwise.
    ///
    /// It is made when its place is known, and so in it. Made before, it would be moved there at once, in larger parts than it had
    /// been written in, and the processor would wait for its own stores: an I/O of the null device took two fifths longer
    /// (`cargo bench --bench bdev -- null_`).
    ///
    /// # Panics
    /// If its size is not that of the futures before: one `Slots` serves one type.
    #[inline(always)]
    pub(super) fn run<'s, F>(
        &'s self,
        make: impl FnOnce() -> F,
        cx: &mut Context<'_>,
    ) -> Result<Done, Running<'s>>
    where
        F: Future<Output = Done> + 's,
    {
        let slot = self.take(Layout::new::<F>());
        // Should `make` panic.
        let free = Free(self, slot);
        // SAFETY: the slot has the layout of `F` and is ours.
        unsafe { slot.cast::<F>().write(make()) };
        mem::forget(free);
        let running = Running { future: slot, vtable: Typed::<F>::VTABLE, slots: self };
        // SAFETY: the future was written above and stays in the slot until `running` drops it, also if this panics.
        match unsafe { Typed::<F>::poll(slot, cx) } {
            Poll::Ready(done) => {
                mem::forget(running);
                // As the drop of `running`, with the type known. Should this panic, the slot is lost.
                // SAFETY: the future is live, and not used again.
                unsafe { slot.cast::<F>().drop_in_place() }
                self.give_back(slot);
                Ok(done)
            }
            Poll::Pending => Err(running),
        }
    }

    /// How many futures are in slots, forgotten ones included.
    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// Frees `slot`, in which no future lives any more.
    #[inline(always)]
    fn give_back(&self, slot: NonNull<u8>) {
        self.live.set(self.live.get() - 1);
        self.free.borrow_mut().push(slot);
    }

    #[inline(always)]
    fn take(&self, layout: Layout) -> NonNull<u8> {
        let slot = self.free.borrow_mut().pop();
        self.live.set(self.live.get() + 1);
        match slot {
            // One predictable comparison keeps `run` safe to call with any future.
            Some(slot) if self.layout.get() == Some(layout) => slot,
            Some(_) => panic!("futures of two layouts in one channel's slots"),
            None => self.allocate(layout),
        }
    }

    #[cold]
    fn allocate(&self, layout: Layout) -> NonNull<u8> {
        let known = self.layout.replace(Some(layout)).unwrap_or(layout);
        assert_eq!(known, layout, "futures of two layouts in one channel's slots");
        if layout.size() == 0 {
            let nowhere = std::ptr::without_provenance_mut(layout.align());
            return NonNull::new(nowhere).expect("an alignment is not zero");
        }
        // SAFETY: the size is not zero.
        let slot = unsafe { alloc(layout) };
        NonNull::new(slot).unwrap_or_else(|| handle_alloc_error(layout))
    }
}

/// Frees a slot, in which no future lives then.
struct Free<'s>(&'s Slots, NonNull<u8>);

impl Drop for Free<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.give_back(self.1);
    }
}

impl Running<'_> {
    /// Polls the future.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        // SAFETY: by the invariants it is live and pinned; `&mut self` makes us the only user.
        unsafe { (self.vtable.poll)(self.future, cx) }
    }
}

impl Drop for Running<'_> {
    #[inline]
    fn drop(&mut self) {
        // Also if the future's drop panics.
        let _free = Free(self.slots, self.future);
        // SAFETY: it is live, and nobody uses it after this.
        unsafe { (self.vtable.drop)(self.future) }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let Some(layout) = self.layout.get().filter(|layout| layout.size() > 0) else { return };
        for slot in self.free.get_mut().drain(..) {
            // SAFETY: allocated with this layout, and free: no future lives in it.
            unsafe { dealloc(slot.as_ptr(), layout) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::future::Pending;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Waker;

    #[test]
    fn a_future_that_was_never_made_keeps_no_slot() {
        let slots = Slots::default();
        let mut cx = Context::from_waker(Waker::noop());
        let make = || -> Pending<Done> { panic!("instead of a future") };
        let caught = catch_unwind(AssertUnwindSafe(|| drop(slots.run(make, &mut cx))));
        assert!(caught.is_err());
        assert_eq!((slots.live(), slots.free.borrow().len()), (0, 1));
    }
}
