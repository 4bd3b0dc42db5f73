//! Sends without a copy: the buffer stays lent until the notification, wherever a future is given up.
//!
//! A peer that does not read keeps notifications back: its window closes, and what is in the send queue stays there.

use super::quarantine::Quarantine;
use super::{SETUPS, block_on, poll_once, ring_using, settle, turn, turn_often};
use crate::sys::dma::DmaPool;
use crate::uring::{Config, Fd, Features, IoBuf, Lent, Ring, Setup};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use socket2::SockRef;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::Poll;

/// More than the peer's window, less than the send queue, which `net.core.wmem_max` keeps to some 400 kB where nobody has raised it.
const LEN: usize = 150_000;
const BYTE: u8 = 0x5a;

/// `MSG_WAITALL` of send(2): all of it, or until it is cancelled.
const WAITALL: SendFlags = SendFlags::from_bits_retain(0x100);

/// A connection whose sender takes all of a send, and whose receiver takes little.
fn connection() -> (Fd, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    SockRef::from(&listener).set_recv_buffer_size(8 << 10).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    SockRef::from(&client).set_send_buffer_size(4 << 20).unwrap();
    (Fd::from(OwnedFd::from(client)), listener.accept().unwrap().0)
}

fn lend(quarantine: &Quarantine, len: usize) -> super::quarantine::Watched {
    let mut buf = quarantine.lend(len);
    buf.fill(BYTE);
    buf
}

/// Sends, and asserts that all is on its way.
fn send<B: IoBuf>(ring: &Rc<Ring>, fd: &Fd, buf: B) -> Lent<B> {
    let (len, (result, lent)) = (buf.len(), block_on(ring, ring.send_zero_copy(fd, buf, WAITALL)));
    assert_eq!(result.unwrap(), len);
    lent
}

/// Reads `len` bytes, while the ring turns, and asserts that they are those that were sent.
fn read(ring: &Ring, peer: &mut TcpStream, mut len: usize) {
    let mut buf = vec![0; 64 << 10];
    while len > 0 {
        let count = peer.read(&mut buf).unwrap();
        assert!(count > 0 && buf[..count].iter().all(|byte| *byte == BYTE), "not what was sent");
        len -= count;
        turn(ring);
    }
}

#[test]
fn the_buffer_comes_back_after_the_result_when_the_peer_has_all() {
    for setup in SETUPS {
        let (ring, quarantine) = (ring_using(setup, Features::all()), Quarantine::default());
        assert!(ring.features().contains(Features::SEND_ZERO_COPY));
        let (fd, mut peer) = connection();
        let mut lent = send(&ring, &fd, lend(&quarantine, LEN));
        turn_often(&ring, 20);
        assert!(poll_once(&mut lent).is_pending(), "{setup:?}: the peer has read nothing");
        read(&ring, &mut peer, LEN);
        assert_eq!(block_on(&ring, lent).bytes().len(), LEN);
        assert_eq!(ring.queues().outstanding(), 0);
        assert_eq!(ring.counters().continued, 1);
    }
}

#[test]
fn a_dropped_loan_keeps_the_buffer_until_the_peer_has_all() {
    for setup in SETUPS {
        // Fetched, or still in line.
        for is_fetched in [true, false] {
            let (ring, quarantine) = (ring_using(setup, Features::all()), Quarantine::default());
            let (fd, mut peer) = connection();
            if is_fetched {
                drop(send(&ring, &fd, lend(&quarantine, LEN)));
            } else {
                let mut future = ring.send_zero_copy(&fd, lend(&quarantine, LEN), WAITALL);
                assert!(poll_once(&mut future).is_pending());
                turn_often(&ring, 3);
                drop(future);
            }
            turn_often(&ring, 3);
            let before = ring.counters().submitted;
            turn_often(&ring, 100);
            assert_eq!(ring.counters().submitted, before, "{setup:?}: cancelled again and again, in vain");
            assert_eq!((quarantine.lent(), ring.queues().outstanding()), (1, 1));
            read(&ring, &mut peer, LEN);
            settle(&ring);
            assert_eq!(quarantine.lent(), 0);
        }
    }
}

#[test]
fn a_send_that_waits_for_room_is_cancelled_when_dropped_and_keeps_what_went() {
    for setup in SETUPS {
        let (ring, quarantine) = (ring_using(setup, Features::all()), Quarantine::default());
        let (fd, mut peer) = connection();
        SockRef::from(&fd).set_send_buffer_size(64 << 10).unwrap();
        let mut future = ring.send_zero_copy(&fd, lend(&quarantine, 4 << 20), WAITALL);
        assert!(poll_once(&mut future).is_pending());
        turn_often(&ring, 3);
        assert!(poll_once(&mut future).is_pending(), "there is no room for all");
        drop(future);
        turn_often(&ring, 10);
        assert_eq!(quarantine.lent(), 1, "{setup:?}: some of it is in the send queue");
        drop(fd);
        // To the end, which comes because the operation has let go of the socket.
        let mut sent = Vec::new();
        let mut buf = vec![0; 64 << 10];
        while let count @ 1.. = peer.read(&mut buf).unwrap() {
            sent.extend_from_slice(&buf[..count]);
            turn(&ring);
        }
        settle(&ring);
        assert!(quarantine.lent() == 0 && !sent.is_empty() && sent.iter().all(|byte| *byte == BYTE));
    }
}

#[test]
fn one_that_was_never_polled_or_never_handed_over_sends_nothing() {
    let (ring, quarantine) = (ring_using(Setup::Deferred, Features::all()), Quarantine::default());
    let (fd, mut peer) = connection();
    drop(ring.send_zero_copy(&fd, lend(&quarantine, 10), WAITALL));
    assert_eq!(quarantine.lent(), 0);
    // Of more than there are entries, the last wait in the backlog.
    let mut futures: Vec<_> =
        (0..20).map(|_| ring.send_zero_copy(&fd, lend(&quarantine, 10), WAITALL)).collect();
    assert!(futures.iter_mut().all(|future| poll_once(future).is_pending()));
    drop(futures.split_off(8));
    assert_eq!(quarantine.lent(), 8);
    for future in futures {
        let (result, lent) = block_on(&ring, future);
        assert_eq!((result.unwrap(), block_on(&ring, lent).bytes().len()), (10, 10));
    }
    drop(fd);
    let mut sent = Vec::new();
    peer.read_to_end(&mut sent).unwrap();
    assert_eq!(sent, [BYTE; 80]);
}

#[test]
fn a_forgotten_loan_loses_its_buffer_and_no_more() {
    let (ring, quarantine) = (ring_using(Setup::Deferred, Features::all()), Quarantine::default());
    let (fd, mut peer) = connection();
    std::mem::forget(send(&ring, &fd, lend(&quarantine, LEN)));
    read(&ring, &mut peer, LEN);
    settle(&ring);
    assert_eq!(quarantine.lent(), 1);
}

/// Its memory is lost: were it used again, the peer would get bytes that it was never sent.
#[test]
fn the_end_of_a_ring_waits_for_no_peer_and_frees_nothing_that_he_may_still_get() {
    for setup in SETUPS {
        for is_dropped in [true, false] {
            let (ring, quarantine) = (ring_using(setup, Features::all()), Quarantine::default());
            let (fd, mut peer) = connection();
            let lent = send(&ring, &fd, lend(&quarantine, LEN));
            let kept = (!is_dropped).then_some(lent);
            drop((fd, ring, kept));
            assert_eq!(quarantine.lent(), 1, "{setup:?}");
            quarantine.check();
            let mut sent = Vec::new();
            peer.read_to_end(&mut sent).unwrap();
            assert!(sent.len() == LEN && sent.iter().all(|byte| *byte == BYTE));
        }
    }
}

#[test]
fn the_end_of_a_ring_gives_a_peer_who_reads_the_time_to() {
    let (ring, quarantine) = (ring_using(Setup::Deferred, Features::all()), Quarantine::default());
    let (fd, mut peer) = connection();
    drop(send(&ring, &fd, lend(&quarantine, LEN)));
    drop(fd);
    let reader = std::thread::spawn(move || {
        let mut sent = Vec::new();
        peer.read_to_end(&mut sent).unwrap();
        sent.len()
    });
    drop(ring);
    assert_eq!((reader.join().unwrap(), quarantine.lent()), (LEN, 0));
}

#[test]
fn a_ring_that_cannot_copies_and_the_buffer_is_back_with_the_result() {
    let features = Features::all().without(Features::SEND_ZERO_COPY);
    let (ring, (fd, mut peer)) = (ring_using(Setup::Deferred, features), connection());
    let mut lent = send(&ring, &fd, vec![BYTE; LEN]);
    assert!(matches!(poll_once(&mut lent), Poll::Ready(buf) if buf.len() == LEN));
    assert_eq!(ring.counters().continued, 0);
    read(&ring, &mut peer, LEN);
}

#[test]
fn a_socket_that_cannot_copies() {
    let (ring, quarantine) = (ring_using(Setup::Deferred, Features::all()), Quarantine::default());
    let (one, other) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    let mut lent = send(&ring, &one.into(), lend(&quarantine, 1000));
    assert!(poll_once(&mut lent).is_ready());
    let mut sent = Vec::new();
    std::fs::File::from(other).read_to_end(&mut sent).unwrap();
    assert_eq!(sent, vec![BYTE; 1000]);
}

#[test]
fn an_error_brings_the_buffer_back() {
    let ring = ring_using(Setup::Deferred, Features::all());
    let not_connected = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let fd = Fd::from(OwnedFd::from(not_connected));
    let (result, lent) = block_on(&ring, ring.send_zero_copy(&fd, vec![1; 9], SendFlags::empty()));
    assert_eq!(result.unwrap_err().raw_os_error(), Some(rustix::io::Errno::PIPE.raw_os_error()));
    assert_eq!(block_on(&ring, lent), [1; 9]);
}

/// Used twice, both for a chunk that is entered and one that has no table to be entered in.
#[test]
fn pool_memory_goes_by_the_table_of_buffers() {
    for has_table in [true, false] {
        let table = if has_table { Features::default() } else { Features::BUFFER_TABLE };
        let ring = ring_using(Setup::Deferred, Features::all().without(table));
        let (fd, mut peer) = connection();
        for _ in 0..2 {
            let mut page = DmaPool::local().try_alloc(64 << 10).unwrap();
            page.fill(BYTE);
            let lent = send(&ring, &fd, page);
            read(&ring, &mut peer, 64 << 10);
            assert_eq!(block_on(&ring, lent).len(), 64 << 10);
        }
        assert_eq!(ring.buffer_table().chunks, u32::from(has_table));
    }
}

/// A peer that does not read keeps the buffer, not the descriptor.
#[test]
fn the_socket_is_let_go_of_with_the_result() {
    let ring = Ring::new(&Config::default()).unwrap();
    let (fd, mut peer) = connection();
    let (number, lent) = (fd.as_raw_fd(), send(&ring, &fd, vec![BYTE; LEN]));
    assert!(fd.into_owned().is_some_and(|owned| owned.as_raw_fd() == number), "the operation shares it");
    read(&ring, &mut peer, LEN);
    assert_eq!(block_on(&ring, lent).len(), LEN);
}
