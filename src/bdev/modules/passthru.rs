//! A layer that hands everything on. What it costs is what a layer costs; it is also the smallest filter to begin another from.

use super::spec::{Bases, Kind, Plan, spec_over};
use crate::bdev::{Access, Bdev, Channel, Descriptor, Done, Geometry, Io, Op, Result, Submit};

pub(super) const KIND: Kind =
    Kind::new("passthru", "passthru(SPEC)", "hands everything on", Bases::One, |_| {
        Ok(Plan::over_one(|base| Ok(Passthru::new(base))))
    });

/// The device below under another name.
#[derive(Debug)]
pub struct Passthru {
    base: Descriptor,
}

impl Passthru {
    /// A layer over `base`.
    #[must_use]
    pub fn new(base: Descriptor) -> Self {
        Self { base }
    }
}

/// A core's way to the device below.
#[derive(Debug)]
pub struct PassthruChannel {
    base: Channel,
}

impl Bdev for Passthru {
    type Channel = PassthruChannel;

    fn module(&self) -> &'static str {
        "passthru"
    }

    fn geometry(&self) -> Geometry {
        self.base.geometry()
    }

    fn supports(&self, op: Op) -> bool {
        self.base.supports(op)
    }

    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }

    fn spec(&self) -> Option<String> {
        spec_over("passthru", [&self.base])
    }

    fn channel(&self, _access: Access) -> Result<PassthruChannel> {
        Ok(PassthruChannel { base: self.base.channel()? })
    }
}

impl Submit for PassthruChannel {
    #[inline]
    async fn submit(&self, io: Io) -> Done {
        self.base.submit(io).await
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::bdev::conformance;

    #[test]
    fn conforms() {
        conformance::check_spec("passthru(ram:16M)");
    }
}
