//! Aborts: commands that their callers want no more are given up by the controller, if it has not done them yet.

use super::device::Device;
use super::{Error, QueuePair};
use futures::task::AtomicWaker;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// A future whose commands its [`AbortHandle`] can abort, from [`QueuePair::abortable`]. Yields what that yields.
#[must_use = "futures do nothing unless polled"]
pub struct Abortable<F> {
    future: Pin<Box<F>>,
    mark: Arc<Mark>,
    /// Of the mark.
    waker: Waker,
}

/// Aborts what one future has on its way, from [`QueuePair::abortable`].
pub struct AbortHandle<D: Device> {
    queue: QueuePair<D>,
    mark: Arc<Mark>,
}

/// Wakes who awaits the future. By it the commands are known that the future has: it is their answers that wake it.
#[derive(Default)]
struct Mark(AtomicWaker);

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

impl<D: Device> QueuePair<D> {
    /// `future`, whose commands on this queue pair can be aborted from now on: SPDK's `spdk_nvme_ctrlr_cmd_abort_ext`, for all commands
    /// that a request has become.
    ///
    /// They are known by the waker that the future is polled with: what polls its parts with wakers of its own, as
    /// `FuturesUnordered` does, hides theirs. Each part is made abortable then.
    ///
    /// ```
    /// use reactor::nvme::{Channel, Error, QueuePair, soft::SoftController, spec::StatusCode};
    /// use reactor::sys::dma::DmaBuf;
    ///
    /// /// Reads, unless `stop` comes first: then the controller is asked to leave off, and the buffer comes back all the same.
    /// async fn read_until(
    ///     disk: &Channel<QueuePair<SoftController>>,
    ///     buf: DmaBuf,
    ///     stop: impl Future<Output = ()>,
    /// ) -> (Result<(), Error>, DmaBuf) {
    ///     let (read, handle) = disk.queue().abortable(disk.read(0, buf));
    ///     let stopped = async {
    ///         stop.await;
    ///         handle.abort().await
    ///     };
    ///     // The read ends with `ABORT_REQUESTED`, or as if nothing had been asked, if it was done before.
    ///     let (_aborted, read) = futures::future::join(stopped, read).await;
    ///     read
    /// }
    /// ```
    pub fn abortable<F: Future>(&self, future: F) -> (Abortable<F>, AbortHandle<D>) {
        let mark = Arc::<Mark>::default();
        let waker = Waker::from(mark.clone());
        let handle = AbortHandle { queue: self.clone(), mark: mark.clone() };
        (Abortable { future: Box::pin(future), mark, waker }, handle)
    }

    /// Has the controller abort all commands of this core whose futures were dropped, so that their buffers come back soon. It is asked
    /// when the core's turn ends; nobody waits for that.
    pub fn abort_given_up(&self) {
        self.pair().abort_given_up();
    }

    /// How many commands of this core the controller may be at whose futures were dropped.
    pub fn given_up(&self) -> usize {
        self.pair().commands().given_up().count()
    }
}

impl<D: Device> AbortHandle<D> {
    /// Asks the controller to abort each command that the future has on its way, as many at a time as it takes (ACL), and says how many
    /// it has aborted: these end with [`ABORT_REQUESTED`](super::spec::StatusCode::ABORT_REQUESTED). Those that it had not been given yet
    /// end likewise, and count. The others end as if nothing had been asked (Base 2.0 §5.1): they were done, or cannot be aborted.
    ///
    /// Of a request that goes on in further commands, such as a long write, the error of the first ends the rest.
    ///
    /// Dropping the future leaves the aborts to go on.
    ///
    /// # Errors
    /// If the controller does not answer; then it is reset, which ends the commands as well. [`Error::Closed`].
    pub async fn abort(&self) -> Result<usize, Error> {
        let pair = self.queue.pair();
        // The vtable may be one of several copies; the data is this mark's alone.
        let data = Arc::as_ptr(&self.mark).cast();
        let which = pair.commands().awaited_by(|waker| waker.data() == data);
        pair.abort(&which).await.map_err(|_ended| Error::Closed)?
    }
}

impl<F: Future> Future for Abortable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, mark, waker } = &mut *self;
        mark.0.register(cx.waker());
        future.as_mut().poll(&mut Context::from_waker(waker))
    }
}

impl<F> fmt::Debug for Abortable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Abortable").finish_non_exhaustive()
    }
}

impl<D: Device> fmt::Debug for AbortHandle<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("queue", &self.queue).finish_non_exhaustive()
    }
}
