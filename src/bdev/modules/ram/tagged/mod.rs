//! A RAM disk whose blocks have bytes beside their data: metadata, and protection information in it.
//!
//! Data and metadata lie apart, in whatever form they are read and written. A block is written and read as one: with its tags
//! beside it, a reader must not see half of a write. Eight blocks share a lock, which is held while they are copied and no longer.
//!
//! Protection information lies inverted, so that memory which nobody has written, or which was given back, says what it should say
//! of such blocks: that nothing of them is to be checked.

#[cfg(all(test, not(loom)))]
mod tests;

use std::cell::RefCell;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::Either;

use super::store::Store;
use super::{can, check_block_size, options, size, whole_blocks};
use crate::bdev::{
    Access, Bdev, Done, Error, Geometry, Io, Metadata, Op, Protection, Protector, Result, Submit,
};

/// What a lock is for: blocks next to each other.
const BLOCKS_OF_A_LOCK: u64 = 8;
const LOCKS: usize = 64;

/// Blocks that are zeroed before others have the core.
const ZEROES_BLOCKS: u32 = 2048;

/// A disk in memory with metadata beside each block, and protection information in it if the metadata says so.
///
/// What is written is checked before any of it is in memory, and what is read before it is handed over. A write without metadata has its
/// protection information made, with the rest of the metadata zeroed; where there is none, it leaves the metadata as it was.
/// Unmapped blocks read as zeroes that are not checked.
///
/// ```
/// use reactor::bdev::{self, Access, Metadata, Protection, ProtectionType, modules::TaggedRam};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let metadata = Metadata::separate(8).with_protection(Protection::new(ProtectionType::Type1));
/// let disk = bdev::open_private("ram", TaggedRam::new(1 << 20, 512, metadata)?, Access::ReadWrite)?;
/// let (channel, protector) = (disk.channel()?, disk.geometry().protector().unwrap());
/// let mut block = channel.alloc(512).await?;
/// block.fill(7);
/// channel.write(9, block).await?;
/// let (_data, metadata) = channel.read_with_metadata(9..10).await?;
/// assert_eq!(protector.tuple(&metadata).reference, 9);
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct TaggedRam {
    geometry: Geometry,
    memory: Arc<Memory>,
}

impl TaggedRam {
    /// A RAM disk for `bytes` of data, in blocks of `data_size` bytes of data, which are a power of two from 512 to 65536, with
    /// metadata of a multiple of 8 bytes.
    ///
    /// # Errors
    /// [`Error::BadGeometry`] if that cannot be; [`Error::Os`] if there is no address space for it.
    pub fn new(bytes: u64, data_size: u32, metadata: Metadata) -> Result<Self> {
        let blocks = whole_blocks(bytes, check_block_size(data_size)?)?;
        if metadata.bytes % 8 != 0 || metadata.bytes > data_size {
            let reason = format!(
                "{} bytes of metadata: give a multiple of 8, and no more than the {data_size} of data",
                metadata.bytes
            );
            return Err(Error::BadGeometry { reason });
        }
        let block_size = if metadata.interleaved { data_size + metadata.bytes } else { data_size };
        let geometry = Geometry::new(block_size, blocks)
            .with_max_write_zeroes_blocks(ZEROES_BLOCKS)
            .with_metadata(Some(metadata));
        geometry.validate()?;
        let memory = Memory {
            data: Store::zeroed(bytes)?,
            beside: Store::zeroed(blocks * u64::from(metadata.bytes))?,
            locks: [const { Mutex::new(()) }; LOCKS],
            data_size: data_size as usize,
            metadata,
            protector: geometry.protector(),
        };
        Ok(Self { geometry, memory: Arc::new(memory) })
    }
}

impl Bdev for TaggedRam {
    type Channel = TaggedRamChannel;

    fn module(&self) -> &'static str {
        "ram"
    }

    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn supports(&self, op: Op) -> bool {
        can(op)
    }

    /// None for checks that cannot be written down.
    fn spec(&self) -> Option<String> {
        let Memory { metadata, data_size, .. } = *self.memory;
        let said = |it: Protection| {
            let same = Protection::new(it.kind).with_first(it.is_first);
            if it.application_mask == 0 { same } else { same.with_application(it.application, u16::MAX) }
        };
        if metadata.protection.is_some_and(|protection| protection != said(protection)) {
            return None;
        }
        let bytes = self.geometry.block_count * data_size as u64;
        Some(format!("ram:{}{}", size(bytes), options(data_size as u32, Some(metadata))))
    }

    fn channel(&self, _access: Access) -> Result<TaggedRamChannel> {
        let scratch = RefCell::new(vec![0; self.memory.metadata.bytes as usize]);
        Ok(TaggedRamChannel { memory: self.memory.clone(), scratch })
    }
}

/// A core's share in the memory.
#[derive(Debug)]
pub struct TaggedRamChannel {
    memory: Arc<Memory>,
    /// The metadata of one block.
    scratch: RefCell<Vec<u8>>,
}

impl Submit for TaggedRamChannel {
    fn submit(&self, io: Io) -> impl Future<Output = Done> {
        match io.op() {
            Op::SeekData | Op::SeekHole => Either::Left(self.memory.data.seek(io, self.memory.data_size)),
            _ => Either::Right(self.at_once(io)),
        }
    }
}

impl TaggedRamChannel {
    async fn at_once(&self, mut io: Io) -> Done {
        let (lba, memory) = (io.lba(), &*self.memory);
        let result = match io.op() {
            Op::Read => {
                let mut beside = io.take_metadata_buf();
                let result = self.read(lba, &mut io.read_buf(), beside.as_deref_mut());
                beside.into_iter().for_each(|buf| io.put_metadata_buf(buf));
                result
            }
            Op::Write => {
                let beside = io.take_metadata();
                self.write(lba, &io.take_data(), beside.as_deref())
            }
            Op::WriteZeroes => {
                io.range().for_each(|lba| self.zero_one(lba));
                Ok(())
            }
            Op::Unmap => {
                memory.discard(lba as usize, io.blocks() as usize);
                Ok(())
            }
            Op::Flush | Op::Reset => Ok(()),
            _ => return io.unsupported(),
        };
        io.done(result)
    }

    fn read(&self, lba: u64, blocks: &mut [u8], beside: Option<&mut [u8]>) -> Result<()> {
        let memory = &*self.memory;
        let (size, bytes) = (memory.data_size, memory.metadata.bytes as usize);
        let read = |(lba, data, metadata): (u64, &mut [u8], &mut [u8])| memory.read(lba, data, metadata);
        match beside {
            _ if memory.metadata.interleaved => {
                (lba..).zip(blocks.chunks_exact_mut(size + bytes)).try_for_each(|(lba, block)| {
                    let (data, metadata) = block.split_at_mut(size);
                    read((lba, data, metadata))
                })
            }
            Some(beside) => {
                let blocks = blocks.chunks_exact_mut(size).zip(beside.chunks_exact_mut(bytes));
                (lba..).zip(blocks).try_for_each(|(lba, (data, metadata))| read((lba, data, metadata)))
            }
            None => {
                let metadata = &mut *self.scratch.borrow_mut();
                (lba..)
                    .zip(blocks.chunks_exact_mut(size))
                    .try_for_each(|(lba, data)| read((lba, data, metadata)))
            }
        }
    }

    fn write(&self, lba: u64, blocks: &[u8], beside: Option<&[u8]>) -> Result<()> {
        let memory = &*self.memory;
        let (size, bytes) = (memory.data_size, memory.metadata.bytes as usize);
        let scratch = &mut *self.scratch.borrow_mut();
        match beside {
            _ if memory.metadata.interleaved => {
                if let Some(protector) = &memory.protector {
                    protector.check(lba, blocks)?;
                }
                for (lba, block) in (lba..).zip(blocks.chunks_exact(size + bytes)) {
                    let (data, metadata) = block.split_at(size);
                    scratch.copy_from_slice(metadata);
                    memory.write(lba, data, Some(scratch));
                }
            }
            Some(beside) => {
                if let Some(protector) = &memory.protector {
                    protector.check_beside(lba, blocks, beside)?;
                }
                let blocks = blocks.chunks_exact(size).zip(beside.chunks_exact(bytes));
                for (lba, (data, metadata)) in (lba..).zip(blocks) {
                    scratch.copy_from_slice(metadata);
                    memory.write(lba, data, Some(scratch));
                }
            }
            None => {
                for (lba, data) in (lba..).zip(blocks.chunks_exact(size)) {
                    let made = memory.protector.as_ref().map(|protector| {
                        scratch.fill(0);
                        protector.generate_one(lba, data, scratch);
                        &mut scratch[..]
                    });
                    memory.write(lba, data, made);
                }
            }
        }
        Ok(())
    }

    fn zero_one(&self, lba: u64) {
        let (memory, metadata) = (&*self.memory, &mut *self.scratch.borrow_mut());
        metadata.fill(0);
        if let Some(protector) = &memory.protector {
            // The guard of zeroes is zero, however many there are.
            protector.generate_one(lba, &[], metadata);
            memory.invert(metadata);
        }
        let _whole = memory.lock(lba);
        memory.data.zero(memory.data_at(lba), memory.data_size);
        memory.beside.write(memory.beside_at(lba), metadata);
    }
}

/// What all cores share.
#[derive(Debug)]
struct Memory {
    data: Store,
    beside: Store,
    locks: [Mutex<()>; LOCKS],
    data_size: usize,
    metadata: Metadata,
    protector: Option<Protector>,
}

impl Memory {
    fn data_at(&self, lba: u64) -> usize {
        lba as usize * self.data_size
    }

    fn beside_at(&self, lba: u64) -> usize {
        lba as usize * self.metadata.bytes as usize
    }

    fn lock(&self, lba: u64) -> MutexGuard<'_, ()> {
        self.locks[(lba / BLOCKS_OF_A_LOCK) as usize % LOCKS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, lba: u64, data: &mut [u8], metadata: &mut [u8]) -> Result<()> {
        {
            let _whole = self.lock(lba);
            self.data.read(self.data_at(lba), data);
            self.beside.read(self.beside_at(lba), metadata);
        }
        let Some(protector) = &self.protector else { return Ok(()) };
        self.invert(metadata);
        protector.check_one(lba, data, metadata)
    }

    /// Writes a block, with `metadata` that need not stay as they are.
    fn write(&self, lba: u64, data: &[u8], mut metadata: Option<&mut [u8]>) {
        if let Some(metadata) = &mut metadata {
            self.invert(metadata);
        }
        let _whole = self.lock(lba);
        self.data.write(self.data_at(lba), data);
        if let Some(metadata) = metadata {
            self.beside.write(self.beside_at(lba), metadata);
        }
    }

    /// Between what a block's metadata says and how it lies in memory.
    fn invert(&self, metadata: &mut [u8]) {
        if let Some(protector) = &self.protector {
            metadata[protector.place()].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }

    /// Has `blocks` from `lba` on be as if never written.
    fn discard(&self, lba: usize, blocks: usize) {
        let bytes = self.metadata.bytes as usize;
        // In order; who has one of them waits for no other.
        let _whole: [_; LOCKS] = std::array::from_fn(|at| self.lock(at as u64 * BLOCKS_OF_A_LOCK));
        self.data.discard(lba * self.data_size, blocks * self.data_size);
        self.beside.discard(lba * bytes, blocks * bytes);
    }
}
