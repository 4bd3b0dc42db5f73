//! Light threads: named groups of tasks and pollers on a core. See [`LightThread`].

mod groups;

pub(crate) use groups::{Groups, NO_GROUP};
