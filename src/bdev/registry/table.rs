//! The table itself: every name, alias and UUID stands in it once, and each step on it is whole.
//!
//! ```text
//!              reserve()                fill()
//!   (free) ──────────────► Reserved ──────────────► Known ──┐ unregister(), forget(), or its last
//!      ▲                      │ dropped, unregistered       │ descriptor closed if it is transient
//!      └──────────────────────┴─────────────────────────────┘
//! ```
//!
//! Nothing of a module runs, and no device is dropped, with the table locked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::names::{self, Names};
use crate::bdev::device::Device;
use crate::bdev::gone::{Gone, Here};
use crate::bdev::{Error, Result};

pub(super) enum Entry {
    /// Somebody makes the device; who waits for that is told when it is over. Only what is open by its spec is waited for: what is
    /// created is there when its maker says so, and could stand on itself.
    Reserved {
        over: Arc<Gone>,
        is_transient: bool,
    },
    Registered(Arc<Device>),
    /// There for as long as somebody has it open.
    Transient(Weak<Device>),
}

impl Entry {
    pub(super) fn device(&self) -> Option<Arc<Device>> {
        match self {
            Self::Reserved { .. } => None,
            Self::Registered(device) => Some(device.clone()),
            Self::Transient(device) => device.upgrade(),
        }
    }

    pub(super) fn is(&self, device: &Arc<Device>) -> bool {
        match self {
            Self::Reserved { .. } => false,
            Self::Registered(known) => Arc::ptr_eq(known, device),
            Self::Transient(known) => known.as_ptr() == Arc::as_ptr(device),
        }
    }

    /// Whether there is a device to open.
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Reserved { .. }) && self.is_alive()
    }

    /// Asked with the table locked, so it must not hold what could be the last reference to a device.
    fn is_alive(&self) -> bool {
        match self {
            Self::Reserved { .. } | Self::Registered(_) => true,
            Self::Transient(device) => device.strong_count() > 0,
        }
    }
}

pub(super) struct Table {
    /// By name.
    pub(super) entries: BTreeMap<String, Entry>,
    /// Aliases and UUIDs, and the name of whose they are, which stands above.
    pub(super) others: BTreeMap<String, String>,
}

/// Taken to open, register and list: never per I/O.
static TABLE: Mutex<Table> = Mutex::new(Table { entries: BTreeMap::new(), others: BTreeMap::new() });

pub(super) fn lock() -> MutexGuard<'static, Table> {
    // Nothing below panics half way.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    /// The name of what is known as `name`, by whatever it is called.
    pub(super) fn resolve(&self, name: &str) -> Option<String> {
        let name = names::canonical(name.to_owned());
        if self.entries.contains_key(&name) { Some(name) } else { self.others.get(&name).cloned() }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.get(&self.resolve(name)?)
    }

    /// Whether `name` is free.
    pub(super) fn must_be_free(&self, name: &str) -> Result<()> {
        let reason = match (self.entries.get(name), self.others.get(name)) {
            (Some(Entry::Reserved { .. }), _) => "a device of that name is being made".to_owned(),
            (Some(Entry::Registered(_)), _) => "the name is taken: unregister that device first".to_owned(),
            (Some(transient), _) if transient.is_alive() => {
                "that device is open: close it first, or open it by that name".to_owned()
            }
            (_, Some(owner)) => {
                format!("{owner:?} is known by that too: choose another, or unregister that first")
            }
            _ => return Ok(()),
        };
        Err(Error::BadName { name: name.to_owned(), reason })
    }

    /// Takes out the entry called `name` with all that is said of it. To be dropped with the table unlocked.
    #[must_use]
    pub(super) fn take(&mut self, name: &str) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        self.others.retain(|_, owner| owner != name);
        Some(entry)
    }
}

/// The names of a device that is being made: nobody else's until this is filled, or dropped.
pub(crate) struct Reservation {
    names: Names,
    is_transient: bool,
    here: Here,
}

impl Reservation {
    /// Takes all of `names`, or none.
    pub(crate) fn of(names: Names) -> Result<Self> {
        names.validate()?;
        let mut table = lock();
        table.entries.retain(|_, entry| entry.is_alive());
        table.must_be_free(&names.name)?;
        names.others().try_for_each(|other| table.must_be_free(&other))?;
        Ok(Self::enter(&mut table, names, false))
    }

    pub(super) fn enter(table: &mut Table, names: Names, is_transient: bool) -> Self {
        let here = Here::default();
        table.entries.insert(names.name.clone(), Entry::Reserved { over: here.0.clone(), is_transient });
        table.others.extend(names.others().map(|other| (other, names.name.clone())));
        Self { names, is_transient, here }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The device was made.
    ///
    /// # Errors
    /// [`Error::Removed`] if it has gone already, or was unregistered before it was there.
    pub(super) fn fill(self, device: &Arc<Device>) -> Result<()> {
        let mut table = lock();
        let is_ours = self.is_in(&table);
        let entry = table.entries.get_mut(&self.names.name).filter(|_| is_ours && !device.is_removed());
        match entry {
            Some(entry) if self.is_transient => *entry = Entry::Transient(Arc::downgrade(device)),
            Some(entry) => *entry = Entry::Registered(device.clone()),
            None => {
                drop(table);
                return Err(Error::Removed);
            }
        }
        drop(table);
        Ok(())
    }

    fn is_in(&self, table: &Table) -> bool {
        matches!(table.entries.get(&self.names.name), Some(Entry::Reserved { over, .. }) if Arc::ptr_eq(over, &self.here.0))
    }
}

impl Drop for Reservation {
    /// What was filled is no reservation any more. Who waits is told behind this, by the drop of `here`.
    fn drop(&mut self) {
        let mut table = lock();
        let entry = if self.is_in(&table) { table.take(&self.names.name) } else { None };
        drop(table);
        drop(entry);
    }
}
