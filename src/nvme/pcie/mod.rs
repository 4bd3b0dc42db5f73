//! NVMe controllers on the PCI Express bus, driven over vfio-pci.
//!
//! [`list`] tells which there are, [`PcieDevice::open`] takes one that is bound to vfio-pci; its errors say what is missing and which
//! commands help. The kernel's IOMMU keeps a device to the memory that it is shown: that of buffer pools and queues, and of nothing else.
//!
//! # What it takes
//! An IOMMU that is switched on, of type 1 (x86-64), and `/dev/vfio/N` of the device's group for the user. As root, a device is
//! handed over with
//!
//! ```sh
//! modprobe vfio-pci
//! echo vfio-pci > /sys/bus/pci/devices/0000:00:04.0/driver_override
//! echo 0000:00:04.0 > /sys/bus/pci/devices/0000:00:04.0/driver/unbind
//! echo 0000:00:04.0 > /sys/bus/pci/drivers_probe
//! ```
//!
//! and back to the kernel's driver with an empty line in `driver_override`, and the other two again.
//!
//! Buffers are locked in memory while a device is open (`ulimit -l`, unless the process may lock as it likes), those of all cores:
//! any core may hand any buffer to any device. `DmaConfig` says how much that can come to. A pool that cannot grow for want of it says
//! so where the buffer was asked for.
//!
//! # What is not there
//! VFIO's other interfaces: iommufd with device files, which Linux has from 6.6 on beside the one used here, and its mode without an
//! IOMMU, in which nothing would keep a device from any memory. There was no kernel at hand to test them on; the same for other
//! processors than x86-64.

mod address;
mod bar;
mod device;
mod error;
mod function;
mod group;
mod ioas;
mod ioctl;
mod iommufd;
mod place;

pub use address::Address;
pub use device::PcieDevice;
pub use error::Error;
pub use function::{Function, list};
