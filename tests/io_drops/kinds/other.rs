//! Streams under the traits of other libraries, block devices, signals.

use super::{Kind, kinds, reading, with_folder, writing};
use crate::stage::{Ends, Started, When};
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt};
use reactor::bdev::{self, Access, Channel, Populate};
use reactor::io::Adapter;
use reactor::net::UnixStream;
use reactor::signal::{Signal, Signals};
use reactor::sys::dma::DmaBuf;
use reactor::uring::Ring;
use rustix::process::{getpid, kill_process};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Sent to those who read signals, and not sent to them. Both are blocked in every thread of the process.
pub const SIGNALS: [Signal; 2] = [Signal::USR1, Signal::USR2];

pub fn all() -> Vec<Kind> {
    [adapters(), devices(), signals()].into_iter().flatten().collect()
}

fn adapter(fd: OwnedFd) -> Adapter<UnixStream> {
    Adapter::new(std::os::unix::net::UnixStream::from(fd).try_into().unwrap())
}

fn adapters() -> Vec<Kind> {
    let mut kinds = reading! {
        "io/futures_io poll_read": Ends::Stream, |s, fd| async move {
            let _ = s;
            adapter(fd).read_exact(&mut [0; 80]).await
        };
        "io/futures_io poll_fill_buf": Ends::Stream, |s, fd| async move {
            let _ = s;
            adapter(fd).fill_buf().await.map(<[u8]>::len)
        };
    };
    kinds.extend(writing! {
        "io/futures_io poll_write": Ends::Stream, |s, fd| async move {
            let _ = s;
            adapter(fd).write_all(&[1; 64 << 10]).await
        };
        "io/futures_io poll_flush": Ends::Stream, |s, fd| async move {
            let _ = s;
            let mut stream = adapter(fd);
            stream.write_all(&[1; 100]).await?;
            stream.flush().await
        };
        "io/futures_io poll_close": Ends::Stream, |s, fd| async move {
            let _ = s;
            let mut stream = adapter(fd);
            stream.write_all(&[1; 100]).await?;
            stream.close().await
        };
    });
    kinds
}

async fn channel(path: PathBuf) -> bdev::Result<Channel> {
    bdev::open(&format!("file:{}", path.display()), Access::ReadWrite).await?.channel()
}

async fn pages(channel: &Channel) -> Vec<DmaBuf> {
    vec![channel.alloc(4096).await.unwrap(), channel.alloc(4096).await.unwrap()]
}

/// Kinds on a block device that is a file of two blocks.
macro_rules! on_device {
    ($($name:literal: |$channel:ident| $call:expr;)*) => {
        kinds! {
            $($name: |s, when| {
                let path = s.fresh();
                Started::alone(when, async move {
                    std::fs::write(&path, [crate::buffers::LENT; 8192]).unwrap();
                    let $channel = channel(path).await.unwrap();
                    drop($call.await);
                })
            };)*
        }
    };
}

fn devices() -> Vec<Kind> {
    let mut kinds = on_device! {
        "bdev/channel/data read": |channel| channel.read(0..2);
        "bdev/channel/data read_into": |channel| async { channel.read_into(0..2, channel.alloc(8192).await.unwrap()).await };
        "bdev/channel/data write": |channel| async { channel.write(0, channel.alloc(8192).await.unwrap().freeze()).await };
        "bdev/channel/blocks flush": |channel| channel.flush();
        "bdev/channel/blocks write_zeroes": |channel| channel.write_zeroes(0..1);
        "bdev/channel/blocks unmap": |channel| channel.unmap(0..1);
        "bdev/channel/blocks compare": |channel| async { channel.compare(0, channel.alloc(8192).await.unwrap()).await };
        "bdev/channel/blocks compare_and_write": |channel| async {
            let page = channel.alloc(4096).await.unwrap().freeze();
            channel.compare_and_write(0, page.clone(), page).await
        };
        "bdev/channel/blocks copy": |channel| channel.copy(0..1, 1);
        "bdev/channel/blocks seek_data": |channel| channel.seek_data(0);
        "bdev/channel/blocks seek_hole": |channel| channel.seek_hole(0);
        "bdev/channel/vectored read_vectored": |channel| async { channel.read_vectored(0..2, pages(&channel).await).await };
        "bdev/channel/vectored write_vectored": |channel| async {
            let pages = pages(&channel).await.into_iter().map(DmaBuf::freeze).collect();
            channel.write_vectored(0, pages).await
        };
        "bdev/channel/memory read_to": |channel| async { channel.read_to(0..2, &mut vec![0; 8192]).await };
        "bdev/channel/memory write_from": |channel| async { channel.write_from(0, &[crate::buffers::LENT; 8192]).await };
        "bdev/channel/lend lend": |channel| channel.lend(0..2, Populate::Read);
        "bdev/channel/lend commit": |channel| async {
            channel.lend(0..2, Populate::Nothing).await.unwrap().commit().await
        };
        // By way of another buffer.
        "bdev/channel/data write, misaligned": |channel| async {
            channel.write(0, channel.alloc(4096 + 8).await.unwrap().freeze().slice(8..)).await
        };
    };
    kinds.extend(with_folder! {
        // Devices that cannot be asked for completions refuse this at once.
        "uring/iopoll current_polling": |f| async move {
            let polling = Ring::current_polling().unwrap();
            polling.read_at(f.direct.fd(), f.buf(4096), 0).await
        };
    });
    kinds
}

fn signals() -> Vec<Kind> {
    kinds! {
        // Those who read the same signal share it, so that it has to be sent until each had one.
        "signal/mod poll_next": |s, when| {
            let _ = s;
            let signal = match when {
                When::Now => return None,
                When::Never => SIGNALS[1],
                When::Later => SIGNALS[0],
            };
            let mut signals = Signals::new([signal]).unwrap();
            let peer = move || if when == When::Later { kill_process(getpid(), signal).unwrap() };
            Started::new(Box::new(peer), async move { drop(signals.next().await) })
        };
    }
}
