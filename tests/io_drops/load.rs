//! The other work of a core: operations that go on beside those that are tried, with what they read and write looked at.

use super::buffers::LENT;
use super::stage::Stage;
use futures::future::{join, join_all};
use reactor::spawn_local;
use reactor::sys::dma::DmaPool;
use reactor::uring::Fd;

/// Operations per round of each task: together more than the submission queue has room for.
const WIDTH: usize = 3;

const PAGE: usize = 4096;

/// What the load's own buffers are full of.
const MARK: u8 = 0x5a;

/// Starts it; it ends with its core.
pub fn start(stage: &Stage) {
    for task in [nops(stage.clone()), pings(stage.clone()), pages(stage.clone())] {
        spawn_local(task).detach();
    }
}

type Task = futures::future::LocalBoxFuture<'static, ()>;

fn nops(stage: Stage) -> Task {
    Box::pin(async move {
        loop {
            join_all((0..WIDTH).map(|_| stage.ring.nop())).await.into_iter().for_each(Result::unwrap);
        }
    })
}

/// Writes to a pipe what it then reads from it.
fn pings(stage: Stage) -> Task {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (read, write) = (Fd::from(read), Fd::from(write));
    Box::pin(async move {
        loop {
            let ping = stage.ring.write_at(&write, stage.buf(64), 0);
            let pong = stage.ring.read_at(&read, vec![0; 64], 0);
            let ((written, _), (count, bytes)) = join(ping, pong).await;
            assert_eq!((written.unwrap(), count.unwrap(), bytes), (64, 64, vec![LENT; 64]));
        }
    })
}

/// Reads a page past the page cache into the buffer that the pool gives: the one that came back last. Nobody else writes to it.
fn pages(stage: Stage) -> Task {
    let folder = stage.folder();
    Box::pin(async move {
        loop {
            let mut page = DmaPool::local().alloc(PAGE).await.unwrap();
            page.fill(MARK);
            stage.ring.nop().await.unwrap();
            assert!(*page == [MARK; PAGE], "somebody wrote to a buffer of the pool that is in use");
            let (count, page) = folder.direct.read_at(page, 4096).await;
            assert_eq!(count.unwrap(), PAGE);
            assert!(*page == [LENT; PAGE]);
        }
    })
}
