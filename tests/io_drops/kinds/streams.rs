//! Operations that answer again and again, and operations that the kernel runs one after the other.

use super::{Kind, kinds, reading, with_folder};
use crate::stage::{Ends, Started, When};
use futures::StreamExt;
use reactor::uring::{Fd, Link};
use rustix::event::PollFlags;
use socket2::{Domain, Type};
use std::time::Duration;

pub fn all() -> Vec<Kind> {
    [streams(), chains()].into_iter().flatten().collect()
}

fn streams() -> Vec<Kind> {
    let mut kinds = reading! {
        "uring/ops/recv recv_stream": Ends::Stream, |s, fd| async move {
            let pool = s.ring.recv_pool(4, 64).unwrap();
            s.ring.recv_stream(&fd.into(), &pool).take(2).collect::<Vec<_>>().await
        };
        "uring/ops/recv recv_stream, of datagrams": Ends::Udp, |s, fd| async move {
            let pool = s.ring.recv_pool(4, 100).unwrap();
            s.ring.recv_stream(&fd.into(), &pool).take(2).collect::<Vec<_>>().await
        };
        // Half of what comes finds no buffer until the other half is let go of.
        "uring/ops/recv recv_stream, from a small pool": Ends::Packet, |s, fd| async move {
            let pool = s.ring.recv_pool(1, 64).unwrap();
            let mut stream = s.ring.recv_stream(&fd.into(), &pool);
            for _ in 0..2 {
                drop(stream.next().await);
            }
        };
        "uring/ops/poll ready_stream":
            Ends::Pipe, |s, fd| async move { s.ring.ready_stream(&fd.into(), PollFlags::IN).next().await };
        "uring/stream next":
            Ends::Tcp, |s, fd| async move { s.ring.ready_stream(&fd.into(), PollFlags::IN).next().await };
    };
    kinds.extend(kinds! {
        "uring/ops/accept accept_stream": |s, when| {
            let (fd, mut peer) = s.listener(Domain::IPV4, Type::STREAM, when);
            // One more than is taken.
            peer();
            let stream = s.ring.accept_stream(&Fd::from(fd));
            Started::new(peer, async move { drop(stream.take(1).collect::<Vec<_>>().await) })
        };
        "uring/ops/timeout tick_stream": |s, when| {
            let period = if when == When::Never { Duration::from_secs(3600) } else { Duration::from_micros(20) };
            let stream = s.ring.tick_stream(period);
            Started::new(Box::new(|| ()), async move { drop(stream.take(3).collect::<Vec<_>>().await) })
        };
    });
    kinds
}

fn chains() -> Vec<Kind> {
    let mut kinds = with_folder! {
        "uring/link link, of a write and what makes it durable": |f| {
            let (ring, fd) = (&f.stage.ring, f.direct.fd());
            ring.write_at(fd, f.buf(4096), 0).link(ring.sync_data(fd)).link(ring.read_at(fd, f.buf(4096), 0))
        };
    };
    kinds.extend(reading! {
        "uring/link link": Ends::Pipe, |s, fd| {
            let fd = Fd::from(fd);
            let second = s.ring.read_at(&fd, s.buf(64), 0);
            s.ring.read_at(&fd, s.buf(64), 0).link(second).link(s.ring.nop())
        };
    });
    kinds
}
