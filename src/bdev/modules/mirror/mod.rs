//! RAID 1: the same blocks on several devices, for as long as one of them lives.
//!
//! ```text
//!               a write fails, it is removed, or fail()
//!   InSync ───────────────────────────────────────────► Failed
//!      ▲                                                 ▲   │ replace(): a new device in its place
//!      │ rebuild() has copied everything   a write fails │   ▼
//!      └───────────────────────────────────────────────── Stale: written, not read
//! ```
//!
//! Writes go to all members that have not failed, and are answered when all have answered; reads go to one that is in sync
//! (`channel`). Rebuilding copies a window at a time, with I/O to that window held on all cores (`rebuild`). Who may be read is
//! decided here, and what a user is told and may do about it stands in `control`.
//!
//! Nothing is kept on the members beside the data. Who puts a mirror together again after a crash or in degraded state says which
//! members are stale: [`Mirror::stale`].

mod channel;
mod control;
mod rebuild;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use channel::MirrorChannel;
pub use control::{MemberState, MemberStatus, MirrorControl, MirrorStatus};

use super::members::Members;
use super::spec::{Bases, Kind, Plan, spec_over};
use crate::bdev::{Access, Bdev, Descriptor, DeviceRef, Error, Event, Geometry, Op, Result};

pub(super) const KIND: Kind = Kind::new(
    "mirror",
    "mirror(SPEC,SPEC)",
    "the same blocks on two to four devices (RAID 1); also `stale=N` for one to be rebuilt first",
    Bases::Many,
    |args| {
        let mut stale = Vec::new();
        while let Some(member) = args.get("stale") {
            stale.push(member.number()? as usize);
        }
        Ok(Plan::over(|members| stale.into_iter().try_fold(Mirror::over(members)?, Mirror::stale)))
    },
);

/// How many devices a mirror has at most. Writes to them are in flight together without a list on the heap.
pub const MEMBERS_MAX: usize = 4;

/// A mirror of two to four devices.
///
/// ```
/// use reactor::bdev::{self, Access, modules::{Mirror, MemberState}};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let one = bdev::open("ram:1M", Access::ReadWrite).await?;
/// let other = bdev::open("ram:2M", Access::ReadWrite).await?;
/// let mirror = Mirror::over([one, other])?;
/// let control = mirror.control();
/// bdev::register("mirror0", mirror)?; // as large as the smallest: 1 MiB
///
/// control.fail(0)?;
/// control.replace(0, bdev::open("ram:4M", Access::ReadWrite).await?)?;
/// control.rebuild().await?;
/// assert!(control.status().members.iter().all(|member| member.state == MemberState::InSync));
/// # bdev::unregister("mirror0")?;
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
pub struct Mirror {
    shared: Arc<Shared>,
}

/// What all cores share.
struct Shared {
    /// Changed seldom, by whoever holds the lock.
    table: Mutex<Table>,
    /// Counts the changes of `table`, so that channels notice one with a load.
    version: AtomicU32,
    on_change: OnceLock<OnChange>,
}

type OnChange = Box<dyn Fn(&MirrorStatus) + Send + Sync>;

struct Table {
    members: Vec<Member>,
    next_id: usize,
    geometry: Geometry,
    rebuilt_blocks: Option<u64>,
    device: Option<DeviceRef>,
}

#[derive(Clone)]
struct Member {
    /// Tells it from others that had its place before: the number by which the layer speaks of its base.
    id: usize,
    base: Descriptor,
    state: MemberState,
    failure: Option<String>,
    read_errors: u64,
}

impl Mirror {
    /// Mirrors `members`, which are taken to have the same content already, such as new devices have; so is what they have
    /// more when they grow. The mirror is as large as the smallest.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if there are fewer than two or more than [`MEMBERS_MAX`], or if their block sizes differ.
    pub fn over(members: impl IntoIterator<Item = Descriptor>) -> Result<Self> {
        let bases = Members::new("mirror", members)?;
        let count = bases.all().len();
        if !(2..=MEMBERS_MAX).contains(&count) {
            let reason = format!("a mirror of {count} devices: give it two to {MEMBERS_MAX}");
            return Err(Error::BadGeometry { reason });
        }
        // Members split for themselves what they do not take whole.
        let geometry = bases.geometry(bases.shapes().map(|it| it.block_count).min().unwrap_or(0));
        let in_sync = |(id, base): (usize, &Descriptor)| Member::new(id, base.clone(), MemberState::InSync);
        let members: Vec<_> = bases.all().iter().enumerate().map(in_sync).collect();
        let next_id = members.len();
        let table = Table { members, next_id, geometry, rebuilt_blocks: None, device: None };
        let shared =
            Shared { table: Mutex::new(table), version: AtomicU32::new(1), on_change: OnceLock::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same with a member that does not have what the others have: it is written, and not read until it has been
    /// [rebuilt](MirrorControl::rebuild).
    ///
    /// # Errors
    /// [`Error::NoMember`] if there is none of that number, or no other in sync.
    pub fn stale(self, member: usize) -> Result<Self> {
        self.shared.change(|table| {
            table.others_in_sync(member)?;
            table.members[member].state = MemberState::Stale;
            Ok(())
        })?;
        Ok(self)
    }

    /// The same with a function that is told of each change of a member's state, on the thread that found out.
    #[must_use]
    pub fn on_change(self, f: impl Fn(&MirrorStatus) + Send + Sync + 'static) -> Self {
        // The first one given stays.
        let _ = self.shared.on_change.set(Box::new(f));
        self
    }

    /// The way to it once it is registered.
    #[must_use]
    pub fn control(&self) -> MirrorControl {
        MirrorControl(self.shared.clone())
    }
}

impl Shared {
    fn change<T>(&self, f: impl FnOnce(&mut Table) -> Result<T>) -> Result<T> {
        let mut table = lock(&self.table);
        let result = f(&mut table)?;
        // Release: who sees the number finds the table changed, behind its lock.
        self.version.fetch_add(1, Release);
        let status = table.status();
        drop(table);
        if let Some(on_change) = self.on_change.get() {
            on_change(&status);
        }
        Ok(result)
    }

    fn version(&self) -> u32 {
        // Acquire: pairs with the Release in `change`.
        self.version.load(Acquire)
    }

    /// A member could not write, or is gone. If it was the last in sync it stays, and this is `false`: what it says is then what the
    /// mirror says.
    ///
    /// Called before a write is answered that a member missed, so that nobody who knows of the answer reads the old blocks there.
    fn failed(&self, id: usize, why: &Error) -> bool {
        let change = self.change(|table| {
            let found = table.members.iter().position(|m| m.id == id && m.state != MemberState::Failed);
            let member = found.ok_or(Error::Removed)?;
            if table.members[member].state == MemberState::InSync {
                table.others_in_sync(member)?;
            }
            table.members[member].fail(why.to_string());
            Ok(())
        });
        change.is_ok()
    }

    fn is_live(&self, id: usize) -> bool {
        let table = lock(&self.table);
        table.members.iter().any(|member| member.id == id && member.state != MemberState::Failed)
    }

    fn read_failed(&self, id: usize) {
        let mut table = lock(&self.table);
        if let Some(member) = table.members.iter_mut().find(|member| member.id == id) {
            member.read_errors += 1;
        }
    }
}

impl Table {
    fn status(&self) -> MirrorStatus {
        let status = |member: &Member| MemberStatus {
            name: member.base.name().to_owned(),
            state: member.state,
            failure: member.failure.clone(),
            read_errors: member.read_errors,
        };
        MirrorStatus {
            members: self.members.iter().map(status).collect(),
            rebuilt_blocks: self.rebuilt_blocks,
        }
    }

    /// Whether the mirror can do without `member`.
    fn others_in_sync(&self, member: usize) -> Result<()> {
        if member >= self.members.len() {
            return Err(Error::NoMember { member, reason: "there are not so many" });
        }
        let is_other = |(at, other): (usize, &Member)| at != member && other.state == MemberState::InSync;
        if self.members.iter().enumerate().any(is_other) {
            return Ok(());
        }
        Err(Error::NoMember { member, reason: "no other is in sync: rebuild one first" })
    }
}

impl Member {
    fn new(id: usize, base: Descriptor, state: MemberState) -> Self {
        Self { id, base, state, failure: None, read_errors: 0 }
    }

    fn fail(&mut self, why: String) {
        self.state = MemberState::Failed;
        self.failure = Some(why);
    }
}

impl Bdev for Mirror {
    type Channel = MirrorChannel;

    fn module(&self) -> &'static str {
        "mirror"
    }

    fn geometry(&self) -> Geometry {
        lock(&self.shared.table).geometry
    }

    fn supports(&self, op: Op) -> bool {
        let table = lock(&self.shared.table);
        matches!(op, Op::Read | Op::Write | Op::Flush)
            || matches!(op, Op::WriteZeroes | Op::Unmap)
                && table.members.iter().all(|member| member.base.supports(op))
    }

    fn opening(&self, access: Access) -> Result<()> {
        lock(&self.shared.table).members.iter().try_for_each(|member| member.base.allows(access))
    }

    fn bases(&self) -> Vec<Descriptor> {
        lock(&self.shared.table).members.iter().map(|member| member.base.clone()).collect()
    }

    fn attached(&self, device: DeviceRef) {
        lock(&self.shared.table).device = Some(device);
    }

    fn base_changed(&self, base: usize, event: &Event, device: &DeviceRef) {
        match event {
            Event::Removed => {
                if !self.shared.failed(base, &Error::Removed) && self.shared.is_live(base) {
                    // The last that had everything.
                    drop(device.remove());
                }
            }
            Event::Resized(_) => {
                let blocks = {
                    let mut table = lock(&self.shared.table);
                    let live = table.members.iter().filter(|member| member.state != MemberState::Failed);
                    let smallest = live.map(|member| member.base.geometry().block_count).min();
                    table.geometry.block_count = smallest.unwrap_or(table.geometry.block_count);
                    table.geometry.block_count
                };
                // What cannot be, such as no blocks, leaves the device as it was: its I/O then fails below.
                drop(device.resize(blocks));
            }
            Event::MediaManaged(media) => device.media_managed(media.clone()),
        }
    }

    fn spec(&self) -> Option<String> {
        let (bases, stale): (Vec<_>, Vec<_>) = {
            let table = lock(&self.shared.table);
            // What has missed writes has to be rebuilt, whatever became of it since.
            let is_stale =
                |(at, member): (usize, &Member)| (member.state != MemberState::InSync).then_some(at);
            let stale = table.members.iter().enumerate().filter_map(is_stale);
            let bases = table.members.iter().map(|member| member.base.clone());
            (bases.collect(), stale.map(|at| format!("stale={at}")).collect())
        };
        let colon = if stale.is_empty() { "" } else { ":" };
        spec_over(format!("mirror{colon}{}", stale.join(",")), &bases)
    }

    fn channel(&self, _access: Access) -> Result<MirrorChannel> {
        MirrorChannel::new(self.shared.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is complete before anything that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("status", &lock(&self.shared.table).status()).finish_non_exhaustive()
    }
}
