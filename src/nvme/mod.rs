//! NVMe from user space, from its words up.
//!
//! [`spec`] is what the specifications define.

pub mod spec;
