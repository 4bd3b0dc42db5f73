//! Light threads: named groups of tasks and pollers on a core. See [`LightThread`].
//!
//! [`light`] is the owner's handle and [`reference`] everybody else's; [`groups`] is what a core knows about its light threads,
//! and [`exit`] how all of them end before the core does.

mod exit;
mod groups;
mod light;
mod reference;

pub(crate) use exit::exit_all;
pub(crate) use groups::Groups;
pub use light::{LightThread, ThreadInfo, ThreadStats};
pub use reference::ThreadRef;
