//! GUID partition tables (UEFI 2.10, chapter 5): what is on a disk, and each partition as a device.
//!
//! The table is read by the crate `gpt`, from a copy of the two ends of the disk, where tables lie. A table is believed only if its
//! checksums are right and its partitions lie on the disk and apart; where the first is damaged, the second stands in.
//!
//! [`Gpt`] makes devices of all partitions of a disk as it appears, a spec such as `gpt:1(file:disk.img)` (`kind`) of one alone.

mod kind;
mod module;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use gpt::{GptConfig, disk::LogicalBlockSize};
use uuid::Uuid;

use super::Part;
use crate::bdev::{Channel, Descriptor, Error, Result};
pub(super) use kind::KIND;
pub use module::Gpt;

/// What is read of each end of a disk: many times what tables take, 33 blocks.
const END_BYTES: u64 = 1 << 20;

/// Bytes of a table's entry: what everybody uses, and the crate takes.
const ENTRY_BYTES: u32 = 128;

/// A partition, as its table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// Its place in the table, from 1 on.
    pub number: u32,
    /// Its name, often none.
    pub name: String,
    /// What it is for.
    pub kind: Uuid,
    /// Its own identity.
    pub id: Uuid,
    /// Its blocks.
    pub blocks: Range<u64>,
}

impl Partition {
    /// The partition of `disk`, which has it, as a device.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the disk has become smaller.
    pub fn part(&self, disk: &Descriptor) -> Result<Part> {
        Part::new(disk.clone(), self.blocks.clone())
    }
}

/// Reads the partition table of `disk`, in order of its numbers.
///
/// ```
/// use reactor::bdev::{self, Access, Error, modules::gpt};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("ram:64M", Access::ReadWrite).await?;
/// match gpt::partitions(&disk).await {
///     Ok(partitions) => for found in partitions {
///         bdev::register(format!("disk0p{}", found.number), found.part(&disk)?)?;
///     },
///     Err(Error::NoPartitions { .. }) => println!("not partitioned"),
///     Err(e) => return Err(e),
/// }
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`Error::NoPartitions`] if there is no table, or none that can be believed, with the reason; what the disk says.
pub async fn partitions(disk: &Descriptor) -> Result<Vec<Partition>> {
    let geometry = disk.geometry();
    let none =
        |reason: String, is_damaged| Error::NoPartitions { name: disk.name().to_owned(), reason, is_damaged };
    let block = match geometry.block_size {
        512 => LogicalBlockSize::Lb512,
        4096 => LogicalBlockSize::Lb4096,
        other => {
            let reason = format!("tables are read on blocks of 512 and 4096 bytes, not of {other}");
            return Err(none(reason, false));
        }
    };
    let mut ends = Ends::read(&disk.channel()?, geometry.len_bytes()).await?;
    // By number: the crate believes the first header even where its table is damaged.
    let mut first = None;
    for is_first_hidden in [false, true] {
        ends.hidden = if is_first_hidden { u64::from(geometry.block_size) } else { 0 };
        match table(&mut ends, block, geometry.block_count) {
            Ok(table) => return Ok(table),
            Err(reason) => first = first.or(Some(reason)),
        }
    }
    ends.hidden = 0;
    Err(none(first.unwrap_or_default(), ends.has_header(block.into(), geometry.block_count)))
}

/// The table that the headers lead to, if it can be believed.
fn table(ends: &mut Ends, block: LogicalBlockSize, block_count: u64) -> Result<Vec<Partition>, String> {
    let size = u64::from(block);
    // The crate asserts this of headers that it has not checked yet.
    for header in [size, (block_count - 1) * size] {
        let is_header = ends.is_header(header);
        let entry = ends.copy::<4>(header + 84).map(u32::from_le_bytes);
        if is_header && entry != Some(ENTRY_BYTES) {
            return Err(format!("entries of {} bytes, not {ENTRY_BYTES}", entry.unwrap_or(0)));
        }
    }
    let table = GptConfig::new().writable(false).logical_block_size(block).open_from_device(&mut *ends);
    let table = table.map_err(|e| e.to_string())?;
    let header = table.header();
    let usable = header.first_usable..header.last_usable.saturating_add(1).min(block_count);
    let mut found: Vec<Partition> = Vec::new();
    for (number, entry) in table.partitions() {
        let blocks = entry.first_lba..entry.last_lba.saturating_add(1);
        if blocks.is_empty() || blocks.start < usable.start || blocks.end > usable.end {
            let Range { start, end } = blocks;
            return Err(format!(
                "partition {number} has blocks {start}..{end}, of {}..{} that can be used",
                usable.start, usable.end
            ));
        }
        if let Some(other) =
            found.iter().find(|other| other.blocks.start < blocks.end && blocks.start < other.blocks.end)
        {
            return Err(format!("partitions {} and {number} share blocks", other.number));
        }
        let name = entry.name.clone();
        let (kind, id) = (entry.part_type_guid.guid, entry.part_guid);
        found.push(Partition { number: *number, name, kind, id, blocks });
    }
    Ok(found)
}

/// The two ends of a disk, as a device of which the rest cannot be read.
struct Ends {
    head: Box<[u8]>,
    tail: Box<[u8]>,
    len: u64,
    at: u64,
    /// Where a block reads as zeroes.
    hidden: u64,
}

impl Ends {
    async fn read(channel: &Channel, len: u64) -> Result<Self> {
        let size = u64::from(channel.geometry().block_size);
        let end = END_BYTES.min(len) / size;
        let blocks = len / size;
        let copy = async |blocks| Ok::<Box<[u8]>, Error>(channel.read(blocks).await?.to_vec().into());
        let (head, tail) = (copy(0..end).await?, copy(blocks - end..blocks).await?);
        Ok(Self { head, tail, len, at: 0, hidden: 0 })
    }

    /// Whether a header of a table begins at byte `at`.
    fn is_header(&mut self, at: u64) -> bool {
        self.copy::<8>(at).is_some_and(|signature| &signature == b"EFI PART")
    }

    /// Whether somebody has had a table here, whatever became of it.
    fn has_header(&mut self, size: u64, block_count: u64) -> bool {
        self.is_header(size) || self.is_header((block_count - 1) * size)
    }

    fn copy<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.at = at;
        self.read_exact(&mut bytes).ok().map(|()| bytes)
    }
}

impl Read for Ends {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let tail_from = self.len - self.tail.len() as u64;
        let from = match self.at {
            at if at < self.head.len() as u64 => &self.head[at as usize..],
            at if at >= self.len => &[],
            at if at >= tail_from => &self.tail[(at - tail_from) as usize..],
            at => return Err(io::Error::other(format!("a table at byte {at}, far from both ends"))),
        };
        // Within one block at a time, so that one is hidden whole.
        let is_hidden = self.hidden != 0 && (self.hidden..self.hidden + 92).contains(&self.at);
        let n = from.len().min(to.len()).min(512 - (self.at % 512) as usize);
        to[..n].copy_from_slice(&from[..n]);
        if is_hidden {
            to[..n].fill(0);
        }
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Ends {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// What the crate asks of devices. Nothing is ever written.
impl Write for Ends {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends").field("len", &self.len).finish_non_exhaustive()
    }
}
