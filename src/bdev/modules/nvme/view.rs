//! The paths that one core uses, and its queues on them.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use super::Source;
use super::attached::Attached;
use super::paths::{Disk, Used};
use crate::nvme::{Error, Namespace};

/// The paths that this core uses, as of one version of the table.
pub(super) struct View<S: Source> {
    pub(super) version: u32,
    pub(super) used: Vec<Rc<Here<S>>>,
    /// Whose turn it was, of several.
    turn: Cell<usize>,
}

/// A path, and this core's queue on it.
pub(super) struct Here<S: Source> {
    pub(super) epoch: Cell<u64>,
    pub(super) controller: Arc<Attached<S>>,
    pub(super) namespace: Namespace,
    pub(super) queue: OnceCell<S::Queue>,
}

impl<S: Source> Here<S> {
    /// The queue, if a command can go there at once: there is one, and the namespace is what it was. Whoever asks sends before he awaits
    /// anything.
    #[inline(always)]
    pub(super) fn ready(&self) -> Option<&S::Queue> {
        if self.namespace.is_gone() { None } else { self.queue.get() }
    }

    /// The queue, once there is one, if the namespace is what it was. Whoever asks sends before he awaits anything.
    pub(super) async fn ready_soon(&self) -> Result<&S::Queue, Error> {
        let queue = self.queue().await?;
        if self.namespace.is_gone() { Err(Error::NamespaceGone) } else { Ok(queue) }
    }

    /// This core's queue, made with the first I/O. Several may ask for it at a time, and get the same.
    async fn queue(&self) -> Result<&S::Queue, Error> {
        if let Some(queue) = self.queue.get() {
            return Ok(queue);
        }
        let queue = self.controller.source.queue().await?;
        Ok(self.queue.get_or_init(|| queue))
    }
}

impl<S: Source> View<S> {
    pub(super) fn of(disk: &Disk<S>, before: &[Rc<Here<S>>]) -> Self {
        let (version, paths) = disk.used();
        let here = |(epoch, controller, namespace): Used<S>| {
            let known = before.iter().find(|it| Arc::ptr_eq(&it.controller, &controller));
            match known.filter(|it| it.namespace.is(&namespace)) {
                Some(here) => {
                    here.epoch.set(epoch);
                    here.clone()
                }
                None => {
                    let queue = known.map(|it| it.queue.clone()).unwrap_or_default();
                    Rc::new(Here { epoch: Cell::new(epoch), controller, namespace, queue })
                }
            }
        };
        Self { version, used: paths.into_iter().map(here).collect(), turn: Cell::new(0) }
    }

    #[inline(always)]
    pub(super) fn next(&self) -> Option<&Rc<Here<S>>> {
        match self.used.len() {
            0 => None,
            1 => self.used.first(),
            many => {
                let turn = self.turn.get();
                self.turn.set(if turn + 1 < many { turn + 1 } else { 0 });
                self.used.get(turn)
            }
        }
    }
}
