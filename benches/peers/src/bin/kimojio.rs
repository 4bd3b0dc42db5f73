//! kimojio: one runtime per core, reached through its `RuntimeHandle` and message pipes; polling is a mode of its own.

use std::cell::Cell;
use std::future::{Future, Ready, pending, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use kimojio::configuration::{BusyPoll, Configuration, ExitBehavior};
use kimojio::operations::{RecvFlags, SendFlags};
use kimojio::{
    MessagePipeReceiver, MessagePipeSender, ReceiverUnbounded, SenderUnbounded, async_channel_unbounded,
    make_message_pipe_oneway_sync, operations,
};
use peers::{BUFFER, Idle, PAGE, Remote, Runtime, far_thread, joined, open_direct, page_within};

fn main() {
    peers::main::<Kimojio>()
}

struct Kimojio;

fn runtime(idle: Idle) -> kimojio::Runtime {
    let busy_poll = if idle == Idle::Poll { BusyPoll::Always } else { BusyPoll::Never };
    let configuration =
        Configuration::new().set_busy_poll(busy_poll).set_exit_behavior(ExitBehavior::WhenMainTaskCompletes);
    kimojio::Runtime::new(0, configuration)
}

impl Runtime for Kimojio {
    const NAME: &'static str = "kimojio";
    const FAR_MESSAGES: u64 = 200_000;

    type Tx = SenderUnbounded<u64>;
    type Rx = ReceiverUnbounded<u64>;
    type FarTx = MessagePipeSender<u64>;
    type FarRx = MessagePipeReceiver<u64>;
    type Remote = Handle;

    fn block_on<T: 'static>(idle: Idle, future: impl Future<Output = T> + 'static) -> T {
        match runtime(idle).block_on(future) {
            Some(Ok(value)) => value,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => unreachable!("nobody shuts the loop down"),
        }
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        let task = operations::spawn_task(future);
        joined(task)
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        operations::spawn_task(future);
    }

    async fn sleep(duration: Duration) {
        operations::sleep(duration).await.expect("the timer runs");
    }

    fn channel() -> (Self::Tx, Self::Rx) {
        async_channel_unbounded()
    }

    async fn send(tx: &Self::Tx, value: u64) {
        tx.send(value).expect("the receiver lives");
    }

    async fn recv(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("the sender lives")
    }

    fn far_channel(_capacity: usize) -> (Self::FarTx, Self::FarRx) {
        let (tx, rx) = make_message_pipe_oneway_sync().expect("the pipe opens");
        (tx, rx)
    }

    async fn produce(tx: Self::FarTx, count: u64) {
        for n in 0..count {
            tx.send_message(Box::new(n)).await.expect("the receiver lives");
        }
        // Closing the pipe early would cut off what is still in it.
        std::mem::forget(tx);
    }

    async fn consume(rx: Self::FarRx, count: u64) -> u64 {
        let mut sum = 0;
        for _ in 0..count {
            sum += *rx.recv_message().await.expect("the sender lives");
        }
        sum
    }

    async fn echo(listener: std::net::TcpListener) {
        loop {
            let stream = operations::accept(&listener).await.expect("the listener listens");
            Self::spawn_detached(async move {
                let mut buf = vec![0; BUFFER];
                loop {
                    let count = operations::recv(&stream, &mut buf, RecvFlags::empty(), None)
                        .await
                        .expect("the client lives");
                    if count == 0 {
                        return;
                    }
                    let mut sent = 0;
                    while sent < count {
                        let flags = SendFlags::empty();
                        sent += operations::send(&stream, &buf[sent..count], flags, None)
                            .await
                            .expect("the client lives");
                    }
                }
            });
        }
    }

    async fn accept(listener: std::net::TcpListener) {
        loop {
            drop(operations::accept(&listener).await.expect("the listener listens"));
        }
    }

    fn with_remote<T: Send + 'static>(
        idle: Idle,
        work: impl AsyncFnOnce(Self::Remote) -> T + Send + 'static,
    ) -> T {
        let (tx, rx) = std::sync::mpsc::channel();
        far_thread(move || {
            let mut runtime = runtime(idle);
            tx.send(runtime.get_handle()).expect("core 0 waits for the handle");
            runtime.block_on(pending::<()>());
        });
        let handle = rx.recv().expect("core 1 starts");
        Self::block_on(idle, async move { work(Handle::open(handle).await).await })
    }

    type File = std::fs::File;
    type Page = (Vec<u8>, usize);

    async fn open() -> Self::File {
        open_direct()
    }

    fn page() -> Self::Page {
        page_within()
    }

    async fn read(file: &Self::File, (mut buf, start): Self::Page, at: u64) -> Self::Page {
        let read = kimojio::operations::pread(file, &mut buf[start..start + PAGE], at).await;
        assert_eq!(read.expect("the file is read"), PAGE);
        (buf, start)
    }

    async fn nops(count: u64) {
        for _ in 0..count {
            kimojio::operations::nop().await.expect("nothing is done");
        }
    }

    fn cannot(workload: &str) -> Option<&'static str> {
        match workload {
            "cross_1024" => Some("a RuntimeHandle's channel carries one request at a time"),
            "events_32" | "events_256" | "events_1024" => {
                Some("a RuntimeHandle's channel awaits every answer")
            }
            _ => None,
        }
    }
}

type Invoke = dyn Fn(Question) -> Pin<Box<dyn Future<Output = u64>>>;
type Question = Pin<Box<dyn Future<Output = u64> + Send>>;

/// A channel whose far side awaits each future that it is sent. Boxed because its type has no public name.
struct Handle(Box<Invoke>);

impl Handle {
    async fn open(handle: kimojio::RuntimeHandle) -> Self {
        let pipe =
            handle.open_channel(async |question: Question| question.await).await.expect("core 1 serves");
        let pipe = Rc::new(Cell::new(Some(pipe)));
        Handle(Box::new(move |question| {
            let slot = pipe.clone();
            Box::pin(async move {
                let mut pipe = slot.take().expect("one request at a time");
                let value = pipe.invoke(question).await.expect("core 1 serves");
                slot.set(Some(pipe));
                value
            })
        }))
    }
}

impl Remote for Handle {
    type Answer = Ready<u64>;

    async fn spawn(&mut self, future: impl Future<Output = u64> + Send + 'static) -> Self::Answer {
        ready(self.0(Box::pin(future)).await)
    }

    async fn post(&mut self, _event: impl FnOnce() + Send + 'static) {
        unreachable!("refused by `cannot`")
    }
}
