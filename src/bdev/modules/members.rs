//! What devices over several others have in common: one shape of blocks, the strictest of all limits, and the operations that every
//! member has. Metadata with a buffer of its own stays below: members have their protection information made, and check it.

use crate::bdev::{Channel, Descriptor, Error, Geometry, Op, Result};

/// The devices below, at least one, all with blocks of one shape.
#[derive(Debug)]
pub(super) struct Members(Vec<Descriptor>);

impl Members {
    /// # Errors
    /// [`Error::BadGeometry`] if there are none, or if their blocks differ in size, or in the metadata within.
    pub(super) fn new(module: &str, members: impl IntoIterator<Item = Descriptor>) -> Result<Self> {
        let members: Vec<_> = members.into_iter().collect();
        let Some(first) = members.first() else {
            return Err(Error::BadGeometry {
                reason: format!("a {module} of no devices: give at least one"),
            });
        };
        let size = first.geometry().block_size;
        if let Some(other) = members.iter().find(|member| member.geometry().block_size != size) {
            let reason = format!(
                "a {module} takes devices of one block size: {} has blocks of {size} bytes, {} of {}",
                first.name(),
                other.name(),
                other.geometry().block_size
            );
            return Err(Error::BadGeometry { reason });
        }
        let within = |member: &Descriptor| member.geometry().metadata_within();
        if let Some(other) = members.iter().find(|member| within(member) != within(first)) {
            let reason = format!(
                "a {module} takes devices with the same metadata within their blocks: {} and {} differ in it",
                first.name(),
                other.name()
            );
            return Err(Error::BadGeometry { reason });
        }
        Ok(Self(members))
    }

    /// The same for a device whose blocks have other numbers than those of the members.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::BadGeometry`] if protection information, and so those numbers, are within the blocks.
    pub(super) fn renumbered(module: &str, members: impl IntoIterator<Item = Descriptor>) -> Result<Self> {
        let members = Self::new(module, members)?;
        let first = &members.0[0];
        if first.geometry().metadata_within().is_some_and(|metadata| metadata.protection.is_some()) {
            let reason = format!(
                "protection information within the blocks of {} goes by its own numbers of them, and a {module} counts otherwise: take \
                 devices where it is separate",
                first.name()
            );
            return Err(Error::BadGeometry { reason });
        }
        Ok(members)
    }

    pub(super) fn all(&self) -> &[Descriptor] {
        &self.0
    }

    pub(super) fn shapes(&self) -> impl Iterator<Item = Geometry> + Clone {
        self.0.iter().map(Descriptor::geometry)
    }

    /// A device of `block_count` blocks that is what all members are. Each of them splits what it finds too large.
    pub(super) fn geometry(&self, block_count: u64) -> Geometry {
        let align = self.shapes().map(|it| it.buffer_align).max().unwrap_or(1);
        Geometry::new(self.0[0].geometry().block_size, block_count)
            .with_buffer_align(align)
            .with_metadata(self.0[0].geometry().metadata_within())
            .with_physical_block_size(self.shapes().map(|it| it.physical_block_size).max().unwrap_or(0))
            .with_write_cache(self.shapes().any(|it| it.write_cache))
            .with_keeps_data(self.shapes().all(|it| it.keeps_data))
            .with_read_only(self.shapes().any(|it| it.read_only))
    }

    pub(super) fn supports(&self, op: Op) -> bool {
        self.0.iter().all(|member| member.supports(op))
    }

    pub(super) fn channels(&self) -> Result<Vec<Channel>> {
        self.0.iter().map(Descriptor::channel).collect()
    }
}
