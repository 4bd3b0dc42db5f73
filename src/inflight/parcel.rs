//! A value of any small type, held inline: what a slot owns without knowing its type and without allocating.
//!
//! Filled by an operation's future, stored by [`Inflight`](super::Inflight), taken back by the future or abandoned by the
//! driver when the future is gone.

#![expect(
    unsafe_code,
    reason = "a value of an erased type lives in inline bytes; the table beside it knows the type"
)]

use std::any::TypeId;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

/// Six words: a part of a `Vec<u8>`, of three words and two for the range, or a buffer of four (`bytes::Bytes`), and a
/// reference-counted file beside it.
const WORDS: usize = 6;

type Words = MaybeUninit<[usize; WORDS]>;

/// What an operation puts into its slot, answered with a `C`.
pub(crate) trait Payload<C>: Sized + 'static {
    /// The answer came and nobody awaits it: release what it brought (a descriptor, say) along with the value.
    fn abandon(self, answer: C) {
        drop((self, answer));
    }
}

/// One value of an erased type.
///
/// # Invariants
/// `words` holds a value of the type that `table` was made for: the value itself if it [fits](Of::FITS), otherwise the
/// pointer of a `Box` of it. Only `take`, which consumes the parcel without running its `Drop`, moves the value out.
pub(crate) struct Parcel<C: 'static> {
    words: Words,
    table: &'static Table<C>,
    /// The value may be neither `Send` nor `Sync`.
    here: PhantomData<*mut ()>,
}

/// How to treat the value of one type. Each function consumes the value in `words`.
struct Table<C> {
    type_id: fn() -> TypeId,
    drop: unsafe fn(&Words),
    abandon: unsafe fn(&Words, C),
}

/// Carries the constants of the type `T`.
struct Of<T, C>(PhantomData<(T, C)>);

impl<T: Payload<C>, C: 'static> Of<T, C> {
    const FITS: bool = size_of::<T>() <= size_of::<Words>() && align_of::<T>() <= align_of::<Words>();

    const TABLE: &'static Table<C> = &Table {
        type_id: TypeId::of::<T>,
        // SAFETY: the caller gives away the `T` in `words`.
        drop: |words| unsafe { drop(read::<T, C>(words)) },
        // SAFETY: as above.
        abandon: |words, answer| unsafe { read::<T, C>(words) }.abandon(answer),
    };
}

/// Moves the `T` out of `words`.
///
/// # Safety
/// `words` holds a `T` in the form that `Parcel::new` chose, and the caller never uses it again.
#[inline]
unsafe fn read<T: Payload<C>, C: 'static>(words: &Words) -> T {
    if Of::<T, C>::FITS {
        // SAFETY: it fits, so `new` wrote the value itself at the start, which is aligned enough; the caller gives it up.
        unsafe { ptr::from_ref(words).cast::<T>().read() }
    } else {
        // SAFETY: it does not fit, so `new` wrote the pointer of a box, which the caller gives up.
        unsafe { *Box::from_raw(ptr::from_ref(words).cast::<*mut T>().read()) }
    }
}

impl<C: 'static> Parcel<C> {
    /// Whether a `T` is held without an allocation.
    #[cfg(all(test, not(loom)))]
    pub(crate) const fn fits<T: Payload<C>>() -> bool {
        Of::<T, C>::FITS
    }

    /// Wraps `value`; allocates only if it is larger than six words or oddly aligned.
    #[inline(always)]
    pub(crate) fn new<T: Payload<C>>(value: T) -> Self {
        let mut words = Words::uninit();
        if Of::<T, C>::FITS {
            // SAFETY: `words` is large and aligned enough for a `T`, and ours.
            unsafe { ptr::from_mut(&mut words).cast::<T>().write(value) };
        } else {
            let boxed = Box::into_raw(Box::new(value));
            // SAFETY: `words` is large and aligned enough for a pointer, and ours.
            unsafe { ptr::from_mut(&mut words).cast::<*mut T>().write(boxed) };
        }
        Self { words, table: Of::<T, C>::TABLE, here: PhantomData }
    }

    /// Takes the value back.
    ///
    /// # Panics
    /// If it is not a `T`.
    #[inline]
    pub(crate) fn take<T: Payload<C>>(self) -> T {
        // Before the check: a value that had to be dropped if it fails would lie in memory until then.
        let this = ManuallyDrop::new(self);
        // One type may have several tables (one per codegen unit): the addresses settle only the common case.
        let same = ptr::eq(this.table, Of::<T, C>::TABLE) || (this.table.type_id)() == TypeId::of::<T>();
        assert!(same, "the slot holds no {}", std::any::type_name::<T>());
        // SAFETY: the types agree, and `this` is never dropped.
        unsafe { read::<T, C>(&this.words) }
    }

    /// Hands the answer to the value that nobody awaits.
    pub(crate) fn abandon(self, answer: C) {
        let this = ManuallyDrop::new(self);
        // SAFETY: the table belongs to the value, and `this` is never dropped.
        unsafe { (this.table.abandon)(&this.words, answer) }
    }
}

impl<C: 'static> Drop for Parcel<C> {
    fn drop(&mut self) {
        // SAFETY: the table belongs to the value, and a dropped parcel is not used again.
        unsafe { (self.table.drop)(&self.words) }
    }
}
