//! Reading and writing at an offset, with one owned buffer.

#![expect(unsafe_code, reason = "vouches for entries that point into owned buffers")]

use crate::inflight::Payload;
use crate::uring::Link;
use crate::uring::op::{Op, Operation};
use crate::uring::queues::Completion;
use crate::uring::{BufResult, Fd, IoBuf, IoBufMut, Ring};
use io_uring::{opcode, squeue::Entry};
use rustix::io::Errno;
use std::rc::Rc;

/// The kernel's own bound (`MAX_RW_COUNT`): the largest multiple of 4 KiB below 2 GiB. It would cut longer requests to this.
pub(super) const LEN_MAX: usize = 0x7fff_f000;

struct Read<B>(Transfer<B>, u64);
struct Write<B>(Transfer<B>, u64);

/// What the slot keeps: the buffer, and the file so that its number keeps naming it.
pub(super) struct Transfer<B> {
    pub(super) buf: B,
    pub(super) fd: Fd,
}

impl<B: 'static> Payload<Completion> for Transfer<B> {}

impl<B> Transfer<B> {
    #[inline]
    pub(super) fn finish(self, completion: Completion) -> BufResult<B> {
        (completion.into_result(), self.buf)
    }
}

/// The offset as the kernel takes it, which reads −1 as "at the file's own position".
#[inline]
pub(super) fn checked(offset: u64) -> Result<u64, Errno> {
    if offset <= i64::MAX as u64 { Ok(offset) } else { Err(Errno::INVAL) }
}

/// The buffer's number among those that are registered, if it is to be named by that.
///
/// Of registered memory the kernel looks at each page by itself, and direct I/O has it refused (`EINVAL`) unless what is in each is whole
/// blocks (Linux 6.12, `bdev_iter_is_aligned`): from 4 bytes into a page on, say, where the device takes it. So pages are to be whole, or
/// one.
#[inline]
fn registered<B: IoBuf>(ring: &Rc<Ring>, buf: &B) -> Option<u16> {
    const PAGE: usize = 4096;
    let into = buf.as_ptr().addr() % PAGE;
    if into == 0 || into + buf.len() <= PAGE { ring.buffer_entry(buf.chunk()) } else { None }
}

// SAFETY: the entry points to the buffer's bytes, which `IoBufMut` keeps in place, and ours alone while `Held` has it.
unsafe impl<B: IoBufMut> Operation for Read<B> {
    type Held = Transfer<B>;
    type Output = BufResult<B>;

    #[inline]
    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Transfer<B>) {
        let Self(mut held, offset) = self;
        let (len, to) = (held.buf.len().min(LEN_MAX) as u32, held.buf.as_mut_ptr());
        let (fd, flags) = held.fd.target_of(held.buf.len(), ring);
        let entry = |offset| match registered(ring, &held.buf) {
            Some(index) => opcode::ReadFixed::new(fd, to, len, index).offset(offset).build().flags(flags),
            None => opcode::Read::new(fd, to, len).offset(offset).build().flags(flags),
        };
        (checked(offset).map(entry), held)
    }

    #[inline]
    fn finish(held: Transfer<B>, completion: Completion) -> BufResult<B> {
        held.finish(completion)
    }
}

// SAFETY: the entry points to the buffer's bytes, which `IoBuf` keeps in place and unchanged; the kernel only reads them.
unsafe impl<B: IoBuf> Operation for Write<B> {
    type Held = Transfer<B>;
    type Output = BufResult<B>;

    #[inline]
    fn prepare(self, ring: &Rc<Ring>) -> (Result<Entry, Errno>, Transfer<B>) {
        let Self(held, offset) = self;
        let (len, from) = (held.buf.len().min(LEN_MAX) as u32, held.buf.as_ptr());
        let (fd, flags) = held.fd.target_of(held.buf.len(), ring);
        let entry = |offset| match registered(ring, &held.buf) {
            Some(index) => opcode::WriteFixed::new(fd, from, len, index).offset(offset).build().flags(flags),
            None => opcode::Write::new(fd, from, len).offset(offset).build().flags(flags),
        };
        (checked(offset).map(entry), held)
    }

    #[inline]
    fn finish(held: Transfer<B>, completion: Completion) -> BufResult<B> {
        held.finish(completion)
    }
}

impl Ring {
    /// Reads at byte `offset` into `buf`, at most its whole length, and yields how many bytes came: fewer at the end of the
    /// file, or as the kernel likes; never more than 2 GiB − 4 KiB at once.
    ///
    /// Dropping the future keeps the buffer until the kernel has answered.
    ///
    /// # Errors
    /// Those of `pread(2)`, with their OS code and the buffer; `EINVAL` also for an offset beyond `i64::MAX`.
    pub fn read_at<B: IoBufMut>(
        self: &Rc<Self>,
        fd: &Fd,
        buf: B,
        offset: u64,
    ) -> impl Link<Output = BufResult<B>> + use<B> {
        Op::new(self, Read(Transfer { buf, fd: fd.clone() }, offset))
    }

    /// Writes `buf` at byte `offset` and yields how many bytes went: possibly fewer than all, never more than 2 GiB − 4 KiB
    /// at once.
    ///
    /// Dropping the future keeps the buffer until the kernel has answered; whether anything was written is then unknown.
    ///
    /// # Errors
    /// Those of `pwrite(2)`, with their OS code and the buffer; `EINVAL` also for an offset beyond `i64::MAX`.
    pub fn write_at<B: IoBuf>(
        self: &Rc<Self>,
        fd: &Fd,
        buf: B,
        offset: u64,
    ) -> impl Link<Output = BufResult<B>> + use<B> {
        Op::new(self, Write(Transfer { buf, fd: fd.clone() }, offset))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::inflight::Parcel;
    use crate::sys::dma::{DmaBuf, DmaBytes, DmaPool};
    use crate::uring::Slice;

    fn opcodes<B: IoBufMut>(ring: &Rc<Ring>, buf: B) -> [u32; 2] {
        let fd = Fd::from(std::fs::File::open("/dev/null").unwrap());
        let (read, held) = Read(Transfer { buf, fd }, 0).prepare(ring);
        let (write, _) = Write(held, 0).prepare(ring);
        [read, write].map(|entry| entry.unwrap().get_opcode())
    }

    /// Whole buffers and parts of them alike. (Parts of parts are for who can wait.)
    #[test]
    fn what_is_read_and_written_is_kept_without_an_allocation() {
        fn fits<B: IoBuf>() -> bool {
            Parcel::<Completion>::fits::<Transfer<B>>() && Parcel::<Completion>::fits::<Transfer<Slice<B>>>()
        }
        assert!(fits::<Vec<u8>>() && fits::<Box<[u8]>>() && fits::<&'static [u8]>() && fits::<String>());
        assert!(fits::<DmaBuf>() && fits::<DmaBytes>());
    }

    #[test]
    fn pool_buffers_and_parts_of_them_are_named_by_their_entry() {
        let ring = Ring::new(&Default::default()).unwrap();
        if ring.features().contains(crate::uring::Features::BUFFER_TABLE) {
            let fixed = [opcode::ReadFixed::CODE, opcode::WriteFixed::CODE].map(u32::from);
            assert_eq!(opcodes(&ring, DmaPool::local().try_alloc(4096).unwrap()), fixed);
            assert_eq!(opcodes(&ring, DmaPool::local().try_alloc(4096).unwrap().slice(512..1024)), fixed);
        }
        let plain = [opcode::Read::CODE, opcode::Write::CODE].map(u32::from);
        assert_eq!(opcodes(&ring, DmaPool::local().try_alloc(8192).unwrap().slice(512..4612)), plain);
        assert_eq!(opcodes(&ring, vec![0; 4096]), plain);
        assert_eq!(opcodes(&ring, DmaPool::new().try_alloc(4096).unwrap()), plain);
    }
}
