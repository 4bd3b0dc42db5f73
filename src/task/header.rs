//! The part of a task that does not depend on its future, and who may touch what.
//!
//! | field | touched by |
//! |---|---|
//! | `vtable`, `home` | anyone who holds a reference; never changes |
//! | `own` | the owning core only (plain loads and stores); after its end the holder of the handle |
//! | `shared` | anyone (atomic): references made abroad |
//!
//! # References
//!
//! A *local* reference is one that the owner made: the run loop's until the task is done, the handle, and every waker cloned on
//! the owner, wherever it has travelled since. The owner counts them in `own.local_refs`, without atomics; a local reference that
//! ends abroad goes home as an event. A *shared* reference is one made abroad (a waker cloned on another thread), counted in
//! `shared`, where all local references together stand for one unit. `WAKING` in the same word is a reference too: that of a
//! wake-up under way to the owner. The memory goes back when the whole word is zero, which for a task that never left its core
//! takes one plain load to see. The last shared reference ends at home if there is one: only the owner frees while it lives.
#![expect(unsafe_code, reason = "owner-only fields behind a shared pointer")]

use super::{
    awaiter::Awaiter,
    home::{Home, HomeId},
    local::Local,
    raw::VTable,
};
use crate::sys::sync::{
    UnsafeCell,
    atomic::{AtomicU32, Ordering::AcqRel, Ordering::Acquire},
};
use std::ptr::NonNull;

/// In `shared`: a foreign `wake_by_ref` is on its way. Set by the sender, cleared by the owner.
const WAKING: u32 = 1;
/// One reference in `shared`.
const ONE: u32 = 2;
/// Added to `shared` while the core ends, so that nobody frees what is being counted.
const BIAS: u32 = 1 << 30;
/// References of either kind that a task may have. With so many of each let go while the bias is on, or kept when it is taken off,
/// the word still shows which of the two it is: three quarters of the bias and more, or half of it at most.
const REFS_MAX: u32 = 1 << 27;

/// Head of every task's allocation.
#[repr(C)]
pub(crate) struct Header {
    pub(super) vtable: &'static VTable,
    own: UnsafeCell<Own>,
    shared: AtomicU32,
    home: HomeId,
    /// Lets loom see that the memory goes back after every use of `shared`.
    #[cfg(all(test, loom))]
    pub(super) memory: UnsafeCell<()>,
}

/// What only the owning core touches.
struct Own {
    /// Means something only in the run queue, before the last.
    queue_next: NonNull<Header>,
    awaiter: Option<Awaiter>,
    local_refs: u32,
    /// The light thread whose time this task spends.
    group: u16,
    state: u8,
}

/// A count that reached zero: the caller frees the memory.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Released {
    StillReferenced,
    Last,
}

impl Released {
    fn when(is_last: bool) -> Self {
        if is_last { Self::Last } else { Self::StillReferenced }
    }
}

macro_rules! own {
    ($self:ident, $own:ident => $body:expr) => {
        $self.own.with_mut(|cell| {
            // SAFETY: methods that use this are called on the owning core only, and no reference leaves the closure.
            let $own = unsafe { &mut *cell };
            $body
        })
    };
}

/// Owner only, except where said.
impl Header {
    #[inline]
    pub(super) fn new(vtable: &'static VTable, home: HomeId, state: u8, local_refs: u32, group: u16) -> Self {
        let queue_next = NonNull::dangling();
        Self {
            vtable,
            own: UnsafeCell::new(Own { queue_next, awaiter: None, local_refs, group, state }),
            shared: AtomicU32::new(ONE),
            home,
            #[cfg(all(test, loom))]
            memory: UnsafeCell::new(()),
        }
    }

    /// Any thread: the owner's half of the task's core, if the calling thread is turning that.
    #[inline]
    pub(super) fn local(&self) -> Option<&Local> {
        // SAFETY: a task keeps its home, after the core's end by its chunk.
        unsafe { Home::local_of(self.home) }
    }

    #[inline]
    pub(super) fn state(&self) -> u8 {
        own!(self, own => own.state)
    }

    /// Replaces `clear` by `set` and returns the new state.
    #[inline]
    pub(super) fn change_state(&self, clear: u8, set: u8) -> u8 {
        own!(self, own => {
            own.state = own.state & !clear | set;
            own.state
        })
    }

    #[inline]
    pub(super) fn group(&self) -> u16 {
        own!(self, own => own.group)
    }

    pub(super) fn set_group(&self, group: u16) {
        own!(self, own => own.group = group);
    }

    #[inline]
    pub(super) fn set_queue_next(&self, next: NonNull<Header>) {
        own!(self, own => own.queue_next = next);
    }

    #[inline]
    pub(super) fn queue_next(&self) -> NonNull<Header> {
        own!(self, own => own.queue_next)
    }

    /// Looks at who awaits the task. `look` runs nobody's code.
    #[inline]
    pub(super) fn with_awaiter<R>(&self, look: impl FnOnce(Option<&Awaiter>) -> R) -> R {
        own!(self, own => look(own.awaiter.as_ref()))
    }

    /// Changes who awaits the task. The old one is returned, to be dropped outside of the header.
    #[inline]
    pub(super) fn replace_awaiter(&self, awaiter: Option<Awaiter>) -> Option<Awaiter> {
        own!(self, own => std::mem::replace(&mut own.awaiter, awaiter))
    }

    /// One more local reference.
    #[inline]
    pub(super) fn retain_local(&self) {
        own!(self, own => {
            if own.local_refs >= REFS_MAX {
                too_many();
            }
            own.local_refs += 1;
        });
    }

    /// One local reference less. `true` if it was the last: then [`end_local`](Self::end_local) says whether others are left.
    #[inline]
    pub(super) fn release_local(&self) -> bool {
        own!(self, own => {
            own.local_refs -= 1;
            own.local_refs == 0
        })
    }

    /// The last local reference has ended.
    #[inline]
    pub(super) fn end_local(&self) -> Released {
        // Acquire: pairs with the AcqRel of the last foreign release. With no other reference nobody can make one.
        if self.shared().load(Acquire) == ONE {
            return Released::Last;
        }
        self.release_common()
    }

    /// All local references are gone, and with them their unit in `shared`.
    #[cold]
    #[inline(never)]
    fn release_common(&self) -> Released {
        self.release_shared()
    }

    /// `shared`, from any thread.
    #[inline]
    fn shared(&self) -> &AtomicU32 {
        #[cfg(all(test, loom))]
        self.memory.with(|_| ());
        &self.shared
    }

    /// Any thread: one more shared reference.
    pub(super) fn retain_shared(&self) {
        // Relaxed would do, as in `Arc`: the caller holds a reference already.
        let word = self.shared().fetch_add(ONE, AcqRel);
        if (word >= REFS_MAX * ONE && !is_biased(word)) || word >= BIAS + REFS_MAX * ONE {
            too_many();
        }
    }

    /// Any thread: one shared reference less.
    pub(super) fn release_shared(&self) -> Released {
        // AcqRel: what holders did before they let go is seen by who frees.
        Released::when(self.shared().fetch_sub(ONE, AcqRel) == ONE)
    }

    /// Elsewhere: one shared reference less. `false` if it is the last of all, and still the caller's: it ends at home.
    pub(super) fn release_shared_unless_last(&self) -> bool {
        // AcqRel: as in `release_shared`. Nobody but the holder of the last reference can make others.
        self.shared().fetch_update(AcqRel, Acquire, |word| (word != ONE).then(|| word - ONE)).is_ok()
    }

    /// Any thread: `true` if the caller must tell the owner, `false` if somebody's news is still under way.
    pub(super) fn begin_waking(&self) -> bool {
        // AcqRel even where the bit stands already: what this waker's caller wrote is seen by the poll that follows.
        self.shared().fetch_or(WAKING, AcqRel) & WAKING == 0
    }

    /// The news has arrived (or cannot arrive any more).
    pub(super) fn end_waking(&self) -> Released {
        Released::when(self.shared().fetch_and(!WAKING, AcqRel) == WAKING)
    }

    /// The core ends, part one: until `end_counting` nobody frees this task.
    pub(super) fn begin_counting(&self) {
        self.shared().fetch_add(BIAS, AcqRel);
    }

    /// Any thread, once the core is closed: whether the owner is done with this task for good.
    pub(super) fn is_let_go(&self) -> bool {
        // Acquire: pairs with the AcqRel in `end_counting`. The bias was there before the core was closed.
        !is_biased(self.shared().load(Acquire))
    }

    /// The core ends, part two: local references become shared ones, which end wherever they are.
    pub(super) fn end_counting(&self) -> Released {
        let local = own!(self, own => std::mem::take(&mut own.local_refs));
        // With local references left, their common unit is still in the word. Wrapping: the sum is what counts.
        let gained = if local > 0 { local.wrapping_mul(ONE).wrapping_sub(ONE) } else { 0 };
        let change = gained.wrapping_sub(BIAS);
        Released::when(self.shared().fetch_add(change, AcqRel).wrapping_add(change) == 0)
    }
}

fn is_biased(word: u32) -> bool {
    word >= BIAS / 4 * 3
}

/// A count that went over would free what is in use. As with `Arc`, only a program that forgets wakers in a loop comes here.
#[cold]
fn too_many() -> ! {
    std::process::abort()
}
