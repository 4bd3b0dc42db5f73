//! Datagrams over UDP.

use crate::{code, on_core};
use reactor::net::UdpSocket;
use rustix::io::Errno;

async fn two() -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap())
}

#[test]
fn a_datagram_says_where_it_is_from() {
    on_core(async || {
        let (one, other) = two().await;
        let (result, buf) = one.send_to(b"ping".to_vec(), other.local_addr().unwrap()).await;
        assert_eq!((result.unwrap(), &buf[..]), (4, &b"ping"[..]));
        let (result, buf) = other.recv_from(vec![0; 16]).await;
        let (len, from) = result.unwrap();
        assert_eq!((&buf[..len], from), (&b"ping"[..], one.local_addr().unwrap()));
        other.send_to(&b"pong"[..], from).await.0.unwrap();
        assert_eq!(one.recv(vec![0; 16]).await.0.unwrap(), 4);
    });
}

#[test]
fn connected_sockets_need_no_addresses() {
    on_core(async || {
        let (one, other) = two().await;
        one.connect(other.local_addr().unwrap()).await.unwrap();
        other.connect(one.local_addr().unwrap()).await.unwrap();
        assert_eq!(one.peer_addr().unwrap(), other.local_addr().unwrap());
        // Two datagrams wait: the first one's shortness says nothing about the second.
        one.send(&b"1"[..]).await.0.unwrap();
        one.send(&b"22"[..]).await.0.unwrap();
        assert_eq!(other.recv(vec![0; 16]).await.0.unwrap(), 1);
        assert_eq!(other.recv(vec![0; 16]).await.0.unwrap(), 2);
    });
}

#[test]
fn a_datagram_that_was_looked_at_is_still_there() {
    on_core(async || {
        let (one, other) = two().await;
        one.send_to(&b"look"[..], other.local_addr().unwrap()).await.0.unwrap();
        assert_eq!(other.peek(vec![0; 16]).await.0.unwrap(), 4);
        let seen = other.peek_from(vec![0; 16]).await.0.unwrap();
        assert_eq!(seen, (4, one.local_addr().unwrap()));
        assert_eq!(other.recv_from(vec![0; 16]).await.0.unwrap(), seen);
    });
}

#[test]
fn empty_datagrams_arrive_and_long_ones_are_cut() {
    on_core(async || {
        let (one, other) = two().await;
        let to = other.local_addr().unwrap();
        one.send_to(Vec::new(), to).await.0.unwrap();
        one.send_to(&b"too long"[..], to).await.0.unwrap();
        one.send_to(&b"next"[..], to).await.0.unwrap();
        assert_eq!(other.recv_from(vec![0; 4]).await.0.unwrap().0, 0);
        assert_eq!(other.recv_from(vec![0; 4]).await.1, b"too ");
        assert_eq!(other.recv_from(vec![0; 4]).await.1, b"next");
    });
}

#[test]
fn what_cannot_be_sent_says_why_and_comes_back() {
    on_core(async || {
        let (one, other) = two().await;
        let (result, buf) = one.send_to(vec![7; 70_000], other.local_addr().unwrap()).await;
        assert_eq!((code(result), buf.len()), (Some(Errno::MSGSIZE), 70_000));
        let (result, buf) = one.send(vec![7; 3]).await;
        assert_eq!((code(result), buf), (Some(Errno::DESTADDRREQ), vec![7; 3]));
        one.connect(other.local_addr().unwrap()).await.unwrap();
        drop(other);
        one.send(vec![1]).await.0.unwrap();
        let (result, buf) = one.recv(vec![0; 9]).await;
        assert_eq!((code(result), buf.len()), (Some(Errno::CONNREFUSED), 9));
    });
}

#[test]
fn sockets_that_share_a_port_are_bound_side_by_side() {
    on_core(async || {
        let one = UdpSocket::bind_shared("127.0.0.1:0").await.unwrap();
        let addr = one.local_addr().unwrap();
        let _other = UdpSocket::bind_shared(addr).await.unwrap();
        assert_eq!(code(UdpSocket::bind(addr).await), Some(Errno::ADDRINUSE));
    });
}
