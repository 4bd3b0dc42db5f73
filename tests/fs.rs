//! Files as users meet them: what is written is read back, bad input is explained, nothing is lost. What needs a look inside (kernels
//! without an operation) is in `src/fs/tests`, futures dropped at every await in `io_drops`.

#[path = "fs/copy.rs"]
mod copy;
#[path = "fs/data.rs"]
mod data;
#[path = "fs/input.rs"]
mod input;
#[path = "fs/mounts.rs"]
mod mounts;
mod support;
#[path = "fs/tree.rs"]
mod tree;
