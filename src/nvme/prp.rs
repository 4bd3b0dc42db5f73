//! PRP entries: how a command says where its data is, page by page (Base 2.0 §4.1.1).

use crate::sys::dma::DmaWords;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of a page, as the driver configures controllers.
pub(super) const PAGE: u64 = 4096;
/// Entries that a page of a list has.
const LIST_ENTRIES: usize = PAGE as usize / 8;
/// The most bytes that one page of list can tell of, wherever they begin.
pub(super) const BYTES_MAX: u64 = LIST_ENTRIES as u64 * PAGE;

/// A page of list for each of so many commands.
pub(super) struct Lists {
    memory: DmaWords,
    seen: u64,
}

impl Lists {
    /// `memory` is seen by the device at `seen`.
    pub(super) fn new(memory: DmaWords, seen: u64) -> Self {
        Self { memory, seen }
    }

    /// Bytes for the lists of so many commands. They cost memory from their first use on.
    pub(super) fn bytes(commands: u16) -> usize {
        usize::from(commands) * PAGE as usize
    }

    /// The two entries of a command with this data, whose list goes to the page of its `slot`.
    ///
    /// # Panics
    /// If it is more than [`BYTES_MAX`].
    #[inline(always)]
    pub(super) fn entries(&self, slot: usize, data: Range<u64>) -> (u64, u64) {
        let second = (data.start & !(PAGE - 1)) + PAGE;
        if data.end <= second {
            return (data.start, 0);
        }
        if data.end <= second + PAGE {
            return (data.start, second);
        }
        (data.start, self.list(slot, second..data.end))
    }

    fn list(&self, slot: usize, rest: Range<u64>) -> u64 {
        let list = &self.memory.words()[slot * LIST_ENTRIES..][..LIST_ENTRIES];
        let pages = rest.step_by(PAGE as usize);
        assert!(pages.size_hint().0 <= LIST_ENTRIES, "a list of more than a page");
        // Relaxed: the write of the doorbell publishes them.
        list.iter().zip(pages).for_each(|(entry, page)| entry.store(page.to_le(), Relaxed));
        self.seen + slot as u64 * PAGE
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Reads the entries as a device does, and finds the data, byte for byte.
        #[test]
        fn the_entries_lead_to_the_data(page in 1..1_u64 << 40, offset in 0..PAGE / 4, dwords in 1..BYTES_MAX / 4) {
            let lists = Lists::new(DmaWords::zeroed(Lists::bytes(3)).unwrap(), 0x7000_0000);
            let start = page * PAGE + offset * 4;
            let data = start..start + dwords * 4;
            let (prp1, prp2) = lists.entries(2, data.clone());
            let mut at = prp1;
            let mut left = dwords * 4;
            let in_first = (PAGE - prp1 % PAGE).min(left);
            at += in_first;
            left -= in_first;
            let listed = left > PAGE;
            prop_assert_eq!(prp2 == 0, left == 0);
            for n in 0.. {
                if left == 0 {
                    break;
                }
                let next = if listed {
                    prop_assert_eq!(prp2, 0x7000_0000 + 2 * PAGE);
                    lists.memory.words()[2 * LIST_ENTRIES + n].load(Relaxed)
                } else {
                    prp2
                };
                prop_assert_eq!(next, at);
                prop_assert_eq!(next % PAGE, 0);
                at += left.min(PAGE);
                left -= left.min(PAGE);
            }
            prop_assert_eq!(at, data.end);
        }
    }
}
