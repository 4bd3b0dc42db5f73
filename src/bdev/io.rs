//! One I/O on its way through the layer: [`Io`] until a module has answered it, [`Done`] afterwards.
//!
//! ```text
//!            done(result)                 returned from `submit`
//!   Io ─────────────────────► Done ─────────────────────────────► the caller's result
//!    │ ▲                       │ │
//!    │ └──── into_io ──────────┘ │ dropped
//!    │ dropped: Aborted          │
//!    ▼                           ▼
//!   Lost ──────────────────── Lost ───► the caller's result; its task is woken
//! ```
//!
//! What the submitter keeps of it is the [`Request`], a reused cell that both sides share.

use std::ops::{Deref, DerefMut, Range};
use std::rc::Rc;

use super::request::{Buffer, Request, State};
use super::{Error, Op, Result};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

/// A request as a module receives it. It owns its buffer and stays on the core that asked.
///
/// A module answers it with [`done`](Io::done). Dropped without an answer it completes as [`Error::Aborted`].
///
/// | operation | brings | takes home |
/// |---|---|---|
/// | [`Read`](Op::Read) | [`read_buf`](Io::read_buf) or [`take_read_bufs`](Io::take_read_bufs), [`take_metadata_buf`](Io::take_metadata_buf) | the same, put back |
/// | [`Write`](Op::Write) | [`data`](Io::data) or [`take_data_list`](Io::take_data_list), [`take_metadata`](Io::take_metadata) | |
/// | [`Compare`](Op::Compare) | [`data`](Io::data): what the blocks should hold | |
/// | [`CompareAndWrite`](Op::CompareAndWrite) | [`data`](Io::data) to write, [`expected`](Io::expected) | |
/// | [`Copy`](Op::Copy) | [`copy_from`](Io::copy_from) | |
/// | [`SeekData`](Op::SeekData), [`SeekHole`](Op::SeekHole) | the blocks to search | [`set_found`](Io::set_found) |
/// | [`ZoneReport`](Op::ZoneReport) | the blocks to report on | [`take_zones`](Io::take_zones), put back |
/// | [`ZoneAppend`](Op::ZoneAppend) | [`data`](Io::data); [`lba`](Io::lba) is the zone's start | [`set_value`](Io::set_value): where it went |
/// | [`ZoneManage`](Op::ZoneManage) | [`zone_action`](Io::zone_action) | |
/// | [`NvmeAdmin`](Op::NvmeAdmin), [`NvmeIo`](Op::NvmeIo) | [`nvme_command`](Io::nvme_command), a buffer as a read or a write | [`set_nvme_answer`](Io::set_nvme_answer) |
#[derive(Debug)]
#[must_use = "an i/o that is dropped completes as aborted"]
pub struct Io(
    /// None only while a method takes the `Io` apart.
    Option<Rc<Request>>,
);

/// Proof that an [`Io`] was answered; only [`Io::done`] makes one.
#[derive(Debug)]
#[must_use = "return it from `submit`"]
pub struct Done(Option<Rc<Request>>);

impl Io {
    /// Starts an I/O in `request`, which nobody else uses.
    #[inline]
    pub(super) fn start(request: Rc<Request>, op: Op, lba: u64, blocks: u64, buffer: Buffer) -> Self {
        request.op.set(op);
        request.lba.set(lba);
        request.blocks.set(blocks);
        request.state.set(State::Open);
        request.buffer.set(buffer);
        Self(Some(request))
    }

    #[inline(always)]
    pub(super) fn request(&self) -> &Rc<Request> {
        self.0.as_ref().expect("an io keeps its request until it is consumed")
    }

    /// What to do.
    #[inline]
    #[must_use]
    pub fn op(&self) -> Op {
        self.request().op.get()
    }

    /// The first block.
    #[inline]
    #[must_use]
    pub fn lba(&self) -> u64 {
        self.request().lba.get()
    }

    /// How many blocks; zero for what is about none, such as a flush.
    #[inline]
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.request().blocks.get()
    }

    /// The blocks.
    #[inline]
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.lba()..self.lba() + self.blocks()
    }

    /// Moves the I/O to other blocks, as many as before: for a module that maps addresses.
    #[inline]
    pub fn set_lba(&mut self, lba: u64) {
        self.request().lba.set(lba);
    }

    /// Where a read goes to: as many bytes as the blocks have.
    ///
    /// # Panics
    /// If this is no read, or the buffer has been taken.
    #[inline]
    #[must_use]
    pub fn read_buf(&mut self) -> ReadBuf<'_> {
        let buf = Some(self.take_read_buf());
        ReadBuf { io: self, buf }
    }

    /// What a write, an append or a comparison brings: as many bytes as the blocks have. Clones the count;
    /// [`take_data`](Io::take_data) does not.
    ///
    /// # Panics
    /// If this brings no data, or it has been taken.
    #[inline]
    #[must_use]
    pub fn data(&self) -> DmaBytes {
        let data = self.take_data_shared();
        self.request().buffer.set(Some(data.clone().into()));
        data
    }

    /// Takes the buffer of a read out, for a driver; [`put_read_buf`](Io::put_read_buf) brings it back.
    ///
    /// # Panics
    /// As [`read_buf`](Io::read_buf).
    #[inline]
    #[must_use]
    pub fn take_read_buf(&mut self) -> DmaBuf {
        match self.take_buffer().and_then(DmaAny::into_buf) {
            Some(buf) => buf,
            None => self.carries_nothing("buffer to read into"),
        }
    }

    /// Brings the buffer of a read back, before [`done`](Io::done).
    #[inline]
    pub fn put_read_buf(&mut self, buf: DmaBuf) {
        self.put_buffer(Some(buf.into()));
    }

    /// Takes the data of a write out. It need not come back.
    ///
    /// # Panics
    /// As [`data`](Io::data).
    #[inline]
    #[must_use]
    pub fn take_data(&mut self) -> DmaBytes {
        self.take_data_shared()
    }

    #[inline(always)]
    fn take_data_shared(&self) -> DmaBytes {
        match self.request().buffer.take() {
            Some(data) if self.op() != Op::Read => data.into_bytes(),
            _ => self.carries_nothing("data to write"),
        }
    }

    /// Gives a write other data of the same length, for a module that changes them on their way.
    #[inline]
    pub fn put_data(&mut self, data: DmaBytes) {
        self.put_buffer(Some(data.into()));
    }

    #[cold]
    pub(super) fn carries_nothing(&self, what: &str) -> ! {
        panic!("a {:?} has no {what} here: match on Io::op first, and take a buffer once", self.request())
    }

    /// Address and length of the buffer, if there is one.
    pub(super) fn place(&self) -> Option<(usize, usize)> {
        let buffer = self.request().buffer.take();
        let place = buffer.as_ref().map(DmaAny::place);
        self.request().buffer.set(buffer);
        place
    }

    #[inline(always)]
    pub(super) fn take_buffer(&mut self) -> Buffer {
        self.request().buffer.take()
    }

    #[inline(always)]
    pub(super) fn put_buffer(&mut self, buffer: Buffer) {
        self.request().fits.set(0);
        self.request().buffer.set(buffer);
    }

    /// Answers the I/O.
    #[inline]
    pub fn done(mut self, result: Result<()>) -> Done {
        let request = self.0.take().expect("an io keeps its request until it is consumed");
        request.state.set(State::Answered);
        if let Err(e) = result {
            request.fail(e);
        }
        Done(Some(request))
    }
}

/// The buffer of a read, lent by [`Io::read_buf`].
#[derive(Debug)]
pub struct ReadBuf<'io> {
    io: &'io Io,
    /// None only while it is dropped.
    buf: Option<DmaBuf>,
}

impl Deref for ReadBuf<'_> {
    type Target = DmaBuf;
    #[inline(always)]
    fn deref(&self) -> &DmaBuf {
        self.buf.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for ReadBuf<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut DmaBuf {
        self.buf.as_mut().expect("it is there until it is dropped")
    }
}

impl Drop for ReadBuf<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // It may be another by now.
        self.io.request().fits.set(0);
        self.io.request().buffer.set(self.buf.take().map(DmaAny::from));
    }
}

impl Drop for Io {
    #[inline]
    fn drop(&mut self) {
        if let Some(request) = self.0.take() {
            request.state.set(State::Lost);
            request.fail(Error::Aborted);
            request.wake();
        }
    }
}

impl Done {
    /// Takes the answer back, for a module that tries again or does more: the I/O is open as before.
    ///
    /// A buffer that the module below kept, and the data of a write that it took, do not come back.
    pub fn into_io(mut self) -> (Result<()>, Io) {
        let request = self.0.take().expect("done keeps its request until it is consumed");
        request.reopen();
        (request.take_result(), Io(Some(request)))
    }

    /// The proof for a request whose `Io` or `Done` was lost below a stacked module.
    pub(super) fn found(request: Rc<Request>) -> Self {
        debug_assert_eq!(request.state.get(), State::Lost);
        request.state.set(State::Answered);
        Self(Some(request))
    }

    /// True if the answer is a success.
    #[inline]
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.0.as_ref().expect("done keeps its request until it is consumed").is_ok()
    }

    /// True if this answers `request`.
    #[inline(always)]
    pub(super) fn is_for(&self, request: &Rc<Request>) -> bool {
        self.0.as_ref().is_some_and(|own| Rc::ptr_eq(own, request))
    }

    /// What it is the answer to.
    pub(super) fn request(&self) -> &Rc<Request> {
        self.0.as_ref().expect("done keeps its request until it is consumed")
    }

    /// Takes the proof in: the submitter goes on with the request it has.
    #[inline(always)]
    pub(super) fn accept(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Done {
    #[inline]
    fn drop(&mut self) {
        if let Some(request) = self.0.take() {
            request.state.set(State::Lost);
            request.wake();
        }
    }
}
