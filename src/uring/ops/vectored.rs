//! Reading and writing at an offset, with several owned buffers at once.

#![expect(unsafe_code, reason = "vouches for entries that point to a list of owned buffers")]

use super::rw::checked;
use crate::inflight::Payload;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{Fd, IoBuf, IoBufMut, Ring};
use io_uring::{opcode, squeue::Entry};
use rustix::io::Errno;
use rustix::io_uring::iovec;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;

/// The kernel's own bound on one list (`UIO_MAXIOV`).
pub(super) const BUFFERS_MAX: usize = 1024;

/// Lists of places kept for the next operations of this thread: more than are in flight at once of what has several buffers.
const SPARES_MAX: usize = 64;

/// Where the buffers of one operation lie, as the kernel takes it.
struct Places(Vec<iovec>);

impl Places {
    fn bytes(&self) -> usize {
        self.0.iter().map(|place| place.iov_len).fold(0, usize::saturating_add)
    }
}

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes travel with operations and come back")]
    static SPARES: RefCell<Vec<Box<Places>>> = const { RefCell::new(Vec::new()) };
}

/// What the slot keeps: the buffers, where they lie, and the file. Five words.
struct List<B> {
    bufs: Vec<B>,
    places: Box<Places>,
    fd: Fd,
}

impl<B: 'static> Payload<Completion> for List<B> {}

impl<B: IoBuf> List<B> {
    /// The places of all bytes but the first `skip`, as far as one list goes. `first` gives a buffer's first byte.
    fn new(fd: &Fd, mut bufs: Vec<B>, mut skip: usize, first: impl Fn(&mut B) -> *mut u8) -> Self {
        let spare = SPARES.with_borrow_mut(Vec::pop);
        let mut places = spare.unwrap_or_else(|| Box::new(Places(Vec::new())));
        for buf in &mut bufs {
            let len = buf.len();
            let gone = skip.min(len);
            skip -= gone;
            if gone < len {
                let iov_base = first(buf).wrapping_add(gone).cast();
                places.0.push(iovec { iov_base, iov_len: len - gone });
                if places.0.len() == BUFFERS_MAX {
                    break;
                }
            }
        }
        Self { bufs, places, fd: fd.clone() }
    }

    fn finish(mut self, completion: Completion) -> (io::Result<usize>, Vec<B>) {
        self.places.0.clear();
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < SPARES_MAX {
                spares.push(self.places);
            }
        });
        (completion.into_result(), self.bufs)
    }
}

/// Reads or writes all of a list.
struct Vectored<B> {
    list: List<B>,
    offset: u64,
    is_write: bool,
}

// SAFETY: the entry points to the places, which are on the heap and never change, and through them to the buffers' bytes, which
// `IoBuf` keeps in place: the buffers are not touched until `finish`. The kernel only reads them where `is_write`; where it is not,
// `read_vectored_at` made the list of an `IoBufMut`'s pointers, and the bytes are ours alone while `Held` has them.
unsafe impl<B: IoBuf> Operation for Vectored<B> {
    type Held = List<B>;
    type Output = (io::Result<usize>, Vec<B>);

    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, List<B>) {
        let Self { list, offset, is_write } = self;
        let (fd, flags) = list.fd.target_of(list.places.bytes(), ring);
        let (places, len) = (list.places.0.as_ptr().cast(), list.places.0.len() as u32);
        let entry = |offset| match is_write {
            true => opcode::Writev::new(fd, places, len).offset(offset).build().flags(flags),
            false => opcode::Readv::new(fd, places, len).offset(offset).build().flags(flags),
        };
        (checked(offset).map(entry), list)
    }

    fn finish(list: List<B>, completion: Completion) -> Self::Output {
        list.finish(completion)
    }
}

impl Ring {
    /// Reads at byte `offset` into `bufs`, one after the other, leaving out their first `skip` bytes, and yields how many bytes
    /// came. At most 1,024 buffers that are not empty and 2 GiB − 4 KiB at once; what is beyond is left for another call, as after any
    /// short read.
    ///
    /// Dropping the future keeps the buffers until the kernel has answered.
    ///
    /// # Errors
    /// Those of `preadv(2)`, with their OS code and the buffers; `EINVAL` also for an offset beyond `i64::MAX`.
    pub fn read_vectored_at<B: IoBufMut>(
        self: &Rc<Self>,
        fd: &Fd,
        bufs: Vec<B>,
        skip: usize,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, Vec<B>)> + use<B> {
        let list = List::new(fd, bufs, skip, B::as_mut_ptr);
        Op::new(self, Vectored { list, offset, is_write: false })
    }

    /// Writes `bufs` one after the other at byte `offset`, leaving out their first `skip` bytes, and yields how many bytes went;
    /// bounds as for [`read_vectored_at`](Self::read_vectored_at).
    ///
    /// Dropping the future keeps the buffers until the kernel has answered; whether anything was written is then unknown.
    ///
    /// # Errors
    /// Those of `pwritev(2)`, with their OS code and the buffers; `EINVAL` also for an offset beyond `i64::MAX`.
    pub fn write_vectored_at<B: IoBuf>(
        self: &Rc<Self>,
        fd: &Fd,
        bufs: Vec<B>,
        skip: usize,
        offset: u64,
    ) -> impl Future<Output = (io::Result<usize>, Vec<B>)> + use<B> {
        let list = List::new(fd, bufs, skip, |buf| buf.as_ptr().cast_mut());
        Op::new(self, Vectored { list, offset, is_write: true })
    }
}
