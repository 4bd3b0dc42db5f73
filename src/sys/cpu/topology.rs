//! Where a CPU stands: online or not, its NUMA node, the hardware threads it shares a core with.
//!
//! All from sysfs, whose lists have the grammar of [`list`](super::list).

use super::CpuSet;
use std::fs;
use std::io;
use std::path::Path;

const CPUS: &str = "/sys/devices/system/cpu";

/// The CPUs that are online on this machine, whether or not this process may use them.
///
/// # Errors
/// What reading sysfs answers; `InvalidData` for what is not a core list.
pub fn online() -> io::Result<CpuSet> {
    read_list(&Path::new(CPUS).join("online"))
}

/// The NUMA node of `cpu`; 0 on a kernel built without NUMA.
///
/// # Errors
/// What reading sysfs answers: `NotFound` for a CPU that is not there.
pub fn numa_node(cpu: usize) -> io::Result<usize> {
    let cpu_dir = Path::new(CPUS).join(format!("cpu{cpu}"));
    fs::metadata(&cpu_dir)?;
    numa_node_in(&cpu_dir)
}

/// The hardware threads that share a physical core with `cpu`, itself among them.
///
/// # Errors
/// What reading sysfs answers: `NotFound` for a CPU that is not there or is offline.
pub fn smt_siblings(cpu: usize) -> io::Result<CpuSet> {
    read_list(&Path::new(CPUS).join(format!("cpu{cpu}/topology/thread_siblings_list")))
}

/// The directory of a CPU holds a link `nodeN` to its node, and none where the kernel knows no nodes.
fn numa_node_in(cpu_dir: &Path) -> io::Result<usize> {
    for entry in fs::read_dir(cpu_dir)? {
        let name = entry?.file_name();
        let node =
            name.to_str().and_then(|name| name.strip_prefix("node")).and_then(|node| node.parse().ok());
        if let Some(node) = node {
            return Ok(node);
        }
    }
    Ok(0)
}

fn read_list(path: &Path) -> io::Result<CpuSet> {
    fs::read_to_string(path)?.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sys::cpu::{CPU_MAX, allowed};

    #[test]
    fn what_we_may_use_is_online_and_has_a_place() {
        let online = online().expect("sysfs is readable");
        for cpu in allowed().expect("affinity is readable").iter() {
            assert!(online.contains(cpu));
            assert!(smt_siblings(cpu).expect("a topology").contains(cpu));
            let node = numa_node(cpu).expect("a node");
            let nodes = Path::new("/sys/devices/system/node");
            if nodes.exists() {
                let members = read_list(&nodes.join(format!("node{node}/cpulist"))).expect("a list");
                assert!(members.contains(cpu), "node {node} has {members}, not {cpu}");
            }
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_is_not_found() {
        assert_eq!(numa_node(CPU_MAX).expect_err("no such CPU").kind(), io::ErrorKind::NotFound);
        assert_eq!(smt_siblings(CPU_MAX).expect_err("no such CPU").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_kernel_without_numa_has_one_node() {
        let cpu_dir = tempfile::tempdir().expect("a directory");
        assert_eq!(numa_node_in(cpu_dir.path()).expect("readable"), 0);
        fs::create_dir(cpu_dir.path().join("node3")).expect("created");
        assert_eq!(numa_node_in(cpu_dir.path()).expect("readable"), 3);
    }
}
