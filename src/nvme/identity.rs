//! What a controller has said of itself, as often as that was another.

use super::spec::IdentifyController;
use std::sync::OnceLock;
use zerocopy::IntoBytes;

/// What a controller has said of itself, the last at the end. What it said before stays, as it was lent: new firmware is seldom.
#[derive(Default)]
pub(super) struct Identity(OnceLock<Box<Said>>);

struct Said {
    page: IdentifyController,
    next: Identity,
}

impl Identity {
    /// What it said last, if it has been asked.
    pub(super) fn get(&self) -> Option<&IdentifyController> {
        let mut last = self.0.get()?;
        while let Some(next) = last.next.0.get() {
            last = next;
        }
        Some(&last.page)
    }

    /// Keeps what it says now, if that is another than before.
    pub(super) fn set(&self, page: IdentifyController) {
        let mut at = self;
        while let Some(said) = at.0.get() {
            if said.next.0.get().is_none() && said.page.as_bytes() == page.as_bytes() {
                return;
            }
            at = &said.next;
        }
        // Who has set it meanwhile has asked as late.
        let _set_meanwhile = at.0.set(Box::new(Said { page, next: Self::default() }));
    }
}
