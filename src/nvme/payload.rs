//! What a command carries: the memory that the controller reads or writes, kept until it has answered.

use super::device::Device;
use super::done::Lost;
use super::prp::{Lists, Pointers, aligned};
use crate::sys::dma::{DmaAny, DmaBuf, DmaBytes};

/// What a command carries. It comes back with the answer.
///
/// ```
/// use reactor::{nvme::Payload, sys::dma::DmaPool};
/// let pool = DmaPool::new();
/// let payload = Payload::from(vec![pool.try_alloc(4096)?, pool.try_alloc(8192)?])
///     .with_metadata(pool.try_alloc(24)?);
/// assert_eq!((payload.len(), payload.metadata_len()), (12_288, 24));
/// assert_eq!(payload.into_bufs().len(), 2);
/// # Ok::<(), reactor::sys::dma::AllocError>(())
/// ```
#[derive(Debug)]
pub enum Payload {
    /// One buffer, which is what most commands carry, and costs no allocation.
    One(Buffer),
    /// Anything else: nothing, or several buffers, one behind the other, or metadata besides.
    Many(Pieces),
}

/// A buffer of either kind, to be written by the controller or read.
#[derive(Debug)]
pub struct Buffer(pub(super) DmaAny);

/// Several buffers and metadata, or nothing.
#[derive(Debug, Default)]
pub struct Pieces(Option<Box<List>>);

#[derive(Debug, Default)]
struct List {
    data: Vec<DmaAny>,
    metadata: Option<DmaAny>,
}

// In three words it goes through memory at every step of an I/O: in the driver that took as long as all the rest.
const _: () = assert!(size_of::<Payload>() == size_of::<Buffer>());

impl Payload {
    /// Nothing.
    #[expect(non_upper_case_globals, reason = "used as the variant that there is no room for")]
    pub const None: Self = Self::Many(Pieces(None));

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffers().map(DmaAny::len).sum()
    }

    /// Whether it has no byte of data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of metadata.
    #[must_use]
    pub fn metadata_len(&self) -> usize {
        self.metadata().map_or(0, DmaAny::len)
    }

    /// With metadata apart from the data, for formats that have it there: a [`DmaBuf`] to read it to, or [`DmaBytes`] to write.
    #[must_use]
    pub fn with_metadata(self, metadata: impl Into<Buffer>) -> Self {
        let mut list = match self {
            Self::Many(Pieces(Some(list))) => list,
            other => Box::new(List { data: other.into_parts().0, metadata: None }),
        };
        list.metadata = Some(metadata.into().0);
        Self::Many(Pieces(Some(list)))
    }

    /// The buffer that it was made of, if it was one to be written.
    #[must_use]
    #[inline(always)]
    pub fn into_buf(self) -> Option<DmaBuf> {
        match self {
            Self::One(buffer) => buffer.0.into_buf(),
            other => other.into_last(),
        }
    }

    #[cold]
    fn into_last(self) -> Option<DmaBuf> {
        self.into_bufs().pop()
    }

    /// The buffers to be written that it was made of.
    #[must_use]
    pub fn into_bufs(self) -> Vec<DmaBuf> {
        self.into_parts().0.into_iter().filter_map(DmaAny::into_buf).collect()
    }

    /// The same, and that of the metadata.
    #[must_use]
    pub fn into_bufs_and_metadata(self) -> (Vec<DmaBuf>, Option<DmaBuf>) {
        let (data, metadata) = self.into_parts();
        (data.into_iter().filter_map(DmaAny::into_buf).collect(), metadata.and_then(DmaAny::into_buf))
    }

    /// What a command points there with, whose list goes to the page of its `slot`; none if there is nothing, or it says itself where it
    /// is.
    ///
    /// # Errors
    /// Why it cannot point there.
    #[inline(always)]
    pub(super) fn point<D: Device>(
        &self,
        device: &D,
        lists: &Lists,
        slot: usize,
    ) -> Result<Option<Pointers>, Lost> {
        match self {
            Self::One(buffer) => lists.point(slot, device.see(&buffer.0)).map(Some),
            Self::Many(Pieces(None)) => Ok(None),
            Self::Many(Pieces(Some(list))) => list.point(device, lists, slot).map(Some),
        }
    }

    /// Each buffer of its data, in order.
    pub(super) fn buffers(&self) -> impl Iterator<Item = &DmaAny> {
        match self {
            Self::One(buffer) => std::slice::from_ref(&buffer.0),
            Self::Many(Pieces(list)) => list.as_ref().map_or(&[][..], |list| &list.data),
        }
        .iter()
    }

    /// The buffer of its metadata.
    pub(super) fn metadata(&self) -> Option<&DmaAny> {
        match self {
            Self::Many(Pieces(list)) => list.as_ref()?.metadata.as_ref(),
            Self::One(_) => None,
        }
    }

    /// The same in the form that SGLs are made of, where there are any.
    pub(super) fn described(self) -> Self {
        let (data, metadata) = self.into_parts();
        Self::Many(Pieces(Some(Box::new(List { data, metadata }))))
    }

    /// Whether a device may write to all of it.
    pub(super) fn is_writable(&self) -> bool {
        self.buffers().chain(self.metadata()).all(DmaAny::is_writable)
    }

    /// Its buffers and that of its metadata.
    pub(super) fn into_parts(self) -> (Vec<DmaAny>, Option<DmaAny>) {
        match self {
            Self::One(buffer) => (vec![buffer.0], None),
            Self::Many(Pieces(list)) => list.map_or_else(Default::default, |list| (list.data, list.metadata)),
        }
    }

    /// Of these.
    pub(super) fn from_parts(mut data: Vec<DmaAny>, metadata: Option<DmaAny>) -> Self {
        match data.len() {
            0 if metadata.is_none() => Self::None,
            1 if metadata.is_none() => data.pop().map_or(Self::None, |buffer| Self::One(Buffer(buffer))),
            _ => Self::Many(Pieces(Some(Box::new(List { data, metadata })))),
        }
    }
}

impl List {
    #[cold]
    fn point<D: Device>(&self, device: &D, lists: &Lists, slot: usize) -> Result<Pointers, Lost> {
        let metadata = match &self.metadata {
            Some(metadata) => aligned(device.see(metadata))?.start,
            None => 0,
        };
        let data = match self.data.is_empty() {
            true => Pointers::default(),
            false => lists.point_to_all(slot, self.data.iter().map(|buffer| device.see(buffer)))?,
        };
        Ok(Pointers { metadata, ..data })
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::None
    }
}

impl From<DmaBuf> for Buffer {
    #[inline(always)]
    fn from(buf: DmaBuf) -> Self {
        Self(buf.into())
    }
}

impl From<DmaBytes> for Buffer {
    #[inline(always)]
    fn from(bytes: DmaBytes) -> Self {
        Self(bytes.into())
    }
}

impl From<DmaBuf> for Payload {
    #[inline(always)]
    fn from(buf: DmaBuf) -> Self {
        Self::One(buf.into())
    }
}

impl From<DmaBytes> for Payload {
    #[inline(always)]
    fn from(bytes: DmaBytes) -> Self {
        Self::One(bytes.into())
    }
}

impl From<Vec<DmaBuf>> for Payload {
    fn from(bufs: Vec<DmaBuf>) -> Self {
        Self::from_parts(bufs.into_iter().map(DmaAny::from).collect(), None)
    }
}

impl From<Vec<DmaBytes>> for Payload {
    fn from(bytes: Vec<DmaBytes>) -> Self {
        Self::from_parts(bytes.into_iter().map(DmaAny::from).collect(), None)
    }
}
