//! RAID 0: chunks of one device dealt out to several in turn.
//!
//! ```text
//!   blocks of the stripe   │ chunk 0 │ chunk 1 │ chunk 2 │ chunk 3 │ chunk 4 │ …
//!   member 0               │ chunk 0 │ chunk 2 │ chunk 4 │ …
//!   member 1               │ chunk 1 │ chunk 3 │ …
//! ```
//!
//! A chunk is a boundary that the layer splits at, so what arrives here lies in one chunk, on one member. The pieces of an I/O over
//! several chunks are in flight together, as the layer has it.

use super::members::Members;
use super::spec::{Bases, Kind, Plan, size, spec_over};
use crate::bdev::fan::Fans;
use crate::bdev::{Access, Bdev, Channel, Descriptor, Done, Error, Geometry, Io, Op, Result, Submit};

pub(super) const KIND: Kind = Kind::new(
    "stripe",
    "stripe:chunk=64K(SPEC,SPEC)",
    "chunks dealt out to several devices in turn (RAID 0); of 64 KiB unless told otherwise",
    Bases::Many,
    |args| {
        let chunk = args.get("chunk").or_else(|| args.bare());
        let chunk = chunk.map_or(Ok(CHUNK_BYTES), |size| size.size())?;
        Ok(Plan::over(move |members| Stripe::new(members, chunk)))
    },
);

const CHUNK_BYTES: u64 = 64 << 10;

/// Several devices as one, as fast as all of them and as lasting as the weakest.
///
/// Every member gives as many blocks as the smallest has in whole chunks, and more when that has grown.
///
/// ```
/// use reactor::bdev::{self, Access, modules::Stripe};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// bdev::register("left", bdev::modules::Ram::new(1 << 20)?)?;
/// bdev::register("right", bdev::modules::Ram::new(1 << 20)?)?;
/// let members = [bdev::open("left", Access::ReadWrite).await?, bdev::open("right", Access::ReadWrite).await?];
/// bdev::register("both", Stripe::new(members, 64 << 10)?)?;
/// assert_eq!(bdev::open("both", Access::ReadOnly).await?.geometry().len_bytes(), 2 << 20);
/// # for name in ["both", "left", "right"] { bdev::unregister(name)?; }
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Stripe {
    members: Members,
    /// In blocks.
    chunk: u64,
}

impl Stripe {
    /// A stripe over `members`, in chunks of `chunk_bytes`, which are a power of two.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if there are no members, if their blocks differ in size or metadata, or have protection information within, if the
    /// chunk is not whole blocks of data, or larger than a member.
    pub fn new(members: impl IntoIterator<Item = Descriptor>, chunk_bytes: u64) -> Result<Self> {
        let members = Members::renumbered("stripe", members)?;
        let size = u64::from(members.all()[0].geometry().data_size());
        let wrong = |reason: String| Error::BadGeometry { reason };
        let chunk = chunk_bytes / size;
        let boundary =
            u32::try_from(chunk).ok().filter(|_| chunk_bytes.is_power_of_two() && chunk_bytes % size == 0);
        let boundary = boundary.ok_or_else(|| {
            wrong(format!(
                "a chunk of {chunk_bytes} bytes: give a power of two that is whole blocks of {size}, such as 64K"
            ))
        })?;
        let smallest = members.shapes().map(|shape| shape.block_count).min().unwrap_or(0);
        if smallest < chunk {
            return Err(wrong(format!(
                "a chunk of {chunk} blocks does not fit a member of {smallest}: give less"
            )));
        }
        Ok(Self { members, chunk: boundary.into() })
    }
}

/// A core's ways to the members.
#[derive(Debug)]
pub struct StripeChannel {
    members: Vec<Channel>,
    chunk: u64,
    fans: Fans,
}

impl Bdev for Stripe {
    type Channel = StripeChannel;

    fn module(&self) -> &'static str {
        "stripe"
    }

    fn geometry(&self) -> Geometry {
        let smallest = self.members.shapes().map(|shape| shape.block_count).min().unwrap_or(0);
        let each = smallest / self.chunk * self.chunk;
        let all = each.saturating_mul(self.members.all().len() as u64);
        self.members.geometry(all).with_optimal_io_boundary(self.chunk as u32)
    }

    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Read | Op::Write | Op::Flush | Op::WriteZeroes | Op::Unmap | Op::Reset)
            && self.members.supports(op)
    }

    fn bases(&self) -> Vec<Descriptor> {
        self.members.all().to_vec()
    }

    fn spec(&self) -> Option<String> {
        let chunk = self.chunk * u64::from(self.members.all()[0].geometry().block_size);
        spec_over(format!("stripe:chunk={}", size(chunk)), self.members.all())
    }

    fn channel(&self, _access: Access) -> Result<StripeChannel> {
        Ok(StripeChannel { members: self.members.channels()?, chunk: self.chunk, fans: Fans::default() })
    }
}

impl StripeChannel {
    /// Whose block `lba` is, and where it lies there.
    #[inline]
    fn place(&self, lba: u64) -> (usize, u64) {
        let members = self.members.len() as u64;
        // Chunks are a power of two in bytes and in blocks: shifts where the compiler cannot know.
        let shift = self.chunk.trailing_zeros();
        let (chunk, offset) = (lba >> shift, lba & (self.chunk - 1));
        ((chunk % members) as usize, ((chunk / members) << shift) + offset)
    }
}

impl Submit for StripeChannel {
    #[inline]
    async fn submit(&self, mut io: Io) -> Done {
        if io.blocks() == 0 {
            return self.submit_to_all(io).await;
        }
        let (member, lba) = self.place(io.lba());
        io.set_lba(lba);
        self.members[member].submit(io).await
    }
}

impl StripeChannel {
    /// A flush, at all members together.
    async fn submit_to_all(&self, io: Io) -> Done {
        let mut fan = self.fans.carry(io);
        self.members.iter().for_each(|member| fan.add(member, 0, 0));
        fan.await
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::modules::{Null, Ram};
    use crate::bdev::{conformance, open, open_private};

    #[test]
    fn conforms() {
        conformance::check_spec("stripe:chunk=64K(ram:16M,ram:16M,ram:16M)");
    }

    #[test]
    fn conforms_in_chunks_of_one_block_on_one_member() {
        conformance::check_spec("stripe:chunk=512(ram:4M)");
    }

    fn ram(blocks: u64) -> Descriptor {
        open_private("member", Ram::new(blocks * 512).unwrap(), Access::ReadWrite).unwrap()
    }

    /// Every block is written through the stripe and looked for where the drawing above says.
    #[test]
    fn chunks_go_round_the_members() {
        LocalExecutor::new().unwrap().block_on(async {
            for count in 1..5 {
                let members: Vec<_> = (0..count).map(|_| ram(19)).collect();
                let stripe = Stripe::new(members.clone(), 4 * 512).unwrap();
                let disk = open_private("stripe", stripe, Access::ReadWrite).unwrap();
                assert_eq!(disk.geometry().block_count, 16 * count);
                let channel = disk.channel().unwrap();
                let blocks = disk.geometry().block_count;
                let mut data = channel.try_alloc(blocks as usize * 512).unwrap();
                for (block, number) in data.chunks_mut(512).zip(1..) {
                    block.fill(number);
                }
                channel.write(0, data).await.unwrap();
                for lba in 0..blocks {
                    let (chunk, offset) = (lba / 4, lba % 4);
                    let member = members[(chunk % count) as usize].channel().unwrap();
                    let at = chunk / count * 4 + offset;
                    assert_eq!(member.read(at..at + 1).await.unwrap()[0], lba as u8 + 1, "{lba} of {count}");
                }
            }
        });
    }

    #[test]
    fn a_large_io_is_at_all_members_at_a_time() {
        LocalExecutor::new().unwrap().block_on(async {
            let stalling = "error:read=stall(ram:64K)";
            let spec = format!("stripe:chunk=4K({stalling},{stalling})");
            let disk = open(&spec, Access::ReadOnly).await.unwrap();
            let channel = disk.channel().unwrap();
            let mut read = Box::pin(channel.read(0..32));
            std::future::poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            let members = disk.module_as::<Stripe>().unwrap().bases();
            let faulty = members.iter().map(|member| member.module_as::<super::super::Faulty>().unwrap());
            assert_eq!(faulty.clone().map(super::super::Faulty::stalled).collect::<Vec<_>>(), [2, 2]);
            faulty.for_each(super::super::Faulty::release);
            assert_eq!(read.await.unwrap().len(), 16384);
        });
    }

    #[test]
    fn a_flush_reaches_every_member_and_says_if_one_failed() {
        LocalExecutor::new().unwrap().block_on(async {
            let disk = open("stripe(ram:1M,error:flush=media,count=1(ram:1M),ram:1M)", Access::ReadWrite)
                .await
                .unwrap();
            let channel = disk.channel().unwrap();
            assert!(matches!(channel.flush().await, Err(Error::Media)));
            channel.flush().await.unwrap();
            for member in disk.module_as::<Stripe>().unwrap().bases() {
                assert_eq!(member.channel().unwrap().stats().flushes, 2);
            }
        });
    }

    #[test]
    fn what_makes_no_stripe_says_why() {
        let null = || open_private("null", Null::new(1 << 20).unwrap(), Access::ReadOnly).unwrap();
        for (members, chunk, says) in [
            (vec![], 4096, "no devices"),
            (vec![null()], 4096 + 512, "power of two"),
            (vec![null()], 256, "whole blocks of 512"),
            (vec![null()], 0, "power of two"),
            (vec![null(), null()], 2 << 20, "does not fit a member"),
            (vec![null()], 1 << 63, "power of two"),
        ] {
            let e = Stripe::new(members, chunk).unwrap_err().to_string();
            assert!(e.contains(says), "{e}");
        }
    }
}
