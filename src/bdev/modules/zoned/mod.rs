//! Zones over any device: what a zoned SSD or a shingled disk asks of its users, on what has no zones.
//!
//! The rules are in `zones`, in memory and shared by all cores; here I/O is held to them and goes on below. The write pointer moves
//! when a write is accepted, so that the next one may follow before the first has ended; one that fails leaves a gap, as on a device.
//! SPDK's zone_block module.

mod zones;

use std::sync::Arc;

use self::zones::Zones;
use super::spec::{Bases, Kind, Plan, size, spec_over};
use crate::bdev::{
    Access, Bdev, Channel, Descriptor, Done, Error, Geometry, Io, Op, Result, Submit, ZoneAction, ZoneShape,
};

pub(super) const KIND: Kind = Kind::new(
    "zoned",
    "zoned:zone=64M(SPEC)",
    "zones, to be written from start to end; also `max_open=N`, `max_active=N`, `empty=true`",
    Bases::One,
    |args| {
        let zone = args.get("zone").or_else(|| args.bare());
        let zone = zone.ok_or_else(|| args.missing("say how large a zone is, such as zone=64M"))?.size()?;
        let mut count = |key| match args.get(key) {
            None => Ok(0),
            Some(value) => u32::try_from(value.number()?).map_err(|_| value.fault("too many zones")),
        };
        let (max_open, max_active) = (count("max_open")?, count("max_active")?);
        let answers = [("true", true), ("false", false)];
        let is_empty = args.get("empty").map_or(Ok(false), |value| value.choice(&answers))?;
        Ok(Plan::over_one(move |base| {
            let blocks = super::whole_blocks(zone, base.geometry().data_size())?;
            let shape = ZoneShape { blocks, max_open, max_active, max_append_blocks: 0 };
            let zoned = Zoned::over(base, shape)?;
            Ok(if is_empty { zoned.empty() } else { zoned })
        }))
    },
);

/// A device in zones over one without.
///
/// All zones are full at first, because what lies below can be read; [`empty`](Self::empty) or a reset makes room. What was not
/// written since a reset reads as zeroes. The states of zones are kept in memory: they begin anew when the device is made again. So
/// does its size: one below that grows is not followed.
///
/// ```
/// use reactor::bdev::{self, Access, ZoneAction, modules::Zoned};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("zoned:zone=1M(ram:8M)", Access::ReadWrite).await?;
/// let channel = disk.channel()?;
/// channel.zone_manage(0, ZoneAction::Reset).await?;
/// let page = channel.alloc(4096).await?;
/// assert_eq!(channel.zone_append(0, page).await?, 0);
/// assert_eq!(channel.zones(0..1).await?[0].write_pointer, 8);
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Zoned {
    base: Descriptor,
    zones: Arc<Zones>,
}

impl Zoned {
    /// Cuts `base` into zones. Blocks behind the last whole zone belong to none, and cannot be used.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if it has room for none or for millions, if more zones are to be open than active, or if protection
    /// information is within the blocks: who appends does not know yet which they will be.
    pub fn over(base: Descriptor, shape: ZoneShape) -> Result<Self> {
        if base.geometry().metadata_within().is_some_and(|metadata| metadata.protection.is_some()) {
            let reason = format!(
                "protection information within the blocks of {} cannot be made for an append, which learns its blocks later: take a \
                 device where it is separate",
                base.name()
            );
            return Err(Error::BadGeometry { reason });
        }
        let zones = Arc::new(Zones::full(shape, base.geometry().block_count)?);
        Ok(Self { base, zones })
    }

    /// The same with nothing in its zones: the first write goes to their starts.
    #[must_use]
    pub fn empty(self) -> Self {
        for start in self.zones.starts() {
            self.zones.manage(start, ZoneAction::Reset).expect("a zone that is full can be reset");
        }
        self
    }
}

impl Bdev for Zoned {
    type Channel = ZonedChannel;

    fn module(&self) -> &'static str {
        "zoned"
    }

    fn geometry(&self) -> Geometry {
        let mut geometry = self.base.geometry();
        // What is split here would no longer be one write at a write pointer: below is early enough.
        geometry.max_io_blocks = 0;
        geometry.optimal_io_boundary = 0;
        geometry.max_segments = 1;
        // What has a buffer of its own does not come along with an append, and is not what unwritten blocks would have.
        geometry.metadata = geometry.metadata_within();
        geometry.block_count = self.zones.block_count();
        geometry.zones = Some(self.zones.shape());
        geometry
    }

    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write | Op::Flush | Op::ZoneReport | Op::ZoneAppend | Op::ZoneManage)
    }

    fn opening(&self, access: Access) -> Result<()> {
        self.base.allows(access)
    }

    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }

    fn spec(&self) -> Option<String> {
        // The states of zones are not kept: made again they are full, so that nothing which lies below is lost.
        let shape = self.zones.shape();
        if shape.max_append_blocks != 0 {
            return None;
        }
        let zone = size(shape.blocks * u64::from(self.base.geometry().block_size));
        let limits = [("max_open", shape.max_open), ("max_active", shape.max_active)];
        let limits =
            limits.iter().filter(|(_, count)| *count != 0).map(|(key, count)| format!(",{key}={count}"));
        spec_over(format!("zoned:zone={zone}{}", limits.collect::<String>()), [&self.base])
    }

    fn channel(&self, _access: Access) -> Result<ZonedChannel> {
        let base = self.base.channel()?;
        let block_size = base.geometry().block_size as usize;
        Ok(ZonedChannel { base, zones: self.zones.clone(), block_size })
    }
}

/// A core's way to the zones.
#[derive(Debug)]
pub struct ZonedChannel {
    base: Channel,
    zones: Arc<Zones>,
    block_size: usize,
}

impl Submit for ZonedChannel {
    async fn submit(&self, mut io: Io) -> Done {
        match io.op() {
            Op::Read => self.read(io).await,
            Op::Write => match self.zones.write(io.range()) {
                Ok(()) => self.base.submit(io).await,
                Err(e) => io.done(Err(e)),
            },
            Op::ZoneAppend => {
                let result = match self.zones.append(io.lba(), io.blocks()) {
                    Ok(lba) => {
                        io.set_value(lba);
                        self.base.write(lba, io.take_data()).await
                    }
                    Err(e) => Err(e),
                };
                io.done(result)
            }
            Op::ZoneManage => {
                let (start, action) = (io.lba(), io.zone_action());
                let result = self.zones.manage(start, action);
                io.done(result)
            }
            Op::ZoneReport => {
                let mut zones = io.take_zones();
                zones.extend(self.zones.report(io.range()));
                io.put_zones(zones);
                io.done(Ok(()))
            }
            Op::Flush => self.base.submit(io).await,
            _ => io.unsupported(),
        }
    }
}

impl ZonedChannel {
    async fn read(&self, io: Io) -> Done {
        let blocks = io.range();
        // Before the read: what is written meanwhile may be seen or not.
        let unwritten = match self.zones.read(blocks.clone()) {
            Ok(unwritten) => unwritten,
            Err(e) => return io.done(Err(e)),
        };
        let (result, mut io) = self.base.submit(io).await.into_io();
        if result.is_ok() {
            let mut buf = io.read_buf();
            let byte = |lba: u64| (lba - blocks.start) as usize * self.block_size;
            for part in unwritten {
                buf[byte(part.start)..byte(part.end)].fill(0);
            }
        }
        io.done(result)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::LocalExecutor;
    use crate::bdev::{Access, ZoneAction, conformance, open};

    #[test]
    fn conforms() {
        conformance::check_spec("zoned:zone=1M(ram:16M)");
        conformance::check_spec("zoned:zone=1M,max_open=2,max_active=3,empty=true(ram:16M)");
    }

    #[test]
    fn what_lies_below_is_read_until_a_zone_is_reset_and_then_zeroes() {
        LocalExecutor::new().unwrap().block_on(async {
            let base = open("ram:8M", Access::ReadWrite).await.unwrap();
            let channel = base.channel().unwrap();
            let mut data = channel.alloc(4096).await.unwrap();
            data.fill(7);
            channel.write(2044, data).await.unwrap();
            let zoned =
                super::Zoned::over(base, crate::bdev::ZoneShape { blocks: 2048, ..Default::default() });
            let disk = crate::bdev::open_private("zoned", zoned.unwrap(), Access::ReadWrite).unwrap();
            let channel = disk.channel().unwrap();
            assert!(channel.read(2044..2052).await.unwrap().iter().all(|byte| *byte == 7));
            channel.zone_manage(2048, ZoneAction::Reset).await.unwrap();
            let read = channel.read(2044..2052).await.unwrap();
            assert!(read[..2048].iter().all(|byte| *byte == 7) && read[2048..].iter().all(|byte| *byte == 0));
        });
    }
}
