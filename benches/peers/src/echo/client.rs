//! The client of the echo rows: one bare io_uring, a receive always waiting on each connection, sends whose success says nothing.

#![expect(unsafe_code, reason = "hands entries with pointers to the kernel")]

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Instant;

/// Bytes of a message.
pub(super) const MESSAGE: usize = 64;

/// `IORING_RECVSEND_POLL_FIRST`: the answer is never there yet.
const POLL_FIRST: u16 = 1;

/// All answers at once, if there are several.
const WAITALL: i32 = 0x100;

pub(super) struct Client {
    ring: IoUring,
    connections: Vec<TcpStream>,
    /// The messages of each connection, leaked: the kernel may have their addresses to the end of the process.
    messages: &'static mut [u8],
    /// Bytes that are sent at once over one connection.
    len: usize,
    /// Bytes of the answers that are still to come.
    missing: Vec<usize>,
}

impl Client {
    /// Connects, and sends the first `depth` messages on each connection.
    pub(super) fn connect(addr: SocketAddr, connections: usize, depth: usize) -> Self {
        let connect = |_| {
            let stream = TcpStream::connect(addr).expect("the server listens");
            stream.set_nodelay(true).expect("TCP has it");
            wait_for(&stream, depth * MESSAGE);
            stream
        };
        let connections: Vec<TcpStream> = (0..connections).map(connect).collect();
        let count = connections.len();
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(2 * count as u32)
            .expect("Linux 6.1 or later");
        let fds: Vec<i32> = connections.iter().map(AsRawFd::as_raw_fd).collect();
        ring.submitter().register_files(&fds).expect("they are open");
        let len = depth * MESSAGE;
        let messages = vec![7; count * len].leak();
        let mut client = Self { ring, connections, messages, len, missing: vec![0; count] };
        (0..count).for_each(|index| client.ask(index));
        client
    }

    /// Sends the messages and waits for their echoes.
    fn ask(&mut self, index: usize) {
        let fd = types::Fixed(index as u32);
        let from = self.messages[index * self.len..].as_ptr();
        let send = opcode::Send::new(fd, from, self.len as u32).build();
        self.push(send.flags(Flags::SKIP_SUCCESS).user_data(u64::MAX));
        self.missing[index] = self.len;
        self.wait(index);
    }

    fn wait(&mut self, index: usize) {
        let (at, len) = (self.messages[index * self.len..].as_mut_ptr(), self.missing[index]);
        let recv = opcode::Recv::new(types::Fixed(index as u32), at, len as u32).flags(WAITALL);
        let recv = recv.ioprio(POLL_FIRST).build();
        self.push(recv.user_data(index as u64));
    }

    fn push(&mut self, entry: Entry) {
        // SAFETY: the entry points to a leaked message, and looks at no byte that this side reads.
        unsafe { self.ring.submission().push(&entry) }.expect("two entries per connection fit");
    }

    /// Keeps the messages going; returns how many came back.
    pub(super) fn run_until(&mut self, end: Instant) -> u64 {
        let mut echoed = 0;
        while Instant::now() < end {
            self.ring.submit_and_wait(1).expect("the ring works");
            while let Some(answer) = { self.ring.completion().next() } {
                let index = answer.user_data() as usize;
                assert!(answer.result() > 0, "of {}: {}", self.connections.len(), answer.result());
                self.missing[index] -= answer.result() as usize;
                if self.missing[index] == 0 {
                    echoed += (self.len / MESSAGE) as u64;
                    self.ask(index);
                } else {
                    self.wait(index);
                }
            }
        }
        echoed
    }
}

/// Has nobody be woken before so many bytes have come (`SO_RCVLOWAT`): the server's sends would pay for it.
fn wait_for(stream: &TcpStream, len: usize) {
    let len = len as libc::c_int;
    // SAFETY: the kernel reads one integer, which outlives the call.
    let code = unsafe {
        let (option, size) = ((&raw const len).cast(), size_of_val(&len) as libc::socklen_t);
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVLOWAT, option, size)
    };
    assert_eq!(code, 0, "TCP has it");
}
