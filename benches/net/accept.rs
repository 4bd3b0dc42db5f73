//! What accepting costs: asked once for all connections, as `Incoming` does, or for each.

use super::harness::{Measure, median};
use futures::StreamExt;
use reactor::net::TcpListener;
use reactor::uring::{Config, Features, Ring};
use reactor::{LocalExecutor, Mode};
use rustix::time::{ClockId, clock_gettime};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// How the ring is asked.
#[derive(Clone, Copy, PartialEq)]
pub enum Ask {
    Once,
    ForEach,
}

/// What is counted, per connection.
#[derive(Clone, Copy, PartialEq)]
pub enum Cost {
    /// Processor time of the thread that accepts, in µs.
    Time,
    /// `io_uring_enter` system calls.
    Calls,
}

/// The cost of a connection, `batch` of which come together; each is closed at once.
pub fn accepts(measure: Measure, ask: Ask, batch: usize, cost: Cost) -> f64 {
    let executor = LocalExecutor::new().expect("the core starts");
    executor.set_mode(Mode::Interrupt);
    executor.block_on(async {
        let mut config = Config::default();
        if ask == Ask::ForEach {
            config.features = config.features.without(Features::ACCEPT_MULTISHOT);
        }
        let ring = Ring::current_or_new(&config).expect("the kernel has io_uring");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback is there");
        let addr = listener.local_addr().expect("it is bound");
        let (rounds, connections) = if measure.quick { (1, 256) } else { (7, 8192) };
        let client = thread::spawn(move || {
            for _ in 0..(rounds + 1) * connections / batch {
                connect(addr, batch);
            }
        });
        let mut incoming = listener.incoming();
        let mut samples = Vec::new();
        for round in 0..=rounds {
            let before = (thread_time(), ring.counters().enters);
            for _ in 0..connections {
                drop(incoming.next().await.expect("it goes on").expect("the client is there"));
            }
            let spent = match cost {
                Cost::Time => (thread_time() - before.0).as_secs_f64() * 1e6,
                Cost::Calls => (ring.counters().enters - before.1) as f64,
            };
            // The first is for getting warm.
            if round > 0 {
                samples.push(spent / connections as f64);
            }
        }
        client.join().expect("it ends");
        median(&mut samples)
    })
}

/// Connects so often at once, and waits for the ends.
fn connect(addr: SocketAddr, batch: usize) {
    let connections: Vec<_> =
        (0..batch).map(|_| TcpStream::connect(addr).expect("the bench listens")).collect();
    for mut connection in connections {
        assert_eq!(connection.read(&mut [0]).expect("the bench closes"), 0);
    }
}

fn thread_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}
