//! Device nodes: which of them take commands, how they are opened, and what the kernel says of their queues (`/sys`).
//!
//! ```text
//!  /dev/nvme0     character device of a controller: admin commands
//!  /dev/ng0n1     character device of a namespace: I/O commands        its neighbour in /sys, nvme0n1, has the limits
//!  /dev/nvme0n1   the kernel's block device: none
//! ```

use super::OpenError;
use crate::nvme::Limits;
use rustix::fs::{FileType, Mode, OFlags, major, minor};
use rustix::io::Errno;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Namespace,
    Controller,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Controller => "controller",
        }
    }

    /// The class that `/sys` has them in.
    fn class(self) -> &'static str {
        match self {
            Self::Namespace => "nvme-generic",
            Self::Controller => "nvme",
        }
    }

    /// All that the kernel has, in order.
    fn known(self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(Path::new("/sys/class").join(self.class())) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        // Those with fewer digits first: ng2n1 before ng10n1.
        names.sort_by_key(|name| (name.len(), name.clone()));
        names.into_iter().map(|name| format!("/dev/{name}")).collect()
    }
}

/// An open device.
pub(super) struct Node {
    pub(super) fd: Arc<OwnedFd>,
    /// What `/sys` has of it, if that is mounted.
    pub(super) place: Option<PathBuf>,
}

/// What the kernel's queue takes in one command, and whether it can be asked for completions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct QueueLimits {
    pub(super) bytes: u64,
    pub(super) segments: u32,
    pub(super) is_polled: bool,
}

impl QueueLimits {
    /// Where the kernel does not tell: what every controller takes.
    const LEAST: Self = Self { bytes: 4096, segments: 2, is_polled: false };

    /// The kernel makes PRPs or SGLs as it likes, and copies what the device would not take.
    pub(super) fn limits(self) -> Limits {
        // A buffer may begin anywhere in its first page.
        let bytes = self.bytes.min(u64::from(self.segments - 1) * 4096);
        Limits { bytes, segments: PIECES_MAX, has_sgls: false, has_fused: false }
    }
}

/// Pieces of the payload of one command (the kernel's `UIO_MAXIOV`).
pub(super) const PIECES_MAX: usize = 1024;

/// Opens a device of this kind.
pub(super) fn open(path: &Path, wanted: Kind) -> Result<Node, OpenError> {
    let failed = |source: std::io::Error| match Errno::from_io_error(&source) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NXIO | Errno::NODEV) => {
            OpenError::NoSuchNode { path: path.into(), what: wanted.name(), known: wanted.known() }
        }
        Some(Errno::ACCESS | Errno::PERM) => OpenError::NotPermitted { path: path.into(), source },
        _ => OpenError::Io { path: path.into(), source },
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    let place = |kind: &str| {
        let number = format!("{}:{}", major(metadata.rdev()), minor(metadata.rdev()));
        fs::canonicalize(Path::new("/sys/dev").join(kind).join(number)).ok()
    };
    let place = match FileType::from_raw_mode(metadata.mode()) {
        FileType::BlockDevice => {
            let instead = place("block").and_then(|place| character_device(&place));
            return Err(OpenError::BlockDevice { path: path.into(), instead });
        }
        FileType::CharacterDevice => place("char"),
        _ => return Err(OpenError::NotNvme { path: path.into(), wanted: wanted.name() }),
    };
    // Opening may do something to a device that is none of ours: it is not opened to find out.
    if let Some(place) = &place {
        check_class(path, place, wanted)?;
    }
    let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    Ok(Node { fd: Arc::new(fd.map_err(|error| failed(error.into()))?), place })
}

fn check_class(path: &Path, place: &Path, wanted: Kind) -> Result<(), OpenError> {
    let class = fs::read_link(place.join("subsystem")).unwrap_or_default();
    let class = class.file_name().unwrap_or_default();
    let found = [Kind::Namespace, Kind::Controller].into_iter().find(|kind| class == kind.class());
    match found {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(OpenError::WrongKind {
            path: path.into(),
            wanted: wanted.name(),
            found: found.name(),
            instead: counterpart(place, wanted),
        }),
        None => Err(OpenError::NotNvme { path: path.into(), wanted: wanted.name() }),
    }
}

/// The character device of a namespace whose block device is there in `/sys`, or a part of it.
fn character_device(place: &Path) -> Option<PathBuf> {
    let names = place.iter().rev().take(2).filter_map(|name| name.to_str());
    let generic = names.filter_map(|name| {
        // A part is called nvme0n1p2, and is in its disk.
        name.strip_prefix("nvme").filter(|rest| rest.contains('n') && !rest.contains('p'))
    });
    generic.map(|rest| Path::new("/dev").join(format!("ng{rest}"))).next()
}

/// A controller's first namespace, or a namespace's controller.
fn counterpart(place: &Path, wanted: Kind) -> Option<PathBuf> {
    let name = place.file_name()?.to_str()?;
    match wanted {
        Kind::Controller => controller_of(place),
        Kind::Namespace => {
            let of_it = format!("/dev/ng{}n", name.strip_prefix("nvme")?);
            wanted.known().into_iter().find(|known| known.starts_with(&of_it)).map(PathBuf::from)
        }
    }
}

/// The controller of a namespace whose place this is: it is in that, or in a subsystem that has several, of which it is one.
fn controller_of(place: &Path) -> Option<PathBuf> {
    let is_one = |name: &&str| {
        let number = name.strip_prefix("nvme").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parent = place.parent()?;
    let dev = |name: &str| Path::new("/dev").join(name);
    if let Some(name) = parent.file_name()?.to_str().filter(is_one) {
        return Some(dev(name));
    }
    let names = fs::read_dir(parent).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names: Vec<_> = names.filter(|name| is_one(&&**name)).collect();
    names.iter().min_by_key(|name| (name.len(), *name)).map(|name| dev(name))
}

impl Node {
    /// Of a namespace: a controller that has it.
    pub(super) fn controller(&self) -> Option<PathBuf> {
        controller_of(self.place.as_deref()?)
    }

    /// Of a namespace: the disk that the kernel makes of it.
    pub(super) fn disk(&self) -> Option<PathBuf> {
        let number = self.place.as_deref()?.file_name()?.to_str()?.strip_prefix("ng")?;
        let path = Path::new("/dev").join(format!("nvme{number}"));
        path.exists().then_some(path)
    }

    /// Of a namespace: `/sys` has its block device beside the character device, also where the kernel does not show it as a disk.
    pub(super) fn limits(&self) -> QueueLimits {
        let read = |queue: &Path, name| -> Option<u64> {
            fs::read_to_string(queue.join(name)).ok()?.trim().parse().ok()
        };
        let limits = || {
            let place = self.place.as_ref()?;
            let name = place.file_name()?.to_str()?.strip_prefix("ng")?;
            let queue = place.with_file_name(format!("nvme{name}")).join("queue");
            Some(QueueLimits {
                bytes: read(&queue, "max_hw_sectors_kb")?.checked_mul(1024)?,
                segments: u32::try_from(read(&queue, "max_segments")?).ok()?,
                is_polled: read(&queue, "io_poll")? == 1,
            })
        };
        limits().filter(|limits| limits.segments > 1).unwrap_or(QueueLimits::LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &str, wanted: Kind) -> OpenError {
        open(Path::new(path), wanted).err().expect("it is no such device")
    }

    #[test]
    fn what_takes_no_commands_is_told_by_what_it_is() {
        for wanted in [Kind::Namespace, Kind::Controller] {
            let (error, name) = (refused("/dev/null", wanted), wanted.name());
            assert!(error.to_string().starts_with(&format!("/dev/null is no NVMe {name}: ")), "{error}");
            assert!(matches!(refused("/proc", wanted), OpenError::NotNvme { .. }));
            assert!(matches!(refused("/proc/version", wanted), OpenError::NotNvme { .. }));
            let error = refused("/dev/ng4000n1", wanted);
            assert!(error.to_string().starts_with("there is no /dev/ng4000n1: the kernel"), "{error}");
        }
    }

    #[test]
    fn a_missing_device_is_answered_with_those_that_there_are() {
        let known = vec!["/dev/ng0n1".to_owned(), "/dev/ng1n1".to_owned()];
        let error = OpenError::NoSuchNode { path: "/dev/ng7n1".into(), what: "namespace", known };
        assert_eq!(error.to_string(), "there is no /dev/ng7n1: the kernel has /dev/ng0n1, /dev/ng1n1");
    }

    #[test]
    fn a_block_device_leads_to_its_character_device() {
        let of = |place: &str| character_device(Path::new(place));
        let expected = Some(PathBuf::from("/dev/ng0n1"));
        assert_eq!(of("/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1"), expected);
        assert_eq!(of("/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1/nvme0n1p2"), expected);
        assert_eq!(of("/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"), expected);
        assert_eq!(of("/sys/devices/virtual/block/loop0"), None);
    }

    #[test]
    fn a_namespace_leads_to_its_controller() {
        let of = |place: &str| counterpart(Path::new(place), Kind::Controller);
        assert_eq!(of("/sys/x/nvme12/ng12n3"), Some("/dev/nvme12".into()));
        assert_eq!(of("/sys/x/nvme-subsys1/ng1n3"), None, "there is none");
        // Numbered as its subsystem, which is not how its controllers are.
        let subsystem = tempfile::tempdir().unwrap();
        for name in ["ng1n3", "nvme10", "nvme4", "nvme1n3", "nvmeX"] {
            fs::create_dir(subsystem.path().join(name)).unwrap();
        }
        assert_eq!(counterpart(&subsystem.path().join("ng1n3"), Kind::Controller), Some("/dev/nvme4".into()));
    }
}
