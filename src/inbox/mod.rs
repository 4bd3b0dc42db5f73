//! Cross-core inbox: any thread pushes events, the owning core takes them oldest first.
//!
//! [`Event`] is the message, [`Inbox`] the ring that carries it. Nothing here knows tasks or reactors: the run loop drains
//! it once per turn, and remote wakers, `spawn_on` and `post` push. See "Inbox" in ARCHITECTURE.md.

mod event;
#[cfg(all(test, loom))]
mod loom_tests;
mod ring;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use event::Event;
pub(crate) use ring::{Consumer, Inbox, Poked};
