//! NVMe controllers on the PCI Express bus, driven over vfio-pci.
//!
//! [`list`] tells which there are, [`PcieDevice::open`] takes one that is bound to vfio-pci; its errors say what is missing and which
//! commands help. The kernel's IOMMU keeps a device to the memory that it is shown: that of buffer pools and queues, and of nothing else.
//!
//! # What it takes
//! An IOMMU that is switched on, of type 1 (x86-64), and the device's node in `/dev/vfio` for the user. Where the kernel has groups that is
//! `/dev/vfio/N` of the device's group, with `/dev/vfio/vfio`; where it has none (`CONFIG_VFIO_GROUP`), or none was handed in, the
//! device's own file `/dev/vfio/devices/vfioN` with `/dev/iommu`, which Linux has from 6.6 on. As root, a device is handed over with
//!
//! ```sh
//! modprobe vfio-pci
//! echo vfio-pci > /sys/bus/pci/devices/0000:00:04.0/driver_override
//! echo 0000:00:04.0 > /sys/bus/pci/devices/0000:00:04.0/driver/unbind
//! echo 0000:00:04.0 > /sys/bus/pci/drivers_probe
//! ```
//!
//! which [`Function::hand_over`] spells out, and back to the kernel's driver with an empty line in `driver_override`, and the last two again.
//!
//! Buffers are locked in memory while a device is open (`ulimit -l`, unless the process may lock as it likes), those of all cores:
//! any core may hand any buffer to any device. `DmaConfig` says how much that can come to. A pool that cannot grow for want of it says
//! so where the buffer was asked for. `fork` without `exec` is not for a process with open devices: the child has them as well.
//!
//! # What is not there
//! VFIO's mode without an IOMMU is refused ([`Error::Unprotected`]). In it a device is told physical addresses: an error in it, or a late
//! write of one that was reset, would reach any memory of the machine, and nothing keeps a page where its address was looked up. What
//! this crate promises of safe code could not be kept. Other processors than x86-64 are not there either, as none was at hand to test on.

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
