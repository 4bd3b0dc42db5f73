//! Operations on sockets dropped, forgotten and refused: no buffer goes before its answer, nothing that came in vain leaks.

use super::quarantine::Quarantine;
use super::{SETUPS, block_on, poll_once, ring, settle, turn};
use crate::uring::{Enclosed, Fd, IoBuf, IoBufMut, Ring, Setup};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use std::future::Future;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;

fn pair() -> (Fd, OwnedFd) {
    let (one, other) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    (one.into(), other)
}

fn listener() -> (Fd, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    (OwnedFd::from(listener).into(), addr)
}

fn enclosed(fds: Vec<OwnedFd>) -> Enclosed {
    Enclosed { fds, ..Enclosed::default() }
}

#[test]
fn what_is_sent_is_received_by_each_operation() {
    for setup in SETUPS {
        let ring = ring(setup, 8, 8);
        let (one, other) = pair();
        let other = Fd::from(other);
        let send = ring.send(&one, b"plain".to_vec(), SendFlags::empty());
        assert_eq!(block_on(&ring, send).0.unwrap(), 5);
        let (result, buf) = block_on(&ring, ring.recv(&other, vec![0; 8], RecvFlags::empty()));
        assert_eq!((result.unwrap(), &buf[..5]), (5, &b"plain"[..]), "{setup:?}");
        let parts = [b"in ".to_vec(), b"parts".to_vec()];
        let send = ring.send_msg(&one, parts, Enclosed::default(), SendFlags::empty());
        assert_eq!(block_on(&ring, send).0.unwrap(), 8);
        let recv = ring.recv_msg(&other, vec![vec![0; 4], vec![0; 9]], 0, RecvFlags::empty());
        let (result, bufs) = block_on(&ring, recv);
        assert_eq!(result.unwrap().len, 8);
        assert_eq!([&bufs[0][..], &bufs[1][..4]], [b"in p", b"arts"]);
    }
}

/// A receive that waits: 0 as one buffer, 1 as a message.
fn receive<B: IoBufMut>(ring: &Rc<Ring>, fd: &Fd, buf: B, kind: usize) -> Pin<Box<dyn Future<Output = ()>>> {
    let ring = ring.clone();
    let fd = fd.clone();
    Box::pin(async move {
        match kind {
            0 => drop(ring.recv(&fd, buf, RecvFlags::empty()).await),
            _ => drop(ring.recv_msg(&fd, [buf], 4, RecvFlags::empty()).await),
        }
    })
}

#[test]
fn a_dropped_receive_keeps_its_buffer_until_it_is_cancelled() {
    for setup in SETUPS {
        for kind in 0..2 {
            for comes in [false, true] {
                let (ring, quarantine) = (ring(setup, 8, 8), Quarantine::default());
                let (one, other) = pair();
                let mut waiting = receive(&ring, &one, quarantine.lend(64), kind);
                assert!(poll_once(&mut waiting).is_pending());
                turn(&ring);
                drop(waiting);
                assert_eq!(quarantine.lent(), 1, "{setup:?}, {kind}");
                if comes {
                    // The cancel is not handed over yet, so the kernel still fills the buffer.
                    rustix::io::write(&other, &[1; 64]).unwrap();
                }
                settle(&ring);
                assert_eq!(quarantine.lent(), 0);
                rustix::io::write(&other, &[2; 64]).unwrap();
                turn(&ring);
                quarantine.check();
            }
        }
    }
}

#[test]
fn a_dropped_send_keeps_its_buffer_until_the_kernel_has_done_with_it() {
    for setup in SETUPS {
        for is_message in [false, true] {
            let (ring, quarantine) = (ring(setup, 8, 8), Quarantine::default());
            let (one, other) = pair();
            // More than the socket takes, so that it waits for room.
            let send = |buf| -> Pin<Box<dyn Future<Output = ()>>> {
                let (ring, one) = (ring.clone(), one.clone());
                // MSG_WAITALL of send(2): all of it, or until it is cancelled.
                let flags = SendFlags::from_bits_retain(0x100);
                Box::pin(async move {
                    match is_message {
                        false => drop(ring.send(&one, buf, flags).await),
                        true => drop(ring.send_msg(&one, [buf], Enclosed::default(), flags).await),
                    }
                })
            };
            let mut waiting = send(quarantine.lend(4 << 20));
            assert!(poll_once(&mut waiting).is_pending());
            turn(&ring);
            drop(waiting);
            assert_eq!(quarantine.lent(), 1);
            settle(&ring);
            assert_eq!(quarantine.lent(), 0);
            drop((one, ring));
            // What went before the cancel is the buffer's, not the canary's.
            let mut sent = Vec::new();
            std::fs::File::from(other).read_to_end(&mut sent).unwrap();
            assert!(sent.iter().all(|byte| *byte == 0), "{setup:?}");
        }
    }
}

#[test]
fn a_connection_that_nobody_takes_any_more_is_closed() {
    for setup in SETUPS {
        for turns in 0..3 {
            let ring = ring(setup, 8, 8);
            let (fd, addr) = listener();
            let mut accept = ring.accept(&fd);
            assert!(poll_once(&mut accept).is_pending());
            turn(&ring);
            let mut client = TcpStream::connect(addr).unwrap();
            for _ in 0..turns {
                turn(&ring);
            }
            drop(accept);
            settle(&ring);
            // Taken or not, it is gone with the listener: the client reads the end.
            drop(fd);
            let ended = client.read(&mut [0; 1]);
            let is_reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
            assert!(ended.as_ref().is_ok_and(|count| *count == 0) || ended.as_ref().is_err_and(is_reset));
        }
    }
}

#[test]
fn descriptors_that_nobody_takes_any_more_are_closed() {
    for answered in [false, true] {
        let ring = ring(Setup::Deferred, 8, 8);
        let (one, other) = pair();
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut waiting = receive(&ring, &one, vec![0; 8], 1);
        assert!(poll_once(&mut waiting).is_pending());
        turn(&ring);
        let send = ring.send_msg(&other.into(), [vec![1; 8]], enclosed(vec![write]), SendFlags::empty());
        assert_eq!(block_on(&ring, send).0.unwrap(), 8);
        if answered {
            while ring.counters().completed < 2 {
                turn(&ring);
            }
        }
        drop(waiting);
        settle(&ring);
        drop((one, ring));
        assert_eq!(
            std::fs::File::from(read).read(&mut [0; 1]).unwrap(),
            0,
            "no copy of the other end is left"
        );
    }
}

#[test]
fn a_forgotten_receive_keeps_its_buffer_for_good() {
    for kind in 0..2 {
        let (ring, quarantine) = (ring(Setup::Deferred, 8, 8), Quarantine::default());
        let (one, other) = pair();
        let mut waiting = receive(&ring, &one, quarantine.lend(64), kind);
        assert!(poll_once(&mut waiting).is_pending());
        turn(&ring);
        std::mem::forget(waiting);
        rustix::io::write(&other, &[1; 64]).unwrap();
        settle(&ring);
        assert_eq!(quarantine.lent(), 1, "lost, and never reused");
    }
}

#[test]
fn a_dropped_ring_gives_back_what_sockets_hold() {
    for setup in SETUPS {
        let (ring, quarantine) = (ring(setup, 8, 8), Quarantine::default());
        let (one, other) = pair();
        let (listening, _) = listener();
        let mut waiting: Vec<_> =
            (0..12).map(|kind| receive(&ring, &one, quarantine.lend(64), kind % 2)).collect();
        assert!(waiting.iter_mut().all(|receive| poll_once(receive).is_pending()));
        let mut accept = ring.accept(&listening);
        assert!(poll_once(&mut accept).is_pending());
        turn(&ring);
        drop((waiting, accept, ring));
        assert_eq!(quarantine.lent(), 0);
        let _ = rustix::io::write(&other, &[1; 640]);
        quarantine.check();
    }
}

#[test]
fn a_refused_connection_keeps_its_code() {
    let ring = ring(Setup::Deferred, 8, 8);
    let addr = listener().1;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let connect = ring.connect(&OwnedFd::from(socket).into(), addr.into());
    let error = block_on(&ring, connect).unwrap_err();
    assert_eq!(Errno::from_io_error(&error), Some(Errno::CONNREFUSED));
}

/// Headers are used again, with and without room for descriptors.
#[test]
fn a_message_carries_nothing_over_to_the_next() {
    let ring = ring(Setup::Deferred, 8, 8);
    let (one, other) = pair();
    let other = Fd::from(other);
    for round in 0..100_u8 {
        let send = ring.send_msg(&one, [vec![round].slice(..)], Enclosed::default(), SendFlags::empty());
        assert_eq!(block_on(&ring, send).0.unwrap(), 1);
        let recv = ring.recv_msg(&other, [vec![0; 4]], usize::from(round % 3), RecvFlags::empty());
        let (result, [buf]) = block_on(&ring, recv);
        let received = result.unwrap();
        assert_eq!((received.len, buf[0], received.fds.len()), (1, round, 0));
        assert!(received.from.is_none() && !received.is_cut && !received.is_control_cut);
    }
}
