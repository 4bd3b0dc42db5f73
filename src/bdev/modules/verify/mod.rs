//! Remembers a checksum of every block written, and holds every read to it: finds out what below lies.
//!
//! It checks what it knows: not what was written before the device was opened, nor blocks that several wrote at a time, nor what is
//! written while it is read. The table of checksums is in `sums`.

mod sums;

use std::sync::Arc;

use self::sums::{PIECE_BLOCKS, Sums};
use super::spec::{Bases, Kind, Plan, spec_over};
use crate::bdev::{
    Access, Bdev, Channel, Descriptor, DeviceRef, Done, Event, Geometry, Io, Op, Result, Submit,
};

pub(super) const KIND: Kind = Kind::new(
    "verify",
    "verify(SPEC)",
    "holds every read to a checksum of what was written; with `pi=true` it says what kind of damage it is",
    Bases::One,
    |args| {
        let answers = [("true", true), ("false", false)];
        let keeps = args.get("pi").map_or(Ok(false), |value| value.choice(&answers))?;
        Ok(Plan::over_one(move |base| {
            let verify = Verify::over(base);
            Ok(if keeps { verify.with_protection() } else { verify })
        }))
    },
);

/// A device whose reads are compared with what was written through it.
///
/// A block that reads back as something else ends its read with [`Error::Corrupt`], which names it. For tests, and for finding
/// out which of several layers is at fault: it costs a checksum per block and eight bytes of memory per block.
///
/// [With protection information](Self::with_protection), and twice the memory, it says what has become of the block, by the tag that is
/// wrong:
///
/// | damage | [`Error::Protection`] of | expected | found |
/// |---|---|---|---|
/// | a write that never came to pass | the block, [`Tag::Application`] | its last write's number, in 16 bits | that of the write before |
/// | a write that went elsewhere | the block that was hit, [`Tag::Reference`] | its number | that of the block that was meant |
/// | the same | the block that was meant, [`Tag::Application`] | as for one that never came to pass | |
/// | anything else | the block, [`Tag::Guard`] | its guard | that of what was read |
///
/// It is kept in memory, in NVMe's format with 32-bit guards (CRC-32C), for a base of any kind: what it found is told by whose guard
/// fits. Blocks of zeroes are taken for nobody's, and where nothing fits, as after the first write of a block, it is the guard that is
/// wrong. Blocks not written since they were unmapped or cut off, or since it was opened, are not checked.
///
/// ```
/// use reactor::bdev::{self, Access, Error, Tag};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("verify:pi=true(error:write=lost,skip=1(ram:1M))", Access::ReadWrite).await?;
/// let channel = disk.channel()?;
/// for byte in [1, 2] {
///     let mut block = channel.alloc(512).await?;
///     block.fill(byte);
///     channel.write(9, block).await?;
/// }
/// let e = channel.read(0..16).await.unwrap_err();
/// assert!(matches!(e, Error::Protection { lba: 9, tag: Tag::Application, expected: 2, found: 1 }));
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
///
/// [`Error::Corrupt`]: crate::bdev::Error::Corrupt
/// [`Error::Protection`]: crate::bdev::Error::Protection
/// [`Tag::Application`]: crate::bdev::Tag::Application
/// [`Tag::Reference`]: crate::bdev::Tag::Reference
/// [`Tag::Guard`]: crate::bdev::Tag::Guard
#[derive(Debug)]
pub struct Verify {
    base: Descriptor,
    sums: Arc<Sums>,
}

impl Verify {
    /// Watches `base`, which must not be written by anybody else meanwhile.
    #[must_use]
    pub fn over(base: Descriptor) -> Self {
        Self { base, sums: Arc::new(Sums::unknown()) }
    }

    /// The same with protection information, which tells one kind of damage from another.
    #[must_use]
    pub fn with_protection(self) -> Self {
        Self { sums: Arc::new(Sums::unknown_with_protection()), ..self }
    }
}

impl Bdev for Verify {
    type Channel = VerifyChannel;

    fn module(&self) -> &'static str {
        "verify"
    }

    fn geometry(&self) -> Geometry {
        let base = self.base.geometry();
        let max = base.max_io_blocks;
        let base = base.with_max_segments(1);
        base.with_max_io_blocks(if max == 0 { PIECE_BLOCKS } else { max.min(PIECE_BLOCKS) })
    }

    /// What changes blocks must pass as a write, so that it is known what they hold.
    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write | Op::Flush | Op::Unmap) && self.base.supports(op)
    }

    fn opening(&self, access: Access) -> Result<()> {
        self.base.allows(access)
    }

    fn bases(&self) -> Vec<Descriptor> {
        vec![self.base.clone()]
    }

    fn spec(&self) -> Option<String> {
        let head = if self.sums.keep_protection() { "verify:pi=true" } else { "verify" };
        spec_over(head, [&self.base])
    }

    fn base_changed(&self, _base: usize, event: &Event, device: &DeviceRef) {
        match event {
            Event::Removed => drop(device.remove()),
            Event::Resized(shape) => {
                // What cannot be leaves the device as it was.
                let _refused = device.resize(shape.block_count);
                // By now nobody begins to write there. Should the base grow again, it has other blocks.
                self.sums.forget_from(shape.block_count);
            }
            Event::MediaManaged(media) => device.media_managed(media.clone()),
        }
    }

    fn channel(&self, _access: Access) -> Result<VerifyChannel> {
        let base = self.base.channel()?;
        let block_size = base.geometry().block_size as usize;
        Ok(VerifyChannel { base, sums: self.sums.clone(), block_size })
    }
}

/// A core's way through the checks.
#[derive(Debug)]
pub struct VerifyChannel {
    base: Channel,
    sums: Arc<Sums>,
    block_size: usize,
}

impl Submit for VerifyChannel {
    async fn submit(&self, io: Io) -> Done {
        let blocks = io.range();
        match io.op() {
            Op::Read => {
                let before = self.sums.look(&blocks);
                let (mut result, mut io) = self.base.submit(io).await.into_io();
                if result.is_ok() {
                    result = self.sums.check(&before, blocks.start, &io.read_buf(), self.block_size);
                }
                io.done(result)
            }
            Op::Write => {
                let data = io.data();
                let writing = self.sums.begin(blocks);
                let done = self.base.submit(io).await;
                if done.is_ok() {
                    writing.end(&data, self.block_size);
                }
                done
            }
            // What unmapped blocks read as is the choice of what lies below.
            Op::Unmap => {
                let _writing = self.sums.begin(blocks);
                self.base.submit(io).await
            }
            _ => self.base.submit(io).await,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::modules::{Faulty, Injection, Ram, Uring};
    use crate::bdev::{Error, Tag, conformance, open, open_private};

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        LocalExecutor::new().unwrap().block_on(future)
    }

    fn filled(channel: &Channel, byte: u8) -> crate::sys::dma::DmaBuf {
        let mut buf = channel.try_alloc(4096).unwrap();
        buf.fill(byte);
        buf
    }

    /// A device under test, and a way around it to what lies below.
    fn watched() -> (Channel, Channel) {
        watched_by(|verify| verify)
    }

    fn watched_by(make: impl FnOnce(Verify) -> Verify) -> (Channel, Channel) {
        let base = open_private("base", Ram::new(16 << 20).unwrap(), Access::ReadWrite).unwrap();
        let verify = open_private("verify", make(Verify::over(base.clone())), Access::ReadWrite).unwrap();
        (verify.channel().unwrap(), base.channel().unwrap())
    }

    #[test]
    fn conforms() {
        conformance::check_spec("verify(ram:16M)");
        conformance::check_spec("verify:pi=true(ram:16M)");
    }

    #[test]
    fn a_block_changed_behind_its_back_is_named() {
        block_on(async {
            let (channel, below) = watched();
            channel.write(8, filled(&channel, 1)).await.unwrap();
            channel.read(8..16).await.unwrap();
            below
                .write(
                    11,
                    below
                        .try_alloc(512)
                        .map(|mut b| {
                            b.fill(2);
                            b
                        })
                        .unwrap(),
                )
                .await
                .unwrap();
            let e = channel.read(8..16).await.unwrap_err();
            assert!(matches!(e, Error::Corrupt { lba: 11, .. }), "{e}");
            channel.read(0..8).await.expect("what was never written through it is not checked");
        });
    }

    /// What becomes of the second write of each of blocks 8..16, by what went wrong below, and where.
    async fn damaged(injection: Injection) -> (Channel, impl Fn()) {
        let ram = open_private("ram", Ram::new(1 << 20).unwrap(), Access::ReadWrite).unwrap();
        let base = open_private("base", Faulty::new(ram), Access::ReadWrite).unwrap();
        let verify = Verify::over(base.clone()).with_protection();
        let channel = open_private("verify", verify, Access::ReadWrite).unwrap().channel().unwrap();
        for lba in 0..32 {
            channel.write(lba, block(&channel, lba as u8)).await.unwrap();
        }
        base.module_as::<Faulty>().unwrap().inject(injection);
        for lba in 8..10 {
            channel.write(lba, block(&channel, 100 + lba as u8)).await.unwrap();
        }
        (channel, move || base.module_as::<Faulty>().unwrap().clear())
    }

    fn block(channel: &Channel, byte: u8) -> crate::sys::dma::DmaBuf {
        let mut buf = channel.try_alloc(512).unwrap();
        buf.fill(byte);
        buf
    }

    async fn found(channel: &Channel, blocks: std::ops::Range<u64>) -> Option<(u64, Tag, u64, u64)> {
        match channel.read(blocks).await {
            Ok(_) => None,
            Err(Error::Protection { lba, tag, expected, found }) => Some((lba, tag, expected, found)),
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn each_kind_of_damage_is_told_by_its_tag() {
        block_on(async {
            let (channel, repair) = damaged(Injection::lose().within(9..10)).await;
            assert_eq!(found(&channel, 0..32).await, Some((9, Tag::Application, 2, 1)), "a lost write");
            repair();
            channel.write(9, block(&channel, 1)).await.unwrap();
            assert_eq!(found(&channel, 0..32).await, None, "written again it is well");

            let (channel, _) = damaged(Injection::misdirect().within(9..10)).await;
            assert_eq!(
                found(&channel, 9..32).await,
                Some((9, Tag::Application, 2, 1)),
                "where it was meant to go"
            );
            assert_eq!(found(&channel, 10..32).await, Some((10, Tag::Reference, 10, 9)), "where it went");
            assert_eq!(found(&channel, 0..9).await, None);

            for injection in [Injection::corrupt().on(Op::Write), Injection::corrupt().on(Op::Read)] {
                let (channel, _) = damaged(injection.within(9..10)).await;
                let (lba, tag, expected, found) = found(&channel, 9..10).await.expect("a flipped byte");
                let mut data = [109; 512];
                assert_eq!((lba, tag, expected), (9, Tag::Guard, sums::crc32c(&data).into()));
                data[0] = !data[0];
                assert_eq!(found, u64::from(sums::crc32c(&data)));
            }
        });
    }

    /// Nobody knows what was there, and zeroes are everybody's.
    #[test]
    fn what_fits_no_tag_is_a_wrong_guard() {
        block_on(async {
            let spec = "verify:pi=true(error:write=lost,skip=1(ram:1M))";
            let channel = open(spec, Access::ReadWrite).await.unwrap().channel().unwrap();
            channel.write(3, block(&channel, 0)).await.unwrap();
            channel.write(9, block(&channel, 7)).await.unwrap();
            assert!(matches!(found(&channel, 0..16).await, Some((9, Tag::Guard, _, _))));
        });
    }

    /// Also where what lies below leaves them as they were, or makes zeroes of them.
    #[test]
    fn blocks_given_up_or_never_written_are_not_checked() {
        block_on(async {
            let (channel, below) = watched_by(Verify::with_protection);
            below.write(0, filled(&below, 3)).await.unwrap();
            assert_eq!(found(&channel, 0..8).await, None, "never written through it");
            channel.write(0, filled(&channel, 4)).await.unwrap();
            channel.unmap(2..6).await.unwrap();
            below.write(3, block(&below, 9)).await.unwrap();
            assert_eq!(found(&channel, 0..8).await, None, "unmapped");
            channel.write_zeroes(0..8).await.unwrap();
            assert_eq!(found(&channel, 0..8).await, None, "zeroed");
            below.write(5, block(&below, 9)).await.unwrap();
            assert!(found(&channel, 0..8).await.is_some(), "zeroes are written, and so known");
        });
    }

    #[test]
    fn a_base_that_grows_and_shrinks_is_watched_as_far_as_it_reaches() {
        block_on(async {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(1 << 20).unwrap();
            let below = Uring::open(file.path(), Access::ReadWrite).unwrap();
            let below = open_private("below", below, Access::ReadWrite).unwrap();
            let resize = |bytes| {
                file.as_file().set_len(bytes).unwrap();
                below.module_as::<Uring>().unwrap().rescan().unwrap();
            };
            let verify = Verify::over(below.clone()).with_protection();
            let channel = open_private("verify", verify, Access::ReadWrite).unwrap().channel().unwrap();
            resize(256 << 20);
            let last = channel.geometry().block_count - 1;
            let size = channel.geometry().block_size as usize;
            let filled = |byte| {
                let mut buf = channel.try_alloc(size).unwrap();
                buf.fill(byte);
                buf
            };
            assert_eq!(found(&channel, last..last + 1).await, None, "never written");
            channel.write(last, filled(7)).await.unwrap();
            assert_eq!(found(&channel, last..last + 1).await, None);
            resize(1 << 20);
            assert!(matches!(channel.read(last..last + 1).await, Err(Error::OutOfRange { .. })));
            resize(256 << 20);
            assert_eq!(
                found(&channel, last..last + 1).await,
                None,
                "zeroes in the place of what was cut off"
            );
            channel.write(last, filled(8)).await.unwrap();
            below.channel().unwrap().write(last, filled(9)).await.unwrap();
            assert!(found(&channel, last..last + 1).await.is_some(), "changed behind its back");
        });
    }
}
