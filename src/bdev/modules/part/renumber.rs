//! Reference tags of a part: they count from its start above, and from the start of the device below there.
//!
//! SPDK remaps them likewise (`spdk_dif_remap_ref_tag`).

use crate::bdev::{Channel, Done, Error, Geometry, Io, Op, Protector, Result, Tag};
use crate::sys::dma::{DmaBytes, DmaPool};

/// Bytes of blocks that pass at a time where their tags are changed, and of the copies that one core has of them.
const COPY_BYTES: usize = 128 << 10;
const COPIES_BYTES: usize = 1 << 20;

/// What changes tags between this device's numbers and those of the one below.
#[derive(Debug)]
pub(super) struct Renumber {
    protector: Protector,
    /// Apart from the pool that callers draw from: a write that waits for its copy never waits for other writes' data.
    copies: DmaPool,
    /// The part's first block below.
    start: u64,
}

/// What makes tags that name blocks, where there are any.
fn naming(geometry: &Geometry) -> Option<Protector> {
    geometry.protector().filter(Protector::names_blocks)
}

impl Renumber {
    /// Whether blocks of that shape have tags that say which they are.
    pub(super) fn is_wanted(geometry: &Geometry) -> bool {
        naming(geometry).is_some()
    }

    /// For a part of a device of that shape that begins at its block `start`.
    pub(super) fn new(geometry: &Geometry, start: u64) -> Option<Self> {
        let protector = naming(geometry)?;
        let room = COPIES_BYTES.max(8 * geometry.block_size as usize);
        Some(Self { protector, copies: DmaPool::with_limit(room), start })
    }

    /// The shape with no larger I/O than passes at a time.
    pub(super) fn narrow(geometry: Geometry) -> Geometry {
        let most = (COPY_BYTES as u32 / geometry.block_size).max(1);
        let max = geometry.max_io_blocks;
        geometry.with_max_segments(1).with_max_io_blocks(if max == 0 { most } else { max.min(most) })
    }

    /// Has `base` carry out a read or write whose blocks are its own already: tags count from its start on their way down, and from the
    /// part's on their way up.
    pub(super) async fn submit(&self, mut io: Io, base: &Channel) -> Done {
        let mut brought = None;
        if io.op() == Op::Write {
            brought = match self.renumber_write(&mut io).await {
                Ok(brought) => brought,
                Err(e) => return io.done(Err(e)),
            };
        }
        let (result, mut io) = base.submit(io).await.into_io();
        // Who tries again tries with what he gave.
        match brought {
            Some(data) if self.protector.is_interleaved() => io.put_data(data),
            Some(metadata) => io.put_metadata(metadata),
            None => {}
        }
        if io.op() == Op::Read && result.is_ok() {
            let protector = &self.protector;
            if protector.is_interleaved() {
                protector.remap(self.start, 0, &mut io.read_buf());
            } else if let Some(mut beside) = io.take_metadata_buf() {
                protector.remap(self.start, 0, &mut beside);
                io.put_metadata_buf(beside);
            }
        }
        let own = |number: u64| u64::from((number as u32).wrapping_sub(self.start as u32));
        io.done(result.map_err(|e| match e {
            Error::Protection { lba, tag: Tag::Reference, expected, found } => Error::Protection {
                lba: lba.saturating_sub(self.start),
                tag: Tag::Reference,
                expected: own(expected),
                found: own(found),
            },
            Error::Protection { lba, tag, expected, found } => {
                Error::Protection { lba: lba.saturating_sub(self.start), tag, expected, found }
            }
            other => other,
        }))
    }

    /// What a write brings is the caller's, who may have kept a clone: tags are changed in a copy.
    async fn renumber_write(&self, io: &mut Io) -> Result<Option<DmaBytes>> {
        let Self { protector, copies, .. } = self;
        let brought = if protector.is_interleaved() { Some(io.take_data()) } else { io.take_metadata() };
        // Without metadata the device below makes it.
        let Some(brought) = brought else { return Ok(None) };
        let mut copy = copies.alloc(brought.len()).await?;
        copy.copy_from_slice(&brought);
        protector.remap(0, self.start, &mut copy);
        if protector.is_interleaved() {
            io.put_data(copy.freeze());
        } else {
            io.put_metadata(copy.freeze());
        }
        Ok(Some(brought))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::Part;
    use super::*;
    use crate::LocalExecutor;
    use crate::bdev::{Access, open, open_private};

    /// Above and below, each by its own numbers; the caller's data stay as they are.
    #[test]
    fn reference_tags_count_from_the_start_of_the_part() {
        LocalExecutor::new().unwrap().block_on(async {
            for form in ["interleaved", "separate"] {
                let base = open(&format!("ram:5M,md=8,pi=1,form={form}"), Access::ReadWrite).await.unwrap();
                let part = Part::new(base.clone(), 100..200).unwrap();
                let disk = open_private("part", part, Access::ReadWrite).unwrap();
                let (channel, below) = (disk.channel().unwrap(), base.channel().unwrap());
                let protector = disk.geometry().protector().unwrap();
                let size = disk.geometry().block_size as usize;
                let made = |lba| {
                    let mut data = channel.try_alloc(2 * size).unwrap();
                    data.fill(7);
                    let mut beside = channel.try_alloc(16).unwrap();
                    match form {
                        "interleaved" => protector.generate(lba, &mut data),
                        _ => protector.generate_beside(lba, &data, &mut beside),
                    }
                    (data.freeze(), beside.freeze())
                };
                let write = async |lba, (data, beside): (DmaBytes, DmaBytes)| match form {
                    "interleaved" => channel.write(lba, data).await,
                    _ => channel.write_with_metadata(lba, data, beside).await,
                };
                let read = async |channel: &Channel, lba: u64| match form {
                    "interleaved" => channel.read(lba..lba + 1).await.unwrap()[512..].to_vec(),
                    _ => channel.read_with_metadata(lba..lba + 1).await.unwrap().1.to_vec(),
                };
                let (data, beside) = made(5);
                let kept = (data.to_vec(), beside.to_vec());
                write(5, (data.clone(), beside.clone())).await.unwrap();
                assert!((data.to_vec(), beside.to_vec()) == kept, "the caller's own was changed");
                for lba in [5, 6] {
                    assert_eq!(protector.tuple(&read(&channel, lba).await).reference, lba as u32);
                    assert_eq!(protector.tuple(&read(&below, lba + 100).await).reference, lba as u32 + 100);
                }
                let e = write(8, (data, beside)).await.unwrap_err();
                let is_named =
                    matches!(e, Error::Protection { lba: 8, tag: Tag::Reference, expected: 8, found: 5 });
                assert!(is_named, "{form}: {e}");
                // Those that escape their checks do so below as well.
                assert_eq!(read(&channel, 50).await, [0xff; 8]);
            }
        });
    }
}
