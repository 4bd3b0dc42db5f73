//! A range of another device as a device of its own.

mod renumber;

use std::ops::Range;

use super::spec::{Bases, Kind, Plan, spec_over};
use crate::bdev::{Access, Bdev, Channel, Descriptor, Done, Error, Geometry, Io, Op, Result, Submit};
use renumber::Renumber;

pub(super) const KIND: Kind =
    Kind::new("part", "part:blocks=0..2048(SPEC)", "a range of the blocks of another", Bases::One, |args| {
        let blocks = args.get("blocks").or_else(|| args.bare());
        let blocks =
            blocks.ok_or_else(|| args.missing("say which blocks, such as blocks=0..2048"))?.blocks()?;
        Ok(Plan::over_one(move |base| Part::new(base, blocks)))
    });

/// A range of the blocks of another device.
///
/// Where [reference tags](crate::bdev::Protection) say which block it is, those of a part count from its start, and those below from
/// the device's, as SPDK has it: tags that are brought or handed over are changed on their way, for which written blocks that hold
/// their tags are copied.
///
/// Several parts of one device share its descriptor, and the claim that came with it:
///
/// ```
/// use reactor::bdev::{self, Access, modules::Part};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("ram:64M", Access::ReadWrite).await?;
/// for (number, part) in Part::split(&disk, 4)?.into_iter().enumerate() {
///     bdev::register(format!("disk0p{number}"), part)?;
/// }
/// assert_eq!(bdev::open("disk0p3", Access::ReadWrite).await?.geometry().len_bytes(), 16 << 20);
/// # for number in 0..4 { bdev::unregister(&format!("disk0p{number}"))?; }
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Part {
    base: Descriptor,
    blocks: Range<u64>,
    origin: Origin,
}

/// Who says which blocks they are.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// Whoever asked for them.
    Blocks,
    /// The entry of a partition table with this identity.
    #[cfg(feature = "gpt")]
    Table(uuid::Uuid),
    /// A partition table that was found on a disk.
    #[cfg(feature = "gpt")]
    Found,
}

impl Part {
    /// The `blocks` of `base`, half-open.
    ///
    /// # Errors
    /// [`Error::EmptyRange`], [`Error::OutOfRange`].
    pub fn new(base: Descriptor, blocks: Range<u64>) -> Result<Self> {
        Geometry::check(&blocks, base.geometry().block_count)?;
        Ok(Self { base, blocks, origin: Origin::Blocks })
    }

    /// The same as part of a partition table.
    #[cfg(feature = "gpt")]
    pub(super) fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// Cuts `base` into `count` parts of equal length, in order. What is left over at the end belongs to none.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if it has fewer blocks than that, or `count` is zero.
    pub fn split(base: &Descriptor, count: u64) -> Result<Vec<Self>> {
        let blocks = base.geometry().block_count;
        let each = blocks.checked_div(count).filter(|each| *each > 0).ok_or_else(|| Error::BadGeometry {
            reason: format!("{} has {blocks} blocks, which do not make {count} parts", base.name()),
        })?;
        (0..count).map(|number| Self::new(base.clone(), number * each..(number + 1) * each)).collect()
    }

    /// The blocks of the device below that it stands for.
    #[must_use]
    pub fn blocks(&self) -> Range<u64> {
        self.blocks.clone()
    }
}

/// A core's way to the device below.
#[derive(Debug)]
pub struct PartChannel {
    base: Channel,
    start: u64,
    renumber: Option<Renumber>,
}

impl Bdev for Part {
    type Channel = PartChannel;

    fn module(&self) -> &'static str {
        match self.origin {
            Origin::Blocks => "part",
            #[cfg(feature = "gpt")]
            Origin::Table(_) | Origin::Found => "gpt",
        }
    }

    fn geometry(&self) -> Geometry {
        let mut geometry = self.base.geometry();
        geometry.zones = None;
        geometry.block_count = self.blocks.end.min(geometry.block_count).saturating_sub(self.blocks.start);
        // Its boundaries lie elsewhere then: the device below splits at them itself.
        if geometry.optimal_io_boundary != 0
            && self.blocks.start % u64::from(geometry.optimal_io_boundary) != 0
        {
            geometry.optimal_io_boundary = 0;
        }
        if Renumber::is_wanted(&geometry) { Renumber::narrow(geometry) } else { geometry }
    }

    /// Not what could reach beyond the part.
    fn supports(&self, op: Op) -> bool {
        const WITHIN: [Op; 9] = [
            Op::Read,
            Op::Write,
            Op::WriteZeroes,
            Op::Unmap,
            Op::Compare,
            Op::CompareAndWrite,
            Op::Copy,
            Op::Flush,
            Op::Reset,
        ];
        // Data to compare with brings tags in two buffers: the layer reads and compares.
        let is_compared = matches!(op, Op::Compare | Op::CompareAndWrite);
        WITHIN.contains(&op)
            && self.base.supports(op)
            && !(is_compared && Renumber::is_wanted(&self.base.geometry()))
    }

    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }

    fn spec(&self) -> Option<String> {
        match &self.origin {
            Origin::Blocks => {
                let Range { start, end } = self.blocks;
                spec_over(format!("part:blocks={start}..{end}"), [&self.base])
            }
            #[cfg(feature = "gpt")]
            Origin::Table(id) => spec_over(format!("gpt:{id}"), [&self.base]),
            // Who found it finds it again.
            #[cfg(feature = "gpt")]
            Origin::Found => None,
        }
    }

    fn channel(&self, _access: Access) -> Result<PartChannel> {
        let base = self.base.channel()?;
        let start = self.blocks.start;
        let renumber = Renumber::new(&base.geometry(), start);
        Ok(PartChannel { base, start, renumber })
    }
}

impl Submit for PartChannel {
    #[inline]
    async fn submit(&self, mut io: Io) -> Done {
        if io.blocks() > 0 {
            io.set_lba(io.lba() + self.start);
        }
        match (io.op(), &self.renumber) {
            (Op::Read | Op::Write, Some(renumber)) => renumber.submit(io, &self.base).await,
            (Op::Copy, _) => self.copy(io).await,
            (Op::Compare | Op::CompareAndWrite, _) => self.compare(io).await,
            _ => self.base.submit(io).await,
        }
    }
}

impl PartChannel {
    /// Comes from this part as well.
    async fn copy(&self, mut io: Io) -> Done {
        let from = io.copy_from();
        io.set_copy_from(from + self.start);
        let (result, mut io) = self.base.submit(io).await.into_io();
        io.set_copy_from(from);
        io.done(result)
    }

    /// The block that differs is one of this part.
    async fn compare(&self, io: Io) -> Done {
        let (result, io) = self.base.submit(io).await.into_io();
        io.done(result.map_err(|e| match e {
            Error::Miscompare { lba } => Error::Miscompare { lba: lba - self.start },
            other => other,
        }))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::spec::assert_points_at;
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::modules::Ram;
    use crate::bdev::{conformance, open, open_private};

    #[test]
    fn conforms() {
        conformance::check_spec("part:blocks=1000..9000(ram:16M)");
    }

    #[test]
    fn parts_share_a_device_and_keep_to_themselves() {
        LocalExecutor::new().unwrap().block_on(async {
            let base = open_private("base", Ram::new(10 * 512).unwrap(), Access::ReadWrite).unwrap();
            let parts = Part::split(&base, 3).unwrap();
            assert_eq!(parts.iter().map(Part::blocks).collect::<Vec<_>>(), [0..3, 3..6, 6..9]);
            for (number, part) in (1..).zip(parts) {
                let disk = open_private("part", part, Access::ReadWrite).unwrap();
                let channel = disk.channel().unwrap();
                let mut data = channel.try_alloc(3 * 512).unwrap();
                data.fill(number);
                channel.write(0, data).await.unwrap();
                assert!(matches!(channel.read(2..4).await, Err(Error::OutOfRange { .. })));
                channel.flush().await.unwrap();
            }
            let all = base.channel().unwrap().read(0..10).await.unwrap();
            let blocks: Vec<_> = all.chunks(512).map(|block| block[0]).collect();
            assert_eq!(blocks, [1, 1, 1, 2, 2, 2, 3, 3, 3, 0]);
        });
    }

    /// Also where the part begins in the middle of a chunk.
    #[test]
    fn boundaries_below_are_kept() {
        LocalExecutor::new().unwrap().block_on(async {
            for (blocks, boundary) in [("0..32", 8), ("8..32", 8), ("3..32", 0)] {
                let spec = format!("part:blocks={blocks}(stripe:chunk=4K(ram:16K,ram:16K))");
                let disk = open(&spec, Access::ReadWrite).await.unwrap();
                assert_eq!(disk.geometry().optimal_io_boundary, boundary, "{blocks}");
                let channel = disk.channel().unwrap();
                let count = disk.geometry().block_count;
                let mut data = channel.try_alloc(count as usize * 512).unwrap();
                for (block, number) in data.chunks_mut(512).zip(1..) {
                    block.fill(number);
                }
                let data = data.freeze();
                channel.write(0, data.clone()).await.unwrap();
                assert_eq!(channel.read(0..count).await.unwrap()[..], data[..]);
            }
        });
    }

    #[test]
    fn what_is_no_part_is_refused() {
        let base = open_private("base", Ram::new(10 * 512).unwrap(), Access::ReadOnly).unwrap();
        assert!(matches!(Part::new(base.clone(), 5..11), Err(Error::OutOfRange { .. })));
        assert!(matches!(Part::new(base.clone(), 5..5), Err(Error::EmptyRange { .. })));
        for count in [0, 11, u64::MAX] {
            assert!(Part::split(&base, count).unwrap_err().to_string().contains("do not make"));
        }
    }

    #[test]
    fn ranges_that_are_none_are_pointed_at() {
        assert_points_at(&[
            ("part(null)", "part"),
            ("part:1(null)", "1"),
            ("part:blocks=3..3(null)", "3..3"),
            ("part:0..1,2..3(null)", "2..3"),
        ]);
        LocalExecutor::new().unwrap().block_on(async {
            assert!(matches!(
                open("part:0..9(ram:4K)", Access::ReadOnly).await,
                Err(Error::OutOfRange { .. })
            ));
        });
    }
}
