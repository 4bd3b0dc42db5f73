//! What a user is told of a mirror, and may do about it: [`MirrorControl`].

use std::fmt;
use std::sync::Arc;

use super::{Member, Shared, lock, rebuild};
use crate::bdev::{Descriptor, Error, Result};

/// Whether a member has what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberState {
    /// It has everything: reads go to it.
    InSync,
    /// It takes writes, and lacks what was written before: [`MirrorControl::rebuild`] it.
    Stale,
    /// It is not used any more: [`MirrorControl::replace`] it.
    Failed,
}

/// One member, from [`MirrorControl::status`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberStatus {
    /// The device's name.
    pub name: String,
    /// Whether it has what was written.
    pub state: MemberState,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// Reads that it failed and another member answered.
    pub read_errors: u64,
}

/// What a mirror is like at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirrorStatus {
    /// Its members, in the order given.
    pub members: Vec<MemberStatus>,
    /// Blocks that a rebuild under way has copied; none if there is none.
    pub rebuilt_blocks: Option<u64>,
}

impl MirrorStatus {
    /// True if a member is stale or has failed.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.members.iter().any(|member| member.state != MemberState::InSync)
    }
}

/// The way to a mirror that has been registered: what it is like, and what can be done about it. From any thread.
#[derive(Clone)]
pub struct MirrorControl(pub(super) Arc<Shared>);

impl MirrorControl {
    /// What the mirror is like.
    #[must_use]
    pub fn status(&self) -> MirrorStatus {
        lock(&self.0.table).status()
    }

    /// Uses a member no more, such as one that is about to be taken out.
    ///
    /// # Errors
    /// [`Error::NoMember`] if there is none of that number, or no other in sync.
    pub fn fail(&self, member: usize) -> Result<()> {
        self.0.change(|table| {
            table.others_in_sync(member)?;
            table.members[member].fail("taken out by hand".to_owned());
            Ok(())
        })
    }

    /// Puts a device in the place of a member that has failed. It is stale until it has been [rebuilt](Self::rebuild).
    ///
    /// # Errors
    /// [`Error::NoMember`] if no failed member has that number; [`Error::BadGeometry`] if the device has other blocks or fewer than the
    /// mirror.
    pub fn replace(&self, member: usize, base: Descriptor) -> Result<()> {
        let (device, id) = self.0.change(|table| {
            let (old, new) = (table.geometry, base.geometry());
            let place = table.members.get_mut(member).filter(|m| m.state == MemberState::Failed);
            let place =
                place.ok_or(Error::NoMember { member, reason: "no member of that number has failed" })?;
            if new.metadata_within() != old.metadata {
                let reason = format!("{}: the mirror has other metadata within its blocks", base.name());
                return Err(Error::BadGeometry { reason });
            }
            if new.block_size != old.block_size || new.block_count < old.block_count {
                let (count, size) = (old.block_count, old.block_size);
                let reason = format!("{}: the mirror needs {count} blocks of {size} bytes", base.name());
                return Err(Error::BadGeometry { reason });
            }
            *place = Member::new(table.next_id, base.clone(), MemberState::Stale);
            table.next_id += 1;
            Ok((table.device.clone(), table.next_id - 1))
        })?;
        // With the table free: a device that is gone already is told of at once.
        if let Some(device) = device {
            device.follow(id, &base);
        }
        Ok(())
    }

    /// Copies what stale members lack, and has them read from then on. I/O goes on meanwhile; what meets the window that is being
    /// copied waits for it.
    ///
    /// Dropping the future stops between two windows and leaves the members stale.
    ///
    /// # Errors
    /// What a member says that fails meanwhile; [`Error::Busy`] if a rebuild is under way; [`Error::Removed`] if the mirror is not
    /// registered, or not any more.
    pub async fn rebuild(&self) -> Result<()> {
        rebuild::run(&self.0).await
    }
}

impl fmt::Debug for MirrorControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MirrorControl").field(&self.status()).finish()
    }
}
