//! Accepting connections as a stream.

#![expect(unsafe_code, reason = "vouches for entries; owns what the kernel accepted")]

use crate::uring::completion::Completion;
use crate::uring::stream::{Answers, Armed, Claimed, Source};
use crate::uring::{Fd, Features, Ring};
use io_uring::{opcode, types::Fd as Target};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::rc::Rc;
use std::task::Waker;

/// The connections that arrive at a listening socket: see [`Ring::accept_stream`].
pub type AcceptStream = Answers<Accept>;

/// What the slot of an accept keeps: the listening socket.
#[derive(Debug)]
pub struct Accept(Fd);

fn accepted(completion: Completion) -> io::Result<OwnedFd> {
    let fd = completion.into_result()?;
    // SAFETY: the kernel has just opened it for us, and each answer is looked at once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The ring ends, nobody will ever connect here, or the kernel will not wait for it.
const ENDS: [Errno; 6] =
    [Errno::CANCELED, Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP, Errno::AGAIN];

// SAFETY: the entries point to no memory.
unsafe impl Source for Accept {
    type Item = io::Result<OwnedFd>;

    fn arm(&self, ring: &Rc<Ring>, _: &Waker) -> Armed {
        let (fd, fixed): (Target, _) = self.0.target(ring);
        let flags = SocketFlags::CLOEXEC.bits() as i32;
        let entry = match ring.has(Features::ACCEPT_MULTISHOT) {
            true => opcode::AcceptMulti::new(fd).flags(flags).build(),
            false => opcode::Accept::new(fd, ptr::null_mut(), ptr::null_mut()).flags(flags).build(),
        };
        Armed::Entry(entry.flags(fixed))
    }

    fn claim(&self, completion: Completion) -> Claimed<io::Result<OwnedFd>> {
        match completion.is_of_no_core() || ENDS.iter().any(|errno| completion.is(*errno)) {
            true => Claimed::End(Some(accepted(completion))),
            false => Claimed::Item(accepted(completion)),
        }
    }

    fn abandon(&self, completion: Completion) {
        drop(accepted(completion));
    }
}

impl Ring {
    /// Accepts the connections that arrive at `listener`, in order, each a close-on-exec descriptor. Connections that arrive
    /// while the consumer is slow wait in the socket's backlog, but for some 64.
    ///
    /// Connections that nobody has taken are closed when the stream is dropped or the ring ends. With a multishot accept
    /// (Linux 5.19) a connection costs no entry of its own; before, the stream asks for each.
    ///
    /// # Errors
    /// An item is an error of `accept4(2)`. The stream goes on after it, and may yield the same again at once where it lasts
    /// (`EMFILE`), so wait a while. It ends after one that can never be otherwise: `EBADF`, `EINVAL` (not listening),
    /// `ENOTSOCK`, `EOPNOTSUPP`, `EAGAIN` (a non-blocking socket); and after `ECANCELED`, when the ring ends.
    pub fn accept_stream(self: &Rc<Self>, listener: &Fd) -> AcceptStream {
        Answers::new(self, Accept(listener.clone()))
    }
}
