//! Who has a device open, and who may: one writer, or what a [`Claim`] says instead.
//!
//! Counted by `device` under the lock of its life; a claim belongs to one `descriptor` and ends with it.

use std::fmt;
use std::sync::Arc;

use super::{Access, Error, Result};

/// What a module has others keep to, for as long as it has a device: SPDK's `spdk_bdev_module_claim_bdev_desc`.
///
/// | claim | its holder | may be claimed besides | others |
/// |---|---|---|---|
/// | none | | anything | one writer, any number of readers |
/// | [`WriteOne`](Self::WriteOne) | reads and writes | nothing | read |
/// | [`WriteNone`](Self::WriteNone) | reads | the same | read |
/// | [`WriteShared`](Self::WriteShared) | reads and writes | the same with the same key | read |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Claim {
    /// The holder writes, and nobody else (SPDK's `READ_MANY_WRITE_ONE`, and `EXCL_WRITE`).
    WriteOne,
    /// Nobody writes (`READ_MANY_WRITE_NONE`).
    WriteNone,
    /// Those write who know the key (`READ_MANY_WRITE_SHARED`), and see to it themselves that they do not meet.
    WriteShared(u64),
}

impl Claim {
    /// What a descriptor with this claim is open for.
    #[must_use]
    pub const fn access(self) -> Access {
        match self {
            Self::WriteOne | Self::WriteShared(_) => Access::ReadWrite,
            Self::WriteNone => Access::ReadOnly,
        }
    }

    /// Whether others may hold this one too.
    const fn is_shared(self) -> bool {
        !matches!(self, Self::WriteOne)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WriteOne => "to write alone",
            Self::WriteNone => "for nobody to write",
            // The key is what lets others in: it is not told.
            Self::WriteShared(_) => "to write with those who have its key",
        })
    }
}

/// A claim on a device, and who holds it: one module, or several where they share it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claimed {
    /// What was claimed.
    pub claim: Claim,
    /// The holders, in the order in which they came.
    pub by: Vec<Arc<str>>,
}

/// How a descriptor is opened: with an access alone, or with a claim in somebody's name.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Plain(Access),
    Claim(Claim, Arc<str>),
}

impl Wish {
    pub(super) fn access(&self) -> Access {
        match self {
            Self::Plain(access) => *access,
            Self::Claim(claim, _) => claim.access(),
        }
    }
}

/// The open descriptors of one device.
#[derive(Debug, Default)]
pub(super) struct Openings {
    open: usize,
    writers: usize,
    /// Who holds the claim, by descriptor; all hold the same one.
    holders: Vec<(u64, Claim, Arc<str>)>,
}

impl Openings {
    /// Counts descriptor `id` of the device `name` in, if that can be.
    pub(super) fn open(&mut self, name: &str, id: u64, wish: &Wish) -> Result<()> {
        let held = self.holders.first().map(|(_, claim, _)| *claim);
        let fits = match (wish, held) {
            (Wish::Plain(Access::ReadOnly), _) => true,
            (Wish::Claim(wanted, _), Some(held)) => *wanted == held && held.is_shared(),
            (Wish::Plain(Access::ReadWrite), Some(_)) => false,
            // Those who claim that nobody writes must not have a writer either.
            (_, None) => self.writers == 0,
        };
        if !fits {
            let by = self.claimed().map(|claimed| {
                let by: Vec<&str> = claimed.by.iter().map(|by| &**by).collect();
                format!("{}, {}", by.join(" and "), claimed.claim)
            });
            return Err(Error::Busy { name: name.to_owned(), by });
        }
        self.open += 1;
        self.writers += usize::from(wish.access() == Access::ReadWrite);
        if let Wish::Claim(claim, by) = wish {
            self.holders.push((id, *claim, by.clone()));
        }
        Ok(())
    }

    /// Counts descriptor `id` out.
    pub(super) fn close(&mut self, id: u64, access: Access) {
        self.open -= 1;
        self.writers -= usize::from(access == Access::ReadWrite);
        self.holders.retain(|(holder, ..)| *holder != id);
    }

    pub(super) fn count(&self) -> usize {
        self.open
    }

    pub(super) fn writers(&self) -> usize {
        self.writers
    }

    pub(super) fn claimed(&self) -> Option<Claimed> {
        let (_, claim, _) = self.holders.first()?;
        Some(Claimed { claim: *claim, by: self.holders.iter().map(|(.., by)| by.clone()).collect() })
    }
}
