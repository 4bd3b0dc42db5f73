//! What a controller tells without being asked, and what becomes of it: events, for as many as want to hear of them.
//!
//! At home a few requests wait at the controller all the time. When one is answered, the log that it names is read, by which the
//! controller may tell of the next event of that kind (Base 2.0 §5.2); then those who listen are told, and the request is made anew.

use super::Payload;
use super::device::Device;
use super::link::Link;
use super::namespace::known_of;
use super::op::Op;
use super::spec::{
    ALL_NAMESPACES, AsyncEvent, Command, CriticalWarning, EventKind, IdentifyNamespace, IdentifyWhat,
    LogPage, NamespaceList, SmartLog, StatusCode,
};
use crate::spawn_local;
use crate::sys::unwind::wake;
use futures::Stream;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use zerocopy::FromBytes;

/// What has happened to a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// These namespaces have come, gone or changed; all may have if there are none here.
    NamespacesChanged(Vec<u32>),
    /// The health has got worse: what it warns of now.
    Health(CriticalWarning),
    /// Another of its own events. Its log has been read.
    Told(EventKind),
    /// The controller was reset: commands that it had were sent again or ended as aborted, the others have waited.
    Reset,
    /// So many events were not read in time.
    Missed(u64),
    /// The controller did not come back from a reset: all I/O ends with [`Error::Failed`](super::Error::Failed). Nothing follows.
    Failed,
    /// The device is gone: all I/O ends with [`Error::Removed`](super::Error::Removed). Nothing follows.
    Removed,
}

/// Events that one listener has not read yet. Of more the oldest are missed.
const UNREAD_MAX: usize = 64;
/// Requests that wait at the controller, if it takes as many.
const REQUESTS: u8 = 4;

/// The events of a controller from the call of [`Controller::events`](super::Controller::events) on, in order: a [`Stream`] that may be
/// read on any core. It ends when the controller is closed, after [`Event::Failed`] or [`Event::Removed`], and does not keep the
/// controller attached.
pub struct Events(Arc<Listener>);

#[derive(Default)]
pub(super) struct Listeners(Mutex<(Vec<Weak<Listener>>, bool)>);

#[derive(Default)]
struct Listener(Mutex<Unread>);

#[derive(Default)]
struct Unread {
    events: VecDeque<Event>,
    missed: u64,
    is_over: bool,
    reader: Option<Waker>,
}

impl Listeners {
    pub(super) fn listen(&self) -> Events {
        let listener = Arc::<Listener>::default();
        let mut all = lock(&self.0);
        lock(&listener.0).is_over = all.1;
        all.0.retain(|listener| listener.strong_count() > 0);
        all.0.push(Arc::downgrade(&listener));
        Events(listener)
    }

    pub(super) fn tell(&self, event: &Event) {
        self.each(|unread| unread.push(event.clone()), false);
    }

    /// Tells the last event.
    pub(super) fn end(&self, event: Option<Event>) {
        let end = |unread: &mut Unread| {
            event.iter().for_each(|event| unread.push(event.clone()));
            unread.is_over = true;
        };
        self.each(end, true);
    }

    fn each(&self, mut tell: impl FnMut(&mut Unread), is_last: bool) {
        let mut readers = Vec::new();
        {
            let mut all = lock(&self.0);
            all.1 |= is_last;
            for listener in all.0.iter().filter_map(Weak::upgrade) {
                let mut unread = lock(&listener.0);
                tell(&mut unread);
                readers.extend(unread.reader.take());
            }
        }
        // A stranger's code, with nothing locked.
        readers.into_iter().for_each(wake);
    }
}

impl Unread {
    fn push(&mut self, event: Event) {
        if self.events.len() == UNREAD_MAX {
            self.events.pop_front();
            self.missed += 1;
        }
        self.events.push_back(event);
    }

    fn pop(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.missed) {
            0 => self.events.pop_front(),
            missed => Some(Event::Missed(missed)),
        }
    }
}

impl Events {
    /// The next event, or `None` after the last. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next event if it has happened already.
    pub fn try_next(&mut self) -> Option<Event> {
        lock(&self.0.0).pop()
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        // Cloned before the lock, and what it displaces is dropped after it: both may run foreign code.
        let waker = cx.waker().clone();
        let mut unread = lock(&self.0.0);
        if let Some(event) = unread.pop() {
            return Poll::Ready(Some(event));
        }
        if unread.is_over {
            return Poll::Ready(None);
        }
        let displaced = unread.reader.replace(waker);
        drop(unread);
        drop(displaced);
        Poll::Pending
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("unread", &lock(&self.0.0).events.len()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Device> Link<D> {
    /// Has requests wait at the controller from now on.
    pub(super) fn hear(self: &Arc<Self>) {
        let taken = self.identity().get().map_or(0, |identity| identity.async_events_max);
        for _ in 0..taken.saturating_add(1).min(REQUESTS) {
            drop(spawn_local(self.clone().hear_one()));
        }
    }

    async fn hear_one(self: Arc<Self>) {
        loop {
            let Some(admin) = self.seats().get().ok().and_then(|seat| seat.admin()) else { return };
            admin.stand();
            let answer = Op::new(&admin, Command::async_event, Payload::None).await.0;
            admin.unstand();
            drop(admin);
            match answer {
                Ok(answer) if answer.status.is_success() => {
                    let event = self.clear(AsyncEvent::from_bits(answer.result as u32)).await;
                    if let Event::NamespacesChanged(which) = &event {
                        self.look_at(which).await;
                    }
                    self.listeners().tell(&event);
                }
                // A reset, after which it waits again.
                Ok(answer) if answer.status.code() == StatusCode::ABORTED_SQ_DELETION => {}
                _ => return,
            }
        }
    }

    /// Has the namespaces that were given out know what they are now; all of them if none is named.
    async fn look_at(self: &Arc<Self>, changed: &[u32]) {
        for namespace in known_of(self.origin()) {
            if !changed.is_empty() && !changed.contains(&namespace.id()) {
                continue;
            }
            if let Ok(page) = self.identify(IdentifyWhat::NAMESPACE, namespace.id()).await {
                namespace.update(IdentifyNamespace::ref_from_bytes(&page).expect("it is a page"));
            }
        }
    }

    /// Reads the log of an event, so that the next may come, and says what is in it.
    async fn clear(self: &Arc<Self>, event: AsyncEvent) -> Event {
        match event.event() {
            kind @ EventKind::NamespaceChanged => {
                match self.log(event.log_page(), ALL_NAMESPACES, 0, size_of::<NamespaceList>() as u32).await {
                    Ok(page) => Event::NamespacesChanged(changed(&page)),
                    Err(_) if event.log_page() == LogPage::CHANGED_NAMESPACES => {
                        Event::NamespacesChanged(Vec::new())
                    }
                    Err(_) => Event::Told(kind),
                }
            }
            kind @ EventKind::Health(_) => {
                let log = self.log(LogPage::SMART, ALL_NAMESPACES, 0, size_of::<SmartLog>() as u32).await;
                let log = log.ok().and_then(|page| SmartLog::read_from_bytes(&page).ok());
                log.map_or(Event::Told(kind), |log| Event::Health(log.critical))
            }
            // Immediate and one-shot events have none (Base 2.0 §5.2).
            kind if matches!(event.kind(), 3 | 4) => Event::Told(kind),
            kind => {
                let _read = self.log(event.log_page(), ALL_NAMESPACES, 0, 512).await;
                Event::Told(kind)
            }
        }
    }
}

/// None if more have changed than the list has room for.
fn changed(page: &[u8]) -> Vec<u32> {
    let list = NamespaceList::ref_from_bytes(page).ok().filter(|list| !list.is_overflow());
    list.map_or_else(Vec::new, |list| list.iter().collect())
}
