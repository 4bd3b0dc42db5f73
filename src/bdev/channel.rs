//! A core's way to a device: [`Channel`] and its operations.
//!
//! Checks ranges and buffers, gets a buffer from the core's pool, hands the I/O to the module (`submitting`) or splits it
//! (`split`), and counts it (`stats`). Made by a `descriptor`, one per core.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::descriptor::Descriptor;
use super::device::Device;
use super::error::LengthExpected;
use super::module::Submitter;
use super::request::{Buffer, Outcome, Request};
use super::split::{Spare, Split};
use super::stats::Counters;
use super::submitting::{Own, Submitting};
use super::{Access, ChannelStats, Done, Error, Geometry, Io, Op, ReadIntoError, Result};
use crate::NotOnReactor;
use crate::reactor::context;
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes, DmaPool};

/// A core's channel to a device. It stays on its core; a clone is the same channel.
///
/// From [`Descriptor::channel`]. Operations are in units of blocks, run concurrently, and complete in any order. Each
/// may be dropped at any await: the device's answer is then ignored, and the buffer goes home when it has come.
///
/// ```
/// use reactor::bdev::{self, Access};
///
/// # reactor::LocalExecutor::new().unwrap().block_on(async {
/// let disk = bdev::open("ram:1M", Access::ReadWrite).await?;
/// let channel = disk.channel()?;
/// let mut page = channel.read(0..8).await?;
/// page[..4].copy_from_slice(b"head");
/// channel.write(0, page).await?;
/// channel.flush().await?;
/// assert_eq!(&channel.read(0..1).await?[..4], b"head");
/// # Ok::<(), bdev::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Channel(Rc<Inner>);

/// The channel itself, alive while somebody on its core has it.
pub(super) struct Inner {
    pub(super) submitter: Submitter,
    /// Its number of blocks is that of the beginning: ask the device.
    pub(super) geometry: Geometry,
    pub(super) spare_windows: Spare,
    /// Requests between two I/Os.
    requests: RefCell<Vec<Rc<Request>>>,
    pub(super) counters: Counters,
    pool: DmaPool,
    device: Arc<Device>,
    is_writable: bool,
    /// Also keeps the device, and the claim on it.
    descriptor: Descriptor,
}

impl Channel {
    /// Reads `blocks` (half-open) into one buffer from this core's pool, for which it waits while the pool is dry.
    ///
    /// # Errors
    /// [`Error::EmptyRange`], [`Error::OutOfRange`]; [`Error::NoBuffer`] if the pool can never have a buffer that long; what
    /// the device says.
    #[inline]
    pub async fn read(&self, blocks: Range<u64>) -> Result<DmaBuf> {
        let count = self.0.check(Op::Read, &blocks)?;
        let buf = self.0.pool.alloc(self.0.bytes(count)).await?;
        match self.0.run(Op::Read, blocks.start, count, Some(buf.into())).await {
            (None, Some(buf)) => buf.into_buf().ok_or_else(|| self.0.lost_buffer()),
            (Some(e), _) => Err(*e),
            (None, None) => Err(self.0.lost_buffer()),
        }
    }

    /// Reads `blocks` into `buf`, whose length is theirs, and gives it back.
    ///
    /// # Errors
    /// As [`read`](Channel::read), and [`Error::BadLength`], [`Error::Misaligned`]; the buffer comes back with the error.
    #[inline]
    pub async fn read_into(&self, blocks: Range<u64>, buf: DmaBuf) -> Result<DmaBuf, ReadIntoError> {
        let checked = self.0.check(Op::Read, &blocks).and_then(|count| {
            self.0.check_buffer(count, buf.as_ptr().addr(), buf.len())?;
            Ok(count)
        });
        let count = match checked {
            Ok(count) => count,
            Err(error) => return Err(ReadIntoError { error, buf: Some(buf) }),
        };
        let (error, buffer) = self.0.run(Op::Read, blocks.start, count, Some(buf.into())).await;
        let buf = buffer.and_then(DmaAny::into_buf);
        match (error, buf) {
            (None, Some(buf)) => Ok(buf),
            (None, None) => Err(ReadIntoError { error: self.0.lost_buffer(), buf: None }),
            (Some(error), buf) => Err(ReadIntoError { error: *error, buf }),
        }
    }

    /// Writes `data`, whole blocks of it, from block `lba` on. To try again after an error, keep a clone.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::BadLength`], [`Error::Misaligned`], [`Error::OutOfRange`]; what the device says.
    #[inline]
    pub async fn write(&self, lba: u64, data: impl Into<DmaBytes>) -> Result<()> {
        let data = data.into();
        let size = self.0.geometry.block_size;
        let count = data.len() as u64 / u64::from(size);
        if data.is_empty() || data.len() as u64 % u64::from(size) != 0 {
            return Err(Error::BadLength { len: data.len(), expected: LengthExpected::Blocks(size) });
        }
        self.0.check(Op::Write, &(lba..lba.saturating_add(count)))?;
        self.0.check_buffer(count, data.as_ptr().addr(), data.len())?;
        ended(self.0.run(Op::Write, lba, count, Some(data.into())).await)
    }

    /// Makes every write that has completed on any channel durable.
    ///
    /// # Errors
    /// What the device says.
    pub async fn flush(&self) -> Result<()> {
        self.0.check_alive()?;
        ended(self.0.run(Op::Flush, 0, 0, None).await)
    }

    /// Makes `blocks` read as zeroes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the module cannot; otherwise as [`write`](Channel::write).
    pub async fn write_zeroes(&self, blocks: Range<u64>) -> Result<()> {
        let count = self.0.check(Op::WriteZeroes, &blocks)?;
        ended(self.0.run(Op::WriteZeroes, blocks.start, count, None).await)
    }

    /// Gives `blocks` up: the device may forget what they hold.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the module cannot; otherwise as [`write`](Channel::write).
    pub async fn unmap(&self, blocks: Range<u64>) -> Result<()> {
        let count = self.0.check(Op::Unmap, &blocks)?;
        ended(self.0.run(Op::Unmap, blocks.start, count, None).await)
    }

    /// Hands on an I/O that a module above was given. What this device refuses is answered with the error.
    pub async fn submit(&self, mut io: Io) -> Done {
        let inner = &*self.0;
        let (op, lba, blocks) = (io.op(), io.lba(), io.blocks());
        if let Err(e) = inner.check_io(&io) {
            return io.done(Err(e));
        }
        if inner.takes_whole(op, lba, blocks) {
            return Submitting::new(inner, io).await;
        }
        let (error, buffer) = inner.run(op, lba, blocks, io.take_buffer()).await;
        io.put_buffer(buffer);
        io.done(error.map_or(Ok(()), |e| Err(*e)))
    }

    /// A buffer of `len` bytes from the pool that this channel reads into. Waits while the pool is dry, in order: see
    /// [`DmaPool::alloc`].
    ///
    /// # Errors
    /// [`Error::NoBuffer`] if the pool can never have a buffer that long.
    #[inline]
    pub async fn alloc(&self, len: usize) -> Result<DmaBuf> {
        Ok(self.0.pool.alloc(len).await?)
    }

    /// A buffer as from [`alloc`](Channel::alloc), now or not at all.
    ///
    /// # Errors
    /// [`Error::NoBuffer`] also if the pool is dry.
    #[inline]
    pub fn try_alloc(&self, len: usize) -> Result<DmaBuf> {
        Ok(self.0.pool.try_alloc(len)?)
    }

    /// The device's shape as it is now.
    #[inline]
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.0.device.geometry()
    }

    /// The descriptor that this channel belongs to.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.0.descriptor
    }

    /// What this channel has done.
    #[must_use]
    pub fn stats(&self) -> ChannelStats {
        self.0.counters.get()
    }

    /// The calling core's channel of `descriptor`, made now if there is none.
    pub(super) fn of(descriptor: &Descriptor) -> Result<Self> {
        let known = per_core(|open| {
            let known = open.iter().find(|(id, _)| *id == descriptor.id());
            known.and_then(|(_, channel)| channel.upgrade())
        })?;
        if let Some(inner) = known {
            return Ok(Self(inner));
        }
        // With the table free: a stacked module opens channels of its own in here.
        let inner = Rc::new(Inner {
            submitter: descriptor.device().bdev.channel(descriptor.access())?,
            geometry: descriptor.geometry(),
            spare_windows: Spare::default(),
            requests: RefCell::default(),
            counters: Counters::default(),
            pool: DmaPool::local(),
            device: descriptor.device().clone(),
            is_writable: descriptor.access() == Access::ReadWrite,
            descriptor: descriptor.clone(),
        });
        per_core(|open| {
            open.retain(|(_, channel)| channel.strong_count() > 0);
            open.push((descriptor.id(), Rc::downgrade(&inner)));
        })?;
        Ok(Self(inner))
    }
}

/// The open channels of a core, by descriptor.
#[derive(Default)]
struct OpenChannels(RefCell<Vec<(u64, Weak<Inner>)>>);

/// Lends the calling core's table of open channels.
fn per_core<R>(f: impl FnOnce(&mut Vec<(u64, Weak<Inner>)>) -> R) -> Result<R> {
    if context::try_with(|_| ()).is_none() {
        return Err(NotOnReactor { what: "bdev::Descriptor::channel" }.into());
    }
    let open = context::singleton(|| Ok::<_, Error>(Rc::<OpenChannels>::default()))?;
    Ok(f(&mut open.0.borrow_mut()))
}

impl Inner {
    /// Carries out an I/O that was checked.
    #[inline(always)]
    fn run(&self, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Run<'_> {
        if self.takes_whole(op, lba, blocks) {
            Run::Whole(Own::new(self, op, lba, blocks, buffer))
        } else {
            Run::Split(Split::new(self, op, lba, blocks, buffer))
        }
    }

    #[inline(always)]
    fn takes_whole(&self, op: Op, lba: u64, blocks: u64) -> bool {
        op == Op::Flush || self.geometry.takes_whole(lba, blocks)
    }

    /// Whether the caller may do `op` on `range`, and how many blocks that is.
    #[inline(always)]
    fn check(&self, op: Op, range: &Range<u64>) -> Result<u64> {
        let blocks = Geometry::check(range, self.device.block_count())?;
        self.check_alive()?;
        if op != Op::Read {
            self.check_change(op)?;
        }
        Ok(blocks)
    }

    #[inline(always)]
    fn check_alive(&self) -> Result<()> {
        if self.device.is_removed() { Err(Error::Removed) } else { Ok(()) }
    }

    #[inline]
    fn check_change(&self, op: Op) -> Result<()> {
        if !self.is_writable {
            return Err(Error::ReadOnly { name: self.name().to_owned() });
        }
        if op != Op::Write && !self.device.bdev.supports(op) {
            return Err(Error::Unsupported(op.name()));
        }
        Ok(())
    }

    /// Whether `buf` holds `blocks` and starts where the device can reach it.
    #[inline(always)]
    fn check_buffer(&self, blocks: u64, address: usize, len: usize) -> Result<()> {
        let align = self.geometry.buffer_align;
        let offset = address as u32 & (align - 1);
        if len as u64 != blocks * u64::from(self.geometry.block_size) {
            let bytes = blocks * u64::from(self.geometry.block_size);
            return Err(Error::BadLength { len, expected: LengthExpected::Exactly(bytes) });
        }
        if offset != 0 {
            return Err(Error::Misaligned { align, offset });
        }
        Ok(())
    }

    /// What `check` and `check_buffer` say of an I/O from a module above.
    fn check_io(&self, io: &Io) -> Result<()> {
        if io.op() == Op::Flush {
            return self.check_alive();
        }
        let (start, blocks) = (io.lba(), io.blocks());
        self.check(io.op(), &(start..start.saturating_add(blocks)))?;
        match io.place() {
            Some((address, len)) => self.check_buffer(blocks, address, len),
            None => Ok(()),
        }
    }

    /// Bytes in `blocks` of this device, which has them.
    #[inline(always)]
    pub(super) fn bytes(&self, blocks: u64) -> usize {
        (blocks * u64::from(self.geometry.block_size)) as usize
    }

    /// What is said if a module answers a read with success and without its buffer.
    #[cold]
    fn lost_buffer(&self) -> Error {
        let context = format!("{}: a read was answered without its buffer", self.name());
        Error::Os { context, source: std::io::Error::other("a defect of the module") }
    }

    pub(super) fn name(&self) -> &str {
        self.descriptor.name()
    }

    #[inline(always)]
    pub(super) fn take_request(&self) -> Rc<Request> {
        self.requests.borrow_mut().pop().unwrap_or_else(Request::new)
    }

    /// Keeps `request` for the next I/O if only the caller has it.
    #[inline(always)]
    pub(super) fn keep_request(&self, request: &Rc<Request>) {
        if Rc::strong_count(request) == 1 {
            self.requests.borrow_mut().push(request.clone());
        }
    }
}

/// The outcome of an I/O whose buffer nobody wants back.
#[inline(always)]
fn ended((error, _): Outcome) -> Result<()> {
    match error {
        None => Ok(()),
        Some(e) => Err(*e),
    }
}

/// An I/O on its way, whole or in pieces.
enum Run<'c> {
    Whole(Own<'c>),
    Split(Split<'c>),
}

impl Future for Run<'_> {
    type Output = Outcome;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A device that answers at once would otherwise let a task keep the core.
        ready!(crate::task::budget::proceed(cx));
        match &mut *self {
            Self::Whole(own) => Pin::new(own).poll(cx),
            Self::Split(split) => Pin::new(split).poll(cx),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.0.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
