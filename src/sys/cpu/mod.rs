//! Which CPUs there are, which of them a program asks for, and how a thread is tied to one.
//!
//! [`CpuSet`] is what `cores = "0-3,8"` becomes. [`online`] and [`allowed`] say what the machine and the process have,
//! [`pin`] ties the calling thread to one CPU, [`numa_node`] and [`smt_siblings`] say where that CPU stands.

mod affinity;
mod list;
mod set;
mod topology;

pub(crate) use self::affinity::confine;
pub use self::affinity::{PinError, allowed, pin};
pub use self::list::{CPU_MAX, ListError};
pub use self::set::{CpuSet, Error};
pub use self::topology::{numa_node, online, smt_siblings};
