//! reactor itself, by its public interface: `LocalExecutor` for one core, `app::Builder` for two.

use std::future::Future;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use peers::{BUFFER, Idle, Measure, PAGE, Remote, Runtime, data_file, joined};
use reactor::io::{Adapter, IoBuf, ReadOwned, WriteOwned};
use reactor::net::TcpListener;
use reactor::sync::{local, spsc};
use reactor::sys::dma::{DmaBuf, DmaPool};
use reactor::uring::{Fd, Ring};
use reactor::{Core, JoinHandle, LocalExecutor, Poller, app, post, spawn_local, spawn_on};
use rustix::fs::{Mode, OFlags};

fn main() {
    peers::main::<Reactor>()
}

struct Reactor;

fn mode(idle: Idle) -> reactor::Mode {
    match idle {
        Idle::Park => reactor::Mode::Interrupt,
        Idle::Poll => reactor::Mode::Poll,
    }
}

/// Runs `work` on core 0 of two.
fn on_cores<T: Send + 'static>(idle: Idle, work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
    peers::unpin();
    app::Builder::new().cores("0-1").mode(mode(idle)).run(work).expect("both cores start and end")
}

fn core(index: usize) -> Core {
    Core::nth(index).expect("two cores were asked for")
}

impl Runtime for Reactor {
    const NAME: &'static str = "reactor";

    type Tx = local::UnboundedSender<u64>;
    type Rx = local::Receiver<u64>;
    type FarTx = spsc::Producer<u64>;
    type FarRx = spsc::Consumer<u64>;
    type Remote = FarCore;

    fn block_on<T: 'static>(idle: Idle, future: impl Future<Output = T> + 'static) -> T {
        let executor = LocalExecutor::new().expect("the core starts");
        executor.set_mode(mode(idle));
        executor.block_on(future)
    }

    fn block_on_slack<T: 'static>(slack: Option<Duration>, future: impl Future<Output = T> + 'static) -> T {
        let executor = LocalExecutor::new().expect("the core starts");
        executor.set_mode(mode(Idle::Park));
        if let Some(slack) = slack {
            executor.set_timer_slack(slack);
        }
        executor.block_on(future)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        let task = spawn_local(future);
        joined(task)
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        spawn_local(future).detach();
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        reactor::time::sleep(duration)
    }

    fn channel() -> (Self::Tx, Self::Rx) {
        local::unbounded()
    }

    async fn send(tx: &Self::Tx, value: u64) {
        tx.send(value).expect("the receiver lives");
    }

    async fn recv(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("the sender lives")
    }

    fn far_channel(capacity: usize) -> (Self::FarTx, Self::FarRx) {
        spsc::channel(capacity)
    }

    async fn produce(mut tx: Self::FarTx, count: u64) {
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
        let listener = TcpListener::try_from(listener).expect("the ring is made");
        let mut incoming = listener.incoming();
        while let Some(stream) = incoming.next().await {
            let stream = stream.expect("the listener listens");
            Self::spawn_detached(async move {
                let mut buf = vec![0; BUFFER];
                loop {
                    let (result, read) = stream.read(buf).await;
                    let count = result.expect("the client lives");
                    if count == 0 {
                        return;
                    }
                    let (result, written) = stream.write_all(read.slice(..count)).await;
                    result.expect("the client lives");
                    buf = written.into_inner();
                }
            });
        }
    }

    /// Each by an entry of its own: all by one (`incoming`) takes a tenth more, in the kernel.
    async fn accept(listener: std::net::TcpListener) {
        let listener = TcpListener::try_from(listener).expect("the ring is made");
        loop {
            drop(listener.accept().await.expect("the listener listens"));
        }
    }

    const HAS_HYPER: bool = true;

    async fn http(listener: std::net::TcpListener) {
        let listener = TcpListener::try_from(listener).expect("the ring is made");
        let mut incoming = listener.incoming();
        while let Some(stream) = incoming.next().await {
            Self::spawn_detached(peers::serve_hello(Adapter::new(stream.expect("the listener listens"))));
        }
    }

    fn with_remote<T: Send + 'static>(
        idle: Idle,
        work: impl AsyncFnOnce(Self::Remote) -> T + Send + 'static,
    ) -> T {
        on_cores(idle, async move || work(FarCore(core(1))).await)
    }

    fn on_two_cores<T: Send + 'static>(
        idle: Idle,
        near: impl AsyncFnOnce() -> T + Send + 'static,
        far: impl AsyncFnOnce() + Send + 'static,
    ) -> T {
        on_cores(idle, async move || {
            let far = reactor::call_on(core(1), far);
            let value = near().await;
            far.await.expect("the far side ends");
            value
        })
    }

    type File = (Rc<Ring>, Fd);
    type Page = DmaBuf;

    async fn open() -> Self::File {
        let ring = Ring::current().expect("the core has a ring");
        let flags = OFlags::RDONLY | OFlags::DIRECT;
        let file = ring.open(&data_file(), flags, Mode::empty()).await.expect("the file opens");
        (ring, file)
    }

    fn page() -> DmaBuf {
        DmaPool::local().try_alloc(PAGE).expect("the pool has a page")
    }

    async fn read((ring, file): &Self::File, page: DmaBuf, at: u64) -> DmaBuf {
        let (read, page) = ring.read_at(file, page, at).await;
        assert_eq!(read.expect("the file is read"), PAGE);
        page
    }

    async fn nops(count: u64) {
        let ring = Ring::current().expect("the core has a ring");
        for _ in 0..count {
            ring.nop().await.expect("nothing is done");
        }
    }

    fn own(workload: &str, measure: &Measure) -> bool {
        let pollers = match workload {
            "idle_0" | "idle_timers" => 0,
            "idle_1" => 1,
            "idle_10" => 10,
            "idle_100" => 100,
            _ => return false,
        };
        let timers = if workload == "idle_timers" { 1_000 } else { 0 };
        measure.print(workload, idle_turn(measure, pollers, timers));
        true
    }
}

/// One turn that finds nothing to do, with pollers that run in it and timed pollers that are not due.
fn idle_turn(measure: &Measure, pollers: usize, timers: usize) -> f64 {
    let executor = LocalExecutor::new().expect("the core starts");
    let _registered: Vec<Poller> = executor.enter_with(|| {
        let every_turn = (0..pollers).map(|n| Poller::register("idle", move || black_box(n) == usize::MAX));
        let hour = Duration::from_secs(3600);
        let timed = (0..timers).map(|_| Poller::every("not due", hour, || false));
        every_turn.chain(timed).collect()
    });
    measure.ns_per_op_blocking(|count| {
        for _ in 0..count {
            black_box(executor.turn());
        }
    })
}

struct FarCore(Core);

impl Remote for FarCore {
    type Answer = JoinHandle<u64>;

    async fn spawn(&mut self, future: impl Future<Output = u64> + Send + 'static) -> Self::Answer {
        spawn_on(self.0, future)
    }

    async fn post(&mut self, event: impl FnOnce() + Send + 'static) {
        post(self.0, event).expect("core 1 runs");
    }
}
