//! Which of VFIO's interfaces a device is opened by.

use super::function::Sysfs;
use super::group::Member;
use super::ioas::{self, Ioas};
use super::{Address, Error};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

/// A device's place among those that see the memory of this process. It sees it until this is dropped.
pub(super) enum Place {
    InGroup(#[expect(dead_code, reason = "held")] Member),
    InSpace(#[expect(dead_code, reason = "held")] Arc<Ioas>),
}

/// The ways that there are.
#[derive(Debug, PartialEq)]
enum Way {
    /// Its group and a container, if there is anything at all.
    Group,
    /// A file of its own and iommufd, where the kernel has no groups, or none was handed in.
    File(String),
    /// None that would keep it from any memory.
    NoIommu,
}

impl Way {
    fn find(dev: &Path, group: u32, file: Option<String>) -> Self {
        let has = |path: &str| dev.join(path).exists();
        match file.filter(|file| has(&format!("vfio/devices/{file}")) && has("iommu")) {
            _ if has(&format!("vfio/noiommu-{group}")) => Self::NoIommu,
            Some(file) if !has(&format!("vfio/{group}")) => Self::File(format!("/dev/vfio/devices/{file}")),
            _ => Self::Group,
        }
    }
}

impl Place {
    /// Opens the device.
    pub(super) fn join(sysfs: &Sysfs, address: Address, group: u32) -> Result<(Self, OwnedFd), Error> {
        match Way::find(Path::new("/dev"), group, sysfs.vfio_file(address)) {
            Way::Group => {
                let (member, device) = Member::join(sysfs, address, group)?;
                Ok((Self::InGroup(member), device))
            }
            Way::File(file) => {
                let (ioas, device) = ioas::join(address, &file, group, || sysfs.others(group))?;
                Ok((Self::InSpace(ioas), device))
            }
            Way::NoIommu => Err(Error::Unprotected(address)),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_group_is_preferred_and_the_mode_without_an_iommu_is_no_way() {
        let dev = tempfile::tempdir().unwrap();
        let find = || Way::find(dev.path(), 7, Some("vfio2".to_owned()));
        let put = |path: &str| {
            fs::create_dir_all(dev.path().join(path).parent().unwrap()).unwrap();
            fs::write(dev.path().join(path), "").unwrap();
        };
        assert_eq!(find(), Way::Group, "whose error says what is missing");
        put("vfio/devices/vfio2");
        assert_eq!(find(), Way::Group, "the file alone is of no use");
        put("iommu");
        assert_eq!(find(), Way::File("/dev/vfio/devices/vfio2".to_owned()));
        assert_eq!(Way::find(dev.path(), 7, None), Way::Group);
        put("vfio/7");
        assert_eq!(find(), Way::Group);
        put("vfio/noiommu-7");
        assert_eq!(find(), Way::NoIommu);
    }
}
