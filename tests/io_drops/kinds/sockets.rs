//! Sockets of each kind.

use super::{Kind, kinds, reading, writing};
use crate::stage::{Ends, Started, When};
use futures::StreamExt;
use reactor::io::{ReadOwned, WriteOwned};
use reactor::net::{
    TcpListener, TcpOptions, TcpStream, UdpSocket, UnixAddr, UnixDatagram, UnixListener, UnixSeqpacket,
    UnixSeqpacketListener, UnixStream, resolve,
};
use rustix::io::ioctl_fionbio;
use socket2::{Domain, SockAddr, Type};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// More than a full socket takes at once.
const MUCH: usize = 64 << 10;

const HOUR: Duration = Duration::from_secs(3600);

pub fn all() -> Vec<Kind> {
    [receiving(), sending(), connecting(), accepting()].into_iter().flatten().collect()
}

fn unix(fd: OwnedFd) -> UnixStream {
    std::os::unix::net::UnixStream::from(fd).try_into().unwrap()
}

fn tcp(fd: OwnedFd) -> TcpStream {
    std::net::TcpStream::from(fd).try_into().unwrap()
}

fn udp(fd: OwnedFd) -> UdpSocket {
    std::net::UdpSocket::from(fd).try_into().unwrap()
}

fn datagram(fd: OwnedFd) -> UnixDatagram {
    std::os::unix::net::UnixDatagram::from(fd).try_into().unwrap()
}

fn internet(addr: SockAddr) -> SocketAddr {
    addr.as_socket().expect("an address of the internet")
}

fn unix_addr(addr: &SockAddr) -> UnixAddr {
    UnixAddr::abstract_name(addr.as_abstract_namespace().expect("a name that the kernel chose"))
}

fn receiving() -> Vec<Kind> {
    reading! {
        "io/read read": Ends::Tcp, |s, fd| tcp(fd).read(s.buf(64));
        "io/read read_exact": Ends::Stream, |s, fd| { let stream = unix(fd); async move { stream.read_exact(s.buf(64)).await } };
        "io/read read, by a half": Ends::Tcp, |s, fd| {
            let (read, write) = tcp(fd).into_split();
            async move { (read.read(s.buf(64)).await, write) }
        };
        "io/read read_to_end": Ends::Stream, |s, fd| {
            // The end comes with a peer that is gone.
            let stream = unix(fd);
            async move {
                let ended = stream.peek(s.buf(1)).await.0.map(|_| stream.shut_down(std::net::Shutdown::Read));
                (ended, stream.read_to_end(Vec::new()).await)
            }
        };
        "net/stream peek": Ends::Stream, |s, fd| unix(fd).peek(s.buf(64));
        "net/stream read_vectored": Ends::Tcp, |s, fd| {
            let stream = tcp(fd);
            async move { stream.read_vectored(s.buffers.lend_list(3, 9)).await }
        };
        "net/udp recv": Ends::Udp, |s, fd| udp(fd).recv(s.buf(64));
        "net/udp peek": Ends::Udp, |s, fd| udp(fd).peek(s.buf(64));
        "net/udp recv_from": Ends::Udp, |s, fd| async move { udp(fd).recv_from(s.buf(64)).await };
        "net/udp peek_from": Ends::Udp, |s, fd| async move { udp(fd).peek_from(s.buf(64)).await };
        "net/unix/datagram recv": Ends::Datagram, |s, fd| datagram(fd).recv(s.buf(64));
        "net/unix/datagram recv_from": Ends::Datagram, |s, fd| async move { datagram(fd).recv_from(s.buf(64)).await };
        "net/unix/stream recv_fds": Ends::Stream, |s, fd| async move { unix(fd).recv_fds(s.buf(64), 4).await };
    }
}

fn sending() -> Vec<Kind> {
    let mut kinds = writing! {
        "io/write write": Ends::Tcp, |s, fd| tcp(fd).write(s.buf(MUCH));
        "io/write write_all": Ends::Stream, |s, fd| { let stream = unix(fd); async move { stream.write_all(s.buf(MUCH)).await } };
        "io/write write_all, by a half": Ends::Tcp, |s, fd| {
            let (read, write) = tcp(fd).into_split();
            async move { (write.write_all(s.buf(MUCH)).await, read) }
        };
        "net/tcp send_zero_copy": Ends::Tcp, |s, fd| {
            let stream = tcp(fd);
            stream.as_socket().set_linger(Some(Duration::ZERO)).unwrap();
            async move { stream.send_zero_copy(s.buf(MUCH)).await.1.await }
        };
        "net/stream write_vectored": Ends::Stream, |s, fd| unix(fd).write_vectored(s.buffers.lend_list(3, MUCH));
        "net/unix/datagram send": Ends::Datagram, |s, fd| datagram(fd).send(s.buf(64));
        "net/unix/stream send_fds": Ends::Stream, |s, fd| async move {
            let null = std::fs::File::open("/dev/null").unwrap();
            unix(fd).send_fds(s.buf(64), vec![null.into()]).await
        };
        "net/udp send": Ends::Udp, |s, fd| udp(fd).send(s.buf(64));
    };
    kinds.extend(kinds! {
        "net/udp send_to": |s, when| {
            let buf = s.buf(64);
            Started::alone(when, async move {
                let Ok(socket) = UdpSocket::bind("127.0.0.1:0").await else { return };
                let to = socket.local_addr().unwrap();
                drop(socket.send_to(buf, to).await);
            })
        };
        "net/unix/datagram send_to": |s, when| {
            let (buf, path) = (s.buf(64), s.fresh());
            Started::alone(when, async move {
                let to = UnixDatagram::bind(&path).unwrap();
                drop(UnixDatagram::pair().unwrap().0.send_to(buf, &path).await);
                drop(to);
            })
        };
        "net/unix/seqpacket recv": |s, when| {
            let (buf, (one, other)) = (s.buf(64), UnixSeqpacket::pair().unwrap());
            ioctl_fionbio(&other, true).unwrap();
            let send = move || { let _ = rustix::io::write(&other, &[crate::buffers::LENT; 64]); };
            if when == When::Now {
                send();
            }
            let peer = move || if when == When::Later { send() };
            Started::new(Box::new(peer), async move { drop(one.recv(buf).await) })
        };
        "net/unix/seqpacket send": |s, when| {
            let (buf, (one, other)) = (s.buf(64), UnixSeqpacket::pair().unwrap());
            ioctl_fionbio(&other, true).unwrap();
            if when != When::Now {
                ioctl_fionbio(&one, true).unwrap();
                while rustix::io::write(&one, &[1; 2048]).is_ok() {}
                ioctl_fionbio(&one, false).unwrap();
            }
            let peer = move || while when == When::Later && matches!(rustix::io::read(&other, &mut [0; 4096]), Ok(1..)) {};
            Started::new(Box::new(peer), async move { drop(one.send(buf).await) })
        };
        "net/stream close": |s, when| {
            let (fd, mut peer) = s.source(Ends::Tcp, when);
            if when == When::Now {
                // The other side is gone.
                peer = Box::new(|| ());
            }
            let mut told = 0;
            let mut peer = Some(peer);
            let ends = move || {
                told += 1;
                if let Some(act) = &mut peer {
                    act();
                }
                if when == When::Later && told > 2 {
                    peer = None;
                }
            };
            Started::new(Box::new(ends), async move { drop(tcp(fd).close(HOUR).await) })
        };
    });
    kinds
}

fn connecting() -> Vec<Kind> {
    kinds! {
        "net/tcp connect": |s, when| {
            // A connection that waits for room is tried again a second later: too late for a test.
            let (addr, peer) = (when != When::Later).then(|| s.address(Domain::IPV4, Type::STREAM, when))?;
            Started::new(peer, async move { drop(TcpStream::connect(internet(addr)).await) })
        };
        "net/tcp connect_timeout": |s, when| {
            let (addr, peer) = (when != When::Later).then(|| s.address(Domain::IPV4, Type::STREAM, when))?;
            Started::new(peer, async move { drop(TcpStream::connect_timeout(internet(addr), HOUR).await) })
        };
        "net/options connect": |s, when| {
            let (addr, peer) = (when != When::Later).then(|| s.address(Domain::IPV4, Type::STREAM, when))?;
            let options = TcpOptions::new().nodelay(true);
            Started::new(peer, async move { drop(options.connect(internet(addr)).await) })
        };
        "net/options connect_timeout": |s, when| {
            let (addr, peer) = (when != When::Later).then(|| s.address(Domain::IPV4, Type::STREAM, when))?;
            let options = TcpOptions::new().reset_on_close(true);
            Started::new(peer, async move { drop(options.connect_timeout(internet(addr), HOUR).await) })
        };
        "net/tcp connect, refused": |s, when| {
            let addr = internet(s.address(Domain::IPV4, Type::STREAM, When::Now).0);
            Started::alone(when, async move { drop(TcpStream::connect(vec![addr, addr]).await) })
        };
        "net/tcp bind": |s, when| {
            let _ = s;
            Started::alone(when, async { drop(TcpListener::bind("localhost:0").await) })
        };
        "net/options listen": |s, when| {
            let _ = s;
            Started::alone(when, async { drop(TcpOptions::new().listen("localhost:0").await) })
        };
        "net/udp bind": |s, when| {
            let _ = s;
            Started::alone(when, async { drop(UdpSocket::bind("localhost:0").await) })
        };
        "net/udp bind_shared": |s, when| {
            let _ = s;
            Started::alone(when, async { drop(UdpSocket::bind_shared("localhost:0").await) })
        };
        "net/udp connect": |s, when| {
            let fd = s.source(Ends::Udp, when).0;
            Started::alone(when, async move { drop(udp(fd).connect("localhost:9").await) })
        };
        "net/resolve resolve": |s, when| {
            let _ = s;
            Started::alone(when, async { drop(resolve("localhost:80").await) })
        };
        "net/unix/stream connect": |s, when| {
            let (addr, peer) = s.address(Domain::UNIX, Type::STREAM, when);
            Started::new(peer, async move { drop(UnixStream::connect(unix_addr(&addr)).await) })
        };
        "net/unix/stream connect, of packets": |s, when| {
            let (addr, peer) = s.address(Domain::UNIX, Type::SEQPACKET, when);
            Started::new(peer, async move { drop(UnixSeqpacket::connect(unix_addr(&addr)).await) })
        };
    }
}

fn accepting() -> Vec<Kind> {
    kinds! {
        "net/tcp accept": |s, when| {
            let (fd, peer) = s.listener(Domain::IPV4, Type::STREAM, when);
            let listener = TcpListener::try_from(std::net::TcpListener::from(fd)).unwrap();
            Started::new(peer, async move { drop(listener.accept().await) })
        };
        "net/tcp incoming": |s, when| {
            let (fd, peer) = s.listener(Domain::IPV4, Type::STREAM, when);
            let listener = TcpListener::try_from(std::net::TcpListener::from(fd)).unwrap();
            Started::new(peer, async move { drop(listener.incoming().next().await) })
        };
        "net/incoming poll_next": |s, when| {
            let (fd, mut peer) = s.listener(Domain::IPV4, Type::STREAM, When::Later);
            let count = 3;
            let listener = TcpListener::try_from(std::net::TcpListener::from(fd)).unwrap();
            if when == When::Now {
                (0..count).for_each(|_| peer());
            }
            let act = move || if when == When::Later { peer() };
            Started::new(Box::new(act), async move {
                drop(listener.incoming().take(count).collect::<Vec<_>>().await);
            })
        };
        "net/unix/stream accept": |s, when| {
            let (fd, peer) = s.listener(Domain::UNIX, Type::STREAM, when);
            let listener = UnixListener::try_from(std::os::unix::net::UnixListener::from(fd)).unwrap();
            Started::new(peer, async move { drop(listener.accept().await) })
        };
        "net/unix/stream incoming": |s, when| {
            let (fd, peer) = s.listener(Domain::UNIX, Type::STREAM, when);
            let listener = UnixListener::try_from(std::os::unix::net::UnixListener::from(fd)).unwrap();
            Started::new(peer, async move { drop(listener.incoming().next().await) })
        };
        "net/unix/stream accept, of packets": |s, when| {
            let path = s.fresh();
            let listener = UnixSeqpacketListener::bind(&path).unwrap();
            let mut clients = Vec::new();
            let mut connect = move || {
                let client = socket2::Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let is_connected = client.connect(&SockAddr::unix(&path).unwrap()).is_ok();
                clients.extend(is_connected.then_some(client));
            };
            if when == When::Now {
                connect();
            }
            let peer = move || if when == When::Later { connect() };
            Started::new(Box::new(peer), async move { drop(listener.accept().await) })
        };
    }
}
