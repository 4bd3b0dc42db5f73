//! How to get to a controller: the ways that TARGET can name, and what all of them can be asked.

use crate::failure::{Failure, chain};
use reactor::app::Builder;
use reactor::nvme::passthru;
use reactor::nvme::pcie::{Address, PcieDevice};
#[cfg(feature = "testing")]
use reactor::nvme::soft::SoftController;
use reactor::nvme::spec::Command;
use reactor::nvme::{Answer, Config, Controller, Error, Payload};
use reactor::sys::cpu::CpuSet;
use reactor::sys::dma::DmaPool;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Bytes of the smallest page: a driver that works with others does not attach, and the kernel has none such either.
const PAGE_MIN: u64 = 4096;

/// What TARGET says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// A controller on the bus, over a driver of our own.
    Pci(Address),
    /// A controller or a namespace of the kernel's.
    Node(PathBuf),
    /// A controller of software.
    #[cfg(feature = "testing")]
    Soft,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        #[cfg(feature = "testing")]
        if given == "soft" {
            return Ok(Self::Soft);
        }
        if given.starts_with('/') {
            return Ok(Self::Node(given.into()));
        }
        given.parse().map(Self::Pci).map_err(|_none| {
            "give a PCI address such as 0000:00:04.0, or a node such as /dev/nvme0 or /dev/ng0n1: `reactor nvme list` \
             shows them"
                .into()
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(address) => address.fmt(f),
            Self::Node(path) => path.display().fmt(f),
            #[cfg(feature = "testing")]
            Self::Soft => f.write_str("soft"),
        }
    }
}

/// Whoever answers admin commands.
pub(super) trait Admin {
    /// Sends a command whose answer has so many bytes.
    async fn ask(&self, command: Command, bytes: usize) -> Result<Vec<u8>, Error>;

    /// Bytes of its smallest page, the unit of its transfers.
    fn page_min(&self) -> u64 {
        PAGE_MIN
    }
}

/// A controller that can be asked, and the namespace of the kernel's that it was reached by.
pub(super) enum Attached {
    Pci(Controller<PcieDevice>),
    Kernel(passthru::Controller, Option<u32>),
    #[cfg(feature = "testing")]
    Soft(Controller<SoftController>, reactor::Poller),
}

impl Attached {
    async fn new(target: &Target) -> Result<Self, Failure> {
        match target {
            Target::Pci(address) => Ok(Self::Pci(attach(*address).await?)),
            Target::Node(path) => {
                open(path).await.map(|(controller, namespace)| Self::Kernel(controller, namespace))
            }
            #[cfg(feature = "testing")]
            Target::Soft => soft().await.map(|(controller, works)| Self::Soft(controller, works)),
        }
    }

    /// The namespace of the kernel's that it was reached by.
    pub(super) fn namespace(&self) -> Option<u32> {
        match self {
            Self::Kernel(_, namespace) => *namespace,
            _ => None,
        }
    }

    /// Leaves the controller as it is to be left: a PCI function disabled.
    async fn close(self) -> Result<(), Error> {
        match self {
            Self::Pci(controller) => controller.close().await,
            Self::Kernel(..) => Ok(()),
            #[cfg(feature = "testing")]
            Self::Soft(controller, _works) => controller.close().await,
        }
    }
}

impl Admin for Attached {
    async fn ask(&self, command: Command, bytes: usize) -> Result<Vec<u8>, Error> {
        let mut page = DmaPool::local().alloc(bytes).await?;
        page.fill(0);
        let page = Payload::from(page);
        let (answer, payload): (Result<Answer, Error>, Payload) = match self {
            Self::Pci(controller) => controller.admin(command, page).await,
            Self::Kernel(controller, _) => controller.admin(command, page).await,
            #[cfg(feature = "testing")]
            Self::Soft(controller, _works) => controller.admin(command, page).await,
        };
        answer?.ok()?;
        // One that was answered comes back.
        Ok(payload.into_buf().map(|page| page.to_vec()).unwrap_or_default())
    }
}

/// A node's controller, and the namespace if it is one's.
async fn open(path: &Path) -> Result<(passthru::Controller, Option<u32>), Failure> {
    let failed = |error: passthru::OpenError| Failure::Run(chain(&error));
    if number_of(path).is_some() {
        return Ok((passthru::Controller::open(path).await.map_err(failed)?, None));
    }
    let namespace = passthru::Namespace::open(path).await.map_err(failed)?;
    let controller = controller_of(path).ok_or_else(|| {
        Failure::Run(format!(
            "/sys does not say which controller has {}: name that, such as /dev/nvme0, with --ns",
            path.display()
        ))
    })?;
    let controller = passthru::Controller::open(controller).await.map_err(failed)?;
    Ok((controller, Some(namespace.description().id())))
}

/// Which controller has this name.
fn number_of(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix("nvme")?.parse().ok()
}

/// The node of a controller that has the namespace with this node: its own, or one of its subsystem's.
fn controller_of(namespace: &Path) -> Option<PathBuf> {
    let device = Path::new("/sys/class/nvme-generic").join(namespace.file_name()?).join("device");
    let device = fs::canonicalize(device).ok()?;
    let parts = fs::read_dir(&device).ok()?.flatten().map(|entry| entry.path());
    let found = [device.clone()].into_iter().chain(parts).find(|path| number_of(path).is_some())?;
    Some(Path::new("/dev").join(found.file_name()?))
}

/// Takes the controller at an address.
pub(super) async fn attach(address: Address) -> Result<Controller<PcieDevice>, Failure> {
    let device = PcieDevice::open(&address.to_string()).map_err(|e| Failure::Run(chain(&e)))?;
    Controller::attach(device, Config::default()).await.map_err(|e| Failure::at(address, &e))
}

/// A controller of software, and what makes it work.
#[cfg(feature = "testing")]
pub(super) async fn soft() -> Result<(Controller<SoftController>, reactor::Poller), Failure> {
    let device = SoftController::default();
    let works = reactor::Poller::register("soft", {
        let device = device.clone();
        move || device.step()
    });
    let controller = Controller::attach(device, Config::default()).await;
    controller.map(|controller| (controller, works)).map_err(|e| Failure::at("soft", &e))
}

/// Does a job with a controller, on a core.
pub(super) fn run<T>(
    target: &Target,
    job: impl AsyncFnOnce(&Attached) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let core = CpuSet::first(1).map_err(|e| Failure::Run(chain(&e)))?;
    let run = async || {
        let it = Attached::new(target).await?;
        let done = job(&it).await;
        // What it said is worth more than how it ended.
        let _closed = it.close().await;
        done
    };
    Builder::new().cores(core).run(run).map_err(|e| Failure::of_app(&e))?
}
