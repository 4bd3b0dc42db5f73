//! Where the next I/O goes, and whether it reads or writes.

use std::cell::Cell;
use std::ops::Range;

/// Places in order, shared by the tasks of a job, or at random.
#[derive(Debug)]
pub(super) enum Places {
    /// Round and round through a part of the device.
    InOrder { share: Range<u64>, next: Cell<u64> },
    /// Anywhere among the first `count` units.
    AtRandom { count: u64 },
}

impl Places {
    /// In order through `share`, which is not empty.
    pub(super) fn in_order(share: Range<u64>) -> Self {
        Self::InOrder { next: Cell::new(share.start), share }
    }

    /// The next I/O-sized unit of the device.
    #[inline]
    pub(super) fn next(&self, random: &mut Random) -> u64 {
        match self {
            Self::InOrder { share, next } => {
                let unit = next.get();
                next.set(if unit + 1 == share.end { share.start } else { unit + 1 });
                unit
            }
            Self::AtRandom { count } => random.below(*count),
        }
    }
}

/// The part of `units` that the `index`-th of `count` cores gets: all of them together cover everything once.
pub(super) fn share(units: u64, index: usize, count: usize) -> Range<u64> {
    let at = |index: usize| (u128::from(units) * index as u128 / count as u128) as u64;
    at(index)..at(index + 1)
}

/// A small generator (xorshift64*): a few cycles per number, and no state to share.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    #[inline]
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, each as likely as the others to within `end / 2^64`.
    #[inline]
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// True in `percent` of 100 cases.
    #[inline]
    pub(super) fn chance(&mut self, percent: u8) -> bool {
        self.below(100) < u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_device_once() {
        for units in [1, 2, 3, 100, 1 << 40] {
            for count in 1..=5 {
                let mut end = 0;
                for index in 0..count {
                    let share = share(units, index, count);
                    assert_eq!(share.start, end);
                    end = share.end;
                }
                assert_eq!(end, units);
            }
        }
    }

    #[test]
    fn places_in_order_go_round() {
        let places = Places::in_order(5..8);
        let mut random = Random::new(0);
        let seen: Vec<_> = (0..7).map(|_| places.next(&mut random)).collect();
        assert_eq!(seen, [5, 6, 7, 5, 6, 7, 5]);
    }

    #[test]
    fn random_places_reach_everything_and_nothing_else() {
        let places = Places::AtRandom { count: 10 };
        let mut random = Random::new(3);
        let mut hits = [0_u32; 10];
        (0..10_000).for_each(|_| hits[places.next(&mut random) as usize] += 1);
        assert!(hits.iter().all(|hits| (800..1_200).contains(hits)), "{hits:?}");
    }

    #[test]
    fn chances_come_as_often_as_they_say() {
        let mut random = Random::new(1);
        for (percent, expected) in [(0, 0..1), (30, 2_700..3_300), (100, 10_000..10_001)] {
            let hits = (0..10_000).filter(|_| random.chance(percent)).count();
            assert!(expected.contains(&hits), "{percent} %: {hits}");
        }
    }
}
