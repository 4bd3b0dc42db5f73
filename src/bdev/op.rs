//! What can be asked of a block device, one name per operation.
//!
//! What each brings along and takes home stands in `io`; which of them the layer does itself where a module cannot, in
//! `emulate`.

use std::fmt;

/// What an [`Io`](super::Io) asks for.
///
/// Outside of this crate a `match` on it has an arm `_`: a module that stands on another hands on there what it does not
/// know, and one that stands on nothing answers [`io.unsupported()`](super::Io::unsupported).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// Fill the buffer from the blocks.
    Read,
    /// Fill the blocks from the buffer.
    Write,
    /// Make every write that has completed durable.
    Flush,
    /// Make the blocks read as zeroes.
    WriteZeroes,
    /// Give the blocks up; what they read as is the module's choice.
    Unmap,
    /// Fail unless the blocks hold what the buffer holds.
    Compare,
    /// Write the buffer if the blocks hold what is expected, and fail otherwise: one step for whoever else does this.
    CompareAndWrite,
    /// Fill the blocks from others of the same device.
    Copy,
    /// Bring the device back to where it takes I/O.
    Reset,
    /// Find the first block that may hold anything but zeroes.
    SeekData,
    /// Find the first block that is known to read as zeroes.
    SeekHole,
    /// Say what state zones are in.
    ZoneReport,
    /// Write where a zone goes on.
    ZoneAppend,
    /// Open, close, finish or reset a zone.
    ZoneManage,
    /// An NVMe command for the controller.
    NvmeAdmin,
    /// An NVMe command for the namespace.
    NvmeIo,
}

impl Op {
    /// Every operation, in the order above.
    pub const ALL: [Self; 16] = [
        Self::Read,
        Self::Write,
        Self::Flush,
        Self::WriteZeroes,
        Self::Unmap,
        Self::Compare,
        Self::CompareAndWrite,
        Self::Copy,
        Self::Reset,
        Self::SeekData,
        Self::SeekHole,
        Self::ZoneReport,
        Self::ZoneAppend,
        Self::ZoneManage,
        Self::NvmeAdmin,
        Self::NvmeIo,
    ];

    /// True if it changes what is on the device, or may: an NVMe command can be anything.
    #[inline]
    #[must_use]
    pub const fn is_change(self) -> bool {
        match self {
            Self::Write | Self::WriteZeroes | Self::Unmap | Self::CompareAndWrite | Self::Copy => true,
            Self::ZoneAppend | Self::ZoneManage | Self::NvmeAdmin | Self::NvmeIo => true,
            Self::Read | Self::Flush | Self::Compare | Self::Reset => false,
            Self::SeekData | Self::SeekHole | Self::ZoneReport => false,
        }
    }

    /// True if it is about blocks: a flush, a reset and an NVMe command are not.
    #[inline]
    #[must_use]
    pub const fn has_range(self) -> bool {
        !matches!(self, Self::Flush | Self::Reset | Self::NvmeAdmin | Self::NvmeIo)
    }

    /// Its name in a sentence, such as `"write zeroes"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::WriteZeroes => "write zeroes",
            Self::Unmap => "unmap",
            Self::Compare => "compare",
            Self::CompareAndWrite => "compare and write",
            Self::Copy => "copy",
            Self::Reset => "reset",
            Self::SeekData => "seek data",
            Self::SeekHole => "seek holes",
            Self::ZoneReport => "report zones",
            Self::ZoneAppend => "append to zones",
            Self::ZoneManage => "manage zones",
            Self::NvmeAdmin => "pass nvme admin commands on",
            Self::NvmeIo => "pass nvme commands on",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the operations, as one word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OpSet(u32);

impl OpSet {
    /// Those for which `f` says yes.
    pub(super) fn of(f: impl Fn(Op) -> bool) -> Self {
        Self(Op::ALL.into_iter().filter(|op| f(*op)).fold(0, |set, op| set | 1 << op as u32))
    }

    #[must_use]
    pub(super) fn with(self, op: Op, is_in: bool) -> Self {
        Self(self.0 & !(1 << op as u32) | u32::from(is_in) << op as u32)
    }

    #[inline(always)]
    pub(super) fn has(self, op: Op) -> bool {
        self.0 >> op as u32 & 1 != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_operation_at_its_place() {
        for (place, op) in Op::ALL.into_iter().enumerate() {
            assert_eq!(op as usize, place, "{op}");
        }
        let set = OpSet::of(Op::is_change);
        assert!(Op::ALL.into_iter().all(|op| set.has(op) == op.is_change()));
    }
}
