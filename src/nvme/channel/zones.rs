//! The zones of zoned namespaces (ZNS 1.1): reported, appended to, opened and reset.

use super::super::namespace::Zones;
use super::super::queue::{Request, ok};
use super::super::spec::{
    Command, IoOpcode, ReportFilter, ZoneAction, ZoneDescriptor, ZoneReport, ZoneReportHeader,
};
use super::super::{Error, Payload, Queue};
use super::{Channel, IoOptions};
use crate::sys::dma::{DmaBytes, DmaPool};
use std::ops::Range;

/// Bytes of one report: the descriptors of 1,023 zones.
const REPORT_BYTES: u64 = 1 << 16;

impl<Q: Queue> Channel<Q> {
    /// The zones that have blocks in `blocks`, of those that `filter` is for, in order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the namespace has no zones, or reports what cannot be; [`Error::OutOfRange`]; what the controller
    /// answers; [`Error::Closed`].
    pub async fn zones(
        &self,
        blocks: Range<u64>,
        filter: ReportFilter,
    ) -> Result<Vec<ZoneDescriptor>, Error> {
        let zones = self.zoned()?;
        self.check(blocks.start, blocks.end.saturating_sub(blocks.start))?;
        let count = (blocks.end - 1) / zones.blocks - blocks.start / zones.blocks + 1;
        let all =
            size_of::<ZoneReportHeader>() as u64 + count.saturating_mul(size_of::<ZoneDescriptor>() as u64);
        let bytes = all.min(REPORT_BYTES).min(self.transfer_max()) as u32 & !3;
        let mut buf = DmaPool::local().alloc(bytes as usize).await?;
        let mut found: Vec<ZoneDescriptor> = Vec::new();
        let mut next = blocks.start - blocks.start % zones.blocks;
        while next < blocks.end {
            // What a short answer leaves out is no zone, whatever was in the buffer before.
            buf.fill(0);
            let command = Command::zone_report(self.namespace.id(), next, filter, bytes);
            let (answer, payload) = self.queue.send(Request::new(move || command, buf.into())).await;
            buf = payload.into_buf().expect("the buffer comes back");
            ok(answer)?;
            let report = ZoneReport::parse(&buf).expect("it has a head");
            let Some(last) = report.zones.last() else { break };
            // A controller that does not count upwards would be asked for ever.
            let starts = report.zones.iter().map(|zone| zone.start.get());
            // Nor would one whose zones begin within zones come to an end in time.
            if !starts.clone().zip(starts.clone().skip(1)).all(|(one, other)| one < other)
                || !starts.clone().all(|start| start >= next && start % zones.blocks == 0)
            {
                return Err(Error::Unsupported("its zones are not in order"));
            }
            next = last.start.get().saturating_add(zones.blocks);
            found.extend(report.zones.iter().filter(|zone| zone.start.get() < blocks.end));
        }
        Ok(found)
    }

    /// Writes what `payload` has where the zone that starts at `zone` goes on, and yields the first block written. Many at a time find
    /// their place in any order.
    ///
    /// # Errors
    /// [`Error::TooLarge`], as this is never split; [`Error::NoZone`]; otherwise as [`write_with`](Channel::write_with).
    pub async fn zone_append(
        &self,
        zone: u64,
        payload: impl Into<Payload>,
        options: IoOptions,
    ) -> Result<u64, Error> {
        self.zone_at(zone)?;
        let payload = payload.into();
        let shape = self.shape(&options);
        let blocks = self.check_payload(IoOpcode::ZONE_APPEND, &payload, &shape, &options)?;
        self.check(zone, blocks)?;
        let max = self.namespace.limits().append_bytes / shape.stride;
        let most = shape.first(zone, blocks, payload.buffers())?.min(max);
        if most < blocks {
            return Err(Error::TooLarge { len: blocks * shape.stride, max: most * shape.stride });
        }
        let command = Command::zone_append(self.namespace.id(), zone, blocks as u32);
        self.ask(|| options.apply(command, 0, &self.namespace.format()), payload).await
    }

    /// Opens, closes, finishes or resets the zone that starts at `zone`, or takes it offline.
    ///
    /// # Errors
    /// [`Error::NoZone`]; [`Error::Unsupported`] if the namespace has no zones, and for an action that brings data, which is
    /// [`zone_extend`](Self::zone_extend); what the controller answers; [`Error::Closed`].
    pub async fn zone_manage(&self, zone: u64, action: ZoneAction) -> Result<(), Error> {
        self.zone_at(zone)?;
        self.manage(zone, action, false).await
    }

    /// The same for all zones that are in a state for it.
    ///
    /// # Errors
    /// As [`zone_manage`](Self::zone_manage).
    pub async fn zone_manage_all(&self, action: ZoneAction) -> Result<(), Error> {
        self.zoned()?;
        self.check(0, 1)?;
        self.manage(0, action, true).await
    }

    /// Gives an empty zone's descriptor an extension, of [`Zones::extension_bytes`].
    ///
    /// # Errors
    /// [`Error::WrongLength`] if it has another length; otherwise as [`zone_manage`](Self::zone_manage).
    pub async fn zone_extend(&self, zone: u64, extension: DmaBytes) -> Result<(), Error> {
        let size = self.zone_at(zone)?.extension_bytes;
        if size == 0 {
            return Err(Error::Unsupported("descriptors of its zones have no extensions"));
        }
        if extension.len() != size as usize {
            return Err(Error::WrongLength { len: extension.len(), block_size: size });
        }
        let action = ZoneAction::SET_DESCRIPTOR_EXTENSION;
        let command = Command::zone_send(self.namespace.id(), zone, action, false);
        self.ask(move || command, extension.into()).await.map(drop)
    }

    async fn manage(&self, zone: u64, action: ZoneAction, all: bool) -> Result<(), Error> {
        if action == ZoneAction::SET_DESCRIPTOR_EXTENSION {
            return Err(Error::Unsupported("this action brings data: there is `zone_extend` for it"));
        }
        let command = Command::zone_send(self.namespace.id(), zone, action, all);
        let (answer, _) = self.queue.send(Request::new(move || command, Payload::None)).await;
        ok(answer).map(drop)
    }

    fn zoned(&self) -> Result<Zones, Error> {
        self.namespace.zones().ok_or(Error::Unsupported("it has no zones"))
    }

    fn zone_at(&self, zone: u64) -> Result<Zones, Error> {
        let zones = self.zoned()?;
        self.check(zone, 1)?;
        if zone % zones.blocks == 0 {
            Ok(zones)
        } else {
            Err(Error::NoZone { lba: zone, blocks: zones.blocks })
        }
    }
}
