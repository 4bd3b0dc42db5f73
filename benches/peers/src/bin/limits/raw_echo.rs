//! The TCP echo by a loop around a bare ring: registered sockets, a send and the next receive handed over together.
#![expect(unsafe_code, reason = "hands entries with pointers to the kernel")]

use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode, types};
use peers::{BUFFER, CONNECTIONS, Measure, run_echo_against};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// Runs the workload, if it is one of these.
pub fn run(measure: &Measure) -> bool {
    match measure.workload.as_str() {
        "raw_echo" => run_echo_against(measure, 1, serve),
        "raw_echo_8" => run_echo_against(measure, 8, serve),
        _ => return false,
    }
    true
}

/// Two buffers per connection: while one is sent the other is received into.
fn serve(listener: TcpListener) {
    let accept = |_| listener.accept().expect("the client connects").0;
    let connections: Vec<TcpStream> = (0..CONNECTIONS).map(accept).collect();
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(4 * CONNECTIONS as u32)
        .expect("Linux 6.1 or later");
    let fds: Vec<i32> = connections.iter().map(AsRawFd::as_raw_fd).collect();
    ring.submitter().register_files(&fds).expect("they are open");
    // Leaked: the kernel may have their addresses to the end of the process.
    let bufs = vec![[0_u8; BUFFER]; 2 * CONNECTIONS].leak();
    let push = |ring: &mut IoUring, entry: Entry| {
        // SAFETY: the entry points to a leaked buffer, which nobody here looks into.
        unsafe { ring.submission().push(&entry) }.expect("two entries per connection fit");
    };
    let receive = |bufs: &mut [[u8; BUFFER]], at: usize| {
        let fd = types::Fixed((at / 2) as u32);
        opcode::Recv::new(fd, bufs[at].as_mut_ptr(), BUFFER as u32).build().user_data(at as u64)
    };
    (0..CONNECTIONS).for_each(|index| push(&mut ring, receive(bufs, 2 * index)));
    loop {
        ring.submit_and_wait(1).expect("the ring works");
        while let Some(answer) = { ring.completion().next() } {
            let (at, result) = (answer.user_data() as usize, answer.result());
            if at >= bufs.len() {
                assert!(result > 0, "the client lives");
                continue;
            }
            if result <= 0 {
                return;
            }
            let fd = types::Fixed((at / 2) as u32);
            let send = opcode::Send::new(fd, bufs[at].as_ptr(), result as u32).build();
            push(&mut ring, send.user_data(u64::MAX));
            push(&mut ring, receive(bufs, at ^ 1));
        }
    }
}
