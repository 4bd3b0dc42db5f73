//! Where a file has data and where it has holes, as its file system tells. Block devices cannot tell.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use super::UringChannel;
use crate::bdev::{Io, Op};
use crate::unblock::unblock;

impl UringChannel {
    /// Looks on a thread beside the core, as the file system may have to read its own tables. io_uring has no such operation.
    pub(super) async fn seek(&self, io: &mut Io) -> io::Result<()> {
        let file = self.fd.as_fd().try_clone_to_owned()?;
        let (range, size, op) = (io.range(), self.block_size, io.op());
        let find = if op == Op::SeekData { first_data } else { first_hole };
        let found = unblock(move || find(&file, range, size)).await.map_err(io::Error::other)??;
        io.set_found(found);
        Ok(())
    }
}

/// Where `to` leads. The file's own position moves along, which nobody goes by.
fn sought(file: &OwnedFd, to: SeekFrom) -> io::Result<Option<u64>> {
    match seek(file, to) {
        Ok(at) => Ok(Some(at)),
        // Nothing of the kind up to the end.
        Err(Errno::NXIO) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The first block of `range` that has data.
fn first_data(file: &OwnedFd, range: Range<u64>, size: u64) -> io::Result<Option<u64>> {
    let at = sought(file, SeekFrom::Data(range.start * size))?;
    Ok(at.map(|at| at / size).filter(|block| range.contains(block)))
}

/// The first block of `range` that is in a hole as a whole.
fn first_hole(file: &OwnedFd, range: Range<u64>, size: u64) -> io::Result<Option<u64>> {
    let mut from = range.start * size;
    loop {
        let Some(at) = sought(file, SeekFrom::Hole(from))? else { return Ok(None) };
        let block = at.div_ceil(size);
        if !range.contains(&block) {
            return Ok(None);
        }
        match sought(file, SeekFrom::Data(block * size))? {
            // A hole smaller than a block: on behind the data that ends it.
            Some(data) if data < (block + 1) * size => from = data,
            _ => return Ok(Some(block)),
        }
    }
}
