//! A foreign waker may run anything while it is cloned: one that runs what a test likes.
#![expect(unsafe_code, reason = "a RawWaker vtable: no safe waker says when it is cloned")]

use std::{
    cell::RefCell,
    ptr::null,
    rc::Rc,
    task::{RawWaker, RawWakerVTable, Waker},
};

type OnClone = Rc<dyn Fn()>;

thread_local! {
    static ON_CLONE: RefCell<Option<OnClone>> = const { RefCell::new(None) };
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, ignore, ignore, ignore);

/// Puts back what is run on a clone, also should it unwind.
struct PutBack(Option<OnClone>);

impl Drop for PutBack {
    fn drop(&mut self) {
        ON_CLONE.set(self.0.take());
    }
}

fn clone(_: *const ()) -> RawWaker {
    // Taken out meanwhile: what it does may clone a waker too.
    let on_clone = PutBack(ON_CLONE.take());
    if let Some(on_clone) = &on_clone.0 {
        on_clone();
    }
    RawWaker::new(null(), &VTABLE)
}

fn ignore(_: *const ()) {}

/// Lends `f` a waker that calls `on_clone` whenever it, or a clone of it, is cloned before `f` returns.
pub(crate) fn with_waker<R>(on_clone: impl Fn() + 'static, f: impl FnOnce(&Waker) -> R) -> R {
    // SAFETY: the functions of the vtable use no data.
    let waker = unsafe { Waker::new(null(), &VTABLE) };
    let _put_back = PutBack(ON_CLONE.replace(Some(Rc::new(on_clone))));
    f(&waker)
}
