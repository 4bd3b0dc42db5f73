//! Where a core finds its queue pairs of one controller.

use super::commands::Flow;
use super::device::Device;
use super::done::Lost;
use super::pair::Pair;
use crate::sync::{Mutex, Semaphore};
use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};

/// One core's part of a controller. The pairs themselves are kept by the core, whose drivers they are.
pub(super) struct Seat<D: Device> {
    admin: RefCell<Weak<Pair<D>>>,
    io: RefCell<Weak<Pair<D>>>,
    /// Held while a pair is made, so that one is.
    pub(super) making: Mutex<()>,
    /// At home, held while the controller is reset or closed.
    pub(super) resetting: Mutex<()>,
    /// At home, for each abort that the controller takes at a time.
    aborts: OnceCell<Semaphore>,
}

impl<D: Device> Default for Seat<D> {
    fn default() -> Self {
        Self {
            admin: RefCell::default(),
            io: RefCell::default(),
            making: Mutex::new(()),
            resetting: Mutex::new(()),
            aborts: OnceCell::new(),
        }
    }
}

impl<D: Device> Seat<D> {
    /// The admin queue pair, if this is home.
    pub(super) fn admin(&self) -> Option<Rc<Pair<D>>> {
        self.admin.borrow().upgrade().filter(|pair| pair.is_open())
    }

    /// The aborts of a controller that takes `most` at a time.
    pub(super) fn aborts(&self, most: usize) -> &Semaphore {
        self.aborts.get_or_init(|| Semaphore::new(most))
    }

    pub(super) fn set_admin(&self, pair: &Rc<Pair<D>>) {
        self.admin.replace(Rc::downgrade(pair));
    }

    /// The core's I/O queue pair, if it has one.
    pub(super) fn io(&self) -> Option<Rc<Pair<D>>> {
        self.io.borrow().upgrade().filter(|pair| pair.is_open())
    }

    pub(super) fn set_io(&self, pair: &Rc<Pair<D>>) {
        self.io.replace(Rc::downgrade(pair));
    }

    /// Has all commands wait.
    pub(super) fn hold(&self) {
        self.pairs().for_each(|pair| pair.set_flow(Flow::Held));
    }

    /// Empties the queues of a controller that is disabled. Home's own commands may go from then on.
    pub(super) fn restart(&self) {
        self.pairs().for_each(|pair| pair.restart());
        if let Some(admin) = self.admin() {
            admin.set_flow(Flow::Reserved);
        }
    }

    /// Has commands go on.
    pub(super) fn resume(&self) {
        self.pairs().for_each(|pair| pair.set_flow(Flow::Open));
    }

    /// Takes no more commands, for this reason.
    pub(super) fn refuse(&self, lost: Lost) {
        self.pairs().for_each(|pair| pair.set_flow(Flow::Over(lost)));
    }

    /// The same, and ends what is on its way to a controller that is disabled, or gone.
    pub(super) fn end(&self, lost: Lost) {
        // Those that take no more commands as well: they were refused.
        let admin = self.admin.borrow().upgrade();
        self.io.borrow().upgrade().into_iter().chain(admin.clone()).for_each(|pair| pair.end(lost));
        if let Some(admin) = admin {
            admin.retire();
        }
    }

    fn pairs(&self) -> impl Iterator<Item = Rc<Pair<D>>> {
        self.io().into_iter().chain(self.admin())
    }
}
