//! Operations on the zones of a zoned device: see [`Geometry::zones`](crate::bdev::Geometry::zones).

use std::ops::Range;

use super::Channel;
use crate::bdev::{Op, Result, Zone, ZoneAction};
use crate::sys::dma::DmaBytes;

impl Channel {
    /// The zones that have blocks in `blocks`, in order.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::bdev::Error::Unsupported) if the device has no zones; otherwise as [`read`](Channel::read).
    pub async fn zones(&self, blocks: Range<u64>) -> Result<Vec<Zone>> {
        match self.0.carry(self.0.io(Op::ZoneReport, blocks, None)).await {
            (Some(e), _) => Err(*e),
            (None, taken) => Ok(taken.zones),
        }
    }

    /// Writes `data`, whole blocks of it, where the zone that begins at `zone` goes on, and yields the first block written. Many at a
    /// time find their place in any order.
    ///
    /// # Errors
    /// [`Error::NoZone`](crate::bdev::Error::NoZone); [`Error::BadLength`](crate::bdev::Error::BadLength) also for more than the
    /// device appends at once; [`Error::Unsupported`](crate::bdev::Error::Unsupported); otherwise as [`write`](Channel::write).
    pub async fn zone_append(&self, zone: u64, data: impl Into<DmaBytes>) -> Result<u64> {
        let mut data = data.into();
        let inner = &*self.0;
        let count = inner.whole_blocks(data.len())?;
        if !inner.is_aligned(data.as_ptr().addr()) {
            [data] = inner.aligned([data]).await?;
        }
        let io = inner.io(Op::ZoneAppend, zone..zone.saturating_add(count), Some(data.into()));
        match inner.carry(io).await {
            (Some(e), _) => Err(*e),
            (None, taken) => Ok(taken.value),
        }
    }

    /// Opens, closes, finishes or resets the zone that begins at `zone`.
    ///
    /// # Errors
    /// [`Error::NoZone`](crate::bdev::Error::NoZone); [`Error::Unsupported`](crate::bdev::Error::Unsupported); what the device says.
    pub async fn zone_manage(&self, zone: u64, action: ZoneAction) -> Result<()> {
        let inner = &*self.0;
        let blocks = inner.geometry.zones.map_or(1, |zones| zones.blocks);
        // The last zone may be short.
        let end = zone.saturating_add(blocks).min(inner.device.block_count().max(zone.saturating_add(1)));
        let io = inner.io(Op::ZoneManage, zone..end, None);
        io.request().extra.value.set(action.number());
        inner.carry(io).await.0.map_or(Ok(()), |e| Err(*e))
    }
}
