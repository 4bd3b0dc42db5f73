//! Unix datagrams, packets, and descriptors that travel.

use crate::{code, on_core};
use reactor::io::{ReadOwned, WriteOwned};
use reactor::net::{UnixAddr, UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

#[test]
fn datagrams_say_where_they_are_from() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        let path = |name| UnixAddr::from(&dir.path().join(name));
        let (one, other) =
            (UnixDatagram::bind(path("one")).unwrap(), UnixDatagram::bind(path("other")).unwrap());
        one.send_to(&b"ping"[..], path("other")).await.0.unwrap();
        let (result, buf) = other.recv_from(vec![0; 16]).await;
        assert_eq!((result.unwrap(), &buf[..4]), ((4, path("one")), &b"ping"[..]));
        let unnamed = UnixDatagram::connect(path("other")).await.unwrap();
        unnamed.send(&b"anonymous"[..]).await.0.unwrap();
        let (result, _) = other.recv_from(vec![0; 16]).await;
        assert!(result.unwrap().1.is_unnamed());
        assert_eq!(code(one.send_to(vec![1], path("nobody")).await.0), Some(Errno::NOENT));
    });
}

#[test]
fn a_sender_of_datagrams_waits_for_room() {
    on_core(async || {
        let (one, other) = UnixDatagram::pair().unwrap();
        // Far more than the receiver's queue takes.
        let sender = reactor::spawn_local(async move {
            for number in 0..2_000_u32 {
                one.send(number.to_ne_bytes().to_vec()).await.0.unwrap();
            }
        });
        for number in 0..2_000_u32 {
            let (result, buf) = other.recv(vec![0; 8]).await;
            assert_eq!((result.unwrap(), &buf[..4]), (4, &number.to_ne_bytes()[..]));
        }
        sender.await.unwrap();
    });
}

#[test]
fn packets_keep_their_bounds() {
    let name = UnixAddr::abstract_name(format!("reactor-packets-{}", std::process::id()));
    on_core(async || {
        let listener = UnixSeqpacketListener::bind(name.clone()).unwrap();
        let client = UnixSeqpacket::connect(name).await.unwrap();
        let server = listener.accept().await.unwrap();
        client.send(&b"one"[..]).await.0.unwrap();
        client.send(&b"three"[..]).await.0.unwrap();
        assert_eq!(server.recv(vec![0; 64]).await.0.unwrap(), 3);
        assert_eq!(server.recv(vec![0; 64]).await.0.unwrap(), 5);
        client.shut_down(std::net::Shutdown::Write).unwrap();
        assert_eq!(server.recv(vec![0; 64]).await.0.unwrap(), 0, "the end");
        server.send(&b"back"[..]).await.0.unwrap();
        assert_eq!(client.recv(vec![0; 64]).await.0.unwrap(), 4);
    });
}

#[test]
fn descriptors_travel_with_bytes() {
    on_core(async || {
        let (one, other) = UnixStream::pair().unwrap();
        let (pipe_read, pipe_write) = rustix::pipe::pipe().unwrap();
        let (result, _) = one.send_fds(vec![7], vec![pipe_write]).await;
        assert_eq!(result.unwrap(), 1);
        let (result, buf) = other.recv_fds(vec![0; 8], 4).await;
        let mut received = result.unwrap();
        assert_eq!((received.len, received.fds.len(), buf[0]), (1, 1, 7));
        assert!(!received.is_control_cut && !received.is_cut);
        // Ours was closed when it was sent: the pipe ends with the copy.
        let mut file = std::fs::File::from(received.fds.remove(0));
        file.write_all(b"through").unwrap();
        drop(file);
        let mut said = String::new();
        std::fs::File::from(pipe_read).read_to_string(&mut said).unwrap();
        assert_eq!(said, "through");
    });
}

#[test]
fn descriptors_without_room_are_closed_and_told() {
    on_core(async || {
        let (one, other) = UnixStream::pair().unwrap();
        let pipes: Vec<_> = (0..4).map(|_| rustix::pipe::pipe().unwrap()).collect();
        let (mut reads, writes): (Vec<_>, Vec<OwnedFd>) =
            pipes.into_iter().map(|(read, write)| (std::fs::File::from(read), write)).unzip();
        one.send_fds(vec![7], writes).await.0.unwrap();
        let received = other.recv_fds(vec![0; 8], 2).await.0.unwrap();
        assert_eq!((received.fds.len(), received.is_control_cut), (2, true));
        drop(received);
        // All four have ended: two by us, two by the kernel.
        for read in &mut reads {
            assert_eq!(read.read(&mut [0; 1]).unwrap(), 0);
        }
    });
}

#[test]
fn datagrams_and_packets_to_nobody_come_back() {
    on_core(async || {
        let (one, other) = UnixDatagram::pair().unwrap();
        drop(other);
        let (result, buf) = one.send(vec![1, 2]).await;
        assert_eq!((code(result), buf), (Some(Errno::CONNREFUSED), vec![1, 2]));
        let (one, other) = UnixSeqpacket::pair().unwrap();
        drop(other);
        assert_eq!(one.recv(vec![0; 1]).await.0.unwrap(), 0, "the end");
        let (result, buf) = one.send(vec![1, 2]).await;
        assert_eq!((code(result), buf), (Some(Errno::PIPE), vec![1, 2]));
    });
}

#[test]
fn a_path_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    on_core(async || {
        let path = dir.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(code(UnixListener::bind(&path)), Some(Errno::ADDRINUSE));
        assert_eq!(code(UnixStream::connect(&dir.path().join("nobody")).await), Some(Errno::NOENT));
    });
}

#[test]
fn a_unix_stream_ends_for_both_when_one_side_is_gone() {
    on_core(async || {
        let (one, other) = UnixStream::pair().unwrap();
        drop(one);
        assert_eq!(other.read(vec![0; 1]).await.0.unwrap(), 0);
        let (result, buf) = other.write(vec![1, 2]).await;
        assert_eq!((code(result), buf), (Some(Errno::PIPE), vec![1, 2]));
    });
}
