//! compio: one runtime per core. Between cores a mailbox, as its own dispatcher is made.

use std::future::Future;
use std::time::Duration;

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncReadAt, AsyncWriteExt};
use compio::net::TcpListener;
use peers::{
    BUFFER, Idle, Mailbox, PAGE, Runtime, busy, data_file, far_thread, joined, page_within, serve_mailbox,
};

fn main() {
    peers::main::<Compio>()
}

struct Compio;

impl Runtime for Compio {
    const NAME: &'static str = "compio";

    type Tx = flume::Sender<u64>;
    type Rx = flume::Receiver<u64>;
    type FarTx = flume::Sender<u64>;
    type FarRx = flume::Receiver<u64>;
    type Remote = Mailbox;

    fn block_on<T: 'static>(idle: Idle, future: impl Future<Output = T> + 'static) -> T {
        compio::runtime::Runtime::new().expect("the runtime starts").block_on(async move {
            if idle == Idle::Poll {
                compio::runtime::spawn(busy()).detach();
            }
            future.await
        })
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        let task = compio::runtime::spawn(future);
        joined(task)
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        compio::runtime::spawn(future).detach();
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        compio::time::sleep(duration)
    }

    fn channel() -> (Self::Tx, Self::Rx) {
        flume::unbounded()
    }

    async fn send(tx: &Self::Tx, value: u64) {
        tx.send(value).expect("the receiver lives");
    }

    async fn recv(rx: &mut Self::Rx) -> u64 {
        rx.recv_async().await.expect("the sender lives")
    }

    fn far_channel(capacity: usize) -> (Self::FarTx, Self::FarRx) {
        flume::bounded(capacity)
    }

    async fn produce(tx: Self::FarTx, count: u64) {
        for n in 0..count {
            tx.send_async(n).await.expect("the receiver lives");
        }
    }

    async fn consume(rx: Self::FarRx, count: u64) -> u64 {
        let mut sum = 0;
        for _ in 0..count {
            sum += rx.recv_async().await.expect("the sender lives");
        }
        sum
    }

    async fn echo(listener: std::net::TcpListener) {
        let listener = TcpListener::from_std(listener).expect("the listener is adopted");
        loop {
            let (mut stream, _) = listener.accept().await.expect("the listener listens");
            Self::spawn_detached(async move {
                let mut buf = Vec::with_capacity(BUFFER);
                loop {
                    let BufResult(result, read) = stream.read(buf).await;
                    if result.expect("the client lives") == 0 {
                        return;
                    }
                    let BufResult(result, written) = stream.write_all(read).await;
                    result.expect("the client lives");
                    buf = written;
                    buf.clear();
                }
            });
        }
    }

    async fn accept(listener: std::net::TcpListener) {
        let listener = TcpListener::from_std(listener).expect("the listener is adopted");
        loop {
            drop(listener.accept().await.expect("the listener listens"));
        }
    }

    fn with_remote<T: Send + 'static>(
        idle: Idle,
        work: impl AsyncFnOnce(Self::Remote) -> T + Send + 'static,
    ) -> T {
        let (mailbox, jobs) = Mailbox::new();
        far_thread(move || Self::block_on(idle, serve_mailbox::<Self>(jobs)));
        Self::block_on(idle, async move { work(mailbox).await })
    }

    type File = compio::fs::File;
    type Page = (Vec<u8>, usize);

    async fn open() -> Self::File {
        let mut options = compio::fs::OpenOptions::new();
        options.read(true).custom_flags(rustix::fs::OFlags::DIRECT.bits() as i32);
        options.open(data_file()).await.expect("the file opens")
    }

    fn page() -> Self::Page {
        page_within()
    }

    async fn read(file: &Self::File, (buf, start): Self::Page, at: u64) -> Self::Page {
        let BufResult(read, page) = file.read_at(buf.slice(start..start + PAGE), at).await;
        assert_eq!(read.expect("the file is read"), PAGE);
        (page.into_inner(), start)
    }

    fn cannot(workload: &str) -> Option<&'static str> {
        match workload {
            "nop_1" | "nop_32" | "nop_128" => Some("its ring has no public operation that does nothing"),
            _ => None,
        }
    }
}
