//! What the kernel tells of the machine's NVMe functions, in sysfs.

use super::{Address, Error};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Class code of non-volatile memory controllers (PCI Code and ID Assignment 1.15, §1.2): base 01h, subclass 08h.
const NVM: u32 = 0x01_08;
/// Of those, the interfaces of NVM Express: of I/O controllers, and of administrative ones.
const NVME: [u32; 2] = [0x02, 0x03];

/// An NVMe controller as it is on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Where it is.
    pub address: Address,
    /// Who made it, by the PCI SIG's number.
    pub vendor: u16,
    /// What it is, by the vendor's.
    pub device: u16,
    /// Base class, subclass and interface: 01_08_02 for NVMe.
    pub class: u32,
    /// Who drives it: `nvme` is the kernel's own driver, `vfio-pci` leaves it to user space.
    pub driver: Option<String>,
    /// Its IOMMU group; none without an IOMMU.
    pub group: Option<u32>,
    /// The NUMA node that it is attached to, if the machine has several.
    pub numa_node: Option<u32>,
}

/// The NVMe functions of this machine, by address.
///
/// ```
/// for function in reactor::nvme::pcie::list()? {
///     println!("{} {:04x}:{:04x}", function.address, function.vendor, function.device);
/// }
/// # Ok::<(), reactor::nvme::pcie::Error>(())
/// ```
///
/// # Errors
/// [`Error::Refused`] if there is no sysfs.
pub fn list() -> Result<Vec<Function>, Error> {
    Sysfs::default().list()
}

/// The tree that they are told in.
pub(super) struct Sysfs(PathBuf);

impl Default for Sysfs {
    fn default() -> Self {
        Self("/sys".into())
    }
}

impl Sysfs {
    fn devices(&self) -> PathBuf {
        self.0.join("bus/pci/devices")
    }

    fn list(&self) -> Result<Vec<Function>, Error> {
        let devices = match fs::read_dir(self.devices()) {
            // No PCI at all.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.0.is_dir() => return Ok(Vec::new()),
            devices => devices.map_err(Error::refused(format!("a look at {}", self.devices().display())))?,
        };
        let address = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        // One that goes away meanwhile is none.
        let functions =
            devices.filter_map(address).filter_map(|address| self.function(address).ok().flatten());
        let mut functions: Vec<Function> = functions.filter(Function::is_nvme).collect();
        functions.sort_by_key(|function| function.address);
        Ok(functions)
    }

    /// What is at the address, if anything is.
    fn function(&self, address: Address) -> io::Result<Option<Function>> {
        let folder = self.devices().join(address.to_string());
        if !folder.exists() {
            return Ok(None);
        }
        let number = |name| hexadecimal(&folder.join(name));
        Ok(Some(Function {
            address,
            vendor: number("vendor")? as u16,
            device: number("device")? as u16,
            class: number("class")?,
            driver: linked(&folder.join("driver")),
            group: linked(&folder.join("iommu_group")).and_then(|group| group.parse().ok()),
            // -1 where there is one node only.
            numa_node: fs::read_to_string(folder.join("numa_node"))
                .ok()
                .and_then(|node| node.trim().parse().ok()),
        }))
    }

    /// An NVMe controller that vfio-pci has, and its group.
    pub(super) fn find(&self, address: Address) -> Result<(Function, u32), Error> {
        let found = self.function(address).map_err(Error::refused(format!("a look at {address}")))?;
        let Some(found) = found else {
            return Err(Error::NotFound { address, there: self.list()? });
        };
        if !found.is_nvme() {
            return Err(Error::NotNvme { address, class: found.class, there: self.list()? });
        }
        let Some(group) = found.group else { return Err(Error::NoIommu(address)) };
        if !is_vfio(found.driver.as_deref()) {
            return Err(Error::NotOurs { address, driver: found.driver });
        }
        Ok((found, group))
    }

    /// The name of the device's own file in `/dev/vfio/devices`, if the kernel makes such.
    pub(super) fn vfio_file(&self, address: Address) -> Option<String> {
        let folder = self.devices().join(address.to_string()).join("vfio-dev");
        fs::read_dir(folder).ok()?.find_map(|entry| entry.ok()?.file_name().into_string().ok())
    }

    /// The devices of a group that some driver of the kernel's has.
    pub(super) fn others(&self, group: u32) -> Vec<(Address, String)> {
        let members = fs::read_dir(self.0.join(format!("kernel/iommu_groups/{group}/devices")));
        let mut others: Vec<(Address, String)> = members
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let address = entry.file_name().to_str()?.parse().ok()?;
                let driver = linked(&entry.path().join("driver"))?;
                // Ports of bridges do no transfers of their own: the kernel lets them be.
                (!is_vfio(Some(&driver)) && driver != "pcieport" && driver != "pci-stub")
                    .then_some((address, driver))
            })
            .collect();
        others.sort();
        others
    }
}

impl Function {
    /// What root types to hand it over to user space, line by line; nothing if that is done.
    ///
    /// Disks of a controller that the kernel drives vanish with that: see that nothing on them is mounted.
    ///
    /// ```
    /// for function in reactor::nvme::pcie::list()? {
    ///     println!("{}:\n{}", function.address, function.hand_over().join("\n"));
    /// }
    /// # Ok::<(), reactor::nvme::pcie::Error>(())
    /// ```
    #[must_use]
    pub fn hand_over(&self) -> Vec<String> {
        if is_vfio(self.driver.as_deref()) {
            Vec::new()
        } else {
            hand_over(self.address, self.driver.is_some())
        }
    }

    fn is_nvme(&self) -> bool {
        self.class >> 8 == NVM && NVME.contains(&(self.class & 0xff))
    }
}

/// The commands that bind a function to vfio-pci, whether it `is_bound` to another driver or to none.
pub(super) fn hand_over(address: Address, is_bound: bool) -> Vec<String> {
    let device = format!("/sys/bus/pci/devices/{address}");
    let unbind = is_bound.then(|| format!("echo {address} > {device}/driver/unbind"));
    let begin = ["modprobe vfio-pci".to_owned(), format!("echo vfio-pci > {device}/driver_override")];
    begin.into_iter().chain(unbind).chain([format!("echo {address} > /sys/bus/pci/drivers_probe")]).collect()
}

/// vfio-pci, or a vendor's variant of it.
fn is_vfio(driver: Option<&str>) -> bool {
    driver.is_some_and(|driver| driver.ends_with("vfio-pci") || driver.ends_with("vfio_pci"))
}

/// The last part of where a link leads.
fn linked(link: &Path) -> Option<String> {
    fs::read_link(link).ok()?.file_name().and_then(OsStr::to_str).map(str::to_owned)
}

fn hexadecimal(file: &Path) -> io::Result<u32> {
    let text = fs::read_to_string(file)?;
    let digits = text.trim().trim_start_matches("0x");
    u32::from_str_radix(digits, 16).map_err(io::Error::other)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A machine on paper.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(machine.sysfs().devices()).unwrap();
            machine
        }

        fn sysfs(&self) -> Sysfs {
            Sysfs(self.0.path().to_owned())
        }

        fn add(&self, address: &str, class: &str, driver: Option<&str>, group: Option<u32>) {
            let folder = self.sysfs().devices().join(address);
            fs::create_dir(&folder).unwrap();
            for (file, text) in
                [("class", class), ("vendor", "0x1b36\n"), ("device", "0x0010\n"), ("numa_node", "-1\n")]
            {
                fs::write(folder.join(file), text).unwrap();
            }
            if let Some(driver) = driver {
                symlink(format!("../../../../bus/pci/drivers/{driver}"), folder.join("driver")).unwrap();
            }
            if let Some(group) = group {
                symlink(format!("../../../kernel/iommu_groups/{group}"), folder.join("iommu_group")).unwrap();
                let members = self.0.path().join(format!("kernel/iommu_groups/{group}/devices"));
                fs::create_dir_all(&members).unwrap();
                symlink(folder, members.join(address)).unwrap();
            }
        }

        fn refuses(&self, address: &str) -> String {
            self.sysfs().find(address.parse().unwrap()).unwrap_err().to_string()
        }
    }

    #[test]
    fn the_nvme_functions_are_listed_in_order() {
        let machine = Machine::new();
        assert_eq!(machine.sysfs().list().unwrap(), []);
        machine.add("0000:81:00.0", "0x010802\n", Some("vfio-pci"), Some(7));
        machine.add("0000:00:1f.2", "0x010601\n", Some("ahci"), Some(3));
        machine.add("10000:01:00.0", "0x010802\n", None, None);
        machine.add("0000:02:00.0", "0x010802\n", Some("nvme"), Some(11));
        let listed = machine.sysfs().list().unwrap();
        let told: Vec<_> =
            listed.iter().map(|one| (one.address.to_string(), one.driver.as_deref(), one.group)).collect();
        assert_eq!(
            told,
            [
                ("0000:02:00.0".to_owned(), Some("nvme"), Some(11)),
                ("0000:81:00.0".to_owned(), Some("vfio-pci"), Some(7)),
                ("10000:01:00.0".to_owned(), None, None),
            ]
        );
        assert_eq!((listed[0].vendor, listed[0].device, listed[0].numa_node), (0x1b36, 0x10, None));
        assert_eq!(machine.sysfs().find(listed[1].address).unwrap(), (listed[1].clone(), 7));
        let lines = listed.iter().map(|one| one.hand_over().len()).collect::<Vec<_>>();
        assert_eq!(lines, [4, 0, 3], "one has to be let go of, and one has been handed over");
    }

    #[test]
    fn where_nothing_is_the_message_says_where_something_is() {
        let machine = Machine::new();
        assert!(machine.refuses("00:04.0").ends_with("this machine has no NVMe controllers on PCI"));
        machine.add("0000:02:00.0", "0x010802\n", Some("nvme"), Some(11));
        machine.add("0000:81:00.0", "0x010802\n", None, None);
        let refused = machine.refuses("00:04.0");
        assert!(refused.contains("no PCI device at 0000:00:04.0"), "{refused}");
        assert!(refused.ends_with("NVMe controllers are at 0000:02:00.0, 0000:81:00.0"), "{refused}");
    }

    #[test]
    fn another_kind_of_device_is_named_by_its_class() {
        let machine = Machine::new();
        machine.add("0000:00:1f.2", "0x010601\n", Some("ahci"), Some(3));
        let refused = machine.refuses("00:1f.2");
        assert!(refused.contains("no NVMe controller (its class is 010601)"), "{refused}");
    }

    #[test]
    fn who_has_it_is_said_and_how_to_take_it() {
        let machine = Machine::new();
        machine.add("0000:02:00.0", "0x010802\n", Some("nvme"), Some(11));
        machine.add("0000:03:00.0", "0x010802\n", None, Some(12));
        let refused = machine.refuses("02:00.0");
        assert!(refused.contains("driver nvme") && refused.contains("mounted"), "{refused}");
        assert!(
            refused.contains("echo 0000:02:00.0 > /sys/bus/pci/devices/0000:02:00.0/driver/unbind"),
            "{refused}"
        );
        let refused = machine.refuses("03:00.0");
        assert!(refused.contains("no driver") && !refused.contains("unbind"), "{refused}");
        assert!(
            refused.contains("echo vfio-pci > /sys/bus/pci/devices/0000:03:00.0/driver_override"),
            "{refused}"
        );
    }

    #[test]
    fn without_an_iommu_it_is_said_how_to_have_one() {
        let machine = Machine::new();
        machine.add("0000:02:00.0", "0x010802\n", Some("vfio-pci"), None);
        assert!(machine.refuses("02:00.0").contains("intel_iommu=on"));
    }

    #[test]
    fn those_of_a_group_that_are_in_the_way_are_named() {
        let machine = Machine::new();
        machine.add("0000:02:00.0", "0x010802\n", Some("vfio-pci"), Some(5));
        machine.add("0000:02:00.1", "0x020000\n", Some("e1000e"), Some(5));
        machine.add("0000:02:00.2", "0x020000\n", None, Some(5));
        machine.add("0000:00:1c.0", "0x060400\n", Some("pcieport"), Some(5));
        let others = machine.sysfs().others(5);
        let refused = Error::NotViable { group: 5, others }.to_string();
        assert!(refused.ends_with("for 0000:02:00.1 (now e1000e)"), "{refused}");
    }
}
