//! What may stand for a set of cores: a list, a mask, a number, a [`CpuSet`].

use crate::sys::cpu::{CPU_MAX, CpuSet, Error, ListError};

/// The cores that were asked for, before anybody has looked at the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoreList {
    /// As many as this, the first that the process may run on.
    Count(usize),
    /// These.
    Set(CpuSet),
}

/// What [`Builder::cores`](super::Builder::cores) takes.
///
/// A string names cores, `"0-3,8"` or the mask `"0x10f"`; a number counts them; a [`CpuSet`] is taken as it is.
pub trait IntoCores {
    /// Reads it. Whether the machine has these cores is seen when they start.
    ///
    /// # Errors
    /// [`ListError`] for text that names no cores.
    fn into_cores(self) -> Result<CoreList, Error>;
}

impl IntoCores for CoreList {
    fn into_cores(self) -> Result<CoreList, Error> {
        Ok(self)
    }
}

impl IntoCores for usize {
    fn into_cores(self) -> Result<CoreList, Error> {
        Ok(CoreList::Count(self))
    }
}

impl IntoCores for CpuSet {
    fn into_cores(self) -> Result<CoreList, Error> {
        Ok(CoreList::Set(self))
    }
}

impl IntoCores for &CpuSet {
    fn into_cores(self) -> Result<CoreList, Error> {
        self.clone().into_cores()
    }
}

impl IntoCores for &str {
    fn into_cores(self) -> Result<CoreList, Error> {
        Ok(CoreList::Set(self.parse()?))
    }
}

impl IntoCores for &String {
    fn into_cores(self) -> Result<CoreList, Error> {
        self.as_str().into_cores()
    }
}

impl IntoCores for String {
    fn into_cores(self) -> Result<CoreList, Error> {
        self.as_str().into_cores()
    }
}

impl CoreList {
    /// One id per core. Cores that are pinned must be there and are known by their processors; others are as many as one
    /// likes and are known by their positions.
    pub(super) fn resolve(self, is_pinned: bool) -> Result<Vec<usize>, Error> {
        let count = match self {
            Self::Count(count) if is_pinned => return Ok(CpuSet::first(count)?.iter().collect()),
            Self::Set(set) if is_pinned => return Ok(set.available()?.iter().collect()),
            Self::Count(count) => count,
            Self::Set(set) => set.len(),
        };
        match count {
            0 => Err(ListError::Empty.into()),
            count if count > CPU_MAX + 1 => Err(ListError::TooLarge { piece: count.to_string() }.into()),
            count => Ok((0..count).collect()),
        }
    }
}
