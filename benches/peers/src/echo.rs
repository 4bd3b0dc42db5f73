//! TCP echo: the runtime serves on core 0, one client on core 1 keeps a message on its way over each of 64 connections.
//!
//! The client is the same for all, and cheaper than any server: a bare ring (`client`). It counts what comes back, and looks up how
//! much processor time the server's thread took for it.

mod client;

use crate::measure::CpuOf;
use crate::{Idle, Measure, Runtime, far_thread, finish, median};
use client::Client;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

/// Connections, each with one message on its way.
const CONNECTIONS: usize = 64;

/// What a server should have room for; messages are [`client::MESSAGE`] bytes long.
pub const BUFFER: usize = 1024;

/// The echo of one connection, for runtimes that read into a buffer which is lent: each has its own traits of the same methods.
#[macro_export]
macro_rules! echo_lent {
    ($stream:ident) => {{
        let mut buf = vec![0; $crate::BUFFER];
        loop {
            let count = $stream.read(&mut buf).await.expect("the client lives");
            if count == 0 {
                return;
            }
            $stream.write_all(&buf[..count]).await.expect("the client lives");
        }
    }};
}

/// The rows `tcp_echo` and `tcp_echo_cpu`.
pub(crate) fn run<R: Runtime>(measure: &Measure) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback is there");
    let addr = listener.local_addr().expect("it is bound");
    let measure = measure.clone();
    let server = CpuOf::this_thread();
    far_thread(move || {
        let (rounds, round) =
            if measure.quick { (3, Duration::from_millis(100)) } else { (5, Duration::from_millis(400)) };
        let mut client = Client::connect(addr, CONNECTIONS);
        client.run_until(Instant::now() + round / 2);
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (start, cpu) = (Instant::now(), server.used());
            let messages = client.run_until(start + round) as f64;
            rates.push(messages / start.elapsed().as_secs_f64() / 1e3);
            costs.push((server.used() - cpu).as_secs_f64() * 1e6 / messages);
        }
        measure.print("tcp_echo", median(&mut rates));
        measure.print("tcp_echo_cpu", median(&mut costs));
        finish()
    });
    R::block_on(Idle::Park, R::echo(listener))
}
