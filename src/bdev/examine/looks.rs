//! What modules have found in one device so far: [`Looks`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::module::Added;
use crate::bdev::gone::{Gone, Here};

/// A module's look at a device, when it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examined {
    /// The module's name.
    pub module: &'static str,
    /// What went wrong, if anything did. Whether the module made use of the device its claim says.
    pub failure: Option<String>,
}

/// Of one device.
#[derive(Debug, Default)]
pub(in crate::bdev) struct Looks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether it shall be examined by whoever has not seen it.
    is_wanted: bool,
    /// The ends of looks, by module.
    over: Vec<(u64, Examined)>,
    /// Somebody's turn to have modules look; the others wait for its end.
    turn: Option<Arc<Gone>>,
}

impl Looks {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn want(&self) {
        self.state().is_wanted = true;
    }

    pub(super) fn record(&self, by: &Added, failure: Option<String>) {
        let mut state = self.state();
        state.over.retain(|(id, _)| *id != by.id);
        state.over.push((by.id, Examined { module: by.name, failure }));
    }

    /// Forgets the looks of those `modules`, which shall look again.
    pub(super) fn forget(&self, modules: &[Arc<Added>]) {
        self.state().over.retain(|(id, _)| modules.iter().all(|module| module.id != *id));
    }

    /// Those of `modules` that have not seen it and should.
    pub(super) fn due(&self, modules: Vec<Arc<Added>>) -> Vec<Arc<Added>> {
        let state = self.state();
        let has_seen = |module: &Arc<Added>| state.over.iter().any(|(id, _)| *id == module.id);
        modules.into_iter().filter(|module| state.is_wanted && !has_seen(module)).collect()
    }

    /// What `modules` have said, in the order in which they were done.
    pub(in crate::bdev) fn said(&self) -> Vec<Examined> {
        self.state().over.iter().map(|(_, said)| said.clone()).collect()
    }

    /// Takes the turn; while it lasts nobody else has modules look. Otherwise what to wait for.
    pub(super) fn take_turn(&self) -> Result<Turn<'_>, Arc<Gone>> {
        let mut state = self.state();
        if let Some(turn) = &state.turn {
            return Err(turn.clone());
        }
        let here = Here::default();
        state.turn = Some(here.0.clone());
        Ok(Turn { looks: self, _here: here })
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.state().turn.is_some()
    }

    /// Waits until nobody looks.
    pub(super) async fn end_of_turn(&self) {
        loop {
            let Some(turn) = self.state().turn.clone() else { return };
            turn.wait().await;
        }
    }
}

/// The right to have modules look at a device.
pub(super) struct Turn<'l> {
    looks: &'l Looks,
    // Dropped behind the body of `drop`: who waits finds the turn free.
    _here: Here,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.looks.state().turn = None;
    }
}
