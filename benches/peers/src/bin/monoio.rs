//! monoio: one io_uring runtime per core. Between cores a mailbox, for it has none of its own; wakers by feature `sync`.
//!
//! It has no polling mode, and a task that always yields is none: wakes from other cores are taken only before it sleeps,
//! so that nothing from there would ever run. The rows that poll therefore let it sleep, where that still answers them.

use std::future::Future;
use std::time::Duration;

use local_sync::mpsc::unbounded;
use monoio::buf::IoBufMut;
use monoio::io::IntoPollIo;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpListener;
use monoio::{IoUringDriver, RuntimeBuilder};
use monoio_compat::hyper::MonoioIo;
use peers::{BUFFER, Idle, Mailbox, PAGE, Runtime, far_thread, open_direct, page_within, serve_mailbox};

fn main() {
    peers::main::<Monoio>()
}

struct Monoio;

impl Runtime for Monoio {
    const NAME: &'static str = "monoio";

    type Tx = unbounded::Tx<u64>;
    type Rx = unbounded::Rx<u64>;
    type FarTx = flume::Sender<u64>;
    type FarRx = flume::Receiver<u64>;
    type Remote = Mailbox;

    fn block_on<T: 'static>(_idle: Idle, future: impl Future<Output = T> + 'static) -> T {
        let mut runtime =
            RuntimeBuilder::<IoUringDriver>::new().enable_timer().build().expect("the runtime starts");
        runtime.block_on(future)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        monoio::spawn(future)
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        monoio::spawn(future);
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        monoio::time::sleep(duration)
    }

    fn channel() -> (Self::Tx, Self::Rx) {
        unbounded::channel()
    }

    async fn send(tx: &Self::Tx, value: u64) {
        assert!(tx.send(value).is_ok(), "the receiver lives");
    }

    async fn recv(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("the sender lives")
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
                    let (result, read) = stream.read(buf).await;
                    if result.expect("the client lives") == 0 {
                        return;
                    }
                    let (result, written) = stream.write_all(read).await;
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

    const HAS_HYPER: bool = true;

    async fn http(listener: std::net::TcpListener) {
        let listener = TcpListener::from_std(listener).expect("the listener is adopted");
        loop {
            let (stream, _) = listener.accept().await.expect("the listener listens");
            let stream = stream.into_poll_io().expect("a socket may be polled");
            Self::spawn_detached(peers::serve_hello(MonoioIo::new(stream)));
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

    type File = monoio::fs::File;
    type Page = (Vec<u8>, usize);

    async fn open() -> Self::File {
        monoio::fs::File::from_std(open_direct()).expect("the runtime takes the file")
    }

    fn page() -> Self::Page {
        page_within()
    }

    async fn read(file: &Self::File, (buf, start): Self::Page, at: u64) -> Self::Page {
        let (read, page) = file.read_at(buf.slice_mut(start..start + PAGE), at).await;
        assert_eq!(read.expect("the file is read"), PAGE);
        (page.into_inner(), start)
    }

    fn cannot(workload: &str) -> Option<&'static str> {
        match workload {
            "cross_poll" => Some("hears other cores only when it goes to sleep"),
            "nop_1" | "nop_32" | "nop_128" => Some("its ring has no public operation that does nothing"),
            _ => None,
        }
    }
}
