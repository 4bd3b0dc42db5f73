//! What the kernel reads and writes beside the buffers of a message: header, list of parts, address, control messages.
//!
//! One per message in flight, used again afterwards; made and emptied by the operations in `msg`.

#![expect(unsafe_code, reason = "reads what the kernel has written")]

use super::control;
use rustix::io_uring::{MsgHdr, iovec};
use rustix::net::RecvFlags;
use socket2::{SockAddr, SockAddrStorage};
use std::cell::RefCell;
use std::mem;
use std::os::fd::OwnedFd;
use std::ptr;

/// Spare envelopes kept per thread. More are made only while as many messages are in flight.
const SPARE_MAX: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "the kernel has their addresses, so that they are boxed in use")]
    static SPARE: RefCell<Vec<Box<Envelope>>> = const { RefCell::new(Vec::new()) };
}

/// Lives in a box from [`seal`](Self::seal) to the answer, because its header points into itself.
pub(super) struct Envelope {
    header: MsgHdr,
    pub(super) parts: Vec<iovec>,
    name: SockAddrStorage,
    name_len: u32,
    /// Words, because control messages are aligned to them.
    pub(super) control: Vec<u64>,
}

impl Envelope {
    /// An empty one.
    pub(super) fn take() -> Box<Self> {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        spare.unwrap_or_else(|| {
            let header = MsgHdr {
                msg_name: ptr::null_mut(),
                msg_namelen: 0,
                msg_iov: ptr::null_mut(),
                msg_iovlen: 0,
                msg_control: ptr::null_mut(),
                msg_controllen: 0,
                msg_flags: RecvFlags::empty(),
            };
            let (name, name_len) = (SockAddrStorage::zeroed(), 0);
            Box::new(Self { header, parts: Vec::new(), name, name_len, control: Vec::new() })
        })
    }

    /// Keeps it for another message.
    pub(super) fn put_back(mut self: Box<Self>) {
        self.parts.clear();
        self.control.clear();
        self.name_len = 0;
        // While the thread ends there is nothing to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }

    /// Addresses it.
    pub(super) fn send_to(&mut self, addr: SockAddr) {
        self.name_len = addr.len();
        self.name = addr.as_storage();
    }

    /// Makes room for the sender's address.
    pub(super) fn ask_for_sender(&mut self) {
        self.name_len = self.name.size_of();
    }

    /// Has the header point to all the rest, which must not be touched any more until the answer, and returns its address.
    pub(super) fn seal(self: &mut Box<Self>) -> *mut MsgHdr {
        let this = &mut **self;
        this.header = MsgHdr {
            msg_name: if this.name_len == 0 { ptr::null_mut() } else { (&raw mut this.name).cast() },
            msg_namelen: this.name_len,
            msg_iov: this.parts.as_mut_ptr(),
            msg_iovlen: this.parts.len(),
            msg_control: if this.control.is_empty() {
                ptr::null_mut()
            } else {
                this.control.as_mut_ptr().cast()
            },
            msg_controllen: size_of_val(&this.control[..]),
            msg_flags: RecvFlags::empty(),
        };
        &raw mut this.header
    }

    /// What the kernel says of a message that it has received.
    pub(super) fn flags(&self) -> RecvFlags {
        self.header.msg_flags
    }

    /// Who sent it. Streams and unnamed Unix sockets leave it empty.
    pub(super) fn take_sender(&mut self) -> Option<SockAddr> {
        let len = self.header.msg_namelen.min(self.name.size_of());
        if self.name_len == 0 || len == 0 {
            return None;
        }
        let name = mem::replace(&mut self.name, SockAddrStorage::zeroed());
        // SAFETY: the kernel has written an address of that length into the storage.
        Some(unsafe { SockAddr::new(name, len) })
    }

    /// The descriptors that came with a message, ours from here on.
    ///
    /// # Safety
    /// The kernel has answered with a received message.
    pub(super) unsafe fn take_fds(&mut self) -> Vec<OwnedFd> {
        let len = mem::take(&mut self.header.msg_controllen);
        // SAFETY: the kernel has written so many bytes, as the caller says; and now the length is zero, so that nobody takes them
        // again.
        unsafe { control::take_fds(&self.control, len) }
    }
}
