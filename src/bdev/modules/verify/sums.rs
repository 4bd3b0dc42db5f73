//! What is known of every block: a word of memory each, shared by all cores.
//!
//! ```text
//!              a write begins                     the last writer ends, and it was alone
//!   unknown ───────────────────► being written ────────────────────────────────────────► known(checksum)
//!      ▲                             │    ▲                                                   │
//!      │   writers overlapped, or    │    └───────────────────────────────────────────────────┘
//!      └──── the last one failed ────┘                      a write begins
//! ```
//!
//! A block that is being written, or was written by two at a time, may hold either's bytes: it is not checked until it is written
//! again. With protection information a second word holds what was known before the last write.

use std::mem;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use crc_fast::{CrcAlgorithm::Crc32Iscsi, checksum};

use crate::bdev::{Error, Result, Tag};

/// The largest I/O that passes in one piece: a read keeps as many words while it is out.
pub(super) const PIECE_BLOCKS: u32 = 128;

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

/// Rows of chunks, each twice as long as the one before: as many as the largest device could want.
const ROWS: usize = 52;

type Row = Box<[OnceLock<Box<Chunk>>]>;

/// A word per block, made when the first block of a chunk is written: for a device of any size, which may change.
#[derive(Debug)]
struct Words([OnceLock<Row>; ROWS]);

impl Words {
    const fn zeroed() -> Self {
        Self([const { OnceLock::new() }; ROWS])
    }

    /// The row of a block, the chunk in it, and the word in that.
    fn place(lba: u64) -> (usize, usize, usize) {
        let number = lba / CHUNK as u64 + 1;
        let row = number.ilog2();
        (row as usize, (number - (1 << row)) as usize, (lba % CHUNK as u64) as usize)
    }

    /// The chunks that there are, each with its first block.
    fn chunks(&self) -> impl Iterator<Item = (&Chunk, u64)> {
        let rows =
            self.0.iter().zip(0..).filter_map(|(row, number)| Some((row.get()?, (1_u64 << number) - 1)));
        let chunks = rows.flat_map(|(row, first)| row.iter().zip(first..));
        chunks.filter_map(|(chunk, number)| Some((&**chunk.get()?, number * CHUNK as u64)))
    }

    /// The word of a block that may never have been written.
    fn get(&self, lba: u64) -> u64 {
        let (row, chunk, at) = Self::place(lba);
        // Acquire: pairs with the Release of the write that made the block known, whose data the device then had.
        self.0[row].get().and_then(|row| row[chunk].get()).map_or(0, |words| words[at].load(Acquire))
    }

    fn get_mut(&self, lba: u64) -> &AtomicU64 {
        let (row, chunk, at) = Self::place(lba);
        let row = self.0[row].get_or_init(|| (0..1_u64 << row).map(|_| OnceLock::new()).collect());
        &row[chunk].get_or_init(|| Box::new([const { AtomicU64::new(0) }; CHUNK]))[at]
    }

    /// The first block of which `is_it` is true.
    fn find(&self, is_it: impl Fn(u64, u64) -> bool) -> Option<u64> {
        let mut words = self.chunks().flat_map(|(words, first)| words.iter().zip(first..));
        words.find_map(|(word, lba)| is_it(lba, word.load(Acquire)).then_some(lba))
    }
}

/// What is known of each block.
#[derive(Debug)]
pub(super) struct Sums {
    words: Words,
    /// With protection information, what was known before a write began.
    before: Option<Words>,
}

impl Sums {
    pub(super) const fn unknown() -> Self {
        Self { words: Words::zeroed(), before: None }
    }

    pub(super) const fn unknown_with_protection() -> Self {
        Self { words: Words::zeroed(), before: Some(Words::zeroed()) }
    }

    /// Forgets the blocks from `end` on, which are no more. Who still writes them leaves them unknown.
    pub(super) fn forget_from(&self, end: u64) {
        let words = self.words.chunks().flat_map(|(words, first)| words.iter().zip(first..));
        for (word, _) in words.filter(|(_, lba)| *lba >= end) {
            let _was = word.fetch_update(AcqRel, Acquire, |was| Some(settled(was | IS_RACED)));
        }
    }

    pub(super) fn keep_protection(&self) -> bool {
        self.before.is_some()
    }

    fn word(&self, lba: u64) -> u64 {
        self.words.get(lba)
    }

    /// Changes a word and says what it was.
    fn update(&self, lba: u64, mut change: impl FnMut(u64) -> u64) -> u64 {
        // Release: who finds the block known finds the data of the write that made it so. Acquire: in the order of the writes.
        let answer = self.words.get_mut(lba).fetch_update(AcqRel, Acquire, |was| Some(change(was)));
        answer.unwrap_or_else(|was| was)
    }

    /// What is known of `blocks` before they are read.
    pub(super) fn look(&self, blocks: &Range<u64>) -> [u64; PIECE_BLOCKS as usize] {
        let mut words = [0; PIECE_BLOCKS as usize];
        for (word, lba) in words.iter_mut().zip(blocks.clone()) {
            *word = self.word(lba);
        }
        words
    }

    /// Compares `data`, read from block `lba` on, with what was known `before` and is known still.
    pub(super) fn check(&self, before: &[u64], lba: u64, data: &[u8], block_size: usize) -> Result<()> {
        for ((block, lba), known) in data.chunks(block_size).zip(lba..).zip(before) {
            if known & IS_KNOWN == 0 || self.word(lba) != *known {
                continue;
            }
            let (expected, found) = (*known as u32, crc32c(block));
            if expected != found {
                return Err(match &self.before {
                    None => Error::Corrupt { lba, expected, found },
                    Some(before) => self.diagnose(lba, *known, before.get(lba), block),
                });
            }
        }
        Ok(())
    }

    /// Which tag is wrong of a `block` that is not what is `known`, nor changed since.
    #[cold]
    fn diagnose(&self, lba: u64, known: u64, before: u64, block: &[u8]) -> Error {
        let sum = crc32c(block);
        let is_of = |word: u64| word & IS_KNOWN != 0 && word as u32 == sum;
        let wrong = |tag, expected, found| Error::Protection { lba, tag, expected, found };
        if is_of(before) {
            return wrong(
                Tag::Application,
                known >> WRITE.trailing_zeros(),
                before >> WRITE.trailing_zeros(),
            );
        }
        let is_blank = block.iter().all(|byte| *byte == 0);
        let owner = || self.words.find(|other, word| other != lba && is_of(word));
        match if is_blank { None } else { owner() } {
            Some(other) => wrong(Tag::Reference, lba, other),
            None => wrong(Tag::Guard, u64::from(known as u32), sum.into()),
        }
    }

    /// Says that `blocks` are about to be written.
    pub(super) fn begin(&self, blocks: Range<u64>) -> Writing<'_> {
        for lba in blocks.clone() {
            let was = self.update(lba, |was| {
                let raced = if was & WRITERS == 0 { 0 } else { IS_RACED };
                (was & (WRITES | WRITERS | IS_RACED) | raced).wrapping_add(WRITE + WRITER)
            });
            if let Some(before) = self.before.as_ref().filter(|_| was & IS_KNOWN != 0) {
                // Release: as above.
                before.get_mut(lba).store(was, Release);
            }
        }
        Writing { sums: self, blocks }
    }
}

/// Blocks that are being written. Dropped without [`end`](Writing::end), it leaves them unknown.
pub(super) struct Writing<'s> {
    sums: &'s Sums,
    blocks: Range<u64>,
}

impl Writing<'_> {
    /// The write of `data` has succeeded.
    pub(super) fn end(mut self, data: &[u8], block_size: usize) {
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

pub(super) fn crc32c(block: &[u8]) -> u32 {
    checksum(Crc32Iscsi, block) as u32
}

/// Forgets that writers overlapped once the last of them is gone.
fn settled(word: u64) -> u64 {
    if word & WRITERS == 0 { word & WRITES } else { word }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_failed_or_was_given_up_leaves_its_blocks_unknown() {
        let sums = Sums::unknown();
        sums.begin(0..8).end(&[1; 8 * 512], 512);
        drop(sums.begin(2..4));
        let is_known: Vec<_> = (0..6).map(|lba| sums.word(lba) & IS_KNOWN != 0).collect();
        assert_eq!(is_known, [true, true, false, false, true, true]);
    }

    #[test]
    fn writers_that_overlap_leave_unknown_what_they_share() {
        let sums = Sums::unknown();
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
        let sums = Sums::unknown();
        sums.begin(0..1).end(&[1; 512], 512);
        let before = sums.look(&(0..1));
        sums.begin(0..1).end(&[2; 512], 512);
        sums.begin(0..1).end(&[1; 512], 512);
        sums.check(&before, 0, &[2; 512], 512).expect("it may have seen the write between");
        let before = sums.look(&(0..1));
        assert!(sums.check(&before, 0, &[2; 512], 512).is_err());
    }
}
