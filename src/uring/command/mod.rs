//! A core's ring for commands to the drivers of devices (`IORING_OP_URING_CMD`, Linux 5.19): each entry of 128 bytes carries a command of
//! up to 80, each answer of 32 bytes a word of the driver's beside the result.
//!
//! It stands beside the core's [ordinary ring](super::Ring), which would pay for the size of the entries, and is far simpler: each
//! command is answered once, waits for a device and never for a peer, and cannot be taken back. [`queues`] are the queues and what is
//! in them, [`sent`] is a command's future, [`file`] what it is sent to. Of what it keeps for a command it knows no more than the type,
//! and of the command nothing at all: that is for who [sends](CommandRing::send) it.

mod file;
mod queues;
mod sent;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use file::Target;
pub(crate) use queues::Reply;
pub(crate) use sent::Sent;

use self::queues::{Queues, Reaped};
use super::buffers::Buffers;
use super::{Config, Counters, Error, Setup};
use crate::reactor::{context, driver::Driver};
use crate::sys::dma::DmaChunk;
use std::cell::{Cell, RefCell, RefMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// One io_uring for commands, used by one thread. It keeps an `H` for each command until the driver has answered, whatever becomes of
/// its future.
pub(crate) struct CommandRing<H: 'static> {
    queues: RefCell<Queues<H>>,
    buffers: Buffers,
    event: Rc<OwnedFd>,
    has_ended: Cell<bool>,
}

/// Tells the core's singletons apart.
struct Polling<H: 'static>(Rc<CommandRing<H>>);

impl<H: 'static> CommandRing<H> {
    /// The ring of the core that the calling thread turns, made on first use with this configuration.
    ///
    /// A ring that [polls](Config::is_polling) is another one: it asks devices for completions, and while a command is in flight its core
    /// does not sleep.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// # Panics
    /// With [`NotOnReactor`](crate::NotOnReactor) outside of a reactor.
    #[track_caller]
    pub(crate) fn current_or_new(config: &Config) -> Result<Rc<Self>, Error> {
        let make = || {
            let ring = Self::new(config)?;
            context::add_driver(ring.clone());
            Ok(ring)
        };
        match config.is_polling {
            true => Ok(context::singleton(|| Ok(Rc::new(Polling(make()?))))?.0.clone()),
            false => context::singleton(make),
        }
    }

    /// Makes a ring for the calling thread.
    ///
    /// # Errors
    /// Whatever keeps a ring from being made; [`Error::Unsupported`] before Linux 5.19.
    #[inline(never)]
    pub(crate) fn new(config: &Config) -> Result<Rc<Self>, Error> {
        let queues = Queues::new(config)?;
        // The driver finds a command's buffer in the table since Linux 6.1, as has the best setup.
        let features = match queues.setup() {
            Setup::Deferred => config.features,
            _ => config.features.without(super::Features::BUFFER_TABLE),
        };
        let buffers = Buffers::new(&queues.submitter(), features);
        let event = queues.event().clone();
        Ok(Rc::new(Self { queues: RefCell::new(queues), buffers, event, has_ended: Cell::new(false) }))
    }

    /// What this ring has done so far.
    pub(crate) fn counters(&self) -> Counters {
        self.queues().counters()
    }

    /// The entry of the ring's table of buffers that has the chunk, if there is one.
    fn buffer_entry(&self, chunk: DmaChunk) -> Option<u16> {
        self.buffers.entry(chunk, |index, start, len| self.queues().register_buffer(index, start, len))
    }

    #[inline]
    fn queues(&self) -> RefMut<'_, Queues<H>> {
        self.queues.borrow_mut()
    }

    /// Reaps what is there: what the woken send meanwhile belongs to the next turn.
    fn reap(&self, ready: usize) -> usize {
        for _ in 0..ready {
            let Some(reaped) = self.queues().reap() else { break };
            Self::settle(reaped);
        }
        ready
    }

    /// Wakes or drops, with nothing borrowed.
    fn settle(reaped: Reaped<H>) {
        match reaped {
            Reaped::Wake(waker) => waker.wake(),
            Reaped::Abandon(kept) => drop(kept),
        }
    }
}

impl<H: 'static> Driver for CommandRing<H> {
    #[inline]
    fn poll(&self) -> usize {
        let mut queues = self.queues();
        queues.disarm();
        let ready = queues.fetch();
        drop(queues);
        self.reap(ready)
    }

    #[inline]
    fn flush(&self) {
        self.queues().flush();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    fn arm(&self) -> bool {
        self.queues().arm()
    }

    fn in_flight(&self) -> usize {
        self.queues().outstanding()
    }

    /// What the kernel has not been given is refused. It cannot take commands back from a device: their answers are awaited, for which
    /// the device's own driver sets a time (`nvme_core.io_timeout`).
    fn cancel_all(&self) {
        self.has_ended.set(true);
        loop {
            let Some(reaped) = self.queues().refuse_one() else { break };
            reaped.into_iter().for_each(Self::settle);
        }
    }
}

impl<H: 'static> Drop for CommandRing<H> {
    /// Waits until everything is answered, so that no buffer goes before its command.
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
