//! A handle away from its task's core: the result comes through a channel, from where the task runs.
//!
//! [`super::join`] is the handle; here is what it sends home, what it waits for meanwhile, and what its end leaves behind.
#![expect(unsafe_code, reason = "what is refused is taken back")]

use super::{
    JoinError, JoinHandle,
    abort::{AbortHandle, Target},
    balanced::Abort,
    chunk,
    end::release_orphan,
    header::Header,
    home::Home,
    spawn::Plain,
    state::{DONE, HANDLE},
    waker::{Errand, send_home},
};
use crate::sys::unwind::contained;
use futures::channel::oneshot;
use std::{
    mem::{self, ManuallyDrop},
    pin::Pin,
    ptr::{self, NonNull},
    sync::Arc,
    task::{Context, Poll},
};

/// What a handle is away from its task's core.
pub(super) enum Elsewhere<T> {
    Channel(Channel<T>),
    /// The task is no core's.
    Joint(JointHandle<T>),
    Failed(JoinError),
}

/// A task that is no core's, as its handle sees it.
pub(super) trait Joint<T>: Send + Sync {
    /// Takes the output, once.
    fn poll_output(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>>;

    /// The handle is gone. Called once, last.
    fn detach(&self);

    /// For aborting it without knowing what it gives.
    fn to_abort(self: Arc<Self>) -> Arc<dyn Abort>;

    /// Whether only the calling thread can have it go on.
    fn is_up_to_us(&self) -> bool;
}

/// The one handle's share of such a task.
pub(super) struct JointHandle<T>(pub(super) Arc<dyn Joint<T>>);

impl<T> Drop for JointHandle<T> {
    fn drop(&mut self) {
        self.0.detach();
    }
}

/// The result's way to the handle, and the abort's way to the task.
pub(super) struct Channel<T> {
    pub(super) receiver: oneshot::Receiver<Result<T, JoinError>>,
    pub(super) abort: AbortHandle,
}

impl<T> Elsewhere<T> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        match self {
            Self::Channel(channel) => {
                let received = std::task::ready!(Pin::new(&mut channel.receiver).poll(cx));
                Poll::Ready(received.unwrap_or(Err(JoinError::Cancelled)))
            }
            Self::Joint(joint) => joint.0.poll_output(cx),
            // What replaces it is never seen.
            Self::Failed(error) => Poll::Ready(Err(mem::replace(error, JoinError::CoreGone))),
        }
    }

    /// Whether only the calling thread can have the task go on.
    pub(super) fn is_up_to_us(&self) -> bool {
        match self {
            Self::Channel(Channel { abort: AbortHandle(Target::Header(task)), .. }) => {
                // SAFETY: the abort handle's reference keeps the header, and the header its home.
                unsafe { chunk::home(*task).as_ref() }.is_up_to_us()
            }
            Self::Channel(Channel { abort: AbortHandle(Target::Flag(flag)), .. }) => flag.is_up_to_us(),
            Self::Joint(joint) => joint.0.is_up_to_us(),
            Self::Channel(_) | Self::Failed(_) => false,
        }
    }

    /// Something that aborts the task, if there is one.
    pub(super) fn abort_handle(&self) -> Option<AbortHandle> {
        match self {
            Self::Channel(channel) => Some(channel.abort.clone()),
            Self::Joint(joint) => Some(AbortHandle(Target::Joint(joint.0.clone().to_abort()))),
            Self::Failed(_) => None,
        }
    }
}

/// A handle on its way home, to have its result sent back.
pub(super) struct Moving<T: 'static> {
    handle: JoinHandle<T>,
    /// Until it has been used.
    sender: Option<oneshot::Sender<Result<T, JoinError>>>,
}

// SAFETY: the handle is polled away from home. Either it was sent, so `T: Send`; or this thread is the owner between two turns,
// and the result never leaves the thread.
unsafe impl<T> Send for Moving<T> {}

impl<T: 'static> Moving<T> {
    /// Sends `handle` home. Hands it back if the core is gone.
    pub(super) fn send(
        handle: JoinHandle<T>,
        sender: oneshot::Sender<Result<T, JoinError>>,
        home: &Home,
    ) -> Result<(), JoinHandle<T>> {
        let moving = Self { handle, sender: Some(sender) };
        // SAFETY: one of the two is used: this one if the event is refused, which is then forgotten; it holds nothing else.
        let kept = ManuallyDrop::new(unsafe { ptr::read(&raw const moving) });
        home.send(move || moving.answer()).map_err(|refused| {
            mem::forget(refused);
            let mut moving = ManuallyDrop::into_inner(kept);
            mem::replace(&mut moving.handle, JoinHandle::taken())
        })
    }

    fn answer(mut self) {
        Home::with_current(|home, local| {
            let future = async move {
                let result = (&mut self.handle).await;
                if let Some(sender) = self.sender.take() {
                    // Nobody listening means that the handle was dropped meanwhile: the result is not wanted.
                    let _unwanted = sender.send(result);
                }
            };
            local.spawn_polled(home, Plain { future });
        });
    }
}

/// The core ends with the event in its inbox, or with the task that was to answer: what is there is sent all the same.
impl<T: 'static> Drop for Moving<T> {
    fn drop(&mut self) {
        let result = self.handle.take_finished();
        if let (Some(sender), Some(result)) = (self.sender.take(), result) {
            let _unwanted = sender.send(result);
        }
    }
}

/// The handle is dropped where its core is not being turned.
///
/// # Safety
/// The handle's reference and bit are the caller's to end.
#[cold]
pub(super) unsafe fn detach_elsewhere(task: NonNull<Header>) {
    // SAFETY: the handle's reference keeps the header, and the header its home.
    let (header, home) = unsafe { (task.as_ref(), chunk::home(task).as_ref()) };
    if home.is_up_to_us() && header.state() & DONE == 0 && header.with_awaiter(|awaiter| awaiter.is_none()) {
        // Between two turns, on the thread that makes them: nobody else looks at the task, and there is nothing to drop.
        header.change_state(HANDLE, 0);
        let was_last = header.release_local();
        debug_assert!(!was_last, "an unfinished task is kept by its run loop, or by its answer");
        return;
    }
    if !home.is_closed() {
        // Refused after all, by a core that has just ended: then the last reference takes the output along.
        return send_home(task, Errand::Detach);
    }
    // An output that is not `Send` has its handle on the owner's thread, and ends there.
    if header.is_let_go() || home.is_owned_by_us() {
        // SAFETY: nobody but the handle touches the output of a task that its core has let go of; before that, its thread may.
        contained(|| unsafe { (header.vtable.drop_output)(task) });
    }
    // SAFETY: the handle's reference.
    unsafe { release_orphan(task) };
}
