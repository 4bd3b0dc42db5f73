//! The end of a device: [`Removal`] waits for it.
//!
//! Begun by `device`. I/O in flight has a while to finish and is ended then, on each core; the removal is over when the last
//! descriptor has closed and the module's part was dropped.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use super::Error;
use super::channel::Inner;
use super::device::Device;
use super::gone::Gone;
use crate::reactor::spawn_local;
use crate::time::sleep;

/// A removal under way, from [`unregister`](super::unregister): a future that is ready when the last descriptor and channel are
/// gone and the module's device was dropped.
///
/// Awaiting it is optional: the removal goes on without. It never blocks, wherever it is polled, a poller included; a task that
/// has the device open itself waits for itself.
#[derive(Clone)]
pub struct Removal {
    device: Weak<Device>,
    gone: Arc<Gone>,
}

impl Removal {
    pub(super) fn new(device: Weak<Device>, gone: Arc<Gone>) -> Self {
        Self { device, gone }
    }

    /// Of a device that is gone already.
    pub(super) fn over() -> Self {
        Self { device: Weak::new(), gone: Arc::new(Gone::over()) }
    }

    /// Whether the device is gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.gone.is_over()
    }

    /// How many descriptors it still waits for. Clones of one count once, and so do the channels made from it.
    #[must_use]
    pub fn open_descriptors(&self) -> usize {
        self.device.upgrade().map_or(0, |device| device.open_descriptors())
    }
}

impl Future for Removal {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.gone.poll(cx)
    }
}

impl fmt::Debug for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removal")
            .field("is_over", &self.is_over())
            .field("open_descriptors", &self.open_descriptors())
            .finish()
    }
}

/// Gives what is in flight on every core `grace` to finish, and then ends it.
pub(super) fn end_in_flight(device: &Arc<Device>, grace: Duration) {
    device.visit(|_core| {
        move |channels: Vec<Rc<Inner>>| {
            channels.iter().for_each(|inner| inner.renew_limits());
            // The channels are not kept open meanwhile.
            let channels: Vec<_> = channels.iter().map(Rc::downgrade).collect();
            let end = move || {
                for inner in channels.iter().filter_map(std::rc::Weak::upgrade) {
                    inner.traffic.end(None, || Error::Removed);
                }
            };
            if grace.is_zero() {
                return end();
            }
            spawn_local(async move {
                sleep(grace).await;
                end();
            })
            .detach();
        }
    });
}
