//! `reactor nvme perf`: the job of `reactor perf` on NVMe queues.

use super::args;
use super::target::{self, Target};
use crate::failure::{Failure, chain};
use crate::in_use;
use crate::perf::{self, Disk, Jobs, Outcome, Source};
use reactor::Mode;
use reactor::nvme::pcie::PcieDevice;
#[cfg(feature = "testing")]
use reactor::nvme::soft::SoftController;
use reactor::nvme::{Channel, Controller, Error, Namespace, Queue, QueuePair, passthru};
use reactor::sys::dma::DmaBuf;
use std::error::Error as StdError;
use std::ops::Range;

pub(crate) fn main(args: &args::Perf) -> Result<(), Failure> {
    args.load.check(&args.targets).map_err(Failure::Usage)?;
    perf::report(&args.load, &args.common, async || run(args).await)
}

async fn run(args: &args::Perf) -> Result<Vec<Outcome>, Failure> {
    let mut all = Vec::new();
    let measured = measure(args, &mut all).await;
    for opened in all {
        opened.close().await;
    }
    measured
}

/// Opens all targets, to be closed however it ends.
async fn measure(args: &args::Perf, all: &mut Vec<Opened>) -> Result<Vec<Outcome>, Failure> {
    for target in &args.targets {
        let opened = Opened::new(target, args).await?;
        all.push(opened);
        must_suit(args, target, all[all.len() - 1].namespace())?;
    }
    let mut jobs = Jobs::new(&args.load);
    all.iter().for_each(|opened| opened.start(&mut jobs));
    jobs.finish().await
}

/// Whether `args` can be done on the namespace.
fn must_suit(args: &args::Perf, target: &Target, namespace: &Namespace) -> Result<(), Failure> {
    let format = namespace.format();
    let usage = |what: &str| {
        Err(Failure::Usage(format!("{target}: {what}: choose another with --ns, or format it anew")))
    };
    if format.protection.is_some() {
        return usage(
            "its blocks have protection information, which who writes them must make, and perf makes none",
        );
    }
    if format.metadata_size > 0 && !format.is_extended {
        return usage("its blocks have metadata in buffers of its own, and perf has one buffer for each I/O");
    }
    perf::must_fit(&args.load, &target.to_string(), block_bytes(namespace), namespace.size())
}

/// Bytes of a block in a buffer: its metadata may be in there, too.
fn block_bytes(namespace: &Namespace) -> u32 {
    let format = namespace.format();
    if format.is_extended { format.block_size + format.metadata_size } else { format.block_size }
}

/// What each core has its own queue of.
trait Queues: Clone + Send + 'static {
    type Queue: Queue;

    /// The calling core's.
    async fn queue(&self) -> Result<Self::Queue, Failure>;
}

/// A namespace, and what has queues for it.
#[derive(Clone)]
struct Reached<C> {
    name: String,
    namespace: Namespace,
    by: C,
}

/// A target that is ready.
enum Opened {
    Pci(Reached<Controller<PcieDevice>>),
    Kernel(Reached<Kernel>),
    #[cfg(feature = "testing")]
    Soft(Reached<Controller<SoftController>>, reactor::Poller),
}

/// A namespace of the kernel's, whose queues are asked for completions if they can be.
#[derive(Clone)]
struct Kernel {
    namespace: passthru::Namespace,
    polls: bool,
}

impl Opened {
    async fn new(target: &Target, args: &args::Perf) -> Result<Self, Failure> {
        let name = target.to_string();
        let failed = |error: &Error| Failure::at(target, error);
        match target {
            Target::Pci(address) => {
                let by = target::attach(*address).await?;
                let namespace = match by.namespace(args.ns).await {
                    Ok(namespace) => namespace,
                    Err(error) => {
                        drop(by.close().await);
                        return Err(failed(&error));
                    }
                };
                Ok(Self::Pci(Reached { name, namespace, by }))
            }
            Target::Node(path) => {
                let opened = passthru::Namespace::open(path).await;
                let opened = opened.map_err(|e| Failure::Run(chain(&e)))?;
                if let Some(disk) = opened.disk_path().filter(|_| args.load.rw.writes()) {
                    in_use::must_be_free(&name, &disk)?;
                }
                let namespace = opened.description().clone();
                let polls = args.common.mode == Mode::Poll && opened.polling_queue().is_ok();
                Ok(Self::Kernel(Reached { name, namespace, by: Kernel { namespace: opened, polls } }))
            }
            #[cfg(feature = "testing")]
            Target::Soft => {
                let (by, works) = target::soft().await?;
                let namespace = match by.namespace(args.ns).await {
                    Ok(namespace) => namespace,
                    Err(error) => {
                        drop(by.close().await);
                        return Err(failed(&error));
                    }
                };
                Ok(Self::Soft(Reached { name, namespace, by }, works))
            }
        }
    }

    fn namespace(&self) -> &Namespace {
        match self {
            Self::Pci(reached) => &reached.namespace,
            Self::Kernel(reached) => &reached.namespace,
            #[cfg(feature = "testing")]
            Self::Soft(reached, _works) => &reached.namespace,
        }
    }

    fn start(&self, jobs: &mut Jobs) {
        match self {
            Self::Pci(reached) => jobs.start(&reached.name, reached.clone()),
            Self::Kernel(reached) => jobs.start(&reached.name, reached.clone()),
            #[cfg(feature = "testing")]
            Self::Soft(reached, _works) => jobs.start(&reached.name, reached.clone()),
        }
    }

    /// Leaves the controller as it is to be left. How that goes is no part of what was measured.
    async fn close(self) {
        match self {
            Self::Pci(reached) => drop(reached.by.close().await),
            Self::Kernel(_) => {}
            #[cfg(feature = "testing")]
            Self::Soft(reached, _works) => drop(reached.by.close().await),
        }
    }
}

impl Queues for Controller<PcieDevice> {
    type Queue = QueuePair<PcieDevice>;

    async fn queue(&self) -> Result<Self::Queue, Failure> {
        self.queue_pair().await.map_err(|e| no_queue(&e))
    }
}

#[cfg(feature = "testing")]
impl Queues for Controller<SoftController> {
    type Queue = QueuePair<SoftController>;

    async fn queue(&self) -> Result<Self::Queue, Failure> {
        self.queue_pair().await.map_err(|e| no_queue(&e))
    }
}

impl Queues for Kernel {
    type Queue = passthru::Queue;

    async fn queue(&self) -> Result<Self::Queue, Failure> {
        let queue = if self.polls { self.namespace.polling_queue() } else { self.namespace.queue() };
        queue.map_err(|e| no_queue(&e))
    }
}

fn no_queue(error: &(dyn StdError + 'static)) -> Failure {
    Failure::at("no queue for a core", error)
}

impl<C: Queues> Source for Reached<C> {
    type Disk = Channel<C::Queue>;

    async fn disk(&self) -> Result<Self::Disk, Failure> {
        Ok(Channel::new(self.namespace.clone(), self.by.queue().await?))
    }
}

impl<Q: Queue> Disk for Channel<Q> {
    fn block_bytes(&self) -> u32 {
        block_bytes(self.namespace())
    }

    fn block_count(&self) -> u64 {
        self.namespace().size()
    }

    #[inline(always)]
    async fn read(&self, blocks: Range<u64>, buf: DmaBuf) -> Result<DmaBuf, impl StdError + 'static> {
        let (read, buf) = Channel::read(self, blocks.start, buf).await;
        read.map(|()| buf)
    }

    #[inline(always)]
    async fn write(&self, lba: u64, buf: DmaBuf) -> Result<(), impl StdError + 'static> {
        Channel::write(self, lba, buf.freeze()).await
    }
}
