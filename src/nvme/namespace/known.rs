//! The descriptions of namespaces that this process has given out, so that none outlives what it describes.
//!
//! A namespace has one number at all controllers of its subsystem (Base 2.0 §3.2.1.2), and may be reached through several of them, by
//! queues of this process's own and by the kernel's. Who has one formatted through any of them ends what is known of it everywhere: from
//! before the command is sent until it is answered nothing is known of it, and after that only what was asked anew.

use super::super::Error;
use super::super::queue::Origin;
use super::super::spec::{ALL_NAMESPACES, AdminOpcode, Command, IdentifyController};
use super::{Inner, Namespace};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

static KNOWN: Mutex<Known> = Mutex::new(Known { given: Vec::new(), asked: Vec::new(), changing: Vec::new() });

struct Known {
    given: Vec<Weak<Inner>>,
    /// What is asked for at present.
    asked: Vec<Weak<Asked>>,
    /// What is formatted, deleted or detached at present.
    changing: Vec<Arc<Place>>,
}

fn known() -> MutexGuard<'static, Known> {
    // Each change is one push or retain.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A namespace by its subsystem and its number there, or [all](ALL_NAMESPACES) of them.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What all controllers of a subsystem say alike: serial number, model, and its name if it has one.
    subsystem: Box<[u8]>,
    id: u32,
}

impl Place {
    pub(super) fn new(controller: &IdentifyController, id: u32) -> Self {
        let names: [&[u8]; 3] =
            [&controller.serial_bytes, &controller.model_bytes, &controller.subsystem_bytes];
        Self { subsystem: names.concat().into(), id }
    }

    fn has(&self, other: &Self) -> bool {
        (self.id == ALL_NAMESPACES || self.id == other.id) && self.subsystem == other.subsystem
    }
}

/// The namespaces of this origin that were given out.
pub(in crate::nvme) fn of(origin: Origin) -> Vec<Namespace> {
    let given: Vec<_> = known().given.iter().filter_map(Weak::upgrade).map(Namespace).collect();
    given.into_iter().filter(|one| one.origin() == origin).collect()
}

/// A question of what a namespace is. What was answered before a change came is nothing to go by.
pub(super) struct Question(Arc<Asked>);

struct Asked {
    place: Place,
    is_stale: AtomicBool,
}

impl Question {
    pub(super) fn begin(place: Place) -> Self {
        let asked = Arc::new(Asked { place, is_stale: AtomicBool::new(false) });
        let mut known = known();
        known.asked.retain(|one| one.strong_count() > 0);
        known.asked.push(Arc::downgrade(&asked));
        Self(asked)
    }

    /// Gives what was answered out.
    ///
    /// # Errors
    /// [`Error::NamespaceGone`] if it may be of before a change.
    pub(super) fn end(self, inner: Inner) -> Result<Namespace, Error> {
        let mut known = known();
        // Relaxed: written and read under the lock.
        if self.0.is_stale.load(Relaxed) || known.changing.iter().any(|place| place.has(&self.0.place)) {
            return Err(Error::NamespaceGone);
        }
        let inner = Arc::new(inner);
        known.given.retain(|one| one.strong_count() > 0);
        known.given.push(Arc::downgrade(&inner));
        Ok(Namespace(inner))
    }
}

/// A command on its way that makes something else of a namespace, or takes it away. Kept until that is answered, or never will be.
pub(in crate::nvme) struct Change(Arc<Place>);

impl Change {
    /// The change that `command` makes, if it makes one, through this controller. Retires what was given out.
    pub(in crate::nvme) fn of(controller: &IdentifyController, command: &Command) -> Option<Self> {
        let action = command.cdw(10) & 0xf;
        let id = match AdminOpcode(command.opcode()) {
            AdminOpcode::FORMAT if controller.format.formats_all() || controller.format.erases_all() => {
                ALL_NAMESPACES
            }
            AdminOpcode::FORMAT => command.nsid(),
            // Deletes; detaches.
            AdminOpcode::NAMESPACE_MANAGEMENT | AdminOpcode::NAMESPACE_ATTACHMENT if action == 1 => {
                command.nsid()
            }
            // May delete a group of them.
            AdminOpcode::CAPACITY_MANAGEMENT => ALL_NAMESPACES,
            _ => return None,
        };
        let change = Self(Arc::new(Place::new(controller, id)));
        known().changing.push(change.0.clone());
        change.retire();
        Some(change)
    }

    fn retire(&self) {
        let known = known();
        let given = known.given.iter().filter_map(Weak::upgrade).filter(|one| self.0.has(&one.place));
        given.for_each(|one| Namespace(one).retire());
        let asked = known.asked.iter().filter_map(Weak::upgrade).filter(|one| self.0.has(&one.place));
        asked.for_each(|one| one.is_stale.store(true, Relaxed));
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        // What was asked meanwhile may have been answered before the change.
        self.retire();
        let mut known = known();
        known.changing.retain(|place| !Arc::ptr_eq(place, &self.0));
    }
}
