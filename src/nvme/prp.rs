//! PRP entries: how a command says where its data is, page by page (Base 2.0 §4.1.1).
//!
//! Each command has a page for a list, of PRP entries or, in `sgl`, of SGL descriptors.

use super::done::Lost;
use super::spec::{Command, SglDescriptor};
use crate::sys::dma::DmaWords;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
    /// The controller takes SGLs.
    has_sgls: bool,
}

/// What a command points to its data and metadata with.
#[derive(Clone, Copy, Default)]
pub(super) struct Pointers {
    pub(super) prp: (u64, u64),
    /// Instead of PRP entries.
    pub(super) sgl: Option<SglDescriptor>,
    pub(super) metadata: u64,
}

impl Pointers {
    #[inline(always)]
    fn prp(first: u64, second: u64) -> Self {
        Self { prp: (first, second), sgl: None, metadata: 0 }
    }

    /// The command with them.
    #[inline(always)]
    pub(super) fn of(self, command: Command) -> Command {
        let command = command.with_metadata(self.metadata);
        match self.sgl {
            None => command.with_prp(self.prp.0, self.prp.1),
            Some(sgl) => command.with_sgl(sgl),
        }
    }
}

/// Where the device sees a buffer; none if it cannot.
pub(super) type Place = Option<Range<u64>>;

impl Lists {
    /// `memory` is seen by the device at `seen`. Admin commands have no SGLs (Base 2.0 §4.1.2).
    pub(super) fn new(memory: DmaWords, seen: u64, has_sgls: bool) -> Self {
        Self { memory, seen, has_sgls }
    }

    /// Bytes for the lists of so many commands. They cost memory from their first use on.
    pub(super) fn bytes(commands: u16) -> usize {
        usize::from(commands) * PAGE as usize
    }

    /// What the command of `slot` points to its data with, whose list goes to that slot's page.
    ///
    /// # Errors
    /// Why it cannot point there.
    #[inline(always)]
    pub(super) fn point(&self, slot: usize, place: Place) -> Result<Pointers, Lost> {
        let data = aligned(place)?;
        let second = (data.start & !(PAGE - 1)) + PAGE;
        if data.end <= second {
            return Ok(Pointers::prp(data.start, 0));
        }
        if data.end <= second + PAGE {
            return Ok(Pointers::prp(data.start, second));
        }
        self.point_to_all(slot, std::iter::once(Some(data)))
    }

    /// The same for data in several places, one behind the other. Without SGLs each but the first has to begin on a page, and each but
    /// the last to end on one.
    ///
    /// # Errors
    /// Why it cannot point there.
    pub(super) fn point_to_all(
        &self,
        slot: usize,
        places: impl Iterator<Item = Place>,
    ) -> Result<Pointers, Lost> {
        if self.has_sgls {
            return Ok(Pointers { sgl: Some(self.descriptor(slot, places)?), ..Pointers::default() });
        }
        let (prp1, prp2) = self.entries(slot, places)?;
        Ok(Pointers::prp(prp1, prp2))
    }

    fn entries(&self, slot: usize, places: impl Iterator<Item = Place>) -> Result<(u64, u64), Lost> {
        let (list, mut count) = (self.page(slot), 0);
        let (mut first, mut end) = (None, 0);
        for place in places {
            let data = aligned(place)?;
            let rest = match first {
                None => {
                    first = Some(data.start);
                    (data.start & !(PAGE - 1)) + PAGE..data.end
                }
                Some(_) if end % PAGE != 0 || data.start % PAGE != 0 => return Err(Lost::Scattered),
                Some(_) => data.clone(),
            };
            end = data.end;
            for page in rest.step_by(PAGE as usize) {
                list.get(count).ok_or(Lost::TooLong)?.store(page.to_le(), Relaxed);
                count += 1;
            }
        }
        let second = match count {
            0 => 0,
            1 => u64::from_le(list[0].load(Relaxed)),
            _ => self.seen_page(slot),
        };
        Ok((first.unwrap_or(0), second))
    }

    pub(super) fn page(&self, slot: usize) -> &[AtomicU64] {
        &self.memory.words()[slot * LIST_ENTRIES..][..LIST_ENTRIES]
    }

    pub(super) fn seen_page(&self, slot: usize) -> u64 {
        self.seen + slot as u64 * PAGE
    }
}

/// Where it is, if the device sees it, and can begin there.
#[inline(always)]
pub(super) fn aligned(place: Place) -> Result<Range<u64>, Lost> {
    let place = place.ok_or(Lost::Unseen)?;
    if (place.start | place.end) % 4 == 0 { Ok(place) } else { Err(Lost::Misaligned) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: u64 = 0x7000_0000;

    /// Reads the entries as a device does: the pages that they lead to, as far as `len` bytes go.
    fn follow(lists: &Lists, slot: usize, command: &Command, len: u64) -> Vec<Range<u64>> {
        let [prp1, prp2] = command.data();
        let mut left = len;
        let mut take = |at: u64| {
            let bytes = left.min(PAGE - at % PAGE);
            left -= bytes;
            (at..at + bytes, left)
        };
        let (first, left) = take(prp1);
        let mut found = vec![first];
        match left {
            0 => assert_eq!(prp2, 0),
            1..=PAGE => found.push(take(prp2).0),
            _ => {
                assert_eq!(prp2, LIST + slot as u64 * PAGE);
                let entries = lists.page(slot).iter().map(|entry| u64::from_le(entry.load(Relaxed)));
                found.extend(entries.take(left.div_ceil(PAGE) as usize).map(|at| take(at).0));
            }
        }
        assert!(found[1..].iter().all(|page| page.start % PAGE == 0));
        found
    }

    fn join(found: Vec<Range<u64>>) -> Vec<Range<u64>> {
        let mut joined: Vec<Range<u64>> = Vec::new();
        for one in found {
            match joined.last_mut() {
                Some(last) if last.end == one.start => last.end = one.end,
                _ => joined.push(one),
            }
        }
        joined
    }

    fn lists(has_sgls: bool) -> Lists {
        Lists::new(DmaWords::zeroed(Lists::bytes(3)).unwrap(), LIST, has_sgls)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_entries_lead_to_the_data(page in 1..1_u64 << 40, offset in 0..PAGE / 4, dwords in 1..BYTES_MAX / 4) {
            let lists = lists(false);
            let start = page * PAGE + offset * 4;
            let data = start..start + dwords * 4;
            let pointers = lists.point(2, Some(data.clone())).unwrap_or_else(|_| panic!());
            let command = pointers.of(Command::read(1, 0, 1));
            prop_assert_eq!(join(follow(&lists, 2, &command, dwords * 4)), [data]);
        }

        /// Buffers of pages, of which the first may begin and the last may end within one.
        #[test]
        fn the_entries_lead_to_all_buffers(
            buffers in prop::collection::vec((0..1000_u64, 1..60_u64), 1..9),
            before in 0..PAGE / 4,
            behind in 0..PAGE / 4,
        ) {
            let lists = lists(false);
            // Apart by more than any is long.
            let mut places: Vec<_> = (1..).zip(buffers).map(|(n, (page, pages))| {
                let start = ((n << 20) + page) * PAGE;
                start..start + pages * PAGE
            }).collect();
            places[0].start += before * 4;
            places.last_mut().unwrap().end -= behind * 4;
            prop_assume!(places.iter().all(|place| place.start < place.end));
            let len = places.iter().map(|place| place.end - place.start).sum();
            let all = places.iter().cloned().map(Some);
            let pointers = lists.point_to_all(1, all).unwrap_or_else(|_| panic!());
            let command = pointers.of(Command::read(1, 0, 1));
            prop_assert_eq!(join(follow(&lists, 1, &command, len)), places);
        }
    }

    #[test]
    fn what_no_entries_lead_to_is_refused() {
        let lists = lists(false);
        let point = |places: &[Range<u64>]| lists.point_to_all(0, places.iter().cloned().map(Some)).err();
        let page = |n: u64| n * PAGE..n * PAGE + PAGE;
        assert!(point(&[page(1), page(7)]).is_none());
        assert!(
            matches!(point(&[page(1), 4 * PAGE + 4..5 * PAGE]), Some(Lost::Scattered)),
            "begins within a page"
        );
        assert!(matches!(point(&[PAGE..PAGE + 512, page(7)]), Some(Lost::Scattered)), "ends within a page");
        assert!(matches!(point(std::slice::from_ref(&(2..PAGE))), Some(Lost::Misaligned)));
        assert!(point(std::slice::from_ref(&(PAGE..PAGE * 514))).is_none());
        assert!(matches!(point(std::slice::from_ref(&(PAGE..PAGE * 515))), Some(Lost::TooLong)));
        assert!(matches!(lists.point(0, None), Err(Lost::Unseen)));
    }

    #[test]
    fn pieces_of_any_length_are_described() {
        let lists = lists(true);
        let places: Vec<_> = (1..=256_u64).map(|n| n * 1_000_000..n * 1_000_000 + n * 4).collect();
        let point = |places: &[Range<u64>]| {
            let pointers = lists.point_to_all(1, places.iter().cloned().map(Some));
            pointers.map(|pointers| pointers.of(Command::read(1, 0, 1)))
        };
        let Ok(command) = point(&places) else { panic!("256 fit") };
        let segment = SglDescriptor::new(SglDescriptor::LAST_SEGMENT, LIST + PAGE, 4096);
        assert_eq!((command.flags().psdt(), command.sgl()), (1, Some(segment)));
        for (place, entry) in places.iter().zip(lists.page(1).chunks(2)) {
            let words = [entry[0].load(Relaxed), entry[1].load(Relaxed)];
            let it: SglDescriptor = zerocopy::transmute!(words);
            let found = it.address.get()..it.address.get() + u64::from(it.length.get());
            assert_eq!((it.kind, &found), (SglDescriptor::DATA_BLOCK, place));
        }
        let Ok(command) = point(&places[..1]) else { panic!("one fits") };
        assert_eq!(command.sgl(), Some(SglDescriptor::new(SglDescriptor::DATA_BLOCK, 1_000_000, 4)));
        let many: Vec<_> = (1..=257_u64).map(|n| n * PAGE..n * PAGE + 4).collect();
        assert!(matches!(point(&many), Err(Lost::TooLong)));
    }
}
