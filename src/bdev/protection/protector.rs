//! What makes and checks protection information: [`Protector`].

use std::ops::Range;

use crc_fast::{CrcAlgorithm::Crc16T10Dif, Digest, checksum};

use super::{Protection, ProtectionTuple, ProtectionType, TUPLE_BYTES, Tag};
use crate::bdev::{Error, Geometry, Result};

/// Makes and checks the protection information of a device's blocks: from [`Geometry::protector`].
///
/// ```
/// use reactor::bdev::{self, Access, Error, Tag};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("ram:1M,md=8,form=interleaved,pi=1", Access::ReadWrite).await?;
/// let (channel, protector) = (disk.channel()?, disk.geometry().protector().unwrap());
/// let mut blocks = channel.alloc(2 * 520).await?;
/// blocks.fill(7);
/// protector.generate(40, &mut blocks);
/// let blocks = blocks.freeze();
/// channel.write(40, blocks.clone()).await?;
/// // The same blocks somewhere else.
/// let e = channel.write(90, blocks).await.unwrap_err();
/// assert!(matches!(e, Error::Protection { lba: 90, tag: Tag::Reference, expected: 90, found: 40 }));
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Protector {
    protection: Protection,
    /// Bytes of data, and of metadata, in a block.
    data: usize,
    metadata: usize,
    is_interleaved: bool,
}

impl Geometry {
    /// What makes and checks the protection information of the blocks, if they have any.
    #[must_use]
    pub fn protector(&self) -> Option<Protector> {
        let metadata = self.metadata?;
        Some(Protector {
            protection: metadata.protection?,
            data: self.data_size() as usize,
            metadata: metadata.bytes as usize,
            is_interleaved: metadata.interleaved,
        })
    }
}

impl Protector {
    /// Fills in the protection information of interleaved `blocks`, which begin with block `lba`.
    ///
    /// # Panics
    /// If metadata is separate, or these are not whole blocks.
    pub fn generate(&self, lba: u64, blocks: &mut [u8]) {
        self.assert_blocks(blocks.len());
        for (block, lba) in blocks.chunks_exact_mut(self.data + self.metadata).zip(lba..) {
            let (data, metadata) = block.split_at_mut(self.data);
            self.generate_one(lba, data, metadata);
        }
    }

    /// Fills in the protection information in the separate `metadata` of `data`, which begin with block `lba`.
    ///
    /// # Panics
    /// If metadata is interleaved, or these are not whole blocks and their metadata.
    pub fn generate_beside(&self, lba: u64, data: &[u8], metadata: &mut [u8]) {
        self.assert_beside(data.len(), metadata.len());
        let blocks = data.chunks_exact(self.data).zip(metadata.chunks_exact_mut(self.metadata));
        blocks.zip(lba..).for_each(|((data, metadata), lba)| self.generate_one(lba, data, metadata));
    }

    /// Checks interleaved `blocks`, which begin with block `lba`.
    ///
    /// # Errors
    /// [`Error::Protection`] with the first block that is wrong.
    ///
    /// # Panics
    /// As [`generate`](Self::generate).
    pub fn check(&self, lba: u64, blocks: &[u8]) -> Result<()> {
        self.assert_blocks(blocks.len());
        let mut blocks = blocks.chunks_exact(self.data + self.metadata).zip(lba..);
        blocks.try_for_each(|(block, lba)| {
            let (data, metadata) = block.split_at(self.data);
            self.check_one(lba, data, metadata)
        })
    }

    /// Checks `data`, which begin with block `lba`, by their separate `metadata`.
    ///
    /// # Errors
    /// [`Error::Protection`] with the first block that is wrong.
    ///
    /// # Panics
    /// As [`generate_beside`](Self::generate_beside).
    pub fn check_beside(&self, lba: u64, data: &[u8], metadata: &[u8]) -> Result<()> {
        self.assert_beside(data.len(), metadata.len());
        let blocks = data.chunks_exact(self.data).zip(metadata.chunks_exact(self.metadata));
        blocks.zip(lba..).try_for_each(|((data, metadata), lba)| self.check_one(lba, data, metadata))
    }

    /// The protection information in the `metadata` of one block.
    ///
    /// # Panics
    /// If that is not the metadata of one block.
    #[must_use]
    pub fn tuple(&self, metadata: &[u8]) -> ProtectionTuple {
        ProtectionTuple::from_bytes(metadata[self.place()].try_into().expect("8 bytes"))
    }

    /// Puts `tuple` into the `metadata` of one block.
    ///
    /// # Panics
    /// If that is not the metadata of one block.
    pub fn put_tuple(&self, metadata: &mut [u8], tuple: ProtectionTuple) {
        metadata[self.place()].copy_from_slice(&tuple.to_bytes());
    }

    /// The guard of a block, of whose metadata only what stands before the protection information counts.
    #[must_use]
    pub fn guard(&self, data: &[u8], metadata: &[u8]) -> u16 {
        let before = &metadata[..self.place().start];
        if before.is_empty() {
            return checksum(Crc16T10Dif, data) as u16;
        }
        let mut digest = Digest::new(Crc16T10Dif);
        digest.update(data);
        digest.update(before);
        digest.finalize() as u16
    }

    /// Fills in the protection information of one block.
    pub(in crate::bdev) fn generate_one(&self, lba: u64, data: &[u8], metadata: &mut [u8]) {
        let Protection { kind, application, .. } = self.protection;
        let reference = if kind == ProtectionType::Type3 { 0 } else { lba as u32 };
        let guard = self.guard(data, metadata);
        self.put_tuple(metadata, ProtectionTuple { guard, application, reference });
    }

    /// Checks one block.
    pub(in crate::bdev) fn check_one(&self, lba: u64, data: &[u8], metadata: &[u8]) -> Result<()> {
        let Protection { checks_guard, checks_reference, application, application_mask, .. } =
            self.protection;
        let tuple = self.tuple(metadata);
        if self.escapes(tuple) {
            return Ok(());
        }
        let hold = |tag, expected: u64, found: u64| match expected == found {
            true => Ok(()),
            false => Err(Error::Protection { lba, tag, expected, found }),
        };
        if checks_guard {
            hold(Tag::Guard, self.guard(data, metadata).into(), tuple.guard.into())?;
        }
        let mask = application_mask;
        hold(Tag::Application, (application & mask).into(), (tuple.application & mask).into())?;
        if checks_reference {
            hold(Tag::Reference, (lba as u32).into(), tuple.reference.into())?;
        }
        Ok(())
    }

    fn escapes(&self, tuple: ProtectionTuple) -> bool {
        let is_third = self.protection.kind == ProtectionType::Type3;
        tuple.application == super::ESCAPE && (!is_third || tuple.reference == u32::MAX)
    }

    /// Has blocks that are right as those from `from` on be right as those from `to` on, given their interleaved blocks or their
    /// separate metadata. What is wrong stays so by as much.
    pub(in crate::bdev) fn remap(&self, from: u64, to: u64, bytes: &mut [u8]) {
        if !self.names_blocks() {
            return;
        }
        let (skip, stride) =
            if self.is_interleaved { (self.data, self.data + self.metadata) } else { (0, self.metadata) };
        for block in bytes.chunks_exact_mut(stride) {
            let metadata = &mut block[skip..];
            let mut tuple = self.tuple(metadata);
            if !self.escapes(tuple) {
                tuple.reference = tuple.reference.wrapping_add((to as u32).wrapping_sub(from as u32));
                self.put_tuple(metadata, tuple);
            }
        }
    }

    /// Whether a wrong `tag` is found.
    #[must_use]
    pub fn checks(&self, tag: Tag) -> bool {
        match tag {
            Tag::Guard => self.protection.checks_guard,
            Tag::Application => self.protection.application_mask != 0,
            Tag::Reference => self.protection.checks_reference,
        }
    }

    /// Whether a block's tags say which block of the device it is.
    pub(in crate::bdev) fn names_blocks(&self) -> bool {
        self.protection.names_blocks()
    }

    /// True if it is in the blocks' own buffer.
    pub(in crate::bdev) fn is_interleaved(&self) -> bool {
        self.is_interleaved
    }

    /// Where in a block's metadata it is.
    pub(in crate::bdev) fn place(&self) -> Range<usize> {
        let start = if self.protection.is_first { 0 } else { self.metadata - TUPLE_BYTES };
        start..start + TUPLE_BYTES
    }

    fn assert_blocks(&self, len: usize) {
        let block = self.data + self.metadata;
        assert!(self.is_interleaved && len % block == 0, "{len} bytes are no blocks of {block}: {self:?}");
    }

    fn assert_beside(&self, data: usize, metadata: usize) {
        let is_whole = data % self.data == 0 && data / self.data * self.metadata == metadata;
        assert!(!self.is_interleaved && is_whole, "{metadata} bytes of metadata for {data}: {self:?}");
    }
}
