//! The run loop and what stands on it.
//!
//! [`turn`] is the loop, one page; [`run`] repeats it until a future is done, spinning or sleeping by [`Mode`]; [`executor`] is the
//! core that turns. [`spawn`] and [`handle`] are how tasks and events get here, [`poller`] what is called every turn, [`driver`]
//! what completes operations. [`context`] finds the core that the calling thread is turning.

mod balance;
#[cfg(all(test, not(loom)))]
mod balance_tests;
pub(crate) mod context;
mod core;
mod critical;
pub(crate) mod driver;
mod executor;
mod group;
mod handle;
mod not_on_reactor;
mod outbox;
#[cfg(all(test, not(loom)))]
mod outbox_tests;
mod park;
mod poll_future;
pub(crate) mod poller;
mod run;
mod scope;
mod sleepers;
mod spawn;
mod spawner;
mod stats;
#[cfg(all(test, not(loom)))]
pub(crate) mod testing;
mod turn;
mod window;

pub use self::{
    balance::spawn_balanced,
    core::{Core, Cores, cores},
    executor::{ExecutorError, LocalExecutor},
    handle::Handle,
    not_on_reactor::NotOnReactor,
    outbox::{Outbox, Post},
    poll_future::{PollFuture, poll_every_turn},
    poller::{Poller, PollerStats, Work},
    run::Mode,
    scope::TaskScope,
    spawn::{YieldNow, call_on, on_every_core, post, spawn_local, spawn_named, spawn_on, yield_now},
    spawner::Spawner,
    stats::Stats,
    turn::Turn,
};
pub(crate) use self::{executor::Inner, group::Group, run::ROOT_NAME};
