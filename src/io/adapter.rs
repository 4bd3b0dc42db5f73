//! What all adapters to other libraries' traits stand on: a stream with a buffer for each direction.
//!
//! Those traits lend a buffer for one poll; a ring needs it until the answer. So bytes are read and written through buffers that
//! belong to the operations in flight:
//!
//! ```text
//!  reading                                       writing
//!  Idle ── poll_fill ──▶ Busy(operation)         Idle ── poll_write copies ──▶ Busy(operation)
//!    ▲                     │ answer                ▲                             │ answer
//!    └─ all consumed ── Filled ◀┘                  └── all written ◀─────────────┤
//!                                                  ▲ next poll says the error    │ some left: on with the rest
//!                                                  └────────── Failed ◀──────────┘
//! ```
//!
//! An operation outlives the poll that began it: a read or write dropped midway loses neither bytes nor memory. A write is done as far
//! as the caller is concerned when its bytes are copied; an error that comes later is told by the next write, flush or close.

use super::{BufResult, IoBuf, ReadOwned, Slice, WriteOwned};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Bytes per direction, unless told otherwise.
const CAPACITY: usize = 16 << 10;

/// A stream of owned buffers as other libraries want it: implements `futures::io::{AsyncRead, AsyncBufRead, AsyncWrite}` and, with the
/// feature `tokio-io`, `tokio::io::{AsyncRead, AsyncBufRead, AsyncWrite}`.
///
/// Bytes go through one buffer of 16 KiB per direction, copied once. A write is done when it is copied: errors that come later are
/// told by the next write, flush or close. Flush before you drop it, or what the last write still has in flight may be cut off; and
/// before you wait for an answer over a stream that writes in parts, as sockets do before Linux 5.19.
///
/// ```
/// # reactor::LocalExecutor::new()?.block_on(async {
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
/// use reactor::{io::Adapter, net::UnixStream};
/// let (one, other) = UnixStream::pair()?;
/// let (mut one, mut other) = (Adapter::new(one), Adapter::new(other));
/// one.write_all(b"by any library").await?;
/// one.close().await?;
/// let mut said = String::new();
/// other.read_to_string(&mut said).await?;
/// assert_eq!(said, "by any library");
/// # std::io::Result::Ok(())
/// # })?;
/// # Ok::<(), reactor::Error>(())
/// ```
pub struct Adapter<S: ReadOwned + WriteOwned> {
    reader: Reader<S>,
    writer: Writer<S>,
    /// Dropped last: what is in flight may belong to it.
    stream: S,
}

struct Reader<S: ReadOwned> {
    state: Reading<S>,
    capacity: usize,
}

enum Reading<S: ReadOwned> {
    /// Before the first read the buffer is not made yet.
    Idle(Vec<u8>),
    Busy(S::Reading<Vec<u8>>),
    /// The bytes from the first to the second number are read and not consumed.
    Filled(Vec<u8>, usize, usize),
}

struct Writer<S: WriteOwned> {
    state: Writing<S>,
    capacity: usize,
    closing: Option<S::Ending>,
}

enum Writing<S: WriteOwned> {
    Idle(Vec<u8>),
    Busy(S::Writing<Slice<Vec<u8>>>),
    Failed(io::Error, Vec<u8>),
}

impl<S: ReadOwned + WriteOwned> Adapter<S> {
    /// Wraps the stream.
    pub fn new(stream: S) -> Self {
        Self::with_capacity(CAPACITY, stream)
    }

    /// Wraps the stream, with so many bytes of buffer per direction.
    ///
    /// # Panics
    /// If `bytes` is 0.
    pub fn with_capacity(bytes: usize, stream: S) -> Self {
        assert!(bytes > 0, "an adapter needs a buffer of at least one byte");
        Self {
            reader: Reader { state: Reading::Idle(Vec::new()), capacity: bytes },
            writer: Writer { state: Writing::Idle(Vec::new()), capacity: bytes, closing: None },
            stream,
        }
    }

    /// The stream. What was read ahead is in the adapter.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The bytes that are read and not consumed, reading if there are none; empty at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let Self { reader, stream, .. } = self;
        loop {
            match &mut reader.state {
                Reading::Filled(_, begin, end) if *begin < *end => break,
                Reading::Filled(buf, ..) | Reading::Idle(buf) => {
                    let mut buf = std::mem::take(buf);
                    buf.resize(reader.capacity, 0);
                    reader.state = Reading::Busy(stream.read(buf));
                }
                Reading::Busy(operation) => {
                    let (result, buf) = ready!(Pin::new(operation).poll(cx));
                    match result {
                        Ok(0) => {
                            reader.state = Reading::Idle(buf);
                            return Poll::Ready(Ok(&[]));
                        }
                        Ok(count) => reader.state = Reading::Filled(buf, 0, count),
                        Err(error) => {
                            reader.state = Reading::Idle(buf);
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
        }
        match &reader.state {
            Reading::Filled(buf, begin, end) => Poll::Ready(Ok(&buf[*begin..*end])),
            _ => unreachable!("the loop ends where there are bytes"),
        }
    }

    /// Copies what is read, `room` bytes at most, reading if there is nothing; 0 at the end, and where there is no room.
    pub(super) fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
        copy: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let bytes = ready!(self.poll_fill(cx))?;
        let count = bytes.len().min(room);
        copy(&bytes[..count]);
        self.take(count);
        Poll::Ready(Ok(count))
    }

    /// Takes `count` of the bytes that [`poll_fill`](Self::poll_fill) showed.
    pub(super) fn take(&mut self, count: usize) {
        match &mut self.reader.state {
            Reading::Filled(_, begin, end) if count <= *end - *begin => *begin += count,
            _ => assert!(count == 0, "{count} bytes consumed that are not there"),
        }
    }

    /// Copies what fits of the parts into the buffer, and begins to write it.
    pub(super) fn poll_write_parts<'a>(
        &mut self,
        cx: &mut Context<'_>,
        parts: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        let mut buf = ready!(self.poll_idle(cx))?;
        for part in parts {
            let room = self.writer.capacity - buf.len();
            buf.extend_from_slice(&part[..part.len().min(room)]);
        }
        let count = buf.len();
        if count == 0 {
            self.writer.state = Writing::Idle(buf);
            return Poll::Ready(Ok(0));
        }
        let mut operation = self.stream.write(buf.slice(..));
        // Operations start when first polled, and errors of this one are for later.
        match Pin::new(&mut operation).poll(cx) {
            Poll::Ready(answer) => self.written(answer),
            Poll::Pending => self.writer.state = Writing::Busy(operation),
        }
        Poll::Ready(Ok(count))
    }

    /// Waits until everything is written, and lends the empty buffer.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        loop {
            match &mut self.writer.state {
                Writing::Idle(buf) => return Poll::Ready(Ok(std::mem::take(buf))),
                Writing::Busy(operation) => {
                    let answer = ready!(Pin::new(operation).poll(cx));
                    self.written(answer);
                }
                Writing::Failed(error, buf) => {
                    let error = std::mem::replace(error, io::ErrorKind::BrokenPipe.into());
                    self.writer.state = Writing::Idle(std::mem::take(buf));
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn written(&mut self, (result, slice): BufResult<Slice<Vec<u8>>>) {
        let (begin, end) = (slice.begin(), slice.end());
        let mut buf = slice.into_inner();
        let left = match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => Ok(begin + count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(begin),
            Err(error) => Err(error),
        };
        self.writer.state = match left {
            Ok(begin) if begin < end => Writing::Busy(self.stream.write(buf.slice(begin..))),
            Ok(_) => {
                buf.clear();
                Writing::Idle(buf)
            }
            Err(error) => {
                buf.clear();
                Writing::Failed(error, buf)
            }
        };
    }

    /// Waits until everything is written.
    pub(super) fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let buf = ready!(self.poll_idle(cx))?;
        self.writer.state = Writing::Idle(buf);
        Poll::Ready(Ok(()))
    }

    /// Waits until everything is written, then says that nothing more comes.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flushed(cx))?;
        let closing = self.writer.closing.get_or_insert_with(|| self.stream.shutdown());
        let closed = ready!(Pin::new(closing).poll(cx));
        self.writer.closing = None;
        Poll::Ready(closed)
    }
}

/// Nothing is pinned: operations are `Unpin`, and buffers on the heap.
impl<S: ReadOwned + WriteOwned> Unpin for Adapter<S> {}

impl<S: ReadOwned + WriteOwned + fmt::Debug> fmt::Debug for Adapter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Adapter").field(&self.stream).finish()
    }
}
