//! The RAM disk: memory that all cores share, zeroed at first and occupied only where written.
//!
//! The memory is in `store`. What has bytes beside its blocks is a device of its own, in `tagged`: who has none pays nothing for it.

mod store;
mod tagged;

pub use tagged::TaggedRam;

use std::future::Future;
use std::sync::Arc;

use futures::future::Either;

use self::store::Store;
use super::spec::{Args, Bases, Fault, Kind, Plan, size};
use super::whole_blocks;
use crate::bdev::{
    Access, Bdev, Done, Error, Geometry, Io, Metadata, Op, Protection, ProtectionType, Result, Submit,
};

const BLOCK_SIZE: u32 = 512;

pub(super) const KIND: Kind = Kind::new(
    "ram",
    "ram:64M",
    "memory, zeroed; gone with its last descriptor; also `block=4K`, `md=8` bytes beside each block, in `form=separate` or `interleaved`, with protection information of type `pi=1`, 2 or 3 (`pi_first=true`, `app=N`)",
    Bases::None,
    |args| {
        let size = args.bare().ok_or_else(|| args.missing("say how large, such as ram:64M"))?;
        let bytes = size.size()?;
        let block = match args.get("block") {
            None => BLOCK_SIZE,
            Some(value) => u32::try_from(value.size()?).map_err(|_| value.fault("blocks are smaller"))?,
        };
        let metadata = metadata(args)?;
        // Options that are spelled otherwise are one device.
        let name = format!("ram:{bytes}{}", options(block, metadata));
        Ok(match metadata {
            None => Plan::leaf(name, move |_| Ram::with_block_size(bytes, block)),
            Some(metadata) => Plan::leaf(name, move |_| TaggedRam::new(bytes, block, metadata)),
        })
    },
);

const TYPES: [(&str, ProtectionType); 3] =
    [("1", ProtectionType::Type1), ("2", ProtectionType::Type2), ("3", ProtectionType::Type3)];

/// What stands behind the size in the spec of a RAM disk with so many bytes of data in a block.
fn options(block: u32, metadata: Option<Metadata>) -> String {
    let mut text = String::new();
    if block != BLOCK_SIZE {
        text += &format!(",block={}", size(block.into()));
    }
    if let Some(Metadata { bytes, interleaved, protection, .. }) = metadata {
        text += &format!(",md={bytes},form={}", if interleaved { "interleaved" } else { "separate" });
        if let Some(Protection { kind, is_first, application, application_mask, .. }) = protection {
            let number = TYPES.iter().find(|(_, it)| *it == kind).map_or("", |(number, _)| number);
            text += &format!(",pi={number},pi_first={is_first}");
            if application_mask != 0 {
                text += &format!(",app={application}");
            }
        }
    }
    text
}

/// `md=8,form=interleaved,pi=1,pi_first=true,app=7`.
fn metadata(args: &mut Args<'_>) -> Result<Option<Metadata>, Fault> {
    let (md, form, pi) = (args.get("md"), args.get("form"), args.get("pi"));
    let (first, app) = (args.get("pi_first"), args.get("app"));
    let Some(md) = md else {
        return match form.or(pi).or(first).or(app) {
            None => Ok(None),
            Some(value) => Err(value.fault("say how many bytes of metadata each block has, such as md=8")),
        };
    };
    let bytes = u32::try_from(md.number()?).map_err(|_| md.fault("no block has so much metadata"))?;
    let metadata = match form {
        None => Metadata::separate(bytes),
        Some(form) => {
            let forms =
                [("separate", Metadata::separate(bytes)), ("interleaved", Metadata::interleaved(bytes))];
            form.choice(&forms)?
        }
    };
    let Some(pi) = pi else {
        return match first.or(app) {
            None => Ok(Some(metadata)),
            Some(value) => Err(value.fault("say which type of protection information, such as pi=1")),
        };
    };
    let mut protection = Protection::new(pi.choice(&TYPES)?);
    if let Some(first) = first {
        protection = protection.with_first(first.choice(&[("true", true), ("false", false)])?);
    }
    if let Some(app) = app {
        let tag = u16::try_from(app.number()?).map_err(|_| app.fault("application tags end below 65535"))?;
        protection = protection.with_application(tag, u16::MAX);
    }
    Ok(Some(metadata.with_protection(protection)))
}

/// A disk in memory. Its content goes with it.
///
/// Unmapped blocks read as zeroes, and whole pages of them give their memory back. [`TaggedRam`] has metadata besides.
#[derive(Debug)]
pub struct Ram {
    geometry: Geometry,
    store: Arc<Store>,
}

impl Ram {
    /// A RAM disk of `bytes`, in blocks of 512.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if that is not whole blocks; [`Error::Os`] if there is no address space for it.
    pub fn new(bytes: u64) -> Result<Self> {
        Self::with_block_size(bytes, BLOCK_SIZE)
    }

    /// The same in blocks of another size: a power of two from 512 to 65536.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_block_size(bytes: u64, block_size: u32) -> Result<Self> {
        let geometry = Geometry::new(check_block_size(block_size)?, whole_blocks(bytes, block_size)?);
        Ok(Self { geometry, store: Arc::new(Store::zeroed(bytes)?) })
    }
}

fn check_block_size(bytes: u32) -> Result<u32> {
    if bytes.is_power_of_two() && (512..=1 << 16).contains(&bytes) {
        return Ok(bytes);
    }
    let reason = format!("blocks of {bytes} bytes: give a power of two from 512 to 65536");
    Err(Error::BadGeometry { reason })
}

fn can(op: Op) -> bool {
    use Op::{Flush, Read, Reset, SeekData, SeekHole, Unmap, Write, WriteZeroes};
    matches!(op, Read | Write | Flush | WriteZeroes | Unmap | Reset | SeekData | SeekHole)
}

/// A core's share in the memory.
#[derive(Debug)]
pub struct RamChannel {
    store: Arc<Store>,
    /// Of the block size: the power of two.
    shift: u32,
}

impl Bdev for Ram {
    type Channel = RamChannel;

    fn module(&self) -> &'static str {
        "ram"
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn supports(&self, op: Op) -> bool {
        can(op)
    }

    fn spec(&self) -> Option<String> {
        let Geometry { block_size, .. } = self.geometry;
        Some(format!("ram:{}{}", size(self.geometry.len_bytes()), options(block_size, None)))
    }

    fn channel(&self, _access: Access) -> Result<RamChannel> {
        Ok(RamChannel { store: self.store.clone(), shift: self.geometry.block_size.trailing_zeros() })
    }
}

impl Submit for RamChannel {
    #[inline]
    fn submit(&self, io: Io) -> impl Future<Output = Done> {
        // What never waits stays apart: a future that can wait costs more to make.
        match io.op() {
            Op::SeekData | Op::SeekHole => Either::Left(self.store.seek(io, 1 << self.shift)),
            _ => Either::Right(self.at_once(io)),
        }
    }
}

impl RamChannel {
    #[inline]
    async fn at_once(&self, mut io: Io) -> Done {
        let at = (io.lba() << self.shift) as usize;
        let len = (io.blocks() << self.shift) as usize;
        match io.op() {
            Op::Read => self.store.read(at, &mut io.read_buf()),
            Op::Write => self.store.write(at, &io.take_data()),
            Op::WriteZeroes => self.store.zero(at, len),
            Op::Unmap => self.store.discard(at, len),
            Op::Flush | Op::Reset => {}
            _ => return io.unsupported(),
        }
        io.done(Ok(()))
    }
}

impl Store {
    /// Looks at the memory itself: a hole is a block of zeroes. Long searches let others have the core in between.
    async fn seek(&self, mut io: Io, block_size: usize) -> Done {
        const AT_A_TIME: usize = 2048;
        let is_data = io.op() == Op::SeekData;
        let mut found = None;
        for start in io.range().step_by(AT_A_TIME) {
            let end = io.range().end.min(start + AT_A_TIME as u64);
            found =
                (start..end).find(|block| self.is_zero(*block as usize * block_size, block_size) != is_data);
            if found.is_some() {
                break;
            }
            crate::reactor::yield_now().await;
        }
        io.set_found(found);
        io.done(Ok(()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::spec::assert_points_at;
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::{Descriptor, conformance, open_private};

    #[test]
    fn conforms() {
        conformance::check_spec("ram:16M");
        conformance::check_spec("ram:16M,block=4K");
    }

    #[test]
    fn two_cores_share_the_blocks_and_see_whole_bytes() {
        let disk = open_private("two", Ram::new(1 << 20).unwrap(), Access::ReadWrite).unwrap();
        let on_a_core = |disk: Descriptor, value: u8| {
            LocalExecutor::new().unwrap().block_on(async move {
                let channel = disk.channel().unwrap();
                for _ in 0..500 {
                    let mut data = channel.try_alloc(64 << 10).unwrap();
                    data.fill(value);
                    channel.write(0, data).await.unwrap();
                    let seen = channel.read(0..128).await.unwrap();
                    assert!(seen.iter().all(|b| [0x0f, 0xf0].contains(b)), "a byte that nobody wrote");
                }
            });
        };
        std::thread::scope(|scope| {
            scope.spawn(|| on_a_core(disk.clone(), 0x0f));
            scope.spawn(|| on_a_core(disk.clone(), 0xf0));
        });
    }

    #[test]
    fn data_and_holes_are_found_beyond_what_is_looked_at_in_one_go() {
        LocalExecutor::new().unwrap().block_on(async {
            let disk = open_private("seek", Ram::new(4 << 20).unwrap(), Access::ReadWrite).unwrap();
            let channel = disk.channel().unwrap();
            assert_eq!(channel.seek_data(0).await.unwrap(), None);
            assert_eq!(channel.seek_hole(17).await.unwrap(), Some(17));
            let mut data = channel.try_alloc(1024).unwrap();
            data.fill(0);
            data[1023] = 1;
            channel.write(5000, data).await.unwrap();
            assert_eq!(channel.seek_data(3).await.unwrap(), Some(5001));
            assert_eq!(channel.seek_hole(5001).await.unwrap(), Some(5002));
            assert_eq!(channel.seek_data(5002).await.unwrap(), None);
            assert_eq!(channel.seek_hole(8191).await.unwrap(), Some(8191));
        });
    }

    #[test]
    fn what_is_not_whole_blocks_is_refused() {
        for bytes in [0, 1, 513] {
            assert!(matches!(Ram::new(bytes), Err(Error::BadGeometry { .. })));
        }
        for block in [0, 1, 256, 520, 1 << 17] {
            assert!(
                matches!(Ram::with_block_size(1 << 20, block), Err(Error::BadGeometry { .. })),
                "{block}"
            );
        }
    }

    #[test]
    fn options_that_cannot_be_are_pointed_at() {
        assert_points_at(&[
            ("ram:1M,block=x", "x"),
            ("ram:1M,pi=1", "1"),
            ("ram:1M,form=separate", "separate"),
            ("ram:1M,md=8,form=beside", "beside"),
            ("ram:1M,md=8,pi=4", "4"),
            ("ram:1M,md=8,pi_first=true", "true"),
            ("ram:1M,md=8,pi=1,app=65536", "65536"),
        ]);
    }
}
