//! tokio: one current-thread runtime per core, as `LocalRuntime` or, with `--localset`, as a `LocalSet` in a `Runtime`.

use std::future::Future;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use peers::{Idle, PAGE, Remote, Runtime, busy, far_thread, joined, open_direct, page_within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

fn main() {
    if std::env::args().any(|arg| arg == "--localset") {
        peers::main::<Tokio<true>>()
    }
    peers::main::<Tokio<false>>()
}

struct Tokio<const LOCAL_SET: bool>;

fn builder() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    builder
}

impl<const LOCAL_SET: bool> Runtime for Tokio<LOCAL_SET> {
    const NAME: &'static str = if LOCAL_SET { "tokio LocalSet" } else { "tokio" };

    type Tx = mpsc::UnboundedSender<u64>;
    type Rx = mpsc::UnboundedReceiver<u64>;
    type FarTx = mpsc::Sender<u64>;
    type FarRx = mpsc::Receiver<u64>;
    type Remote = FarHandle;

    fn block_on<T: 'static>(idle: Idle, future: impl Future<Output = T> + 'static) -> T {
        let main = async move {
            if idle == Idle::Poll {
                spawn_local(busy());
            }
            future.await
        };
        if LOCAL_SET {
            let runtime = builder().build().expect("the runtime starts");
            LocalSet::new().block_on(&runtime, main)
        } else {
            builder().build_local(LocalOptions::default()).expect("the runtime starts").block_on(main)
        }
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        let task = spawn_local(future);
        joined(task)
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        spawn_local(future);
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        tokio::time::sleep(duration)
    }

    fn channel() -> (Self::Tx, Self::Rx) {
        mpsc::unbounded_channel()
    }

    async fn send(tx: &Self::Tx, value: u64) {
        tx.send(value).expect("the receiver lives");
    }

    async fn recv(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("the sender lives")
    }

    fn far_channel(capacity: usize) -> (Self::FarTx, Self::FarRx) {
        mpsc::channel(capacity)
    }

    async fn produce(tx: Self::FarTx, count: u64) {
        for n in 0..count {
            tx.send(n).await.expect("the receiver lives");
        }
    }

    async fn consume(mut rx: Self::FarRx, count: u64) -> u64 {
        let mut sum = 0;
        for _ in 0..count {
            sum += rx.recv().await.expect("the sender lives");
        }
        sum
    }

    async fn echo(listener: std::net::TcpListener) {
        listener.set_nonblocking(true).expect("a socket may be");
        let listener = TcpListener::from_std(listener).expect("the listener is adopted");
        loop {
            let (mut stream, _) = listener.accept().await.expect("the listener listens");
            Self::spawn_detached(async move { peers::echo_lent!(stream) });
        }
    }

    async fn accept(listener: std::net::TcpListener) {
        listener.set_nonblocking(true).expect("a socket may be");
        let listener = TcpListener::from_std(listener).expect("the listener is adopted");
        loop {
            drop(listener.accept().await.expect("the listener listens"));
        }
    }

    const HAS_HYPER: bool = true;

    async fn http(listener: std::net::TcpListener) {
        listener.set_nonblocking(true).expect("a socket may be");
        let listener = TcpListener::from_std(listener).expect("the listener is adopted");
        loop {
            let (stream, _) = listener.accept().await.expect("the listener listens");
            Self::spawn_detached(peers::serve_hello(TokioIo::new(stream)));
        }
    }

    fn with_remote<T: Send + 'static>(
        idle: Idle,
        work: impl AsyncFnOnce(Self::Remote) -> T + Send + 'static,
    ) -> T {
        let (tx, rx) = std::sync::mpsc::channel();
        far_thread(move || {
            // Tasks from elsewhere run on the runtime itself; a `LocalSet` would only stand beside them.
            Tokio::<false>::block_on(idle, async move {
                tx.send(Handle::current()).expect("core 0 waits for the handle");
                std::future::pending().await
            })
        });
        let remote = FarHandle(rx.recv().expect("core 1 starts"));
        Self::block_on(idle, async move { work(remote).await })
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
        let read = tokio::task::spawn_blocking(move || {
            file.read_exact_at(&mut buf[start..start + PAGE], at).map(|()| (buf, start))
        });
        read.await.expect("the pool runs").expect("the file is read")
    }

    fn cannot(workload: &str) -> Option<&'static str> {
        match workload {
            "nop_1" | "nop_32" | "nop_128" => Some("it has no ring"),
            _ => None,
        }
    }
}

struct FarHandle(Handle);

impl Remote for FarHandle {
    type Answer = JoinHandle<u64>;

    async fn spawn(&mut self, future: impl Future<Output = u64> + Send + 'static) -> Self::Answer {
        self.0.spawn(future)
    }

    async fn post(&mut self, event: impl FnOnce() + Send + 'static) {
        self.0.spawn(async move { event() });
    }
}
