//! What only some I/Os carry, as a module sees it: further accessors of [`Io`]. Which operation has what is tabled there.

use super::request::{Extra, Segments};
use super::{Done, Error, Io, NvmeCommand, Op, Zone, ZoneAction};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

/// What a seek that finds nothing has for a value.
pub(super) const NOWHERE: u64 = u64::MAX;

impl Io {
    fn extra(&self) -> &Extra {
        &self.request().extra
    }

    /// Answers that this module has no such operation.
    ///
    /// ```
    /// use reactor::bdev::{Done, Io, Op, Submit};
    ///
    /// struct Hole;
    /// impl Submit for Hole {
    ///     async fn submit(&self, io: Io) -> Done {
    ///         match io.op() {
    ///             Op::Read | Op::Write | Op::Flush => io.done(Ok(())),
    ///             _ => io.unsupported(),
    ///         }
    ///     }
    /// }
    /// ```
    #[cold]
    pub fn unsupported(self) -> Done {
        let op = self.op();
        self.done(Err(Error::unsupported(op)))
    }

    /// Takes the buffer for the metadata of a read out, if it was asked for; [`put_metadata_buf`](Io::put_metadata_buf) brings it
    /// back. It has [`Metadata::bytes`](super::Metadata::bytes) per block.
    #[must_use]
    pub fn take_metadata_buf(&mut self) -> Option<DmaBuf> {
        self.extra().aside.take().and_then(DmaAny::into_buf)
    }

    /// Brings the buffer for metadata back, before [`done`](Io::done).
    pub fn put_metadata_buf(&mut self, buf: DmaBuf) {
        self.extra().aside.set(Some(buf.into()));
    }

    /// Takes the metadata of a write out, if it brings any.
    #[must_use]
    pub fn take_metadata(&mut self) -> Option<DmaBytes> {
        self.extra().aside.take().map(DmaAny::into_bytes)
    }

    /// Gives a write other metadata of the same length, for a module that changes it on its way.
    pub fn put_metadata(&mut self, metadata: DmaBytes) {
        self.extra().aside.set(Some(metadata.into()));
    }

    /// What the blocks should hold before a compare-and-write changes them: as many bytes as they have.
    ///
    /// # Panics
    /// If this is no compare-and-write.
    #[must_use]
    pub fn expected(&self) -> DmaBytes {
        match self.extra().aside.take() {
            Some(expected) if self.op() == Op::CompareAndWrite => {
                let expected = expected.into_bytes();
                self.extra().aside.set(Some(expected.clone().into()));
                expected
            }
            _ => self.carries_nothing("expected data"),
        }
    }

    /// The first block that a copy comes from. It takes as many as it goes to.
    #[must_use]
    pub fn copy_from(&self) -> u64 {
        debug_assert_eq!(self.op(), Op::Copy);
        self.value()
    }

    /// Has a copy come from other blocks: for a module that maps addresses.
    pub fn set_copy_from(&mut self, lba: u64) {
        debug_assert_eq!(self.op(), Op::Copy);
        self.set_value(lba);
    }

    /// What a seek has found, once it was answered.
    #[must_use]
    pub fn found(&self) -> Option<u64> {
        Some(self.value()).filter(|lba| *lba != NOWHERE)
    }

    /// What a seek has found, if anything.
    pub fn set_found(&mut self, lba: Option<u64>) {
        self.set_value(lba.unwrap_or(NOWHERE));
    }

    /// The number that goes with some operations: see the accessors with a name. After an append, the first block written.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.extra().value.get()
    }

    /// Sets the number that goes with the operation, such as where an append went.
    pub fn set_value(&mut self, value: u64) {
        self.extra().value.set(value);
    }

    /// What to do with the zone.
    ///
    /// # Panics
    /// If this does not manage a zone.
    #[must_use]
    pub fn zone_action(&self) -> ZoneAction {
        match ZoneAction::from_number(self.value()) {
            Some(action) if self.op() == Op::ZoneManage => action,
            _ => self.carries_nothing("zone action"),
        }
    }

    /// Takes the list of zones out: empty for the module that fills it, full once it was answered.
    #[must_use]
    pub fn take_zones(&mut self) -> Vec<Zone> {
        self.extra().rare().zones.take()
    }

    /// Brings the list of zones back: those that have blocks in [`range`](Io::range), in order.
    pub fn put_zones(&mut self, zones: Vec<Zone>) {
        self.extra().rare().zones.set(zones);
    }

    /// The NVMe command.
    #[must_use]
    pub fn nvme_command(&self) -> NvmeCommand {
        self.extra().rare().command.get()
    }

    /// How the device answered the command, in a success of the I/O: dwords 0 and 1 of the completion, and its status
    /// without the phase bit.
    pub fn set_nvme_answer(&mut self, result: u64, status: u16) {
        self.set_value(result);
        self.extra().rare().status.set(status);
    }

    /// True if the buffer of this read or write is a list of them. Only a module whose
    /// [`Geometry::max_segments`](super::Geometry::max_segments) is not 1 is given lists.
    #[must_use]
    pub fn is_vectored(&self) -> bool {
        let segments = self.extra().segments.take();
        let is_vectored = !matches!(segments, Segments::None);
        self.extra().segments.set(segments);
        is_vectored
    }

    /// Takes the buffers of a vectored read out; [`put_read_bufs`](Io::put_read_bufs) brings them back. Each has whole blocks.
    ///
    /// # Panics
    /// If this is no vectored read, or the buffers have been taken.
    #[must_use]
    pub fn take_read_bufs(&mut self) -> Vec<DmaBuf> {
        match self.extra().segments.take() {
            Segments::Read(bufs) => bufs,
            _ => self.carries_nothing("list of buffers to read into"),
        }
    }

    /// Brings the buffers of a vectored read back, before [`done`](Io::done).
    pub fn put_read_bufs(&mut self, bufs: Vec<DmaBuf>) {
        self.extra().segments.set(Segments::Read(bufs));
    }

    /// Takes the data of a vectored write out. It need not come back.
    ///
    /// # Panics
    /// If this is no vectored write, or the data has been taken.
    #[must_use]
    pub fn take_data_list(&mut self) -> Vec<DmaBytes> {
        match self.extra().segments.take() {
            Segments::Write(list) => list,
            _ => self.carries_nothing("list of data to write"),
        }
    }
}
