//! Copying on a thread that may block: by the kernel if it can between two files, else through a buffer.

use super::File;
use rustix::{
    fs::{SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, seek},
    io::Errno,
};
use std::{
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
};

/// Bytes per trip to the thread: long enough that the trip is lost in it, short enough that a dropped copy ends soon.
pub(super) const CHUNK: u64 = 16 << 20;

/// Bytes that go through memory at once.
pub(super) const BUFFER: usize = 256 << 10;

/// Two files, and how bytes get from one to the other.
pub(super) struct Copying {
    pub(super) source: std::fs::File,
    pub(super) target: std::fs::File,
    /// Empty while the kernel does it.
    buffer: Vec<u8>,
}

impl Copying {
    pub(super) fn new(source: &File, target: &File) -> io::Result<Self> {
        let (source, target) = (source.try_clone_to_std()?, target.try_clone_to_std()?);
        Ok(Self { source, target, buffer: Vec::new() })
    }

    /// As if the kernel had refused.
    #[cfg(all(test, not(loom)))]
    pub(super) fn by_buffer(self) -> Self {
        Self { buffer: vec![0; BUFFER], ..self }
    }

    /// Makes the target all that the source is, without a byte being moved, and returns how long it is; `None` if the file system
    /// cannot share blocks between the two.
    pub(super) fn share(&self) -> io::Result<Option<u64>> {
        match ioctl_ficlone(&self.target, &self.source) {
            Ok(()) => self.target.metadata().map(|known| Some(known.len())),
            Err(_) => Ok(None),
        }
    }

    /// Where the range ends. One of a file that is copied into itself ends where the file does now, or it would feed on what it
    /// writes; it must not overlap with its target, for which the kernel looks at each step alone.
    pub(super) fn end(&self, bytes: Range<u64>, at: u64) -> io::Result<u64> {
        let (source, target) = (self.source.metadata()?, self.target.metadata()?);
        if !source.is_file() || (source.dev(), source.ino()) != (target.dev(), target.ino()) {
            return Ok(bytes.end);
        }
        let end = bytes.end.min(source.len());
        let overlaps = bytes.start.abs_diff(at) < end.saturating_sub(bytes.start);
        if overlaps { Err(Errno::INVAL.into()) } else { Ok(end) }
    }

    /// Copies up to `len` bytes from one offset to the other, and returns how many; none at the end of the source.
    pub(super) fn step(&mut self, from: u64, to: u64, len: u64) -> io::Result<u64> {
        if self.buffer.is_empty() {
            match self.step_by_kernel(from, to, len) {
                // The end; or a file such as those of /proc, which only reading brings to light.
                Ok(0) => {}
                Ok(count) => return Ok(count as u64),
                Err(errno) if is_unable(errno) => {}
                Err(errno) => return Err(errno.into()),
            }
            self.buffer = vec![0; BUFFER];
        }
        let mut done = 0;
        while done < len {
            let part = self.buffer.len().min((len - done).try_into().unwrap_or(usize::MAX));
            let count = match self.source.read_at(&mut self.buffer[..part], from + done) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.target.write_all_at(&self.buffer[..count], to + done)?;
            done += count as u64;
        }
        Ok(done)
    }

    fn step_by_kernel(&self, mut from: u64, mut to: u64, len: u64) -> Result<usize, Errno> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        loop {
            match copy_file_range(&self.source, Some(&mut from), &self.target, Some(&mut to), len) {
                Err(Errno::INTR) => {}
                result => return result,
            }
        }
    }

    /// Copies about [`CHUNK`] bytes of what is in the source from `at` on, to the same place of an empty target, and leaves the holes
    /// out. Returns where that ends, and whether the source does.
    pub(super) fn step_over_holes(&mut self, mut at: u64) -> io::Result<(u64, bool)> {
        let mut left = CHUNK;
        while left > 0 {
            let begin = match seek(&self.source, SeekFrom::Data(at)) {
                Ok(begin) => begin,
                Err(Errno::NXIO) => {
                    // A hole at the end.
                    let len = self.source.metadata()?.len().max(at);
                    ftruncate(&self.target, len)?;
                    return Ok((len, true));
                }
                Err(errno) => return Err(errno.into()),
            };
            let end = seek(&self.source, SeekFrom::Hole(begin))?;
            at = begin;
            while at < end && left > 0 {
                let count = self.step(at, at, left.min(end - at))?;
                if count == 0 {
                    // Somebody has cut it meanwhile.
                    return Ok((at, true));
                }
                (at, left) = (at + count, left - count);
            }
        }
        Ok((at, false))
    }
}

/// Whether the kernel cannot copy between these two by itself.
fn is_unable(errno: Errno) -> bool {
    matches!(errno, Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::BADF)
}
