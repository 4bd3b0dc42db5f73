//! The Asymmetric Namespace Access log: how well namespaces can be reached through this controller.

use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32, U64};

layout! {
    /// The head of the log, before the groups (Base 2.0 §5.16.1.13).
    AnaLogHeader: 16 {
        /// How often the log has changed.
        0 pub changes: U64,
        /// How many groups follow.
        8 pub groups: U16,
        10 reserved10: [u8; 6],
    }
}

layout! {
    /// The head of one group, before its namespaces.
    GroupHeader: 32 {
        0 id: U32,
        4 namespaces: U32,
        8 changes: U64,
        16 state: u8,
        17 reserved17: [u8; 15],
    }
}

codes! {
    /// How well a group can be reached (Base 2.0 §8.1).
    AnaState(u8) {
        OPTIMIZED = 0x1, "optimized", "Base 2.0 §8.1, ANA Optimized state";
        NON_OPTIMIZED = 0x2, "non-optimized", "Base 2.0 §8.1, ANA Non-Optimized state";
        INACCESSIBLE = 0x3, "inaccessible", "Base 2.0 §8.1, ANA Inaccessible state";
        PERSISTENT_LOSS = 0x4, "persistent loss", "Base 2.0 §8.1, ANA Persistent Loss state";
        CHANGE = 0xf, "change", "Base 2.0 §8.1, ANA Change state";
    }
}

/// A group of namespaces that are reached alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnaGroup<'a> {
    /// Its identifier.
    pub id: u32,
    /// How often it has changed.
    pub changes: u64,
    /// How well it can be reached.
    pub state: AnaState,
    /// Its namespaces.
    pub namespaces: &'a [U32],
}

/// The groups of a log: as many as it says, and as many as it has bytes for.
#[derive(Clone, Debug)]
pub struct AnaGroups<'a> {
    rest: &'a [u8],
    left: u16,
}

impl<'a> AnaGroups<'a> {
    /// Of a log as it was read, its head included.
    pub fn new(log: &'a [u8]) -> Self {
        match AnaLogHeader::read_from_prefix(log) {
            Ok((head, rest)) => Self { rest, left: head.groups.get() },
            Err(_) => Self { rest: &[], left: 0 },
        }
    }
}

impl<'a> Iterator for AnaGroups<'a> {
    type Item = AnaGroup<'a>;

    fn next(&mut self) -> Option<AnaGroup<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = GroupHeader::read_from_prefix(self.rest).ok()?;
        let count = head.namespaces.get() as usize;
        let (namespaces, rest) = <[U32]>::ref_from_prefix_with_elems(rest, count).ok()?;
        self.rest = rest;
        Some(AnaGroup {
            id: head.id.get(),
            changes: head.changes.get(),
            state: AnaState(head.state & 0xf),
            namespaces,
        })
    }
}
