//! Halves of a stream: one reads, the other writes.

use super::stream::OverSocket;
use super::{SendZeroCopy, TcpStream};
use crate::io::{IoBuf, IoBufMut, ReadOwned, WriteOwned};
use std::fmt;
use std::net::Shutdown;
use std::rc::Rc;

/// The half that reads, lent by a stream's `split`.
#[derive(Debug)]
pub struct ReadHalf<'a, S>(&'a S);

/// The half that writes, lent by a stream's `split`.
#[derive(Debug)]
pub struct WriteHalf<'a, S>(&'a S);

/// The half that reads, of a stream's `into_split`.
#[derive(Debug)]
pub struct OwnedReadHalf<S>(Rc<S>);

/// The half that writes, of a stream's `into_split`. Dropping it tells the peer that nothing more comes.
pub struct OwnedWriteHalf<S: OverSocket> {
    /// `None` once the stream has been put together again.
    stream: Option<Rc<S>>,
}

/// Two halves that are not of one stream.
#[derive(Debug, thiserror::Error)]
#[error("these are halves of two streams")]
pub struct ReuniteError<S: OverSocket>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

pub(super) fn lend<S>(stream: &S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    (ReadHalf(stream), WriteHalf(stream))
}

pub(super) fn part<S: OverSocket>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Rc::new(stream);
    (OwnedReadHalf(stream.clone()), OwnedWriteHalf { stream: Some(stream) })
}

impl<S: OverSocket> OwnedReadHalf<S> {
    /// Puts the stream together again.
    ///
    /// # Errors
    /// Both halves, if they are not of one stream.
    pub fn reunite(self, mut write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Rc::ptr_eq(&self.0, write.stream()) {
            return Err(ReuniteError(self, write));
        }
        drop(write.stream.take());
        Ok(Rc::into_inner(self.0).expect("the halves were two"))
    }
}

impl<S: OverSocket> OwnedWriteHalf<S> {
    fn stream(&self) -> &Rc<S> {
        self.stream.as_ref().expect("only `reunite` takes it, with the half")
    }
}

impl<S: OverSocket> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // Fails if the peer has ended the connection: then it knows.
            let _ = stream.socket().shutdown(Shutdown::Write);
        }
    }
}

impl<S: OverSocket> fmt::Debug for OwnedWriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedWriteHalf").field(&self.stream.as_ref().map(|stream| stream.socket())).finish()
    }
}

impl WriteHalf<'_, TcpStream> {
    /// See [`TcpStream::send_zero_copy`].
    ///
    /// # Errors
    /// As there.
    pub fn send_zero_copy<B: IoBuf>(&self, buf: B) -> SendZeroCopy<B> {
        self.0.send_zero_copy(buf)
    }
}

impl OwnedWriteHalf<TcpStream> {
    /// See [`TcpStream::send_zero_copy`].
    ///
    /// # Errors
    /// As there.
    pub fn send_zero_copy<B: IoBuf>(&self, buf: B) -> SendZeroCopy<B> {
        self.stream().send_zero_copy(buf)
    }
}

macro_rules! reads {
    ($($half:ty),*) => {$(
        impl<S: ReadOwned> ReadOwned for $half {
            type Reading<B: IoBufMut> = S::Reading<B>;

            #[inline]
            fn read<B: IoBufMut>(&self, buf: B) -> Self::Reading<B> {
                self.0.read(buf)
            }
        }
    )*};
}

reads!(ReadHalf<'_, S>, OwnedReadHalf<S>);

impl<S: WriteOwned> WriteOwned for WriteHalf<'_, S> {
    type Writing<B: IoBuf> = S::Writing<B>;
    type Ending = S::Ending;

    #[inline]
    fn write<B: IoBuf>(&self, buf: B) -> Self::Writing<B> {
        self.0.write(buf)
    }
    fn flush(&self) -> Self::Ending {
        self.0.flush()
    }
    fn shutdown(&self) -> Self::Ending {
        self.0.shutdown()
    }
}

impl<S: OverSocket + WriteOwned> WriteOwned for OwnedWriteHalf<S> {
    type Writing<B: IoBuf> = S::Writing<B>;
    type Ending = S::Ending;

    #[inline]
    fn write<B: IoBuf>(&self, buf: B) -> Self::Writing<B> {
        self.stream().write(buf)
    }
    fn flush(&self) -> Self::Ending {
        self.stream().flush()
    }
    fn shutdown(&self) -> Self::Ending {
        self.stream().shutdown()
    }
}
