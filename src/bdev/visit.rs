//! The cores that have channels of a device, and how to reach them: those of every runtime in the process.
//!
//! A channel is [`Present`] from before its first I/O to its end. Who sets the device's word and then visits knows of every I/O: one
//! that began before the visit is in its core's `traffic`, one that begins after it sees the word, because both happen on that core.
//!
//! A core that has ended counts as visited. One that is not turned, such as a `LocalExecutor` in a loop of its host's own that
//! has other things to do, is waited for.

use std::rc::Rc;
use std::sync::Arc;

use super::channel::{self, Inner};
use super::device::Device;
use super::{Channel, Descriptor, Error, Result};
use crate::reactor::{Core, Handle, context};
use crate::time::Clock;
use crate::{JoinError, NotOnReactor};

/// A core, and its channels of one device.
pub(super) struct Site {
    runtime: Handle,
    core: Core,
    channels: usize,
}

impl Site {
    fn is(&self, runtime: &Handle, core: Core) -> bool {
        self.core == core && self.runtime == *runtime
    }
}

/// A channel's entry among those of its device.
pub(super) struct Present {
    device: Arc<Device>,
    runtime: Handle,
    core: Core,
}

impl Present {
    /// Enters a channel of the calling core, whose clock it returns as well.
    pub(super) fn enter(device: &Arc<Device>) -> Result<(Self, Clock)> {
        let here = context::try_with(|core| (core.handle(), core.core(), core.timers.clock().clone()));
        let (runtime, core, clock) = here.ok_or(NotOnReactor { what: "bdev::Descriptor::channel" })?;
        let mut life = device.life();
        // Under the lock: a channel is entered before the end begins, or refused.
        if device.is_removed() {
            return Err(Error::Removed);
        }
        match life.sites.iter_mut().find(|site| site.is(&runtime, core)) {
            Some(site) => site.channels += 1,
            None => life.sites.push(Site { runtime: runtime.clone(), core, channels: 1 }),
        }
        drop(life);
        Ok((Self { device: device.clone(), runtime, core }, clock))
    }
}

impl Inner {
    /// Has `f` called with the device's channels of this one's core, on it, as an event of its own: whoever polls may be turning another.
    pub(super) fn call_home(&self, f: fn(&Inner)) -> Result<()> {
        let Present { device, runtime, core } = &self.present;
        let device = Arc::downgrade(device);
        let call = move || {
            if let Some(device) = device.upgrade() {
                channel::of_device(&device).iter().for_each(|inner| f(inner));
            }
        };
        let gone =
            |_| NotOnReactor { what: "an I/O that waits for a limit, on a channel whose core has ended," };
        Ok(runtime.post(*core, call).map_err(gone)?)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut life = self.device.life();
        let at = life.sites.iter().position(|site| site.is(&self.runtime, self.core));
        let at = at.expect("a site stays until its last channel has left");
        life.sites[at].channels -= 1;
        let gone = if life.sites[at].channels == 0 { Some(life.sites.swap_remove(at)) } else { None };
        drop(life);
        drop(gone);
    }
}

impl Device {
    /// The cores that have channels at the moment.
    pub(super) fn sites(&self) -> Vec<(Handle, Core)> {
        self.life().sites.iter().map(|site| (site.runtime.clone(), site.core)).collect()
    }

    /// Whether all channels are on one core.
    pub(super) fn has_one_site(&self) -> bool {
        self.life().sites.len() == 1
    }

    /// Has each core that has channels run what `visit` makes for it, with those channels, as an event of its own.
    ///
    /// What is made is dropped without a run where the core has ended, or ends before.
    pub(super) fn visit<F>(self: &Arc<Self>, mut visit: impl FnMut(Core) -> F)
    where
        F: FnOnce(Vec<Rc<Inner>>) + Send + 'static,
    {
        for (runtime, core) in self.sites() {
            let visit = visit(core);
            let device = Arc::downgrade(self);
            let visit = move || {
                if let Some(device) = device.upgrade() {
                    visit(channel::of_device(&device));
                }
            };
            // Refused: the core has ended.
            let _ = runtime.post(core, visit);
        }
    }
}

impl Descriptor {
    /// Runs a clone of `closure` with each channel made from this descriptor and its clones, on the channel's core, all at once,
    /// and returns the answers: SPDK's `spdk_for_each_channel`. Reaches the cores of every runtime in the process. Channels that
    /// are made later are not visited.
    ///
    /// Waits for each of these cores to turn; one that has ended answers [`JoinError::CoreGone`]. Dropping the future does not stop
    /// what runs on other cores.
    pub async fn on_every_channel<F, R>(&self, closure: F) -> Vec<(Core, Result<R, JoinError>)>
    where
        F: AsyncFnOnce(Channel) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let id = self.id();
        let call = |(runtime, core): (Handle, Core)| {
            let closure = closure.clone();
            let call = async move || match channel::known(id) {
                Some(channel) => Some(closure(channel).await),
                None => None,
            };
            (core, runtime.call_on(core, call))
        };
        let calls: Vec<_> = self.device().sites().into_iter().map(call).collect();
        let mut answers = Vec::with_capacity(calls.len());
        for (core, call) in calls {
            // `None`: no channel of this descriptor, or not any more.
            if let Some(answer) = call.await.transpose() {
                answers.push((core, answer));
            }
        }
        answers
    }
}
