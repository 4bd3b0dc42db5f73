//! The ways to one namespace, which all cores share: which there are, how each is, and which is used.
//!
//! ```text
//!                    add                      failed (1)
//!        (none) ──────────────▶ live ────────────────────────▶ failed
//!           ▲                   │  ▲                           │    │
//!           │                   │  └──── recovered (2) ────────┘    │
//!           │    removed (3)    │                                   │
//!           └───────────────────┴───────────────────────────────────┘
//! ```
//!
//! 1. A core's command came to nothing on it ([`Verdict::OtherPath`](super::failure::Verdict)); the controller is told to look after it.
//! 2. The controller has answered since, and has the namespace. What fails late, of before, is not held against it: its epoch is another.
//! 3. The controller, or its namespace, is gone. With its last path the device goes.
//!
//! A live path is used as well as its access state allows (Base 2.0 §8.1, Asymmetric Namespace Access): an optimized one before a
//! non-optimized one, and one in any other state not at all. Controllers that do not report it count as optimized. Of equal paths the
//! [`PathPolicy`] chooses.
//!
//! The cores see a change by the table's version, which they look at with each I/O. Who finds no path that can be used waits for one.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::attached::Attached;
use super::failure::Failure;
use super::shape::Shape;
use super::{NvmeOptions, PathPolicy, Source};
use crate::bdev::DeviceRef;
use crate::nvme::Namespace;
use crate::nvme::spec::AnaState;

/// What all cores share of a device: a namespace, and the paths to it.
pub(super) struct Disk<S: Source> {
    pub(super) shape: Shape,
    pub(super) options: NvmeOptions,
    table: Mutex<Table<S>>,
    /// Grows with each change of the table, under its lock.
    version: AtomicU32,
}

struct Table<S: Source> {
    /// In order of preference.
    paths: Vec<Path<S>>,
    policy: PathPolicy,
    /// Of the next path, or of one that has recovered.
    next_epoch: u64,
    /// Its last path has gone: there will be no other.
    is_over: bool,
    /// Who waits for the table to change.
    waiting: Vec<Waker>,
    device: Option<DeviceRef>,
}

/// One way to the namespace.
pub(super) struct Path<S: Source> {
    /// Another one each time that it becomes live.
    pub(super) epoch: u64,
    pub(super) controller: Arc<Attached<S>>,
    /// What the namespace is, as that controller has said.
    namespace: Namespace,
    /// Why it is not used at present.
    failure: Option<String>,
    access: AnaState,
}

/// A path that I/O goes to: its epoch, its controller, and the namespace as that has it.
pub(super) type Used<S> = (u64, Arc<Attached<S>>, Namespace);

/// How a path is, from [`NvmeDisk::paths`](super::NvmeDisk::paths).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PathStatus {
    /// The name that its controller was attached by.
    pub controller: String,
    /// How well the controller says that it leads there; optimized if it says nothing.
    pub access: AnaState,
    /// Why it is not used until the controller answers again.
    pub failure: Option<String>,
    /// Whether I/O goes there at present.
    pub is_used: bool,
}

impl<S: Source> Path<S> {
    /// How good it is, the best first; none if it cannot be used.
    fn rank(&self) -> Option<u8> {
        match (&self.failure, self.access) {
            (Some(_), _) => None,
            (None, AnaState::OPTIMIZED) => Some(0),
            (None, AnaState::NON_OPTIMIZED) => Some(1),
            (None, _) => None,
        }
    }
}

impl<S: Source> Table<S> {
    fn of(&mut self, controller: &Attached<S>) -> Option<&mut Path<S>> {
        self.paths.iter_mut().find(|path| std::ptr::eq(&*path.controller, controller))
    }

    /// Those that I/O goes to.
    fn used(&self) -> impl Iterator<Item = &Path<S>> {
        let best = self.paths.iter().filter_map(Path::rank).min();
        let many = match self.policy {
            PathPolicy::ActivePassive => 1,
            PathPolicy::RoundRobin => usize::MAX,
        };
        self.paths.iter().filter(move |path| best.is_some() && path.rank() == best).take(many)
    }
}

impl<S: Source> Disk<S> {
    pub(super) fn new(shape: Shape, options: NvmeOptions) -> Self {
        let table = Table {
            paths: Vec::new(),
            policy: options.policy,
            next_epoch: 0,
            is_over: false,
            waiting: Vec::new(),
            device: None,
        };
        Self { shape, options, table: Mutex::new(table), version: AtomicU32::new(0) }
    }

    fn table(&self) -> MutexGuard<'_, Table<S>> {
        // Each change is whole before anything could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table, and has everybody look at it again if `change` says so.
    fn change(&self, change: impl FnOnce(&mut Table<S>) -> bool) -> bool {
        let mut table = self.table();
        let is_changed = change(&mut table);
        let waiting = if is_changed {
            // Relaxed: what it tells of is read under the lock.
            self.version.fetch_add(1, Ordering::Relaxed);
            std::mem::take(&mut table.waiting)
        } else {
            Vec::new()
        };
        drop(table);
        waiting.into_iter().for_each(Waker::wake);
        is_changed
    }

    /// Looked at for each I/O: another one than before says that the table has changed.
    #[inline(always)]
    pub(super) fn version(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// The version, and the paths that I/O goes to.
    pub(super) fn used(&self) -> (u32, Vec<Used<S>>) {
        let table = self.table();
        let used = |path: &Path<S>| (path.epoch, path.controller.clone(), path.namespace.clone());
        (self.version(), table.used().map(used).collect())
    }

    /// Adds a path, the last to be preferred. False if there is one by that controller, or by one that says it is the same, or if the
    /// last has gone before.
    pub(super) fn add(&self, controller: &Arc<Attached<S>>, namespace: &Namespace, access: AnaState) -> bool {
        self.change(|table| {
            let id = |controller: &Attached<S>| controller.source.identity().controller_id;
            if table.is_over || table.paths.iter().any(|path| id(&path.controller) == id(controller)) {
                return false;
            }
            let epoch = table.next_epoch;
            table.next_epoch += 1;
            let (controller, namespace) = (controller.clone(), namespace.clone());
            table.paths.push(Path { epoch, controller, namespace, failure: None, access });
            true
        })
    }

    /// (1) A command came to nothing on the path of this `epoch`; tells its controller, if it is news.
    pub(super) fn failed(&self, epoch: u64, failure: &Failure) {
        let mut controller = None;
        self.change(|table| {
            let path = table.paths.iter_mut().find(|path| path.epoch == epoch && path.failure.is_none());
            let Some(path) = path else { return false };
            path.failure = Some(failure.to_string());
            controller = Some(path.controller.clone());
            true
        });
        if let Some(controller) = controller {
            controller.look_soon();
        }
    }

    /// The path of this `epoch` does not lead there at present, though the controller answers: it is asked for its access states.
    pub(super) fn access_changed(&self, epoch: u64) {
        let mut controller = None;
        self.change(|table| {
            let Some(path) = table.paths.iter_mut().find(|path| path.epoch == epoch) else { return false };
            controller = Some(path.controller.clone());
            std::mem::replace(&mut path.access, AnaState::CHANGE) != AnaState::CHANGE
        });
        if let Some(controller) = controller {
            controller.look_soon();
        }
    }

    /// (2) The controller has answered, and has the namespace. One that was formatted as it was before has a description anew.
    pub(super) fn recovered(&self, controller: &Attached<S>, namespace: &Namespace) {
        self.change(|table| {
            let epoch = table.next_epoch;
            let Some(path) = table.of(controller) else { return false };
            let is_stale = path.namespace.is_gone();
            if is_stale {
                path.namespace = namespace.clone();
            }
            if path.failure.take().is_none() && !is_stale {
                return false;
            }
            path.epoch = epoch;
            table.next_epoch += 1;
            true
        });
    }

    /// How well the controller says that it leads there.
    pub(super) fn set_access(&self, controller: &Attached<S>, access: AnaState) {
        self.change(|table| match table.of(controller) {
            Some(path) => std::mem::replace(&mut path.access, access) != access,
            None => false,
        });
    }

    /// (3) The path by `controller` is gone; and with the last one the device, of which the handle is returned.
    pub(super) fn removed(&self, controller: &Attached<S>) -> Option<DeviceRef> {
        let (mut gone, mut last) = (None, None);
        self.change(|table| {
            let at = table.paths.iter().position(|path| std::ptr::eq(&*path.controller, controller));
            gone = at.map(|at| table.paths.remove(at));
            table.is_over |= gone.is_some() && table.paths.is_empty();
            last = table.device.clone().filter(|_| table.is_over);
            gone.is_some()
        });
        // With the table free: it may be the last of the controller.
        gone.and(last)
    }

    /// Puts the path by the controller of this name first. False if there is none.
    pub(super) fn prefer(&self, controller: &str) -> bool {
        let mut is_there = false;
        self.change(|table| {
            let at = table.paths.iter().position(|path| path.controller.name == controller);
            is_there = at.is_some();
            at.is_some_and(|at| {
                table.paths[..=at].rotate_right(1);
                at > 0
            })
        });
        is_there
    }

    pub(super) fn set_policy(&self, policy: PathPolicy) {
        self.change(|table| std::mem::replace(&mut table.policy, policy) != policy);
    }

    pub(super) fn policy(&self) -> PathPolicy {
        self.table().policy
    }

    pub(super) fn status(&self) -> Vec<PathStatus> {
        let table = self.table();
        let used: Vec<_> = table.used().map(|path| path.epoch).collect();
        let status = |path: &Path<S>| PathStatus {
            controller: path.controller.name.clone(),
            access: path.access,
            failure: path.failure.clone(),
            is_used: used.contains(&path.epoch),
        };
        table.paths.iter().map(status).collect()
    }

    /// Whether the namespace was formatted since a path was made.
    pub(super) fn is_stale(&self) -> bool {
        self.table().paths.iter().any(|path| path.namespace.is_gone())
    }

    pub(super) fn controllers(&self) -> Vec<Arc<Attached<S>>> {
        self.table().paths.iter().map(|path| path.controller.clone()).collect()
    }

    pub(super) fn set_device(&self, device: DeviceRef) {
        self.table().device = Some(device);
    }

    pub(super) fn device(&self) -> Option<DeviceRef> {
        self.table().device.clone()
    }

    /// Ready when the table is not that of `version` any more; with whether there is any path, be it one that cannot be used.
    pub(super) fn poll_change(&self, version: u32, cx: &mut Context<'_>) -> Poll<bool> {
        // Cloned before the lock: that may run foreign code.
        let waker = cx.waker().clone();
        let mut table = self.table();
        if self.version() != version || table.is_over {
            return Poll::Ready(!table.is_over);
        }
        if !table.waiting.iter().any(|known| known.will_wake(&waker)) {
            table.waiting.push(waker);
        }
        Poll::Pending
    }
}
