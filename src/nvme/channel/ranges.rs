//! What is done to blocks without their data passing by: zeroed, verified, deallocated, copied.

use super::super::spec::{Command, CopyRange, DatasetAttributes, DatasetRange, IoOpcode, IoSupport};
use super::super::{Error, Payload, Queue};
use super::run::{WINDOW, run};
use super::{Channel, IoOptions};
use crate::sys::dma::{DmaBytes, DmaPool};
use std::ops::Range;
use zerocopy::{Immutable, IntoBytes};

impl<Q: Queue> Channel<Q> {
    /// Has `blocks` read as zeroes, without a transfer.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]; [`Error::Unsupported`]; what the controller answers; [`Error::Closed`].
    pub async fn write_zeroes(&self, blocks: Range<u64>) -> Result<(), Error> {
        self.write_zeroes_with(blocks, IoOptions::new()).await
    }

    /// The same with options, such as [deallocating](IoOptions::deallocating).
    ///
    /// # Errors
    /// As [`write_zeroes`](Self::write_zeroes).
    pub async fn write_zeroes_with(&self, blocks: Range<u64>, options: IoOptions) -> Result<(), Error> {
        self.has(IoSupport::write_zeroes, "it has no Write Zeroes (ONCS)")?;
        let max = self.namespace.limits().write_zeroes_blocks;
        self.over(IoOpcode::WRITE_ZEROES, blocks, max, options).await
    }

    /// Has the controller read `blocks`, and check their protection information as the options say, without a transfer.
    ///
    /// # Errors
    /// As [`write_zeroes`](Self::write_zeroes); [`Error::Status`] for what cannot be read.
    pub async fn verify(&self, blocks: Range<u64>, options: IoOptions) -> Result<(), Error> {
        self.has(IoSupport::verify, "it has no Verify (ONCS)")?;
        let max = self.namespace.limits().verify_blocks;
        self.over(IoOpcode::VERIFY, blocks, max, options).await
    }

    /// Has reads of `blocks` fail until they are written again.
    ///
    /// # Errors
    /// As [`write_zeroes`](Self::write_zeroes).
    pub async fn write_uncorrectable(&self, blocks: Range<u64>) -> Result<(), Error> {
        self.has(IoSupport::write_uncorrectable, "it has no Write Uncorrectable (ONCS)")?;
        let max = self.namespace.limits().uncorrectable_blocks;
        self.over(IoOpcode::WRITE_UNCORRECTABLE, blocks, max, IoOptions::new()).await
    }

    /// Tells that nobody needs what is in `blocks`; what they read as is up to the namespace.
    ///
    /// # Errors
    /// As [`dataset_management`](Self::dataset_management).
    pub async fn deallocate(&self, blocks: Range<u64>) -> Result<(), Error> {
        let attributes = DatasetAttributes::default().with_deallocates(true);
        self.dataset_management(std::slice::from_ref(&blocks), attributes).await
    }

    /// Tells something of ranges of blocks, as many as there are: that they will be read, or written, or needed no more.
    ///
    /// # Errors
    /// As [`write_zeroes`](Self::write_zeroes), and [`Error::Buffer`].
    pub async fn dataset_management(
        &self,
        ranges: &[Range<u64>],
        attributes: DatasetAttributes,
    ) -> Result<(), Error> {
        self.has(IoSupport::dataset_management, "it has no Dataset Management (ONCS)")?;
        let limits = self.namespace.limits();
        let most = Most {
            ranges: limits.dataset_ranges,
            range_blocks: limits.dataset_range_blocks,
            blocks: limits.dataset_blocks,
        };
        let groups = self.group(ranges, most)?;
        self.listed(
            &groups,
            |range| DatasetRange::new(range.start, (range.end - range.start) as u32),
            |group| Command::dataset_management(self.namespace.id(), group.len() as u32, attributes),
        )
        .await
    }

    /// Copies the blocks of `ranges`, one after the other, to `lba` and on, within the namespace.
    ///
    /// # Errors
    /// As [`write_zeroes`](Self::write_zeroes), and [`Error::Buffer`]; [`Error::Overlap`] if a block were read that is written.
    pub async fn copy(&self, ranges: &[Range<u64>], lba: u64) -> Result<(), Error> {
        self.has(IoSupport::copy, "it has no Copy (ONCS)")?;
        let limits = self.namespace.limits();
        let most = Most {
            ranges: limits.copy_ranges,
            range_blocks: limits.copy_range_blocks,
            blocks: limits.copy_blocks,
        };
        let groups = self.group(ranges, most)?;
        let total = ranges.iter().try_fold(0_u64, |sum, range| sum.checked_add(range.end - range.start));
        let blocks = total.unwrap_or(u64::MAX);
        self.check(lba, blocks)?;
        if ranges.iter().any(|range| range.start < lba + blocks && lba < range.end) {
            return Err(Error::Overlap);
        }
        let mut to = lba;
        self.listed(
            &groups,
            |range| CopyRange::new(range.start, (range.end - range.start) as u32),
            |group| {
                let command = Command::copy(self.namespace.id(), to, group.len() as u32);
                to += blocks_of(group);
                command
            },
        )
        .await
    }

    fn has(&self, it: fn(IoSupport) -> bool, missing: &'static str) -> Result<(), Error> {
        if it(self.namespace.commands()) { Ok(()) } else { Err(Error::Unsupported(missing)) }
    }

    /// Commands over `blocks`, up to `max` each.
    async fn over(
        &self,
        opcode: IoOpcode,
        blocks: Range<u64>,
        max: u64,
        options: IoOptions,
    ) -> Result<(), Error> {
        self.check(blocks.start, blocks.end.saturating_sub(blocks.start))?;
        let format = self.namespace.format();
        options.check(&format)?;
        let (mut next, zone) = (blocks.start, self.namespace.zones().map_or(u64::MAX, |zones| zones.blocks));
        let commands = std::iter::from_fn(|| {
            if self.namespace.is_gone() && next < blocks.end {
                return Some(Err(Error::NamespaceGone));
            }
            let count = max.min(blocks.end - next).min(zone - next % zone);
            let command = Command::of_blocks(opcode, self.namespace.id(), next, count.max(1) as u32);
            let command = options.apply(command, next - blocks.start, &format);
            next += count;
            (count > 0).then_some(Ok((command, Payload::None, ())))
        });
        run(&self.queue, self.window(WINDOW), commands, |_, ()| {}).await
    }

    /// Commands whose data is a list of ranges, one for each group.
    async fn listed<T: IntoBytes + Immutable>(
        &self,
        groups: &[Vec<Range<u64>>],
        entry: impl Fn(&Range<u64>) -> T,
        mut command: impl FnMut(&[Range<u64>]) -> Command,
    ) -> Result<(), Error> {
        for some in groups.chunks(LISTS) {
            let mut lists = Vec::with_capacity(some.len());
            for group in some {
                lists.push(list(group.iter().map(&entry)).await?);
            }
            if self.namespace.is_gone() {
                return Err(Error::NamespaceGone);
            }
            let commands = some.iter().zip(lists).map(|(group, list)| Ok((command(group), list.into(), ())));
            run(&self.queue, self.window(LISTS), commands, |_, ()| {}).await?;
        }
        Ok(())
    }

    /// The ranges in groups that one command takes each, cut where one is too long.
    fn group(&self, ranges: &[Range<u64>], most: Most) -> Result<Vec<Vec<Range<u64>>>, Error> {
        let mut groups = Vec::new();
        let (mut group, mut room) = (Vec::new(), most.blocks);
        for range in ranges {
            self.check(range.start, range.end.saturating_sub(range.start))?;
            let mut next = range.start;
            while next < range.end {
                if group.len() == most.ranges || room == 0 {
                    groups.push(std::mem::take(&mut group));
                    room = most.blocks;
                }
                let count = (range.end - next).min(most.range_blocks).min(room);
                group.push(next..next + count);
                next += count;
                room -= count;
            }
        }
        if !group.is_empty() {
            groups.push(group);
        }
        Ok(groups)
    }
}

/// What one command takes.
struct Most {
    ranges: usize,
    range_blocks: u64,
    blocks: u64,
}

/// Commands with lists on their way at a time. Each may be the whole medium.
const LISTS: usize = 8;

fn blocks_of(group: &[Range<u64>]) -> u64 {
    group.iter().map(|range| range.end - range.start).sum()
}

/// A buffer of these entries.
async fn list<T: IntoBytes + Immutable>(
    entries: impl ExactSizeIterator<Item = T>,
) -> Result<DmaBytes, Error> {
    let mut buf = DmaPool::local().alloc(entries.len() * size_of::<T>()).await?;
    for (to, entry) in buf.chunks_exact_mut(size_of::<T>()).zip(entries) {
        to.copy_from_slice(entry.as_bytes());
    }
    Ok(buf.freeze())
}
