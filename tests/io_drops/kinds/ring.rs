//! The ring's own operations.

use super::{Kind, kinds, reading, with_folder, writing};
use crate::stage::{Ends, Started, When};
use reactor::uring::{Enclosed, Fd};
use rustix::event::PollFlags;
use rustix::fs::{Advice, AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, StatxFlags};
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, SockRef, Socket, Type};
use std::time::Duration;

/// More than a full socket takes at once.
const MUCH: usize = 64 << 10;

/// `MSG_WAITALL`: a send goes on until all is sent. (rustix has it for receives.)
const WAITALL: SendFlags = SendFlags::from_bits_retain(0x100);

pub fn all() -> Vec<Kind> {
    [files(), ends(), others()].into_iter().flatten().collect()
}

fn files() -> Vec<Kind> {
    with_folder! {
        "uring/ops/rw read_at": |f| f.stage.ring.read_at(f.fd(), f.buf(64), 0);
        "uring/ops/rw read_at, past the page cache": |f| f.stage.ring.read_at(f.direct.fd(), f.buf(4096), 0);
        "uring/ops/rw write_at": |f| f.stage.ring.write_at(f.fd(), f.buf(64), 0);
        "uring/ops/rw write_at, past the page cache": |f| f.stage.ring.write_at(f.direct.fd(), f.buf(4096), 0);
        "uring/ops/vectored read_vectored_at": |f| f.stage.ring.read_vectored_at(f.fd(), f.list(3, 9), 1, 0);
        "uring/ops/vectored write_vectored_at": |f| f.stage.ring.write_vectored_at(f.fd(), f.list(3, 9), 1, 0);
        "uring/ops/sync sync_all": |f| f.stage.ring.sync_all(f.direct.fd());
        "uring/ops/sync sync_data": |f| f.stage.ring.sync_data(f.direct.fd());
        "uring/ops/sync sync_range": |f| f.stage.ring.sync_range(f.direct.fd(), 0..8192, true);
        "uring/ops/sync allocate": |f| f.stage.ring.allocate(f.fd(), FallocateFlags::KEEP_SIZE, 0..8192);
        "uring/ops/extent truncate": |f| f.stage.ring.truncate(f.fd(), 5);
        "uring/ops/extent advise": |f| f.stage.ring.advise(f.fd(), 0, 4096, Advice::WillNeed);
        "uring/ops/statx statx": |f| f.stage.ring.statx(f.fd(), StatxFlags::ALL);
        "uring/ops/statx statx_path": |f| f.stage.ring.statx_path(&f.at("file"), AtFlags::empty(), StatxFlags::ALL);
        "uring/ops/names rename": |f| f.stage.ring.rename(&f.at("file"), &f.at("new"), RenameFlags::empty());
        "uring/ops/names unlink": |f| f.stage.ring.unlink(&f.at("file"), AtFlags::empty());
        "uring/ops/names make_directory": |f| f.stage.ring.make_directory(&f.at("new"), Mode::RWXU);
        "uring/ops/names symlink": |f| f.stage.ring.symlink(&f.at("file"), &f.at("new"));
        "uring/ops/names hard_link": |f| f.stage.ring.hard_link(&f.at("file"), &f.at("new"));
        "uring/ops/open open": |f| f.stage.ring.open(&f.at("file"), OFlags::RDONLY, Mode::empty());
        "uring/ops/open close": |f| {
            let fd = Fd::from(std::fs::File::open(f.at("file")).unwrap());
            let ring = f.stage.ring.clone();
            async move { ring.close(fd).await }
        };
    }
}

fn ends() -> Vec<Kind> {
    let mut kinds = reading! {
        "uring/ops/rw read_at, from a pipe": Ends::Pipe, |s, fd| s.ring.read_at(&fd.into(), s.buf(64), 0);
        "uring/ops/vectored read_vectored_at, from a pipe":
            Ends::Pipe, |s, fd| s.ring.read_vectored_at(&fd.into(), s.buffers.lend_list(3, 9), 0, 0);
        "uring/ops/receive recv": Ends::Stream, |s, fd| s.ring.recv(&fd.into(), s.buf(64), RecvFlags::empty());
        "uring/ops/receive recv, registered": Ends::Tcp, |s, fd| {
            let fd = Fd::from(fd);
            s.ring.register(&fd);
            s.ring.recv(&fd, s.buf(64), RecvFlags::WAITALL)
        };
        "uring/ops/msg recv_msg":
            Ends::Datagram, |s, fd| s.ring.recv_msg(&fd.into(), [s.buf(9), s.buf(64)], 3, RecvFlags::empty());
        "uring/ops/poll poll_fd": Ends::Pipe, |s, fd| s.ring.poll_fd(&fd.into(), PollFlags::IN);
        "uring/ops/splice splice": Ends::Pipe, |s, fd| {
            let to = Fd::from(std::fs::File::create(s.fresh()).unwrap());
            s.ring.splice((&fd.into(), None), (&to, Some(0)), 64)
        };
    };
    kinds.extend(writing! {
        "uring/ops/rw write_at, to a pipe": Ends::Pipe, |s, fd| s.ring.write_at(&fd.into(), s.buf(64), 0);
        "uring/ops/vectored write_vectored_at, to a pipe":
            Ends::Pipe, |s, fd| s.ring.write_vectored_at(&fd.into(), s.buffers.lend_list(3, 9), 0, 0);
        "uring/ops/send send": Ends::Stream, |s, fd| s.ring.send(&fd.into(), s.buf(MUCH), SendFlags::empty());
        "uring/ops/send send, over TCP": Ends::Tcp, |s, fd| s.ring.send(&fd.into(), s.buf(MUCH), WAITALL);
        "uring/ops/send_zero_copy send_zero_copy": Ends::Tcp, |s, fd| async move {
            // The peer may outlive the core without having read a byte: closed, the socket gives up what it has.
            SockRef::from(&fd).set_linger(Some(Duration::ZERO)).unwrap();
            let (_, lent) = s.ring.send_zero_copy(&fd.into(), s.buf(MUCH), WAITALL).await;
            lent.await
        };
        "uring/ops/send_zero_copy send_zero_copy, where it is copied":
            Ends::Stream, |s, fd| s.ring.send_zero_copy(&fd.into(), s.buf(MUCH), SendFlags::empty());
        "uring/ops/msg send_msg": Ends::Packet, |s, fd| {
            s.ring.send_msg(&fd.into(), [s.buf(9), s.buf(64)], Enclosed::default(), SendFlags::empty())
        };
        "uring/ops/msg send_msg, with descriptors": Ends::Stream, |s, fd| {
            let fds = vec![std::fs::File::open("/dev/null").unwrap().into()];
            let enclosed = Enclosed { fds, ..Enclosed::default() };
            s.ring.send_msg(&fd.into(), vec![s.buf(64)], enclosed, SendFlags::empty())
        };
        "uring/ops/poll poll_fd, for room": Ends::Pipe, |s, fd| s.ring.poll_fd(&fd.into(), PollFlags::OUT);
    });
    kinds
}

fn others() -> Vec<Kind> {
    kinds! {
        "uring/ops/nop nop": |s, when| {
            let ring = s.ring.clone();
            Started::alone(when, async move { drop(ring.nop().await) })
        };
        "uring/ops/open open, of a pipe with a name": |s, when| {
            let (path, peer) = s.fifo(when);
            let ring = s.ring.clone();
            // For both it waits for nobody.
            let flags = OFlags::CREATE | if when == When::Now { OFlags::RDWR } else { OFlags::WRONLY };
            Started::new(peer, async move { drop(ring.open(&path, flags, Mode::empty()).await) })
        };
        "uring/ops/socket accept": |s, when| {
            let (fd, peer) = s.listener(Domain::IPV4, Type::STREAM, when);
            let ring = s.ring.clone();
            Started::new(peer, async move { drop(ring.accept(&fd.into()).await) })
        };
        "uring/ops/socket connect": |s, when| {
            let (addr, peer) = s.address(Domain::UNIX, Type::STREAM, when);
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            let ring = s.ring.clone();
            Started::new(peer, async move {
                drop(ring.connect(&std::os::fd::OwnedFd::from(socket).into(), addr).await);
            })
        };
    }
}
