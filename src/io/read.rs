//! Reading: one operation, and what is made of several.

use super::{BufResult, IoBuf, IoBufMut};
use std::future::Future;
use std::io;
use std::rc::Rc;

/// A source of bytes, read into owned buffers.
///
/// A read does not borrow the source: it may be kept beside it, and a source that can is read and written at the same time. Two
/// reads at once each get some of the bytes, in the order in which they were started.
pub trait ReadOwned {
    /// A read of one buffer. Streams made of others' futures box theirs: `futures::future::LocalBoxFuture`.
    type Reading<B: IoBufMut>: Future<Output = BufResult<B>> + Unpin + 'static;

    /// Reads into `buf`, at most its whole length, and yields how many bytes came: none at the end, and none for an empty
    /// buffer.
    ///
    /// Dropping the future keeps the buffer until the source has answered; bytes read meanwhile are lost.
    ///
    /// # Errors
    /// The source's own, with the buffer.
    fn read<B: IoBufMut>(&self, buf: B) -> Self::Reading<B>;

    /// Reads until `buf` is full.
    ///
    /// Dropping the future loses what was read so far.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`io::ErrorKind::UnexpectedEof`] if the source ends before. The buffer's contents are then
    /// unspecified.
    fn read_exact<B: IoBufMut>(&self, mut buf: B) -> impl Future<Output = BufResult<B>> {
        async move {
            let mut filled = 0;
            while filled < buf.len() {
                let (result, rest) = self.read(buf.slice(filled..)).await;
                buf = rest.into_inner();
                match result {
                    Ok(0) => return (Err(io::ErrorKind::UnexpectedEof.into()), buf),
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return (Err(error), buf),
                }
            }
            (Ok(filled), buf)
        }
    }

    /// Reads to the end and appends to `bytes`; yields how many bytes came.
    ///
    /// Dropping the future loses the bytes.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), with what was read so far.
    fn read_to_end(&self, mut bytes: Vec<u8>) -> impl Future<Output = BufResult<Vec<u8>>> {
        /// The first read; later ones ask for as much as there is already, up to the bound.
        const LEN_MIN: usize = 4 << 10;
        const LEN_MAX: usize = 1 << 20;
        async move {
            let begin = bytes.len();
            loop {
                let filled = bytes.len();
                bytes.resize(filled + (filled - begin).clamp(LEN_MIN, LEN_MAX), 0);
                let (result, rest) = self.read(bytes.slice(filled..)).await;
                bytes = rest.into_inner();
                bytes.truncate(filled + result.as_ref().map_or(0, |count| *count));
                match result {
                    Ok(0) => return (Ok(filled - begin), bytes),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return (Err(error), bytes),
                }
            }
        }
    }
}

/// Whoever can be asked through a pointer.
macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<S: ReadOwned + ?Sized> ReadOwned for $pointer {
            type Reading<B: IoBufMut> = S::Reading<B>;

            fn read<B: IoBufMut>(&self, buf: B) -> Self::Reading<B> {
                (**self).read(buf)
            }
        }
    )*};
}

pointers!(&S, Rc<S>);
