//! A controller that is attached: the task at its home that looks after it, and the namespaces that it has.
//!
//! Whatever happens (an event, a path that came to nothing, a while since it last did not answer), it [looks](Attached::look): it lists
//! the namespaces, asks each what it is and how well it can be reached, and makes the devices what that says. What is new becomes a
//! device, or another path of one; what has another size is resized; what is gone goes; what answers again is used again.

use std::any::Any;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use futures::future::{Either, select};
use futures::{FutureExt, StreamExt};
use zerocopy::FromBytes;

use super::away;
use super::failure::is_gone;
use super::paths::Disk;
use super::shape::{NamespaceNames, Shape};
use super::{NvmeDisk, NvmeOptions, Source, Told};
use crate::bdev::{DeviceRef, Names, Removal, register, registry};
use crate::nvme::spec::{ALL_NAMESPACES, AnaGroups, AnaLogHeader, AnaState, Command, LogPage};
use crate::nvme::{Error, Limits, Namespace};
use crate::spawn_local;
use crate::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use crate::sys::dma::DmaPool;
use crate::time::{Instant, timeout_at};

/// The most of a log of access states that is read: of 2,000 groups, or 16,000 namespaces.
const ANA_BYTES_MAX: usize = 64 << 10;
const PAGE: usize = 4096;

/// One controller, and what it has brought.
pub(super) struct Attached<S: Source> {
    pub(super) name: String,
    pub(super) source: S,
    options: NvmeOptions,
    /// The beginning of a spec that attaches it again, if there is one.
    spec: Option<String>,
    /// Whether what it finds is registered, or waits to be asked for.
    registers: bool,
    /// By namespace.
    known: Mutex<BTreeMap<u32, Known<S>>>,
    soon: UnboundedSender<()>,
    /// What its queues take, on any core.
    limits: OnceLock<Limits>,
}

/// What became of a namespace.
enum Known<S: Source> {
    /// A device; or one that somebody has taken away, and that stays away.
    Disk(Weak<Disk<S>>),
    /// None, and why.
    Refused(String),
}

impl<S: Source> Attached<S> {
    /// Attaches what `source` leads to, under `name`: its namespaces are there when this returns.
    pub(super) async fn new(
        name: String,
        source: S,
        options: NvmeOptions,
        spec: Option<String>,
        registers: bool,
    ) -> Result<Arc<Self>, Error> {
        let (soon, told) = unbounded();
        let known = Mutex::default();
        let attached =
            Arc::new(Self { name, source, options, spec, registers, known, soon, limits: OnceLock::new() });
        // From here on no event is missed.
        let events = attached.source.events();
        // If that fails, or nobody waits for it any more, nothing of it stays.
        let undo = Undo(Some(attached.clone()));
        let is_well = attached.look().await?;
        undo.keep();
        let every = attached.options.probe_every;
        let due = (!is_well).then(|| Instant::now() + every);
        spawn_local(watch(Arc::downgrade(&attached), events, told, due)).detach();
        Ok(attached)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u32, Known<S>>> {
        // Each change is one insertion or removal.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A spec of its namespace, if there is one.
    pub(super) fn spec(&self, nsid: u32) -> Option<String> {
        let spec = self.spec.clone()?;
        Some(if S::IS_CONTROLLER { format!("{spec},ns={nsid}") } else { spec })
    }

    /// What stands in its place in the spec of another.
    pub(super) fn address(&self) -> Option<&str> {
        // What stands before the colon is of the kind.
        Some(self.spec.as_ref()?.split_once(':')?.1)
    }

    /// Has the task at home look, from any core.
    pub(super) fn look_soon(&self) {
        // Without a task there is nobody to care.
        let _ = self.soon.send(());
    }

    /// Its devices, by namespace.
    pub(super) fn disks(&self) -> Vec<Arc<Disk<S>>> {
        let disk = |known: &Known<S>| match known {
            Known::Disk(disk) => disk.upgrade(),
            Known::Refused(_) => None,
        };
        self.known().values().filter_map(disk).collect()
    }

    /// The device of one namespace, for who will register it; that of another path, if there is one already.
    pub(super) async fn take(self: &Arc<Self>, nsid: u32) -> Result<Arc<Disk<S>>, Error> {
        let (shape, namespace) = self.shape(nsid).await?;
        let access = access_of(self.access().await?.as_ref(), nsid);
        let (disk, _is_new) = join(self, shape, &namespace, access);
        self.known().insert(nsid, Known::Disk(Arc::downgrade(&disk)));
        Ok(disk)
    }

    /// The namespaces that are no device, and why.
    pub(super) fn refused(&self) -> Vec<(u32, String)> {
        let reason = |(nsid, known): (&u32, &Known<S>)| match known {
            Known::Disk(_) => None,
            Known::Refused(reason) => Some((*nsid, reason.clone())),
        };
        self.known().iter().filter_map(reason).collect()
    }

    /// Makes the devices what the controller says. Whether all of it can be used.
    async fn look(self: &Arc<Self>) -> Result<bool, Error> {
        let listed = self.source.namespaces().await?;
        let gone: Vec<_> = {
            let mut known = self.known();
            let gone: Vec<_> = known.keys().copied().filter(|nsid| !listed.contains(nsid)).collect();
            gone.iter().filter_map(|nsid| known.remove(nsid)).collect()
        };
        gone.iter().for_each(|known| drop(self.leave(known)));
        let access = self.access().await?;
        let mut is_well = true;
        for nsid in listed.into_iter().filter(|nsid| self.is_wanted(*nsid)) {
            let access = access_of(access.as_ref(), nsid);
            is_well &= access != AnaState::CHANGE;
            match self.shape(nsid).await {
                // The way there is of no use at present, which says nothing of the namespace.
                Err(Error::Status(status)) if status.is_path_error() => return Err(Error::Status(status)),
                Ok((shape, namespace)) => self.found(shape, &namespace, access),
                Err(
                    e
                    @ (Error::Unsupported(_) | Error::Status(_) | Error::NoNamespace(_) | Error::NoQueue(_)),
                ) => {
                    self.refuse(nsid, e.to_string());
                }
                Err(e) => return Err(e),
            }
        }
        Ok(is_well)
    }

    /// What the controller says that its namespace is.
    async fn shape(&self, nsid: u32) -> Result<(Shape, Namespace), Error> {
        let namespace = self.source.namespace(nsid).await?;
        let limits = match self.limits.get() {
            Some(limits) => *limits,
            None => {
                let limits = away::limits(&self.source).await?;
                *self.limits.get_or_init(|| limits)
            }
        };
        Ok((Shape::of(self.source.identity(), &namespace, limits)?, namespace))
    }

    fn is_wanted(&self, nsid: u32) -> bool {
        match &self.options.namespaces {
            _ if !self.registers => self.known().contains_key(&nsid),
            Some(wanted) => wanted.contains(&nsid),
            None => true,
        }
    }

    fn found(self: &Arc<Self>, shape: Shape, namespace: &Namespace, access: AnaState) {
        let nsid = shape.nsid;
        let known = match self.known().get(&nsid) {
            Some(Known::Disk(disk)) => Some(disk.upgrade()),
            _ => None,
        };
        match known {
            // Somebody has taken it away.
            Some(None) => return,
            Some(Some(disk)) if disk.shape.is_like(&shape) => {
                let blocks = shape.geometry.block_count;
                // A device that is gone, or about to be made, hears of it no more, or not yet.
                disk.device().map(|device| device.resize(blocks)).into_iter().for_each(drop);
                disk.set_access(self, access);
                disk.recovered(self, namespace);
                return;
            }
            // Other blocks than before: what was open is no device of them.
            Some(Some(disk)) => drop(self.leave(&Known::Disk(Arc::downgrade(&disk)))),
            None => {}
        }
        let (disk, is_new) = join(self, shape, namespace, access);
        self.known().insert(nsid, Known::Disk(Arc::downgrade(&disk)));
        if is_new && self.registers {
            if let Err(e) = self.register(&disk) {
                drop(disk);
                self.refuse(nsid, e.to_string());
            }
        }
    }

    fn refuse(&self, nsid: u32, reason: String) {
        let before = self.known().insert(nsid, Known::Refused(reason));
        before.iter().for_each(|known| drop(self.leave(known)));
    }

    /// Registers a device by the controller's name and the namespace's number, and by those of its other names that are free.
    fn register(&self, disk: &Arc<Disk<S>>) -> crate::bdev::Result<DeviceRef> {
        let (own, name) = (&disk.shape.names, format!("{}n{}", self.name, disk.shape.nsid));
        let mut taken = Vec::new();
        loop {
            let is_free = |name: &String| registry::name_of(name).is_none() && !taken.contains(name);
            let mut names = Names::new(&name);
            for alias in own.aliases().into_iter().filter(is_free) {
                names = names.with_alias(alias);
            }
            if let Some(uuid) = own.registered_uuid().filter(|uuid| is_free(&uuid.to_string())) {
                names = names.with_uuid(uuid);
            }
            match register(names, NvmeDisk(disk.clone())) {
                // Somebody has taken it since, or is about to.
                Err(crate::bdev::Error::BadName { name: other, .. })
                    if other != name && !taken.contains(&other) =>
                {
                    taken.push(other);
                }
                made => return made,
            }
        }
    }

    /// The access state of each namespace; none if the controller does not report them (Base 2.0 §5.16.1.13).
    async fn access(&self) -> Result<Option<BTreeMap<u32, AnaState>>, Error> {
        let identity = self.source.identity();
        if !S::IS_CONTROLLER || !identity.multi_path.has_ana() {
            return Ok(None);
        }
        let mut log = Vec::new();
        loop {
            let mut page = DmaPool::local().alloc(PAGE).await?;
            page.fill(0);
            let command = Command::get_log_page(LogPage::ANA, ALL_NAMESPACES, log.len() as u64, PAGE as u32);
            let (answer, payload) = self.source.admin(command, page.into()).await;
            answer?.ok()?;
            log.extend_from_slice(&payload.into_buf().ok_or(Error::Closed)?);
            let head = AnaLogHeader::ref_from_prefix(&log).map_or(0, |(head, _)| head.groups.get());
            let is_whole = AnaGroups::new(&log).count() == usize::from(head);
            if is_whole || !identity.logs.offsets() || log.len() >= ANA_BYTES_MAX {
                break;
            }
        }
        let states = AnaGroups::new(&log);
        let states =
            states.flat_map(|group| group.namespaces.iter().map(move |nsid| (nsid.get(), group.state)));
        Ok(Some(states.collect()))
    }

    /// Gives the path to a namespace up, and the device with the last one.
    fn leave(&self, known: &Known<S>) -> Option<Removal> {
        let Known::Disk(disk) = known else { return None };
        let device = disk.upgrade()?.removed(self)?;
        Some(device.remove())
    }

    /// Gives all paths up.
    pub(super) fn leave_all(&self) -> Vec<Removal> {
        let all = std::mem::take(&mut *self.known());
        all.values().filter_map(|known| self.leave(known)).collect()
    }
}

/// Whether a controller that says so will say nothing else any more.
fn is_final(error: &Error) -> bool {
    is_gone(error) || matches!(error, Error::Closed)
}

/// What a controller that reports access states says of one namespace, and what counts for one that does not.
fn access_of(states: Option<&BTreeMap<u32, AnaState>>, nsid: u32) -> AnaState {
    match states {
        None => AnaState::OPTIMIZED,
        Some(states) => states.get(&nsid).copied().unwrap_or(AnaState::INACCESSIBLE),
    }
}

/// Attached for as long as it takes to look, and for good if it is kept.
struct Undo<S: Source>(Option<Arc<Attached<S>>>);

impl<S: Source> Undo<S> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl<S: Source> Drop for Undo<S> {
    fn drop(&mut self) {
        if let Some(attached) = self.0.take() {
            drop(attached.leave_all());
        }
    }
}

/// Looks after a controller until it is gone, or nobody has it any more.
async fn watch<S: Source>(
    attached: Weak<Attached<S>>,
    events: impl futures::Stream<Item = Told>,
    mut soon: UnboundedReceiver<()>,
    mut due: Option<Instant>,
) {
    let mut events = pin!(events.fuse());
    loop {
        let next = async {
            match select(events.next(), pin!(soon.recv())).await {
                Either::Left((event, _)) => Some(event.unwrap_or(Told::Gone)),
                Either::Right((Some(()), _)) => Some(Told::Changed),
                // Nobody has it any more.
                Either::Right((None, _)) => None,
            }
        };
        let told = match due {
            None => next.await,
            Some(due) => timeout_at(due, next).await.unwrap_or(Some(Told::Changed)),
        };
        let (Some(told), Some(attached)) = (told, attached.upgrade()) else { return };
        // One look is for all that was told before it.
        while soon.recv().now_or_never().flatten().is_some() {}
        let every = attached.options.probe_every;
        due = match told {
            Told::Gone => return drop(attached.leave_all()),
            Told::Changed => match attached.look().await {
                Ok(true) => None,
                Err(e) if is_final(&e) => return drop(attached.leave_all()),
                Ok(false) | Err(_) => Some(Instant::now() + every),
            },
        };
    }
}

/// The devices of namespaces that several controllers may have, whatever kind of source they are of.
static SHARED: Mutex<Vec<(NamespaceNames, Weak<dyn Any + Send + Sync>)>> = Mutex::new(Vec::new());

/// A path to the device that is of the same namespace, or to a new one; and whether it is new.
fn join<S: Source>(
    controller: &Arc<Attached<S>>,
    shape: Shape,
    namespace: &Namespace,
    access: AnaState,
) -> (Arc<Disk<S>>, bool) {
    // Each change is one push or retain.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.retain(|(_, disk)| disk.strong_count() > 0);
    for (_, disk) in shared.iter().filter(|(names, _)| S::IS_CONTROLLER && names.is_same(&shape.names)) {
        let disk = disk.upgrade().and_then(|disk| disk.downcast::<Disk<S>>().ok());
        let joins =
            |disk: &Arc<Disk<S>>| disk.shape.is_like(&shape) && disk.add(controller, namespace, access);
        if let Some(disk) = disk.filter(joins) {
            return (disk, false);
        }
    }
    let names = shape.names.clone();
    let disk = Arc::new(Disk::new(shape, controller.options.clone()));
    disk.add(controller, namespace, access);
    let any: Weak<Disk<S>> = Arc::downgrade(&disk);
    shared.push((names, any));
    (disk, true)
}
