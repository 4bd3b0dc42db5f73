//! Commands whose I/O is given up: their controller is to leave off, so that their buffers are soon free.

use super::Source;
use crate::nvme::spec::Command;
use crate::nvme::{Answered, Payload, Queue, Request};

/// Has the controller leave off what is given up while this is kept.
pub(super) struct Sending<'a, S: Source>(pub(super) &'a S::Queue);

impl<S: Source> Drop for Sending<'_, S> {
    fn drop(&mut self) {
        S::abort_given_up(self.0);
    }
}

/// Sends a command by this core's queue. Given up it is aborted, so that its buffer is soon free.
pub(super) async fn send<S: Source>(
    queue: &S::Queue,
    command: Command,
    payload: Payload,
) -> (Answered, Payload) {
    let sending = Sending::<S>(queue);
    let answered = queue.send(Request::new(|| command, payload)).await;
    std::mem::forget(sending);
    answered
}
