//! What a runtime must offer to be compared: the trait that each file of `src/bin` implements.
//!
//! The primitives are thin on purpose: the workloads in `local`, `cross` and `timers` are written once on top of them,
//! so that all runtimes run the same instructions around the thing measured.

use std::future::{Future, poll_fn};
use std::net::TcpListener;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crate::Measure;

/// What a core does when it has nothing to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// It goes to sleep in the kernel, as every runtime does unless told otherwise.
    Park,
    /// It keeps looking: by the runtime's own polling mode, or else by a task that always yields ([`busy`]).
    Poll,
}

/// One runtime under comparison.
///
/// All functions but [`Runtime::block_on`], [`Runtime::with_remote`] and [`Runtime::on_two_cores`] are called on a
/// thread where the runtime runs.
pub trait Runtime: Sized + 'static {
    /// The name in table and drawing.
    const NAME: &'static str;

    /// How many messages the row of the typed channel sends: fewer where each takes microseconds.
    const FAR_MESSAGES: u64 = 4_000_000;

    /// Sending half of the runtime's idiomatic channel between tasks of one core.
    type Tx: 'static;
    /// Its receiving half.
    type Rx: 'static;
    /// Sending half of the runtime's idiomatic channel between cores.
    type FarTx: Send + 'static;
    /// Its receiving half.
    type FarRx: Send + 'static;
    /// A way to have another core run something.
    type Remote: Remote;

    /// Starts the runtime on this thread, which is already pinned, and runs `future` to its end.
    fn block_on<T: 'static>(idle: Idle, future: impl Future<Output = T> + 'static) -> T;

    /// The same, sleeping when idle, where timers may wait so long for each other, if the runtime has a setting for that.
    fn block_on_slack<T: 'static>(_slack: Option<Duration>, future: impl Future<Output = T> + 'static) -> T {
        Self::block_on(Idle::Park, future)
    }

    /// Starts a local task and gives what waits for its result.
    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static;

    /// Starts a local task that nobody waits for.
    fn spawn_detached(future: impl Future<Output = ()> + 'static);

    /// The runtime's own timer.
    fn sleep(duration: Duration) -> impl Future<Output = ()>;

    /// An unbounded local channel, or one that does not fill with one message in it.
    fn channel() -> (Self::Tx, Self::Rx);

    /// Sends on the local channel.
    fn send(tx: &Self::Tx, value: u64) -> impl Future<Output = ()>;

    /// Receives from the local channel.
    fn recv(rx: &mut Self::Rx) -> impl Future<Output = u64>;

    /// A channel from core to core that holds `capacity` messages where the runtime's channel is bounded.
    fn far_channel(capacity: usize) -> (Self::FarTx, Self::FarRx);

    /// Sends `0..count` from one core.
    fn produce(tx: Self::FarTx, count: u64) -> impl Future<Output = ()> + 'static;

    /// Receives `count` messages on another core and gives their sum.
    fn consume(rx: Self::FarRx, count: u64) -> impl Future<Output = u64> + 'static;

    /// Starts the runtime on core 1 to serve for ever and on core 0 to run `work`, which is given the way to core 1.
    fn with_remote<T: Send + 'static>(
        idle: Idle,
        work: impl AsyncFnOnce(Self::Remote) -> T + Send + 'static,
    ) -> T;

    /// Runs `near` on core 0 and `far` on core 1, both to their end.
    fn on_two_cores<T: Send + 'static>(
        idle: Idle,
        near: impl AsyncFnOnce() -> T + Send + 'static,
        far: impl AsyncFnOnce() + Send + 'static,
    ) -> T {
        let far = crate::far_thread(move || Self::block_on(idle, async move { far().await }));
        let value = Self::block_on(idle, async move { near().await });
        far.join().expect("the far core panicked");
        value
    }

    /// Accepts the connections of `listener` for ever, and sends back what each says; one task and one buffer of
    /// [`BUFFER`](crate::BUFFER) bytes per connection.
    fn echo(listener: TcpListener) -> impl Future<Output = ()> + 'static;

    /// Accepts the connections of `listener` for ever, in the runtime's best way, and closes each.
    fn accept(listener: TcpListener) -> impl Future<Output = ()> + 'static;

    /// A file opened with O_DIRECT.
    type File: 'static;
    /// An aligned page to read into, or nothing where the runtime brings its own.
    type Page: 'static;

    /// Opens [`data_file`](crate::data_file) for reading past the page cache, in the runtime's best way.
    fn open() -> impl Future<Output = Self::File>;

    /// A page to read into.
    fn page() -> Self::Page;

    /// Reads one page at byte `at`.
    fn read(file: &Self::File, page: Self::Page, at: u64) -> impl Future<Output = Self::Page>;

    /// `count` times the io_uring operation that does nothing, one after the other.
    fn nops(count: u64) -> impl Future<Output = ()> + 'static {
        let _ = count;
        async { unreachable!("refused by `cannot`") }
    }

    /// Whether there is an adapter of the runtime's own for hyper 1.x, and so [`http`](Self::http).
    const HAS_HYPER: bool = false;

    /// Accepts the connections of `listener` for ever, and has [`serve_hello`](crate::serve_hello) serve each in a task.
    fn http(listener: TcpListener) -> impl Future<Output = ()> + 'static {
        async move { unreachable!("{} has no hyper for {listener:?}", Self::NAME) }
    }

    /// Why the runtime cannot do a workload at all, for the footnote; known from its documentation, not from a try.
    fn cannot(workload: &str) -> Option<&'static str> {
        let _ = workload;
        None
    }

    /// Runs a workload that only this runtime has; `false` if there is none of that name.
    fn own(workload: &str, measure: &Measure) -> bool {
        let _ = (workload, measure);
        false
    }
}

/// The way to another core.
pub trait Remote: 'static {
    /// What waits for the answer; the spawned future is on its way already.
    type Answer: Future;

    /// Has the other core run `future` as a task.
    fn spawn(
        &mut self,
        future: impl Future<Output = u64> + Send + 'static,
    ) -> impl Future<Output = Self::Answer>;

    /// Has the other core run `event`, by the cheapest way that the runtime offers, without an answer.
    fn post(&mut self, event: impl FnOnce() + Send + 'static) -> impl Future<Output = ()>;
}

/// Wakes itself and returns to the loop once: a yield in its plainest form, the same for every runtime.
pub fn yield_once() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

/// The result of a task that ends. An async block around the handle would hold it twice.
pub fn joined<T, E: std::fmt::Debug>(
    mut task: impl Future<Output = Result<T, E>> + Unpin,
) -> impl Future<Output = T> {
    poll_fn(move |context| Pin::new(&mut task).poll(context).map(|result| result.expect("the task ends")))
}

/// A task that never lets its core sleep, for runtimes that have no polling mode.
pub async fn busy() {
    loop {
        yield_once().await;
    }
}
