//! What happens to a device: the events that tell of it, and the streams in which those who have it open read them.
//!
//! Told by `device`, which keeps one [`Queue`] per stream; stacked devices hear of the same events by
//! [`Bdev::base_changed`](super::Bdev::base_changed).

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;

use super::Geometry;

/// What has happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It has another number of blocks. Of several that nobody has read yet, the last stands for all.
    Resized(Geometry),
    /// It is being taken away: I/O is answered with [`Error::Removed`](super::Error::Removed) from now on. The device goes
    /// when its last descriptor and channel are dropped. Nothing follows.
    Removed,
    /// The medium wants blocks to be looked after. Where several of these are unread that touch each other, or more than 64, one of
    /// them stands for others and for what lies between: none is lost, and a few blocks may be named that need nothing.
    MediaManaged(Media),
}

/// Blocks that a medium wants to be looked after, such as written elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Media {
    /// The blocks in question.
    pub blocks: Range<u64>,
}

impl Media {
    /// Wants `blocks` to be looked after.
    #[must_use]
    pub const fn new(blocks: Range<u64>) -> Self {
        Self { blocks }
    }

    fn touches(&self, other: &Self) -> bool {
        self.blocks.start <= other.blocks.end && other.blocks.start <= self.blocks.end
    }

    /// Stands for `other` too from now on.
    fn cover(&mut self, other: &Self) {
        let (own, other) = (&mut self.blocks, &other.blocks);
        *own = own.start.min(other.start)..own.end.max(other.end);
    }
}

/// Events of one stream that wait to be read and tell of the medium. A medium goes on telling, whether anybody reads or not.
const MEDIA_MAX: usize = 64;

/// The events of a device from the call of [`Descriptor::events`](super::Descriptor::events) on, in order: a [`Stream`] that may
/// be read on any core.
///
/// Does not keep the device open. Ends after [`Event::Removed`], or when the device is gone because nobody has it open. What is
/// not read is kept, in so few events that it need not be read to save memory.
///
/// ```
/// use reactor::bdev::{self, Access, Event, modules::Ram};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// bdev::register("events0", Ram::new(1 << 20)?)?;
/// let disk = bdev::open("events0", Access::ReadOnly).await?;
/// let mut events = disk.events();
/// bdev::unregister("events0")?;
/// assert_eq!(events.next().await, Some(Event::Removed));
/// assert_eq!(events.next().await, None);
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
pub struct Events(Arc<Queue>);

impl Events {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self(queue)
    }

    /// The next event, or `None` after the last. Dropping the future loses none.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.0.poll_next(cx)).await
    }

    /// The next event if it has happened already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.state().events.pop_front()
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("unread", &self.0.state().events.len()).finish_non_exhaustive()
    }
}

/// One stream's events that were not read yet.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    is_over: bool,
    reader: Option<Waker>,
}

impl State {
    fn push_media(&mut self, media: &Media) {
        let mut count = 0;
        let unread = self.events.iter_mut().rev().filter_map(|event| match event {
            Event::MediaManaged(unread) => Some(unread),
            _ => None,
        });
        let mut last = None;
        for unread in unread {
            if unread.touches(media) {
                return unread.cover(media);
            }
            count += 1;
            last.get_or_insert(unread);
        }
        match last {
            Some(last) if count >= MEDIA_MAX => last.cover(media),
            _ => self.events.push_back(Event::MediaManaged(media.clone())),
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `event` and returns whom to wake, once the caller's locks are free.
    #[must_use]
    pub(super) fn push(&self, event: &Event) -> Option<Waker> {
        let mut state = self.state();
        if state.is_over {
            return None;
        }
        state.is_over = *event == Event::Removed;
        match (event, state.events.back_mut()) {
            (Event::Resized(_), Some(last @ Event::Resized(_))) => *last = event.clone(),
            (Event::MediaManaged(media), _) => state.push_media(media),
            _ => state.events.push_back(event.clone()),
        }
        state.reader.take()
    }

    /// Ends the stream behind what is in it.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_over = true;
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        // Cloned before the lock and dropped behind it: both may run foreign code.
        let waker = cx.waker().clone();
        let mut state = self.state();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        let before = state.reader.replace(waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}
