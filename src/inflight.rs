//! The slab of submitted operations.
