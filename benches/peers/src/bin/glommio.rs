//! glommio: one executor per core. Between cores its `shared_channel`, one for jobs and one for their answers.

#![expect(unsafe_code, reason = "glommio adopts a listener by its descriptor only")]

use std::cell::RefCell;
use std::future::Future;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use glommio::channels::local_channel::{LocalReceiver, LocalSender, new_unbounded};
use glommio::channels::shared_channel::{
    ConnectedReceiver, ConnectedSender, SharedReceiver, SharedSender, new_bounded,
};
use glommio::io::DmaFile;
use glommio::net::TcpListener;
use glommio::timer::sleep;
use glommio::{LocalExecutorBuilder, Placement, spawn_local};
use peers::{Idle, Job, PAGE, Remote, Runtime, data_file, far_thread, this_core};

fn main() {
    peers::main::<Glommio>()
}

struct Glommio;

/// Enough for the largest window, so that a send does not wait.
const MAILBOX: usize = 4096;

impl Runtime for Glommio {
    const NAME: &'static str = "glommio";

    type Tx = LocalSender<u64>;
    type Rx = LocalReceiver<u64>;
    type FarTx = SharedSender<u64>;
    type FarRx = SharedReceiver<u64>;
    type Remote = Shared;

    fn block_on<T: 'static>(idle: Idle, future: impl Future<Output = T> + 'static) -> T {
        // Fixed to where the thread is already: an executor that is bound to no core ignores `spin_before_park`.
        // The locked memory of the default would not fit a common limit twice.
        let mut builder = LocalExecutorBuilder::new(Placement::Fixed(this_core())).io_memory(1 << 20);
        if idle == Idle::Poll {
            // A task that always yields would not do: with one, other cores are heard every 100 ms.
            builder = builder.spin_before_park(Duration::from_secs(1));
        }
        builder.make().expect("the executor starts").run(future)
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        spawn_local(future)
    }

    fn spawn_detached(future: impl Future<Output = ()> + 'static) {
        spawn_local(future).detach();
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        sleep(duration)
    }

    fn channel() -> (Self::Tx, Self::Rx) {
        new_unbounded()
    }

    async fn send(tx: &Self::Tx, value: u64) {
        tx.send(value).await.expect("the receiver lives");
    }

    async fn recv(rx: &mut Self::Rx) -> u64 {
        rx.recv().await.expect("the sender lives")
    }

    fn far_channel(capacity: usize) -> (Self::FarTx, Self::FarRx) {
        new_bounded(capacity)
    }

    async fn produce(tx: Self::FarTx, count: u64) {
        let tx = tx.connect().await;
        for n in 0..count {
            tx.send(n).await.expect("the receiver lives");
        }
    }

    async fn consume(rx: Self::FarRx, count: u64) -> u64 {
        let rx = rx.connect().await;
        let mut sum = 0;
        for _ in 0..count {
            sum += rx.recv().await.expect("the sender lives");
        }
        sum
    }

    async fn echo(listener: std::net::TcpListener) {
        // SAFETY: the descriptor is a listener's, and from here on nobody's but glommio's.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        loop {
            let mut stream = listener.accept().await.expect("the listener listens");
            Self::spawn_detached(async move { peers::echo_lent!(stream) });
        }
    }

    async fn accept(listener: std::net::TcpListener) {
        // SAFETY: the descriptor is a listener's, and from here on nobody's but glommio's.
        let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
        loop {
            drop(listener.accept().await.expect("the listener listens"));
        }
    }

    fn with_remote<T: Send + 'static>(
        idle: Idle,
        work: impl AsyncFnOnce(Self::Remote) -> T + Send + 'static,
    ) -> T {
        let (jobs, far_jobs) = new_bounded(MAILBOX);
        let (far_answers, answers) = new_bounded(MAILBOX);
        far_thread(move || Self::block_on(idle, serve(far_jobs, far_answers)));
        Self::block_on(idle, async move { work(Shared::connect(jobs, answers).await).await })
    }

    type File = DmaFile;
    type Page = ();

    async fn open() -> DmaFile {
        DmaFile::open(data_file()).await.expect("the file opens")
    }

    fn page() {}

    async fn read(file: &DmaFile, (): (), at: u64) {
        let page = file.read_at_aligned(at, PAGE).await.expect("the file is read");
        assert_eq!(page.len(), PAGE);
    }

    fn cannot(workload: &str) -> Option<&'static str> {
        match workload {
            "nop_1" | "nop_32" | "nop_128" => Some("its ring has no public operation that does nothing"),
            _ => None,
        }
    }
}

/// A question carries the number under which its answer is awaited.
enum Message {
    Question(usize, std::pin::Pin<Box<dyn Future<Output = u64> + Send>>),
    Event(Job),
}

async fn serve(jobs: SharedReceiver<Message>, answers: SharedSender<(usize, u64)>) {
    let (jobs, answers) = (jobs.connect().await, Rc::new(answers.connect().await));
    while let Some(message) = jobs.recv().await {
        match message {
            Message::Event(event) => spawn_local(event).detach(),
            Message::Question(number, future) => {
                let answers = answers.clone();
                spawn_local(async move {
                    let value = future.await;
                    answers.send((number, value)).await.expect("core 0 listens");
                })
                .detach()
            }
        };
    }
}

/// The near side: where questions go, and who awaits the answers.
struct Shared {
    jobs: ConnectedSender<Message>,
    waiting: Rc<RefCell<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    slots: Vec<Option<oneshot::Sender<u64>>>,
    free: Vec<usize>,
}

impl Shared {
    async fn connect(jobs: SharedSender<Message>, answers: SharedReceiver<(usize, u64)>) -> Self {
        let waiting = Rc::new(RefCell::new(Waiting::default()));
        let jobs = jobs.connect().await;
        spawn_local(listen(answers.connect().await, waiting.clone())).detach();
        Shared { jobs, waiting }
    }

    async fn send(&self, message: Message) {
        assert!(self.jobs.send(message).await.is_ok(), "core 1 serves");
    }
}

async fn listen(answers: ConnectedReceiver<(usize, u64)>, waiting: Rc<RefCell<Waiting>>) {
    while let Some((number, value)) = answers.recv().await {
        let mut waiting = waiting.borrow_mut();
        let answer = waiting.slots[number].take().expect("one answer per question");
        waiting.free.push(number);
        let _ = answer.send(value);
    }
}

impl Remote for Shared {
    type Answer = oneshot::Receiver<u64>;

    async fn spawn(&mut self, future: impl Future<Output = u64> + Send + 'static) -> Self::Answer {
        let (answer, receiver) = oneshot::channel();
        let number = {
            let waiting = &mut *self.waiting.borrow_mut();
            let number = waiting.free.pop().unwrap_or_else(|| {
                waiting.slots.push(None);
                waiting.slots.len() - 1
            });
            waiting.slots[number] = Some(answer);
            number
        };
        self.send(Message::Question(number, Box::pin(future))).await;
        receiver
    }

    async fn post(&mut self, event: impl FnOnce() + Send + 'static) {
        self.send(Message::Event(Box::pin(async move { event() }))).await;
    }
}
