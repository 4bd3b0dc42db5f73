//! Asynchronous events of the software controller: requests that wait, and what there is to tell (Base 2.0 §5.2).
//!
//! ```text
//!   raise ──▶ pending ──(a request waits, its type is not masked)──▶ told, its type masked ──(its log is read)──▶ not masked
//! ```

use super::super::spec::{AsyncEvent, AsyncEventConfig, Command, LogPage, StatusCode};
use super::Done;
use super::state::State;
use std::collections::VecDeque;

/// Requests that may wait at a time: AERL plus one.
pub(super) const REQUESTS_MAX: usize = 4;

#[derive(Default)]
pub(super) struct Events {
    /// Commands that are answered when there is something to tell, oldest first.
    requests: VecDeque<Command>,
    pending: VecDeque<AsyncEvent>,
    /// By type of event: the log that has to be read before the next is told.
    masked: [Option<LogPage>; 8],
}

impl Events {
    /// An event that the host may be told of. One that is told already, or about to be, is not told twice.
    pub(super) fn raise(&mut self, event: AsyncEvent) {
        if !self.pending.contains(&event) {
            self.pending.push_back(event);
        }
    }

    /// The log was read: events of the type that it belongs to may come again.
    pub(super) fn unmask(&mut self, log: LogPage) {
        self.masked.iter_mut().filter(|masked| **masked == Some(log)).for_each(|masked| *masked = None);
    }

    /// A request and what it is to be answered with.
    fn next(&mut self) -> Option<(Command, AsyncEvent)> {
        if self.requests.is_empty() {
            return None;
        }
        let at = self.pending.iter().position(|event| self.masked[event.kind() as usize].is_none())?;
        let event = self.pending.remove(at)?;
        // Immediate and one-shot events have no log, and mask nothing.
        if !matches!(event.kind(), 3 | 4) {
            self.masked[event.kind() as usize] = Some(event.log_page());
        }
        self.requests.pop_front().map(|request| (request, event))
    }

    pub(super) fn take_request(&mut self, cid: u16) -> Option<Command> {
        let at = self.requests.iter().position(|request| request.cid() == cid)?;
        self.requests.remove(at)
    }

    pub(super) fn has_request(&self, cid: u16) -> bool {
        self.requests.iter().any(|request| request.cid() == cid)
    }
}

impl State {
    /// Keeps the request until there is something to tell.
    pub(super) fn request_event(&mut self, command: &Command) -> Option<Done> {
        if self.events.requests.len() == REQUESTS_MAX {
            return Some(Err(StatusCode::ASYNC_EVENT_LIMIT));
        }
        self.events.requests.push_back(*command);
        None
    }

    /// Raises a notice if the host wants to hear of its kind.
    pub(super) fn notice(&mut self, is_wanted: impl Fn(AsyncEventConfig) -> bool, info: u32, log: LogPage) {
        if is_wanted(AsyncEventConfig::from_bits(self.features.async_events())) {
            self.events.raise(event(2, info, log));
        }
    }

    /// Answers requests with what there is to tell.
    pub(super) fn tell_events(&mut self) -> usize {
        let mut told = 0;
        while let Some((request, event)) = self.events.next() {
            self.post(0, &request, Ok(event.bits().into()));
            told += 1;
        }
        told
    }
}

/// An event by its type, its information and its log.
pub(super) fn event(kind: u32, info: u32, log: LogPage) -> AsyncEvent {
    AsyncEvent::default().with_kind(kind).with_info(info).with_log(log.0.into())
}
