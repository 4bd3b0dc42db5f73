//! The data path of one core: I/Os become operations of its ring.

use std::io;
use std::rc::Rc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::polled::Polled;
use crate::bdev::{Done, Error, Io, Op, Submit};
use crate::sys::dma::{DmaBuf, DmaBytes};
use crate::uring::{Fd, Ring};

/// One core's handle on the file.
#[derive(Debug)]
pub struct UringChannel {
    pub(super) ring: Rc<Ring>,
    pub(super) fd: Fd,
    /// If completions are to be polled for.
    pub(super) polled: Option<Polled>,
    pub(super) block_size: u64,
    /// A block device, not a file.
    pub(super) is_disk: bool,
}

impl Submit for UringChannel {
    async fn submit(&self, mut io: Io) -> Done {
        let start = io.lba() * self.block_size;
        let result = match io.op() {
            Op::Read | Op::Write if io.is_vectored() => self.transfer_list(&mut io, start).await,
            Op::Read => {
                let (result, buf) = self.read(io.take_read_buf(), start).await;
                if let Some(buf) = buf {
                    io.put_read_buf(buf);
                }
                result
            }
            Op::Write => self.write(io.take_data(), start).await,
            Op::Flush => self.ring.sync_data(&self.fd).await,
            Op::WriteZeroes => self.allocate(FallocateFlags::ZERO_RANGE, start, &io).await,
            Op::Unmap => self.unmap(start, &io).await,
            Op::SeekData | Op::SeekHole => self.seek(&mut io).await,
            _ => return io.unsupported(),
        };
        let op = io.op();
        io.done(result.map_err(|e| sorted(op, e)))
    }

    fn is_lingering(&self) -> bool {
        self.fd.is_shared() || self.polled.as_ref().is_some_and(|polled| polled.fd.is_shared())
    }
}

impl UringChannel {
    #[inline]
    fn polled(&self) -> Option<&Polled> {
        self.polled.as_ref()?.open()
    }

    /// Fills `buf` from byte `at`. The kernel may bring less than was asked for; then the rest is asked for.
    #[inline]
    async fn read(&self, buf: DmaBuf, at: u64) -> (io::Result<()>, Option<DmaBuf>) {
        let len = buf.len();
        let (result, buf) = match self.polled() {
            None => self.ring.read_at(&self.fd, buf, at).await,
            Some(polled) => match polled.ring.read_at(&polled.fd, buf, at).await {
                (answer, buf) if polled.refuses(&answer) => self.ring.read_at(&self.fd, buf, at).await,
                answer => answer,
            },
        };
        match result {
            Ok(n) if n == len => (Ok(()), Some(buf)),
            Ok(n) => self.read_rest(buf, n, at).await,
            Err(e) => (Err(e), Some(buf)),
        }
    }

    #[cold]
    async fn read_rest(
        &self,
        mut rest: DmaBuf,
        mut n: usize,
        mut at: u64,
    ) -> (io::Result<()>, Option<DmaBuf>) {
        let mut filled = rest.split_to(0);
        let result = loop {
            if n == 0 {
                break Err(has_become_shorter());
            }
            let part = rest.split_to(n);
            at += n as u64;
            filled = match filled.unsplit(part) {
                Ok(joined) => joined,
                Err(_) => unreachable!("the parts of one buffer, in order"),
            };
            if rest.is_empty() {
                break Ok(());
            }
            let answer;
            (answer, rest) = self.ring.read_at(&self.fd, rest, at).await;
            n = match answer {
                Ok(n) => n,
                Err(e) => break Err(e),
            };
        };
        (result, filled.unsplit(rest).ok())
    }

    /// Writes all of `data` from byte `at` on.
    #[inline]
    async fn write(&self, mut data: DmaBytes, mut at: u64) -> io::Result<()> {
        loop {
            let len = data.len();
            let answer;
            (answer, data) = match self.polled() {
                None => self.ring.write_at(&self.fd, data, at).await,
                Some(polled) => match polled.ring.write_at(&polled.fd, data, at).await {
                    (answer, data) if polled.refuses(&answer) => self.ring.write_at(&self.fd, data, at).await,
                    answer => answer,
                },
            };
            let n = answer?;
            if n == len {
                return Ok(());
            }
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            data = data.slice(n..);
            at += n as u64;
        }
    }

    /// Reads or writes several buffers in one go, or in as many as the kernel makes of it.
    async fn transfer_list(&self, io: &mut Io, at: u64) -> io::Result<()> {
        let len = (io.blocks() * self.block_size) as usize;
        let mut done = 0;
        if io.op() == Op::Write {
            let mut list = io.take_data_list();
            while done < len {
                let answer;
                (answer, list) = self.ring.write_vectored_at(&self.fd, list, done, at + done as u64).await;
                match answer? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    n => done += n,
                }
            }
            return Ok(());
        }
        let mut bufs = io.take_read_bufs();
        let mut result = Ok(());
        while done < len && result.is_ok() {
            let answer;
            (answer, bufs) = self.ring.read_vectored_at(&self.fd, bufs, done, at + done as u64).await;
            match answer {
                Ok(0) => result = Err(has_become_shorter()),
                Ok(n) => done += n,
                Err(e) => result = Err(e),
            }
        }
        io.put_read_bufs(bufs);
        result
    }

    /// Punches a hole, which reads as zeroes. Disks that have no such command may discard all the same.
    async fn unmap(&self, start: u64, io: &Io) -> io::Result<()> {
        match self.allocate(FallocateFlags::PUNCH_HOLE, start, io).await {
            Err(e) if self.is_disk && Errno::from_io_error(&e) == Some(Errno::OPNOTSUPP) => {
                self.discard(start, io.blocks() * self.block_size).await
            }
            result => result,
        }
    }

    async fn allocate(&self, how: FallocateFlags, start: u64, io: &Io) -> io::Result<()> {
        let end = start + io.blocks() * self.block_size;
        self.ring.allocate(&self.fd, how | FallocateFlags::KEEP_SIZE, start..end).await
    }
}

#[cold]
fn has_become_shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")
}

/// Names an error for what the caller can do.
#[cold]
fn sorted(op: Op, e: io::Error) -> Error {
    match Errno::from_io_error(&e) {
        Some(Errno::IO) => Error::Media,
        Some(Errno::NOSPC | Errno::DQUOT) => Error::NoSpace,
        Some(Errno::NODEV | Errno::NXIO) => Error::Removed,
        Some(Errno::CANCELED) => Error::Aborted,
        Some(Errno::OPNOTSUPP) => Error::unsupported(op),
        _ => Error::Io(e),
    }
}
