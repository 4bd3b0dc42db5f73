//! smol: a `LocalExecutor` on the measuring core, an `Executor` driven by the other one.
//!
//! Polling is a loop around `try_tick`: under `run` a task that always yields would hold the others back for 200 ticks.

use std::future::{Future, pending};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use peers::{Idle, PAGE, Remote, Runtime, far_thread, open_direct, page_within};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Executor, LocalExecutor, Task, Timer, channel};

fn main() {
    peers::main::<Smol>()
}

struct Smol;

thread_local! {
    static EXECUTOR: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
}

impl Runtime for Smol {
    const NAME: &'static str = "smol";

    type Tx = channel::Sender<u64>;
    type Rx = channel::Receiver<u64>;
    type FarTx = channel::Sender<u64>;
    type FarRx = channel::Receiver<u64>;
    type Remote = FarExecutor;

    fn block_on<T: 'static>(idle: Idle, future: impl Future<Output = T> + 'static) -> T {
        let executor = EXECUTOR.with(|executor| *executor);
        match idle {
            Idle::Park => smol::block_on(executor.run(future)),
            Idle::Poll => {
                let task = executor.spawn(future);
                while !task.is_finished() {
                    executor.try_tick();
                }
                smol::block_on(task)
            }
        }
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        EXECUTOR.with(|executor| executor.spawn(future))
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        EXECUTOR.with(|executor| executor.spawn(future).detach());
    }

    async fn sleep(duration: Duration) {
        Timer::after(duration).await;
    }

    fn channel() -> (Self::Tx, Self::Rx) {
        channel::unbounded()
    }

    async fn send(tx: &Self::Tx, value: u64) {
        tx.send(value).await.expect("the receiver lives");
    }

    async fn recv(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("the sender lives")
    }

    fn far_channel(capacity: usize) -> (Self::FarTx, Self::FarRx) {
        channel::bounded(capacity)
    }

    async fn produce(tx: Self::FarTx, count: u64) {
        for n in 0..count {
            tx.send(n).await.expect("the receiver lives");
        }
    }

    async fn consume(rx: Self::FarRx, count: u64) -> u64 {
        let mut sum = 0;
        for _ in 0..count {
            sum += rx.recv().await.expect("the sender lives");
        }
        sum
    }

    async fn echo(listener: std::net::TcpListener) {
        let listener = Async::new(listener).expect("the listener is adopted");
        loop {
            let (mut stream, _) = listener.accept().await.expect("the listener listens");
            Self::spawn_detached(async move { peers::echo_lent!(stream) });
        }
    }

    async fn accept(listener: std::net::TcpListener) {
        let listener = Async::new(listener).expect("the listener is adopted");
        loop {
            drop(listener.accept().await.expect("the listener listens"));
        }
    }

    fn with_remote<T: Send + 'static>(
        idle: Idle,
        work: impl AsyncFnOnce(Self::Remote) -> T + Send + 'static,
    ) -> T {
        let executor = Arc::new(Executor::new());
        let far = executor.clone();
        far_thread(move || match idle {
            Idle::Park => smol::block_on(far.run(pending())),
            Idle::Poll => loop {
                far.try_tick();
            },
        });
        Self::block_on(idle, async move { work(FarExecutor(executor)).await })
    }

    type File = Arc<std::fs::File>;
    type Page = (Vec<u8>, usize);

    async fn open() -> Self::File {
        Arc::new(open_direct())
    }

    fn page() -> Self::Page {
        page_within()
    }

    async fn read(file: &Self::File, (mut buf, start): Self::Page, at: u64) -> Self::Page {
        let file = file.clone();
        let read = smol::unblock(move || {
            file.read_exact_at(&mut buf[start..start + PAGE], at).map(|()| (buf, start))
        });
        read.await.expect("the file is read")
    }

    fn cannot(workload: &str) -> Option<&'static str> {
        match workload {
            "nop_1" | "nop_32" | "nop_128" => Some("it has no ring"),
            _ => None,
        }
    }
}

struct FarExecutor(Arc<Executor<'static>>);

impl Remote for FarExecutor {
    type Answer = Task<u64>;

    async fn spawn(&mut self, future: impl Future<Output = u64> + Send + 'static) -> Self::Answer {
        self.0.spawn(future)
    }

    async fn post(&mut self, event: impl FnOnce() + Send + 'static) {
        self.0.spawn(async move { event() }).detach();
    }
}
