//! Handles: how a task's result reaches who awaits it, on its own core or elsewhere.
//!
//! ```text
//!            on the task's core                      elsewhere
//!  poll      header: take output or leave a waker    forward: the handle goes home as an event, the result comes back;
//!                                                    if the core is gone: take output, which waits for the handle
//!  drop      detach                                  an event that detaches
//!  abort     header: ABORTED, scheduled              an event that aborts
//! ```
//!
//! What a handle is away from its task's core stands in [`super::elsewhere`].
#![expect(unsafe_code, reason = "a handle is a counted pointer to a task's header")]

use super::{
    abort::{AbortHandle, Target, abort},
    awaiter::Awaiter,
    chunk,
    elsewhere::{Channel, Elsewhere, Joint, JointHandle, Moving, detach_elsewhere},
    end::release_orphan,
    header::Header,
    home::Home,
    local::Local,
    remote::AbortFlag,
    state::{HANDLE, OUTPUT},
};
use crate::sys::blocking;
use futures::channel::oneshot;
use std::{
    any::Any,
    fmt,
    marker::PhantomData,
    mem,
    pin::Pin,
    ptr::NonNull,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Why a task gave no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// The task panicked; its panic is inside, to look at or to resume.
    Panicked(Panic),
    /// The task was aborted, or its core ended before it did.
    Cancelled,
    /// The task's core is gone: it will neither run nor answer.
    CoreGone,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => write!(f, "the task panicked: {}", panic.message()),
            Self::Cancelled => f.write_str("the task was aborted or its core ended before it finished"),
            Self::CoreGone => f.write_str("the task's core is gone: its runtime has shut down"),
        }
    }
}

impl std::error::Error for JoinError {}

impl JoinError {
    /// Goes on with the task's panic here, or returns the error if it was none.
    pub fn resume_panic(self) -> Self {
        match self {
            Self::Panicked(panic) => std::panic::resume_unwind(panic.into_payload()),
            other => other,
        }
    }
}

/// What a task panicked with.
// A thin pointer: every task's result, and so every small task, is a word shorter for it.
pub struct Panic(Box<Box<dyn Any + Send>>);

// SAFETY: by reference only `message` reaches the payload, and it looks at nothing but `&str` and `String`, which are `Sync`.
unsafe impl Sync for Panic {}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        Self(Box::new(payload))
    }

    /// The panic's message, if it was a string.
    pub fn message(&self) -> &str {
        let payload = &**self.0;
        (payload.downcast_ref::<&'static str>().copied())
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(a payload that is not a string)")
    }

    /// The payload, as `std::panic::catch_unwind` gives it.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        *self.0
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message()).finish()
    }
}

/// Awaits a task's result.
///
/// Dropping the handle detaches the task, which goes on; [`abort`](Self::abort) and [`abort_on_drop`](Self::abort_on_drop) end it.
/// A handle whose result is `Send` may be awaited on any core or thread: it then has the result sent over. A task that has finished
/// keeps its result for the handle, after the end of the core too.
#[must_use = "a dropped handle detaches its task: await it, or say `drop` or `detach`"]
pub struct JoinHandle<T> {
    inner: Inner<T>,
}

enum Inner<T> {
    /// Holds a local reference and the `HANDLE` bit.
    Task(TaskPointer<T>),
    /// This thread is not the task's core. What is rare, in a box: the handle stays two words, which every awaiting future holds,
    /// and is dropped by one comparison.
    Elsewhere(Box<Elsewhere<T>>),
    Taken,
}

impl<T> Inner<T> {
    #[cold]
    fn elsewhere(elsewhere: Elsewhere<T>) -> Self {
        Self::Elsewhere(Box::new(elsewhere))
    }
}

struct TaskPointer<T>(NonNull<Header>, PhantomData<T>);

// SAFETY: away from its core a handle only sends events; the result crosses threads, so it must be `Send`.
unsafe impl<T: Send> Send for TaskPointer<T> {}
// SAFETY: `&JoinHandle` offers nothing but `abort` and `is_finished`, which are safe from any thread.
unsafe impl<T: Send> Sync for TaskPointer<T> {}

impl<T> Unpin for JoinHandle<T> {}

impl<T: 'static> JoinHandle<T> {
    /// # Safety
    /// `task`'s output is a `Result<T, JoinError>`; a local reference and the `HANDLE` bit become the handle's. On the owner.
    pub(super) unsafe fn from_task(task: NonNull<Header>) -> Self {
        Self { inner: Inner::Task(TaskPointer(task, PhantomData)) }
    }

    pub(super) fn from_channel(
        receiver: oneshot::Receiver<Result<T, JoinError>>,
        abort: Arc<AbortFlag>,
    ) -> Self {
        let channel = Channel { receiver, abort: AbortHandle(Target::Flag(abort)) };
        Self { inner: Inner::elsewhere(Elsewhere::Channel(channel)) }
    }

    pub(super) fn from_joint(task: Arc<dyn Joint<T>>) -> Self {
        Self { inner: Inner::elsewhere(Elsewhere::Joint(JointHandle(task))) }
    }

    /// One that has given its result.
    pub(super) fn taken() -> Self {
        Self { inner: Inner::Taken }
    }

    pub(crate) fn failed(error: JoinError) -> Self {
        Self { inner: Inner::elsewhere(Elsewhere::Failed(error)) }
    }

    /// Has the task dropped at its next turn instead of polled; the handle then says [`JoinError::Cancelled`], unless the task
    /// finished first. On another core the abort travels as an event. Work that the task has handed to a device goes on there.
    pub fn abort(&self) {
        match &self.inner {
            // SAFETY: the handle's reference.
            Inner::Task(task) => unsafe { abort(task.0) },
            Inner::Elsewhere(elsewhere) => {
                if let Some(handle) = elsewhere.abort_handle() {
                    handle.abort();
                }
            }
            Inner::Taken => {}
        }
    }

    /// Waits for the result by blocking: for threads that are no reactors.
    ///
    /// # Errors
    /// As awaiting does.
    ///
    /// # Panics
    /// On a reactor, which must not wait for itself: await instead. Likewise on the thread of a [`LocalExecutor`](crate::LocalExecutor)
    /// for a task of that executor, which nobody would turn meanwhile.
    #[track_caller]
    pub fn wait(mut self) -> Result<T, JoinError> {
        assert!(
            Home::with_current(|_, _| ()).is_none(),
            "`JoinHandle::wait` would block this core, and the task may need this core to go on: await the handle instead"
        );
        // Outside of a turn this sends the handle home: what there is to know is known then, and what there is to take is taken.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = Pin::new(&mut self).poll(&mut cx) {
            return result;
        }
        let is_ours = match &self.inner {
            Inner::Elsewhere(elsewhere) => elsewhere.is_up_to_us(),
            // SAFETY: the handle's reference keeps the header, and the header its home.
            Inner::Task(task) => unsafe { chunk::home(task.0).as_ref() }.is_up_to_us(),
            Inner::Taken => false,
        };
        assert!(
            !is_ours,
            "`JoinHandle::wait` would block the thread whose executor runs the task: use `LocalExecutor::block_on` instead"
        );
        blocking::block_on(&mut self)
    }

    /// A handle that aborts the task when it is dropped.
    pub fn abort_on_drop(self) -> AbortOnDrop<T> {
        AbortOnDrop { handle: self }
    }

    /// Lets the task run on its own, as dropping the handle does, and says so.
    pub fn detach(self) {}

    /// Something that aborts the task from anywhere, as often as one likes; `None` once the result was taken.
    pub fn abort_handle(&self) -> Option<AbortHandle> {
        match &self.inner {
            Inner::Task(task) => {
                // SAFETY: the handle's reference.
                unsafe { task.0.as_ref() }.retain_shared();
                Some(AbortHandle(Target::Header(task.0)))
            }
            Inner::Elsewhere(elsewhere) => elsewhere.abort_handle(),
            Inner::Taken => None,
        }
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Inner::Task(TaskPointer(task, _)) = self.inner {
            // SAFETY: the handle's reference keeps the header, and the header its home.
            let header = unsafe { task.as_ref() };
            if let Some(local) = header.local() {
                if header.state() & OUTPUT == 0 {
                    return Self::wait_for(header, local, cx);
                }
                return Poll::Ready(self.take(task, header, local));
            }
        }
        self.poll_elsewhere(cx)
    }
}

impl<T: 'static> JoinHandle<T> {
    /// On the task's core: it has not finished.
    #[inline]
    fn wait_for(header: &Header, local: &Local, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        Awaiter::set(header, local, cx);
        Poll::Pending
    }

    #[cold]
    fn poll_elsewhere(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        if let Inner::Task(TaskPointer(task, _)) = self.inner {
            if !self.forward(task) {
                return self.poll_orphan(task, cx);
            }
        }
        let Inner::Elsewhere(elsewhere) = &mut self.inner else {
            panic!("a JoinHandle was polled after it gave its result");
        };
        let result = std::task::ready!(elsewhere.poll(cx));
        self.inner = Inner::Taken;
        Poll::Ready(result)
    }

    /// Away from the task's core: sends the handle home, to have the result sent back. `false` if the core is gone, and the handle is
    /// as it was.
    fn forward(&mut self, task: NonNull<Header>) -> bool {
        // SAFETY: the handle's reference, as above.
        let (header, home) = unsafe { (task.as_ref(), chunk::home(task).as_ref()) };
        header.retain_shared();
        let abort = AbortHandle(Target::Header(task));
        let (sender, receiver) = oneshot::channel();
        let handle = Self { inner: mem::replace(&mut self.inner, Inner::Taken) };
        match Moving::send(handle, sender, home) {
            Ok(()) => {
                self.inner = Inner::elsewhere(Elsewhere::Channel(Channel { receiver, abort }));
                true
            }
            Err(mut handle) => {
                self.inner = mem::replace(&mut handle.inner, Inner::Taken);
                false
            }
        }
    }

    /// The core is gone. Every task of it is done, and its result waits for the handle.
    fn poll_orphan(&mut self, task: NonNull<Header>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        // SAFETY: the handle's reference, as above.
        let (header, home) = unsafe { (task.as_ref(), chunk::home(task).as_ref()) };
        // Closed is what it must be by now; this pairs with the core's writes before it closed.
        if !home.is_closed() || !header.is_let_go() {
            // Between its last event and its last task: soon.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        mem::forget(mem::replace(&mut self.inner, Inner::Taken));
        let result = if header.state() & OUTPUT != 0 {
            header.change_state(OUTPUT | HANDLE, 0);
            // SAFETY: in place, and the handle's to take since the owner has let go of the task.
            unsafe { Self::read_output(task) }
        } else {
            Err(JoinError::CoreGone)
        };
        // SAFETY: the handle's reference, which ends here.
        unsafe { release_orphan(task) };
        Poll::Ready(result)
    }

    /// The result of a handle that is dropped on the task's core, if there is one already.
    pub(super) fn take_finished(&mut self) -> Option<Result<T, JoinError>> {
        let Inner::Task(TaskPointer(task, _)) = self.inner else { return None };
        // SAFETY: the handle's reference keeps the header.
        let header = unsafe { task.as_ref() };
        let local = header.local()?;
        if header.state() & OUTPUT == 0 {
            return None;
        }
        Some(self.take(task, header, local))
    }

    /// Takes the output, which is in place, on the task's core.
    #[inline]
    fn take(&mut self, task: NonNull<Header>, header: &Header, local: &Local) -> Result<T, JoinError> {
        header.change_state(OUTPUT | HANDLE, 0);
        // Forgotten: the pointer has nothing to drop, and its reference ends below.
        mem::forget(mem::replace(&mut self.inner, Inner::Taken));
        // SAFETY: on the owner, the output was in place, and nobody will take it again: its bit is cleared.
        let output = unsafe { Self::read_output(task) };
        local.release(task);
        output
    }

    /// # Safety
    /// The output is in place, the caller's to touch, and taken by nobody else.
    #[inline]
    unsafe fn read_output(task: NonNull<Header>) -> Result<T, JoinError> {
        // SAFETY: the handle's reference keeps the header; inside of the task.
        let output = unsafe { task.cast::<u8>().add(task.as_ref().vtable.output_offset) };
        // SAFETY: the caller's promise; a handle knows its task's output by type.
        unsafe { output.cast::<Result<T, JoinError>>().read() }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let Inner::Task(TaskPointer(task, _)) = self.inner else { return };
        // SAFETY: the handle's reference keeps the header, and the header its home.
        match unsafe { task.as_ref() }.local() {
            Some(local) => local.detach(task),
            // SAFETY: the handle's reference and bit, which end here.
            None => unsafe { detach_elsewhere(task) },
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}

/// A [`JoinHandle`] that aborts its task when it is dropped.
#[must_use = "dropping it aborts the task"]
#[derive(Debug)]
pub struct AbortOnDrop<T: 'static> {
    handle: JoinHandle<T>,
}

impl<T: 'static> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(cx)
    }
}

impl<T: 'static> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}
