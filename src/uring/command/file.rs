//! What commands are sent to: an open file, as a ring names it.

use super::CommandRing;
use crate::sys::dma::DmaChunk;
use io_uring::squeue::Entry128;
use io_uring::{opcode::UringCmd80, types};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// An open file, entered into a ring's table if that has room, which spares the kernel looking it up for each command. Every command in
/// flight holds one, so that the entry cannot come to name another file.
pub(crate) struct Target<H: 'static> {
    ring: Weak<CommandRing<H>>,
    pub(super) index: Option<u32>,
    pub(super) fd: Arc<OwnedFd>,
}

impl<H: 'static> CommandRing<H> {
    /// The file, for many commands on this ring: it is entered into the table.
    pub(crate) fn target(self: &Rc<Self>, fd: Arc<OwnedFd>) -> Rc<Target<H>> {
        let index = self.queues().register(fd.as_raw_fd());
        Rc::new(Target { ring: Rc::downgrade(self), index, fd })
    }

    /// The file, for a command or two.
    pub(crate) fn plain_target(self: &Rc<Self>, fd: Arc<OwnedFd>) -> Rc<Target<H>> {
        Rc::new(Target { ring: Rc::downgrade(self), index: None, fd })
    }

    /// The entry that carries a command, whose data lies in this chunk.
    pub(super) fn entry(
        &self,
        target: &Target<H>,
        operation: u32,
        command: [u8; 80],
        chunk: Option<DmaChunk>,
    ) -> Entry128 {
        debug_assert!(std::ptr::eq(target.ring.as_ptr(), self), "the file is another ring's");
        let entry = match target.index {
            Some(index) => UringCmd80::new(types::Fixed(index), operation),
            None => UringCmd80::new(types::Fd(target.fd.as_raw_fd()), operation),
        };
        entry.cmd(command).buf_index(chunk.and_then(|chunk| self.buffer_entry(chunk))).build()
    }
}

impl<H: 'static> Drop for Target<H> {
    fn drop(&mut self) {
        if let (Some(ring), Some(index)) = (self.ring.upgrade(), self.index) {
            ring.queues().unregister(index);
        }
    }
}
