//! What `verify` writes: blocks that say which block they are and when they were written.
//!
//! Word 0 of a block is its number, word 1 the seed of the run and the pass, and the rest follows from both. So a block
//! that comes back wrong tells whether it is another block (misdirected), an older pass (a lost write) or garbage.

use std::fmt;

const WORD: usize = 8;
/// An odd number whose bits are well mixed (the golden ratio's).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// One writing of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// Tells this run from earlier ones.
    pub(super) seed: u32,
    /// Counts how often the device was filled, from 0.
    pub(super) number: u32,
}

/// A block that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    block: u64,
    pass: Pass,
    found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// A whole block of this run, but not the one expected.
    Other { block: u64, pass: u32 },
    /// Bytes that this run never wrote.
    Garbage { at: usize, bytes: [u8; WORD], expected: [u8; WORD] },
}

impl Pass {
    fn tag(self) -> u64 {
        u64::from(self.seed) << 32 | u64::from(self.number)
    }

    /// Fills `data` with the blocks of `block_size` bytes from `first` on.
    pub(super) fn fill(self, data: &mut [u8], first: u64, block_size: usize) {
        for (number, block) in (first..).zip(data.chunks_exact_mut(block_size)) {
            let (head, body) = block.split_at_mut(head_len(block_size));
            for (word, value) in head.chunks_exact_mut(WORD).zip(self.head(number)) {
                word.copy_from_slice(&value.to_le_bytes());
            }
            let mut value = self.base(number);
            let mut words = body.chunks_exact_mut(WORD);
            for word in &mut words {
                value = value.wrapping_add(STEP);
                word.copy_from_slice(&value.to_le_bytes());
            }
            words.into_remainder().fill(0);
        }
    }

    /// Compares `data` with what [`fill`](Self::fill) makes and tells `report` of each block that differs.
    pub(super) fn check(self, data: &[u8], first: u64, block_size: usize, mut report: impl FnMut(Mismatch)) {
        for (number, block) in (first..).zip(data.chunks_exact(block_size)) {
            if !self.is_intact(number, block) {
                report(Mismatch { block: number, pass: self, found: self.diagnose(number, block) });
            }
        }
    }

    /// The two words that say what a block is.
    fn head(self, number: u64) -> [u64; 2] {
        [number, self.tag()]
    }

    fn base(self, number: u64) -> u64 {
        (number ^ self.tag().rotate_left(17)).wrapping_mul(STEP)
    }

    fn is_intact(self, number: u64, block: &[u8]) -> bool {
        let (head, body) = block.split_at(head_len(block.len()));
        let mut wrong = 0;
        for (word, value) in head.chunks_exact(WORD).zip(self.head(number)) {
            wrong |= load(word) ^ value;
        }
        let mut value = self.base(number);
        let words = body.chunks_exact(WORD);
        let tail = words.remainder();
        for word in words {
            value = value.wrapping_add(STEP);
            // Without a branch, so that the loop goes by vectors.
            wrong |= load(word) ^ value;
        }
        wrong == 0 && tail.iter().all(|byte| *byte == 0)
    }

    #[cold]
    fn diagnose(self, number: u64, block: &[u8]) -> Found {
        let mut words = block.chunks_exact(WORD).map(load);
        if let (Some(other), Some(tag)) = (words.next(), words.next()) {
            let pass = Pass { seed: (tag >> 32) as u32, number: tag as u32 };
            if pass.seed == self.seed && pass.is_intact(other, block) {
                return Found::Other { block: other, pass: pass.number };
            }
        }
        let mut expected = block.to_vec();
        self.fill(&mut expected, number, block.len());
        let at = block.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(0);
        let eight = |bytes: &[u8]| {
            let mut eight = [0; WORD];
            let rest = &bytes[at..bytes.len().min(at + WORD)];
            eight[..rest.len()].copy_from_slice(rest);
            eight
        };
        Found::Garbage { at, bytes: eight(block), expected: eight(&expected) }
    }
}

/// Bytes of the head in a block that may be too small for all of it.
fn head_len(block_size: usize) -> usize {
    block_size.min(2 * WORD) / WORD * WORD
}

fn load(word: &[u8]) -> u64 {
    u64::from_le_bytes(word.try_into().expect("a chunk of eight"))
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "block {} is not what pass {} wrote: ", self.block, self.pass.number)?;
        match &self.found {
            Found::Other { block, pass } if *block == self.block => {
                write!(f, "it still holds pass {pass}, so a write was lost")
            }
            Found::Other { block, pass } => {
                write!(f, "it holds block {block} of pass {pass}, so a write or read went to the wrong place")
            }
            Found::Garbage { at, bytes, expected } => {
                write!(f, "from byte {at} on it holds {}, not {}", hex(bytes), hex(expected))
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASS: Pass = Pass { seed: 77, number: 3 };

    fn mismatches(pass: Pass, data: &[u8], first: u64, block_size: usize) -> Vec<String> {
        let mut found = Vec::new();
        pass.check(data, first, block_size, |m| found.push(m.to_string()));
        found
    }

    #[test]
    fn what_was_filled_verifies_at_every_block_size() {
        for block_size in [512, 520, 4096, 513, 16, 8] {
            let mut data = vec![0xaa; block_size * 4];
            PASS.fill(&mut data, 100, block_size);
            assert!(mismatches(PASS, &data, 100, block_size).is_empty(), "{block_size}");
        }
    }

    /// Every single bit counts.
    #[test]
    fn one_flipped_bit_is_found_and_named() {
        let mut data = vec![0; 1024];
        PASS.fill(&mut data, 41, 512);
        for at in 0..512 * 8 {
            data[512 + at / 8] ^= 1 << (at % 8);
            let found = mismatches(PASS, &data, 41, 512);
            assert_eq!(found.len(), 1, "bit {at}");
            assert!(found[0].starts_with("block 42 is not what pass 3 wrote"), "{}", found[0]);
            data[512 + at / 8] ^= 1 << (at % 8);
        }
    }

    #[test]
    fn the_message_tells_lost_writes_from_misdirected_ones_and_garbage() {
        let mut data = vec![0; 512];
        Pass { number: 2, ..PASS }.fill(&mut data, 9, 512);
        assert!(mismatches(PASS, &data, 9, 512)[0].contains("still holds pass 2, so a write was lost"));
        PASS.fill(&mut data, 10, 512);
        assert!(mismatches(PASS, &data, 9, 512)[0].contains("it holds block 10 of pass 3"));
        Pass { seed: 1, ..PASS }.fill(&mut data, 9, 512);
        assert!(mismatches(PASS, &data, 9, 512)[0].contains("from byte 12 on it holds"));
        data.fill(0);
        assert!(mismatches(PASS, &data, 9, 512)[0].contains("from byte 0 on it holds 00 00"));
    }
}
