//! Who waits for a buffer of a dry pool: [`Alloc`], and the line that its futures stand in.
//!
//! ```text
//!   alloc ─ idle ──────────────────────────────────────────────► DmaBuf
//!     │ dry, or others wait
//!     ▼
//!   in line ── first, and enough came back: a buffer is put aside ──► woken ── polled ──► DmaBuf
//!     │ dropped: the next is first                                      │ dropped: the buffer goes home, and on
//! ```
//!
//! Only the owner's thread has to do with the line. A buffer dropped elsewhere wakes the first in line, whose poll takes it
//! home and serves whom it can. Buffers are put aside for their waiter rather than left for whoever comes: none can be
//! overtaken, and one that is woken and does not look keeps up nobody behind it.
#![expect(unsafe_code, reason = "slots that were found become buffers")]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::bytes::DmaBuf;
use super::error::AllocError;
use super::pool::DmaPool;
use super::supply::needed;
use crate::sys::unwind;
use crate::sys::wait_list::{Key, Verdict, WaitList, poll_place};

/// The line of one pool.
#[derive(Default)]
pub(super) struct Waiting {
    line: RefCell<WaitList<Ask>>,
    /// Somebody stands in it, and what lies idle is promised.
    is_waited: Cell<bool>,
    count: Cell<usize>,
    total: Cell<u64>,
}

/// What a waiter wants and, in time, gets.
struct Ask {
    len: usize,
    answer: Cell<Option<Result<DmaBuf, AllocError>>>,
}

/// A buffer to come, from [`DmaPool::alloc`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Alloc<'p> {
    pool: &'p DmaPool,
    len: usize,
    /// The place in line; none before the first poll and after the answer.
    key: Option<Key>,
}

impl<'p> Alloc<'p> {
    #[inline(always)]
    pub(super) fn new(pool: &'p DmaPool, len: usize) -> Self {
        Self { pool, len, key: None }
    }

    #[cold]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<DmaBuf, AllocError>> {
        let pool = self.pool;
        let waiting = &pool.lists().waiting;
        let key = match &self.key {
            Some(key) => {
                pool.take_returned();
                pool.serve(Some(key));
                key
            }
            None => {
                if let Some(answer) = pool.alloc_slow(self.len) {
                    return Poll::Ready(answer);
                }
                let ask = Ask { len: self.len, answer: Cell::new(None) };
                let waker = cx.waker().clone();
                let key = waiting.line.borrow_mut().push_back(ask, waker);
                waiting.count.set(waiting.count.get() + 1);
                waiting.total.set(waiting.total.get() + 1);
                waiting.is_waited.set(true);
                pool.lists().settle();
                let key = self.key.insert(key);
                pool.serve(Some(key));
                key
            }
        };
        let mut is_new = false;
        let looked = poll_place(cx.waker(), |waker, clone| {
            is_new = clone.is_some();
            waiting.line.borrow_mut().poll(key, waker, clone)
        });
        match looked {
            Poll::Ready(_) => Poll::Ready(self.leave().expect("the answer came with the verdict")),
            Poll::Pending => {
                if is_new {
                    // If this is the first in line, others must wake the new waker.
                    pool.serve(None);
                }
                Poll::Pending
            }
        }
    }

    /// Gives the place in line back. What was put aside, if anything.
    fn leave(&mut self) -> Option<Result<DmaBuf, AllocError>> {
        let waiting = &self.pool.lists().waiting;
        let removed = waiting.line.borrow_mut().remove(self.key.take()?);
        if removed.verdict.is_none() {
            waiting.count.set(waiting.count.get() - 1);
        }
        removed.ask.answer.take()
    }
}

impl Future for Alloc<'_> {
    type Output = Result<DmaBuf, AllocError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.key.is_none() {
            if let Some(buf) = self.pool.alloc_idle(self.len) {
                return Poll::Ready(Ok(buf));
            }
        }
        self.poll_slow(cx)
    }
}

impl Drop for Alloc<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        #[cold]
        fn give_up(alloc: &mut Alloc<'_>) {
            // A buffer that was put aside goes home here, and to the next in line.
            drop(alloc.leave());
            alloc.pool.serve(None);
        }
        if self.key.is_some() {
            give_up(self);
        }
    }
}

impl DmaPool {
    /// Takes home what other cores have dropped, for whoever waits.
    pub(super) fn come_home(&self) {
        self.take_returned();
        if !self.lists().is_plain.get() {
            self.serve(None);
        }
    }

    /// Puts buffers aside for those who are first in line, as far as they go, and wakes them; then has the next return from
    /// another core wake who is first now.
    ///
    /// Called whenever somebody waits and something has come back, the line or the limit has changed. Who is `polled` looks
    /// for itself and is not woken. Nothing is borrowed while a waker runs, which may come back here.
    #[cold]
    pub(super) fn serve(&self, polled: Option<&Key>) {
        loop {
            self.help();
            while let Some((waker, looks_itself)) = self.serve_first(polled) {
                // None: it is being cloned, and then woken by who does.
                if let (Some(waker), false) = (waker, looks_itself) {
                    unwind::wake(waker);
                }
            }
            let lent = self.lists().waiting.lend_first();
            let Some(lent) = lent else {
                if !self.lists().waiting.line.borrow().is_empty() {
                    // We were called by a waker that is being cloned here: who does so goes on.
                    return;
                }
                self.end_waiting();
                if self.listen() {
                    return;
                }
                self.take_returned();
                continue;
            };
            let Some(first) = lent.clone_waker() else { return };
            if lent.give_back() && self.stand() && self.shared().returns.await_next(first) {
                return;
            }
            self.take_returned();
        }
    }

    /// Settles the first in line, if that is possible now, and returns its waker and whether that is who is `polled`.
    fn serve_first(&self, polled: Option<&Key>) -> Option<(Option<Waker>, bool)> {
        let local = self.lists();
        let mut line = local.waiting.line.borrow_mut();
        let looks_itself = polled.is_some_and(|key| line.is_first(key));
        let ask = line.front()?;
        let answer = match local.recall.fetch(ask.len) {
            Some(buf) => Ok(buf),
            None => match local.obtain(self.shared_ptr(), ask.len) {
                // SAFETY: it was just popped or made, for so many bytes or more.
                Ok(slot) => Ok(unsafe { self.hand_out(slot, ask.len) }),
                Err(e) if e.is_dry() => return None,
                Err(e) => {
                    self.count_refused();
                    Err(e)
                }
            },
        };
        ask.answer.set(Some(answer));
        local.waiting.count.set(local.waiting.count.get() - 1);
        Some((line.settle_front(Verdict::Granted), looks_itself))
    }

    /// Has the reserve know of the first in line. False if it may be served now.
    fn stand(&self) -> bool {
        let local = self.lists();
        let len = local.waiting.line.borrow().front().map(|ask| ask.len);
        len.is_none_or(|len| local.recall.stand(needed(len)))
    }

    fn end_waiting(&self) {
        let local = self.lists();
        if local.waiting.is_waited.replace(false) {
            self.shared().returns.withdraw();
            local.recall.withdraw();
            local.settle();
        }
    }
}

/// The first one's waker, out of the line while it is cloned: a clone may run foreign code, which may unwind or come back here.
struct Lent<'l> {
    line: &'l RefCell<WaitList<Ask>>,
    place: usize,
    waker: Option<Waker>,
}

impl Lent<'_> {
    /// If that unwinds, its owner is woken, and looks again instead of being told.
    fn clone_waker(&self) -> Option<Waker> {
        let waker = self.waker.as_ref()?;
        let clone = unwind::contained(|| waker.clone());
        if clone.is_none() {
            unwind::contained(|| waker.wake_by_ref());
        }
        clone
    }

    /// Whether its owner is still first, and waits with it. Otherwise it is woken: it may have got its answer meanwhile.
    fn give_back(mut self) -> bool {
        self.put_back()
    }

    fn put_back(&mut self) -> bool {
        let Some(waker) = self.waker.take() else { return true };
        let left_over = self.line.borrow_mut().take_back(self.place, waker);
        let is_back = left_over.is_none();
        left_over.into_iter().for_each(unwind::wake);
        is_back
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.put_back();
    }
}

impl Waiting {
    /// The first one's waker, if somebody waits and it is there.
    fn lend_first(&self) -> Option<Lent<'_>> {
        let (place, waker) = self.line.borrow_mut().lend_first()?;
        Some(Lent { line: &self.line, place, waker: Some(waker) })
    }

    /// How many stand in line.
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// How many ever did.
    pub(super) fn total(&self) -> u64 {
        self.total.get()
    }

    #[inline]
    pub(super) fn is_waited(&self) -> bool {
        self.is_waited.get()
    }

    /// The pool ends: futures that were forgotten in line leave it, with the buffers put aside for them.
    pub(super) fn end(&self, pool: &DmaPool) {
        let forgotten = self.line.take();
        pool.end_waiting();
        drop(forgotten);
    }
}

impl fmt::Debug for Alloc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alloc").field("len", &self.len).field("waits", &self.key.is_some()).finish()
    }
}
