//! A core's ring: what the turn polls and flushes, and what operations are asked of.
//!
//! The queues themselves are in `queues`, the operations' futures in `op`. This file sees to it that wakers, buffers and
//! whatever they run when woken or dropped never meet a borrowed ring.

use super::at_once::Share;
use super::buffers::Buffers;
use super::queues::{Queues, Reap, Reaped};
use super::{BufferTable, Config, Counters, Error, Features, Setup};
use crate::reactor::{
    context,
    driver::{Bed, Driver},
};
use crate::sys::dma::DmaChunk;
use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// One io_uring, used by one thread.
///
/// Its methods return futures that yield result and buffer. Dropping such a future asks the kernel to give the operation
/// up; what it reads or writes is kept until the kernel has answered. A forgotten future loses its buffer, never more.
///
/// Operations start when first polled, and are handed over when the turn ends. What finds no room waits, in order. When the core of the
/// ring has ended, they answer [`CoreGone`](super::CoreGone).
pub struct Ring {
    queues: RefCell<Queues>,
    buffers: Buffers,
    pub(super) share: Share,
    event: Rc<OwnedFd>,
    /// Since when everything is to be given up.
    ends_since: Cell<Option<Instant>>,
}

/// How long the end of a ring waits for networks to let go of memory that was lent to them: longer than bytes travel around the earth
/// and their acknowledgement back, which may be put off by 200 ms.
const LENT_PATIENCE: Duration = Duration::from_millis(500);

impl Ring {
    /// The ring of the core that the calling thread turns, made on first use.
    ///
    /// # Errors
    /// Whatever keeps a ring from being made.
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub fn current() -> Result<Rc<Self>, Error> {
        Self::current_or_new(&Config::default())
    }

    /// As [`current`](Self::current); one that is made now is made with `config`. Whoever comes first decides: files, sockets and
    /// block devices use the ring that is there.
    ///
    /// ```
    /// use reactor::uring::{Config, Ring};
    /// # reactor::LocalExecutor::new()?.block_on(async {
    /// let mut config = Config::default();
    /// config.workers_max = [2, 2];
    /// let ring = Ring::current_or_new(&config)?;
    /// assert!(std::rc::Rc::ptr_eq(&ring, &Ring::current()?));
    /// # Ok::<(), reactor::uring::Error>(())
    /// # }).unwrap();
    /// # Ok::<(), reactor::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// As [`current`](Self::current).
    #[track_caller]
    pub fn current_or_new(config: &Config) -> Result<Rc<Self>, Error> {
        context::with("uring::Ring::current", |_| ());
        context::singleton(|| {
            let ring = Self::new(config)?;
            context::add_driver(ring.clone());
            Ok(ring)
        })
    }

    /// Makes a ring for the calling thread, which steps it by hand or hands it to its core.
    ///
    /// # Errors
    /// If the kernel has no io_uring, forbids it, or lacks memory or descriptors for it. A kernel without a feature is no
    /// error: see [`setup`](Self::setup).
    #[inline(never)] // some 4 KiB of stack, which a task that asks for its ring need not have
    pub fn new(config: &Config) -> Result<Rc<Self>, Error> {
        let queues = Queues::new(config)?;
        let event = queues.event().clone();
        let buffers = Buffers::new(&queues.uring().submitter(), config.features);
        let (queues, share, ends_since) = (RefCell::new(queues), Share::new(), Cell::new(None));
        Ok(Rc::new(Self { queues, buffers, share, event, ends_since }))
    }

    /// What the kernel agreed to.
    pub fn setup(&self) -> Setup {
        self.queues.borrow().setup()
    }

    /// Which features this ring uses: those that it [may](Config::features) and the kernel has.
    pub fn features(&self) -> Features {
        self.buffers.features(self.queues.borrow().features())
    }

    /// What of the core's [`DmaPool`](crate::sys::dma::DmaPool) is registered with this ring. Operations on such buffers cost less;
    /// nobody need do anything for it.
    pub fn buffer_table(&self) -> BufferTable {
        self.buffers.count()
    }

    /// The entry of the ring's table of buffers that has the chunk, if there is one.
    #[inline]
    pub(super) fn buffer_entry(&self, chunk: Option<DmaChunk>) -> Option<u16> {
        self.buffers.entry(chunk?, |index, start, len| self.queues().register_buffer(index, start, len))
    }

    /// Whether it is at its end, and nothing more is to be asked of it: nobody would hear the answer.
    #[inline]
    pub(super) fn has_ended(&self) -> bool {
        self.ends_since.get().is_some()
    }

    /// What this ring has done so far.
    pub fn counters(&self) -> Counters {
        self.queues().counters()
    }

    /// Whether the submission thread sleeps.
    #[cfg(all(test, not(loom)))]
    pub(super) fn thread_sleeps(&self) -> bool {
        self.queues().thread_sleeps()
    }

    /// Whether the kernel has this, and the ring was made to use it. Not for the table of buffers.
    pub(crate) fn has(&self, feature: Features) -> bool {
        self.queues.borrow().features().contains(feature)
    }

    #[inline]
    pub(super) fn queues(&self) -> RefMut<'_, Queues> {
        self.queues.borrow_mut()
    }

    /// Does what a completion asks for, with nothing borrowed.
    fn settle(reaped: Reaped) {
        match reaped {
            Reaped::Wake(waker) => waker.wake(),
            Reaped::Abandon(parcel, completion) => parcel.abandon(completion),
            Reaped::Unclaimed(source, completion) => source.abandon(completion),
            Reaped::Nothing | Reaped::Stirred => {}
        }
    }

    /// Reaps what is there: what the woken submit meanwhile belongs to the next turn. Returns how many answers to operations that was.
    #[inline]
    fn reap(&self, ready: usize) -> usize {
        let mut stirred = 0;
        for _ in 0..ready {
            let reaped = self.queues().reap();
            match reaped {
                Some(Reap::Wake(waker)) => waker.wake(),
                Some(Reap::Other(bits, completion)) => {
                    let reaped = self.queues().reap_other(bits, completion);
                    stirred += usize::from(matches!(reaped, Reaped::Stirred));
                    Self::settle(reaped);
                }
                None => break,
            }
        }
        ready - stirred
    }
}

impl Driver for Ring {
    #[inline]
    fn poll(&self) -> usize {
        self.share.renew();
        let mut queues = self.queues();
        queues.disarm();
        if queues.is_quiet() {
            return 0;
        }
        let ready = queues.fetch();
        drop(queues);
        self.reap(ready)
    }

    #[inline]
    fn flush(&self) {
        let mut queues = self.queues();
        if !queues.is_quiet() {
            queues.flush();
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    fn arm(&self) -> bool {
        self.queues().arm()
    }

    fn bed(&self) -> Option<&dyn Bed> {
        self.queues().features().contains(Features::SLEEP).then_some(self as &dyn Bed)
    }

    /// In the end, without what a network has kept for longer than there is patience.
    fn in_flight(&self) -> usize {
        let queues = self.queues();
        let is_late = self.ends_since.get().is_some_and(|since| since.elapsed() >= LENT_PATIENCE);
        queues.outstanding() - if is_late { queues.lent() } else { 0 }
    }

    /// Asked again it does nothing: what the kernel has missed is cancelled again without that, and not every millisecond.
    fn cancel_all(&self) {
        if self.has_ended() {
            return;
        }
        self.ends_since.set(Some(Instant::now()));
        loop {
            let Some(reaped) = self.queues().refuse_one() else { break };
            Self::settle(reaped);
        }
        let untaken = self.queues().end_streams();
        for (source, line) in untaken {
            self.abandon(&*source, line);
        }
        self.queues().cancel_all();
    }
}

impl Bed for Ring {
    fn sleep(&self, bell: BorrowedFd<'_>, others: Option<BorrowedFd<'_>>, timeout: Option<Duration>) {
        self.queues().sleep(bell, others, timeout);
    }
}

impl Drop for Ring {
    /// Waits until the kernel has answered everything, so that no buffer goes before its operation and no result is lost. Memory that a
    /// network does not let go of in time is lost with the queues.
    fn drop(&mut self) {
        self.cancel_all();
        while self.in_flight() > 0 {
            let ready = self.queues().fetch();
            if self.reap(ready) == 0 {
                self.queues().wait();
            }
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut queues = self.queues();
        f.debug_struct("Ring")
            .field("setup", &queues.setup())
            .field("features", &self.buffers.features(queues.features()))
            .field("buffers", &self.buffers.count())
            .field("outstanding", &queues.outstanding())
            .field("counters", &queues.counters())
            .finish()
    }
}
