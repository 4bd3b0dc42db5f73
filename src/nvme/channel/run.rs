//! Requests as commands: one, or as many as its length takes, on their way together.

use super::super::Error;
use super::super::payload::Payload;
use super::super::queue::{Queue, Request, ok};
use super::super::spec::Command;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

/// Commands of one request on their way at a time, SPDK's number. Enough to keep a controller busy, and room for others.
pub(super) const WINDOW: usize = 32;

/// Runs `commands`, so many at a time, and has `back` take their payloads in order, each with the mark that its command has. Behind an error no
/// further command starts; what is on its way is waited for, as it has buffers. The first error, in order, is the result.
pub(super) async fn run<Q: Queue, M>(
    queue: &Q,
    window: usize,
    mut commands: impl Iterator<Item = Result<(Command, Payload, M), Error>>,
    mut back: impl FnMut(Payload, M),
) -> Result<(), Error> {
    let mut result = Ok(());
    let mut running = VecDeque::new();
    loop {
        while result.is_ok() && running.len() < window {
            match commands.next() {
                None => break,
                Some(Err(error)) => result = Err(error),
                Some(Ok((command, payload, mark))) => {
                    let mut sent = Box::pin(queue.send(Request::new(move || command, payload)));
                    // The first poll queues it. It wakes this task, also if it is not the one awaited then.
                    let at_once = poll_fn(|cx| match sent.as_mut().poll(cx) {
                        Poll::Ready(done) => Poll::Ready(Some(done)),
                        Poll::Pending => Poll::Ready(None),
                    });
                    let done = at_once.await;
                    running.push_back((sent, done, mark));
                }
            }
        }
        let Some((sent, done, mark)) = running.pop_front() else { return result };
        let (answer, payload) = match done {
            Some(done) => done,
            None => sent.await,
        };
        back(payload, mark);
        result = result.and(ok(answer).map(drop));
    }
}
