//! The arena against a model: what is in use does not overlap, keeps its content, and is found again.

use super::*;
use proptest::prelude::*;
use std::{collections::BTreeMap, slice};

#[repr(align(64))]
struct Aligned64 {
    _bytes: [u8; 40],
}
#[repr(align(128))]
struct Aligned128 {
    _bytes: [u8; 300],
}
#[repr(align(4096))]
struct Aligned4096 {
    _bytes: [u8; 1],
}

struct Sort {
    block: Block,
    size: usize,
    align: usize,
}

const fn sort<T>() -> Sort {
    Sort { block: Block::of::<T>(), size: size_of::<T>(), align: align_of::<T>() }
}

/// Small, coarse, with a chunk of their own, and aligned to more than a header.
const SORTS: [Sort; 12] = [
    sort::<[u64; 7]>(),
    sort::<[u64; 9]>(),
    sort::<[u128; 5]>(),
    sort::<[u64; 128]>(),
    sort::<[u64; 129]>(),
    sort::<[u64; 500]>(),
    sort::<[u64; 1008]>(),
    sort::<[u64; 1009]>(),
    sort::<[u64; 20_000]>(),
    sort::<Aligned64>(),
    sort::<Aligned128>(),
    sort::<Aligned4096>(),
];

/// The arena, and what is in use: by address the sort and the byte that fills it.
struct Checked {
    arena: Arena,
    in_use: BTreeMap<usize, (NonNull<u8>, usize, u8)>,
    count: usize,
}

#[expect(unsafe_code, reason = "the model fills blocks and looks at them")]
impl Checked {
    fn new() -> Self {
        Self { arena: Arena::new(), in_use: BTreeMap::new(), count: 0 }
    }

    fn alloc(&mut self, sort: usize) {
        let Sort { block, size, align } = SORTS[sort];
        let memory = self.arena.alloc(NonNull::dangling(), block);
        let address = memory.addr().get();
        assert_eq!(address % align, 0);
        if let Some((before, (_, sort, _))) = self.in_use.range(..=address).next_back() {
            assert!(before + SORTS[*sort].size <= address);
        }
        if let Some((after, _)) = self.in_use.range(address..).next() {
            assert!(address + size <= *after);
        }
        self.count += 1;
        let fill = self.count as u8 | 1;
        // SAFETY: fresh memory of that size; filled, it does not begin with null.
        unsafe { memory.write_bytes(fill, size) };
        self.in_use.insert(address, (memory, sort, fill));
    }

    fn free(&mut self, index: usize) {
        let Some(address) = self.in_use.keys().nth(index % self.in_use.len().max(1)).copied() else { return };
        let (memory, sort, fill) = self.in_use.remove(&address).unwrap();
        // SAFETY: in use until the next line.
        let content = unsafe { slice::from_raw_parts(memory.as_ptr(), SORTS[sort].size) };
        assert!(content.iter().all(|byte| *byte == fill));
        // SAFETY: from `alloc`, and gone from the model.
        unsafe { self.arena.free(memory.cast()) };
    }

    fn check(&self) {
        let mut found = Vec::new();
        self.arena.for_each(|task| found.push(task.addr().get()));
        found.sort_unstable();
        assert!(found.iter().eq(self.in_use.keys()));
        assert_eq!(self.arena.len(), found.len());
    }

    fn chunks(&self) -> usize {
        let mut chunks = self.arena.reserve_len.get();
        self.arena.for_each_chunk(|_, _| chunks += 1);
        chunks
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_in_use_is_kept_apart_and_found_again(
        steps in prop::collection::vec((0..SORTS.len(), 0..40_usize, 0..40_usize, any::<usize>()), 1..60),
    ) {
        let mut checked = Checked::new();
        for (sort, allocs, frees, at) in steps {
            (0..allocs).for_each(|_| checked.alloc(sort));
            (0..frees).for_each(|n| checked.free(at.wrapping_add(n * n)));
            checked.check();
        }
        while !checked.in_use.is_empty() {
            checked.free(0);
        }
        checked.check();
        prop_assert!(checked.chunks() <= RESERVE_MAX + SORTS.len());
    }
}

/// Many chunks of one class, freed oldest first, newest first and from both ends.
#[test]
fn a_burst_leaves_the_reserve_and_the_front() {
    const BURST: usize = 200_000;
    let orders: [fn(usize) -> usize; 3] =
        [|n| n, |n| BURST - 1 - n, |n| if n % 2 == 0 { n / 2 } else { BURST - 1 - n / 2 }];
    for order in orders {
        let arena = Arena::new();
        let blocks: Vec<_> = (0..BURST).map(|_| filled(&arena)).collect();
        assert_eq!(arena.len(), BURST);
        for n in 0..BURST {
            release(&arena, blocks[order(n)]);
        }
        assert_eq!((arena.len(), arena.reserve_len.get()), (0, RESERVE_MAX));
        arena.trim();
        let mut chunks = 0;
        arena.for_each_chunk(|_, _| chunks += 1);
        assert_eq!((chunks, arena.reserve_len.get()), (1, RESERVE_ASLEEP_MAX), "the front and a little");
    }
}

/// One task more and one less, again and again, where a chunk is just full: the same two chunks serve.
#[test]
fn the_boundary_of_a_chunk_is_crossed_without_the_allocator() {
    let arena = Arena::new();
    let mut blocks = vec![filled(&arena)];
    let mut chunks = Vec::new();
    let seen = |chunks: &mut Vec<_>| arena.for_each_chunk(|chunk, _| chunks.push(chunk));
    while {
        chunks.clear();
        seen(&mut chunks);
        chunks.len() < 2
    } {
        blocks.push(filled(&arena));
    }
    for _ in 0..1000 {
        release(&arena, blocks.pop().unwrap());
        release(&arena, blocks.pop().unwrap());
        blocks.push(filled(&arena));
        blocks.push(filled(&arena));
        let mut now = Vec::new();
        seen(&mut now);
        assert!(now.iter().all(|chunk| chunks.contains(chunk)));
    }
    blocks.into_iter().for_each(|block| release(&arena, block));
}

#[expect(unsafe_code, reason = "stands for a task: a block that does not begin with null")]
fn filled(arena: &Arena) -> NonNull<u8> {
    let block = arena.alloc(NonNull::dangling(), SORTS[0].block);
    // SAFETY: fresh memory of that size.
    unsafe { block.write_bytes(1, SORTS[0].size) };
    block
}

#[expect(unsafe_code, reason = "gives back what `filled` took")]
fn release(arena: &Arena, block: NonNull<u8>) {
    // SAFETY: the caller's, not used any more.
    unsafe { arena.free(block.cast()) };
}
