//! Where a core finds its queue pairs of one controller.

use super::device::Device;
use super::pair::Pair;
use crate::sync::Mutex;
use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// One core's part of a controller. The pairs themselves are kept by the core, whose drivers they are.
pub(super) struct Seat<D: Device> {
    admin: RefCell<Weak<Pair<D>>>,
    io: RefCell<Weak<Pair<D>>>,
    /// Held while a pair is made, so that one is.
    pub(super) making: Mutex<()>,
}

impl<D: Device> Default for Seat<D> {
    fn default() -> Self {
        Self { admin: RefCell::default(), io: RefCell::default(), making: Mutex::new(()) }
    }
}

impl<D: Device> Seat<D> {
    /// The admin queue pair, if this is home.
    pub(super) fn admin(&self) -> Option<Rc<Pair<D>>> {
        self.admin.borrow().upgrade().filter(|pair| pair.is_open())
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

    /// Ends what is on its way to a controller that is disabled.
    pub(super) fn abort_all(&self) {
        if let Some(pair) = self.io() {
            pair.abort_all();
        }
        if let Some(pair) = self.admin() {
            pair.abort_all();
            pair.retire();
        }
    }
}
