//! Metadata of either form stays with its block; protection information is made, checked, moved and given up with it.

use super::{expect, patterned};
use crate::bdev::{Channel, Error, Metadata, Op, ProtectionTuple, Protector, Result, Tag};
use crate::sys::dma::{DmaBuf, DmaBytes};

pub(super) async fn check(channel: &Channel) {
    match channel.geometry().metadata {
        Some(Metadata { bytes, interleaved: false, .. }) => stays_with_its_block(channel, bytes).await,
        _ => what_is_not_beside_is_refused(channel).await,
    }
    let Some(protector) = channel.geometry().protector() else { return };
    if !channel.geometry().keeps_data {
        return;
    }
    let protected = Protected { channel, protector };
    protected.tags_come_back_as_written().await;
    protected.each_wrong_tag_is_refused_and_nothing_written().await;
    protected.escaped_blocks_are_taken().await;
    protected.cleared_blocks_are_right().await;
    if !protector.is_interleaved() {
        protected.what_is_not_brought_is_made().await;
    }
}

async fn what_is_not_beside_is_refused(channel: &Channel) {
    let e = channel.read_with_metadata(0..1).await.expect_err("there is no metadata");
    assert!(matches!(e, Error::NoMetadata), "{e}");
    let page = || channel.try_alloc(channel.geometry().block_size as usize).expect("a buffer");
    let e = channel.write_with_metadata(0, page(), page()).await.expect_err("there is no metadata");
    assert!(matches!(e, Error::NoMetadata), "{e}");
}

/// Separate metadata for `data` from block `lba` on.
fn beside(channel: &Channel, lba: u64, data: &[u8], seed: u8) -> DmaBuf {
    let g = channel.geometry();
    let bytes = g.metadata.map_or(0, |metadata| metadata.bytes as usize);
    let len = data.len() / g.block_size as usize * bytes;
    let mut beside = channel.try_alloc(len).expect("a buffer");
    beside.iter_mut().enumerate().for_each(|(at, byte)| *byte = seed ^ at as u8);
    if let Some(protector) = g.protector() {
        protector.generate_beside(lba, data, &mut beside);
    }
    beside
}

async fn stays_with_its_block(channel: &Channel, bytes: u32) {
    let keeps_data = channel.geometry().keeps_data;
    for (seed, blocks) in [(140, 1), (141, 6), (142, 200)] {
        let data = patterned(channel, 9, blocks, seed);
        let written = beside(channel, 9, &data, seed as u8).freeze();
        let len = data.len();
        channel.write_with_metadata(9, data, written.clone()).await.expect("a write with metadata");
        let (data, back) = channel.read_with_metadata(9..9 + blocks).await.expect("a read with metadata");
        assert_eq!((data.len(), back.len()), (len, blocks as usize * bytes as usize));
        assert!(!keeps_data || back[..] == written[..], "{blocks} blocks");
        expect(channel, 9, blocks, seed).await;
        if channel.descriptor().supports(Op::Copy) && keeps_data {
            channel.copy(9..9 + blocks, 30).await.expect("a copy");
            let (_, mut copied) = channel.read_with_metadata(30..30 + blocks).await.expect("a read");
            channel.geometry().protector().iter().for_each(|it| it.remap(30, 9, &mut copied));
            assert!(copied[..] == written[..], "a copy of {blocks} blocks leaves metadata behind");
        }
    }
    let data = || patterned(channel, 0, 2, 1);
    let short = beside(channel, 0, &patterned(channel, 0, 1, 1), 1);
    let e = channel.write_with_metadata(0, data(), short).await;
    assert!(matches!(e, Err(Error::BadLength { .. })), "metadata of the wrong length was written");
}

/// Where blocks are written that are protected.
const FROM: u64 = 17;
const BLOCKS: u64 = 5;

/// Makes one tag wrong.
type Spoil = fn(&mut ProtectionTuple);

/// A device that checks what is written, in whatever form.
struct Protected<'c> {
    channel: &'c Channel,
    protector: Protector,
}

/// Blocks, and their metadata if it is separate.
struct Written {
    data: DmaBuf,
    beside: Option<DmaBuf>,
}

impl Protected<'_> {
    fn made(&self, seed: u64) -> Written {
        let data = patterned(self.channel, FROM, BLOCKS, seed);
        let is_separate = !self.protector.is_interleaved();
        let beside = is_separate.then(|| beside(self.channel, FROM, &data, seed as u8));
        Written { data, beside }
    }

    /// The metadata of one of the blocks.
    fn metadata<'w>(&self, written: &'w mut Written, block: usize) -> &'w mut [u8] {
        let g = self.channel.geometry();
        let (size, bytes) = (g.block_size as usize, g.metadata.map_or(0, |it| it.bytes as usize));
        match &mut written.beside {
            Some(beside) => &mut beside[block * bytes..(block + 1) * bytes],
            None => &mut written.data[(block + 1) * size - bytes..(block + 1) * size],
        }
    }

    async fn write(&self, written: Written) -> Result<()> {
        match written.beside {
            Some(beside) => self.channel.write_with_metadata(FROM, written.data, beside).await,
            None => self.channel.write(FROM, written.data).await,
        }
    }

    async fn read(&self) -> Written {
        let blocks = FROM..FROM + BLOCKS;
        if self.protector.is_interleaved() {
            let data = self.channel.read(blocks).await.expect("a read of what was taken");
            return Written { data, beside: None };
        }
        let (data, beside) = self.channel.read_with_metadata(blocks).await.expect("a read of what was taken");
        Written { data, beside: Some(beside) }
    }

    fn check(&self, written: &Written) -> Result<()> {
        match &written.beside {
            Some(beside) => self.protector.check_beside(FROM, &written.data, beside),
            None => self.protector.check(FROM, &written.data),
        }
    }

    async fn tags_come_back_as_written(&self) {
        let mut written = self.made(150);
        if !self.protector.checks(Tag::Application) {
            for block in 0..BLOCKS as usize {
                let metadata = self.metadata(&mut written, block);
                let tuple = self.protector.tuple(metadata);
                let application = 0x5a00 + block as u16;
                self.protector.put_tuple(metadata, ProtectionTuple { application, ..tuple });
            }
        }
        let kept: [DmaBytes; 2] =
            [copy(self.channel, &written.data), copy(self.channel, written.beside.as_deref().unwrap_or(&[]))];
        self.write(written).await.expect("a write of blocks that are right");
        let read = self.read().await;
        assert!(read.data[..] == kept[0][..], "blocks with tags come back otherwise");
        assert!(read.beside.as_deref().unwrap_or(&[]) == &kept[1][..], "tags come back otherwise");
    }

    async fn each_wrong_tag_is_refused_and_nothing_written(&self) {
        self.write(self.made(151)).await.expect("a write of blocks that are right");
        let wrong: [(Tag, Spoil); 3] = [
            (Tag::Guard, |tuple| tuple.guard ^= 1),
            (Tag::Application, |tuple| tuple.application ^= 1),
            (Tag::Reference, |tuple| tuple.reference = tuple.reference.wrapping_add(1)),
        ];
        for (tag, spoil) in wrong.into_iter().filter(|(tag, _)| self.protector.checks(*tag)) {
            let mut written = self.made(152);
            let metadata = self.metadata(&mut written, 2);
            let mut tuple = self.protector.tuple(metadata);
            spoil(&mut tuple);
            self.protector.put_tuple(metadata, tuple);
            match self.write(written).await {
                Err(Error::Protection { lba, tag: found, .. }) if found == tag => assert_eq!(lba, FROM + 2),
                answer => panic!("a block with a wrong {tag} was answered {answer:?}"),
            }
            expect(self.channel, FROM, BLOCKS, 151).await;
        }
    }

    async fn escaped_blocks_are_taken(&self) {
        let mut written = self.made(153);
        self.protector.put_tuple(self.metadata(&mut written, 1), ProtectionTuple::UNWRITTEN);
        self.write(written).await.expect("a block that is not to be checked");
        let mut read = self.read().await;
        assert_eq!(self.protector.tuple(self.metadata(&mut read, 1)), ProtectionTuple::UNWRITTEN);
    }

    async fn cleared_blocks_are_right(&self) {
        self.write(self.made(154)).await.expect("a write of blocks that are right");
        self.channel.write_zeroes(FROM..FROM + 3).await.expect("write zeroes");
        self.check(&self.read().await).expect("zeroes with tags of their own");
        match self.channel.unmap(FROM + 2..FROM + 4).await {
            Ok(()) => self.check(&self.read().await).expect("blocks given up are not checked"),
            Err(Error::Unsupported { .. }) => {}
            Err(e) => panic!("unmap: {e}"),
        }
    }

    async fn what_is_not_brought_is_made(&self) {
        let data = patterned(self.channel, FROM, BLOCKS, 155);
        self.channel.write(FROM, data).await.expect("a write without metadata");
        let mut read = self.read().await;
        self.check(&read).expect("tags that were made");
        for block in 0..BLOCKS as usize {
            let tuple = self.protector.tuple(self.metadata(&mut read, block));
            assert!(tuple != ProtectionTuple::UNWRITTEN, "a block that was written is not protected");
        }
    }
}

fn copy(channel: &Channel, bytes: &[u8]) -> DmaBytes {
    let mut buf = channel.try_alloc(bytes.len()).expect("a buffer");
    buf.copy_from_slice(bytes);
    buf.freeze()
}
