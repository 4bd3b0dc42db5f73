//! Writing: one operation, and what is made of several.

use super::{BufResult, IoBuf};
use std::future::Future;
use std::io;
use std::rc::Rc;

/// A sink of bytes, written from owned buffers.
///
/// A write does not borrow the sink: it may be kept beside it. Two writes at once are sent in the order in which they were
/// started, but either may be sent in part.
pub trait WriteOwned {
    /// A write of one buffer. Streams made of others' futures box theirs: `futures::future::LocalBoxFuture`.
    type Writing<B: IoBuf>: Future<Output = BufResult<B>> + Unpin + 'static;
    /// What [`flush`](Self::flush) and [`shutdown`](Self::shutdown) return.
    type Ending: Future<Output = io::Result<()>> + Unpin + 'static;

    /// Writes `buf` and yields how many bytes went: possibly fewer than all. Sockets send all where the kernel goes on by itself
    /// (Linux 5.19).
    ///
    /// Dropping the future keeps the buffer until the sink has answered; how much was written is then unknown.
    ///
    /// # Errors
    /// The sink's own, with the buffer.
    fn write<B: IoBuf>(&self, buf: B) -> Self::Writing<B>;

    /// Sees to it that nothing is kept back of what was written.
    ///
    /// # Errors
    /// The sink's own.
    fn flush(&self) -> Self::Ending;

    /// Says that nothing more will be written; what was written still arrives.
    ///
    /// # Errors
    /// The sink's own.
    fn shutdown(&self) -> Self::Ending;

    /// Writes all of `buf`.
    ///
    /// Dropping the future keeps the buffer until the sink has answered; how much was written is then unknown.
    ///
    /// # Errors
    /// Those of [`write`](Self::write); [`io::ErrorKind::WriteZero`] if the sink takes nothing. How much was written is then
    /// unknown.
    fn write_all<B: IoBuf>(&self, mut buf: B) -> impl Future<Output = BufResult<B>> {
        async move {
            let mut written = 0;
            while written < buf.len() {
                let (result, rest) = self.write(buf.slice(written..)).await;
                buf = rest.into_inner();
                match result {
                    Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                    Ok(count) => written += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return (Err(error), buf),
                }
            }
            (Ok(written), buf)
        }
    }
}

/// Whoever can be asked through a pointer.
macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<S: WriteOwned + ?Sized> WriteOwned for $pointer {
            type Writing<B: IoBuf> = S::Writing<B>;
            type Ending = S::Ending;

            fn write<B: IoBuf>(&self, buf: B) -> Self::Writing<B> {
                (**self).write(buf)
            }

            fn flush(&self) -> Self::Ending {
                (**self).flush()
            }

            fn shutdown(&self) -> Self::Ending {
                (**self).shutdown()
            }
        }
    )*};
}

pointers!(&S, Rc<S>);
