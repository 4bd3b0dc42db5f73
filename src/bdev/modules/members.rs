//! What devices over several others have in common: one block size, the strictest of all limits, and the operations that every
//! member has.

use crate::bdev::{Channel, Descriptor, Error, Geometry, Op, Result};

/// The devices below, at least one, all of one block size.
#[derive(Debug)]
pub(super) struct Members(Vec<Descriptor>);

impl Members {
    /// # Errors
    /// [`Error::BadGeometry`] if there are none, or if their blocks differ in size.
    pub(super) fn new(module: &str, members: impl IntoIterator<Item = Descriptor>) -> Result<Self> {
        let members: Vec<_> = members.into_iter().collect();
        let Some(first) = members.first() else {
            return Err(Error::BadGeometry {
                reason: format!("a {module} of no devices: give at least one"),
            });
        };
        let size = first.geometry().block_size;
        match members.iter().find(|member| member.geometry().block_size != size) {
            None => Ok(Self(members)),
            Some(other) => {
                let reason = format!(
                    "a {module} takes devices of one block size: {} has blocks of {size} bytes, {} of {}",
                    first.name(),
                    other.name(),
                    other.geometry().block_size
                );
                Err(Error::BadGeometry { reason })
            }
        }
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
