//! What the controllers of one subsystem share: its namespaces, which of them they have attached, and how well they reach them.
//!
//! A controller that changes what others see leaves them a letter, which they read when they are stepped.

use super::super::spec::{AnaState, StatusCode};
use super::config::SoftNamespace;
use super::firmware::Firmware;
use super::namespace::Namespace;
use super::reservation::{Notices, Told};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The largest identifier of a namespace: NN.
pub(super) const NAMESPACES_MAX: u32 = 256;
/// Controllers of a subsystem: a bit each in a word.
const CONTROLLERS_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Subsystem {
    pub(super) serial: Serial,
    /// By identifier, less one.
    namespaces: Vec<Option<Namespace>>,
    pub(super) ports: Vec<Port>,
    pub(super) firmware: Firmware,
}

/// Tells the subsystems of a process apart.
pub(super) struct Serial(pub(super) u64);

impl Default for Serial {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // Relaxed: a number, each once.
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

/// What the subsystem knows of one controller.
#[derive(Default)]
pub(super) struct Port {
    letters: VecDeque<Letter>,
    /// Groups that are not optimized.
    ana: BTreeMap<u32, AnaState>,
    /// How often the ANA log has changed.
    pub(super) ana_changes: u64,
}

/// What a controller has to tell its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    /// A namespace has come, gone or changed.
    Namespace(u32),
    /// Another ANA state.
    Ana,
    /// A zone, by its first block.
    Zone(u32, u64),
    Reservation(u32, Told),
}

impl Subsystem {
    /// A further controller's identifier. It has all namespaces attached that there are.
    pub(super) fn join(&mut self) -> u16 {
        let id = self.ports.len();
        assert!(id < CONTROLLERS_MAX, "a subsystem has up to {CONTROLLERS_MAX} controllers");
        self.ports.push(Port::default());
        self.all_mut().for_each(|namespace| namespace.attached |= 1 << id);
        id as u16
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.iter().flatten()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Namespace> {
        self.namespaces.iter_mut().flatten()
    }

    /// One that exists, attached or not.
    pub(super) fn allocated(&mut self, id: u32) -> Option<&mut Namespace> {
        self.namespaces.get_mut(id.checked_sub(1)? as usize)?.as_mut()
    }

    /// One that is attached to this controller.
    #[inline]
    pub(super) fn attached(&mut self, id: u32, controller: u16) -> Result<&mut Namespace, StatusCode> {
        let namespace = self.namespaces.get_mut(id.wrapping_sub(1) as usize).and_then(Option::as_mut);
        namespace.filter(|one| one.attached >> controller & 1 == 1).ok_or(StatusCode::INVALID_NAMESPACE)
    }

    /// Makes one, attached to nobody.
    pub(super) fn create(&mut self, config: SoftNamespace) -> Result<u32, StatusCode> {
        let at = self.namespaces.iter().position(Option::is_none).unwrap_or(self.namespaces.len());
        if at == NAMESPACES_MAX as usize {
            return Err(StatusCode::NAMESPACE_ID_UNAVAILABLE);
        }
        if at == self.namespaces.len() {
            self.namespaces.push(None);
        }
        let id = at as u32 + 1;
        self.namespaces[at] = Some(Namespace::new(id, config));
        Ok(id)
    }

    /// Deletes one. Those who had it are told.
    pub(super) fn delete(&mut self, id: u32) -> Result<(), StatusCode> {
        let at = id.wrapping_sub(1) as usize;
        let namespace = self.namespaces.get_mut(at).and_then(Option::take);
        let namespace = namespace.ok_or(StatusCode::INVALID_NAMESPACE)?;
        self.tell(namespace.attached, Letter::Namespace(id));
        Ok(())
    }

    /// Leaves a letter to each of these controllers, which are a bit each.
    pub(super) fn tell(&mut self, controllers: u64, letter: Letter) {
        for (id, port) in self.ports.iter_mut().enumerate() {
            if controllers >> id & 1 == 1 && !port.letters.contains(&letter) {
                port.letters.push_back(letter);
            }
        }
    }

    pub(super) fn tell_reservation(&mut self, nsid: u32, notices: Notices) {
        for (controller, told) in notices {
            self.tell(1 << controller, Letter::Reservation(nsid, told));
        }
    }

    #[inline]
    pub(super) fn letter(&mut self, controller: u16) -> Option<Letter> {
        self.ports[usize::from(controller)].letters.pop_front()
    }

    /// How well this controller reaches a group.
    pub(super) fn ana(&self, controller: u16, group: u32) -> AnaState {
        self.ports[usize::from(controller)].ana.get(&group).copied().unwrap_or(AnaState::OPTIMIZED)
    }

    pub(super) fn set_ana(&mut self, controller: u16, group: u32, state: AnaState) {
        let port = &mut self.ports[usize::from(controller)];
        match state {
            AnaState::OPTIMIZED => _ = port.ana.remove(&group),
            state => _ = port.ana.insert(group, state),
        }
        port.ana_changes += 1;
        self.tell(1 << controller, Letter::Ana);
    }

    /// Whether this controller reaches all groups as well as can be.
    #[inline]
    pub(super) fn reaches_all(&self, controller: u16) -> bool {
        self.ports[usize::from(controller)].ana.is_empty()
    }

    /// Whether this controller reaches a group at all (Base 2.0 §8.1).
    pub(super) fn reaches(&self, controller: u16, group: u32) -> Result<(), StatusCode> {
        match self.ana(controller, group) {
            AnaState::INACCESSIBLE => Err(StatusCode::ANA_INACCESSIBLE),
            AnaState::PERSISTENT_LOSS => Err(StatusCode::ANA_PERSISTENT_LOSS),
            AnaState::CHANGE => Err(StatusCode::ANA_TRANSITION),
            _ => Ok(()),
        }
    }
}
