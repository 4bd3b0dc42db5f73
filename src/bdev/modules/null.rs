//! The null device: every I/O succeeds at once. What it costs is what the layer costs.

use super::spec::{Bases, Kind, Plan, size};
use super::whole_blocks;
use crate::bdev::{Access, Bdev, Done, Geometry, Io, Op, Result, Submit};

const BLOCK_SIZE: u32 = 512;

/// How large it is when nobody says.
const BYTES: u64 = 1 << 40;

pub(super) const KIND: Kind = Kind::new(
    "null",
    "null:1G",
    "answers at once and keeps nothing; 1 TiB unless told otherwise",
    Bases::None,
    |args| {
        let bytes = args.bare().map_or(Ok(BYTES), |size| size.size())?;
        Ok(Plan::leaf(format_args!("null:{bytes}"), move |_| Null::new(bytes)))
    },
);

/// Answers every I/O at once and keeps nothing.
///
/// A read leaves the buffer as it is: it holds what this process last had in it.
#[derive(Debug)]
pub struct Null {
    geometry: Geometry,
}

impl Null {
    /// A null device of `bytes`, in blocks of 512.
    ///
    /// # Errors
    /// [`Error::BadGeometry`](crate::bdev::Error::BadGeometry) if that is not whole blocks.
    pub fn new(bytes: u64) -> Result<Self> {
        let blocks = whole_blocks(bytes, BLOCK_SIZE)?;
        Ok(Self { geometry: Geometry::new(BLOCK_SIZE, blocks).with_keeps_data(false) })
    }
}

/// Nothing: the null device has no state.
#[derive(Debug)]
pub struct NullChannel;

impl Bdev for Null {
    type Channel = NullChannel;

    fn module(&self) -> &'static str {
        "null"
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write | Op::Flush | Op::WriteZeroes | Op::Unmap | Op::Reset)
    }

    fn spec(&self) -> Option<String> {
        Some(format!("null:{}", size(self.geometry.len_bytes())))
    }

    fn channel(&self, _access: Access) -> Result<NullChannel> {
        Ok(NullChannel)
    }
}

impl Submit for NullChannel {
    #[inline]
    async fn submit(&self, io: Io) -> Done {
        io.done(Ok(()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::bdev::conformance;

    #[test]
    fn conforms() {
        conformance::check_spec("null:16M");
    }
}
