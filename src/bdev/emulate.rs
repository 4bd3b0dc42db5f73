//! What the layer carries out itself: operations that a module lacks, by those that it has, and buffers that it cannot reach, by a
//! detour through ones that it can.
//!
//! | operation | becomes |
//! |---|---|
//! | write zeroes | writes from one buffer of zeroes |
//! | compare | reads |
//! | compare and write | reads and writes, with whoever else changes the blocks held back on all cores |
//! | copy | reads and writes, metadata included, in the order that overlapping ranges need |
//! | a read or write of several buffers, or too large | one of each piece (`split`) |
//! | a misaligned buffer | a piece at a time through an aligned one |
//!
//! It stands between caller and module as a stacked module does: it is given the `Io`, in a slot of its own kind, so that nothing is
//! allocated per I/O. Its buffers come from a pool that only it uses, so that who waits here waits for nobody who waits for him.

use std::ops::Range;
use std::rc::Rc;
use std::sync::OnceLock;

use super::channel::Inner;
use super::quiesce::hold_changes;
use super::request::{Buffer, Outcome};
use super::split::{Split, front, join};
use super::{Done, Error, Io, Metadata, Op, Protector, Result};
use crate::sys::dma::{ALIGN, DmaAny, DmaBuf, DmaBytes, DmaPool};

/// Bytes that travel through one buffer of the layer's at a time.
const PIECE: usize = 128 << 10;

/// What the buffers of one channel's detours may take.
const POOL: usize = 1 << 20;

/// The operations by which the layer does `op` where a module cannot; none if it does not.
pub(super) fn needs(op: Op) -> Option<&'static [Op]> {
    match op {
        Op::WriteZeroes => Some(&[Op::Write]),
        Op::Compare => Some(&[Op::Read]),
        Op::CompareAndWrite | Op::Copy => Some(&[Op::Read, Op::Write]),
        _ => None,
    }
}

/// Carries `io` out.
pub(super) async fn carry_out(inner: Rc<Inner>, mut io: Io) -> Done {
    let result = match io.op() {
        Op::Read | Op::Write if io.is_vectored() => inner.list(&mut io).await,
        Op::Read | Op::Write => inner.transfer(&mut io).await,
        Op::Unmap => inner.bare(&io).await,
        Op::WriteZeroes => inner.zero(&io).await,
        Op::Compare => inner.compare(io.lba(), &io.take_data()).await,
        Op::CompareAndWrite => inner.compare_and_write(&mut io).await,
        Op::Copy => inner.copy(&io).await,
        op => Err(Error::Unsupported { op, module: inner.module() }),
    };
    io.done(result)
}

fn result_of((error, _): Outcome) -> Result<()> {
    error.map_or(Ok(()), |e| Err(*e))
}

impl Inner {
    /// The blocks that fit into a piece, at least one.
    fn piece(&self) -> u64 {
        (PIECE as u64 / u64::from(self.geometry.block_size)).max(1)
    }

    fn detours(&self) -> &DmaPool {
        self.detours.get_or_init(|| DmaPool::with_limit(POOL.max(8 * self.geometry.block_size as usize)))
    }

    /// The same bytes where the device reaches them.
    pub(super) async fn aligned<const N: usize>(&self, all: [DmaBytes; N]) -> Result<[DmaBytes; N]> {
        let room = |bytes: &DmaBytes| bytes.len().next_multiple_of(ALIGN);
        // One allocation, as who holds one buffer and waits for another may wait for himself.
        let len = all.iter().map(room).sum();
        let pool = if len <= POOL { self.detours() } else { &self.pool };
        let mut rest = pool.alloc(len).await?;
        Ok(all.map(|bytes| {
            let mut buf = rest.split_to(room(&bytes));
            buf.truncate(bytes.len());
            buf.copy_from_slice(&bytes);
            buf.freeze()
        }))
    }

    /// A part of the caller's I/O, in as many pieces as the module wants.
    async fn part(&self, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Outcome {
        self.take_turn().await;
        Split::new(self, op, lba, blocks, buffer).await
    }

    async fn read(&self, lba: u64, blocks: u64) -> Result<DmaBuf> {
        let buf = self.detours().alloc(self.bytes(blocks)).await?;
        match self.part(Op::Read, lba, blocks, Some(buf.into())).await {
            (None, buffer) => buffer.and_then(DmaAny::into_buf).ok_or_else(|| self.lost_buffer()),
            (Some(e), _) => Err(*e),
        }
    }

    /// What has no buffer, in pieces.
    async fn bare(&self, io: &Io) -> Result<()> {
        result_of(self.part(io.op(), io.lba(), io.blocks(), None).await)
    }

    /// Several buffers.
    async fn list(&self, io: &mut Io) -> Result<()> {
        let (op, lba, blocks) = (io.op(), io.lba(), io.blocks());
        // Collected in place: elements of one size.
        let list = match op {
            Op::Read => io.take_read_bufs().into_iter().map(|buf| Some(buf.into())).collect(),
            _ => io.take_data_list().into_iter().map(|data| Some(data.into())).collect(),
        };
        let mut split = Split::vectored(self, op, lba, blocks, list);
        let outcome = (&mut split).await;
        if op == Op::Read {
            let list = split.take_list().into_iter();
            io.put_read_bufs(list.filter_map(|buffer| buffer.and_then(DmaAny::into_buf)).collect());
        }
        result_of(outcome)
    }

    /// One buffer: in pieces, with the metadata that belongs to each, and a misaligned one by a detour.
    async fn transfer(&self, io: &mut Io) -> Result<()> {
        let op = io.op();
        let aside = io.request().extra.aside.take();
        let rest = io.take_buffer();
        let is_misaligned = self.is_misaligned(&rest);
        if aside.is_none() && !is_misaligned {
            let (error, buffer) = self.part(op, io.lba(), io.blocks(), rest).await;
            io.put_buffer(buffer);
            return error.map_or(Ok(()), |e| Err(*e));
        }
        let mut carried = Carried::new(rest, aside);
        let result = self.transfer_pieces(op, io.range(), is_misaligned, &mut carried).await;
        io.put_buffer(join(carried.filled, carried.rest));
        io.request().extra.aside.set(join(carried.aside_filled, carried.aside));
        result
    }

    async fn transfer_pieces(
        &self,
        op: Op,
        mut range: Range<u64>,
        is_misaligned: bool,
        carried: &mut Carried,
    ) -> Result<()> {
        let metadata = self.geometry.metadata.map_or(0, |metadata| metadata.bytes as usize);
        while !range.is_empty() {
            let mut blocks = self.geometry.first_piece(op, range.start, range.end - range.start);
            if is_misaligned {
                blocks = blocks.min(self.piece());
            }
            let mut part = front(op, &mut carried.rest, self.bytes(blocks));
            let aside = front(op, &mut carried.aside, blocks as usize * metadata);
            // The caller's own part of a read that takes a detour.
            let mut own = None;
            if is_misaligned {
                let mut buf = match self.detours().alloc(self.bytes(blocks)).await {
                    Ok(buf) => buf,
                    Err(e) => {
                        carried.filled = join(carried.filled.take(), part);
                        carried.aside_filled = join(carried.aside_filled.take(), aside);
                        return Err(e.into());
                    }
                };
                if op == Op::Read {
                    own = part;
                } else if let Some(data) = part {
                    buf.copy_from_slice(&data.into_bytes());
                }
                part = Some(buf.into());
            }
            let io = Io::start(self.traffic.take(), op, range.start, blocks, part);
            io.request().extra.aside.set(aside);
            let (error, taken) = self.go(io).await;
            let mut part = taken.buffer;
            if let Some(own) = own {
                let mut own = own.into_buf();
                if let (None, Some(own), Some(buf)) = (&error, &mut own, part.and_then(DmaAny::into_buf)) {
                    own.copy_from_slice(&buf);
                }
                part = own.map(DmaAny::from);
            }
            carried.filled = join(carried.filled.take(), part);
            carried.aside_filled = join(carried.aside_filled.take(), taken.aside);
            if let Some(e) = error {
                return Err(*e);
            }
            range.start += blocks;
        }
        Ok(())
    }

    /// Zeroes, by the module if it turns out that it can, else by writes.
    async fn zero(&self, io: &Io) -> Result<()> {
        if self.supported.get().has(Op::WriteZeroes) {
            match self.bare(io).await {
                Err(Error::Unsupported { .. }) => {
                    self.supported.set(self.supported.get().with(Op::WriteZeroes, false));
                }
                result => return result,
            }
        }
        if let Some(protector) = self.geometry.protector().filter(Protector::is_interleaved) {
            return self.zero_protected(io.range(), &protector).await;
        }
        let zeroes = self.zeroes().await?;
        let most = zeroes.len() as u64 / u64::from(self.geometry.block_size);
        let mut range = io.range();
        while !range.is_empty() {
            let blocks = most.min(range.end - range.start);
            let data = zeroes.slice(..self.bytes(blocks));
            result_of(self.part(Op::Write, range.start, blocks, Some(data.into())).await)?;
            range.start += blocks;
        }
        Ok(())
    }

    /// The same where each block of zeroes says which block it is.
    async fn zero_protected(&self, mut range: Range<u64>, protector: &Protector) -> Result<()> {
        while !range.is_empty() {
            let blocks = self.piece().min(range.end - range.start);
            let mut buf = self.detours().alloc(self.bytes(blocks)).await?;
            buf.fill(0);
            protector.generate(range.start, &mut buf);
            result_of(self.part(Op::Write, range.start, blocks, Some(buf.into())).await)?;
            range.start += blocks;
        }
        Ok(())
    }

    /// A block of zeroes or many: one buffer for the process, unless blocks are larger than that.
    async fn zeroes(&self) -> Result<DmaBytes> {
        static ZEROES: OnceLock<DmaBytes> = OnceLock::new();
        if self.geometry.block_size as usize > PIECE {
            let mut buf = self.detours().alloc(self.geometry.block_size as usize).await?;
            buf.fill(0);
            return Ok(buf.freeze());
        }
        if let Some(zeroes) = ZEROES.get() {
            return Ok(zeroes.clone());
        }
        let mut buf = DmaPool::new().try_alloc(PIECE)?;
        buf.fill(0);
        Ok(ZEROES.get_or_init(|| buf.freeze()).clone())
    }

    async fn compare(&self, mut lba: u64, data: &[u8]) -> Result<()> {
        let size = self.geometry.block_size as usize;
        for wanted in data.chunks(self.bytes(self.piece())) {
            let found = self.read(lba, (wanted.len() / size) as u64).await?;
            let mut blocks = found.chunks(size).zip(wanted.chunks(size));
            if let Some(at) = blocks.position(|(found, wanted)| found != wanted) {
                return Err(Error::Miscompare { lba: lba + at as u64 });
            }
            lba += (wanted.len() / size) as u64;
        }
        Ok(())
    }

    async fn compare_and_write(&self, io: &mut Io) -> Result<()> {
        // Against others of its kind, in order; then against all else that changes these blocks.
        let mut lock = self.device.locks.lock(io.range());
        (&mut lock).await;
        let _held = hold_changes(&self.device, io.range()).await?;
        self.compare(io.lba(), &io.expected()).await?;
        let data = io.take_data();
        result_of(self.part(Op::Write, io.lba(), io.blocks(), Some(data.into())).await)
    }

    /// As if all were read before anything is written.
    async fn copy(&self, io: &Io) -> Result<()> {
        let (from, to, blocks) = (io.copy_from(), io.lba(), io.blocks());
        let is_apart = from.abs_diff(to) >= blocks;
        let is_native = is_apart && self.supported.get().has(Op::Copy);
        let mut done = 0;
        while done < blocks {
            let most = if is_native {
                self.geometry.first_piece(Op::Copy, to + done, blocks - done)
            } else {
                self.piece()
            };
            let piece = most.min(blocks - done);
            // Upwards from a source that lies above, downwards from one that lies below.
            let at = if from >= to { done } else { blocks - done - piece };
            if is_native {
                let io = Io::start(self.traffic.take(), Op::Copy, to + done, piece, None);
                io.request().extra.value.set(from + done);
                if let (Some(e), _) = self.go(io).await {
                    return Err(*e);
                }
            } else {
                self.copy_piece(from + at, to + at, piece).await?;
            }
            done += piece;
        }
        Ok(())
    }
}

impl Inner {
    /// Copies blocks by way of one buffer, with the metadata beside them, and has tags that name blocks name the new ones.
    async fn copy_piece(&self, from: u64, to: u64, blocks: u64) -> Result<()> {
        let protector = self.geometry.protector();
        let Some(Metadata { bytes, interleaved: false, .. }) = self.geometry.metadata else {
            let mut buf = self.read(from, blocks).await?;
            protector.iter().for_each(|protector| protector.remap(from, to, &mut buf));
            return result_of(self.part(Op::Write, to, blocks, Some(buf.into())).await);
        };
        // One allocation, as who holds one buffer and waits for another may wait for himself.
        let start = self.bytes(blocks).next_multiple_of(ALIGN);
        let mut aside = self.detours().alloc(start + blocks as usize * bytes as usize).await?;
        let mut buf = aside.split_to(start);
        buf.truncate(self.bytes(blocks));
        let mut carried = Carried::new(Some(buf.into()), Some(aside.into()));
        self.transfer_pieces(Op::Read, from..from + blocks, false, &mut carried).await?;
        let mut aside = carried.aside_filled.and_then(DmaAny::into_buf).ok_or_else(|| self.lost_buffer())?;
        protector.iter().for_each(|protector| protector.remap(from, to, &mut aside));
        let mut carried = Carried::new(carried.filled, Some(aside.into()));
        self.transfer_pieces(Op::Write, to..to + blocks, false, &mut carried).await
    }
}

/// What a read or write in pieces has not begun yet, and what came back.
struct Carried {
    rest: Buffer,
    aside: Buffer,
    filled: Buffer,
    aside_filled: Buffer,
}

impl Carried {
    fn new(rest: Buffer, aside: Buffer) -> Self {
        Self { rest, aside, filled: None, aside_filled: None }
    }
}
