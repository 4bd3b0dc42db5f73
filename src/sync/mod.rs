//! Local and cross-core primitives.
