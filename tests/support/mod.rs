//! What the tests of applications share: cores that are not pinned, a list that all cores write to, one poll.
#![allow(dead_code, reason = "each test file uses its part")]

use reactor::app::Builder;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex},
    task::Poll,
};

/// Cores that are not pinned, so that tests run side by side on any machine.
pub fn cores_unpinned(count: usize) -> Builder {
    Builder::new().cores(count).pin(false).signals(false)
}

/// Polls `future` once.
pub async fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

/// A list to which all cores write.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
