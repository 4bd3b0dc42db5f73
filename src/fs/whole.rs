//! Whole files in one call.

use super::File;
use crate::uring::IoBuf;
use std::{io, path::Path};

/// How much more room a file gets that says nothing of its length, or is longer than it said.
const GROWTH: usize = 64 << 10;

/// Reads a file to its end.
///
/// # Errors
/// Those of [`File::open`] and [`File::read_at`]; [`OutOfMemory`](io::ErrorKind::OutOfMemory) if the file is larger than memory.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = File::open(path).await?;
    // One byte more, to see the end with the room there is. Files such as those of /proc say 0.
    let len = file.metadata().await?.len().saturating_add(1);
    let (mut buf, mut done) = (Vec::new(), 0);
    grow(&mut buf, usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?)?;
    loop {
        let (count, slice) = file.read_at(buf.slice(done..), done as u64).await;
        buf = slice.into_inner();
        match count {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if done == buf.len() {
            let more = done.max(GROWTH);
            grow(&mut buf, more)?;
        }
    }
    file.close().await?;
    buf.truncate(done);
    Ok(buf)
}

fn grow(buf: &mut Vec<u8>, more: usize) -> io::Result<()> {
    let reserved = buf.try_reserve_exact(more);
    reserved.map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
    if buf.is_empty() {
        // Fresh memory is zeroes already: this does not touch it.
        *buf = vec![0; more];
    } else {
        buf.resize(buf.len() + more, 0);
    }
    Ok(())
}

/// Reads a file to its end as text.
///
/// # Errors
/// Those of [`read`]; [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = read(path).await?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Makes `contents` all that is in a file, which is made if it is missing. Not atomic, and not durable before
/// [`File::sync_all`].
///
/// If the future is dropped, the file may be empty or hold a part.
///
/// # Errors
/// Those of [`File::create`] and [`File::write_all_at`].
pub async fn write(path: impl AsRef<Path>, contents: impl IoBuf) -> io::Result<()> {
    let file = File::create(path).await?;
    file.write_all_at(contents, 0).await.0?;
    file.close().await
}
