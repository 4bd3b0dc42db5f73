//! Making members equal: a whole stale one ([`run`]), or blocks that a write has left unequal ([`equalize`]).
//!
//! Both copy under a hold: I/O of all cores to the window waits, and what was in flight there has ended. A write that began before
//! is therefore copied with the rest, and one that begins after goes to the stale member too.

use std::ops::Range;
use std::sync::Arc;

use super::{Member, MemberState, Shared, Table, lock};
use crate::bdev::{DeviceRef, Error, Geometry, Result};
use crate::reactor::context;
use crate::spawn_local;
use crate::sys::dma::{DmaBytes, DmaPool};

/// What is copied and held at a time. Writes to it wait for so long: about a millisecond on a disk of 1 GB/s.
const WINDOW_BYTES: u64 = 1 << 20;

/// Copies what stale members lack, and then takes them as in sync.
pub(super) async fn run(shared: &Arc<Shared>) -> Result<()> {
    let (device, stale) = {
        let mut table = lock(&shared.table);
        let device = table.device.clone().ok_or(Error::Removed)?;
        if table.rebuilt_blocks.is_some() {
            let by = Some("a rebuild that is under way".to_owned());
            return Err(Error::Busy { name: device.name().to_owned(), by });
        }
        table.rebuilt_blocks = Some(0);
        let stale = table.members.iter().filter(|member| member.state == MemberState::Stale);
        let stale: Vec<_> = stale.cloned().collect();
        (device, stale)
    };
    let _under_way = UnderWay(shared);
    let copier = Copier::new(shared, device, stale);
    let mut lba = 0;
    loop {
        // As it is now: the mirror may grow or shrink meanwhile.
        let geometry = lock(&shared.table).geometry;
        if copier.targets.is_empty() || lba >= geometry.block_count {
            if shared.change(|table| Ok(table.take_in(&copier.targets, lba)))? {
                return Ok(());
            }
            continue;
        }
        let blocks = lba..geometry.block_count.min(lba + copier.window(&geometry));
        match copier.copy(blocks.clone()).await {
            // Cut off while this waited for them.
            Err(Error::OutOfRange { .. }) if lock(&shared.table).geometry.block_count < blocks.end => {}
            copied => {
                copied?;
                lba = blocks.end;
                lock(&shared.table).rebuilt_blocks = Some(lba);
            }
        }
    }
}

impl Table {
    /// Has those who were copied up to `end` read from now on. `false` if there are more blocks by now.
    fn take_in(&mut self, copied: &[Member], end: u64) -> bool {
        if !copied.is_empty() && self.geometry.block_count > end {
            return false;
        }
        // One that has failed meanwhile stays as it is, and so does one that was put in its place.
        let is_copied = |member: &&mut Member| copied.iter().any(|copied| copied.id == member.id);
        for member in self.members.iter_mut().filter(is_copied) {
            if member.state == MemberState::Stale {
                member.state = MemberState::InSync;
            }
        }
        true
    }
}

/// There is a rebuild for as long as this lives.
struct UnderWay<'s>(&'s Arc<Shared>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(&self.0.table).rebuilt_blocks = None;
    }
}

/// Has a task of this core give all members what the first of them in sync has in `blocks`.
pub(super) fn equalize(shared: &Arc<Shared>, blocks: Range<u64>) {
    let (device, members) = {
        let table = lock(&shared.table);
        let live = table.members.iter().filter(|member| member.state != MemberState::Failed);
        (table.device.clone(), live.cloned().collect())
    };
    // Where a core ends there is nobody to do it: as after a crash, who puts the mirror together again says what is stale.
    let Some(device) = device.filter(|_| context::try_with(|_| ()).is_some()) else { return };
    let copier = Copier::new(shared, device, members);
    drop(spawn_local(async move {
        // An error here has failed a member, or the mirror is gone.
        let _ = copier.copy(blocks).await;
    }));
}

/// Copies from a member in sync to others.
struct Copier {
    shared: Arc<Shared>,
    device: DeviceRef,
    targets: Vec<Member>,
    /// Apart from the pool of this core: who waits there may hold buffers, and wait for the blocks that are held here.
    pool: DmaPool,
}

impl Copier {
    fn new(shared: &Arc<Shared>, device: DeviceRef, targets: Vec<Member>) -> Self {
        Self { shared: shared.clone(), device, targets, pool: DmaPool::with_limit(2 * WINDOW_BYTES as usize) }
    }

    /// Blocks that are copied at a time.
    fn window(&self, geometry: &Geometry) -> u64 {
        (WINDOW_BYTES / u64::from(geometry.block_size)).max(1)
    }

    /// Copies `blocks` with I/O to them held.
    async fn copy(&self, blocks: Range<u64>) -> Result<()> {
        let _held = self.device.quiesce_range(blocks.clone()).await?;
        let geometry = lock(&self.shared.table).geometry;
        let mut lba = blocks.start;
        while lba < blocks.end {
            let window = lba..blocks.end.min(lba + self.window(&geometry));
            let (from, data) = self.read(window.clone(), &geometry).await?;
            for target in self.targets.iter().filter(|target| target.id != from) {
                let written = match target.base.channel() {
                    Ok(channel) => channel.write(window.start, data.clone()).await,
                    Err(e) => Err(e),
                };
                if let Err(e) = written {
                    self.shared.failed(target.id, &e);
                    return Err(e);
                }
            }
            lba = window.end;
        }
        Ok(())
    }

    /// What stands in `blocks` of a member in sync, and which.
    async fn read(&self, blocks: Range<u64>, geometry: &Geometry) -> Result<(usize, DmaBytes)> {
        let bytes = (blocks.end - blocks.start) as usize * geometry.block_size as usize;
        loop {
            let in_sync = {
                let table = lock(&self.shared.table);
                let found = table.members.iter().find(|member| member.state == MemberState::InSync);
                found.cloned().ok_or(Error::Removed)?
            };
            let buf = self.pool.alloc(bytes).await?;
            let read = async { Ok(in_sync.base.channel()?.read_into(blocks.clone(), buf).await?) };
            match read.await {
                Ok(buf) => return Ok((in_sync.id, buf.freeze())),
                Err(e) if !self.shared.failed(in_sync.id, &e) => return Err(e),
                Err(_) => {}
            }
        }
    }
}
