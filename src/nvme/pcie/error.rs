//! Why a controller on the bus cannot be had, and what to do.

use super::function::hand_over;
use super::{Address, Function};
use crate::sys::dma::Unseen;
use std::{fmt, io};

/// A controller could not be opened. The messages say what would help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is none.
    #[error(
        "{0:?} is no PCI address: write it as 0000:00:04.0 (domain, bus, device, function; `lspci -D` shows them)"
    )]
    BadAddress(String),
    /// Nothing is there.
    #[error("there is no PCI device at {address}; {}", Found(there))]
    NotFound {
        /// Where nothing is.
        address: Address,
        /// What could have been meant.
        there: Vec<Function>,
    },
    /// Something else is there.
    #[error("the device at {address} is no NVMe controller (its class is {class:06x}); {}", Found(there))]
    NotNvme {
        /// Where it is.
        address: Address,
        /// Its class code: 24 bits.
        class: u32,
        /// What could have been meant.
        there: Vec<Function>,
    },
    /// It is in no IOMMU group.
    #[error(
        "{0} is in no IOMMU group, so that it cannot be driven safely from here: switch the IOMMU on in the firmware (VT-d, AMD-Vi, SMMU) and, for \
         Intel, start the kernel with intel_iommu=on"
    )]
    NoIommu(Address),
    /// It has no IOMMU, and the kernel is in VFIO's mode without.
    #[error(
        "{0} has no IOMMU, and the kernel is in VFIO's unsafe mode without one: nothing would keep the device from any memory, or memory in its \
         place, so that it is not driven from here. Switch the IOMMU on in the firmware (VT-d, AMD-Vi, SMMU) and, for Intel, start the kernel \
         with intel_iommu=on; in a virtual machine, give it an emulated one"
    )]
    Unprotected(Address),
    /// It is another driver's, or nobody's.
    #[error("{address} is {}; hand it over with\n  {}", Bound(driver.as_deref()), hand_over(*address, driver.is_some()).join("\n  "))]
    NotOurs {
        /// Where it is.
        address: Address,
        /// Who has it.
        driver: Option<String>,
    },
    /// There is no `/dev/vfio`.
    #[error("there is no {0}: `modprobe vfio-pci`, and in a container hand /dev/vfio in")]
    NoVfio(String),
    /// It is not this user's to open.
    #[error(
        "no permission to open {0}: run as root, or have it belong to your user (`chown $USER {0}`, or a udev rule: \
         SUBSYSTEM==\"vfio\", GROUP=\"...\")"
    )]
    Permission(String),
    /// Some other process has the group.
    #[error(
        "{0} is open elsewhere: another process (SPDK, QEMU, a second one of this program) drives a device of that IOMMU group"
    )]
    Busy(String),
    /// Others of its group are in the kernel's hands.
    #[error(
        "IOMMU group {group} is not all in the hands of user space: it takes vfio-pci, or no driver at all, for {}",
        Others(others)
    )]
    NotViable {
        /// The group's number.
        group: u32,
        /// Those of its devices that have another driver, and which.
        others: Vec<(Address, String)>,
    },
    /// Its memory would not be seen.
    #[error(transparent)]
    Unseen(#[from] Unseen),
    /// It lacks something, or this driver does.
    #[error("{address} cannot be driven: {reason}")]
    Unsupported {
        /// Where it is.
        address: Address,
        /// What is missing.
        reason: &'static str,
    },
    /// The kernel said no.
    #[error("the kernel refused {what}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(super) fn refused(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Refused { what: what.into(), source }
    }
}

struct Found<'a>(&'a [Function]);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, rest)) = self.0.split_last() else {
            return f.write_str("this machine has no NVMe controllers on PCI");
        };
        f.write_str("NVMe controllers are at ")?;
        rest.iter().try_for_each(|one| write!(f, "{}, ", one.address))?;
        write!(f, "{}", last.address)
    }
}

struct Bound<'a>(Option<&'a str>);

impl fmt::Display for Bound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // Taken away from there, disks vanish under who has mounted them.
            Some("nvme") => f.write_str("the kernel's (driver nvme; see that nothing on it is mounted)"),
            Some(driver) => write!(f, "bound to the driver {driver}"),
            None => f.write_str("bound to no driver, where vfio-pci is needed"),
        }
    }
}

struct Others<'a>(&'a [(Address, String)]);

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("each of its devices");
        }
        for (n, (address, driver)) in self.0.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{address} (now {driver})")?;
        }
        Ok(())
    }
}
