//! The attribute macros of `reactor`.
