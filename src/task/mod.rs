//! Tasks: futures that live on one core, their wakers, and the handles that await them.
//!
//! A task is one allocation (header, future or result) in its core's [`arena`]; [`header`] says who may touch which part,
//! [`state`] draws its life, [`raw`] is the part that knows the future's type. [`home`] is the core as tasks see it: the inbox
//! that anyone may send to; [`local`] is the half that only the owner touches, [`end`] how it ends. [`join`] are the handles,
//! [`elsewhere`] those away from home. Nothing here knows a reactor.
//! See "Tasks and wakers" in ARCHITECTURE.md.

mod abort;
mod arena;
mod awaiter;
mod balanced;
pub(crate) mod budget;
mod chunk;
mod elsewhere;
mod end;
mod groups;
mod header;
mod home;
mod join;
mod local;
mod queue;
mod raw;
mod release;
mod remote;
mod spawn;
mod state;
mod waker;

pub use abort::AbortHandle;
pub(crate) use balanced::{Runnable, Schedule, balanced};
pub(crate) use groups::NO_GROUP;
pub(crate) use home::{Entered, Home};
pub use join::{AbortOnDrop, JoinError, JoinHandle, Panic};
pub(crate) use local::Local;
pub(crate) use remote::{call_remote, spawn_foreign};
pub(crate) use spawn::{Named, Plain};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
