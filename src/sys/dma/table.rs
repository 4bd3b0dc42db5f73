//! A pool's chunks by number. Places are used again, numbers are not: whoever knows a chunk by its number does not take
//! another for it.

use super::supply::Chunk;

/// Names one chunk among all that a pool ever has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChunkNumber {
    /// The place in the table.
    place: u32,
    /// Counts the chunks that have had the place.
    round: u32,
}

impl ChunkNumber {
    /// No chunk's.
    pub(crate) const NONE: Self = Self { place: u32::MAX, round: u32::MAX };

    /// The place in the table, that no other chunk has at the same time. Low ones are used first.
    #[inline(always)]
    pub(crate) fn place(self) -> u32 {
        self.place
    }
}

#[derive(Default)]
pub(super) struct Table {
    places: Vec<Place>,
    vacant: Vec<u32>,
}

#[derive(Default)]
struct Place {
    round: u32,
    chunk: Option<Chunk>,
}

impl Table {
    /// The number that the next chunk has.
    pub(super) fn next_number(&self) -> ChunkNumber {
        match self.vacant.last() {
            Some(&place) => ChunkNumber { place, round: self.places[place as usize].round },
            None => ChunkNumber { place: self.places.len() as u32, round: 0 },
        }
    }

    /// Puts a chunk where [`next_number`](Self::next_number) said.
    pub(super) fn insert(&mut self, number: ChunkNumber, chunk: Chunk) {
        debug_assert_eq!(number, self.next_number());
        if self.vacant.pop().is_none() {
            self.places.push(Place::default());
        }
        self.places[number.place as usize].chunk = Some(chunk);
    }

    #[inline]
    pub(super) fn get(&self, number: ChunkNumber) -> Option<&Chunk> {
        let place = self.places.get(number.place as usize)?;
        place.chunk.as_ref().filter(|_| place.round == number.round)
    }

    /// The chunk of a slot, which is there as long as the slot is.
    #[inline]
    pub(super) fn of_slot(&self, number: ChunkNumber) -> &Chunk {
        self.get(number).expect("a slot's chunk is in the table")
    }

    pub(super) fn remove(&mut self, number: ChunkNumber) -> Option<Chunk> {
        let place = self.places.get_mut(number.place as usize).filter(|place| place.round == number.round)?;
        let chunk = place.chunk.take()?;
        // After 2³² chunks in one place the numbers would begin again: the place is left empty then.
        if let Some(round) = place.round.checked_add(1) {
            place.round = round;
            self.vacant.push(number.place);
        }
        Some(chunk)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ChunkNumber, &Chunk)> {
        let numbered = |(place, at): (u32, &Place)| ChunkNumber { place, round: at.round };
        (0..).zip(&self.places).filter_map(move |at| Some((numbered(at), at.1.chunk.as_ref()?)))
    }
}
