//! Remembers a checksum of every block written, and holds every read to it: finds out what below lies.
//!
//! ```text
//!              a write begins                     the last writer ends, and it was alone
//!   unknown ───────────────────► being written ────────────────────────────────────────► known(checksum)
//!      ▲                             │    ▲                                                   │
//!      │   writers overlapped, or    │    └───────────────────────────────────────────────────┘
//!      └──── the last one failed ────┘                      a write begins
//! ```
//!
//! One word of memory per block, shared by all cores, says which. A block that is being written, or was written by two at a
//! time, may hold either's bytes: it is not checked until it is written again. Neither is what was written before the device
//! was opened, nor what is written while it is read.

use std::mem;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::sync::{Arc, OnceLock};

use crc_fast::{CrcAlgorithm::Crc32Iscsi, checksum};

use super::spec::{Bases, Kind, Plan, spec_over};
use crate::bdev::{Access, Bdev, Channel, Descriptor, Done, Error, Geometry, Io, Op, Result, Submit};

pub(super) const KIND: Kind = Kind::new(
    "verify",
    "verify(SPEC)",
    "holds every read to a checksum of what was written",
    Bases::One,
    |_| Ok(Plan::over_one(|base| Ok(Verify::over(base)))),
);

/// The largest I/O that passes in one piece: a read keeps as many words while it is out.
const PIECE_BLOCKS: u32 = 128;

/// A device whose reads are compared with what was written through it.
///
/// A block that reads back as something else ends its read with [`Error::Corrupt`], which names it. For tests, and for finding
/// out which of several layers is at fault: it costs a checksum per block and eight bytes of memory per block.
#[derive(Debug)]
pub struct Verify {
    base: Descriptor,
    sums: Arc<Sums>,
}

impl Verify {
    /// Watches `base`, which must not be written by anybody else meanwhile.
    #[must_use]
    pub fn over(base: Descriptor) -> Self {
        let sums = Arc::new(Sums::unknown(base.geometry().block_count));
        Self { base, sums }
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
        spec_over("verify", [&self.base])
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

// The word of a block, from the low bits on: its CRC-32C, how many write it, what is known of it, and how often a write has begun, so
// that a read notices one that came and went.
const WRITER: u64 = 1 << 32;
const WRITERS: u64 = 0x3fff << 32;
const IS_KNOWN: u64 = 1 << 46;
const IS_RACED: u64 = 1 << 47;
const WRITE: u64 = 1 << 48;
const WRITES: u64 = 0xffff << 48;

/// Words that are made together.
const CHUNK: usize = 4096;

type Chunk = [AtomicU64; CHUNK];

/// A word per block, made when the first block of a chunk is written.
#[derive(Debug)]
struct Sums(Box<[OnceLock<Box<Chunk>>]>);

impl Sums {
    fn unknown(blocks: u64) -> Self {
        Self((0..blocks.div_ceil(CHUNK as u64)).map(|_| OnceLock::new()).collect())
    }

    fn place(lba: u64) -> (usize, usize) {
        ((lba / CHUNK as u64) as usize, (lba % CHUNK as u64) as usize)
    }

    /// The word of a block that may never have been written.
    fn word(&self, lba: u64) -> u64 {
        let (chunk, at) = Self::place(lba);
        // Acquire: pairs with the Release of the write that made the block known, whose data the device then had.
        self.0[chunk].get().map_or(0, |words| words[at].load(Acquire))
    }

    fn update(&self, lba: u64, mut change: impl FnMut(u64) -> u64) {
        let (chunk, at) = Self::place(lba);
        let words = self.0[chunk].get_or_init(|| Box::new([const { AtomicU64::new(0) }; CHUNK]));
        // Release: who finds the block known finds the data of the write that made it so. Acquire: in the order of the writes.
        let _ = words[at].fetch_update(AcqRel, Acquire, |was| Some(change(was)));
    }

    /// What is known of `blocks` before they are read.
    fn look(&self, blocks: &Range<u64>) -> [u64; PIECE_BLOCKS as usize] {
        let mut words = [0; PIECE_BLOCKS as usize];
        for (word, lba) in words.iter_mut().zip(blocks.clone()) {
            *word = self.word(lba);
        }
        words
    }

    /// Compares `data`, read from block `lba` on, with what was known `before` and is known still.
    fn check(&self, before: &[u64], lba: u64, data: &[u8], block_size: usize) -> Result<()> {
        for ((block, lba), known) in data.chunks(block_size).zip(lba..).zip(before) {
            if known & IS_KNOWN == 0 || self.word(lba) != *known {
                continue;
            }
            let (expected, found) = (*known as u32, crc32c(block));
            if expected != found {
                return Err(Error::Corrupt { lba, expected, found });
            }
        }
        Ok(())
    }

    /// Says that `blocks` are about to be written.
    fn begin(&self, blocks: Range<u64>) -> Writing<'_> {
        for lba in blocks.clone() {
            self.update(lba, |was| {
                let raced = if was & WRITERS == 0 { 0 } else { IS_RACED };
                (was & (WRITES | WRITERS | IS_RACED) | raced).wrapping_add(WRITE + WRITER)
            });
        }
        Writing { sums: self, blocks }
    }
}

/// Blocks that are being written. Dropped without [`end`](Writing::end), it leaves them unknown.
struct Writing<'s> {
    sums: &'s Sums,
    blocks: Range<u64>,
}

impl Writing<'_> {
    /// The write of `data` has succeeded.
    fn end(mut self, data: &[u8], block_size: usize) {
        let blocks = mem::take(&mut self.blocks);
        for (lba, block) in blocks.zip(data.chunks(block_size)) {
            let sum = u64::from(crc32c(block));
            self.sums.update(lba, |was| {
                let was = was - WRITER;
                if was & (WRITERS | IS_RACED) == 0 { was | IS_KNOWN | sum } else { settled(was) }
            });
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        for lba in self.blocks.clone() {
            // As if another writer had come between: what the block holds is anybody's guess.
            self.sums.update(lba, |was| settled((was - WRITER) | IS_RACED));
        }
    }
}

fn crc32c(block: &[u8]) -> u32 {
    checksum(Crc32Iscsi, block) as u32
}

/// Forgets that writers overlapped once the last of them is gone.
fn settled(word: u64) -> u64 {
    if word & WRITERS == 0 { word & WRITES } else { word }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::{conformance, modules::Ram, open_private};

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
        let base = open_private("base", Ram::new(16 << 20).unwrap(), Access::ReadWrite).unwrap();
        let verify = open_private("verify", Verify::over(base.clone()), Access::ReadWrite).unwrap();
        (verify.channel().unwrap(), base.channel().unwrap())
    }

    #[test]
    fn conforms() {
        conformance::check_spec("verify(ram:16M)");
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

    #[test]
    fn a_write_that_failed_or_was_given_up_leaves_its_blocks_unknown() {
        let sums = Sums::unknown(8);
        sums.begin(0..8).end(&[1; 8 * 512], 512);
        drop(sums.begin(2..4));
        let is_known: Vec<_> = (0..6).map(|lba| sums.word(lba) & IS_KNOWN != 0).collect();
        assert_eq!(is_known, [true, true, false, false, true, true]);
    }

    #[test]
    fn writers_that_overlap_leave_unknown_what_they_share() {
        let sums = Sums::unknown(16);
        let (first, second) = (sums.begin(0..4), sums.begin(2..6));
        first.end(&[1; 4 * 512], 512);
        second.end(&[2; 4 * 512], 512);
        let is_known: Vec<_> = (0..6).map(|lba| sums.word(lba) & IS_KNOWN != 0).collect();
        assert_eq!(is_known, [true, true, false, false, true, true]);
        sums.begin(2..4).end(&[3; 2 * 512], 512);
        assert!((2..4).all(|lba| sums.word(lba) & IS_KNOWN != 0), "alone again");
    }

    #[test]
    fn a_read_that_a_write_overtakes_is_not_held_to_it() {
        let sums = Sums::unknown(8);
        sums.begin(0..1).end(&[1; 512], 512);
        let before = sums.look(&(0..1));
        sums.begin(0..1).end(&[2; 512], 512);
        sums.begin(0..1).end(&[1; 512], 512);
        sums.check(&before, 0, &[2; 512], 512).expect("it may have seen the write between");
        let before = sums.look(&(0..1));
        assert!(sums.check(&before, 0, &[2; 512], 512).is_err());
    }
}
