//! One task of the load: it has some blocks to itself, does with them one thing after another, and knows at each moment what they
//! must hold.

use super::content::{self, Known, Tag};
use super::layout::{COUNTERS, EXTRA, Layout, SPAN};
use reactor::bdev::{Channel, Descriptor, Error, Populate, Result};
use reactor::sys::dma::{DmaBuf, DmaBytes};
use reactor::yield_now;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::Poll;

/// What the tasks of all cores, and who makes their life difficult, tell each other.
pub struct Shared {
    pub layout: Layout,
    /// I/Os that have ended, by core.
    pub ended: [AtomicU64; 2],
    /// Raised while the blocks beyond the ordinary end are held and cut off.
    pub cuts: AtomicU64,
    /// No write is given up any more.
    pub is_calm: AtomicBool,
    /// Somebody has panicked.
    pub is_broken: AtomicBool,
}

pub struct Worker<'s> {
    shared: &'s Shared,
    disk: Descriptor,
    channel: Channel,
    core: usize,
    pub number: u64,
    dice: u64,
    last_tag: Tag,
    pub known: Vec<Known>,
    /// Of the blocks beyond the ordinary end, as of so many `cuts`.
    pub extra: Vec<Known>,
    pub cuts: u64,
    /// Counts of its own that were taken, and that may have been.
    pub counted: u64,
    pub maybe_counted: u64,
}

/// Whether to go on.
type GoesOn = Result<(), Gone>;

#[derive(Debug)]
pub struct Gone;

impl<'s> Worker<'s> {
    pub fn new(shared: &'s Shared, disk: &Descriptor, core: usize, number: u64) -> Self {
        Self {
            shared,
            disk: disk.clone(),
            channel: disk.channel().unwrap(),
            core,
            number,
            dice: number * 2 + 1,
            last_tag: (number + 1) << 40,
            known: Known::zeroes(SPAN),
            extra: Known::zeroes(EXTRA),
            cuts: 0,
            counted: 0,
            maybe_counted: 0,
        }
    }

    /// Until the device is gone.
    pub async fn run(&mut self) {
        while self.step().await.is_ok() && !self.shared.is_broken.load(SeqCst) {
            self.shared.ended[self.core].fetch_add(1, SeqCst);
            if self.roll(4) == 0 {
                yield_now().await;
            }
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    /// Some of the blocks of its own, by their number among them.
    fn some(&mut self, most: u64) -> Range<u64> {
        let count = 1 + self.roll(most);
        let start = self.roll(SPAN - count + 1);
        start..start + count
    }

    /// New content for `count` blocks.
    async fn new_content(&mut self, count: u64) -> Result<(Vec<Tag>, DmaBuf)> {
        let size = self.shared.layout.block_size;
        let mut buf = self.channel.alloc(count as usize * size).await?;
        let tags: Vec<Tag> = (1..=count).map(|number| self.last_tag + number).collect();
        self.last_tag += count;
        buf.chunks_exact_mut(size).zip(&tags).for_each(|(block, tag)| content::fill(block, *tag));
        Ok((tags, buf))
    }

    /// What `range` holds, if that is known.
    async fn old_content(&self, range: &Range<u64>) -> Result<Option<DmaBytes>> {
        let known = &self.known[range.start as usize..range.end as usize];
        let size = self.shared.layout.block_size;
        let Some(tags) = known.iter().map(Known::tag).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let mut buf = self.channel.alloc(tags.len() * size).await?;
        buf.chunks_exact_mut(size).zip(tags).for_each(|(block, tag)| content::fill(block, tag));
        Ok(Some(buf.freeze()))
    }

    async fn step(&mut self) -> GoesOn {
        let first = self.shared.layout.span(self.number);
        match self.roll(20) {
            0..5 => self.read().await,
            5..9 => self.write().await,
            9 => {
                let range = self.some(40);
                let zeroes = Known::zeroes(range.end - range.start);
                let blocks = first + range.start..first + range.end;
                let result = match self.roll(2) {
                    0 => self.channel.write_zeroes(blocks).await,
                    // These are files: what they give up reads as zeroes.
                    _ => self.channel.unmap(blocks).await,
                };
                self.changed(range.start, zeroes, result).await
            }
            10 => self.swap().await,
            11 => {
                let (from, to) = (self.some(30), self.roll(SPAN - 30));
                let blocks = first + from.start..first + from.end;
                let known = self.known[from.start as usize..from.end as usize].to_vec();
                let result = self.channel.copy(blocks, first + to).await;
                self.changed(to, known, result).await
            }
            12 => {
                let range = self.some(8);
                match self.old_content(&range).await {
                    Ok(Some(data)) => {
                        let result = self.channel.compare(first + range.start, data).await;
                        self.ended(&result).await
                    }
                    other => self.ended(&other).await,
                }
            }
            13 => {
                let result = self.channel.flush().await;
                self.ended(&result).await
            }
            14 | 15 => self.count().await,
            16 if !self.shared.is_calm.load(SeqCst) => self.give_up().await,
            _ => self.beyond().await,
        }
    }

    async fn read(&mut self) -> GoesOn {
        let range = self.some(40);
        let first = self.shared.layout.span(self.number);
        let blocks = first + range.start..first + range.end;
        let size = self.shared.layout.block_size;
        let way = self.roll(3);
        let read: Result<Vec<DmaBuf>> = async {
            Ok(match way {
                0 => vec![self.channel.read(blocks.clone()).await?],
                1 => {
                    let bytes = (range.end - range.start) as usize * size;
                    let buf = self.channel.alloc(bytes).await?;
                    vec![self.channel.read_into(blocks.clone(), buf).await?]
                }
                _ => {
                    // Several buffers in one allocation: who holds one and waits for another may wait for himself.
                    let mut whole = self.channel.alloc((range.end - range.start) as usize * size).await?;
                    let front = whole.split_to((range.end - range.start) as usize / 2 * size);
                    let bufs = if front.is_empty() { vec![whole] } else { vec![front, whole] };
                    self.channel.read_vectored(blocks.clone(), bufs).await?
                }
            })
        }
        .await;
        if let Ok(bufs) = &read {
            let found = bufs.iter().flat_map(|buf| buf.chunks_exact(size));
            self.check(&self.known[range.start as usize..range.end as usize], found, blocks.start);
        }
        self.ended(&read).await
    }

    fn check<'b>(&self, known: &[Known], found: impl Iterator<Item = &'b [u8]>, first: u64) {
        for ((known, block), lba) in known.iter().zip(found).zip(first..) {
            let is = content::describe(block);
            assert!(known.allows(block), "worker {}, block {lba}: {known:x?} holds {is}", self.number);
        }
    }

    async fn write(&mut self) -> GoesOn {
        let range = self.some(40);
        self.rewrite(range).await
    }

    async fn rewrite(&mut self, range: Range<u64>) -> GoesOn {
        let lba = self.shared.layout.span(self.number) + range.start;
        let size = self.shared.layout.block_size;
        let (tags, data) = match self.new_content(range.end - range.start).await {
            Ok(new) => new,
            Err(e) => return self.ended(&Err::<(), _>(e)).await,
        };
        let result = match self.roll(4) {
            0 => {
                let data = data.freeze();
                let at = tags.len() / 2 * size;
                let list = if at == 0 { vec![data] } else { vec![data.slice(..at), data.slice(at..)] };
                self.channel.write_vectored(lba, list).await
            }
            1 => {
                let lent = self.channel.lend(lba..lba + tags.len() as u64, Populate::Nothing).await;
                drop(data);
                match lent {
                    Ok(mut lent) => {
                        lent.chunks_exact_mut(size)
                            .zip(&tags)
                            .for_each(|(block, tag)| content::fill(block, *tag));
                        lent.commit().await
                    }
                    Err(e) => Err(e),
                }
            }
            _ => self.channel.write(lba, data).await,
        };
        self.changed(range.start, Known::all_are(&tags), result).await
    }

    /// Compares and writes: what is there, and now and then what is not.
    async fn swap(&mut self) -> GoesOn {
        let range = self.some(4);
        let lba = self.shared.layout.span(self.number) + range.start;
        let old = match self.old_content(&range).await {
            Ok(Some(old)) => old,
            Ok(None) => return self.rewrite(range).await,
            Err(e) => return self.ended(&Err::<(), _>(e)).await,
        };
        let (tags, new) = match self.new_content(range.end - range.start).await {
            Ok(new) => new,
            Err(e) => return self.ended(&Err::<(), _>(e)).await,
        };
        let new = new.freeze();
        if self.roll(4) == 0 {
            let result = match self.channel.compare_and_write(lba, new.clone(), old).await {
                Err(Error::Miscompare { lba: at }) if at == lba => Ok(()),
                Ok(()) => panic!("what is not there was found"),
                Err(e) => Err(e),
            };
            return self.ended(&result).await;
        }
        let result = self.channel.compare_and_write(lba, old, new).await;
        self.changed(range.start, Known::all_are(&tags), result).await
    }

    /// One more in a block that all workers of all cores count in.
    async fn count(&mut self) -> GoesOn {
        let lba = self.roll(COUNTERS);
        let size = self.shared.layout.block_size;
        let swapped = async {
            let found = self.channel.read(lba..lba + 1).await?.freeze();
            let mut next = self.channel.alloc(size).await?;
            next.copy_from_slice(&found);
            next[..8].copy_from_slice(&(content::word(&found, 0) + 1).to_le_bytes());
            Ok::<_, Error>(self.channel.compare_and_write(lba, found, next).await)
        };
        match swapped.await {
            Ok(Ok(())) => {
                self.counted += 1;
                Ok(())
            }
            // Another was faster.
            Ok(Err(Error::Miscompare { .. })) => Ok(()),
            Ok(Err(e)) => {
                self.maybe_counted += 1;
                self.ended(&Err::<(), _>(e)).await
            }
            Err(e) => self.ended(&Err::<(), _>(e)).await,
        }
    }

    /// Begins to write, and drops the future at some point.
    async fn give_up(&mut self) -> GoesOn {
        let range = self.some(40);
        let lba = self.shared.layout.span(self.number) + range.start;
        let polls = self.roll(4);
        let (tags, data) = match self.new_content(range.end - range.start).await {
            Ok(new) => new,
            Err(e) => return self.ended(&Err::<(), _>(e)).await,
        };
        let mut answer = None;
        {
            let channel = self.channel.clone();
            let mut write = pin!(channel.write(lba, data));
            for _ in 0..polls {
                if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await {
                    answer = Some(result);
                    break;
                }
                yield_now().await;
            }
        }
        self.changed(range.start, Known::all_are(&tags), answer.unwrap_or(Err(Error::Aborted))).await
    }

    /// Reads and writes where the device ends at times.
    async fn beyond(&mut self) -> GoesOn {
        let lba = self.shared.layout.extra(self.number);
        let size = self.shared.layout.block_size;
        let before = self.shared.cuts.load(SeqCst);
        if self.roll(2) == 0 {
            let read = self.channel.read(lba..lba + EXTRA).await;
            let is_same = self.shared.cuts.load(SeqCst) == before;
            if let (Ok(buf), true) = (&read, is_same) {
                let known = if before == self.cuts { self.extra.clone() } else { Known::zeroes(EXTRA) };
                self.check(&known, buf.chunks_exact(size), lba);
            }
            return self.ended(&read).await;
        }
        let (tags, data) = match self.new_content(EXTRA).await {
            Ok(new) => new,
            Err(e) => return self.ended(&Err::<(), _>(e)).await,
        };
        let result = self.channel.write(lba, data).await;
        let after = self.shared.cuts.load(SeqCst);
        if after != self.cuts {
            self.cuts = after;
            self.extra = Known::zeroes(EXTRA);
        }
        match &result {
            Err(Error::OutOfRange { .. }) => {}
            Ok(()) if before == after => self.extra = Known::all_are(&tags),
            // Before the cut or behind it.
            _ => self.extra.iter_mut().zip(tags).for_each(|(known, tag)| known.or(Known::is(tag))),
        }
        let maybe_under_way = matches!(result, Err(Error::Aborted)).then(|| lba..lba + EXTRA);
        self.ended(&result).await?;
        self.settle(maybe_under_way).await
    }

    /// Takes note of a change of the blocks from the `at`-th on.
    async fn changed(&mut self, at: u64, new: Vec<Known>, result: Result<()>) -> GoesOn {
        let first = self.shared.layout.span(self.number) + at;
        let blocks = first..first + new.len() as u64;
        for (known, new) in self.known[at as usize..].iter_mut().zip(new) {
            match result {
                Ok(()) => *known = new,
                Err(_) => known.or(new),
            }
        }
        self.ended(&result).await?;
        self.settle(matches!(result, Err(Error::Aborted)).then_some(blocks)).await
    }

    /// Waits for what the device may still do of a write that was given up: it must not come after the next.
    async fn settle(&self, blocks: Option<Range<u64>>) -> GoesOn {
        let Some(blocks) = blocks else { return Ok(()) };
        match self.disk.quiesce_range(blocks).await {
            Ok(_) | Err(Error::OutOfRange { .. }) => Ok(()),
            Err(Error::Removed) => Err(Gone),
            Err(e) => panic!("worker {}: {e}", self.number),
        }
    }

    /// A mirror with one good member answers everything, unless it is reset or gone, or ends before.
    async fn ended<T>(&self, result: &Result<T>) -> GoesOn {
        match result {
            Ok(_) | Err(Error::Aborted | Error::OutOfRange { .. }) => Ok(()),
            Err(Error::Removed) => Err(Gone),
            Err(e) => panic!("worker {}: {e}", self.number),
        }
    }
}

/// Another user, through a descriptor of his own: reads whatever is there, until the device is gone.
pub async fn look(disk: &Descriptor, shared: &Shared, number: u64) {
    let channel = disk.channel().unwrap();
    for round in number.. {
        let start = round.wrapping_mul(7919) % (shared.layout.ordinary_end() - 32);
        match channel.read(start..start + 1 + round % 32).await {
            _ if shared.is_broken.load(SeqCst) => return,
            Ok(_) | Err(Error::Aborted) => yield_now().await,
            Err(Error::Removed) => return,
            Err(e) => panic!("a reader: {e}"),
        }
    }
}
