//! SGL descriptors: how a command says where its data is, piece by piece (Base 2.0 §4.1.2).
//!
//! One piece is described in the command itself, more in the page of the command's slot, which is their last segment.

use super::done::Lost;
use super::prp::{Lists, PAGE, Place, aligned};
use super::spec::SglDescriptor;
use std::sync::atomic::Ordering::Relaxed;

/// The most pieces of one command.
pub(super) const PIECES_MAX: usize = PAGE as usize / size_of::<SglDescriptor>();

impl Lists {
    /// The descriptor for the command of `slot`, whose data is in these places; or why there is none.
    pub(super) fn descriptor(
        &self,
        slot: usize,
        places: impl Iterator<Item = Place>,
    ) -> Result<SglDescriptor, Lost> {
        let mut entries = self.page(slot).chunks_exact(2);
        let (mut only, mut count) = (None, 0);
        for place in places {
            let data = aligned(place)?;
            let len = u32::try_from(data.end - data.start).map_err(|_| Lost::TooLong)?;
            let block = SglDescriptor::new(SglDescriptor::DATA_BLOCK, data.start, len);
            let words: [u64; 2] = zerocopy::transmute!(block);
            // Relaxed: the write of the doorbell publishes them.
            let entry = entries.next().ok_or(Lost::TooLong)?;
            entry.iter().zip(words).for_each(|(to, word)| to.store(word, Relaxed));
            count += 1;
            only = Some(block);
        }
        match only {
            Some(block) if count == 1 => Ok(block),
            _ => {
                let bytes = count * size_of::<SglDescriptor>() as u32;
                Ok(SglDescriptor::new(SglDescriptor::LAST_SEGMENT, self.seen_page(slot), bytes))
            }
        }
    }
}
